/* Span: a context manager, also an asynchronous one. Nothing that happens here
 * reaches the application, but for wrong arguments. */
#include "types/span_type.h"
#include "look/code_map.h"
#include "run/live.h"

#include <string.h>

#define DETAIL_MAX 256
#define KEEP_ALL   3

/* One entering that has not been left. A span may be entered by several tasks
 * and threads at once: each leaves its own. */
typedef struct entry {
    sl_py_span span;
    uint64_t thread;
    const void *context; /* to be compared */
    struct entry *next;
} entry;

typedef struct {
    PyObject_HEAD PyObject *name; /* strong: str or bytes */
    PyObject *kind;               /* strong: str */
    PyObject *detail;             /* strong: dict, or NULL */
    int keep;                     /* sl_span_keep, or KEEP_ALL */
    sl_sql_dialect dialect;
    entry *entered; /* newest first */
} span_object;

/* What is awaited of `async with`: over at once. */
typedef struct {
    PyObject_HEAD PyObject *value; /* strong; NULL: given */
} ready;

static int
parse_keep(const char *word, int *out)
{
    static const char *const words[] = { "shape", "names", "host", "all" };

    for (int i = 0; i < 4; i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "keep must be 'all', 'shape', 'names' or 'host', not '%s'",
                 word);
    return -1;
}

static int
span_fill(span_object *self, PyObject *name, PyObject *kind, PyObject *detail,
          const char *keep, const char *dialect)
{
    if (!PyUnicode_Check(name) && !PyBytes_Check(name)) {
        PyErr_Format(PyExc_TypeError, "a span's name is a str, not %.100s",
                     Py_TYPE(name)->tp_name);
        return -1;
    }
    if (kind != NULL && kind != Py_None && !PyUnicode_Check(kind)) {
        PyErr_Format(PyExc_TypeError, "a span's kind is a str, not %.100s",
                     Py_TYPE(kind)->tp_name);
        return -1;
    }
    if (detail != NULL && detail != Py_None && !PyDict_Check(detail)) {
        PyErr_SetString(PyExc_TypeError, "a span's detail is a dict");
        return -1;
    }
    if (parse_keep(keep, &self->keep) < 0)
        return -1;
    self->dialect = dialect != NULL ? sl_sql_dialect_of(dialect, strlen(dialect))
                                    : SL_SQL_ANY;
    Py_XSETREF(self->name, Py_NewRef(name));
    Py_XSETREF(self->kind, kind == Py_None ? NULL : Py_XNewRef(kind));
    bool no_detail =
        detail == NULL || detail == Py_None || PyDict_GET_SIZE(detail) == 0;
    Py_XSETREF(self->detail, no_detail ? NULL : Py_NewRef(detail));
    return 0;
}

static int
span_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "name", "kind", "detail", "keep", "dialect",
                             NULL };
    PyObject *name, *kind = NULL, *detail = NULL;
    const char *keep = "all", *dialect = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO$sz:Span", names,
                                     &name, &kind, &detail, &keep, &dialect))
        return -1;
    return span_fill((span_object *)object, name, kind, detail, keep, dialect);
}

static int
span_traverse(PyObject *object, visitproc visit, void *arg)
{
    span_object *self = (span_object *)object;
    Py_VISIT(self->detail);
    return 0;
}

static int
span_clear(PyObject *object)
{
    Py_CLEAR(((span_object *)object)->detail);
    return 0;
}

static void
span_dealloc(PyObject *object)
{
    span_object *self = (span_object *)object;

    PyObject_GC_UnTrack(object);
    while (self->entered != NULL) {
        entry *e = self->entered;
        self->entered = e->next;
        sl_py_span_end(&e->span);
        PyMem_Free(e);
    }
    Py_XDECREF(self->name);
    Py_XDECREF(self->kind);
    Py_XDECREF(self->detail);
    Py_TYPE(object)->tp_free(object);
}

/* ---- what is told of it ---- */

