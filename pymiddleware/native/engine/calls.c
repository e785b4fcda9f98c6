/* Calls of known C functions: see calls.h. */
#include "engine/calls.h"
#include "engine/tools.h"
#include "look/code_map.h"
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
static PyObject *tool_name; /* the object: no other of this text is the same */
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

static bool asked;

void
sl_py_calls_asked(bool somebody)
{
    asked = somebody;
}

/* ---- what is called in the end ---- */

/* First arguments that are looked at; wrappers around one another. */
#define ARGUMENTS_MAX 4
#define WRAPPERS_MAX  4

/* All BORROWED. A method's object is no argument here. */
typedef struct {
    PyObject *callable, *arguments[ARGUMENTS_MAX];
    int count;
} call;

static PyObject *partial;              /* strong: functools.partial */
static PyObject *s_args, *s_func;      /* interned */
static const PyMethodDef *context_run; /* Context.run */

/* The call of `callable` with `first` that the current frame is about to make
 * at `offset`. */
static call
call_at(uintptr_t frame, long offset, PyObject *callable, PyObject *first)
{
    call c = { .callable = callable };
    PyObject *found[ARGUMENTS_MAX + 1];

    if (first == missing)
        return c;
    int count = sl_py_own_arguments(frame, (uint32_t)offset, callable, first,
                                    found, ARGUMENTS_MAX + 1);
    bool method = Py_IS_TYPE(callable, &PyMethodDescr_Type);
    if (count == 0 && !method) {
        found[0] = first;
        count = 1;
    }
    for (int i = method; i < count && c.count < ARGUMENTS_MAX; i++)
        c.arguments[c.count++] = found[i];
    return c;
}

/* Attribute of an object that holds it, BORROWED. */
static PyObject *
held(PyObject *object, PyObject *name)
{
    PyObject *value = name == NULL ? NULL : PyObject_GetAttr(object, name);

    PyErr_Clear();
    Py_XDECREF(value);
    return value;
}

static bool
looks_for_one(const PyObject *code)
{
    PyObject *used = ((const PyCodeObject *)code)->co_names;

    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(used); i++) {
        if (is_name(PyTuple_GET_ITEM(used, i)))
            return true;
    }
    return false;
}

/* Whether the function that runs `code` calls something by a known name. What
 * was said last is kept: one function may make many calls in a row. */
static bool
names_one(const PyObject *code)
{
    static const PyObject *last; /* only compared */
    static uint32_t last_version;
    static int last_count;
    static bool last_said;
    /* No two code objects have one. */
    uint32_t version = sl_py_code_version((const PyCodeObject *)code);

    if (code == last && version == last_version && version != 0 &&
        last_count == name_count)
        return last_said;
    last_said = looks_for_one(code);
    last = code;
    last_version = version;
    last_count = name_count;
    return last_said;
}

static bool
is_wrapper(PyObject *callable)
{
    return (partial != NULL && (PyObject *)Py_TYPE(callable) == partial) ||
           (context_run != NULL && method_of(callable) == context_run);
}

/* Attribute of a partial() that lies in it, BORROWED: `func` is read by where
 * its descriptor says that it lies. */
static PyObject *
partial_func(PyObject *object)
{
    static Py_ssize_t offset; /* 0: not asked yet; -1: it lies nowhere */
    PyObject *func;

    if (offset == 0) {
        PyObject *found =
            s_func == NULL ? NULL : PyObject_GetAttr(partial, s_func);
        offset = found != NULL && Py_IS_TYPE(found, &PyMemberDescr_Type)
                     ? ((PyMemberDescrObject *)found)->d_member->offset
                     : -1;
        PyErr_Clear();
        Py_XDECREF(found);
    }
    if (offset < 0)
        return held(object, s_func);
    memcpy(&func, (const char *)object + offset, sizeof(func));
    return func;
}

/* Whether it is a partial() of a C function that nobody wants to hear of: what
 * it is called with does not matter then. */
static bool
is_plain_partial(PyObject *callable)
{
    for (int i = 0; i < WRAPPERS_MAX; i++) {
        if (partial == NULL || (PyObject *)Py_TYPE(callable) != partial)
            break;
        callable = partial_func(callable);
        if (callable == NULL)
            return false;
        if (method_of(callable) != NULL)
            return !is_wrapper(callable) && target_of(callable) == NULL;
    }
    return false;
}

