/* callees.h - which C function a frame is in the middle of calling.
 *
 *   innermost frame, at a call          slot of the callee (depths.h)
 *     its stack: [..., callee, self, arguments...]
 *                          |
 *                          built-in function, method, type, ...: its name
 *
 * What has a frame of its own is no C function, and is not told. Nothing that
 * is read is believed before it has the right type; while it is read the
 * thread runs on, so the frame is looked at once more in the same read.
 *
 * The sampler's lock is held by the caller, always.
 */
#ifndef SL_PY_CALLEES_H
#define SL_PY_CALLEES_H

#include "compat/py_compat.h"
#include "look/codes.h"

/* How the interpreter calls an object whose class has a __call__ in Python:
 * until that has its frame it is nobody's C function. NULL: not known. */
void sl_py_callees_set(ternaryfunc call_in_python);

/* The C function that `raw`, the frame at `frame`, is calling at its place;
 * NULL: it is not, or that cannot be told. */
const sl_py_code *sl_py_callee(const sl_py_layout *layout, uintptr_t frame,
                               const sl_py_raw_frame *raw);

#endif /* SL_PY_CALLEES_H */