static const char *
bytes_of(PyObject *text, size_t *len)
{
    Py_ssize_t size = 0;
    const char *bytes = NULL;

    if (text != NULL && PyUnicode_Check(text))
        bytes = PyUnicode_AsUTF8AndSize(text, &size);
    else if (text != NULL)
        bytes = PyBytes_AS_STRING(text), size = PyBytes_GET_SIZE(text);
    if (bytes == NULL)
        PyErr_Clear(); /* surrogates */
    *len = bytes != NULL ? (size_t)size : 0;
    return bytes;
}

static void
append(char *out, size_t *used, const char *bytes, size_t len)
{
    size_t room = DETAIL_MAX - *used;

    len = len < room ? len : room;
    memcpy(out + *used, bytes, len);
    *used += len;
}

/* "amount=3, currency=EUR"; of values whose text runs no code of others, else
 * of their type. Returns how long. */
static size_t
detail_text(PyObject *detail, char out[DETAIL_MAX])
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    size_t used = 0, len;

    while (detail != NULL && PyDict_Next(detail, &at, &key, &value)) {
        const char *bytes = PyUnicode_Check(key) ? bytes_of(key, &len) : NULL;
        if (bytes == NULL)
            continue;
        if (used > 0)
            append(out, &used, ", ", 2);
        append(out, &used, bytes, len);
        append(out, &used, "=", 1);
        bool plain = value == Py_None || PyBool_Check(value) ||
                     PyLong_CheckExact(value) || PyFloat_CheckExact(value);
        PyObject *text = PyUnicode_CheckExact(value) ? Py_NewRef(value)
                         : plain                     ? PyObject_Str(value)
                                                     : NULL;
        PyErr_Clear(); /* an int of very many digits */
        bytes = bytes_of(text, &len);
        if (bytes == NULL) {
            bytes = Py_TYPE(value)->tp_name;
            len = strlen(bytes);
        }
        append(out, &used, bytes, len);
        Py_XDECREF(text);
    }
    return used;
}

/* Fills *what where a request runs. That request's recording, BORROWED, or
 * NULL. No exception. */
static sl_py_recording *
span_what(const span_object *self, sl_span_what *what)
{
    char detail[DETAIL_MAX];
    size_t len, detail_len;

    *what = (sl_span_what){ .kind = SL_SPAN_CUSTOM };
    if (sl_py_live_count() == 0)
        return NULL;
    /* First: it allocates, and a finalizer may end the request. */
    detail_len = self->detail != NULL ? detail_text(self->detail, detail) : 0;
    sl_py_recording *recording = sl_py_span_here(what);
    if (recording == NULL)
        return NULL;
    const char *text = bytes_of(self->name, &len);
    what->text = text == NULL ? 0
                 : self->keep == KEEP_ALL
                     ? sl_span_word(recording->core, text, len)
                     : sl_span_kept(recording->core, (sl_span_keep)self->keep,
                                    self->dialect, text, len);
    text = self->kind != NULL ? bytes_of(self->kind, &len) : NULL;
    if (text != NULL)
        what->kind = sl_span_kind_here(recording->core, text, len);
    what->detail = sl_span_word(recording->core, detail, detail_len);
    return recording;
}

/* ---- entering and leaving ---- */

static void
span_begin(span_object *self)
{
    PyThreadState *ts = sl_py_borrow_tstate();
    sl_span_what what;
    sl_py_span span;
    sl_py_recording *recording = span_what(self, &what);

    if (recording == NULL || !sl_py_span_begin(&span, recording, &what))
        return;
    entry *e = PyMem_Malloc(sizeof(*e));
    if (e == NULL) {
        sl_py_span_end(&span);
        return;
    }
    *e = (entry){ span, ts->id, ts->context, self->entered };
    self->entered = e;
}

static void
span_end(span_object *self)
{
    PyThreadState *ts = sl_py_borrow_tstate();
    entry **at = &self->entered;

    while (*at != NULL &&
           ((*at)->thread != ts->id || (*at)->context != ts->context))
        at = &(*at)->next;
    /* Left elsewhere than entered: whose it is is clear if there is one. */
    if (*at == NULL && self->entered != NULL && self->entered->next == NULL)
        at = &self->entered;
    entry *e = *at;
    if (e == NULL)
        return;
    *at = e->next;
    sl_py_span_end(&e->span);
    PyMem_Free(e);
}

