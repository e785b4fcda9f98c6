/* CPython 3.12+: sys.monitoring (PEP 669).
 *
 * The callbacks are objects of a C type with a vectorcall slot: the cheapest
 * thing the interpreter can call (11 to 18 ns a pair against 14 to 25 for a
 * built-in function). They never raise, never return DISABLE, and never run
 * Python code.
 *
 * set_events makes the interpreter rewrite every code object again when it
 * next runs, and the interpreter (3.13+) refuses for good after 2^24 calls.
 * So events stay on for a while after the last recording (sl_py_engine_idle),
 * and switching stops altogether long before that. */
#include "engine/current.h"
#include "engine/engine.h"
#include "engine/probe.h"
#include "look/code_map.h"
#include "look/own_stack.h"

#define SWITCHES_MAX 12000000u
#define WATCHED_MAX  (1u << 20)

enum {
    START,
    RESUME,
    RETURN,
    YIELD,
    UNWIND,
    THROW,
    CALL,
    C_RETURN,
    C_RAISE,
    LINE,
    EVENTS
};

typedef struct {
    PyObject_HEAD vectorcallfunc call;
} hook;

static const char *const event_names[EVENTS] = {
    "PY_START", "PY_RESUME", "PY_RETURN", "PY_YIELD", "PY_UNWIND",
    "PY_THROW", "CALL",      "C_RETURN",  "C_RAISE",  "LINE",
};

static hook hooks[EVENTS];
static PyObject *monitoring; /* the module sys.monitoring */
static PyObject *set_local_events;
static PyObject *missing; /* sys.monitoring.MISSING */
static long python_events, c_events, line_event;
static int tool = -1;
static long events_on;
static long always; /* what probes need that cannot be local */
static uint64_t switches;
static uint64_t on_since_ns, idle_since_ns;
static uint64_t on_total_ns;
static Py_ssize_t users, users_all;

/* Code objects with local CALL events, by address. They may die meanwhile, and
 * with them their events: the weak reference tells. */
typedef struct {
    const PyObject *code; /* NULL: free */
    PyObject *weak;
    uint32_t lines; /* recordings that want its lines told */
} watch;

static watch *watched;
static uint32_t watched_mask, watched_count;

#define HOOK(name)                                                             \
    static PyObject *name(PyObject *self, PyObject *const *args,               \
                          size_t nargsf, PyObject *names)
#define HOOK_ARGS (void)self, (void)nargsf, (void)names

/* The strand that records here; NULL also where only probes are on. */
static inline sl_strand *
hook_strand(void)
{
    return events_on != 0 ? sl_py_active_strand() : NULL;
}

/* Iterations, attributes and operators call without a CALL. */
static __attribute__((noinline)) void
hook_site(sl_strand *strand)
{
    const void *caller = sl_strand_without_site(strand);
    uint32_t site = caller == NULL ? 0 : sl_py_own_caller_site(caller);
    if (site > 0)
        sl_strand_site(strand, site);
}

/* A Python function begins on the strand. */
static inline void
hook_enter(sl_strand *strand, PyObject *code)
{
    if (sl_py_active.c_calls != SL_C_NONE)
        hook_site(strand);
    sl_strand_enter(strand, code, SL_KIND_PYTHON, sl_py_now());
}

/* The time of an event that moves the strand; where lines are told, what passed
 * since the last one is its line's. */
static inline uint64_t
hook_now(sl_strand *strand)
{
    uint64_t now = sl_py_now();
    if (sl_py_active.lines)
        sl_strand_line_pass(strand, now);
    return now;
}

/* Of a function that is probed: few are, so what every call passes stays
 * short. */
static __attribute__((noinline)) void
probed_start(const sl_py_probe *probe, PyObject *code)
{
    bool inside = probe->target->action->inside;
    if (!inside && sl_py_probe_start(probe))
        return;
    sl_strand *strand = hook_strand();
    if (strand != NULL)
        hook_enter(strand, code);
    if (inside)
        sl_py_probe_start(probe);
}