/* What a partial() or a context's run() calls. */
static void
unwrap(call *c)
{
    if ((PyObject *)Py_TYPE(c->callable) != partial) {
        c->callable = c->count > 0 ? c->arguments[0] : NULL;
        c->count -= c->count > 0;
        memmove(c->arguments, c->arguments + 1,
                (size_t)c->count * sizeof(*c->arguments));
        return;
    }
    PyObject *given = held(c->callable, s_args);
    int before = given != NULL && PyTuple_Check(given)
                     ? (int)Py_MIN(PyTuple_GET_SIZE(given), ARGUMENTS_MAX)
                     : 0;
    c->callable = partial_func(c->callable);
    c->count = Py_MIN(c->count, ARGUMENTS_MAX - before);
    memmove(c->arguments + before, c->arguments,
            (size_t)c->count * sizeof(*c->arguments));
    for (int i = 0; i < before; i++)
        c->arguments[i] = PyTuple_GET_ITEM(given, i);
    c->count += before;
}

/* The target that a call comes to, and its first argument; NULL: to none. */
static const sl_py_target *
target_of_call(call c, PyObject **argument)
{
    bool wrapped = false;

    for (int i = 0;
         i < WRAPPERS_MAX && c.callable != NULL && is_wrapper(c.callable);
         i++) {
        unwrap(&c);
        wrapped = true;
    }
    if (c.callable == NULL)
        return NULL;
    /* A method of a class, given its object by hand. */
    int first = wrapped && Py_IS_TYPE(c.callable, &PyMethodDescr_Type);
    *argument = c.count > first ? c.arguments[first] : NULL;
    return target_of(c.callable);
}

/* ---- who is handed one ---- */

#define HANDED_MAX 64

static PyObject *handed[HANDED_MAX]; /* strong: code objects */
static int handed_count;

static bool
is_handed(PyObject *code)
{
    for (int i = 0; i < handed_count; i++) {
        if (handed[i] == code)
            return true;
    }
    return false;
}

static void
set_local(PyObject *code, long events)
{
    if (!sl_py_tool_did(PyObject_CallMethod(monitoring, "set_local_events",
                                            "iOl", tool, code, events)))
        PyErr_Clear();
}

/* Calls in `code` are told of from now on. */
static void
watch(PyObject *code)
{
    set_local(code, call_events);
}

void
sl_py_calls_handed(PyObject *code)
{
    if (is_handed(code) || handed_count == HANDED_MAX)
        return;
    handed[handed_count++] = Py_NewRef(code);
    if (call_events == 0)
        return;
    /* Where it called others so far, it is asked again. */
    set_local(code, 0);
    watch(code);
}

/* The known function that the call hands on; NULL: none. */
static const sl_py_target *
handed_on(const call *c)
{
    const sl_py_target *target = NULL;

    for (int i = 0; i < c->count && target == NULL; i++) {
        if (c->arguments[i] != NULL)
            target = target_of(c->arguments[i]);
    }
    return target;
}

/* Whether what the call hands on, or the called function's closure, is a
 * function that is known. */
static bool
hands_on(const call *c, PyObject *function)
{
    PyObject *cells = PyFunction_GET_CLOSURE(function);

    if (handed_on(c) != NULL)
        return true;
    for (Py_ssize_t i = 0; cells != NULL && i < PyTuple_GET_SIZE(cells); i++) {
        PyObject *inside = PyCell_GET(PyTuple_GET_ITEM(cells, i));
        if (inside != NULL && target_of(inside) != NULL)
            return true;
    }
    return false;
}

/* A call of none that is known. Whether its place is to be told of again. */
static bool
call_other(PyObject *code, const call *c)
{
    PyObject *function = PyMethod_Check(c->callable)
                             ? PyMethod_GET_FUNCTION(c->callable)
                             : c->callable;

    if (PyFunction_Check(function)) {
        if (hands_on(c, function))
            sl_py_calls_handed(PyFunction_GET_CODE(function));
        return is_name(((PyFunctionObject *)function)->func_name) ||
               is_handed(code);
    }
    /* An object that can be called (a mock, a partial) may stand there for one
     * that is known. */
    return is_handed(code) ||
           (!PyCFunction_Check(function) && !PyType_Check(function) &&
            !Py_IS_TYPE(function, &PyMethodDescr_Type) && names_one(code));
}

/* The known function that map() or its like will call out of C, untold: that
 * this is so can be said, and *by whom. NULL: it is another call. */
