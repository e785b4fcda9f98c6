/* A request by WSGI (PEP 3333): what was read of its environ decides whether C
 * alone can see to it; the app runs in a section; a list is answered at once.
 */
#include "run/sections.h"
#include "types/entrances.h"
#include "types/values.h"

static PyObject *s_key, *s_path, *s_query, *s_method, *s_host, *s_remote,
    *s_scheme, *s_https, *s_protocol, *s_asked, *s_asks, *s_script, *s_bottle,
    *s_close, *s_look, *s_pass, *s_empty, *s_slash;

/* ---- start_response ---- */

/* 200 of "200 OK"; 0: no number is there. */
static int
status_of(PyObject *status)
{
    int number = 0, i = 0;

    if (!PyUnicode_Check(status) || !PyUnicode_IS_COMPACT_ASCII(status))
        return 0;
    const char *text = (const char *)PyUnicode_1BYTE_DATA(status);
    for (; i < 3 && text[i] != '\0'; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        number = number * 10 + text[i] - '0';
    }
    return number;
}

/* `headers` and `more` in a NEW list; NULL with an exception: the app's own
 * mistake, which the server will find as well. */
static PyObject *
with_more(PyObject *headers, PyObject *more)
{
    PyObject *list = PySequence_List(headers);
    if (list != NULL && PyList_SetSlice(list, PyList_GET_SIZE(list),
                                        PyList_GET_SIZE(list), more) < 0)
        Py_CLEAR(list);
    return list;
}

/* start_response(status, headers, exc_info=None), around the server's. */
static PyObject *
start(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *names)
{
    enum { MOST = 3 };
    sl_py_caller *self = (sl_py_caller *)object;
    sl_py_transaction *transaction = self->transaction;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    Py_ssize_t all = count + (names != NULL ? PyTuple_GET_SIZE(names) : 0);
    PyObject *given[MOST], *headers = NULL;

    if (count >= 2 && all <= MOST) {
        PyObject *more = sl_py_transaction_more(transaction, transaction->root);
        if (more != NULL) {
            headers = with_more(args[1], more);
            Py_DECREF(more);
            if (headers == NULL)
                PyErr_Clear(); /* the server tells what is wrong with them */
        }
        for (Py_ssize_t i = 0; i < all; i++)
            given[i] = args[i];
        if (headers != NULL)
            given[1] = headers;
        args = given;
    }
    PyObject *write =
        PyObject_Vectorcall(self->outer, args, (size_t)count, names);
    if (write != NULL && count > 0)
        sl_py_transaction_headers(transaction, status_of(args[0]));
    Py_XDECREF(headers);
    return write;
}

/* ---- running the app ---- */

/* What the framework left in the environ. */
static void
note_route(sl_py_transaction *self, PyObject *env, PyObject *app)
{
    bool told = sl_py_app_is_silent(self->door, app) &&
                PyDict_CheckExact(env) && PyDict_Contains(env, s_bottle) == 0;

    if (told || sl_py_seen_has_route(self->seen))
        return;
    PyObject *args[] = { env, app };
    sl_py_transaction_ask_route(self, SL_PY_UP_WSGI_ROUTE, args, 2);
}

/* Whether a body is a list or a tuple, and no more than that; then its size. */
static bool
is_plain_body(PyObject *result, long long *bytes)
{
    long long sum = 0;

    if (!PyList_Check(result) && !PyTuple_Check(result))
        return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(result); i++) {
        PyObject *chunk = PySequence_Fast_GET_ITEM(result, i);
        sum += PyBytes_Check(chunk) ? PyBytes_GET_SIZE(chunk) : 0;
    }
    *bytes = sum;
    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return true;
    PyObject *close = PyObject_GetAttr(result, s_close);
    bool plain = close == NULL;
    PyErr_Clear();
    Py_XDECREF(close);
    return plain;
}

