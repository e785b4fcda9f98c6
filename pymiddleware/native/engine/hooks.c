/* What is done at each event of sys.monitoring: see hooks.h. */
#include "engine/hooks.h"
#include "engine/current.h"
#include "engine/probe.h"
#include "look/code_map.h"
#include "look/own_stack.h"

typedef struct {
    PyObject_HEAD vectorcallfunc call;
} hook;

static hook hooks[SL_PY_EVENTS];
static hook probe_start_hook, probe_return_hook;
static hook probe_call_hook, probe_line_hook;
static PyObject *missing; /* sys.monitoring.MISSING */
static bool events_on, probes_apart;

/* An event that the probes' hook has done already: the engine's comes next, and
 * is not to be done again. Meanwhile nothing is active, so that it is met where
 * that is looked for, and not at each event. An event that does not come (the
 * code is not rewritten yet) does no harm: the next of that code comes with a
 * new one. */
static struct {
    const PyObject *code; /* an address, only compared; NULL: none */
    uint64_t thread;
    int event;
    sl_py_current active; /* as it was */
} done;

#define HOOK_ARGS                                                              \
    PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names

/* register_callback() hands its former callback to whoever registers another
 * one, who may call it with anything: what is not there is not looked at. Of
 * what type it is, is asked where it is first looked into (functions.c). */
#define HAS(count) __builtin_expect((uint32_t)nargsf >= (count), 1)

/* The event's body as a callback with so many arguments at least, twice: PLAIN
 * is without lines, and with probes apart, so that nothing needs to be asked.
 */
#define HOOK(name, count)                                                      \
    static PyObject *on_##name(HOOK_ARGS)                                      \
    {                                                                          \
        (void)self, (void)names;                                               \
        if (HAS(count))                                                        \
            name(args, false);                                                 \
        Py_RETURN_NONE;                                                        \
    }                                                                          \
    static __attribute__((hot)) PyObject *plain_##name(HOOK_ARGS)              \
    {                                                                          \
        (void)self, (void)names;                                               \
        if (HAS(count))                                                        \
            name(args, true);                                                  \
        Py_RETURN_NONE;                                                        \
    }
#define BODY static inline __attribute__((always_inline)) void

/* The strand that records here; NULL also where only probes are on. */
static inline sl_strand *
hook_strand(bool plain)
{
    return plain || events_on ? sl_py_active_strand() : NULL;
}

static __attribute__((noinline)) sl_strand *
strand_or_done(PyThreadState *ts, const PyObject *code, int event)
{
    /* The compare in front failed: something changed, or the probes' hook
     * has cleared it on purpose, to be met here. */
    if (done.code == code && done.event == event && done.thread == ts->id) {
        done.code = NULL;
        sl_py_active = done.active;
        return NULL;
    }
    return events_on ? sl_py_active_resync(ts) : NULL;
}

/* The same for an event that the probes' hook may have done. */
static inline sl_strand *
undone_strand(const PyObject *code, int event)
{
    PyThreadState *ts = sl_py_borrow_tstate_hot();
    if (__builtin_expect(sl_py_active.thread == ts->id &&
                             sl_py_active.version == ts->context_ver,
                         1))
        return sl_py_active.strand;
    return strand_or_done(ts, code, event);
}

