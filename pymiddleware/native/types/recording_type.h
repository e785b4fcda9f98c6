/* recording_type.h - Recording: one request while it is recorded, for Python. */
#ifndef SL_PY_RECORDING_TYPE_H
#define SL_PY_RECORDING_TYPE_H

#include "run/recording.h"

extern PyTypeObject sl_py_recording_type;

/* 0, or -1 with an exception. */
int sl_py_recording_init(void);

#endif /* SL_PY_RECORDING_TYPE_H */
