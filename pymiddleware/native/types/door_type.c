/* Door and Pulse: what requests need of their middleware. */
#include "types/door_type.h"
#include "types/numbers_type.h"

#include <pthread.h>
#include <unistd.h>

static PyObject *s_debug, *s_wake, *s_other;
static int own_pid; /* 0: to be asked; a system call, so not by each request */

static void
forget_pid(void)
{
    own_pid = 0;
}

/* ---- what it decides ---- */

/* Whether the app's attribute says so: asked at each request, by C. */
static int
app_debugs(PyObject *app)
{
    PyObject *said = PyObject_GetAttr(app, s_debug);
    int debug = said == Py_True;

    if (said == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError))
        return -1;
    PyErr_Clear();
    Py_XDECREF(said);
    return debug;
}

int
sl_py_door_debug(sl_py_door *door)
{
    if (door->debug >= 0)
        return door->debug;
    if (door->debugged != NULL && door->debugged != Py_None)
        return app_debugs(door->debugged);
    PyObject *said = PyObject_CallMethodNoArgs((PyObject *)door, s_debug);
    int debug = said != NULL ? PyObject_IsTrue(said) : -1;
    Py_XDECREF(said);
    return debug;
}

bool
sl_py_door_adds(sl_py_door *door)
{
    if (door->adds >= 0)
        return door->adds;
    int debug = sl_py_door_debug(door);
    if (debug < 0)
        PyErr_Clear();
    return debug > 0;
}

/* Whether it may be among the slowest of its route: of those the first ones, or
 * slower than the least slow of them. */
static bool
may_be_worst(const sl_py_door *door, PyObject *route, uint64_t wall_ns)
{
    if (door->worst_count == 0 || !PyDict_CheckExact(door->worst))
        return door->worst_count != 0;
    PyObject *heap = PyDict_GetItemWithError(door->worst, route);
    if (heap == NULL || !PyList_CheckExact(heap) ||
        PyList_GET_SIZE(heap) < door->worst_count)
        return true;
    uint64_t least = PyLong_AsUnsignedLongLong(PyList_GET_ITEM(heap, 0));
    return wall_ns > least; /* an exception: cleared by the caller */
}

bool
sl_py_door_may_keep(sl_py_door *door, PyObject *decision, PyObject *route,
                    uint64_t response_ns, uint64_t wall_ns, bool error)
{
    int debug = sl_py_door_debug(door);
    bool may = debug < 0 || !door->plain || !PyTuple_Check(decision) ||
               PyTuple_GET_SIZE(decision) < 3 ||
               PyTuple_GET_ITEM(decision, 2) != Py_False; /* triggered */
    if (!may) {
        const sl_py_rules *rules = &door->rules[debug];
        bool slow = (double)response_ns > door->slow_ns;
        may = rules->asked || (slow && (rules->slow || door->logs)) ||
              (error && rules->error) ||
              (rules->worst && route != NULL &&
               may_be_worst(door, route, wall_ns));
    }
    PyErr_Clear();
    return may;
}

PyObject *
sl_py_door_method(const sl_py_door *door, PyObject *method)
{
    int known = door->methods != NULL && PyAnySet_Check(door->methods)
                    ? PySet_Contains(door->methods, method)
                    : 0;
    PyErr_Clear();
    return known == 1 ? method : s_other;
}

bool
sl_py_door_passes(const sl_py_door *door, PyObject *path)
{
    bool passes =
        door->mount != NULL && PyUnicode_Check(door->mount) &&
        PyUnicode_Tailmatch(path, door->mount, 0, PY_SSIZE_T_MAX, -1) == 0;
    PyErr_Clear();
    return passes;
}

/* ---- its writer ---- */

sl_py_pulse *
sl_py_door_pulse(const sl_py_door *door)
{
    if (own_pid == 0)
        own_pid = (int)getpid();
    if (door->writer == NULL ||
        !PyObject_TypeCheck(door->writer, &sl_py_pulse_type))
        return NULL;
    sl_py_pulse *pulse = (sl_py_pulse *)door->writer;
    return pulse->pid == own_pid ? pulse : NULL;
}

