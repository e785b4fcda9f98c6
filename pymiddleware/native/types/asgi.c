/* A request by ASGI 3: as in wsgi.c; the app is awaited in a step, whose end is
 * the transaction's. */
#include "engine/current.h"
#include "run/step.h"
#include "types/entrances.h"
#include "types/values.h"

#include <string.h>

static PyObject *s_key, *s_type, *s_http, *s_path, *s_root, *s_query, *s_method,
    *s_headers, *s_client, *s_scheme, *s_https, *s_version, *s_look, *s_pass,
    *s_start, *s_body, *s_zerocopy, *s_pathsend, *s_status, *s_body_of, *s_more,
    *s_template, *s_route, *s_endpoint, *s_router, *s_app, *s_empty, *s_slash,
    *s_nothing, *s_any_path;

/* A value of a message or scope, BORROWED: exact dicts only; NULL: none. */
static PyObject *
item(PyObject *dict, PyObject *name)
{
    PyObject *value = PyDict_GetItemWithError(dict, name);
    if (value == NULL)
        PyErr_Clear();
    return value;
}

static bool
is(PyObject *text, PyObject *word)
{
    return text == word ||
           (PyUnicode_Check(text) && PyUnicode_Compare(text, word) == 0);
}

/* ---- send ---- */

/* The message with headers of ours, NEW; NULL: as it is. */
static PyObject *
with_more(sl_py_transaction *self, PyObject *message)
{
    PyObject *more = sl_py_transaction_more(self, self->root);
    if (more == NULL)
        return NULL;
    PyObject *args[] = { message, more };
    PyObject *made = sl_py_upcall(SL_PY_UP_ASGI_HEADERS, args, 2);
    PyErr_Clear();
    Py_DECREF(more);
    return made;
}

static void
note_body(sl_py_transaction *self, PyObject *message)
{
    PyObject *body = item(message, s_body_of), *more = item(message, s_more);
    Py_ssize_t size = body == NULL          ? 0
                      : PyBytes_Check(body) ? PyBytes_GET_SIZE(body)
                                            : PyObject_Size(body);
    int goes_on = more == NULL ? 0 : PyObject_IsTrue(more);

    PyErr_Clear();
    self->seen->bytes += size > 0 ? size : 0;
    if (goes_on == 0)
        sl_py_transaction_body(self);
}

/* send(message), around the server's. */
static PyObject *
send(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *names)
{
    sl_py_caller *self = (sl_py_caller *)object;
    sl_py_transaction *transaction = self->transaction;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    PyObject *made = NULL, *plain = NULL;

    if (count == 1 && !transaction->done) {
        /* It may be any mapping; what is looked at is a dict. */
        plain = PyDict_CheckExact(args[0])
                    ? Py_NewRef(args[0])
                    : PyObject_CallOneArg((PyObject *)&PyDict_Type, args[0]);
        PyErr_Clear();
    }
    PyObject *kind = plain != NULL ? item(plain, s_type) : NULL;
    if (kind != NULL && is(kind, s_start)) {
        PyObject *status = item(plain, s_status);
        long number =
            status != NULL && PyLong_Check(status) ? PyLong_AsLong(status) : 0;
        PyErr_Clear();
        sl_py_transaction_headers(
            transaction, number < 0 || number > 999999 ? 0 : (int)number);
        made = with_more(transaction, plain);
    } else if (kind != NULL && (is(kind, s_body) || is(kind, s_zerocopy) ||
                                is(kind, s_pathsend))) {
        note_body(transaction, plain);
    }
    PyObject *sent =
        made != NULL ? PyObject_CallOneArg(self->outer, made)
                     : PyObject_Vectorcall(self->outer, args, nargsf, names);
    Py_XDECREF(made);
    Py_XDECREF(plain);
    return sent;
}

/* ---- running the app ---- */

/* Whether no framework left a word of its routes in the scope. */
static bool
says_nothing(PyObject *scope)
{
    return PyDict_CheckExact(scope) && item(scope, s_template) == NULL &&
           item(scope, s_route) == NULL && item(scope, s_endpoint) == NULL &&
           item(scope, s_router) == NULL && item(scope, s_app) == NULL;
}

