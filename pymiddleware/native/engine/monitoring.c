/* CPython 3.12+: sys.monitoring (PEP 669): which events are on, and where. What
 * is done at each: hooks.c.
 *
 * set_events makes the interpreter rewrite every code object again when it
 * next runs, and the interpreter (3.13+) refuses for good after 2^24 calls.
 * So events stay on for a while after the last recording (sl_py_engine_idle),
 * and switching stops altogether long before that. */
#include "engine/engine.h"
#include "engine/hooks.h"
#include "engine/probe.h"

#define SWITCHES_MAX 12000000u
#define WATCHED_MAX  (1u << 20)

static const char *const event_names[SL_PY_EVENTS] = {
    "PY_START", "PY_RESUME", "PY_RETURN", "PY_YIELD", "PY_UNWIND",
    "PY_THROW", "CALL",      "C_RETURN",  "C_RAISE",  "LINE",
};

static PyObject *monitoring; /* the module sys.monitoring */
static PyObject *set_local_events;
static long python_events, c_events, line_event;
static long probe_events; /* those of the probes' own id, if they have one */
static int tool = -1;
static int probe_tool = -1; /* the same as `tool` where theirs is taken */
static long events_on;
static long always; /* what probes need that cannot be local */
static uint64_t switches;
static uint64_t on_since_ns, idle_since_ns;
static uint64_t on_total_ns;
static Py_ssize_t users, users_all, users_lines;

/* Code objects with local CALL events, by address. They may die meanwhile, and
 * with them their events: the weak reference tells. */
typedef struct {
    const PyObject *code; /* NULL: free */
    PyObject *weak;
    uint32_t lines; /* recordings that want its lines told */
} watch;

static watch *watched;
static uint32_t watched_mask, watched_count;

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
    if (sl_py_hooks_init(found) < 0)
        return -1;
    monitoring = Py_NewRef(found);
    set_local_events = PyObject_GetAttrString(monitoring, "set_local_events");
    if (set_local_events == NULL)
        return -1;
    for (int i = 0; i < SL_PY_EVENTS; i++) {
        long number = event_number(event_names[i]);
        if (number < 0)
            return -1;
        *(i < SL_PY_CALL   ? &python_events
          : i < SL_PY_LINE ? &c_events
                           : &line_event) |= number;
    }
    return 0;
}

static void
hooks_set(void)
{
    sl_py_hooks_set(events_on != 0, probe_tool != tool, users_lines > 0);
}

/* Calls a function of sys.monitoring; false: it raised. */
static bool
ask(PyObject *result)
{
    Py_XDECREF(result);
    return result != NULL;
}

static bool
set_callback(int id, int event, PyObject *hook)
{
    return ask(PyObject_CallMethod(monitoring, "register_callback", "ilO", id,
                                   event_number(event_names[event]), hook));
}

static bool
set_local_of(int id, PyObject *code, long events)
{
    return ask(
        PyObject_CallFunction(set_local_events, "iOl", id, code, events));
}

/* Whether the callback under the higher id is called first, as it is by all
 * CPythons there are: tried with a code object of our own. */
static bool
order_is_known(int higher)
{
    long start = event_number(event_names[SL_PY_START]);
    PyObject *code = Py_CompileString("0", "<slowlens>", Py_eval_input);
    PyObject *globals = code == NULL ? NULL : PyDict_New();

    sl_py_hooks_test(true);
    if (globals != NULL && set_local_of(tool, code, start) &&
        set_local_of(higher, code, start))
        ask(PyEval_EvalCode(code, globals, globals));
    bool known = sl_py_hooks_test(false);
    Py_XDECREF(globals);
    Py_XDECREF(code);
    return known;
}

/* Gives probes the id 5 ("optimizer", which nobody has), if it is the next
 * above the engine's: nothing may be called between the two. */
