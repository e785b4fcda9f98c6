/* Rows: what is stored, as a table, for lists. */
#include "types/stored.h"
#include "types/values.h"

#include "slowlens/rows.h"

#include <string.h>

typedef struct {
    PyObject_HEAD sl_rows *rows;
    bool busy; /* a thread is inside without the GIL; guarded by the GIL */
} table;

/* False, with an exception: another thread is inside. The store locks. */
static bool
table_enter(table *self)
{
    if (self->busy)
        PyErr_SetString(PyExc_RuntimeError, "Rows: one thread at a time");
    return !self->busy;
}

/* Runs `call` without the GIL. */
#define WITHOUT_GIL(self, call)                                                \
    do {                                                                       \
        (self)->busy = true;                                                   \
        Py_BEGIN_ALLOW_THREADS call;                                           \
        Py_END_ALLOW_THREADS(self)->busy = false;                              \
    } while (0)

static PyObject *
rows_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "limit", NULL };
    Py_ssize_t limit = 0;
    sl_rows *rows;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|n:Rows", names, &limit))
        return NULL;
    sl_status status = sl_rows_new(&rows, NULL, limit > 0 ? (size_t)limit : 0);
    if (status < 0)
        return sl_py_raise(status);
    table *self = (table *)type->tp_alloc(type, 0);
    if (self == NULL) {
        sl_rows_free(rows);
        return NULL;
    }
    self->rows = rows;
    return (PyObject *)self;
}

static void
rows_dealloc(PyObject *object)
{
    sl_rows_free(((table *)object)->rows);
    Py_TYPE(object)->tp_free(object);
}

/* How adding went: 0 well, 1 damaged, 2 no more room. Or an exception. */
static int
state_of(sl_status status)
{
    switch (status) {
    case SL_OK: return 0;
    case SL_ECORRUPT: return 1;
    case SL_ELIMIT: return 2;
    default: sl_py_raise(status); return -1;
    }
}

static PyObject *
rows_add_records(PyObject *object, PyObject *args)
{
    table *self = (table *)object;
    unsigned int segment;
    unsigned long long offset;
    Py_buffer data;
    size_t used = 0;
    sl_status status;

    if (!PyArg_ParseTuple(args, "IKy*:add_records", &segment, &offset, &data))
        return NULL;
    if (!table_enter(self)) {
        PyBuffer_Release(&data);
        return NULL;
    }
    WITHOUT_GIL(self, status = sl_rows_add_records(self->rows, segment, offset,
                                                   data.buf, (size_t)data.len,
                                                   &used));
    PyBuffer_Release(&data);
    int state = state_of(status);
    return state < 0 ? NULL : Py_BuildValue("(ni)", (Py_ssize_t)used, state);
}

static PyObject *
rows_add_footer(PyObject *object, PyObject *args)
{
    table *self = (table *)object;
    unsigned int segment;
    Py_buffer data;
    sl_status status;

    if (!PyArg_ParseTuple(args, "Iy*:add_footer", &segment, &data))
        return NULL;
    if (!table_enter(self)) {
        PyBuffer_Release(&data);
        return NULL;
    }
    WITHOUT_GIL(self, status = sl_rows_add_footer(self->rows, segment, data.buf,
                                                  (size_t)data.len));
    PyBuffer_Release(&data);
    int state = state_of(status);
    return state < 0 ? NULL : PyLong_FromLong(state);
}

static PyObject *
rows_add_blob(PyObject *object, PyObject *args)
{
    table *self = (table *)object;
    unsigned int segment;
    Py_buffer data;
    PyObject *text = Py_None;
    const char *hot = NULL;
    Py_ssize_t hot_size = 0;
    uint8_t id[SL_ID_SIZE];
    sl_status status;

    if (!PyArg_ParseTuple(args, "Iy*|Oz#:add_blob", &segment, &data, &text,
                          &hot, &hot_size))
        return NULL;
    if ((text != Py_None && sl_py_id(text, id) < 0) || !table_enter(self)) {
        PyBuffer_Release(&data);
        return NULL;
    }
    const uint8_t *given = text != Py_None ? id : NULL;
    WITHOUT_GIL(self, status = sl_rows_add_blob(self->rows, given, segment,
                                                data.buf, (size_t)data.len, hot,
                                                (size_t)hot_size));
    PyBuffer_Release(&data);
    if (status < 0)
        return sl_py_raise(status);
    Py_RETURN_NONE;
}