HOOK(on_start)
{
    HOOK_ARGS;
    const sl_py_probe *probe = sl_py_probe_of(args[0]);
    sl_strand *strand;
    if (probe != NULL)
        probed_start(probe, args[0]);
    else if ((strand = hook_strand()) != NULL)
        hook_enter(strand, args[0]);
    Py_RETURN_NONE;
}

HOOK(on_resume)
{
    HOOK_ARGS;
    sl_strand *strand = hook_strand();
    if (strand != NULL)
        sl_strand_resume(strand, args[0], hook_now(strand));
    Py_RETURN_NONE;
}

/* A probe's action comes last: what it ends is no strand for others. */
static __attribute__((noinline)) void
probed_leave(PyObject *code, PyObject *result)
{
    const sl_py_probe *probe = sl_py_probe_of(code);
    sl_strand *strand = hook_strand();
    if (strand != NULL)
        sl_strand_leave(strand, code, hook_now(strand));
    sl_py_probe_leave(probe, result);
}

static inline void
hook_leave(PyObject *code, PyObject *result)
{
    sl_strand *strand;
    if (sl_py_probe_of(code) != NULL)
        probed_leave(code, result);
    else if ((strand = hook_strand()) != NULL)
        sl_strand_leave(strand, code, hook_now(strand));
}

HOOK(on_return)
{
    HOOK_ARGS;
    hook_leave(args[0], args[2]);
    Py_RETURN_NONE;
}

HOOK(on_unwind)
{
    HOOK_ARGS;
    hook_leave(args[0], NULL);
    Py_RETURN_NONE;
}

HOOK(on_yield)
{
    HOOK_ARGS;
    sl_strand *strand = hook_strand();
    if (strand != NULL)
        sl_strand_yield(strand, args[0], hook_now(strand));
    Py_RETURN_NONE;
}

/* CALL comes for every call, of Python functions too; it tells where. */
HOOK(on_call)
{
    HOOK_ARGS;
    sl_strand *strand = hook_strand();
    if (strand == NULL || sl_py_active.c_calls == SL_C_NONE)
        Py_RETURN_NONE;

    if (sl_strand_chosen(strand)) {
        long offset = sl_py_small_int(args[1]);
        if (offset > 0)
            sl_strand_site(strand, (uint32_t)offset);
    } else if (sl_py_active.c_calls == SL_C_CHOSEN) {
        Py_RETURN_NONE;
    }
    PyMethodDef *key = sl_py_c_function(args[2]);
    /* A method called without its object raises before it is entered. */
    if (key == NULL || (args[3] == missing && !PyCFunction_Check(args[2])))
        Py_RETURN_NONE;
    sl_py_enter_c(strand, args[2], key, hook_now(strand));
    Py_RETURN_NONE;
}

HOOK(on_c_return)
{
    HOOK_ARGS;
    sl_strand *strand = hook_strand();
    PyMethodDef *key;
    if (strand != NULL && (key = sl_py_c_function(args[2])) != NULL)
        sl_strand_leave_top(strand, key, hook_now(strand));
    Py_RETURN_NONE;
}

/* Only of code whose lines a recording wants; others may run it, too. */
HOOK(on_line)
{
    HOOK_ARGS;
    sl_strand *strand = hook_strand();
    long line =
        strand == NULL || !sl_py_active.lines ? 0 : sl_py_small_int(args[1]);
    if (line > 0)
        sl_strand_line(strand, args[0], (uint32_t)line, sl_py_now());
    Py_RETURN_NONE;
}

static const vectorcallfunc hook_calls[EVENTS] = {
    on_start,  on_resume, on_return,   on_yield,    on_unwind,
    on_resume, on_call,   on_c_return, on_c_return, on_line,
};

