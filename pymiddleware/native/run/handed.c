/* What work that was handed over is: see handed.h. */
#include "run/handed.h"
#include "engine/argument.h"

/* Wrappers around one another that are looked through, and arguments or
 * variables of a function in which another one is looked for. */
#define WRAPPERS_MAX 6
#define LOOK_MAX     8

typedef struct {
    PyObject *partial; /* strong: functools.partial */
    PyObject *fn, *args, *task, *target, *thread_args, *func, *call, *run;
} names;

static names known;

static bool
find_names(void)
{
    static bool tried;

    if (tried)
        return known.run != NULL;
    tried = true;
    PyObject *functools = PyImport_ImportModule("functools");
    known.partial =
        functools == NULL ? NULL : PyObject_GetAttrString(functools, "partial");
    Py_XDECREF(functools);
    PyErr_Clear();
    known.fn = PyUnicode_InternFromString("fn");
    known.args = PyUnicode_InternFromString("args");
    known.task = PyUnicode_InternFromString("task");
    known.target = PyUnicode_InternFromString("_target");
    known.thread_args = PyUnicode_InternFromString("_args");
    known.func = PyUnicode_InternFromString("func");
    known.call = PyUnicode_InternFromString("__call__");
    known.run = PyUnicode_InternFromString("run");
    PyErr_Clear();
    return known.run != NULL;
}

static void
mix(sl_py_work *work, const void *with)
{
    work->alike = (work->alike ^ (uint64_t)(uintptr_t)with) *
                  UINT64_C(0x9E3779B97F4A7C15);
}

static void look_into(sl_py_work *work, PyObject *value, int deep);

static void
look_into_all(sl_py_work *work, PyObject *values, int deep)
{
    for (Py_ssize_t i = 0; values != NULL && PyTuple_Check(values) &&
                           i < PyTuple_GET_SIZE(values) && i < LOOK_MAX;
         i++)
        look_into(work, PyTuple_GET_ITEM(values, i), deep);
}

/* A value that the work is called with: if it is a function, or holds one, then
 * that is what the work is about, whatever stands around it. */
static void
look_into(sl_py_work *work, PyObject *value, int deep)
{
    if (value == NULL || deep == 0)
        return;
    if (PyCell_Check(value)) {
        look_into(work, PyCell_GET(value), deep);
    } else if (PyMethod_Check(value)) {
        /* What a method does may depend on whose it is. */
        mix(work, Py_TYPE(PyMethod_GET_SELF(value)));
        look_into(work, PyMethod_GET_FUNCTION(value), deep);
    } else if (PyFunction_Check(value)) {
        mix(work, PyFunction_GET_CODE(value));
        if (work->code == NULL)
            work->code = (PyCodeObject *)Py_NewRef(PyFunction_GET_CODE(value));
        look_into_all(work, PyFunction_GET_CLOSURE(value), deep - 1);
    } else if ((PyObject *)Py_TYPE(value) == known.partial) {
        PyObject *function = sl_py_plain_attribute(value, known.func);
        PyObject *args = sl_py_plain_attribute(value, known.args);
        look_into(work, function, deep - 1);
        look_into_all(work, args, deep - 1);
        Py_XDECREF(args);
        Py_XDECREF(function);
    } else if (PyTuple_CheckExact(value)) {
        look_into_all(work, value, deep - 1);
    } else if (PyCFunction_Check(value)) {
        mix(work, PyCFunction_GET_FUNCTION(value));
    } else {
        mix(work, Py_TYPE(value));
        PyObject *call = _PyType_Lookup(Py_TYPE(value), known.call);
        if (call != NULL && PyFunction_Check(call))
            look_into(work, call, deep - 1);
    }
}

/* A call of `function` with `args`. */
static void
look_into_call(sl_py_work *work, PyObject *function, PyObject *args)
{
    look_into(work, function, WRAPPERS_MAX);
    look_into_all(work, args, WRAPPERS_MAX);
}

/* Whether the thread runs what it was made with, not a run() of its class's. */
static bool
runs_target(PyObject *thread)
{
    PyObject *run = _PyType_Lookup(Py_TYPE(thread), known.run);
    PyObject *module = run == NULL || !PyFunction_Check(run)
                           ? NULL
                           : PyFunction_GetModule(run);

    return module != NULL && PyUnicode_Check(module) &&
           PyUnicode_CompareWithASCIIString(module, "threading") == 0;
}

static void
look_into_object(sl_py_work *work, PyObject *object)
{
    PyObject *function = sl_py_plain_attribute(object, known.fn);
    PyObject *args = sl_py_plain_attribute(object, known.args);
    PyObject *task = sl_py_plain_attribute(object, known.task);
    PyObject *target = sl_py_plain_attribute(object, known.target);
    PyObject *of_thread = sl_py_plain_attribute(object, known.thread_args);

    if (function != NULL)
        look_into_call(work, function, args);
    else if (task != NULL && PyTuple_Check(task) && PyTuple_GET_SIZE(task) > 1)
        look_into_all(work, task, WRAPPERS_MAX);
    else if (target != NULL && runs_target(object))
        look_into_call(work, target, of_thread);
    else
        mix(work, Py_TYPE(object));
    Py_XDECREF(function);
    Py_XDECREF(args);
    Py_XDECREF(task);
    Py_XDECREF(target);
    Py_XDECREF(of_thread);
}

sl_py_work
sl_py_handed_work(const sl_py_handed *handed)
{
    sl_py_work work = { .alike = 1 };

    if (!find_names())
        return work;
    if (handed->function != NULL)
        look_into_call(&work, handed->function, handed->args);
    else if (handed->object != NULL)
        look_into_object(&work, handed->object);
    PyErr_Clear();
    work.alike |= 1; /* not 0 */
    return work;
}
