/* CPython 3.12+: sys.monitoring (PEP 669): which events are on, and where. What
 * is done at each: hooks.c.
 *
 * set_events makes the interpreter rewrite every code object again when it
 * next runs, and the interpreter (3.13+) refuses for good after 2^24 calls.
 * So events stay on for a while after the last recording (sl_py_engine_idle),
 * and switching stops altogether long before that. */
#include "engine/calls.h"
#include "engine/current.h"
#include "engine/engine.h"
#include "engine/hooks.h"
#include "engine/probe.h"
#include "engine/tools.h"
#include "engine/watched.h"

#define SWITCHES_MAX 12000000u
/* Looking whether our ids are ours costs a quarter of a microsecond: not more
 * often than this at the ends of recordings. */
#define KEEP_NS UINT64_C(1000000)

static const char *const event_names[SL_PY_EVENTS] = {
    "PY_START", "PY_RESUME", "PY_RETURN", "PY_YIELD", "PY_UNWIND",
    "PY_THROW", "CALL",      "C_RETURN",  "C_RAISE",  "LINE",
};

static PyObject *monitoring; /* the module sys.monitoring */
static long event_numbers[SL_PY_EVENTS];
static PyObject *set_local_events, *get_tool, *get_events;
static long python_events, c_events, line_event;
static long probe_events; /* those of the probes' own id, if they have one */
static int tool = -1;
static int probe_tool = -1; /* the same as `tool` where theirs is taken */
static long events_on;
static long always; /* what probes need that cannot be local */
static long told;   /* what the interpreter says of events_on and always */
static uint64_t switches;
static bool restarted; /* nothing is DISABLEd that a former owner disabled */

/* Whose an id is, and how often ours were found to be another's: see
 * "what others take". */
static PyObject *tool_name, *probe_name, *tool_number, *probe_number;
static uint32_t losses;
static bool lost; /* what was told is to be told again, once we have an id */
static uint64_t kept_ns; /* when that was looked at last */

static uint64_t on_since_ns, idle_since_ns;
static uint64_t on_total_ns;
static Py_ssize_t users, users_all, users_lines;

static bool set_local(PyObject *code, long more);

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
    get_tool = PyObject_GetAttrString(monitoring, "get_tool");
    get_events = PyObject_GetAttrString(monitoring, "get_events");
    /* Not interned: no other object of these texts is the same one. */
    tool_name = PyUnicode_FromString("slowlens");
    probe_name = PyUnicode_FromString("slowlens probes");
    if (set_local_events == NULL || get_tool == NULL || get_events == NULL ||
        tool_name == NULL || probe_name == NULL)
        return -1;
    for (int i = 0; i < SL_PY_EVENTS; i++) {
        long number = sl_py_tool_event(monitoring, event_names[i]);
        if (number < 0)
            return -1;
        event_numbers[i] = number;
        *(i < SL_PY_CALL   ? &python_events
          : i < SL_PY_LINE ? &c_events
                           : &line_event) |= number;
    }
    sl_py_watched_by(set_local, c_events, line_event);
    return 0;
}

static void
hooks_set(void)
{
    sl_py_hooks_set(events_on != 0, probe_tool != tool, users_lines > 0);
}

static bool
set_callback(int id, int event, PyObject *hook)
{
    return sl_py_tool_did(
        sl_py_tool_swap(monitoring, id, event_numbers[event], hook));
}

static bool
set_local_of(int id, PyObject *code, long events)
{
    return sl_py_tool_did(
        PyObject_CallFunction(set_local_events, "iOl", id, code, events));
}

/* Whether the callback under the higher id is called first, as it is by all
 * CPythons there are: tried with a code object of our own. */
static bool
order_is_known(int higher)
{
    long start = event_numbers[SL_PY_START];
    PyObject *code = Py_CompileString("0", "<slowlens>", Py_eval_input);
    PyObject *globals = code == NULL ? NULL : PyDict_New();

    sl_py_hooks_test(true);
    if (globals != NULL && set_local_of(tool, code, start) &&
        set_local_of(higher, code, start))
        sl_py_tool_did(PyEval_EvalCode(code, globals, globals));
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
    if (tool != id - 1 || !sl_py_tool_did(PyObject_CallMethod(
                              monitoring, "use_tool_id", "iO", id, probe_name)))
        goto end;
    if (set_callback(id, SL_PY_START, sl_py_probe_hook(SL_PY_START)) &&
        set_callback(id, SL_PY_RETURN, sl_py_probe_hook(SL_PY_RETURN)) &&
        set_callback(id, SL_PY_CALL, sl_py_probe_hook(SL_PY_CALL)) &&
        set_callback(id, SL_PY_LINE, sl_py_probe_hook(SL_PY_LINE)) &&
        order_is_known(id)) {
        probe_tool = id;
        probe_events = event_numbers[SL_PY_START] |
                       event_numbers[SL_PY_RETURN] | event_numbers[SL_PY_CALL] |
                       event_numbers[SL_PY_LINE];
    } else {
        PyErr_Clear();
        sl_py_tool_did(
            PyObject_CallMethod(monitoring, "free_tool_id", "i", id));
    }
end:
    PyErr_Clear();
    hooks_set();
}

