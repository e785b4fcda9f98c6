/* Seen: a request as it becomes known; adapters fill it in. */
#include "types/seen_type.h"
#include "types/upcalls.h"

#include <string.h>
#include <time.h>

#define ROUTE_MAX 500

static PyObject *empty, *unmatched; /* strong: str */

/* The first `max` characters of a str, NEW; NULL with an exception. */
static PyObject *
head_of(PyObject *text, Py_ssize_t max)
{
    return PyUnicode_GET_LENGTH(text) <= max
               ? Py_NewRef(text)
               : PyUnicode_Substring(text, 0, max);
}

sl_py_seen *
sl_py_seen_new(PyObject *method, PyObject *path)
{
    struct timespec now;
    sl_py_seen *self = PyObject_New(sl_py_seen, &sl_py_seen_type);

    if (self == NULL)
        return NULL;
    memset((char *)self + sizeof(PyObject), 0,
           sizeof(*self) - sizeof(PyObject));
    /* Whatever the clock says: it may be set to before 1970. */
    if (clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec >= 0)
        self->started_ns =
            (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (self->started_ns > INT64_MAX)
        self->started_ns = INT64_MAX;
    self->method = Py_NewRef(method);
    self->path = Py_NewRef(path);
    self->headers_ns = self->body_ns = -1;
    return self;
}

static PyObject *
seen_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "method", "path", NULL };
    PyObject *method = empty, *path = empty;

    (void)type; /* there are no subtypes */
    return PyArg_ParseTupleAndKeywords(args, kwargs, "|UU:Seen", names, &method,
                                       &path)
               ? (PyObject *)sl_py_seen_new(method, path)
               : NULL;
}

static void
seen_dealloc(PyObject *object)
{
    sl_py_seen *self = (sl_py_seen *)object;
    Py_XDECREF(self->method);
    Py_XDECREF(self->path);
    Py_XDECREF(self->route);
    Py_XDECREF(self->framework);
    Py_XDECREF(self->id);
    Py_XDECREF(self->tags);
    Py_XDECREF(self->trace);
    Py_XDECREF(self->entry);
    PyObject_Free(object);
}

/* ---- its route ---- */

static int
route_set(sl_py_seen *self, PyObject *route)
{
    PyObject *text = head_of(route, ROUTE_MAX);

    if (text == NULL)
        return -1;
    Py_XSETREF(self->route, text);
    if (self->entry != NULL)
        sl_py_entry_name(self->entry, text);
    return 0;
}

void
sl_py_seen_note_route(sl_py_seen *self, PyObject *route)
{
    if (route == NULL || self->named || !PyUnicode_Check(route))
        return;
    if (route_set(self, PyUnicode_GET_LENGTH(route) > 0 ? route : unmatched) <
        0)
        PyErr_Clear();
}

static PyObject *
seen_note_route(PyObject *object, PyObject *route)
{
    if (route != Py_None && !PyUnicode_Check(route)) {
        PyErr_SetString(PyExc_TypeError, "a route is a str, or None");
        return NULL;
    }
    sl_py_seen_note_route((sl_py_seen *)object, route);
    Py_RETURN_NONE;
}

static int
seen_set_route(PyObject *object, PyObject *route, void *closure)
{
    (void)closure;
    if (route == NULL || !PyUnicode_Check(route)) {
        PyErr_SetString(PyExc_TypeError, "a route is a str");
        return -1;
    }
    return route_set((sl_py_seen *)object, route);
}

static PyObject *
seen_name_route(PyObject *object, PyObject *route)
{
    if (seen_set_route(object, route, NULL) < 0)
        return NULL;
    ((sl_py_seen *)object)->named = PyUnicode_GET_LENGTH(route) > 0;
    Py_RETURN_NONE;
}

static PyObject *
seen_get_route(PyObject *object, void *closure)
{
    (void)closure;
    PyObject *route = ((sl_py_seen *)object)->route;
    return Py_NewRef(route != NULL ? route : empty);
}

static PyObject *
seen_get_named(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((sl_py_seen *)object)->named);
}

static PyObject *
seen_get_name(PyObject *object, void *closure)
{
    (void)closure;
    sl_py_seen *self = (sl_py_seen *)object;
    PyObject *what = sl_py_seen_has_route(self) ? self->route : self->path;
    PyObject *whole = PyUnicode_GET_LENGTH(self->method) == 0 ? Py_NewRef(what)
                      : PyUnicode_GET_LENGTH(what) == 0
                          ? Py_NewRef(self->method)
                          : PyUnicode_FromFormat("%U %U", self->method, what);
    PyObject *head = whole != NULL ? head_of(whole, ROUTE_MAX) : NULL;
    Py_XDECREF(whole);
    return head;
}

/* ---- its id ---- */

static PyObject *
seen_get_id(PyObject *object, void *closure)
{
    (void)closure;
    sl_py_seen *self = (sl_py_seen *)object;

    if (self->id != NULL)
        return Py_NewRef(self->id);
    PyObject *id = NULL;
    if (self->entry != NULL) {
        id = sl_py_entry_id(self->entry);
    } else {
        PyObject *began = PyLong_FromUnsignedLongLong(self->started_ns);
        id = began != NULL ? sl_py_upcall(SL_PY_UP_NEW_ID, &began, 1) : NULL;
        Py_XDECREF(began);
    }
    if (id == NULL)
        return NULL;
    Py_XSETREF(self->id, id); /* whoever came first, while it was made */
    return Py_NewRef(id);
}