/* The result for the server, which is given away. */
static PyObject *
answer(sl_py_transaction *self, PyObject *result, PyObject *env)
{
    long long bytes = 0;
    bool plain = is_plain_body(result, &bytes);

    self->seen->bytes = bytes;
    if (!plain) {
        PyObject *args[] = { (PyObject *)self, result, env };
        PyObject *body = sl_py_upcall(SL_PY_UP_WSGI_BODY, args, 3);
        if (body != NULL) {
            Py_DECREF(result);
            return body;
        }
        PyErr_Clear(); /* the app's own goes out, without a profile */
        sl_py_transaction_abandon(self);
        return result;
    }
    if (sl_py_transaction_finish(self) < 0)
        Py_CLEAR(result);
    return result;
}

static PyObject *
run(sl_py_transaction *self, PyObject *app, PyObject *env,
    PyObject *start_response)
{
    PyObject *call[] = { env, NULL };

    if (PyObject_SetItem(env, s_key, (PyObject *)self) == 0)
        call[1] = sl_py_caller_new(self, start_response, start);
    if (call[1] == NULL ||
        sl_py_section_begin(self->recording, SL_PSEUDO_IDLE, 0) < 0) {
        PyErr_Clear();
        Py_XDECREF(call[1]);
        sl_py_transaction_abandon(self);
        call[1] = start_response;
        return PyObject_Vectorcall(app, call, 2, NULL);
    }
    PyObject *result = PyObject_Vectorcall(app, call, 2, NULL);
    Py_DECREF(call[1]);
    if (result == NULL) {
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        self->seen->error = 1;
        sl_py_recording_leave(self->recording);
        PyErr_Restore(type, error, traceback);
        (void)sl_py_transaction_finish(self);
        return NULL;
    }
    sl_py_recording_leave(self->recording);
    note_route(self, env, app);
    return answer(self, result, env);
}

/* What the server cut off before the path, as text: in an environ that is bytes
 * disguised as latin-1. NEW, or NULL: nothing. */
static PyObject *
root_of(PyObject *env)
{
    PyObject *root =
        PyDict_CheckExact(env) ? PyDict_GetItemWithError(env, s_script) : NULL;
    PyObject *text = NULL;

    if (root != NULL && PyUnicode_Check(root)) {
        PyObject *bytes =
            PyUnicode_IS_ASCII(root)
                ? NULL
                : PyUnicode_AsEncodedString(root, "latin-1", "replace");
        text = bytes == NULL
                   ? Py_NewRef(root)
                   : PyUnicode_DecodeUTF8(PyBytes_AS_STRING(bytes),
                                          PyBytes_GET_SIZE(bytes), "replace");
        Py_XDECREF(bytes);
    }
    PyErr_Clear();
    return text;
}

PyObject *
sl_py_wsgi_run(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 4 || !Py_IS_TYPE(args[0], &sl_py_transaction_type)) {
        PyErr_SetString(PyExc_TypeError,
                        "wsgi_run(transaction, app, environ, start_response)");
        return NULL;
    }
    sl_py_transaction *self = (sl_py_transaction *)args[0];
    if (self->root == NULL)
        self->root = root_of(args[2]);
    return run(self, args[1], args[2], args[3]);
}

/* ---- reading the environ ---- */

typedef struct {
    PyObject *method, *path, *query, *host, *remote, *protocol; /* borrowed */
    bool secure;
} what;

/* A str of the environ, BORROWED; "" where there is none. NULL: it is odd. */
static PyObject *
text_of(PyObject *env, PyObject *name)
{
    PyObject *value = PyDict_GetItemWithError(env, name);
    if (value == NULL)
        return PyErr_Occurred() ? NULL : s_empty;
    return PyUnicode_CheckExact(value) ? value : NULL;
}

/* Whether nothing about it is odd: no trigger, not the viewer's, all as PEP
 * 3333 has it, and ASCII. */