static void
probes_claim(void)
{
    const int id = 5;

    probe_tool = tool;
    if (tool != id - 1 ||
        !ask(PyObject_CallMethod(monitoring, "use_tool_id", "is", id,
                                 "slowlens probes")))
        goto end;
    if (set_callback(id, SL_PY_START, sl_py_probe_hook(SL_PY_START)) &&
        set_callback(id, SL_PY_RETURN, sl_py_probe_hook(SL_PY_RETURN)) &&
        set_callback(id, SL_PY_CALL, sl_py_probe_hook(SL_PY_CALL)) &&
        set_callback(id, SL_PY_LINE, sl_py_probe_hook(SL_PY_LINE)) &&
        order_is_known(id)) {
        probe_tool = id;
        probe_events = event_number(event_names[SL_PY_START]) |
                       event_number(event_names[SL_PY_RETURN]) |
                       event_number(event_names[SL_PY_CALL]) |
                       event_number(event_names[SL_PY_LINE]);
    } else {
        PyErr_Clear();
        ask(PyObject_CallMethod(monitoring, "free_tool_id", "i", id));
    }
end:
    PyErr_Clear();
    hooks_set();
}

/* Takes the first free of the ids 4 and 3 (2 is cProfile's) for good. */
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
    for (int i = 0; i < SL_PY_EVENTS; i++) {
        if (!set_callback(tool, i, sl_py_hook(i)))
            return -1;
    }
    probes_claim();
    return 0;
}

/* Tells the interpreter; it lets this be done 2^24 times. */
static int
engine_apply(long events)
{
    if (!ask(PyObject_CallMethod(monitoring, "set_events", "il", tool,
                                 events | always)))
        return -1;
    /* A former owner of the id may have left locations DISABLEd. */
    if (switches++ == 0 &&
        !ask(PyObject_CallMethod(monitoring, "restart_events", NULL)))
        return -1;
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
    hooks_set();
    return 0;
}

static long
engine_wanted(void)
{
    if (users == 0)
        return 0;
    return users_all > 0 ? python_events | c_events : python_events;
}

static void
engine_count(const sl_py_traced *traced, int more)
{
    users += more;
    users_all += traced->c_calls == SL_C_ALL ? more : 0;
    users_lines += traced->lines ? more : 0;
    if (traced->lines)
        hooks_set();
}

static void lines_release(sl_py_traced *traced);

int
sl_py_engine_acquire(sl_py_traced *traced)
{
    if (engine_claim() < 0)
        return -1;
    engine_count(traced, 1);
    /* Only ever more events here; fewer when idle. */
    if (engine_set(events_on | engine_wanted()) < 0) {
        engine_count(traced, -1);
        return -1;
    }
    return 0;
}

void
sl_py_engine_release(sl_py_traced *traced)
{
    lines_release(traced);
    engine_count(traced, -1);
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
    long wanted = probe != NULL ? probe->events : 0;
    bool done = set_local_of(tool, code, more | (wanted & ~probe_events));

    if (done && probe != NULL && (wanted & probe_events) != 0)
        done = set_local_of(probe_tool, code, wanted & probe_events);
    if (!done)
        PyErr_Clear();
    return done;
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
sl_py_engine_probe_events(const sl_py_action *action)
{
    bool leave = action->leave != NULL;
    long events = (action->start != NULL ? event_number("PY_START") : 0) |
                  (leave ? event_number("PY_RETURN") : 0) |
                  (action->line != NULL ? event_number("LINE") : 0) |
                  (action->calls != NULL ? event_number("CALL") : 0);
    long unwind = leave && action->raises ? event_number("PY_UNWIND") : 0;

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
    users = users_all = users_lines = 0;
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
        "{s:s,s:i,s:i,s:O,s:K,s:I,s:n,s:K,s:I}", "name", "sys.monitoring",
        "tool", tool, "probe_tool", probe_tool, "events_on",
        events_on != 0 ? Py_True : Py_False, "switches",
        (unsigned long long)switches, "watched", (unsigned)watched_count,
        "users", users, "on_ns", (unsigned long long)on, "probes",
        (unsigned)sl_py_probe_count);
}

bool
sl_py_engine_hooks_threads(void)
{
    return false;
}

bool
sl_py_engine_hears_imports(void)
{
    return true;
}