static PyObject *
span_enter(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    span_begin((span_object *)object);
    return Py_NewRef(object);
}

static PyObject *
span_exit(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    (void)args, (void)count;
    span_end((span_object *)object);
    Py_RETURN_NONE;
}

static PyTypeObject ready_type;

static PyObject *
ready_new(PyObject *value)
{
    ready *self = PyObject_New(ready, &ready_type);
    if (self != NULL)
        self->value = Py_NewRef(value);
    return (PyObject *)self;
}

static PyObject *
span_aenter(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    PyObject *awaitable = ready_new(object);
    if (awaitable != NULL)
        span_begin((span_object *)object);
    return awaitable;
}

static PyObject *
span_aexit(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    (void)args, (void)count;
    span_end((span_object *)object);
    return ready_new(Py_None);
}

static PyObject *
ready_next(PyObject *object)
{
    ready *self = (ready *)object;
    PyObject *value = self->value;

    self->value = NULL;
    if (value != NULL && value != Py_None)
        PyErr_SetObject(PyExc_StopIteration, value);
    Py_XDECREF(value);
    return NULL;
}

static void
ready_dealloc(PyObject *object)
{
    Py_XDECREF(((ready *)object)->value);
    PyObject_Free(object);
}

static PyAsyncMethods ready_async = { .am_await = PyObject_SelfIter };

static PyTypeObject ready_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Ready",
    .tp_basicsize = sizeof(ready),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = ready_dealloc,
    .tp_as_async = &ready_async,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = ready_next,
};

PyObject *
sl_py_span_add_method(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "name", "kind",    "ns", "detail",
                             "keep", "dialect", NULL };
    PyObject *name, *kind, *detail = NULL;
    const char *keep = "all", *dialect = NULL;
    unsigned long long ns;
    span_object self = { 0 };
    sl_span_what what;

    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOK|O$sz:span_add", names,
                                     &name, &kind, &ns, &detail, &keep,
                                     &dialect))
        return NULL;
    int filled = span_fill(&self, name, kind, detail, keep, dialect);
    sl_py_recording *recording = filled < 0 ? NULL : span_what(&self, &what);
    if (recording != NULL)
        sl_py_span_add(recording, &what, ns);
    Py_XDECREF(self.name);
    Py_XDECREF(self.kind);
    Py_XDECREF(self.detail);
    return filled < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef span_methods[] = {
    { "__enter__", span_enter, METH_NOARGS, "The span begins." },
    { "__exit__", (PyCFunction)(void (*)(void))span_exit, METH_FASTCALL,
      "The span ends." },
    { "__aenter__", span_aenter, METH_NOARGS, "The span begins." },
    { "__aexit__", (PyCFunction)(void (*)(void))span_aexit, METH_FASTCALL,
      "The span ends." },
    { NULL, NULL, 0, NULL },
};

PyTypeObject sl_py_span_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Span",
    .tp_doc =
        "Span(name, kind=None, detail=None, *, keep='all', dialect=None)\n"
        "--\n\n"
        "A piece of work of the request that runs here, from entering to "
        "leaving; nothing, where none runs. `keep`: what is kept of the name: "
        "'all' of it, of a query its 'shape' or its 'names', of a URL its "
        "'host'.\nTypeError, ValueError: a wrong argument.",
    .tp_basicsize = sizeof(span_object),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = span_init,
    .tp_traverse = span_traverse,
    .tp_clear = span_clear,
    .tp_dealloc = span_dealloc,
    .tp_methods = span_methods,
};

int
sl_py_span_init(void)
{
    /* They are no calls of the program. */
    sl_py_hidden_span = (sl_py_hidden){
        span_methods,
        span_methods + sizeof(span_methods) / sizeof(*span_methods)
    };
    return PyType_Ready(&ready_type) < 0 ? -1 : PyType_Ready(&sl_py_span_type);
}
