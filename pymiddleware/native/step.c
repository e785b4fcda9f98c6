/* The awaitable that runs an ASGI app (any awaitable) under a profile.
 *
 *   await profile.step(app(...))
 *
 * Each send, throw or close enters the request, runs the inner iterator, and
 * leaves it again, so that what other tasks do on the same thread meanwhile
 * is never charged to it. Results and exceptions pass through untouched. */
#include "engine.h"

typedef struct {
    PyObject_HEAD sl_py_profile *profile; /* strong */
    PyObject *inner; /* strong: the awaitable, then its iterator */
    bool begun;
} step;

PyObject *
sl_py_step_new(sl_py_profile *profile, PyObject *awaitable)
{
    step *self = PyObject_GC_New(step, &sl_py_step_type);
    if (self == NULL)
        return NULL;
    self->profile = (sl_py_profile *)Py_NewRef((PyObject *)profile);
    self->inner = Py_NewRef(awaitable);
    self->begun = false;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

/* A section, if the profile still wants one. Trouble is not the app's. */
static bool
step_begin(step *self)
{
    sl_py_profile *profile = self->profile;

    if (profile->finished || profile->running)
        return false;
    if (sl_py_section_begin(profile, SL_PSEUDO_AWAIT) < 0) {
        PyErr_Clear();
        return false;
    }
    return true;
}

/* Ends the section without touching a pending exception. */
static void
step_end(step *self, bool begun, bool waits)
{
    PyObject *type, *value, *traceback;

    if (!begun)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    sl_py_section_end(self->profile, waits ? self->inner : NULL);
    PyErr_Restore(type, value, traceback);
}

static PyObject *
step_await(PyObject *object)
{
    step *self = (step *)object;

    if (self->begun) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot reuse an already awaited step");
        return NULL;
    }
    self->begun = true;
    if (PyCoro_CheckExact(self->inner))
        return Py_NewRef(object);

    PyAsyncMethods *methods = Py_TYPE(self->inner)->tp_as_async;
    if (methods == NULL || methods->am_await == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "object %.100s can't be used in 'await' expression",
                     Py_TYPE(self->inner)->tp_name);
        return NULL;
    }
    PyObject *iterator = methods->am_await(self->inner);
    if (iterator == NULL)
        return NULL;
    Py_SETREF(self->inner, iterator);
    return Py_NewRef(object);
}

static PySendResult
step_am_send(PyObject *object, PyObject *value, PyObject **result)
{
    step *self = (step *)object;
    bool begun = step_begin(self);
    PySendResult sent = PyIter_Send(self->inner, value, result);
    step_end(self, begun, sent == PYGEN_NEXT);
    return sent;
}

/* What a send protocol result is to the iterator protocol. */
static PyObject *
step_result(PySendResult sent, PyObject *result)
{
    if (sent == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        if (stop != NULL)
            PyErr_SetObject(PyExc_StopIteration, stop);
        Py_XDECREF(stop);
        Py_DECREF(result);
        return NULL;
    }
    return result;
}

static PyObject *
step_send(PyObject *object, PyObject *value)
{
    PyObject *result = NULL;
    PySendResult sent = step_am_send(object, value, &result);
    return step_result(sent, result);
}

static PyObject *
step_next(PyObject *object)
{
    return step_send(object, Py_None);
}

static PyObject *
step_call(step *self, const char *name, PyObject *args)
{
    PyObject *method = PyObject_GetAttrString(self->inner, name);
    if (method == NULL)
        return NULL;
    bool begun = step_begin(self);
    PyObject *result = PyObject_CallObject(method, args);
    step_end(self, begun, result != NULL);
    Py_DECREF(method);
    return result;
}

static PyObject *
step_throw(PyObject *object, PyObject *args)
{
    return step_call((step *)object, "throw", args);
}

static PyObject *
step_close(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    step *self = (step *)object;
    if (PyObject_HasAttrString(self->inner, "close"))
        return step_call(self, "close", NULL);
    Py_RETURN_NONE;
}

static int
step_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(((step *)object)->inner);
    return 0;
}

static int
step_clear(PyObject *object)
{
    Py_CLEAR(((step *)object)->inner);
    return 0;
}

static void
step_dealloc(PyObject *object)
{
    step *self = (step *)object;
    PyObject_GC_UnTrack(object);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->profile);
    PyObject_GC_Del(object);
}

static PyAsyncMethods step_async = {
    .am_await = step_await,
    .am_send = step_am_send,
};

static PyMethodDef step_methods[] = {
    { "send", step_send, METH_O, "send(value, /)\n--\n\nAs a coroutine's." },
    { "throw", step_throw, METH_VARARGS,
      "throw(type, value=None, traceback=None, /)\n--\n\nAs a coroutine's." },
    { "close", step_close, METH_NOARGS, "close()\n--\n\nAs a coroutine's." },
    { NULL, NULL, 0, NULL },
};

PyTypeObject sl_py_step_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Step",
    .tp_doc = "An awaitable under a profile. See Profile.step.",
    .tp_basicsize = sizeof(step),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_as_async = &step_async,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = step_next,
    .tp_methods = step_methods,
    .tp_traverse = step_traverse,
    .tp_clear = step_clear,
    .tp_dealloc = step_dealloc,
};
