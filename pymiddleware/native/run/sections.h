/* sections.h - the sections of a request's main strand: from where it begins or
 * goes on in a thread to where it stops or ends.
 *
 * Everything here needs the GIL.
 */
#ifndef SL_PY_SECTIONS_H
#define SL_PY_SECTIONS_H

#include "run/recording.h"

/* The request's main strand begins or goes on here, in the calling thread
 * and its current context / stops for now. `gap` is what the time since the
 * last stop is called (SL_PSEUDO_AWAIT: this is a step on an event loop).
 * `anchor`: the frame that the request's frames stand above; 0: the innermost
 * that is not ours. `waiting`: the awaitable it is suspended in, or NULL.
 * -1 with an exception. */
int sl_py_section_begin(sl_py_recording *recording, sl_pseudo gap,
                        uintptr_t anchor);
void sl_py_section_end(sl_py_recording *recording, PyObject *waiting);

/* The same for who has read sl_clock_monotonic_ns just now. */
void sl_py_section_end_at(sl_py_recording *recording, PyObject *waiting,
                          uint64_t now);

/* After sl_py_section_begin, where the code that asked for it goes on inside
 * (the block of a `with`): a recording by events is told of the frame of the
 * calling thread that stands there, which it has not seen begin. */
void sl_py_section_block(sl_py_recording *recording);

#endif /* SL_PY_SECTIONS_H */