/* Starlette's and FastAPI's template, where nothing was taken off the path
 * before it, NEW; NULL (no exception): it has to be asked for
 * (slowlens.routes.asgi_route, of which this is the usual case). */
static PyObject *
plain_route(const sl_py_transaction *self)
{
    PyObject *scope = self->request, *route;

    if (!PyDict_CheckExact(scope) || !PyUnicode_Check(self->path) ||
        item(scope, s_template) != NULL ||
        (route = item(scope, s_route)) == NULL)
        return NULL;
    sl_py_active_pause();
    Py_INCREF(route); /* what it runs may take it out of the scope */
    PyObject *own = PyObject_GetAttr(route, s_path);
    Py_DECREF(route);
    sl_py_active_forget();
    if (own == NULL || !PyUnicode_CheckExact(own) ||
        PyUnicode_GET_LENGTH(own) == 0 ||
        PyUnicode_Count(own, s_slash, 0, PY_SSIZE_T_MAX) !=
            PyUnicode_Count(self->path, s_slash, 0, PY_SSIZE_T_MAX) ||
        PyUnicode_Find(own, s_any_path, 0, PY_SSIZE_T_MAX, 1) != -1)
        Py_CLEAR(own);
    PyErr_Clear();
    return own;
}

static void
note_route(sl_py_transaction *self)
{
    if (self->request == NULL || self->app == NULL ||
        sl_py_seen_has_route(self->seen) ||
        (says_nothing(self->request) &&
         sl_py_app_is_silent(self->door, self->app)))
        return;
    PyObject *plain = plain_route(self);
    if (plain != NULL) {
        sl_py_seen_note_route(self->seen, plain);
        Py_DECREF(plain);
        return;
    }
    PyObject *args[] = { self->request, self->path,
                         self->root != NULL ? self->root : s_empty, self->app };
    sl_py_transaction_ask_route(self, SL_PY_UP_ASGI_ROUTE, args, 4);
}

/* The app's coroutine has ended. */
static void
over(PyObject *owner, bool error)
{
    sl_py_transaction *self = (sl_py_transaction *)owner;
    PyObject *type, *value, *traceback;

    if (self->done || self->seen == NULL)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (error)
        self->seen->error = 1;
    note_route(self);
    if (sl_py_transaction_finish(self) < 0) {
        bool interrupted = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
        PyErr_WriteUnraisable(owner);
        if (interrupted)
            PyErr_SetInterrupt(); /* the app is told at its next step */
    }
    PyErr_Restore(type, value, traceback);
}

static PyObject *
run(sl_py_transaction *self, PyObject *app, PyObject *scope, PyObject *receive,
    PyObject *outer)
{
    PyObject *call[] = { scope, receive, NULL };

    if (self->request == NULL)
        self->request = Py_NewRef(scope);
    if (self->app == NULL)
        self->app = Py_NewRef(app);
    self->asgi = true;
    if (PyObject_SetItem(scope, s_key, (PyObject *)self) == 0)
        call[2] = sl_py_caller_new(self, outer, send);
    if (call[2] == NULL) {
        PyErr_Clear();
        sl_py_transaction_abandon(self);
        call[2] = outer;
        return PyObject_Vectorcall(app, call, 3, NULL);
    }
    PyObject *coroutine = PyObject_Vectorcall(app, call, 3, NULL);
    Py_DECREF(call[2]);
    if (coroutine == NULL) {
        over((PyObject *)self, true);
        return NULL;
    }
    PyObject *step =
        sl_py_step_of(self->recording, coroutine, (PyObject *)self, over);
    if (step == NULL) {
        PyErr_Clear();
        sl_py_transaction_abandon(self);
        return coroutine;
    }
    Py_DECREF(coroutine);
    return step;
}

