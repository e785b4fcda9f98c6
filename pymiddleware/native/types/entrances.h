/* entrances.h - how a server's call becomes a transaction: WSGI and ASGI.
 *
 *   door, app, what the server calls with
 *     `-- nothing odd about it: a Transaction around the app, all in C
 *     `-- else its middleware's look_closer() is called: Python decides
 *
 * Module functions. They raise what the app raises, and nothing of ours.
 */
#ifndef SL_PY_ENTRANCES_H
#define SL_PY_ENTRANCES_H

#include "types/transaction_type.h"

/* wsgi_enter(door, app, environ, start_response, middleware) */
PyObject *sl_py_wsgi_enter(PyObject *module, PyObject *const *args,
                           Py_ssize_t count);
/* wsgi_run(transaction, app, environ, start_response): one that Python made. */
PyObject *sl_py_wsgi_run(PyObject *module, PyObject *const *args,
                         Py_ssize_t count);

/* asgi_enter(door, app, scope, receive, send, middleware): an awaitable. */
PyObject *sl_py_asgi_enter(PyObject *module, PyObject *const *args,
                           Py_ssize_t count);
/* asgi_run(transaction, app, scope, receive, send): an awaitable. */
PyObject *sl_py_asgi_run(PyObject *module, PyObject *const *args,
                         Py_ssize_t count);

/* 0, or -1 with an exception. */
int sl_py_wsgi_init(void);
int sl_py_asgi_init(void);

#endif /* SL_PY_ENTRANCES_H */
