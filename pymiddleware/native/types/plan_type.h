/* plan_type.h - Plan: how many recordings are to be made, for Python. */
#ifndef SL_PY_PLAN_TYPE_H
#define SL_PY_PLAN_TYPE_H

#include "compat/py_compat.h"

extern PyTypeObject sl_py_plan_type;

#endif /* SL_PY_PLAN_TYPE_H */
