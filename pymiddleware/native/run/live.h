/* live.h - the requests that run now, and the context variable that carries
 * them: child tasks, executors that copy the context, asgiref, anyio and
 * greenlets take it along by themselves.
 *
 * Everything here needs the GIL.
 */
#ifndef SL_PY_LIVE_H
#define SL_PY_LIVE_H

#include "run/recording.h"

/* 0, or -1 with an exception. */
int sl_py_live_init(void);

/* Sets the variable in the calling thread's context; NULL: to None. A NEW
 * token; NULL with an exception. */
PyObject *sl_py_live_set(sl_py_handle *handle);

/* As it was before; the token, which is given up, is of that call, in the same
 * context. Never raises. */
void sl_py_live_reset(PyObject *token);

/* The live recording of the calling thread's context, BORROWED, or NULL. Never
 * raises. */
sl_py_recording *sl_py_live_recording(void);

/* A NEW handle that points nowhere yet; NULL with an exception. */
sl_py_handle *sl_py_handle_new(void);

/* Leaves the context the main strand ran in as it was, where it is still at
 * hand: a server's thread goes on to other things. */
void sl_py_live_leave_context(sl_py_recording *recording);

/* The recording, whole and with its handle, is live from now on. */
void sl_py_live_add(sl_py_recording *recording);

/* Cuts the recording off from all contexts. Idempotent. */
void sl_py_live_remove(sl_py_recording *recording);

/* In a forked child: every live recording is the parent's. */
void sl_py_live_after_fork(void);
Py_ssize_t sl_py_live_count(void);

/* Calls `call` with each live recording; it must not end one. */
void sl_py_live_each(void (*call)(sl_py_recording *recording, const void *arg),
                     const void *arg);

#endif /* SL_PY_LIVE_H */