static void
done_set(const PyObject *code, int event)
{
    done.code = events_on ? code : NULL;
    if (!events_on)
        return;
    done.thread = sl_py_borrow_tstate()->id;
    done.event = event;
    done.active = sl_py_active;
    sl_py_active_forget();
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

/* A Python function begins on the strand; returns when. The clock is read last:
 * kept over the call before it, it would cost each event a register. */
static inline uint64_t
hook_enter(sl_strand *strand, PyObject *code)
{
    if (sl_py_active.c_calls != SL_C_NONE)
        hook_site(strand);
    uint64_t now = sl_py_now();
    sl_strand_enter(strand, code, SL_KIND_PYTHON, now);
    return now;
}

/* The time of an event that moves the strand; where lines are told, what passed
 * since the last one is its line's. */
static inline uint64_t
hook_now(sl_strand *strand, bool plain)
{
    uint64_t now = sl_py_now();
    if (!plain && sl_py_active.lines)
        sl_strand_line_pass(strand, now);
    return now;
}

/* ---- functions that are probed: few are ---- */

static __attribute__((noinline)) void
probed_start(const sl_py_probe *probe, PyObject *code)
{
    /* A driver's function that is a query has its node first, below which
     * the query's row hangs; a job's wrapper is told before, and may have
     * none. */
    bool inside = probe->target->action->inside;
    if (!inside && sl_py_probe_start(probe))
        return;
    sl_strand *strand = hook_strand(false);
    if (strand != NULL)
        sl_py_event_told(hook_enter(strand, code));
    if (inside)
        sl_py_probe_start(probe);
    sl_py_event_forget();
}

/* A probe's action comes last: what it ends is no strand for others. */
static __attribute__((noinline)) void
probed_leave(const sl_py_probe *probe, PyObject *code, PyObject *result)
{
    sl_strand *strand = hook_strand(false);
    if (strand != NULL) {
        uint64_t now = hook_now(strand, false);
        sl_strand_leave(strand, code, now);
        sl_py_event_told(now);
    }
    sl_py_probe_leave(probe, result);
    sl_py_event_forget();
}

static PyObject *
on_probe_start(HOOK_ARGS)
{
    (void)self, (void)names;
    const sl_py_probe *probe = HAS(2) ? sl_py_probe_of(args[0]) : NULL;
    if (probe != NULL) {
        probed_start(probe, args[0]);
        done_set(args[0], SL_PY_START);
    }
    Py_RETURN_NONE;
}

static PyObject *
on_probe_return(HOOK_ARGS)
{
    (void)self, (void)names;
    const sl_py_probe *probe = HAS(3) ? sl_py_probe_of(args[0]) : NULL;
    if (probe != NULL) {
        probed_leave(probe, args[0], args[2]);
        done_set(args[0], SL_PY_RETURN);
    }
    Py_RETURN_NONE;
}

/* What is called comes after it, and so does the engine's own event. */
static PyObject *
on_probe_call(HOOK_ARGS)
{
    (void)self, (void)names;
    const sl_py_probe *probe = HAS(4) ? sl_py_probe_of(args[0]) : NULL;
    if (probe != NULL)
        sl_py_probe_calls(probe, args[2]);
    Py_RETURN_NONE;
}

static PyObject *
on_probe_line(HOOK_ARGS)
{
    (void)self, (void)names;
    const sl_py_probe *probe = HAS(2) ? sl_py_probe_of(args[0]) : NULL;
    if (probe != NULL)
        sl_py_probe_line(probe);
    Py_RETURN_NONE;
}

/* ---- all functions ---- */

BODY
start(PyObject *const *args, bool plain)
{
    const sl_py_probe *probe =
        plain || probes_apart ? NULL : sl_py_probe_of(args[0]);
    sl_strand *strand;

    if (probe != NULL)
        probed_start(probe, args[0]);
    else if ((strand = undone_strand(args[0], SL_PY_START)) != NULL)
        hook_enter(strand, args[0]);
}
HOOK(start, 2)

BODY
leave(PyObject *const *args, bool plain)
{
    const sl_py_probe *probe =
        plain || probes_apart ? NULL : sl_py_probe_of(args[0]);
    sl_strand *strand;

    if (probe != NULL)
        probed_leave(probe, args[0], args[2]);
    else if ((strand = undone_strand(args[0], SL_PY_RETURN)) != NULL)
        sl_strand_leave(strand, args[0], hook_now(strand, plain));
}
HOOK(leave, 3)

/* Always the engine's: before 3.15 it is told of everywhere or nowhere. */
BODY
unwind(PyObject *const *args, bool plain)
{
    const sl_py_probe *probe = sl_py_probe_of(args[0]);
    sl_strand *strand;

    if (probe != NULL)
        probed_leave(probe, args[0], NULL);
    else if ((strand = hook_strand(plain)) != NULL)
        sl_strand_leave(strand, args[0], hook_now(strand, plain));
}
HOOK(unwind, 3)

BODY
resume(PyObject *const *args, bool plain)
{
    sl_strand *strand = hook_strand(plain);
    if (strand != NULL)
        sl_strand_resume(strand, args[0], hook_now(strand, plain));
}
HOOK(resume, 2)

BODY
yield(PyObject *const *args, bool plain)
{
    sl_strand *strand = hook_strand(plain);
    if (strand != NULL)
        sl_strand_yield(strand, args[0], hook_now(strand, plain));
}
HOOK(yield, 3)

/* CALL comes for every call, of Python functions too; it tells where. */
BODY
call(PyObject *const *args, bool plain)
{
    const sl_py_probe *probe =
        plain || probes_apart ? NULL : sl_py_probe_of(args[0]);
    if (probe != NULL)
        sl_py_probe_calls(probe, args[2]);
    sl_strand *strand = hook_strand(plain);
    if (strand == NULL || sl_py_active.c_calls == SL_C_NONE)
        return;

    /* Only the project's and chosen libraries' calls are told apart by line:
     * elsewhere it would cost a node for each place, for lines that nobody
     * looks at. */
    if (sl_strand_chosen(strand)) {
        long offset = sl_py_small_int(args[1]);
        if (offset > 0)
            sl_strand_site(strand, (uint32_t)offset);
    } else if (sl_py_active.c_calls == SL_C_CHOSEN) {
        return;
    }
    PyMethodDef *key = sl_py_c_function(args[2]);
    /* A method called without its object raises before it is entered. */
    if (key == NULL || (args[3] == missing && !PyCFunction_Check(args[2])))
        return;
    sl_py_enter_c(strand, args[2], key, hook_now(strand, plain));
}
HOOK(call, 4)

BODY
c_return(PyObject *const *args, bool plain)
{
    sl_strand *strand = hook_strand(plain);
    PyMethodDef *key;
    /* On top only: a C function that was not entered (the recording began
     * inside) must not end one of the same name further out. */
    if (strand != NULL && (key = sl_py_c_function(args[2])) != NULL)
        sl_strand_leave_top(strand, key, hook_now(strand, plain));
}
HOOK(c_return, 4)

/* Only of code whose lines a recording wants; others may run it, too. */
static PyObject *
on_line(HOOK_ARGS)
{
    (void)self, (void)names;
    if (!HAS(2))
        Py_RETURN_NONE;
    const sl_py_probe *probe = probes_apart ? NULL : sl_py_probe_of(args[0]);
    if (probe != NULL)
        sl_py_probe_line(probe);
    sl_strand *strand = hook_strand(false);
    long line =
        strand == NULL || !sl_py_active.lines ? 0 : sl_py_small_int(args[1]);
    if (line > 0)
        sl_strand_line(strand, args[0], (uint32_t)line, sl_py_now());
    Py_RETURN_NONE;
}

static const vectorcallfunc hook_calls[2][SL_PY_EVENTS] = {
    { on_start, on_resume, on_leave, on_yield, on_unwind, on_resume, on_call,
      on_c_return, on_c_return, on_line },
    { plain_start, plain_resume, plain_leave, plain_yield, plain_unwind,
      plain_resume, plain_call, plain_c_return, plain_c_return, on_line },
};

static PyTypeObject hook_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Hook",
    .tp_basicsize = sizeof(hook),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL |
                Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_vectorcall_offset = offsetof(hook, call),
    .tp_call = PyVectorcall_Call,
};

