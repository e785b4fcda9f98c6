/* Switches of greenlets: see greenlets.h. */
#include "run/greenlets.h"
#include "compat/cpu_clock.h"
#include "engine/argument.h"
#include "engine/current.h"
#include "engine/probes.h"
#include "look/own_stack.h"
#include "run/active.h"
#include "run/handed.h"
#include "run/hub.h"
#include "run/jobs.h"
#include "run/live.h"
#include "sampler/switches.h"

#include <string.h>

#define GREENS_MAX 1024u
/* Of a stack that is met in the middle. */
#define REPLAY_MAX 256

/* greenlet's C interface, by its numbers in greenlet.h, the same since 1.0. */
enum { GREENLET_STARTED = 9, GREENLET_ACTIVE = 10, GREENLET_PARENT = 11 };
static void **api;
static PyObject *settrace, *gettrace;
static PyObject *name_frame, *name_args;

static struct {
    uint64_t switches, away, back, over, spawned;
} counts;

/* One that gevent or eventlet started for a request. */
typedef struct spawned {
    sl_py_stint stint;
    sl_py_job_slot slot;
    const void *greenlet;
    PyObject *what; /* strong or NULL: what it runs */
    sl_py_loop_step turn;
    struct spawned *next;
} spawned;

static spawned *all_spawned;

/* ---- asking greenlets ---- */

static bool
is_started(PyObject *greenlet)
{
    int (*started)(PyObject *);
    memcpy(&started, &api[GREENLET_STARTED], sizeof(started));
    return started(greenlet) != 0;
}

static bool
is_active(PyObject *greenlet)
{
    int (*active)(PyObject *);
    memcpy(&active, &api[GREENLET_ACTIVE], sizeof(active));
    return active(greenlet) != 0;
}

static bool
is_parent(const PyObject *of, PyObject *greenlet)
{
    PyObject *(*parent)(PyObject *);
    memcpy(&parent, &api[GREENLET_PARENT], sizeof(parent));
    PyObject *found = parent(greenlet);
    PyErr_Clear();
    Py_XDECREF(found);
    return found == of && found != NULL;
}

/* The innermost frame of a greenlet that waits; 0: it has none. */
static uintptr_t
innermost_frame(PyObject *greenlet)
{
    PyObject *frame = PyObject_GetAttr(greenlet, name_frame);
    uintptr_t at =
        frame != NULL && PyFrame_Check(frame) ? sl_py_own_frame_of(frame) : 0;
    PyErr_Clear();
    Py_XDECREF(frame); /* the greenlet keeps what it is the frame of */
    return at;
}

/* ---- one stint ---- */

static uint64_t
stint_now(const sl_py_stint *stint)
{
    return sl_clock_ticks(stint->recording->sampled.clock);
}

/* Level of the greenlet in the stint; -1: it is a stranger. */
static int
stint_level(const sl_py_stint *stint, const PyObject *greenlet)
{
    for (int i = stint->depth; i-- > 0;) {
        if (stint->nest[i].greenlet == greenlet)
            return i;
    }
    return -1;
}

/* The frames below the running greenlet's. */
static int
stint_below(const sl_py_stint *stint, uintptr_t below[SL_PY_NEST_MAX])
{
    for (int i = 0; i + 1 < stint->depth; i++)
        below[i] = stint->nest[i].frame;
    return stint->depth - 1;
}

/* A greenlet that was nested in a stack of the recording before, in an earlier
 * stint or since switched away from (two that switch to each other). */
static sl_py_green *
green_find(const sl_py_recording *recording, const void *greenlet)
{
    for (uint32_t i = 0; i < recording->green_count; i++) {
        if (recording->greens[i].greenlet == greenlet)
            return &recording->greens[i];
    }
    return NULL;
}

