/* numbers_type.h - Numbers: of all requests, for Python. */
#ifndef SL_PY_NUMBERS_TYPE_H
#define SL_PY_NUMBERS_TYPE_H

#include "run/recording.h"

extern PyTypeObject sl_py_numbers_type;

/* What is counted of a finished recording. */
typedef struct {
    const sl_py_recording *recording;
    PyObject *route, *method; /* str */
    uint64_t response_bytes;
    bool error, kept;
} sl_py_counted;

/* Counts it in `numbers`, a Numbers, now. 0, or -1 with an exception. */
int sl_py_numbers_add(PyObject *numbers, const sl_py_counted *counted);

/* Whether their journal is nearly full: somebody is to store them soon. */
bool sl_py_numbers_are_full(PyObject *numbers);

/* Counts, now, a request that was not recorded; `numbers` is a Numbers. Never
 * raises. */
void sl_py_numbers_add_timed(PyObject *numbers, PyObject *route,
                             PyObject *method, uint64_t wall_ns, bool error,
                             uint64_t response_bytes);

/* board_numbers(memory) and board_numbers_mark(memory, half, stored), functions
 * of the module. */
PyObject *sl_py_board_numbers(PyObject *module, PyObject *args);
PyObject *sl_py_board_numbers_mark(PyObject *module, PyObject *args);

#endif /* SL_PY_NUMBERS_TYPE_H */
