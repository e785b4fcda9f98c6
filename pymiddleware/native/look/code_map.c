/* Code objects to origins, and to the names that go into a recording. */
#include "look/code_map.h"

#include <string.h>

#define FILES_MAX  50000
#define CHOSEN_BIT 8
#define OWN_BIT    16

sl_py_hidden sl_py_hidden_recording, sl_py_hidden_span;

/* File name -> int: origin, CHOSEN_BIT and OWN_BIT. Code objects of one file
 * share the string, whose hash is kept in it, so a look-up is cheap. */
static PyObject *files;
static PyObject *stdlib_prefixes, *library_parts, *chosen_parts, *own_prefix;
static PyObject *project_prefixes, *vendored_prefixes;

/* Asked for each frame between a request's step and its server: names that were
 * asked for lately, by address. They are held, so that no other one lies there.
 */
#define NAMES_KNOWN 64
static struct {
    PyObject *name; /* strong; NULL: free */
    bool own;
} names_known[NAMES_KNOWN];

static void
names_forget(void)
{
    for (int i = 0; i < NAMES_KNOWN; i++)
        Py_CLEAR(names_known[i].name);
}

int
sl_py_code_map_init(void)
{
    if (files == NULL)
        files = PyDict_New();
    return files == NULL ? -1 : 0;
}

int
sl_py_code_map_configure(PyObject *stdlib, PyObject *libraries,
                         PyObject *chosen, PyObject *own)
{
    PyObject *const lists[] = { stdlib, libraries, chosen };

    for (int l = 0; l < 3; l++) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(lists[l]); i++) {
            if (!PyUnicode_Check(PyTuple_GET_ITEM(lists[l], i))) {
                PyErr_SetString(PyExc_TypeError, "expected tuples of str");
                return -1;
            }
        }
    }
    Py_XSETREF(stdlib_prefixes, Py_NewRef(stdlib));
    Py_XSETREF(library_parts, Py_NewRef(libraries));
    Py_XSETREF(chosen_parts, Py_NewRef(chosen));
    Py_XSETREF(own_prefix, Py_NewRef(own));
    PyDict_Clear(files);
    names_forget();
    return 0;
}

int
sl_py_code_map_claim(PyObject *project, PyObject *vendored)
{
    PyObject *const lists[] = { project, vendored };

    for (int l = 0; l < 2; l++) {
        for (Py_ssize_t i = 0;
             lists[l] != NULL && i < PyTuple_GET_SIZE(lists[l]); i++) {
            if (!PyUnicode_Check(PyTuple_GET_ITEM(lists[l], i))) {
                PyErr_SetString(PyExc_TypeError, "expected tuples of str");
                return -1;
            }
        }
    }
    Py_XSETREF(project_prefixes, Py_XNewRef(project));
    Py_XSETREF(vendored_prefixes, Py_XNewRef(vendored));
    PyDict_Clear(files);
    names_forget();
    return 0;
}

/* Whether the file name holds (or, `start`: begins with) one of the parts. */
static bool
name_matches(PyObject *name, PyObject *parts, bool start)
{
    if (parts == NULL)
        return false;
    Py_ssize_t size = PyUnicode_GET_LENGTH(name);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(parts); i++) {
        PyObject *part = PyTuple_GET_ITEM(parts, i);
        Py_ssize_t at =
            start ? (PyUnicode_Tailmatch(name, part, 0, size, -1) > 0 ? 0 : -1)
                  : PyUnicode_Find(name, part, 0, size, 1);
        if (at >= 0)
            return true;
    }
    return false;
}

static long
file_classify(PyObject *name)
{
    long origin = SL_ORIGIN_PROJECT;

    if (name_matches(name, project_prefixes, true))
        origin = SL_ORIGIN_PROJECT;
    else if (name_matches(name, library_parts, false) ||
             name_matches(name, vendored_prefixes, true))
        origin = SL_ORIGIN_LIBRARY;
    else if (name_matches(name, stdlib_prefixes, true))
        origin = SL_ORIGIN_STDLIB;
    else if (PyUnicode_GET_LENGTH(name) > 0 &&
             PyUnicode_READ_CHAR(name, 0) == '<')
        origin = SL_ORIGIN_LIBRARY; /* made by exec: dataclasses, attrs... */
    if (origin == SL_ORIGIN_PROJECT || name_matches(name, chosen_parts, false))
        origin |= CHOSEN_BIT;
    if (own_prefix != NULL &&
        PyUnicode_Tailmatch(name, own_prefix, 0, PyUnicode_GET_LENGTH(name),
                            -1) > 0)
        origin |= SL_ORIGIN_LIBRARY | OWN_BIT;
    return origin;
}

