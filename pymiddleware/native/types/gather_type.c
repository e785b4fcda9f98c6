/* gather_type.c - Gather: the trees of many requests as one, for Python;
 * slowlens/gather.h. */
#include "types/gather_type.h"
#include "types/values.h"

#include "slowlens/gather.h"

typedef struct {
    PyObject_HEAD sl_gather *gather;
    bool busy; /* a thread is inside without the GIL */
} gathered;

static bool
gathered_enter(gathered *self)
{
    if (self->busy)
        PyErr_SetString(PyExc_RuntimeError, "Gather: one thread at a time");
    return !self->busy;
}

static PyObject *
gather_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "max_nodes", NULL };
    unsigned int max_nodes = 0;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|I:Gather", names,
                                     &max_nodes))
        return NULL;
    gathered *self = (gathered *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    sl_status status = sl_gather_new(&self->gather, max_nodes);
    if (status < 0) {
        Py_DECREF(self);
        return sl_py_raise(status);
    }
    return (PyObject *)self;
}

static void
gather_dealloc(PyObject *object)
{
    sl_gather_free(((gathered *)object)->gather);
    Py_TYPE(object)->tp_free(object);
}

/* Decodes and adds. What cannot be read changes nothing. */
static sl_status
add_blob(sl_gather *gather, const Py_buffer *data, uint32_t weight)
{
    sl_profile *profile;
    sl_status status =
        sl_profile_decode(&profile, data->buf, (size_t)data->len, 0, NULL);

    if (status < 0)
        return status;
    status = sl_gather_add(gather, profile, weight);
    sl_profile_free(profile);
    return status;
}

static PyObject *
gather_add(PyObject *object, PyObject *args)
{
    gathered *self = (gathered *)object;
    Py_buffer data;
    unsigned int weight = 1;
    sl_status status;

    if (!PyArg_ParseTuple(args, "y*|I:add", &data, &weight))
        return NULL;
    if (!gathered_enter(self)) {
        PyBuffer_Release(&data);
        return NULL;
    }
    self->busy = true;
    Py_BEGIN_ALLOW_THREADS status = add_blob(self->gather, &data, weight);
    Py_END_ALLOW_THREADS self->busy = false;
    PyBuffer_Release(&data);
    if (status < 0)
        return sl_py_raise(status);
    Py_RETURN_NONE;
}

static PyObject *
gather_encode(PyObject *object, PyObject *args)
{
    gathered *self = (gathered *)object;
    PyObject *dict, *result = NULL, *keep = PyList_New(0);
    int level = 3;
    size_t count = 0;
    sl_bytes blob = { 0 };
    sl_status status;

    if (keep == NULL ||
        !PyArg_ParseTuple(args, "O!|i:encode", &PyDict_Type, &dict, &level) ||
        !gathered_enter(self)) {
        Py_XDECREF(keep);
        return NULL;
    }
    sl_meta *meta = sl_py_parse_meta(dict, keep, &count);
    if (meta != NULL) {
        self->busy = true;
        Py_BEGIN_ALLOW_THREADS status =
            sl_gather_encode(self->gather, meta, count, level, &blob);
        Py_END_ALLOW_THREADS self->busy = false;
        result = sl_py_take_bytes(status, &blob);
    }
    PyMem_Free(meta);
    Py_DECREF(keep);
    return result;
}

static PyObject *
gather_get_count(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(
        sl_gather_count(((gathered *)object)->gather));
}

static PyObject *
gather_get_nodes(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLong(
        sl_gather_nodes(((gathered *)object)->gather));
}

static PyObject *
gather_get_memory(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(sl_gather_bytes(((gathered *)object)->gather));
}

static PyObject *
gather_get_full(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(sl_gather_is_full(((gathered *)object)->gather));
}

static PyGetSetDef gather_getset[] = {
    { "count", gather_get_count, NULL, "Profiles that were added.", NULL },
    { "nodes", gather_get_nodes, NULL, "Nodes of their tree.", NULL },
    { "memory", gather_get_memory, NULL, "Bytes of memory.", NULL },
    { "full", gather_get_full, NULL, "Whether something found no room.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMethodDef gather_methods[] = {
    { "add", gather_add, METH_VARARGS,
      "add(blob, weight=1, /)\n--\n\nAdds a profile, each of its numbers "
      "`weight` times. CorruptError: nothing was added. MemoryError: drop the "
      "Gather." },
    { "encode", gather_encode, METH_VARARGS,
      "encode(meta, level=3, /)\n--\n\nWhat was added as a blob; then it is "
      "empty. ValueError: nothing was added." },
    { NULL, NULL, 0, NULL },
};

PyTypeObject sl_py_gather_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Gather",
    .tp_doc = "Gather(max_nodes=0)\n--\n\nThe trees of many requests as one, "
              "in bounded memory: see slowlens/gather.h. 0: 20,000 nodes.",
    .tp_basicsize = sizeof(gathered),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = gather_new,
    .tp_dealloc = gather_dealloc,
    .tp_methods = gather_methods,
    .tp_getset = gather_getset,
};
