/* tools.h - what is asked of sys.monitoring (CPython 3.12+) by those who have
 * tool ids there: monitoring.c and calls.c. With the GIL. */
#ifndef SL_PY_TOOLS_H
#define SL_PY_TOOLS_H

#include "compat/py_compat.h"

/* Drops the result of a call; false: the call raised. */
static inline bool
sl_py_tool_did(PyObject *result)
{
    Py_XDECREF(result);
    return result != NULL;
}

/* The number of an event; -1 with an exception. */
long sl_py_tool_event(PyObject *monitoring, const char *name);

/* Registers the callback of `event` under the id; None: nobody's. What stood
 * there, NEW (None: nothing); NULL with an exception: nothing was done. */
PyObject *sl_py_tool_swap(PyObject *monitoring, int id, long event,
                          PyObject *callback);

/* Whether that callback still stands there. A load: cheap, and no audit hook
 * hears of it. True where it cannot be seen. */
bool sl_py_tool_calls(int id, long event, const PyObject *callback);

#endif /* SL_PY_TOOLS_H */