/* ---- the rest ---- */

static PyObject *
seen_get_text(PyObject *object, void *offset)
{
    PyObject *value = *(PyObject **)(void *)((char *)object + (intptr_t)offset);
    return Py_NewRef(value != NULL ? value : empty);
}

static int
seen_set_text(PyObject *object, PyObject *value, void *offset)
{
    if (value == NULL || !PyUnicode_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "a str");
        return -1;
    }
    PyObject **at = (PyObject **)(void *)((char *)object + (intptr_t)offset);
    Py_XSETREF(*at, Py_NewRef(value));
    return 0;
}

static PyObject *
seen_get_tags(PyObject *object, void *closure)
{
    (void)closure;
    sl_py_seen *self = (sl_py_seen *)object;
    if (self->tags == NULL)
        self->tags = PyDict_New();
    return Py_XNewRef(self->tags);
}

/* A time since the begin, None: not yet. */
static PyObject *
seen_get_ns(PyObject *object, void *offset)
{
    int64_t ns = *(int64_t *)(void *)((char *)object + (intptr_t)offset);
    return ns < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(ns);
}

static int
seen_set_ns(PyObject *object, PyObject *value, void *offset)
{
    if (value == NULL || (value != Py_None && !PyLong_Check(value))) {
        PyErr_SetString(PyExc_TypeError, "nanoseconds, or None");
        return -1;
    }
    int64_t ns = value == Py_None ? -1 : PyLong_AsLongLong(value);
    if (ns == -1 && PyErr_Occurred())
        return -1;
    *(int64_t *)(void *)((char *)object + (intptr_t)offset) = ns;
    return 0;
}

#define AT(field) ((void *)offsetof(sl_py_seen, field))

static PyGetSetDef seen_getset[] = {
    { "id", seen_get_id, NULL, "The profile's id, made when first asked for.",
      NULL },
    { "route", seen_get_route, seen_set_route,
      "The route's pattern, /books/<int:pk>; \"\" until it is known.", NULL },
    { "is_named", seen_get_named, NULL,
      "Whether the app itself chose the route's name.", NULL },
    { "name", seen_get_name, NULL,
      "GET /books/<int:pk>, as far as it is known by now.", NULL },
    { "method", seen_get_text, seen_set_text, "GET, POST...", AT(method) },
    { "path", seen_get_text, seen_set_text, "The path, without its query.",
      AT(path) },
    { "framework", seen_get_text, seen_set_text, "Which one answers it.",
      AT(framework) },
    { "tags", seen_get_tags, NULL, "{name: value}", NULL },
    { "headers_ns", seen_get_ns, seen_set_ns,
      "When the headers went out, since the begin; None: not yet.",
      AT(headers_ns) },
    { "body_ns", seen_get_ns, seen_set_ns, "And the last of the body.",
      AT(body_ns) },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMemberDef seen_members[] = {
    { "started_ns", T_ULONGLONG, offsetof(sl_py_seen, started_ns), READONLY,
      "When it began, Unix nanoseconds." },
    { "status", T_INT, offsetof(sl_py_seen, status), 0,
      "Of the response; 0: none was sent." },
    { "bytes", T_LONGLONG, offsetof(sl_py_seen, bytes), 0,
      "Of the response's body, so far." },
    { "error", T_BOOL, offsetof(sl_py_seen, error), 0,
      "Whether the app raised." },
    { "trace", T_OBJECT, offsetof(sl_py_seen, trace), 0,
      "Ids of its trace and of its own span there, where something knows "
      "better than the request's headers." },
    { "entry", T_OBJECT, offsetof(sl_py_seen, entry), READONLY,
      "Its place on the board of running requests, or None." },
    { NULL, 0, 0, 0, NULL },
};

static PyMethodDef seen_methods[] = {
    { "note_route", seen_note_route, METH_O,
      "note_route(route, /)\n--\n\nWhat the framework says: a template, \"\" "
      "if none matched, None if it does not tell." },
    { "name_route", seen_name_route, METH_O,
      "name_route(route, /)\n--\n\nWhat the app itself calls this; the "
      "framework does not change it any more." },
    { NULL, NULL, 0, NULL },
};

PyTypeObject sl_py_seen_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Seen",
    .tp_doc = "Seen(method='', path='')\n--\n\nWhat becomes known of a request "
              "while its app runs; adapters fill it in.",
    .tp_basicsize = sizeof(sl_py_seen),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = seen_new,
    .tp_dealloc = seen_dealloc,
    .tp_methods = seen_methods,
    .tp_getset = seen_getset,
    .tp_members = seen_members,
};

int
sl_py_seen_init(void)
{
    empty = PyUnicode_InternFromString("");
    unmatched = PyUnicode_InternFromString("[unmatched]");
    return empty == NULL || unmatched == NULL ? -1
                                              : PyType_Ready(&sl_py_seen_type);
}
