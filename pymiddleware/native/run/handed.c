/* What work that was handed over is: see handed.h. */
#include "run/handed.h"
#include "engine/argument.h"

/* Wrappers around one another that are looked through. */
#define WRAPPERS_MAX 6
/* Values that are looked at, in all: what functions are called with or hold may
 * be much, or hold itself, and each job pays for it. */
#define VALUES_MAX 32

static struct {
    PyObject *partial; /* strong: functools.partial */
    PyObject *fn, *args, *task, *target, *thread_args, *func, *call, *run;
    bool ready;
} known;

void
sl_py_handed_init(void)
{
    if (known.ready)
        return;
    PyObject *functools = PyImport_ImportModule("functools");
    known.partial =
        functools == NULL ? NULL : PyObject_GetAttrString(functools, "partial");
    Py_XDECREF(functools);
    known.fn = PyUnicode_InternFromString("fn");
    known.args = PyUnicode_InternFromString("args");
    known.task = PyUnicode_InternFromString("task");
    known.target = PyUnicode_InternFromString("_target");
    known.thread_args = PyUnicode_InternFromString("_args");
    known.func = PyUnicode_InternFromString("func");
    known.call = PyUnicode_InternFromString("__call__");
    known.run = PyUnicode_InternFromString("run");
    PyErr_Clear();
    known.ready = known.fn != NULL && known.args != NULL &&
                  known.task != NULL && known.target != NULL &&
                  known.thread_args != NULL && known.func != NULL &&
                  known.call != NULL && known.run != NULL;
}

typedef struct {
    sl_py_work work;
    int left; /* of VALUES_MAX */
} look;

static void
mix(look *l, const void *with)
{
    l->work.alike = (l->work.alike ^ (uint64_t)(uintptr_t)with) *
                    UINT64_C(0x9E3779B97F4A7C15);
}

static void look_into(look *l, PyObject *value, int deep);

/* Of the tuple `values`, of cells too. A tuple among them (the function and its
 * chunk, which a pool's mapstar is called with) is as if its values stood
 * there, one among those is not. */
static void
look_into_all(look *l, PyObject *values, int deep, bool tuples)
{
    Py_ssize_t count = values != NULL && PyTuple_Check(values) && deep > 0
                           ? PyTuple_GET_SIZE(values)
                           : 0;

    for (Py_ssize_t i = 0; i < count && l->left > 0; i++) {
        PyObject *value = PyTuple_GET_ITEM(values, i);
        if (value != NULL && PyCell_Check(value))
            value = PyCell_GET(value);
        if (value != NULL && tuples && PyTuple_CheckExact(value)) {
            l->left--;
            look_into_all(l, value, deep, false);
        } else {
            look_into(l, value, deep);
        }
    }
}

/* An object that can be called: what that does may depend on its class, or,
 * where it is not written in Python (a cached function, one that Cython made),
 * on the object alone. */
static void
look_into_callable(look *l, PyObject *object, int deep)
{
    PyObject *call = _PyType_Lookup(Py_TYPE(object), known.call);

    if (call != NULL && PyFunction_Check(call)) {
        mix(l, Py_TYPE(object));
        look_into(l, call, deep - 1);
    } else {
        mix(l, object);
    }
}

/* A value that the work is called with: if it is a function, or holds one, then
 * that is what the work is about, whatever stands around it. All others are
 * what it is done to: it is the same work with each. */
static void
look_into(look *l, PyObject *value, int deep)
{
    if (value == NULL || deep <= 0 || l->left <= 0)
        return;
    l->left--;
    if (PyMethod_Check(value)) {
        /* What a method does may depend on whose it is. */
        mix(l, Py_TYPE(PyMethod_GET_SELF(value)));
        look_into(l, PyMethod_GET_FUNCTION(value), deep - 1);
    } else if (PyFunction_Check(value)) {
        mix(l, PyFunction_GET_CODE(value));
        if (l->work.code == NULL)
            l->work.code =
                (PyCodeObject *)Py_NewRef(PyFunction_GET_CODE(value));
        look_into_all(l, PyFunction_GET_CLOSURE(value), deep - 1, true);
    } else if ((PyObject *)Py_TYPE(value) == known.partial) {
        PyObject *function = sl_py_plain_attribute(value, known.func);
        PyObject *args = sl_py_plain_attribute(value, known.args);
        look_into(l, function, deep - 1);
        look_into_all(l, args, deep - 1, true);
        Py_XDECREF(args);
        Py_XDECREF(function);
    } else if (PyCFunction_Check(value)) {
        mix(l, PyCFunction_GET_FUNCTION(value));
    } else if (PyType_Check(value)) {
        mix(l, value);
    } else if (Py_TYPE(value)->tp_call != NULL) {
        look_into_callable(l, value, deep);
    }
}

/* A call of `function` with `args`. */
static void
look_into_call(look *l, PyObject *function, PyObject *args)
{
    look_into(l, function, WRAPPERS_MAX);
    look_into_all(l, args, WRAPPERS_MAX, true);
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
look_into_object(look *l, PyObject *object)
{
    PyObject *function = sl_py_plain_attribute(object, known.fn);
    PyObject *args = sl_py_plain_attribute(object, known.args);
    PyObject *task = sl_py_plain_attribute(object, known.task);
    PyObject *target = sl_py_plain_attribute(object, known.target);
    PyObject *of_thread = sl_py_plain_attribute(object, known.thread_args);

    if (function != NULL)
        look_into_call(l, function, args);
    else if (task != NULL && PyTuple_Check(task) && PyTuple_GET_SIZE(task) > 1)
        look_into_call(l, PyTuple_GET_ITEM(task, 0), PyTuple_GET_ITEM(task, 1));
    else if (target != NULL && runs_target(object))
        look_into_call(l, target, of_thread);
    else
        mix(l, Py_TYPE(object));
    Py_XDECREF(function);
    Py_XDECREF(args);
    Py_XDECREF(task);
    Py_XDECREF(target);
    Py_XDECREF(of_thread);
}

sl_py_work
sl_py_handed_work(const sl_py_handed *handed)
{
    look l = { .work = { .alike = 1 }, .left = VALUES_MAX };

    if (!known.ready)
        return l.work;
    if (handed->function != NULL)
        look_into_call(&l, handed->function, handed->args);
    else if (handed->object != NULL)
        look_into_object(&l, handed->object);
    PyErr_Clear();
    l.work.alike |= 1; /* not 0 */
    return l.work;
}

PyObject *
sl_py_handed_tell(PyObject *module, PyObject *args)
{
    PyObject *function, *with;

    (void)module;
    if (!PyArg_ParseTuple(args, "OO!:work_of", &function, &PyTuple_Type, &with))
        return NULL;
    sl_py_work work =
        sl_py_handed_work(&(sl_py_handed){ NULL, function, with });
    PyObject *code =
        work.code != NULL ? (PyObject *)work.code : Py_NewRef(Py_None);
    return Py_BuildValue("(KN)", (unsigned long long)work.alike, code);
}
