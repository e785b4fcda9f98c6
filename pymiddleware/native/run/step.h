/* step.h - the awaitable that runs work under a recording. With the GIL. */
#ifndef SL_PY_STEP_H
#define SL_PY_STEP_H

#include "run/recording.h"

/* `recording_type`: the type of recordings, for Step.follow. 0, or -1 with an
 * exception. */
int sl_py_step_init(PyTypeObject *recording_type);

/* Called when a step is over, whatever way its app ended, and its section with
 * it; may be with an exception set, which must stay. */
typedef void (*sl_py_step_over)(PyObject *owner, bool error);

/* A NEW awaitable that runs `awaitable` under the recording, and tells `owner`
 * of its end; NULL: exception. */
PyObject *sl_py_step_of(sl_py_recording *recording, PyObject *awaitable,
                        PyObject *owner, sl_py_step_over over);

/* A NEW awaitable that runs `awaitable` under the recording (NULL: none, until
 * its `follow` is called); NULL: exception. */
PyObject *sl_py_step_new(sl_py_recording *recording, PyObject *awaitable);

/* Whether the coroutine, which is suspended or has not begun, waits in a step
 * of that recording: it is the task that the request is served in. Never
 * raises. */
bool sl_py_step_is_awaited_by(const sl_py_recording *recording,
                              PyObject *coroutine);

#endif /* SL_PY_STEP_H */
