/* active.h - which request runs here.
 *
 * Everything here needs the GIL.
 */
#ifndef SL_PY_ACTIVE_H
#define SL_PY_ACTIVE_H

#include "run/recording.h"

/* From now on events know which request runs here. */
void sl_py_active_init(void);

/* The recording that the code which runs in the calling thread belongs to,
 * BORROWED, or NULL; *strand: where its events go, NULL if it is sampled.
 * Never raises. */
sl_py_recording *sl_py_active_owner(sl_strand **strand);

/* The same of the thread `ts`, which calls, as it was found last if nothing has
 * changed: for what comes once a query. */
sl_py_recording *sl_py_active_owner_known(PyThreadState *ts,
                                          sl_strand **strand);

/* What the recording keeps of the calling thread's context, if that is not its
 * own; NULL: nothing. Valid until the next event. */
sl_py_side *sl_py_active_own_side(sl_py_recording *recording);

/* The strand of the recording's task in the calling thread's context, which is
 * not its own, new if need be; NULL: no room (counted). Events feed it. Never
 * raises. */
sl_strand *sl_py_active_task(sl_py_recording *recording);

/* The recording's task in the calling thread's context, whose coroutine this
 * is, goes on at `now`, and waited since its last step; both are told on the
 * stack they run on, the wait is not. Ticks. Events feed the recording. Never
 * raises. */
void sl_py_active_waited(sl_py_recording *recording, PyObject *coroutine,
                         uint64_t since, uint64_t now);

#endif /* SL_PY_ACTIVE_H */