static PyObject *
rows_footer(PyObject *object, PyObject *arg)
{
    table *self = (table *)object;
    sl_bytes out = { 0 };
    sl_status status;

    unsigned long segment = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred() || !table_enter(self))
        return NULL;
    WITHOUT_GIL(self,
                status = sl_rows_footer(self->rows, (uint32_t)segment, &out));
    return sl_py_take_bytes(status, &out);
}

static PyObject *
rows_drop_segment(PyObject *object, PyObject *arg)
{
    table *self = (table *)object;

    unsigned long segment = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred() || !table_enter(self))
        return NULL;
    WITHOUT_GIL(self, sl_rows_drop_segment(self->rows, (uint32_t)segment));
    Py_RETURN_NONE;
}

static PyObject *
rows_drop(PyObject *object, PyObject *arg)
{
    table *self = (table *)object;
    uint8_t id[SL_ID_SIZE];

    if (sl_py_id(arg, id) < 0 || !table_enter(self))
        return NULL;
    sl_rows_drop(self->rows, id);
    Py_RETURN_NONE;
}

static PyObject *
rows_find(PyObject *object, PyObject *arg)
{
    table *self = (table *)object;
    uint8_t id[SL_ID_SIZE];
    sl_row_place place;

    if (sl_py_id(arg, id) < 0 || !table_enter(self))
        return NULL;
    if (!sl_rows_find(self->rows, id, &place))
        Py_RETURN_NONE;
    return Py_BuildValue("(II)", place.segment, place.offset);
}

static PyObject *
rows_places(PyObject *object, PyObject *arg)
{
    table *self = (table *)object;
    uint8_t id[SL_ID_SIZE];
    sl_row_place places[64];

    if (sl_py_id(arg, id) < 0 || !table_enter(self))
        return NULL;
    size_t count = sl_rows_places(self->rows, id, places, 64);
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < count && i < 64; i++) {
        PyObject *one =
            Py_BuildValue("(II)", places[i].segment, places[i].offset);
        if (one == NULL || PyList_Append(list, one) < 0)
            Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

/* ---- lists ---- */

/* A str or bytes as a text that is borrowed; None: any. */
static int
text_of(PyObject *value, void *out)
{
    sl_row_text *text = out;
    Py_ssize_t size = 0;

    *text = (sl_row_text){ NULL, 0 };
    if (value == Py_None)
        return 1;
    if (PyBytes_Check(value)) {
        text->text = PyBytes_AS_STRING(value);
        size = PyBytes_GET_SIZE(value);
    } else
        text->text = PyUnicode_AsUTF8AndSize(value, &size);
    text->size = (size_t)size;
    return text->text != NULL;
}

static int
column_of(PyObject *value, void *out)
{
    const char *name = PyUnicode_AsUTF8(value);
    if (name == NULL)
        return 0;
    *(sl_row_column *)out = sl_row_column_of(name);
    if (*(sl_row_column *)out == SL_ROW_COLUMNS)
        PyErr_Format(PyExc_ValueError, "no column %R", value);
    return *(sl_row_column *)out != SL_ROW_COLUMNS;
}

/* (value, id) of the row that the page before ended with. */
static int
after_of(PyObject *value, void *out)
{
    sl_rows_query *query = out;
    PyObject *key, *id;

    if (value == Py_None)
        return 1;
    if (!PyArg_ParseTuple(value, "OO:after", &key, &id) ||
        sl_py_id(id, query->after_id) < 0)
        return 0;
    query->after = true;
    if (!PyLong_Check(key))
        return text_of(key, &query->after_text);
    query->after_number = PyLong_AsUnsignedLongLong(key);
    return !PyErr_Occurred();
}

/* [(text, where)]: what must occur. */
static int
words_of(PyObject *value, void *out)
{
    sl_rows_query *query = out;

    if (!PyList_Check(value) || PyList_GET_SIZE(value) > SL_ROWS_WORDS) {
        PyErr_Format(PyExc_ValueError, "words: a list of %d at most",
                     SL_ROWS_WORDS);
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(value); i++) {
        sl_row_word *word = &query->words[query->word_count];
        if (!PyArg_ParseTuple(PyList_GET_ITEM(value, i), "O&I:word", text_of,
                              &word->text, &word->where))
            return 0;
        query->word_count++;
    }
    return 1;
}

/* (newest, [(segment, offset)]); the marks are the caller's to free. */
static int
marks_of(PyObject *value, void *out)
{
    sl_rows_query *query = out;
    PyObject *list;
    unsigned int newest;

    if (value == Py_None)
        return 1;
    if (!PyArg_ParseTuple(value, "IO!:marks", &newest, &PyList_Type, &list))
        return 0;
    Py_ssize_t count = PyList_GET_SIZE(list);
    sl_row_mark *marks = PyMem_Calloc((size_t)count + 1, sizeof(sl_row_mark));
    if (marks == NULL)
        return PyErr_NoMemory(), 0;
    query->marks = marks;
    query->marked = true;
    query->newest = newest;
    query->mark_count = (size_t)count;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "II:mark",
                              &marks[i].segment, &marks[i].offset))
            return 0;
    }
    return 1;
}