/* The events under our id, without those that belong to others of them; -1:
 * it is nobody's. */
static long
events_told(void)
{
    PyObject *found = PyObject_CallOneArg(get_events, tool_number);
    long events = found == NULL ? -1 : PyLong_AsLong(found);

    if (events == -1)
        PyErr_Clear();
    Py_XDECREF(found);
    return events;
}

static void callbacks_off(int id);
static void engine_again(void);

/* Uses the first free of the ids 4 and 3 (2 is cProfile's). 0: neither is; -1
 * with an exception. */
static int
id_claim(void)
{
    static const int ids[] = { 4, 3 };

    for (size_t i = 0; i < 2; i++) {
        if (sl_py_tool_did(PyObject_CallMethod(monitoring, "use_tool_id", "iO",
                                               ids[i], tool_name))) {
            tool = ids[i];
            Py_XSETREF(tool_number, PyLong_FromLong(tool)); /* no failure */
            return 1;
        }
        if (!PyErr_ExceptionMatches(PyExc_ValueError))
            return -1;
        PyErr_Clear();
    }
    return 0;
}

/* The id is nobody's again; the exception stays. */
static void
id_disclaim(void)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    callbacks_off(tool);
    if (!sl_py_tool_did(
            PyObject_CallMethod(monitoring, "free_tool_id", "i", tool)))
        PyErr_Clear();
    PyErr_Restore(type, value, traceback);
    tool = -1;
}

static int
engine_claim(void)
{
    if (tool >= 0)
        return 0;
    int claimed = id_claim();
    /* Functions and what they call are told before calls of C are. */
    if (claimed == 0 && sl_py_calls_give_up()) {
        losses++;
        claimed = id_claim();
    }
    if (claimed < 0)
        return -1;
    if (claimed == 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "sys.monitoring tool ids 4 and 3 are both taken by "
                        "other tools");
        return -1;
    }
    for (int i = 0; i < SL_PY_EVENTS; i++) {
        if (!set_callback(tool, i, sl_py_hook(i))) {
            id_disclaim();
            return -1;
        }
    }
    probes_claim();
    Py_XSETREF(probe_number, PyLong_FromLong(probe_tool));
    told = events_told();
    if (lost) {
        lost = false;
        engine_again();
    }
    return 0;
}

