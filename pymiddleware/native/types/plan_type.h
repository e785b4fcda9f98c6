/* plan_type.h - Plan: how many recordings are to be made, for Python. */
#ifndef SL_PY_PLAN_TYPE_H
#define SL_PY_PLAN_TYPE_H

#include "types/recording_type.h"

extern PyTypeObject sl_py_plan_type;

/* What the plan, which is one, says. */
const sl_py_wishes *sl_py_plan_wishes(PyObject *plan);

#endif /* SL_PY_PLAN_TYPE_H */