int
sl_py_door_wake(sl_py_pulse *pulse)
{
    pulse->begun = 1;
    if (pulse->ticking)
        return 0;
    PyObject *done = PyObject_CallMethodNoArgs((PyObject *)pulse, s_wake);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

static sl_py_draw *
draw_of(const sl_py_pulse *pulse)
{
    PyObject *gathering = pulse->gathering;
    return gathering != NULL && PyObject_TypeCheck(gathering, &sl_py_draw_type)
               ? (sl_py_draw *)gathering
               : NULL;
}

bool
sl_py_door_may_skip(const sl_py_pulse *pulse)
{
    const sl_py_draw *draw = draw_of(pulse);
    return draw != NULL
               ? draw->skip > 0
               : pulse->gathering == NULL || pulse->gathering == Py_None;
}

void
sl_py_door_skip(const sl_py_pulse *pulse)
{
    sl_py_draw *draw = draw_of(pulse);
    if (draw == NULL)
        return;
    draw->seen++;
    draw->skip--;
}

/* ---- the types ---- */

static PyMemberDef draw_members[] = {
    { "seen", T_LONGLONG, offsetof(sl_py_draw, seen), 0,
      "Requests that have ended since it was set to 0." },
    { "skip", T_LONGLONG, offsetof(sl_py_draw, skip), 0,
      "So many pass until one is chosen." },
    { NULL, 0, 0, 0, NULL },
};

PyTypeObject sl_py_draw_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Draw",
    .tp_doc = "Which requests speak for all: the base of who chooses them.",
    .tp_basicsize = sizeof(sl_py_draw),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_members = draw_members,
};

static int
pulse_traverse(PyObject *object, visitproc visit, void *arg)
{
    sl_py_pulse *self = (sl_py_pulse *)object;
    Py_VISIT(self->numbers);
    Py_VISIT(self->gathering);
    return 0;
}

static int
pulse_clear(PyObject *object)
{
    sl_py_pulse *self = (sl_py_pulse *)object;
    Py_CLEAR(self->numbers);
    Py_CLEAR(self->gathering);
    return 0;
}

static void
pulse_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    pulse_clear(object);
    Py_TYPE(object)->tp_free(object);
}

static PyMemberDef pulse_members[] = {
    { "_ticking", T_BOOL, offsetof(sl_py_pulse, ticking), 0,
      "Its thread looks by itself." },
    { "_begun", T_BOOL, offsetof(sl_py_pulse, begun), 0,
      "A profile began since it looked last." },
    { "_noted", T_BOOL, offsetof(sl_py_pulse, noted), 0,
      "The board is open, and numbers are noted in it." },
    { "_pid", T_INT, offsetof(sl_py_pulse, pid), 0,
      "The process it is set up in." },
    { "numbers", T_OBJECT, offsetof(sl_py_pulse, numbers), 0,
      "What requests are counted in, or None." },
    { "gathering", T_OBJECT, offsetof(sl_py_pulse, gathering), 0,
      "The trees of all requests, or None." },
    { NULL, 0, 0, 0, NULL },
};

PyTypeObject sl_py_pulse_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Pulse",
    .tp_doc = "What requests tell their writer, and ask of it; its base.",
    .tp_basicsize = sizeof(sl_py_pulse),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_traverse = pulse_traverse,
    .tp_clear = pulse_clear,
    .tp_dealloc = pulse_dealloc,
    .tp_members = pulse_members,
};

#define EACH_OBJECT(self, DO)                                                  \
    DO((self)->decisions[0]);                                                  \
    DO((self)->decisions[1]);                                                  \
    DO((self)->plans[0][0]);                                                   \
    DO((self)->plans[0][1]);                                                   \
    DO((self)->plans[1][0]);                                                   \
    DO((self)->plans[1][1]);                                                   \
    DO((self)->writer);                                                        \
    DO((self)->board);                                                         \
    DO((self)->begun);                                                         \
    DO((self)->recorded);                                                      \
    DO((self)->worst);                                                         \
    DO((self)->folded);                                                        \
    DO((self)->mount);                                                         \
    DO((self)->methods);                                                       \
    DO((self)->debugged);                                                      \
    DO((self)->options);                                                       \
    DO((self)->silent)

static int
door_traverse(PyObject *object, visitproc visit, void *arg)
{
    EACH_OBJECT((sl_py_door *)object, Py_VISIT);
    return 0;
}

static int
door_clear(PyObject *object)
{
    EACH_OBJECT((sl_py_door *)object, Py_CLEAR);
    return 0;
}

