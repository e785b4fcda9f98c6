/* Tally: a request that was not selected. It is one of its route's all the
 * same: how long it took, its status and its size are counted, nothing else.
 *
 *   server -> tally.run(app, environ, start_response)     WSGI
 *               app(environ, tally) -> TallyBody          (lists as they are)
 *   server -> await app(scope, receive, tally)            ASGI
 *   tally.finish()                                        counts, once
 *
 * A Tally stands in for start_response or send, and hands on what it is called
 * with. It costs a request two reads of the clock and some 200 ns; the app and
 * the server see what they would see without it.
 *
 * All with the GIL held. */
#include "types/tally_type.h"
#include "types/numbers_type.h"

#include "slowlens/clock.h"

#include <stddef.h>
#include <string.h>

#define ROUTE_MAX 500 /* characters, as of a request that is recorded */

typedef struct {
    PyObject_HEAD vectorcallfunc call;
    PyObject *numbers, *namer; /* strong */
    PyObject *method, *path;   /* strong: str */
    PyObject *route;           /* strong: str; NULL: nobody has said it */
    PyObject *next;            /* start_response or send; NULL: over */
    PyObject *token;           /* of the context it was entered in */
    uint64_t begun;            /* CLOCK_MONOTONIC */
    uint64_t bytes;
    int status;
    bool error, named, done;
} tally;

typedef struct {
    PyObject_HEAD tally *of;       /* strong */
    PyObject *iterable, *iterator; /* strong; NULL: closed, not begun */
} tally_body;

static PyTypeObject tally_type, body_type, sized_type;
static PyObject *current; /* context variable */

/* Interned: CPython's cache of attributes goes by the address of a name. */
enum {
    CLOSE,
    LEN,
    READ,
    FILENO,
    WRAPPER,
    TYPE,
    STATUS,
    BODY,
    START,
    UNMATCHED,
    WORDS
};
static PyObject *words[WORDS];

/* ---- its end ---- */

static void
tally_leave(tally *self)
{
    PyObject *token = self->token;

    self->token = NULL;
    if (token == NULL)
        return;
    if (PyContextVar_Reset(current, token) < 0)
        PyErr_Clear(); /* another context: a copy, which dies by itself */
    Py_DECREF(token);
}

/* Counts it. Keeps a pending exception. */
static void
tally_end(tally *self)
{
    PyObject *type, *value, *trace;

    if (self->done)
        return;
    self->done = true;
    uint64_t wall = sl_clock_monotonic_ns() - self->begun;
    PyErr_Fetch(&type, &value, &trace);
    tally_leave(self);
    int status = self->status != 0 ? self->status : self->error ? 500 : 0;
    PyObject *route = Py_XNewRef(self->route);
    if (route == NULL || self->named) {
        PyObject *code = PyLong_FromLong(status);
        PyObject *name = code == NULL
                             ? NULL
                             : PyObject_CallFunctionObjArgs(
                                   self->namer, self->path, code,
                                   route != NULL ? route : Py_None, NULL);
        Py_XDECREF(code);
        Py_XSETREF(route, name);
    }
    if (route == NULL || !PyUnicode_Check(route)) {
        PyErr_Clear();
        Py_XSETREF(route, Py_NewRef(words[UNMATCHED]));
    }
    sl_py_numbers_add_timed(self->numbers, route, self->method, wall,
                            self->error || status >= 500, self->bytes);
    Py_DECREF(route);
    Py_CLEAR(self->namer);
    PyErr_Restore(type, value, trace);
}

/* ---- what it is told on the way ---- */

static void
note_status(tally *self, PyObject *line)
{
    int status = 0;

    if (!PyUnicode_Check(line) || PyUnicode_GET_LENGTH(line) < 3)
        return;
    for (Py_ssize_t i = 0; i < 3; i++) {
        Py_UCS4 digit = PyUnicode_READ_CHAR(line, i);
        if (digit < '0' || digit > '9')
            return;
        status = status * 10 + (int)(digit - '0');
    }
    self->status = status;
}

/* A NEW reference or NULL, without an exception: messages are mappings, and a
 * dict as a rule. */