/* A new one. NULL: no room. */
static sl_py_green *
green_add(sl_py_recording *recording, const void *greenlet)
{
    if (recording->green_count == recording->green_capacity) {
        uint32_t capacity =
            recording->green_capacity == 0 ? 4 : recording->green_capacity * 2;
        sl_py_green *grown =
            capacity > GREENS_MAX
                ? NULL
                : PyMem_Realloc(recording->greens, capacity * sizeof(*grown));
        if (grown == NULL) {
            recording->lost_strands++;
            return NULL;
        }
        recording->greens = grown;
        recording->green_capacity = capacity;
    }
    sl_py_green *green = &recording->greens[recording->green_count++];
    *green = (sl_py_green){ greenlet, NULL };
    return green;
}

/* Tells a strand what runs already in the calling thread. */
static void
replay(sl_strand *strand, uint64_t now)
{
    sl_py_raw_frame frames[REPLAY_MAX];
    int count = sl_py_own_frames(sl_py_own_frame(), 0, frames, REPLAY_MAX);

    while (count-- > 0)
        sl_strand_resume(strand, (const void *)frames[count].code, now);
}

/* The strand for `target`, which `starter` switched to: as it was, or new. */
static sl_strand *
nested_strand(sl_py_recording *recording, PyObject *target, sl_strand *starter,
              bool fresh, uint64_t now)
{
    sl_py_green *green = green_find(recording, target);

    if (green == NULL)
        green = green_add(recording, target);
    if (green == NULL || green->strand != NULL)
        return green == NULL ? NULL : green->strand;
    green->strand = sl_recording_nested(recording->core, starter, now);
    if (green->strand != NULL && !fresh)
        replay(green->strand, now);
    return green->strand;
}

/* Whether `target` is what the recording's code itself switched to. */
static bool
is_nested(const sl_py_recording *recording, const PyObject *origin,
          PyObject *target, bool fresh)
{
    return (fresh || is_parent(origin, target) ||
            green_find(recording, target) != NULL) &&
           !sl_py_hub_is(target, fresh);
}

/* From a greenlet of the stint to another of it, with no time between. false:
 * `target` is none. */
static bool
stint_over(sl_py_stint *stint, PyObject *origin, PyObject *target, bool fresh)
{
    sl_py_recording *recording = stint->recording;
    bool by_samples = recording->sampled.by_samples;
    int level = stint_level(stint, target);
    sl_strand *from = stint->strand;

    if (level < 0) {
        if (stint->depth == SL_PY_NEST_MAX ||
            !is_nested(recording, origin, target, fresh))
            return false;
        sl_strand *strand = by_samples || from == NULL
                                ? from
                                : nested_strand(recording, target, from, fresh,
                                                stint_now(stint));
        if (strand == NULL && from != NULL)
            return false;
        if (by_samples && green_find(recording, target) == NULL)
            green_add(recording, target);
        stint->nest[stint->depth - 1].frame = innermost_frame(origin);
        level = stint->depth;
        stint->nest[level].greenlet = target;
        stint->nest[level].strand = strand;
    }
    stint->depth = level + 1;
    stint->strand = stint->nest[level].strand;
    if (!by_samples && from != NULL && stint->strand != from)
        sl_py_switch_strands(from, stint->strand, stint_now(stint));
    uintptr_t below[SL_PY_NEST_MAX];
    int count = stint_below(stint, below);
    if (by_samples)
        sl_py_switch_over(&recording->sampled, stint->slot, below, count);
    counts.over++;
    return true;
}

/* The frames that wait, innermost first, over all levels of the stint. */
static int
stint_frames(const sl_py_stint *stint, PyObject *origin, uintptr_t anchor,
             sl_py_raw_frame *frames)
{
    uintptr_t at = innermost_frame(origin);
    int count = 0;

    for (int level = stint->depth; level-- > 0;) {
        int seam = count;
        count += sl_py_own_frames(at, anchor, frames + count,
                                  SL_PY_WALK_MAX - count);
        if (level + 1 < stint->depth && count > seam)
            sl_py_own_forget_line(&frames[seam]);
        at = level > 0 ? stint->nest[level - 1].frame : 0;
    }
    return count;
}

static spawned *
spawned_of(sl_py_stint *stint)
{
    return (spawned *)stint; /* its first field */
}

