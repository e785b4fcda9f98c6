/* transaction_type.h - Transaction: one request being recorded, for Python.
 *
 *   environ or scope --> Transaction --> Seen        what becomes known
 *          ^                 | |-------> Recording   what is recorded
 *          `-----------------'           (both know nothing of it, but the
 *            until it is over             recording's pointer, not owned)
 */
#ifndef SL_PY_TRANSACTION_TYPE_H
#define SL_PY_TRANSACTION_TYPE_H

#include "types/door_type.h"
#include "types/seen_type.h"
#include "types/upcalls.h"

typedef struct {
    PyObject_HEAD sl_py_door *door; /* strong */
    sl_py_seen *seen;               /* strong */
    sl_py_recording *recording;     /* strong */
    PyObject *decision;             /* strong */
    /* Strong, or NULL; dropped when it is over. */
    PyObject *incoming; /* made when it is asked for */
    PyObject *request;  /* environ or scope */
    PyObject *read;     /* what was read of that before the app changed it */
    PyObject *root;     /* what the server cut off before the path */
    PyObject *path;     /* as it came, for asking what route it is */
    PyObject *app;
    bool asgi;
    char done;
} sl_py_transaction;

extern PyTypeObject sl_py_transaction_type;

/* A NEW one whose recording runs; `decision` and `plan` are what was decided,
 * `method` and `path` str. NULL with an exception. */
sl_py_transaction *sl_py_transaction_new(sl_py_door *door, PyObject *decision,
                                         PyObject *plan, PyObject *method,
                                         PyObject *path);

/* The same for a request of which nothing odd is known: asks what is decided,
 * and tells the writer. NULL without an exception: it is not recorded, or
 * (*odd) Python has to look at it. */
sl_py_transaction *sl_py_transaction_begin(sl_py_door *door, PyObject *method,
                                           PyObject *path, bool follows,
                                           bool *odd);

/* It is over; an exception that is set stays, or gives way to one that must not
 * be held back (KeyboardInterrupt). -1: there is such a one. Idempotent. */
int sl_py_transaction_finish(sl_py_transaction *transaction);

/* The response was thrown away half-way: nothing is kept. Idempotent. */
void sl_py_transaction_abandon(sl_py_transaction *transaction);

/* The status is known and the headers go out / the body is out. */
void sl_py_transaction_headers(sl_py_transaction *transaction, int status);
void sl_py_transaction_body(sl_py_transaction *transaction);

/* Headers to add to the app's own, a NEW list; NULL: none. Never raises. */
PyObject *sl_py_transaction_more(sl_py_transaction *transaction,
                                 PyObject *root);

/* What the app calls instead of `outer`, which is its server's: start_response,
 * or send. NEW; NULL with an exception. */
typedef struct {
    PyObject_HEAD vectorcallfunc call;
    sl_py_transaction *transaction; /* strong */
    PyObject *outer;                /* strong */
} sl_py_caller;

PyObject *sl_py_caller_new(sl_py_transaction *transaction, PyObject *outer,
                           vectorcallfunc call);

/* Whether apps of this one's type tell their routes by themselves (Falcon's do,
 * so their type is asked once). */
bool sl_py_app_is_silent(sl_py_door *door, PyObject *app);

/* Asks Python what route it is, and notes it. Never raises. */
void sl_py_transaction_ask_route(sl_py_transaction *transaction, sl_py_up which,
                                 PyObject *const *args, size_t count);

/* current(): the transaction of the calling context that still runs, or None.
 */
PyObject *sl_py_current_transaction(PyObject *module, PyObject *ignored);

/* 0, or -1 with an exception. */
int sl_py_transaction_init(void);

#endif /* SL_PY_TRANSACTION_TYPE_H */