static long
file_class(PyObject *name)
{
    PyObject *known = PyDict_GetItemWithError(files, name);

    if (known != NULL)
        return PyLong_AsLong(known);
    long value = file_classify(name);
    PyErr_Clear();
    if (PyDict_GET_SIZE(files) >= FILES_MAX)
        PyDict_Clear(files);
    known = PyLong_FromLong(value);
    if (known == NULL || PyDict_SetItem(files, name, known) < 0)
        PyErr_Clear();
    Py_XDECREF(known);
    return value;
}

sl_origin
sl_py_code_origin(PyCodeObject *code)
{
    return (sl_origin)(file_class(code->co_filename) & (CHOSEN_BIT - 1));
}

bool
sl_py_code_is_chosen(PyCodeObject *code)
{
    return (file_class(code->co_filename) & CHOSEN_BIT) != 0;
}

bool
sl_py_code_is_own(PyCodeObject *code)
{
    PyObject *name = code->co_filename;
    size_t at = ((uintptr_t)name >> 4) % NAMES_KNOWN;

    if (names_known[at].name != name) {
        names_known[at].own = (file_class(name) & OWN_BIT) != 0;
        Py_XSETREF(names_known[at].name, Py_NewRef(name));
    }
    return names_known[at].own;
}

sl_origin
sl_py_file_origin(const char *name, size_t len)
{
    PyObject *text = PyUnicode_DecodeUTF8(name, (Py_ssize_t)len, "replace");
    long origin = SL_ORIGIN_LIBRARY;

    if (text != NULL)
        origin = file_class(text) & (CHOSEN_BIT - 1);
    else
        PyErr_Clear();
    Py_XDECREF(text);
    return (sl_origin)origin;
}

PyObject *
sl_py_c_function_owner(PyObject *callable)
{
    if (PyCFunction_Check(callable)) {
        PyObject *self = ((PyCFunctionObject *)callable)->m_self;
        if (self != NULL && PyType_Check(self))
            return Py_NewRef(self);
        if (self != NULL && !PyModule_Check(self) &&
            !PyCapsule_CheckExact(self))
            return Py_NewRef((PyObject *)Py_TYPE(self));
    }
    return Py_NewRef(callable);
}

/* UTF-8 of `text`, which `keep` (a list) keeps alive if need be. */
static bool
utf8_of(PyObject *text, PyObject *keep, const char **out, size_t *len)
{
    Py_ssize_t size;

    if (!PyUnicode_Check(text))
        return false;
    *out = PyUnicode_AsUTF8AndSize(text, &size);
    if (*out == NULL) { /* lone surrogates: spell them out */
        PyErr_Clear();
        PyObject *bytes =
            PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
        if (bytes == NULL || PyList_Append(keep, bytes) < 0) {
            PyErr_Clear();
            Py_XDECREF(bytes);
            return false;
        }
        *out = PyBytes_AS_STRING(bytes);
        size = PyBytes_GET_SIZE(bytes);
        Py_DECREF(bytes); /* the list holds it */
    }
    *len = (size_t)size;
    return true;
}

static bool
describe_c(PyObject *owner, const PyMethodDef *ml, PyObject *keep,
           sl_function *out)
{
    PyObject *name;

    if (PyType_Check(owner)) {
        name = PyUnicode_FromFormat("%s.%s", ((PyTypeObject *)owner)->tp_name,
                                    ml->ml_name);
    } else if (Py_IS_TYPE(owner, &PyMethodDescr_Type)) {
        name = PyUnicode_FromFormat(
            "%s.%s", ((PyDescrObject *)owner)->d_type->tp_name, ml->ml_name);
    } else {
        PyObject *module = ((PyCFunctionObject *)owner)->m_module;
        if (module != NULL && PyUnicode_Check(module))
            name = PyUnicode_FromFormat("%U.%s", module, ml->ml_name);
        else if (module != NULL && PyModule_Check(module) &&
                 PyModule_GetName(module) != NULL)
            name = PyUnicode_FromFormat("%s.%s", PyModule_GetName(module),
                                        ml->ml_name);
        else
            name = PyUnicode_FromString(ml->ml_name);
    }
    if (name == NULL || PyList_Append(keep, name) < 0) {
        PyErr_Clear();
        Py_XDECREF(name);
        return false;
    }
    Py_DECREF(name); /* the list holds it */
    out->kind = SL_KIND_C;
    out->origin = SL_ORIGIN_BUILTIN;
    out->file = "";
    out->file_len = 0;
    out->line = 0;
    return utf8_of(name, keep, &out->name, &out->name_len);
}

bool
sl_py_describe(PyObject *object, const void *key, PyObject *keep,
               sl_function *out)
{
    if (!PyCode_Check(object))
        return describe_c(object, key, keep, out);

    PyCodeObject *code = (PyCodeObject *)object;
    out->kind = SL_KIND_PYTHON;
    out->origin = sl_py_code_origin(code);
    out->line = code->co_firstlineno > 0 ? (uint32_t)code->co_firstlineno : 0;
    return utf8_of(code->co_qualname, keep, &out->name, &out->name_len) &&
           utf8_of(code->co_filename, keep, &out->file, &out->file_len);
}