/* To a stranger. */
static void
stint_away(sl_py_stint *stint, PyObject *origin, uint64_t cpu)
{
    sl_py_recording *recording = stint->recording;
    sl_py_raw_frame frames[SL_PY_WALK_MAX];
    bool by_samples = recording->sampled.by_samples;
    int count = 0;

    counts.away++;
    stint->away = true;
    stint->since = stint_now(stint);
    if (by_samples && stint->strand != NULL)
        count = stint_frames(
            stint, origin,
            sl_py_switch_anchor(&recording->sampled, stint->slot), frames);
    if (!by_samples)
        sl_py_switch_strands(stint->strand, NULL, stint_now(stint));
    stint->anchor = sl_py_switch_away(&recording->sampled, stint->strand,
                                      stint->slot, frames, count, cpu);
    if (stint == &recording->section && cpu > recording->cpu_since)
        recording->cpu_ns += cpu - recording->cpu_since;
    if (stint == &recording->section)
        sl_py_hub_stops(recording);
    else if (stint->spawned)
        sl_py_hub_spawned_stops(
            recording, stint->nest[0].greenlet, spawned_of(stint)->what,
            innermost_frame(origin), &spawned_of(stint)->turn);
}

/* And back, in the greenlet of that level. `ready`: ticks; since then it was
 * the hub that was busy. */
static void
stint_back(sl_py_stint *stint, int level, uint64_t cpu, uint64_t ready)
{
    sl_py_recording *recording = stint->recording;
    uintptr_t below[SL_PY_NEST_MAX];

    counts.back++;
    stint->away = false;
    stint->depth = level + 1;
    stint->strand = stint->nest[level].strand;
    int count = stint_below(stint, below);
    if (stint->strand == NULL) /* a task's step: its slot is gone */
        return;
    if (!recording->sampled.by_samples)
        sl_py_switch_waited(stint->strand, ready, stint_now(stint));
    sl_py_switch_back(&recording->sampled, stint->strand, stint->slot,
                      stint->anchor, below, count, cpu, ready);
    if (stint == &recording->section)
        recording->cpu_since = cpu;
}

/* The greenlet that it waits in goes on. */
static void
stint_goes_on(sl_py_stint *stint, int level, uint64_t cpu)
{
    sl_py_recording *recording = stint->recording;
    uint64_t ready = UINT64_MAX;

    if (stint == &recording->section)
        ready = sl_py_hub_goes_on(recording, stint->since, stint_now(stint));
    else if (stint->spawned)
        sl_py_hub_spawned_goes_on(recording, stint->nest[0].greenlet,
                                  &spawned_of(stint)->turn);
    stint_back(stint, level, cpu, ready);
}

/* ---- a task's step that events feed ---- */

/* It has no stint: what runs is told by its context, which SQLAlchemy's
 * greenlets share with the task that drives them. */
static void
side_over(PyObject *origin, PyObject *target, bool fresh)
{
    sl_strand *from;
    sl_py_recording *recording = sl_py_active_owner(&from);
    sl_py_side *side = from == NULL ? NULL : sl_py_active_own_side(recording);

    if (side == NULL)
        return;
    uint64_t now = sl_clock_ticks(recording->sampled.clock);
    sl_strand *to = NULL;
    if (is_nested(recording, origin, target, fresh))
        to = nested_strand(recording, target, from, fresh, now);
    else if (green_find(recording, origin) != NULL)
        to = side->bottom;
    if (to == NULL || to == from)
        return;
    sl_py_switch_strands(from, to, now);
    side->strand = to;
    counts.over++;
}

/* ---- greenlets that gevent or eventlet start ---- */

/* What the greenlet's function is to be called with, NEW; NULL: not known. In
 * gevent a field of C, which says so without running code of anybody's. */
static PyObject *
args_of(PyObject *greenlet)
{
    PyTypeObject *type = Py_TYPE(greenlet);
    PyObject *field = _PyType_Lookup(type, name_args); /* borrowed */

    if (field == NULL || !Py_IS_TYPE(field, &PyGetSetDescr_Type) ||
        strncmp(PyDescr_TYPE(field)->tp_name, "gevent.", 7) != 0)
        return sl_py_plain_attribute(greenlet, name_args);
    PyObject *args =
        Py_TYPE(field)->tp_descr_get(field, greenlet, (PyObject *)type);
    PyErr_Clear();
    return args;
}

