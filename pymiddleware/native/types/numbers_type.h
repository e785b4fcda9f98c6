/* numbers_type.h - Numbers: of all requests, for Python. */
#ifndef SL_PY_NUMBERS_TYPE_H
#define SL_PY_NUMBERS_TYPE_H

#include "compat/py_compat.h"

extern PyTypeObject sl_py_numbers_type;

#endif /* SL_PY_NUMBERS_TYPE_H */