static void
door_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    door_clear(object);
    Py_TYPE(object)->tp_free(object);
}

/* _rules_are(debug, decision, slow, error, worst, asked) */
static PyObject *
door_rules_are(PyObject *object, PyObject *args)
{
    sl_py_door *self = (sl_py_door *)object;
    PyObject *decision;
    int debug, slow, error, worst, asked;

    if (!PyArg_ParseTuple(args, "pOpppp:_rules_are", &debug, &decision, &slow,
                          &error, &worst, &asked))
        return NULL;
    self->rules[debug] = (sl_py_rules){ .slow = (char)slow,
                                        .error = (char)error,
                                        .worst = (char)worst,
                                        .asked = (char)asked };
    Py_XSETREF(self->decisions[debug], Py_NewRef(decision));
    Py_RETURN_NONE;
}

#define FIELD(name, type, text)                                                \
    { "_" #name, type, offsetof(sl_py_door, name), 0, text }

static PyMemberDef door_members[] = {
    { "enabled", T_BOOL, offsetof(sl_py_door, enabled), 0,
      "Whether requests are profiled at all." },
    { "abandoned", T_LONGLONG, offsetof(sl_py_door, abandoned), 0,
      "Requests that were thrown away half-way." },
    { "options", T_OBJECT, offsetof(sl_py_door, options), 0,
      "What was asked for." },
    { "writer", T_OBJECT, offsetof(sl_py_door, writer), 0,
      "Who stores what it records." },
    { "board", T_OBJECT, offsetof(sl_py_door, board), 0,
      "Where running requests stand." },
    FIELD(plain, T_BOOL, "Requests may go by C: nothing odd is on."),
    FIELD(boardless, T_BOOL, "There is no board, and will be none."),
    FIELD(redacts, T_BOOL, "Paths are asked for by shown_path()."),
    FIELD(logs, T_BOOL, "Slow ones are logged, kept or not."),
    FIELD(debug, T_BYTE, "0 or 1; -1: debug() is asked each time."),
    FIELD(debugged, T_OBJECT, "The app whose attribute `debug` says the same."),
    FIELD(adds, T_BYTE, "Headers of ours: 0 or 1; -1: while debugging."),
    FIELD(begun, T_OBJECT, "Who is told of each request that begins, a list."),
    FIELD(recorded, T_OBJECT,
          "Whether somebody records already: a ContextVar."),
    FIELD(worst, T_OBJECT, "The slowest of each route, {route: heap}."),
    FIELD(worst_count, T_PYSSIZET, "How many of a route are kept for that."),
    FIELD(folded, T_OBJECT, "What paths are called, {path: route}..."),
    FIELD(folded_ns, T_ULONGLONG, "...until then (CLOCK_MONOTONIC)."),
    FIELD(mount, T_OBJECT, "Where the viewer is, without the last slash."),
    FIELD(methods, T_OBJECT, "Methods that are called by their name."),
    FIELD(slow_ns, T_DOUBLE, "What takes longer is slow."),
    { NULL, 0, 0, 0, NULL },
};

static PyMethodDef door_methods[] = {
    { "_rules_are", door_rules_are, METH_VARARGS,
      "_rules_are(debug, decision, slow, error, worst, asked, /)\n--\n\nWhat "
      "is decided of requests in this mode: `decision` of each (None: decide() "
      "is asked), and which profiles are kept; `asked`: Python decides." },
    { NULL, NULL, 0, NULL },
};

PyTypeObject sl_py_door_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Door",
    .tp_doc = "What a middleware's requests need of it; its recorder's base.",
    .tp_basicsize = sizeof(sl_py_door),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_traverse = door_traverse,
    .tp_clear = door_clear,
    .tp_dealloc = door_dealloc,
    .tp_methods = door_methods,
    .tp_members = door_members,
};

int
sl_py_door_init(void)
{
    s_debug = PyUnicode_InternFromString("debug");
    s_wake = PyUnicode_InternFromString("wake");
    s_other = PyUnicode_InternFromString("[other]");
    if (s_debug == NULL || s_wake == NULL || s_other == NULL ||
        PyType_Ready(&sl_py_pulse_type) < 0 ||
        PyType_Ready(&sl_py_draw_type) < 0 ||
        PyType_Ready(&sl_py_door_type) < 0)
        return -1;
    if (pthread_atfork(NULL, NULL, forget_pid) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}