static void
spawned_begin(PyObject *target)
{
    const void *node = NULL;
    uint64_t since = 0;
    sl_py_recording *recording = sl_py_jobs_take(target, &node, &since);
    spawned *s = recording == NULL ? NULL : PyMem_Calloc(1, sizeof(*s));
    if (s == NULL)
        return;
    s->what = sl_py_hub_what(target);
    sl_py_work work = { 0 };
    if (recording->sampled.by_samples) {
        PyObject *args = args_of(target);
        work = sl_py_handed_work(
            &(sl_py_handed){ .function = s->what, .args = args });
        Py_XDECREF(args); /* the greenlet holds them */
    }
    sl_strand *strand = sl_py_sampler_job_begin(
        &recording->sampled, SL_PSEUDO_TASK, node, since, 0, &work, &s->slot);
    Py_XDECREF((PyObject *)work.code); /* the greenlet holds it */
    if (strand == NULL) {
        Py_XDECREF(s->what);
        PyMem_Free(s);
        return;
    }
    s->greenlet = target;
    s->next = all_spawned;
    all_spawned = s;
    sl_py_stint_push(&s->stint, recording, strand, &s->slot);
    s->stint.depth = 1;
    s->stint.nest[0].greenlet = target;
    s->stint.nest[0].strand = strand;
    s->stint.spawned = true;
    sl_py_hub_spawned_goes_on(recording, target, &s->turn);
    counts.spawned++;
}

static void
spawned_end(spawned **at, bool cut)
{
    spawned *s = *at;

    *at = s->next;
    if (s->stint.recording != NULL) {
        sl_py_greenlets_leave(&s->stint);
        sl_py_sampler_job_end(&s->stint.recording->sampled, s->stint.strand,
                              &s->slot, cut);
    }
    sl_py_stint_drop(&s->stint);
    Py_XDECREF(s->what);
    PyMem_Free(s);
}

static void
green_forget(sl_py_recording *recording, const void *greenlet)
{
    sl_py_green *green = green_find(recording, greenlet);
    if (green != NULL)
        *green = recording->greens[--recording->green_count];
}

/* A greenlet has ended. */
static void
died(const PyObject *greenlet)
{
    for (spawned **at = &all_spawned; *at != NULL;) {
        if ((*at)->greenlet == greenlet)
            spawned_end(at, false);
        else
            at = &(*at)->next;
    }
    sl_py_live_each(green_forget, greenlet);
    sl_py_hub_died(greenlet);
}

/* ---- a switch ---- */

/* The calling thread went from `origin` to `target`, and runs in that. */
static void
switched(PyObject *origin, PyObject *target)
{
    PyThreadState *ts = sl_py_borrow_tstate();
    sl_py_raw_frame frame;
    bool fresh = sl_py_own_frames(sl_py_own_frame(), 0, &frame, 1) == 0;
    uint64_t cpu = sl_py_cpu_clock_ns();
    bool ran = false, taken = false;

    counts.switches++;
    sl_py_hub_switch(origin, target, fresh);
    for (sl_py_stint *at = sl_py_stint_first(), *next; at != NULL; at = next) {
        next = at->next;
        if (at->thread != ts->id || at->away || at->recording == NULL)
            continue;
        if (at->depth == 0) { /* no switch since it began */
            at->depth = 1;
            at->nest[0].greenlet = origin;
            at->nest[0].strand = at->strand;
        }
        if (at->nest[at->depth - 1].greenlet != origin)
            continue; /* a switch was not told: not seen */
        ran = true;
        if (stint_over(at, origin, target, fresh))
            taken = true;
        else
            stint_away(at, origin, cpu);
    }
    if (!ran)
        side_over(origin, target, fresh);
    sl_py_hub_turn_over(origin, innermost_frame(origin));
    sl_py_hub_turn(target);
    for (sl_py_stint *at = sl_py_stint_first(), *next; at != NULL; at = next) {
        next = at->next;
        int level = at->thread == ts->id && at->away && at->recording != NULL
                        ? stint_level(at, target)
                        : -1;
        if (level >= 0) {
            stint_goes_on(at, level, cpu);
            taken = true;
        }
    }
    if (fresh && !taken && !sl_py_hub_is(target, true))
        spawned_begin(target);
    if (is_started(origin) && !is_active(origin))
        died(origin);
    sl_py_active_forget();
}