/* Tells the interpreter; it lets this be done 2^24 times. */
static int
engine_apply(long events)
{
    if (!sl_py_tool_did(PyObject_CallMethod(monitoring, "set_events", "il",
                                            tool, events | always)))
        return -1;
    switches++;
    /* A former owner of the id may have left locations DISABLEd. */
    if (!restarted && !sl_py_tool_did(PyObject_CallMethod(
                          monitoring, "restart_events", NULL)))
        return -1;
    restarted = true;
    told = events_told();
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

static void engine_keep(void);

int
sl_py_engine_acquire(sl_py_traced *traced)
{
    sl_py_holder_check();
    if (events_on == 0)
        engine_keep(); /* nobody looked while nothing ran */
    if (engine_claim() < 0)
        return -1;
    traced->losses = losses;
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
    uint64_t now = sl_clock_monotonic_ns();

    if (now - kept_ns > KEEP_NS) {
        engine_keep();
        kept_ns = now;
    }
    traced->displaced = traced->losses != losses;
    sl_py_watched_release(traced);
    engine_count(traced, -1);
    idle_since_ns = now;
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
    set_local(code, sl_py_watched_events(code));
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
    long events = (action->start != NULL ? event_numbers[SL_PY_START] : 0) |
                  (leave ? event_numbers[SL_PY_RETURN] : 0) |
                  (action->line != NULL ? event_numbers[SL_PY_LINE] : 0) |
                  (action->calls != NULL ? event_numbers[SL_PY_CALL] : 0);
    long unwind = leave && action->raises ? event_numbers[SL_PY_UNWIND] : 0;

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
sl_py_engine_watch(PyCodeObject *code)
{
    return sl_py_watched_add(code);
}

bool
sl_py_engine_lines(sl_py_traced *traced, PyCodeObject *code)
{
    return sl_py_watched_lines(traced, code);
}

/* ---- what others take ---- */

/* Anybody may free an id, ours too, or set what is told under it: a clean-up of
 * "all tools" at the end of a test does. Nobody is told of it, so we look: as
 * recordings end, and whenever events go on or may go off. A recording that ran
 * meanwhile says that it was displaced. */

static bool
is_ours(PyObject *number, PyObject *name)
{
    PyObject *found = PyObject_CallOneArg(get_tool, number);

    if (found == NULL)
        PyErr_Clear();
    Py_XDECREF(found); /* only compared */
    return found == name;
}

/* Nothing of ours is called under the id any more: up to 3.13.0 an id that is
 * freed goes on telling, also to its next owner's neighbours. */
static void
callbacks_off(int id)
{
    for (int i = 0; i < SL_PY_EVENTS; i++) {
        PyObject *was =
            sl_py_tool_swap(monitoring, id, event_numbers[i], Py_None);
        bool ours = was == sl_py_hook(i) || was == sl_py_probe_hook(i);
        if (was != NULL && !ours)
            set_callback(id, i, was); /* another's: as it was */
        Py_XDECREF(was);
        PyErr_Clear();
    }
}

static void
give_back(int id, PyObject *number, PyObject *name)
{
    callbacks_off(id);
    if (is_ours(number, name) && !sl_py_tool_did(PyObject_CallMethod(
                                     monitoring, "free_tool_id", "O", number)))
        PyErr_Clear();
}

/* All that was told under the old ids, under those that we have now. */
static void
engine_again(void)
{
    if (engine_apply(events_on) < 0)
        PyErr_Clear();
    for (uint32_t i = 0; i < SL_PY_PROBE_SLOTS; i++) {
        if (sl_py_probe_slots[i] != NULL)
            sl_py_engine_local(sl_py_probe_slots[i]->code);
    }
    sl_py_watched_again();
}

/* Whoever has our hooks called no more may leave the id ours and its events as
 * they were. */
static bool
hooks_are_called(void)
{
    for (int i = 0; i < SL_PY_EVENTS; i++) {
        if (!sl_py_tool_calls(tool, event_numbers[i], sl_py_hook(i)))
            return false;
        if ((event_numbers[i] & probe_events) != 0 &&
            !sl_py_tool_calls(probe_tool, event_numbers[i],
                              sl_py_probe_hook(i)))
            return false;
    }
    return true;
}

static bool
ids_are_ours(void)
{
    return is_ours(tool_number, tool_name) && events_told() == told &&
           (probe_tool == tool || is_ours(probe_number, probe_name)) &&
           hooks_are_called();
}

static void
engine_take_again(void)
{
    losses++;
    give_back(tool, tool_number, tool_name);
    if (probe_tool != tool)
        give_back(probe_tool, probe_number, probe_name);
    tool = probe_tool = -1;
    probe_events = 0;
    restarted = false;
    lost = true;
    if (engine_claim() == 0)
        return;
    PyErr_Clear(); /* as at the start: whoever asks next is told why */
    if (events_on != 0)
        on_total_ns += sl_clock_monotonic_ns() - on_since_ns;
    events_on = 0;
    hooks_set();
    sl_py_watched_clear();
}

/* The ids are ours, with what we set; taken again if they are not, the engine's
 * first. Never raises. */
static void
engine_keep(void)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (tool >= 0 && !ids_are_ours())
        engine_take_again();
    losses += sl_py_calls_keep();
    PyErr_Restore(type, value, traceback);
}

bool
sl_py_engine_idle(uint64_t linger_ns)
{
    engine_keep();
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
        sl_py_watched_clear();
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
        "{s:s,s:i,s:i,s:O,s:K,s:I,s:n,s:K,s:I,s:I}", "name", "sys.monitoring",
        "tool", tool, "probe_tool", probe_tool, "events_on",
        events_on != 0 ? Py_True : Py_False, "switches",
        (unsigned long long)switches, "watched",
        (unsigned)sl_py_watched_count(), "users", users, "on_ns",
        (unsigned long long)on, "probes", (unsigned)sl_py_probe_count, "losses",
        (unsigned)losses);
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
