/* origins.h - whose file is it, asked without the GIL.
 *
 * The same rules as look/code_map.h has them, over plain bytes: the sampler
 * and the checkpoints' thread ask. The rules are set once, and replaced as a
 * whole; what was set before stays, for somebody may be reading it.
 */
#ifndef SL_PY_ORIGINS_H
#define SL_PY_ORIGINS_H

#include "compat/py_compat.h"

#include "slowlens/recording.h"

/* Tuples of str, as sl_py_code_map_configure and _claim take them; the last two
 * may be NULL. With the GIL. -1 with an exception. */
int sl_py_origins_configure(PyObject *stdlib, PyObject *libraries,
                            PyObject *project, PyObject *vendored);

/* Any thread. Before it is configured everything is the project's. */
sl_origin sl_py_origin_of_file(const char *name, size_t len);

#endif /* SL_PY_ORIGINS_H */