/* ---- the trace function ---- */

typedef struct {
    PyObject_HEAD vectorcallfunc call;
    PyObject *previous; /* strong, or NULL */
} tracer;

static PyObject *
tracer_call(PyObject *self, PyObject *const *args, size_t nargsf,
            PyObject *names)
{
    PyObject *previous = ((tracer *)self)->previous;

    /* ("switch" or "throw", (origin, target)) */
    if (sl_py_live_count() > 0) {
        if (PyVectorcall_NARGS(nargsf) == 2 && PyTuple_CheckExact(args[1]) &&
            PyTuple_GET_SIZE(args[1]) == 2 &&
            PyTuple_GET_ITEM(args[1], 0) != PyTuple_GET_ITEM(args[1], 1)) {
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            /* A collection might end greenlets, and tell us of it within. */
            int collects = PyGC_Disable();
            switched(PyTuple_GET_ITEM(args[1], 0),
                     PyTuple_GET_ITEM(args[1], 1));
            if (collects)
                PyGC_Enable();
            sl_py_hub_told(PyTuple_GET_ITEM(args[1], 0),
                           PyTuple_GET_ITEM(args[1], 1));
            PyErr_Restore(type, value, traceback);
        }
    }
    if (previous != NULL)
        return PyObject_Vectorcall(previous, args, nargsf, names);
    Py_RETURN_NONE;
}

static void
tracer_dealloc(PyObject *self)
{
    Py_XDECREF(((tracer *)self)->previous);
    PyObject_Free(self);
}

static PyTypeObject tracer_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Switches",
    .tp_basicsize = sizeof(tracer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL |
                Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_vectorcall_offset = offsetof(tracer, call),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = tracer_dealloc,
};

/* Learns greenlet's functions. false: it is not imported, or another one. */
static bool
greenlet_find(void)
{
    static bool failed;
    static PyObject *name; /* asked at each section: its hash is known */

    if (name == NULL &&
        (name = PyUnicode_InternFromString("greenlet._greenlet")) == NULL)
        return false;
    PyObject *module = sl_py_borrow_module(name);
    if (module == NULL || failed || !sl_py_own_is_trusted())
        return false;
    void **found = PyCapsule_Import("greenlet._C_API", 0);
    settrace = PyObject_GetAttrString(module, "settrace");
    gettrace = PyObject_GetAttrString(module, "gettrace");
    failed = found == NULL || settrace == NULL || gettrace == NULL;
    PyErr_Clear();
    if (!failed)
        api = found;
    return !failed;
}

/* ---- what gevent starts ---- */

/* Not who spawned it (gevent keeps that) but when decides: a greenlet that
 * serves one request after the other leaves what runs during the next. */
static PyObject *
on_spawn(PyObject *module, PyObject *greenlet)
{
    (void)module;
    if (sl_py_live_count() > 0) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        sl_py_jobs_note(greenlet, false);
        PyErr_Restore(type, value, traceback);
    }
    Py_RETURN_NONE;
}

static PyMethodDef on_spawn_def = { "slowlens_on_spawn", on_spawn, METH_O,
                                    NULL };

/* Asks gevent, once it is imported, to tell of each Greenlet that is started.
 * What was started before is not known, and nobody's. */
