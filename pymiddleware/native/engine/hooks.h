/* hooks.h - what is done at each event of sys.monitoring (CPython 3.12+);
 * which events are on is monitoring.c's.
 *
 * The callbacks are objects of a C type with a vectorcall slot: the cheapest
 * thing the interpreter can call (11 to 18 ns a pair against 14 to 25 for a
 * built-in function). They never raise, never return DISABLE, and never run
 * Python code.
 *
 * Probed functions, where probes have a tool id of their own ("apart"):
 *
 *   probes' hook (called first: its id is higher)   engine's hook
 *   does all: the strand's part, the action  ---->  nothing, this once
 *
 * so that functions that are not probed, which is nearly all, need not ask
 * whether they are. Where that id is taken they do.
 */
#ifndef SL_PY_HOOKS_H
#define SL_PY_HOOKS_H

#include "compat/py_compat.h"

enum {
    SL_PY_START,
    SL_PY_RESUME,
    SL_PY_RETURN,
    SL_PY_YIELD,
    SL_PY_UNWIND,
    SL_PY_THROW,
    SL_PY_CALL,
    SL_PY_C_RETURN,
    SL_PY_C_RAISE,
    SL_PY_LINE,
    SL_PY_EVENTS
};

/* Prepares them. 0, or -1 with an exception. */
int sl_py_hooks_init(PyObject *monitoring);

/* The callback for an event, BORROWED. */
PyObject *sl_py_hook(int event);

/* The one under the probes' own tool id: of START, RETURN, CALL and
 * LINE. */
PyObject *sl_py_probe_hook(int event);

/* What the callbacks must look after: `on`, events are, not only probes;
 * `apart`, probes have an id of their own; `lines`, a recording wants them. */
void sl_py_hooks_set(bool on, bool apart, bool lines);

/* While `testing`, START is only noted; afterwards, whether the last two were
 * the probes' one and then the engine's. */
bool sl_py_hooks_test(bool testing);

#endif /* SL_PY_HOOKS_H */