static PyTypeObject hook_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Hook",
    .tp_basicsize = sizeof(hook),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL |
                Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_vectorcall_offset = offsetof(hook, call),
    .tp_call = PyVectorcall_Call,
};

static long
event_number(const char *name)
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

int
sl_py_engine_init(void)
{
    if (monitoring != NULL)
        return 0;
    PyObject *found = PySys_GetObject("monitoring"); /* borrowed */
    if (found == NULL) {
        PyErr_SetString(PyExc_ImportError, "no sys.monitoring");
        return -1;
    }
    if (PyType_Ready(&hook_type) < 0)
        return -1;
    monitoring = Py_NewRef(found);
    set_local_events = PyObject_GetAttrString(monitoring, "set_local_events");
    missing = PyObject_GetAttrString(monitoring, "MISSING");
    if (set_local_events == NULL || missing == NULL)
        return -1;
    for (int i = 0; i < EVENTS; i++) {
        long number = event_number(event_names[i]);
        if (number < 0)
            return -1;
        *(i < CALL   ? &python_events
          : i < LINE ? &c_events
                     : &line_event) |= number;
        PyObject_Init((PyObject *)&hooks[i], &hook_type);
        hooks[i].call = hook_calls[i];
    }
    return 0;
}

/* Takes the first free of the ids 4 and 3 (2 is cRecording's) for good. */
static int
engine_claim(void)
{
    static const int ids[] = { 4, 3 };

    if (tool >= 0)
        return 0;
    for (size_t i = 0; i < 2 && tool < 0; i++) {
        PyObject *done = PyObject_CallMethod(monitoring, "use_tool_id", "is",
                                             ids[i], "slowlens");
        if (done != NULL)
            tool = ids[i];
        else if (!PyErr_ExceptionMatches(PyExc_ValueError))
            return -1;
        else
            PyErr_Clear();
        Py_XDECREF(done);
    }
    if (tool < 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "sys.monitoring tool ids 4 and 3 are both taken by "
                        "other tools");
        return -1;
    }
    for (int i = 0; i < EVENTS; i++) {
        PyObject *old = PyObject_CallMethod(
            monitoring, "register_callback", "ilO", tool,
            event_number(event_names[i]), (PyObject *)&hooks[i]);
        if (old == NULL)
            return -1;
        Py_DECREF(old);
    }
    return 0;
}

/* Tells the interpreter; it lets this be done 2^24 times. */
static int
engine_apply(long events)
{
    PyObject *done = PyObject_CallMethod(monitoring, "set_events", "il", tool,
                                         events | always);
    if (done == NULL)
        return -1;
    Py_DECREF(done);
    if (switches++ == 0) {
        /* A former owner of the id may have left locations DISABLEd. */
        done = PyObject_CallMethod(monitoring, "restart_events", NULL);
        if (done == NULL)
            return -1;
        Py_DECREF(done);
    }
    return 0;
}

static int
engine_set(long events)
{
    if (events == events_on)
        return 0;
    if (switches >= SWITCHES_MAX) {
        PyErr_SetString(PyExc_RuntimeError,
                        "events were switched too often in this process");
        return -1;
    }
    if (engine_apply(events) < 0)
        return -1;
    uint64_t now = sl_clock_monotonic_ns();
    if (events_on == 0)
        on_since_ns = now;
    else if (events == 0)
        on_total_ns += now - on_since_ns;
    events_on = events;
    return 0;
}

static long
engine_wanted(void)
{
    if (users == 0)
        return 0;
    return users_all > 0 ? python_events | c_events : python_events;
}

static void lines_release(sl_py_traced *traced);

int
sl_py_engine_acquire(sl_py_traced *traced)
{
    if (engine_claim() < 0)
        return -1;
    users++;
    users_all += traced->c_calls == SL_C_ALL;
    /* Only ever more events here; fewer when idle. */
    if (engine_set(events_on | engine_wanted()) < 0) {
        users--;
        users_all -= traced->c_calls == SL_C_ALL;
        return -1;
    }
    return 0;
}