static PyObject *
item(PyObject *mapping, PyObject *key)
{
    PyObject *value;

    if (PyDict_Check(mapping))
        value = Py_XNewRef(PyDict_GetItemWithError(mapping, key));
    else
        value = PyObject_GetItem(mapping, key);
    if (value == NULL)
        PyErr_Clear();
    return value;
}

static void
note_message(tally *self, PyObject *message)
{
    PyObject *kind = item(message, words[TYPE]);

    if (kind != NULL && PyUnicode_Check(kind) &&
        PyUnicode_Compare(kind, words[START]) == 0) {
        PyObject *status = item(message, words[STATUS]);
        long value = status != NULL ? PyLong_AsLong(status) : 0;
        if (value == -1 && PyErr_Occurred())
            PyErr_Clear();
        else
            self->status = (int)value;
        Py_XDECREF(status);
    } else {
        PyObject *body = item(message, words[BODY]);
        Py_ssize_t size = body != NULL ? PyObject_Size(body) : 0;
        if (size < 0)
            PyErr_Clear();
        else
            self->bytes += (uint64_t)size;
        Py_XDECREF(body);
    }
    Py_XDECREF(kind);
}

/* start_response(status, headers[, exc_info]), or send(message). */
static PyObject *
tally_call(PyObject *object, PyObject *const *args, size_t count,
           PyObject *names)
{
    tally *self = (tally *)object;
    Py_ssize_t given = PyVectorcall_NARGS(count);

    if (self->next == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the response is over");
        return NULL;
    }
    if (given == 1 && !self->done)
        note_message(self, args[0]);
    PyObject *next = Py_NewRef(self->next);
    PyObject *result = PyObject_Vectorcall(next, args, count, names);
    Py_DECREF(next);
    if (result != NULL && given >= 2)
        note_status(self, args[0]);
    return result;
}

static PyObject *
tally_note_route(PyObject *object, PyObject *route)
{
    tally *self = (tally *)object;

    if (route != Py_None && !PyUnicode_Check(route)) {
        PyErr_SetString(PyExc_TypeError, "a route is a str");
        return NULL;
    }
    if (route == Py_None || self->named || self->done)
        Py_RETURN_NONE;
    PyObject *cut = PyUnicode_GET_LENGTH(route) == 0
                        ? Py_NewRef(words[UNMATCHED])
                        : PyUnicode_Substring(route, 0, ROUTE_MAX);
    if (cut == NULL)
        return NULL;
    Py_XSETREF(self->route, cut);
    Py_RETURN_NONE;
}

static PyObject *
tally_name_route(PyObject *object, PyObject *route)
{
    tally *self = (tally *)object;

    if (!PyUnicode_Check(route)) {
        PyErr_SetString(PyExc_TypeError, "a route is a str");
        return NULL;
    }
    if (PyUnicode_GET_LENGTH(route) == 0 || self->done)
        Py_RETURN_NONE;
    PyObject *cut = PyUnicode_Substring(route, 0, ROUTE_MAX);
    if (cut == NULL)
        return NULL;
    Py_XSETREF(self->route, cut);
    self->named = true;
    Py_RETURN_NONE;
}

static PyObject *
tally_enter(PyObject *object, PyObject *ignored)
{
    tally *self = (tally *)object;

    (void)ignored;
    if (self->token == NULL && !self->done)
        self->token = PyContextVar_Set(current, object);
    if (self->token == NULL && !self->done)
        return NULL;
    Py_RETURN_NONE;
}

/* finish(status=0, bytes=0, error=False) */
static PyObject *
tally_finish(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    tally *self = (tally *)object;

    if (count > 0 && PyLong_Check(args[0])) {
        long status = PyLong_AsLong(args[0]);
        if (status == -1 && PyErr_Occurred())
            PyErr_Clear();
        else if (status != 0)
            self->status = (int)status;
    }
    if (count > 1 && PyLong_Check(args[1])) {
        uint64_t bytes = PyLong_AsUnsignedLongLong(args[1]);
        if (bytes == (uint64_t)-1 && PyErr_Occurred())
            PyErr_Clear();
        else if (bytes != 0)
            self->bytes = bytes;
    }
    if (count > 2)
        self->error = self->error || args[2] == Py_True;
    tally_end(self);
    Py_RETURN_NONE;
}

