/* What the package above has registered: see upcalls.h. */
#include "types/upcalls.h"
#include "engine/current.h"

#include <string.h>

static const char *const names[SL_PY_UP_COUNT] = {
    [SL_PY_UP_NEW_ID] = "new_id",
    [SL_PY_UP_WSGI_INCOMING] = "wsgi_incoming",
    [SL_PY_UP_ASGI_INCOMING] = "asgi_incoming",
    [SL_PY_UP_WSGI_ROUTE] = "wsgi_route",
    [SL_PY_UP_ASGI_ROUTE] = "asgi_route",
    [SL_PY_UP_WSGI_BODY] = "wsgi_body",
    [SL_PY_UP_ASGI_HEADERS] = "asgi_headers",
};

static PyObject *functions[SL_PY_UP_COUNT]; /* strong; NULL: none yet */

PyObject *
sl_py_upcalls(PyObject *module, PyObject *args, PyObject *kwargs)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;

    (void)module;
    if (PyTuple_GET_SIZE(args) != 0 || kwargs == NULL) {
        PyErr_SetString(PyExc_TypeError, "upcalls(name=function)");
        return NULL;
    }
    while (PyDict_Next(kwargs, &at, &key, &value)) {
        int which = 0;
        while (which < SL_PY_UP_COUNT &&
               PyUnicode_CompareWithASCIIString(key, names[which]) != 0)
            which++;
        if (which == SL_PY_UP_COUNT || !PyCallable_Check(value)) {
            PyErr_Format(PyExc_ValueError, "no such call: %U", key);
            return NULL;
        }
        Py_XSETREF(functions[which], Py_NewRef(value));
    }
    Py_RETURN_NONE;
}

PyObject *
sl_py_upcall(sl_py_up which, PyObject *const *args, size_t count)
{
    if (functions[which] == NULL) {
        PyErr_Format(PyExc_RuntimeError, "nobody registered %s", names[which]);
        return NULL;
    }
    sl_py_active_pause();
    PyObject *result = PyObject_Vectorcall(functions[which], args, count, NULL);
    sl_py_active_forget();
    return result;
}