PyObject *
sl_py_asgi_run(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 5 || !Py_IS_TYPE(args[0], &sl_py_transaction_type)) {
        PyErr_SetString(PyExc_TypeError,
                        "asgi_run(transaction, app, scope, receive, send)");
        return NULL;
    }
    sl_py_transaction *self = (sl_py_transaction *)args[0];
    if (self->root == NULL && PyDict_CheckExact(args[2]))
        self->root = Py_XNewRef(item(args[2], s_root));
    return run(self, args[1], args[2], args[3], args[4]);
}

/* ---- reading the scope ---- */

typedef struct {
    PyObject *method, *query, *client, *version, *root; /* borrowed */
    PyObject *path;                                     /* strong */
    PyObject *host;                                     /* borrowed, bytes */
    bool secure;
} what;

static bool
is_name(PyObject *bytes, const char *name, Py_ssize_t len)
{
    return PyBytes_GET_SIZE(bytes) == len &&
           memcmp(PyBytes_AS_STRING(bytes), name, (size_t)len) == 0;
}

/* Whether the headers ask nothing of us; *host: the one there is, or b"". */
static bool
read_headers(PyObject *headers, PyObject **host)
{
    *host = NULL;
    if (headers == NULL)
        return true;
    if (!PyList_CheckExact(headers) && !PyTuple_CheckExact(headers))
        return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(headers); i++) {
        PyObject *pair = PySequence_Fast_GET_ITEM(headers, i);
        if ((!PyTuple_CheckExact(pair) && !PyList_CheckExact(pair)) ||
            PySequence_Fast_GET_SIZE(pair) != 2)
            return false;
        PyObject *name = PySequence_Fast_GET_ITEM(pair, 0);
        PyObject *value = PySequence_Fast_GET_ITEM(pair, 1);
        if (!PyBytes_CheckExact(name) || !PyBytes_CheckExact(value) ||
            is_name(name, "x-slowlens", 10))
            return false;
        if (is_name(name, "host", 4)) {
            if (*host != NULL)
                return false; /* several: Python joins them */
            *host = value;
        }
    }
    return true;
}

static bool
has_asked(PyObject *query)
{
    static const char word[] = "slowlens=";
    const char *text = PyBytes_AS_STRING(query);
    Py_ssize_t size = PyBytes_GET_SIZE(query);

    for (Py_ssize_t i = 0; i + (Py_ssize_t)sizeof(word) - 1 <= size; i++) {
        if (text[i] == 's' && memcmp(text + i, word, sizeof(word) - 1) == 0)
            return true;
    }
    return false;
}

/* The path below `root`, as Starlette sees it: a NEW str; NULL: it is odd. */
static PyObject *
path_below(PyObject *path, PyObject *root)
{
    Py_ssize_t whole = PyUnicode_GET_LENGTH(path);
    Py_ssize_t cut = PyUnicode_GET_LENGTH(root);

    if (whole == 0)
        return Py_NewRef(s_slash);
    if (cut == 0 || whole <= cut || PyUnicode_READ_CHAR(path, cut) != '/' ||
        PyUnicode_Tailmatch(path, root, 0, PY_SSIZE_T_MAX, -1) != 1)
        return Py_NewRef(path);
    return PyUnicode_Substring(path, cut, whole);
}

static PyObject *
text_of(PyObject *scope, PyObject *name)
{
    PyObject *value = item(scope, name);
    return value == NULL ? s_empty : PyUnicode_CheckExact(value) ? value : NULL;
}

static bool
read_scope(const sl_py_door *door, PyObject *scope, what *out)
{
    PyObject *query = item(scope, s_query), *scheme = text_of(scope, s_scheme);
    PyObject *path = text_of(scope, s_path);

    out->path = NULL;
    out->method = text_of(scope, s_method);
    out->version = text_of(scope, s_version);
    out->root = text_of(scope, s_root);
    out->query = query != NULL ? query : s_nothing;
    PyObject *client = item(scope, s_client);
    out->client = client != NULL ? client : Py_None;
    if (path == NULL || scheme == NULL || out->method == NULL ||
        out->version == NULL || out->root == NULL ||
        !PyBytes_CheckExact(out->query) || has_asked(out->query) ||
        !read_headers(item(scope, s_headers), &out->host))
        return false;
    out->secure = is(scheme, s_https);
    out->path = path_below(path, out->root);
    if (out->path == NULL)
        PyErr_Clear();
    return out->path != NULL && sl_py_door_passes(door, out->path);
}

