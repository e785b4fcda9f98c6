/* noop.c - the floor: callbacks of the cheapest kind that do nothing.
 *
 *   on(all)   PY events, and with `all` C calls too;  off()
 *
 * 3.12+: sys.monitoring with a vectorcall type; 3.11: an empty C profile
 * function. For the benchmark only. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

#if PY_VERSION_HEX >= 0x030C0000
static PyObject *
nothing(PyObject *self, PyObject *const *args, size_t count, PyObject *names)
{
    (void)self, (void)args, (void)count, (void)names;
    Py_RETURN_NONE;
}

typedef struct {
    PyObject_HEAD vectorcallfunc call;
} hook;

static PyTypeObject hook_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "noop.Hook",
    .tp_basicsize = sizeof(hook),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(hook, call),
    .tp_call = PyVectorcall_Call,
};
static hook the_hook;
#    define TOOL 3

static PyObject *
on(PyObject *module, PyObject *arg)
{
    static const char *const names[] = { "PY_START", "PY_RESUME", "PY_RETURN",
                                         "PY_YIELD", "PY_UNWIND", "PY_THROW",
                                         "CALL",     "C_RETURN",  "C_RAISE" };
    PyObject *monitoring = PySys_GetObject("monitoring");
    PyObject *events = PyObject_GetAttrString(monitoring, "events");
    long mask = 0;
    (void)module;

    if (the_hook.call == NULL) {
        if (PyType_Ready(&hook_type) < 0)
            return NULL;
        PyObject_Init((PyObject *)&the_hook, &hook_type);
        the_hook.call = nothing;
    }
    Py_XDECREF(
        PyObject_CallMethod(monitoring, "use_tool_id", "is", TOOL, "noop"));
    PyErr_Clear();
    for (int i = 0; i < (PyObject_IsTrue(arg) ? 9 : 6); i++) {
        PyObject *number = PyObject_GetAttrString(events, names[i]);
        mask |= PyLong_AsLong(number);
        Py_XDECREF(PyObject_CallMethod(monitoring, "register_callback", "iOO",
                                       TOOL, number, (PyObject *)&the_hook));
        Py_DECREF(number);
    }
    Py_DECREF(events);
    return PyObject_CallMethod(monitoring, "set_events", "il", TOOL, mask);
}

static PyObject *
off(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    return PyObject_CallMethod(PySys_GetObject("monitoring"), "set_events",
                               "ii", TOOL, 0);
}
#else
static int
nothing(PyObject *self, PyFrameObject *frame, int what, PyObject *arg)
{
    (void)self, (void)frame, (void)what, (void)arg;
    return 0;
}

static PyObject *
on(PyObject *module, PyObject *arg)
{
    (void)module, (void)arg;
    PyEval_SetProfile(nothing, NULL);
    Py_RETURN_NONE;
}

static PyObject *
off(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    PyEval_SetProfile(NULL, NULL);
    Py_RETURN_NONE;
}
#endif

static PyMethodDef methods[] = {
    { "on", on, METH_O, NULL },
    { "off", off, METH_NOARGS, NULL },
    { NULL, NULL, 0, NULL },
};
static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT,
                                         .m_name = "noop", .m_size = -1,
                                         .m_methods = methods };

PyMODINIT_FUNC PyInit_noop(void);

PyMODINIT_FUNC
PyInit_noop(void)
{
    return PyModule_Create(&definition);
}