static void
gevent_watch(void)
{
    static bool done;
    static PyObject *name; /* asked at each section: its hash is known */

    if (done || (name == NULL && (name = PyUnicode_InternFromString(
                                      "gevent.greenlet")) == NULL)) {
        PyErr_Clear();
        return;
    }
    PyObject *module = sl_py_borrow_module(name);
    PyObject *type =
        module == NULL ? NULL : PyObject_GetAttrString(module, "Greenlet");
    if (type == NULL) { /* not imported, or not to its end */
        PyErr_Clear();
        return;
    }
    done = true;
    PyObject *call = PyCFunction_New(&on_spawn_def, NULL);
    PyObject *added =
        call == NULL
            ? NULL
            : PyObject_CallMethod(type, "add_spawn_callback", "O", call);
    PyErr_Clear();
    Py_XDECREF(added);
    Py_XDECREF(call);
    Py_DECREF(type);
}

void
sl_py_greenlets_watch(void)
{
    static PyObject *mine; /* the last one made: strong */

    if (api == NULL && !greenlet_find())
        return;
    gevent_watch();
    PyObject *before = PyObject_CallNoArgs(gettrace);
    if (before == NULL || Py_IS_TYPE(before, &tracer_type)) {
        PyErr_Clear();
        Py_XDECREF(before);
        return;
    }
    /* Somebody else's came on top of ours, and may call it: once is enough. */
    tracer *t = (tracer *)mine;
    if (t == NULL || before != Py_None) {
        t = PyObject_New(tracer, &tracer_type);
        if (t == NULL) {
            PyErr_Clear();
            Py_DECREF(before);
            return;
        }
        t->call = tracer_call;
        t->previous = before == Py_None ? NULL : Py_NewRef(before);
        if (before == Py_None)
            mine = (PyObject *)t;
    }
    PyObject *done = PyObject_CallOneArg(settrace, (PyObject *)t);
    PyErr_Clear();
    Py_XDECREF(done);
    Py_DECREF(before);
    if ((PyObject *)t != mine)
        Py_DECREF((PyObject *)t); /* greenlet holds it */
}

/* A job's thread switches greenlets of its own, where there are any. */
static void
on_job(void)
{
    if (api != NULL)
        sl_py_greenlets_watch();
}

/* A request may be the first to import them, as SQLAlchemy's asyncio extension
 * does: what it then switches to is seen at once. */
static void
on_import(const char *name)
{
    if (sl_py_live_count() > 0 &&
        (strcmp(name, "greenlet") == 0 || strcmp(name, "gevent") == 0))
        sl_py_greenlets_watch();
}

int
sl_py_greenlets_init(void)
{
    sl_py_probes_on_import(on_import);
    sl_py_jobs_on_begin(on_job);
    name_frame = PyUnicode_InternFromString("gr_frame");
    name_args = PyUnicode_InternFromString("args");
    if (name_frame == NULL || name_args == NULL || sl_py_hub_init() < 0)
        return -1;
    return PyType_Ready(&tracer_type);
}

void
sl_py_greenlets_leave(sl_py_stint *stint)
{
    if (stint->depth == 0)
        return;
    if (stint->away)
        stint_back(stint, stint->depth - 1, sl_py_cpu_clock_ns(), UINT64_MAX);
    if (stint->depth > 1 && !stint->recording->sampled.by_samples)
        sl_py_switch_strands(stint->strand, stint->nest[0].strand,
                             stint_now(stint));
    stint->strand = stint->nest[0].strand;
    stint->depth = 0;
}

void
sl_py_greenlets_end(sl_py_recording *recording)
{
    for (spawned **at = &all_spawned; *at != NULL;) {
        if ((*at)->stint.recording == recording)
            spawned_end(at, true);
        else
            at = &(*at)->next;
    }
    PyMem_Free(recording->greens);
    recording->greens = NULL;
    recording->green_count = recording->green_capacity = 0;
}

void
sl_py_greenlets_after_fork(void)
{
    while (all_spawned != NULL) {
        spawned *s = all_spawned;
        all_spawned = s->next;
        sl_py_stint_drop(&s->stint);
        Py_XDECREF(s->what);
        PyMem_Free(s);
    }
}

PyObject *
sl_py_greenlets_info(void)
{
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K}", "switches",
                         (unsigned long long)counts.switches, "away",
                         (unsigned long long)counts.away, "back",
                         (unsigned long long)counts.back, "nested",
                         (unsigned long long)counts.over, "spawned",
                         (unsigned long long)counts.spawned);
}