void
sl_py_engine_release(sl_py_traced *traced)
{
    lines_release(traced);
    users--;
    users_all -= traced->c_calls == SL_C_ALL;
    idle_since_ns = sl_clock_monotonic_ns();
}

int
sl_py_engine_section_begin(sl_py_traced *traced)
{
    (void)traced;
    return 0;
}

void
sl_py_engine_section_end(sl_py_traced *traced)
{
    (void)traced;
}

/* Events come from all threads anyway. */
void
sl_py_engine_hand_over(sl_py_traced *traced)
{
    (void)traced;
}

static watch *
watched_slot(watch *set, uint32_t mask, const PyObject *code)
{
    uint32_t at = (uint32_t)(((uintptr_t)code >> 4) * 2654435761u) & mask;
    while (set[at].code != NULL && set[at].code != code)
        at = (at + 1) & mask;
    return &set[at];
}

/* Room for one more: in a table without those that are gone, of a size that
 * fits the others. */
static bool
watched_reserve(void)
{
    uint32_t live = 0, slots = 512;

    if (watched != NULL && watched_count < watched_mask / 2)
        return true;
    for (uint32_t i = 0; watched != NULL && i <= watched_mask; i++)
        live += watched[i].code != NULL && sl_py_weak_lives(watched[i].weak);
    while (slots / 4 < live + 1)
        slots *= 2;
    watch *grown =
        slots > WATCHED_MAX ? NULL : PyMem_Calloc(slots, sizeof(*grown));
    if (grown == NULL)
        return false;
    for (uint32_t i = 0; watched != NULL && i <= watched_mask; i++) {
        if (watched[i].code == NULL)
            continue;
        if (sl_py_weak_lives(watched[i].weak))
            *watched_slot(grown, slots - 1, watched[i].code) = watched[i];
        else
            Py_DECREF(watched[i].weak); /* runs no code */
    }
    PyMem_Free(watched);
    watched = grown;
    watched_mask = slots - 1;
    watched_count = live;
    return true;
}

/* The code's entry; NULL: it is not watched. */
static watch *
watch_of(const PyObject *code)
{
    if (watched == NULL)
        return NULL;
    watch *w = watched_slot(watched, watched_mask, code);
    return w->code == code && sl_py_weak_is(w->weak, code) ? w : NULL;
}

static long
watch_events(const watch *w)
{
    return w == NULL ? 0 : c_events | (w->lines > 0 ? line_event : 0);
}

/* Sets the local events of `code` to what its probe needs, and `more`. */
static bool
set_local(PyObject *code, long more)
{
    const sl_py_probe *probe = sl_py_probe_of(code);
    long events = more | (probe != NULL ? probe->events : 0);
    PyObject *done =
        PyObject_CallFunction(set_local_events, "iOl", tool, code, events);
    if (done == NULL)
        PyErr_Clear();
    Py_XDECREF(done);
    return done != NULL;
}

void
sl_py_engine_local(PyObject *code)
{
    set_local(code, watch_events(watch_of(code)));
}

const char *
sl_py_engine_probes(void)
{
    if (engine_claim() == 0)
        return NULL;
    PyErr_Clear();
    return "sys.monitoring tool ids 4 and 3 are both taken by other tools";
}

long
sl_py_engine_probe_events(bool start, bool leave, bool raises)
{
    long events = (start ? event_number("PY_START") : 0) |
                  (leave ? event_number("PY_RETURN") : 0);
    long unwind = leave && raises ? event_number("PY_UNWIND") : 0;

    if (sl_py_unwind_is_local)
        return events | unwind;
    if ((unwind & ~always) != 0) {
        always |= unwind;
        if (engine_apply(events_on) < 0)
            PyErr_Clear();
    }
    return events;
}