/* ---- WSGI ---- */

static bool
has(PyObject *object, int word)
{
    PyObject *found = PyObject_GetAttr(object, words[word]);
    if (found == NULL)
        PyErr_Clear();
    Py_XDECREF(found);
    return found != NULL;
}

/* Whether the app answered with what the server's own file wrapper gave it. */
static bool
is_wrapped_file(PyObject *env, PyObject *result)
{
    PyObject *wrapper = item(env, words[WRAPPER]);
    bool is = false;

    if (wrapper == NULL)
        return false;
    if (PyType_Check(wrapper)) {
        int made = PyObject_IsInstance(result, wrapper);
        if (made < 0)
            PyErr_Clear();
        is = made > 0;
    } else if (wrapper != Py_None) { /* a function (uWSGI) gives the file */
        is = has(result, READ) && has(result, FILENO);
    }
    Py_DECREF(wrapper);
    return is;
}

static void
count_chunks(tally *self, PyObject *chunks)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(chunks);

    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *chunk = PySequence_Fast_GET_ITEM(chunks, i);
        if (PyBytes_Check(chunk))
            self->bytes += (uint64_t)PyBytes_GET_SIZE(chunk);
    }
}

static void
ask_route(tally *self, PyObject *route_of, PyObject *env, PyObject *app)
{
    if (self->route != NULL)
        return;
    PyObject *const given[] = { env, app };
    PyObject *route = PyObject_Vectorcall(route_of, given, 2, NULL);
    PyObject *noted =
        route != NULL ? tally_note_route((PyObject *)self, route) : NULL;
    if (noted == NULL)
        PyErr_Clear();
    Py_XDECREF(noted);
    Py_XDECREF(route);
}

static PyObject *
body_of(tally *self, PyObject *result)
{
    PyTypeObject *type = has(result, LEN) ? &sized_type : &body_type;
    tally_body *body = PyObject_GC_New(tally_body, type);

    if (body == NULL)
        return NULL;
    body->of = (tally *)Py_NewRef(self);
    body->iterable = Py_NewRef(result);
    body->iterator = NULL;
    PyObject_GC_Track(body);
    return (PyObject *)body;
}

/* run(app, environ, start_response, route_of): what the app gives, as the
 * server is to have it. `route_of(environ, app)` is asked where the framework
 * has said nothing. */
static PyObject *
tally_run(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    tally *self = (tally *)object;

    if (count != 4) {
        PyErr_SetString(PyExc_TypeError,
                        "run(app, environ, start_response, route_of)");
        return NULL;
    }
    Py_XSETREF(self->next, Py_NewRef(args[2]));
    self->token = PyContextVar_Set(current, object);
    if (self->token == NULL)
        PyErr_Clear();
    PyObject *const given[] = { args[1], object };
    PyObject *result = PyObject_Vectorcall(args[0], given, 2, NULL);
    tally_leave(self);
    if (result == NULL) {
        self->error = true;
        tally_end(self);
        return NULL;
    }
    ask_route(self, args[3], args[1], args[0]);
    if (PyList_Check(result) || PyTuple_Check(result)) {
        count_chunks(self, result);
        if (!has(result, CLOSE)) {
            tally_end(self);
            return result;
        }
    }
    if (is_wrapped_file(args[1], result)) {
        tally_end(self); /* the server sends the file itself */
        return result;
    }
    PyObject *body = body_of(self, result);
    if (body == NULL) { /* no memory: it is the app's own, and not counted */
        PyErr_Clear();
        return result;
    }
    Py_DECREF(result);
    return body;
}

static PyObject *
body_next(PyObject *object)
{
    tally_body *self = (tally_body *)object;

    if (self->iterator == NULL) {
        if (self->iterable == NULL)
            return NULL;
        self->iterator = PyObject_GetIter(self->iterable);
    }
    PyObject *chunk =
        self->iterator == NULL ? NULL : PyIter_Next(self->iterator);
    if (chunk == NULL) {
        if (PyErr_Occurred())
            self->of->error = true;
        return NULL;
    }
    if (!PyList_Check(self->iterable) && !PyTuple_Check(self->iterable)) {
        Py_ssize_t size = PyObject_Size(chunk);
        if (size < 0)
            PyErr_Clear();
        else
            self->of->bytes += (uint64_t)size;
    }
    return chunk;
}