static PyObject *
rows_list(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "sort",      "falling", "route",   "method",
                             "mode",      "host",    "release", "status_from",
                             "status_to", "min_ns",  "max_ns",  "since",
                             "until",     "some",    "words",   "tag",
                             "finding",   "after",   "marks",   "limit",
                             NULL };
    table *self = (table *)object;
    sl_rows_query q;
    int falling = 1;
    unsigned long long wall_from = 0, wall_to = UINT64_MAX;
    unsigned long long since = 0, until = UINT64_MAX;
    sl_bytes out = { 0 };
    sl_status status = SL_OK;
    PyObject *result = NULL;

    sl_rows_query_init(&q);
    if (PyArg_ParseTupleAndKeywords(
            args, kwargs, "|$O&pO&O&O&O&O&IIKKKKO&O&O&O&O&O&I:list", names,
            column_of, &q.sort, &falling, text_of, &q.route, text_of, &q.method,
            text_of, &q.mode, text_of, &q.host, text_of, &q.release,
            &q.status_from, &q.status_to, &wall_from, &wall_to, &since, &until,
            column_of, &q.more_than_none, words_of, &q, text_of, &q.tag,
            text_of, &q.finding, after_of, &q, marks_of, &q, &q.limit) &&
        table_enter(self)) {
        q.falling = falling != 0;
        q.wall_from = wall_from;
        q.wall_to = wall_to;
        q.since = since;
        q.until = until;
        if (q.after && (q.after_text.text != NULL) != (q.sort >= SL_ROW_path)) {
            PyErr_SetString(PyExc_ValueError, "a cursor of another list");
        } else {
            WITHOUT_GIL(self, status = sl_rows_list(self->rows, &q, &out));
            result = sl_py_take_bytes(status, &out);
        }
    }
    PyMem_Free((void *)q.marks);
    return result;
}

static PyObject *
rows_worst(PyObject *object, PyObject *arg)
{
    table *self = (table *)object;
    sl_bytes out = { 0 };
    sl_status status;

    unsigned long per_route = PyLong_AsUnsignedLong(arg);
    if (PyErr_Occurred() || !table_enter(self))
        return NULL;
    WITHOUT_GIL(self,
                status = sl_rows_worst(self->rows, (uint32_t)per_route, &out));
    return sl_py_take_bytes(status, &out);
}