/* What is odd, the middleware looks at, and at what is not recorded; `args` are
 * those of asgi_enter. */
static PyObject *
hand_on(PyObject *const *args, bool odd, PyObject *method, PyObject *path)
{
    if (odd) {
        PyObject *call[] = { args[5], args[2], args[3], args[4] };
        return PyObject_VectorcallMethod(s_look, call, 4, NULL);
    }
    PyObject *call[] = { args[5], method, path, args[2], args[3], args[4] };
    return PyObject_VectorcallMethod(s_pass, call, 6, NULL);
}

PyObject *
sl_py_asgi_enter(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 6 || !PyObject_TypeCheck(args[0], &sl_py_door_type)) {
        PyErr_SetString(
            PyExc_TypeError,
            "asgi_enter(door, app, scope, receive, send, middleware)");
        return NULL;
    }
    sl_py_door *door = (sl_py_door *)args[0];
    PyObject *app = args[1], *scope = args[2];
    sl_py_transaction *self = NULL;
    bool odd = true;
    what read = { .path = NULL };

    PyObject *kind = PyDict_CheckExact(scope) ? item(scope, s_type) : NULL;
    if (kind != NULL && is(kind, s_http)) {
        if (!door->enabled || item(scope, s_key) != NULL)
            return PyObject_Vectorcall(app, &args[2], 3, NULL);
        if (door->plain && read_scope(door, scope, &read))
            self = sl_py_transaction_begin(door,
                                           sl_py_door_method(door, read.method),
                                           read.path, true, &odd);
    }
    if (self == NULL) {
        PyObject *method = odd ? NULL : sl_py_door_method(door, read.method);
        PyObject *made = hand_on(args, odd, method, read.path);
        Py_XDECREF(read.path);
        return made;
    }
    self->request = Py_NewRef(scope);
    self->read =
        PyTuple_Pack(7, self->seen->method, read.path, read.query,
                     read.host != NULL ? read.host : s_nothing, read.client,
                     read.secure ? Py_True : Py_False, read.version);
    self->root = Py_NewRef(read.root);
    Py_DECREF(read.path);
    PyErr_Clear();
    PyObject *step = run(self, app, scope, args[3], args[4]);
    Py_DECREF((PyObject *)self);
    return step;
}

int
sl_py_asgi_init(void)
{
    static const sl_py_word names[] = {
        { &s_key, "slowlens.transaction" },
        { &s_type, "type" },
        { &s_http, "http" },
        { &s_path, "path" },
        { &s_root, "root_path" },
        { &s_query, "query_string" },
        { &s_method, "method" },
        { &s_headers, "headers" },
        { &s_client, "client" },
        { &s_scheme, "scheme" },
        { &s_https, "https" },
        { &s_version, "http_version" },
        { &s_start, "http.response.start" },
        { &s_body, "http.response.body" },
        { &s_zerocopy, "http.response.zerocopysend" },
        { &s_pathsend, "http.response.pathsend" },
        { &s_status, "status" },
        { &s_body_of, "body" },
        { &s_more, "more_body" },
        { &s_template, "path_template" },
        { &s_route, "route" },
        { &s_endpoint, "endpoint" },
        { &s_router, "router" },
        { &s_app, "app" },
        { &s_look, "look_closer" },
        { &s_pass, "pass_by" },
        { &s_empty, "" },
        { &s_slash, "/" },
        { &s_any_path, ":path}" },
    };

    if (sl_py_words(names, sizeof(names) / sizeof(names[0])) < 0)
        return -1;
    s_nothing = PyBytes_FromStringAndSize("", 0);
    return s_nothing != NULL ? 0 : -1;
}
