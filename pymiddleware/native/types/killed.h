/* killed.h - profiles of requests that did not live to make one. */
#ifndef SL_PY_KILLED_H
#define SL_PY_KILLED_H

#include "compat/py_compat.h"

/* with_meta(data, meta) and unseen(meta, wall_ns), module functions. */
PyObject *sl_py_with_meta(PyObject *module, PyObject *args);
PyObject *sl_py_unseen(PyObject *module, PyObject *args);

#endif /* SL_PY_KILLED_H */
