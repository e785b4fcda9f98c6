/* Plan: how many recordings are to be made. A call of Recording reads twelve
 * keywords, which costs three times what making one does; of a middleware's
 * requests they are the same each time. */
#include "types/plan_type.h"

typedef struct {
    PyObject_HEAD vectorcallfunc call;
    sl_py_wishes wishes;
} plan;

static PyObject *
plan_call(PyObject *object, PyObject *const *args, size_t count,
          PyObject *names)
{
    if (PyVectorcall_NARGS(count) != 2 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "plan(label, entry)");
        return NULL;
    }
    return sl_py_recording_make(&((plan *)object)->wishes, args[0], args[1]);
}

const sl_py_wishes *
sl_py_plan_wishes(PyObject *object)
{
    return &((plan *)object)->wishes;
}

static PyObject *
plan_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    sl_py_wishes wishes;
    PyObject *label, *entry;

    if (!sl_py_wishes_parse(args, kwargs, &wishes, &label, &entry))
        return NULL;
    if (label != NULL || entry != NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "label and entry are each recording's own");
        return NULL;
    }
    plan *self = (plan *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->call = plan_call;
    self->wishes = wishes;
    return (PyObject *)self;
}

PyTypeObject sl_py_plan_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Plan",
    .tp_doc = "Plan(c_calls='chosen', **options)\n--\n\nHow recordings are to "
              "be made; options as for Recording, but for `label` and `entry`: "
              "plan(label, entry) makes a Recording, and raises what that "
              "raises.",
    .tp_basicsize = sizeof(plan),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(plan, call),
    .tp_call = PyVectorcall_Call,
    .tp_new = plan_new,
};