/* Calls the app's close, once, as the server calls ours. */
static PyObject *
body_close(PyObject *object, PyObject *ignored)
{
    tally_body *self = (tally_body *)object;
    PyObject *iterable = self->iterable, *result = NULL;

    (void)ignored;
    if (iterable == NULL)
        Py_RETURN_NONE;
    self->iterable = NULL;
    Py_CLEAR(self->iterator);
    PyObject *close = PyObject_GetAttr(iterable, words[CLOSE]);
    if (close != NULL) {
        result = PyObject_CallNoArgs(close);
        Py_DECREF(close);
        self->of->error = self->of->error || result == NULL;
    } else if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        result = Py_NewRef(Py_None);
    }
    tally_end(self->of);
    Py_CLEAR(self->of->next); /* it leads to the server, which holds us */
    Py_DECREF(iterable);
    Py_XDECREF(result);
    return result == NULL ? NULL : Py_NewRef(Py_None);
}

static Py_ssize_t
body_len(PyObject *object)
{
    tally_body *self = (tally_body *)object;

    if (self->iterable == NULL) {
        PyErr_SetString(PyExc_TypeError, "the body is closed");
        return -1;
    }
    return PyObject_Size(self->iterable);
}

static int
body_traverse(PyObject *object, visitproc visit, void *arg)
{
    tally_body *self = (tally_body *)object;

    Py_VISIT(self->of);
    Py_VISIT(self->iterable);
    Py_VISIT(self->iterator);
    return 0;
}

static int
body_clear(PyObject *object)
{
    tally_body *self = (tally_body *)object;

    Py_CLEAR(self->iterable);
    Py_CLEAR(self->iterator);
    return 0;
}

/* A server that never closes: the app's close stays uncalled, as it would
 * without us. */
static void
body_dealloc(PyObject *object)
{
    tally_body *self = (tally_body *)object;

    PyObject_GC_UnTrack(object);
    tally_end(self->of);
    body_clear(object);
    Py_CLEAR(self->of);
    PyObject_GC_Del(object);
}

/* ---- the type ---- */

static PyObject *
tally_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *numbers, *namer, *method, *path, *next = NULL;

    if (!PyArg_ParseTuple(args, "O!OUU|O:Tally", &sl_py_numbers_type, &numbers,
                          &namer, &method, &path, &next))
        return NULL;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "Tally takes no keywords");
        return NULL;
    }
    tally *self = (tally *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->call = tally_call;
    self->numbers = Py_NewRef(numbers);
    self->namer = Py_NewRef(namer);
    self->method = Py_NewRef(method);
    self->path = Py_NewRef(path);
    self->next = Py_XNewRef(next);
    self->begun = sl_clock_monotonic_ns();
    return (PyObject *)self;
}

static int
tally_traverse(PyObject *object, visitproc visit, void *arg)
{
    tally *self = (tally *)object;

    Py_VISIT(self->numbers);
    Py_VISIT(self->namer);
    Py_VISIT(self->next);
    Py_VISIT(self->token);
    return 0;
}

static int
tally_clear(PyObject *object)
{
    tally *self = (tally *)object;

    Py_CLEAR(self->namer);
    Py_CLEAR(self->next);
    Py_CLEAR(self->token);
    return 0;
}

static void
tally_dealloc(PyObject *object)
{
    tally *self = (tally *)object;

    PyObject_GC_UnTrack(object);
    tally_clear(object);
    Py_XDECREF(self->numbers);
    Py_XDECREF(self->method);
    Py_XDECREF(self->path);
    Py_XDECREF(self->route);
    Py_TYPE(object)->tp_free(object);
}

static PyObject *
tally_get_path(PyObject *object, void *closure)
{
    (void)closure;
    return Py_NewRef(((tally *)object)->path);
}

static PyObject *
tally_get_route(PyObject *object, void *closure)
{
    const tally *self = (tally *)object;
    (void)closure;
    return Py_NewRef(self->route != NULL ? self->route : Py_None);
}

