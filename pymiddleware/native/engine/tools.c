/* What is asked of sys.monitoring: see tools.h. */
#include "engine/tools.h"
#include "compat/layout.h"

/* Where the interpreter keeps callbacks. There is no asking it: only whoever
 * registers another one is told what stood there. Believed until something that
 * we registered is not found there. */
static sl_py_layout layout;
static bool looked, wrong;

static const void *
callback_of(int id, long event)
{
    size_t at = (size_t)__builtin_ctzl((unsigned long)event);

    return layout.callbacks[(size_t)id * layout.callback_events + at];
}

long
sl_py_tool_event(PyObject *monitoring, const char *name)
{
    PyObject *events = PyObject_GetAttrString(monitoring, "events");
    if (events == NULL)
        return -1;
    PyObject *value = PyObject_GetAttrString(events, name);
    Py_DECREF(events);
    long number = value == NULL ? -1 : PyLong_AsLong(value);
    Py_XDECREF(value);
    return number;
}

PyObject *
sl_py_tool_swap(PyObject *monitoring, int id, long event, PyObject *callback)
{
    if (!looked) {
        sl_py_layout_get(&layout);
        looked = true;
        wrong = layout.callbacks == NULL;
    }
    PyObject *was = PyObject_CallMethod(monitoring, "register_callback", "ilO",
                                        id, event, callback);
    if (was != NULL && !wrong)
        wrong =
            callback_of(id, event) != (Py_IsNone(callback) ? NULL : callback);
    return was;
}

bool
sl_py_tool_calls(int id, long event, const PyObject *callback)
{
    return !looked || wrong || callback_of(id, event) == callback;
}
