/* tally_type.h - Tally: a request that is counted and not recorded. */
#ifndef SL_PY_TALLY_TYPE_H
#define SL_PY_TALLY_TYPE_H

#include "compat/py_compat.h"

/* Makes the types ready and adds them to the module. -1 with an exception. */
int sl_py_tally_init(PyObject *module);

/* tally(), a function of the module: the one that the calling context belongs
 * to, or None. */
PyObject *sl_py_tally_current(PyObject *module, PyObject *ignored);

#endif /* SL_PY_TALLY_TYPE_H */