static const sl_py_target *
mapped(const call *c, const char **by)
{
    static const struct {
        const char *type, *name;
    } all[] = { { "map", "map" },
                { "filter", "filter" },
                { "itertools.starmap", "starmap" } };

    if (!PyType_Check(c->callable))
        return NULL;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        *by = all[i].name;
        if (strcmp(((PyTypeObject *)c->callable)->tp_name, all[i].type) == 0)
            return handed_on(c);
    }
    return NULL;
}

/* ---- events ---- */

void
sl_py_calls_started(PyObject *code)
{
    const sl_py_probe *probe = sl_py_probe_of(code);

    if (call_events == 0 || (probe != NULL && probe->target->action->quiet))
        return;
    if (names_one(code) ||
        sl_py_code_origin((PyCodeObject *)code) == SL_ORIGIN_PROJECT)
        watch(code);
}

static PyObject *
on_start(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count < 1 || !PyCode_Check(args[0]))
        Py_RETURN_NONE;
    sl_py_calls_started(args[0]);
    return Py_NewRef(disable);
}

/* The frame that runs `code`, told of at `offset`; 0: another one does, or has
 * no such place. */
static uintptr_t
frame_of(const PyObject *code, long offset)
{
    /* First: what another frame does not run may be anything. */
    uintptr_t frame = sl_py_own_frame_running(code);

    if (frame == 0 || offset <= 0 ||
        (size_t)offset / sizeof(uint16_t) >= (size_t)Py_SIZE(code))
        return 0;
    return frame;
}

static PyObject *
on_call(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    /* Where calls of known ones are made they are made again and again, also
     * while no request is recorded; of all others something is to be learnt. */
    if (count < 4 ||
        (!asked && (is_wrapper(args[2]) || target_of(args[2]) != NULL)))
        Py_RETURN_NONE;
    long offset = sl_py_small_int(args[1]);
    uintptr_t frame = frame_of(args[0], offset);
    if (frame == 0)
        Py_RETURN_NONE;
    call made = { .callable = args[2] };
    /* A driver's set-up may make thirty such calls, in a function that runs a
     * query, too. */
    if (is_plain_partial(args[2]))
        return Py_NewRef(call_other(args[0], &made) ? Py_None : disable);
    made = call_at(frame, offset, args[2], args[3]);
    PyObject *argument = NULL;
    const sl_py_target *target = target_of_call(made, &argument);
    const char *by;
    if (target == NULL && (target = mapped(&made, &by)) != NULL) {
        target->action->unseen(target, frame, by);
        Py_RETURN_NONE;
    }
    if (target == NULL)
        return Py_NewRef(call_other(args[0], &made) ? Py_None : disable);
    target->action->call(target, frame, argument, (uint32_t)offset);
    Py_RETURN_NONE;
}

static PyObject *
on_returned(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    const sl_py_target *target = count < 4 ? NULL : target_of(args[2]);
    /* What a wrapper called is not known any more; that it returned is. */
    if (target == NULL && count >= 4 && is_wrapper(args[2]))
        target = known[0].target;
    uintptr_t frame =
        target == NULL ? 0 : frame_of(args[0], sl_py_small_int(args[1]));
    if (frame != 0)
        target->action->returned(target, frame);
    Py_RETURN_NONE;
}

static PyMethodDef hooks[] = {
    { "PY_START", (PyCFunction)(void (*)(void))on_start, METH_FASTCALL, "" },
    { "CALL", (PyCFunction)(void (*)(void))on_call, METH_FASTCALL, "" },
    { "C_RETURN", (PyCFunction)(void (*)(void))on_returned, METH_FASTCALL, "" },
    { "C_RAISE", (PyCFunction)(void (*)(void))on_returned, METH_FASTCALL, "" },
};
#define HOOKS ((int)(sizeof(hooks) / sizeof(hooks[0])))
static PyObject *callbacks[HOOKS];
static long event_numbers[HOOKS];

/* ---- on ---- */

static PyObject *
swap(int id, int i, PyObject *callback)
{
    return sl_py_tool_swap(monitoring, id, event_numbers[i], callback);
}

static bool
is_ours(int id)
{
    PyObject *found = PyObject_CallMethod(monitoring, "get_tool", "i", id);

    PyErr_Clear();
    Py_XDECREF(found); /* only compared */
    return found == tool_name;
}

/* Nothing of ours is called under our id, and it is not ours, any more. */
static void
turn_off(void)
{
    /* Up to 3.13.0 what was registered under it goes on being called. */
    for (int i = 0; i < HOOKS; i++) {
        PyObject *was = swap(tool, i, Py_None);
        if (was != NULL && was != callbacks[i])
            sl_py_tool_did(swap(tool, i, was));
        Py_XDECREF(was);
        PyErr_Clear();
    }
    if (is_ours(tool))
        sl_py_tool_did(
            PyObject_CallMethod(monitoring, "free_tool_id", "i", tool));
    PyErr_Clear();
    tool = -1;
}

