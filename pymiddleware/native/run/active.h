/* active.h - which request runs here, and its sections.
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

/* The request's main strand begins or goes on here, in the calling thread
 * and its current context / stops for now. `gap` is what the time since the
 * last stop is called (SL_PSEUDO_AWAIT: this is a step on an event loop).
 * `anchor`: the frame that the request's frames stand above; 0: the innermost
 * that is not ours. `waiting`: the awaitable it is suspended in, or NULL.
 * -1 with an exception. */
int sl_py_section_begin(sl_py_recording *recording, sl_pseudo gap,
                        uintptr_t anchor);
void sl_py_section_end(sl_py_recording *recording, PyObject *waiting);

#endif /* SL_PY_ACTIVE_H */
