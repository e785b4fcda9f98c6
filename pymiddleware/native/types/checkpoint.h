/* checkpoint.h - profiles of requests that still run. */
#ifndef SL_PY_CHECKPOINT_H
#define SL_PY_CHECKPOINT_H

#include "compat/py_compat.h"

/* checkpoint(recording, meta) and running(board, age_ns), module functions. */
PyObject *sl_py_checkpoint(PyObject *module, PyObject *args);
PyObject *sl_py_running(PyObject *module, PyObject *args);

#endif /* SL_PY_CHECKPOINT_H */