/* Under `tool`: what is told, to whom. */
static bool
tell(void)
{
    for (int i = 0; i < HOOKS; i++) {
        if (callbacks[i] == NULL)
            callbacks[i] = PyCFunction_New(&hooks[i], NULL);
        if (callbacks[i] == NULL ||
            !sl_py_tool_did(swap(tool, i, callbacks[i])))
            return false;
    }
    for (int i = 0; i < handed_count; i++)
        watch(handed[i]);
    return sl_py_tool_did(
        PyObject_CallMethod(monitoring, "set_events", "il", tool, start_event));
}

static void
turn_on(void)
{
    static const int ids[] = { 3, 4 };

    for (size_t i = 0; i < 2 && tool < 0; i++) {
        if (sl_py_tool_did(PyObject_CallMethod(monitoring, "use_tool_id", "iO",
                                               ids[i], tool_name)))
            tool = ids[i];
        PyErr_Clear();
    }
    if (tool < 0) {
        why_not = "sys.monitoring tool ids 3 and 4 are taken";
        return;
    }
    start_event = event_numbers[0];
    call_events = event_numbers[1] | event_numbers[2] | event_numbers[3];
    why_not = NULL;
    if (!tell()) {
        PyErr_Clear();
        turn_off();
        why_not = "sys.monitoring refused";
    }
}

/* Finds what may stand between a call and what it calls. */
static void
find_wrappers(void)
{
    PyObject *module = PyImport_ImportModule("functools");
    PyObject *run = PyObject_GetAttrString((PyObject *)&PyContext_Type, "run");

    partial = module == NULL ? NULL : PyObject_GetAttrString(module, "partial");
    s_args = PyUnicode_InternFromString("args");
    s_func = PyUnicode_InternFromString("func");
    context_run = run == NULL ? NULL : method_of(run);
    Py_XDECREF(run);
    Py_XDECREF(module);
    PyErr_Clear();
}

void
sl_py_calls_watch(void)
{
    static bool tried;

    if (tried || known_count == 0)
        return;
    tried = true;
    find_wrappers();
    monitoring = Py_XNewRef(PySys_GetObject("monitoring"));
    disable = monitoring == NULL
                  ? NULL
                  : PyObject_GetAttrString(monitoring, "DISABLE");
    missing =
        disable == NULL ? NULL : PyObject_GetAttrString(monitoring, "MISSING");
    tool_name = missing == NULL ? NULL : PyUnicode_FromString("slowlens calls");
    for (int i = 0; i < HOOKS && tool_name != NULL; i++) {
        event_numbers[i] = sl_py_tool_event(monitoring, hooks[i].ml_name);
        if (event_numbers[i] < 0)
            Py_CLEAR(tool_name);
    }
    if (tool_name == NULL)
        why_not = "sys.monitoring refused";
    else
        turn_on();
    PyErr_Clear();
}

/* Whether the id is ours, and tells us what we set; calls of others' choice are
 * local, and not among these. */
static bool
is_told(void)
{
    for (int i = 0; i < HOOKS; i++) {
        if (!sl_py_tool_calls(tool, event_numbers[i], callbacks[i]))
            return false;
    }
    PyObject *found = PyObject_CallMethod(monitoring, "get_events", "i", tool);
    long events = found == NULL ? -1 : PyLong_AsLong(found);

    PyErr_Clear();
    Py_XDECREF(found);
    return events == start_event && is_ours(tool);
}

bool
sl_py_calls_keep(void)
{
    if (tool_name == NULL || (tool >= 0 && is_told()))
        return false;
    bool lost = tool >= 0;
    if (lost)
        turn_off();
    turn_on();
    /* What was DISABLEd under the old id is not told of under ours. */
    if (tool >= 0 && !sl_py_tool_did(PyObject_CallMethod(
                         monitoring, "restart_events", NULL)))
        PyErr_Clear();
    return lost;
}

bool
sl_py_calls_give_up(void)
{
    bool had = tool >= 0;
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (had) {
        turn_off();
        why_not = "the one of sys.monitoring's tool ids 3 and 4 that no other "
                  "tool has is needed for functions";
    }
    PyErr_Restore(type, value, traceback);
    return had;
}

const char *
sl_py_calls_why_not(void)
{
    return why_not;
}
