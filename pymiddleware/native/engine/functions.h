/* functions.h - functions as events name them: a recording holds what keeps
 * each key valid. The GIL guards all of it. */
#ifndef SL_PY_FUNCTIONS_H
#define SL_PY_FUNCTIONS_H

#include "engine/traced.h"

/* sl_recording_options.on_function; `ctx` is the recording's sl_py_traced. */
bool sl_py_on_function(void *ctx, const void *key, uint32_t id);

/* sl_recording_options.on_full, likewise: no more room for paths; the next
 * event of the main strand sees to it. */
void sl_py_on_full(void *ctx);

/* What holds the key of function `id`, BORROWED; NULL: not known. */
PyObject *sl_py_function(const sl_py_traced *traced, uint32_t id);

/* Lets go of all of them. */
void sl_py_functions_release(sl_py_traced *traced);

#endif /* SL_PY_FUNCTIONS_H */