static PyObject *
rows_routes(PyObject *object, PyObject *arg)
{
    table *self = (table *)object;
    sl_row_text route;
    sl_bytes out = { 0 };
    sl_status status;

    if (!text_of(arg, &route) || !table_enter(self))
        return NULL;
    WITHOUT_GIL(self, status = sl_rows_routes(self->rows, &route, &out));
    return sl_py_take_bytes(status, &out);
}

static PyObject *
rows_drop_in(PyObject *object, PyObject *args)
{
    table *self = (table *)object;
    PyObject *text;
    unsigned int segment;
    uint8_t id[SL_ID_SIZE];

    if (!PyArg_ParseTuple(args, "OI:drop_in", &text, &segment) ||
        sl_py_id(text, id) < 0 || !table_enter(self))
        return NULL;
    sl_rows_drop_in(self->rows, id, segment);
    Py_RETURN_NONE;
}

static PyObject *
rows_count(PyObject *object, void *ignored)
{
    (void)ignored;
    return PyLong_FromUnsignedLong(sl_rows_count(((table *)object)->rows));
}

static PyObject *
rows_bytes(PyObject *object, void *ignored)
{
    table *self = (table *)object;
    (void)ignored;
    if (!table_enter(self))
        return NULL;
    return PyLong_FromSize_t(sl_rows_bytes(self->rows));
}

static PyMethodDef methods[] = {
    { "add_records", rows_add_records, METH_VARARGS,
      "add_records(segment, offset, data, /)\n--\n\nAdds the profiles of a "
      "piece of a segment: (bytes that were whole records, state). State: 0 "
      "well, 1 what follows is no record, 2 no more room." },
    { "add_footer", rows_add_footer, METH_VARARGS,
      "add_footer(segment, inside, /)\n--\n\nAdds the rows of a footer; the "
      "state as of add_records." },
    { "add_blob", rows_add_blob, METH_VARARGS,
      "add_blob(segment, blob, id=None, hot=None, /)\n--\n\nAdds one profile. "
      "CorruptError." },
    { "footer", rows_footer, METH_O,
      "footer(segment, /)\n--\n\nThe footer of a segment, a whole record." },
    { "drop_segment", rows_drop_segment, METH_O,
      "drop_segment(segment, /)\n--\n\nForgets the rows of a segment." },
    { "drop", rows_drop, METH_O,
      "drop(id, /)\n--\n\nForgets whatever has this id." },
    { "find", rows_find, METH_O,
      "find(id, /)\n--\n\n(segment, offset) of a profile, or None." },
    { "places", rows_places, METH_O,
      "places(id, /)\n--\n\nAll (segment, offset) of an id." },
    { "list", (PyCFunction)(void (*)(void))rows_list,
      METH_VARARGS | METH_KEYWORDS,
      "list(*, sort, falling, ...)\n--\n\nA page as JSON bytes, see "
      "slowlens/rows.h." },
    { "routes", rows_routes, METH_O,
      "routes(route, /)\n--\n\nNumbers of each route and method (None), or of "
      "one route's, as JSON bytes: see slowlens/rows.h." },
    { "drop_in", rows_drop_in, METH_VARARGS,
      "drop_in(id, segment, /)\n--\n\nForgets an id in one segment only." },
    { "worst", rows_worst, METH_O,
      "worst(per_route, /)\n--\n\nThe slowest rows of each route and the "
      "latest errors, as JSON bytes." },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef getters[] = {
    { "count", rows_count, NULL, "Rows that are shown.", NULL },
    { "bytes", rows_bytes, NULL, "Memory held, in bytes.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

PyTypeObject sl_py_rows_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Rows",
    .tp_basicsize = sizeof(table),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Rows(limit=0)\n--\n\nWhat is stored, a row a profile, in at "
              "most `limit` bytes. See slowlens/rows.h.",
    .tp_new = rows_new,
    .tp_dealloc = rows_dealloc,
    .tp_methods = methods,
    .tp_getset = getters,
};