static PyGetSetDef tally_getset[] = {
    { "path", tally_get_path, NULL, "Of the request.", NULL },
    { "route", tally_get_route, NULL, "What was noted; None: nothing was.",
      NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMethodDef tally_methods[] = {
    { "run", (PyCFunction)(void (*)(void))tally_run, METH_FASTCALL,
      "run(app, environ, start_response, route_of, /)\n--\n\nA WSGI request: "
      "what the app gives, as the server is to have it. Counts it when it is "
      "over. route_of(environ, app) is asked where no framework has said." },
    { "enter", tally_enter, METH_NOARGS,
      "enter()\n--\n\nThe calling context belongs to this request until "
      "finish." },
    { "finish", (PyCFunction)(void (*)(void))tally_finish, METH_FASTCALL,
      "finish(status=0, bytes=0, error=False, /)\n--\n\nIt is over, and "
      "counted. 0: as the messages said. Idempotent." },
    { "note_route", tally_note_route, METH_O,
      "note_route(route, /)\n--\n\nWhat the framework says: a template, '' if "
      "none matched, None if it does not tell." },
    { "name_route", tally_name_route, METH_O,
      "name_route(route, /)\n--\n\nWhat the app itself calls it." },
    { NULL, NULL, 0, NULL },
};

static PyTypeObject tally_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Tally",
    .tp_doc = "Tally(numbers, namer, method, path, send=None, /)\n--\n\nA "
              "request that is counted and not recorded, from now on; called "
              "as start_response or send it hands on. `namer(path, status, "
              "name)` gives the route that no framework has said.",
    .tp_basicsize = sizeof(tally),
    .tp_flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(tally, call),
    .tp_call = PyVectorcall_Call,
    .tp_new = tally_new,
    .tp_dealloc = tally_dealloc,
    .tp_traverse = tally_traverse,
    .tp_clear = tally_clear,
    .tp_methods = tally_methods,
    .tp_getset = tally_getset,
};

static PyMethodDef body_methods[] = {
    { "close", body_close, METH_NOARGS, "close()\n--\n\nOnce." },
    { NULL, NULL, 0, NULL },
};

static PyTypeObject body_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.TallyBody",
    .tp_doc = "The app's iterable; closing it counts the request.",
    .tp_basicsize = sizeof(tally_body),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
                Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = body_dealloc,
    .tp_traverse = body_traverse,
    .tp_clear = body_clear,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = body_next,
    .tp_methods = body_methods,
};

static PySequenceMethods sized = { .sq_length = body_len };

static PyTypeObject sized_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.SizedTallyBody",
    .tp_doc = "Of an iterable that knows its length.",
    .tp_base = &body_type,
    .tp_basicsize = sizeof(tally_body),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = body_dealloc,
    .tp_traverse = body_traverse,
    .tp_clear = body_clear,
    .tp_as_sequence = &sized,
};

PyObject *
sl_py_tally_current(PyObject *module, PyObject *ignored)
{
    PyObject *found;

    (void)module, (void)ignored;
    if (PyContextVar_Get(current, Py_None, &found) < 0)
        return NULL;
    if (found != Py_None && ((tally *)found)->done) {
        Py_DECREF(found);
        Py_RETURN_NONE;
    }
    return found;
}

int
sl_py_tally_init(PyObject *module)
{
    static const char *const texts[WORDS] = {
        [CLOSE] = "close",
        [LEN] = "__len__",
        [READ] = "read",
        [FILENO] = "fileno",
        [TYPE] = "type",
        [WRAPPER] = "wsgi.file_wrapper",
        [STATUS] = "status",
        [BODY] = "body",
        [START] = "http.response.start",
        [UNMATCHED] = "[unmatched]",
    };

    if (current == NULL)
        current = PyContextVar_New("slowlens_tally", NULL);
    if (current == NULL)
        return -1;
    for (int i = 0; i < WORDS; i++) {
        if (words[i] == NULL)
            words[i] = PyUnicode_InternFromString(texts[i]);
        if (words[i] == NULL)
            return -1;
    }
    if (PyModule_AddType(module, &tally_type) < 0 ||
        PyType_Ready(&body_type) < 0 || PyType_Ready(&sized_type) < 0)
        return -1;
    return 0;
}