static bool
read_environ(const sl_py_door *door, PyObject *env, what *out)
{
    out->method = text_of(env, s_method);
    out->path = text_of(env, s_path);
    out->query = text_of(env, s_query);
    out->host = text_of(env, s_host);
    out->remote = text_of(env, s_remote);
    out->protocol = text_of(env, s_protocol);
    PyObject *scheme = text_of(env, s_scheme);
    if (out->method == NULL || out->path == NULL || out->query == NULL ||
        out->host == NULL || out->remote == NULL || out->protocol == NULL ||
        scheme == NULL || !PyUnicode_IS_COMPACT_ASCII(out->path))
        return false;
    out->secure = PyUnicode_Compare(scheme, s_https) == 0;
    if (PyUnicode_GET_LENGTH(out->path) == 0)
        out->path = s_slash;
    return sl_py_door_passes(door, out->path) &&
           PyDict_Contains(env, s_asked) == 0 &&
           (PyUnicode_GET_LENGTH(out->query) == 0 ||
            PyUnicode_Find(out->query, s_asks, 0, 2000, 1) == -1);
}

/* What is odd, the middleware looks at, and at what is not recorded; `args` are
 * those of wsgi_enter. */
static PyObject *
hand_on(PyObject *const *args, bool odd, PyObject *method, PyObject *path)
{
    if (odd) {
        PyObject *call[] = { args[4], args[2], args[3] };
        return PyObject_VectorcallMethod(s_look, call, 3, NULL);
    }
    PyObject *call[] = { args[4], method, path, args[2], args[3] };
    return PyObject_VectorcallMethod(s_pass, call, 5, NULL);
}

PyObject *
sl_py_wsgi_enter(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 5 || !PyObject_TypeCheck(args[0], &sl_py_door_type)) {
        PyErr_SetString(
            PyExc_TypeError,
            "wsgi_enter(door, app, environ, start_response, middleware)");
        return NULL;
    }
    sl_py_door *door = (sl_py_door *)args[0];
    PyObject *app = args[1], *env = args[2];
    sl_py_transaction *self = NULL;
    bool odd = true;
    what read = { .path = NULL };

    if (PyDict_CheckExact(env)) {
        int inner = door->enabled ? PyDict_Contains(env, s_key) : 1;
        if (inner > 0)
            return PyObject_Vectorcall(app, &args[2], 2, NULL);
        if (inner == 0 && door->plain && read_environ(door, env, &read))
            self = sl_py_transaction_begin(door,
                                           sl_py_door_method(door, read.method),
                                           read.path, false, &odd);
        PyErr_Clear();
    }
    if (self == NULL)
        return hand_on(args, odd,
                       odd ? NULL : sl_py_door_method(door, read.method),
                       odd ? NULL : read.path);
    self->request = Py_NewRef(env);
    self->read = PyTuple_Pack(7, self->seen->method, read.path, read.query,
                              read.host, read.remote,
                              read.secure ? Py_True : Py_False, read.protocol);
    self->root = root_of(env);
    PyErr_Clear();
    PyObject *result = run(self, app, env, args[3]);
    Py_DECREF((PyObject *)self);
    return result;
}

int
sl_py_wsgi_init(void)
{
    static const sl_py_word names[] = {
        { &s_key, "slowlens.transaction" },
        { &s_path, "PATH_INFO" },
        { &s_query, "QUERY_STRING" },
        { &s_method, "REQUEST_METHOD" },
        { &s_host, "HTTP_HOST" },
        { &s_remote, "REMOTE_ADDR" },
        { &s_scheme, "wsgi.url_scheme" },
        { &s_https, "https" },
        { &s_protocol, "SERVER_PROTOCOL" },
        { &s_asked, "HTTP_X_SLOWLENS" },
        { &s_asks, "slowlens=" },
        { &s_script, "SCRIPT_NAME" },
        { &s_bottle, "bottle.app" },
        { &s_close, "close" },
        { &s_look, "look_closer" },
        { &s_pass, "pass_by" },
        { &s_empty, "" },
        { &s_slash, "/" },
    };

    return sl_py_words(names, sizeof(names) / sizeof(names[0]));
}
