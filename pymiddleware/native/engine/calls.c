/* Calls of known C functions: see calls.h. */
#include "engine/calls.h"
#include "look/own_stack.h"

#include <string.h>

#define KNOWN_MAX 64
#define NAMES_MAX 16

static struct {
    const PyMethodDef *method;
    const sl_py_target *target;
} known[KNOWN_MAX];
static int known_count;

static PyObject *names[NAMES_MAX]; /* strong, interned: what they are called */
static int name_count;

static PyObject *monitoring, *disable, *missing;
static int tool = -1;
static long start_event, call_events;
static const char *why_not;

static const PyMethodDef *
method_of(PyObject *callable)
{
    if (Py_IS_TYPE(callable, &PyMethodDescr_Type))
        return ((PyMethodDescrObject *)callable)->d_method;
    if (PyCFunction_Check(callable))
        return ((PyCFunctionObject *)callable)->m_ml;
    return NULL;
}

void
sl_py_calls_add(PyObject *callable, const sl_py_target *target)
{
    const PyMethodDef *method = method_of(callable);

    for (int i = 0; i < known_count; i++) {
        if (known[i].method == method)
            return;
    }
    PyObject *name =
        method == NULL ? NULL : PyUnicode_InternFromString(method->ml_name);
    if (name == NULL || known_count == KNOWN_MAX) {
        Py_XDECREF(name);
        PyErr_Clear();
        return;
    }
    known[known_count].method = method;
    known[known_count++].target = target;
    for (int i = 0; i < name_count; i++) {
        if (names[i] == name) {
            Py_DECREF(name);
            return;
        }
    }
    if (name_count < NAMES_MAX)
        names[name_count++] = name;
    else
        Py_DECREF(name);
}

static const sl_py_target *
target_of(PyObject *callable)
{
    const PyMethodDef *method = method_of(callable);

    for (int i = 0; method != NULL && i < known_count; i++) {
        if (known[i].method == method)
            return known[i].target;
    }
    return NULL;
}

static bool
is_name(const PyObject *name)
{
    for (int i = 0; i < name_count; i++) {
        if (names[i] == name)
            return true;
    }
    return false;
}

/* Whether it is a Python function of such a name: the next time the same place
 * may call one that is known. */
static bool
is_namesake(PyObject *callable)
{
    if (PyMethod_Check(callable))
        callable = PyMethod_GET_FUNCTION(callable);
    return PyFunction_Check(callable) &&
           is_name(((PyFunctionObject *)callable)->func_name);
}

/* The first argument of the call at `offset` of `code`, in the calling
 * thread's frame, BORROWED; NULL: it has none. A method is called with its
 * object, which the event tells of, and behind which the arguments lie. */
static PyObject *
first_argument(PyObject *code, uint32_t offset, PyObject *callable,
               PyObject *told)
{
    if (!Py_IS_TYPE(callable, &PyMethodDescr_Type))
        return told == missing ? NULL : told;
    return sl_py_own_argument((const PyCodeObject *)code, offset, callable,
                              told);
}

/* ---- events ---- */

static PyObject *
on_start(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count < 1 || !PyCode_Check(args[0]))
        Py_RETURN_NONE;
    PyObject *used = ((PyCodeObject *)args[0])->co_names;
    const sl_py_probe *probe = sl_py_probe_of(args[0]);
    if (probe != NULL && probe->target->action->quiet)
        return Py_NewRef(disable);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(used); i++) {
        if (!is_name(PyTuple_GET_ITEM(used, i)))
            continue;
        PyObject *done = PyObject_CallMethod(monitoring, "set_local_events",
                                             "iOl", tool, args[0], call_events);
        if (done == NULL)
            PyErr_Clear();
        Py_XDECREF(done);
        break;
    }
    return Py_NewRef(disable);
}

static PyObject *
on_call(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count < 4)
        Py_RETURN_NONE;
    const sl_py_target *target = target_of(args[2]);
    if (target == NULL)
        return Py_NewRef(is_namesake(args[2]) ? Py_None : disable);
    long offset = sl_py_small_int(args[1]);
    uint32_t at = offset > 0 ? (uint32_t)offset : 0;
    target->action->call(target, sl_py_own_frame(),
                         first_argument(args[0], at, args[2], args[3]), at);
    Py_RETURN_NONE;
}

static PyObject *
on_returned(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    const sl_py_target *target = count < 4 ? NULL : target_of(args[2]);
    if (target != NULL)
        target->action->returned(target, sl_py_own_frame());
    Py_RETURN_NONE;
}

static PyMethodDef hooks[] = {
    { "PY_START", (PyCFunction)(void (*)(void))on_start, METH_FASTCALL, "" },
    { "CALL", (PyCFunction)(void (*)(void))on_call, METH_FASTCALL, "" },
    { "C_RETURN", (PyCFunction)(void (*)(void))on_returned, METH_FASTCALL, "" },
    { "C_RAISE", (PyCFunction)(void (*)(void))on_returned, METH_FASTCALL, "" },
};

/* ---- on ---- */

static long
event_number(const char *name)
{
    PyObject *events = PyObject_GetAttrString(monitoring, "events");
    PyObject *value =
        events == NULL ? NULL : PyObject_GetAttrString(events, name);
    long number = value == NULL ? 0 : PyLong_AsLong(value);

    Py_XDECREF(value);
    Py_XDECREF(events);
    return number;
}

/* Calls a function of sys.monitoring; false: it raised. */
static bool
ask(PyObject *result)
{
    Py_XDECREF(result);
    return result != NULL;
}

static bool
turn_on(void)
{
    static const int ids[] = { 3, 4 };

    for (size_t i = 0; i < 2 && tool < 0; i++) {
        if (ask(PyObject_CallMethod(monitoring, "use_tool_id", "is", ids[i],
                                    "slowlens calls")))
            tool = ids[i];
        else
            PyErr_Clear();
    }
    if (tool < 0) {
        why_not = "sys.monitoring tool ids 3 and 4 are taken";
        return false;
    }
    start_event = event_number("PY_START");
    call_events = event_number("CALL") | event_number("C_RETURN") |
                  event_number("C_RAISE");
    for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
        PyObject *hook = PyCFunction_New(&hooks[i], NULL);
        bool done =
            hook != NULL && ask(PyObject_CallMethod(
                                monitoring, "register_callback", "ilO", tool,
                                event_number(hooks[i].ml_name), hook));
        Py_XDECREF(hook);
        if (!done)
            return false;
    }
    return ask(
        PyObject_CallMethod(monitoring, "set_events", "il", tool, start_event));
}

void
sl_py_calls_watch(void)
{
    static bool tried;

    if (tried || known_count == 0)
        return;
    tried = true;
    monitoring = Py_XNewRef(PySys_GetObject("monitoring"));
    disable = monitoring == NULL
                  ? NULL
                  : PyObject_GetAttrString(monitoring, "DISABLE");
    missing =
        disable == NULL ? NULL : PyObject_GetAttrString(monitoring, "MISSING");
    if ((missing == NULL || !turn_on()) && why_not == NULL)
        why_not = "sys.monitoring refused";
    PyErr_Clear();
}

const char *
sl_py_calls_why_not(void)
{
    return why_not;
}
