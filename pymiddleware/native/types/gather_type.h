/* gather_type.h - Gather: the trees of many requests as one, for Python. */
#ifndef SL_PY_GATHER_TYPE_H
#define SL_PY_GATHER_TYPE_H

#include "compat/py_compat.h"

extern PyTypeObject sl_py_gather_type;

#endif /* SL_PY_GATHER_TYPE_H */