void
sl_py_hooks_set(bool on, bool apart, bool lines)
{
    /* Two sets of hooks, so that the usual one asks nothing: that there are
     * probes, or lines, is decided here, not at each of a million calls. */
    const vectorcallfunc *calls = hook_calls[on && apart && !lines];

    events_on = on;
    probes_apart = apart;
    for (int i = 0; i < SL_PY_EVENTS; i++)
        hooks[i].call = calls[i];
}

int
sl_py_hooks_init(PyObject *monitoring)
{
    if (PyType_Ready(&hook_type) < 0)
        return -1;
    missing = PyObject_GetAttrString(monitoring, "MISSING");
    if (missing == NULL)
        return -1;
    for (int i = 0; i < SL_PY_EVENTS; i++)
        PyObject_Init((PyObject *)&hooks[i], &hook_type);
    PyObject_Init((PyObject *)&probe_start_hook, &hook_type);
    PyObject_Init((PyObject *)&probe_return_hook, &hook_type);
    PyObject_Init((PyObject *)&probe_call_hook, &hook_type);
    PyObject_Init((PyObject *)&probe_line_hook, &hook_type);
    probe_start_hook.call = on_probe_start;
    probe_return_hook.call = on_probe_return;
    probe_call_hook.call = on_probe_call;
    probe_line_hook.call = on_probe_line;
    sl_py_hooks_set(false, false, false);
    return 0;
}

PyObject *
sl_py_hook(int event)
{
    return (PyObject *)&hooks[event];
}

PyObject *
sl_py_probe_hook(int event)
{
    return (PyObject *)(event == SL_PY_START  ? &probe_start_hook
                        : event == SL_PY_CALL ? &probe_call_hook
                        : event == SL_PY_LINE ? &probe_line_hook
                                              : &probe_return_hook);
}

/* ---- in which order they are called ---- */

static int noted; /* by the last of the two, how many came before it */

static PyObject *
note_probe(HOOK_ARGS)
{
    (void)self, (void)args, (void)nargsf, (void)names;
    noted = 1;
    Py_RETURN_NONE;
}

static PyObject *
note_engine(HOOK_ARGS)
{
    (void)self, (void)args, (void)nargsf, (void)names;
    noted = noted == 1 ? 2 : 0;
    Py_RETURN_NONE;
}

bool
sl_py_hooks_test(bool testing)
{
    hooks[SL_PY_START].call =
        testing ? note_engine : hook_calls[0][SL_PY_START];
    probe_start_hook.call = testing ? note_probe : on_probe_start;
    if (testing)
        noted = 0;
    return noted == 2;
}