bool
sl_py_engine_watch(PyCodeObject *object)
{
    PyObject *code = (PyObject *)object;
    PyObject *weak;

    if (watch_of(code) != NULL)
        return true;
    if (!watched_reserve() || (weak = PyWeakref_NewRef(code, NULL)) == NULL) {
        PyErr_Clear();
        return false;
    }
    if (!set_local(code, c_events)) {
        Py_DECREF(weak);
        return false;
    }
    watch *w = watched_slot(watched, watched_mask, code);
    watched_count += w->code == NULL;
    Py_XDECREF(w->weak); /* of one that lay there before */
    *w = (watch){ code, weak, 0 };
    return true;
}

bool
sl_py_engine_lines(sl_py_traced *traced, PyCodeObject *object)
{
    PyObject *code = (PyObject *)object;
    watch *w = sl_py_engine_watch(object) ? watch_of(code) : NULL;

    if (w == NULL)
        return false;
    if (traced->lined_count == traced->lined_capacity) {
        uint32_t capacity = traced->lined_capacity * 2;
        capacity = capacity == 0 ? 64 : capacity;
        PyObject **grown =
            PyMem_Realloc(traced->lined, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        traced->lined = grown;
        traced->lined_capacity = capacity;
    }
    if (w->lines++ == 0 && !set_local(code, watch_events(w))) {
        /* Setting events may have run code, and moved the table. */
        w = watch_of(code);
        if (w != NULL)
            w->lines--;
        return false;
    }
    traced->lined[traced->lined_count++] = Py_NewRef(code);
    return true;
}

static void
lines_release(sl_py_traced *traced)
{
    for (uint32_t i = 0; i < traced->lined_count; i++) {
        PyObject *code = traced->lined[i];
        watch *w = watch_of(code);
        if (w != NULL && w->lines > 0 && --w->lines == 0)
            set_local(code, watch_events(w));
        Py_DECREF(code);
    }
    PyMem_Free(traced->lined);
    traced->lined = NULL;
    traced->lined_count = traced->lined_capacity = 0;
}

static void
watched_clear(void)
{
    watch *old = watched;
    uint32_t mask = watched_mask;

    watched = NULL;
    watched_mask = watched_count = 0;
    for (uint32_t i = 0; old != NULL && i <= mask; i++) {
        if (old[i].code == NULL)
            continue;
        if (sl_py_weak_lives(old[i].weak)) {
            PyObject *code = Py_NewRef((PyObject *)old[i].code);
            set_local(code, 0);
            Py_DECREF(code);
        }
        Py_DECREF(old[i].weak);
    }
    PyMem_Free(old);
}

bool
sl_py_engine_idle(uint64_t linger_ns)
{
    if (events_on == 0 || events_on == engine_wanted())
        return events_on != 0;
    if (sl_clock_monotonic_ns() - idle_since_ns < linger_ns)
        return true;
    /* Near the cap: stay on rather than lose the right to come back. */
    if (switches + 2 >= SWITCHES_MAX)
        return true;
    if (engine_set(engine_wanted()) < 0)
        PyErr_Clear();
    if (events_on == 0)
        watched_clear();
    return events_on != 0;
}

void
sl_py_engine_after_fork(void)
{
    users = users_all = 0;
    idle_since_ns = 0;
    sl_py_engine_idle(0);
}

PyObject *
sl_py_engine_info(void)
{
    uint64_t on = on_total_ns;
    if (events_on != 0)
        on += sl_clock_monotonic_ns() - on_since_ns;
    return Py_BuildValue(
        "{s:s,s:i,s:O,s:K,s:I,s:n,s:K,s:I}", "name", "sys.monitoring", "tool",
        tool, "events_on", events_on != 0 ? Py_True : Py_False, "switches",
        (unsigned long long)switches, "watched", (unsigned)watched_count,
        "users", users, "on_ns", (unsigned long long)on, "probes",
        (unsigned)sl_py_probe_count);
}

bool
sl_py_engine_hears_imports(void)
{
    return true;
}
