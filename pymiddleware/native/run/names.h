/* names.h - what the functions of a recording are called. With the GIL. */
#ifndef SL_PY_NAMES_H
#define SL_PY_NAMES_H

#include "run/recording.h"

/* Function `id`, no pseudo one; strings live in `keep`, a list. false: no
 * name. */
bool sl_py_function_describe(const sl_py_recording *recording, uint32_t id,
                             PyObject *keep, sl_function *out);

/* Makes the call sites of `core`, which is the recording's or a copy of it,
 * lines. Once, before it is encoded. */
void sl_py_names_sites(const sl_py_recording *recording, sl_recording *core);

/* Names all functions of a finished recording and makes its call sites lines.
 * Once is enough. false, with an exception: no memory. */
bool sl_py_names_resolve(sl_py_recording *recording);

/* The same; from then on it holds no code object, but the texts of its names.
 * The end of a code object may run code. false, with an exception: no memory,
 * and it holds them still. */
bool sl_py_names_let_go(sl_py_recording *recording);

/* Whether something that it names its functions by lives on by it alone. */
bool sl_py_names_last(const sl_py_recording *recording);

/* sl_describe, of a recording whose names were resolved. `ctx` is that; needs
 * no GIL. */
bool sl_py_names_describe(void *ctx, uint32_t id, const void *key,
                          sl_function *out);

void sl_py_names_free(sl_py_recording *recording);

/* Where the section that just ended spent most of its time, NEW: a list of
 * (name, file), of some functions of the project and then the innermost one;
 * NULL, no exception: nobody looked. */
PyObject *sl_py_recording_where(sl_py_recording *recording);

/* Whose code it is that a coroutine or callable runs, NEW: a list of one
 * (name, file); NULL, no exception: it cannot be told. `object` NULL: nobody's.
 * Runs no code of its. */
PyObject *sl_py_object_where(PyObject *object);

#endif /* SL_PY_NAMES_H */
