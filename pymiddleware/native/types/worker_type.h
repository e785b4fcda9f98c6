/* worker_type.h - Worker: a thread of our own, and what wakes it. */
#ifndef SL_PY_WORKER_TYPE_H
#define SL_PY_WORKER_TYPE_H

#include "compat/py_compat.h"

extern PyTypeObject sl_py_worker_type;

#endif /* SL_PY_WORKER_TYPE_H */
