/* completed.h - what a finished recording came to, as metadata. */
#ifndef SL_PY_COMPLETED_H
#define SL_PY_COMPLETED_H

#include "compat/py_compat.h"

/* Recording.complete(meta). */
PyObject *sl_py_recording_complete(PyObject *recording, PyObject *meta);

/* 0, or -1 with an exception. */
int sl_py_completed_init(void);

#endif /* SL_PY_COMPLETED_H */
