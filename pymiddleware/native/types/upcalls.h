/* upcalls.h - what a request in C asks of the Python above it: functions that
 * the package registers when it is imported. */
#ifndef SL_PY_UPCALLS_H
#define SL_PY_UPCALLS_H

#include "compat/py_compat.h"

typedef enum {
    SL_PY_UP_NEW_ID,        /* (Unix ns) -> str */
    SL_PY_UP_WSGI_INCOMING, /* (environ, what was read of it) -> Incoming */
    SL_PY_UP_ASGI_INCOMING, /* (scope, what was read of it) -> Incoming */
    SL_PY_UP_WSGI_ROUTE,    /* (environ, app) -> str or None */
    SL_PY_UP_ASGI_ROUTE,    /* (scope, path, root, app) -> str or None */
    SL_PY_UP_WSGI_BODY,     /* (transaction, result, environ) -> result */
    SL_PY_UP_ASGI_HEADERS,  /* (message, more) -> message */
    SL_PY_UP_COUNT,
} sl_py_up;

/* upcalls(names to functions as keywords): module function. */
PyObject *sl_py_upcalls(PyObject *module, PyObject *args, PyObject *kwargs);

/* Calls it; NULL with an exception, also where nobody registered. */
PyObject *sl_py_upcall(sl_py_up which, PyObject *const *args, size_t count);

#endif /* SL_PY_UPCALLS_H */
