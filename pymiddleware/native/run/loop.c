/* What the event loop did while a request waited in it; see loop.h. */
#include "run/loop.h"
#include "engine/current.h"
#include "engine/probes.h"
#include "run/names.h"
#include "run/polls.h"

#include <string.h>

/* Steps without a pause that take this long hold the loop up. */
#define HELD_NS UINT64_C(5000000)
/* A pause between two steps: longer, and the loop may have slept. */
#define PAUSE_NS UINT64_C(200000)
/* A step that is shorter than this part of a wait is not its cause. */
#define CAUSE_PART 4
/* Long steps that are remembered, to name one later. */
#define LONG_STEPS 16
/* Tasks of one request that are followed at once; scanned at each step. */
#define TASKS_MAX 512u

typedef struct {
    uint64_t from, to;
    uint64_t took;   /* without the steps within it */
    PyObject *label; /* strong: the request's; NULL: no profiled one's */
    PyObject *where; /* strong or NULL */
} long_step;

/* The loop of one thread. */
typedef struct {
    uint64_t began;      /* when the last step did... */
    uint64_t ended;      /* ...and when one ended last */
    uint64_t held_since; /* when the last began that took HELD_NS */
    long_step steps[LONG_STEPS];
} loop_state;

/* The callback of asyncio's that runs in a thread. */
typedef struct {
    uintptr_t frame; /* 0: none is timed */
    PyObject *what;  /* strong */
    sl_py_loop_step step;
    bool is_step;  /* it does one task's step... */
    bool begins;   /* ...which has yet to begin */
    uint64_t over; /* ...and ended then; 0: not yet */
} loop_callback;

static __thread struct {
    loop_state loop;
    loop_callback callback;
} here;

/* An address that the compiler takes once: of a thread's own variables it would
 * ask anew at each use, by a call, five times in a function. */
#define ONCE(pointer) __asm__("" : "+r"(pointer))

static inline loop_state *
loop_here(void)
{
    loop_state *l = &here.loop;
    ONCE(l);
    return l;
}

static inline loop_callback *
callback_here(void)
{
    loop_callback *c = &here.callback;
    ONCE(c);
    return c;
}

static inline sl_py_polls *
polls_here(void)
{
    sl_py_polls *p = &sl_py_polls_here;
    ONCE(p);
    return p;
}

static bool callbacks_on;

/* ---- steps ---- */

/* Since when the loop has not been idle, as far as is known at `now`. */
static uint64_t
not_ready_at(loop_state *l, uint64_t now)
{
    sl_py_polls *p = polls_here();

    if (p->loop != NULL) {
        if (sl_py_polls_told(p))
            return sl_py_polls_before(p);
        p->busy_since = now;
    }
    /* Not watched yet: while that step ran, nobody polled. */
    return l->held_since >= p->busy_since ? l->held_since : now;
}

/* Something begins to run in the loop. */
static void
step_begins(loop_state *l, sl_py_loop_step *step, uint64_t now)
{
    sl_py_polls *p = polls_here();

    /* No pause is within a step: a request's begins in that of its server's
     * task. While it is watched, its polls tell, if it is still this loop. */
    if (l->ended >= l->began && now - l->ended > PAUSE_NS &&
        !sl_py_polls_told(p)) {
        p->busy_since = now;
        p->stepped = 0;
    }
    l->began = now;
    *step = (sl_py_loop_step){ now, p->stepped };
}

/* It ended. How long it took, without what ran within it, if that is long
 * enough to be remembered; else 0. */
static uint64_t
step_ended(loop_state *l, const sl_py_loop_step *step, uint64_t now)
{
    sl_py_polls *p = polls_here();
    uint64_t took = now - step->began;
    /* Less than before: the loop came round within it, a loop within a loop. */
    uint64_t inside =
        p->stepped > step->stepped ? p->stepped - step->stepped : 0;

    took = took > inside ? took - inside : 0;
    l->ended = now;
    p->stepped += took;
    if (took >= HELD_NS)
        l->held_since = step->began;
    return took >= SL_PY_POLLS_LEAST_NS ? took : 0;
}

/* A step ended: the loop may have been held up by now. */
static void
step_watches(uint64_t now)
{
    sl_py_polls *p = polls_here();

    if (now - p->busy_since >= HELD_NS && p->stepped >= SL_PY_POLLS_LEAST_NS)
        sl_py_polls_watch(p);
}

/* The step ended now and took so long. Takes over both references. */
static void
step_remember(loop_state *l, const sl_py_loop_step *step, uint64_t took,
              PyObject *label, PyObject *where)
{
    long_step *at = NULL;
    double least = 0;

    /* In place of the shortest, where old ones count for less. */
    for (int i = 0; i < LONG_STEPS; i++) {
        double weight = (double)l->steps[i].took /
                        (1e9 + (double)(l->ended - l->steps[i].to));
        if (at == NULL || weight < least) {
            at = &l->steps[i];
            least = weight;
        }
    }
    PyObject *old_label = at->label, *old_where = at->where;
    *at = (long_step){ step->began, l->ended, took, label, where };
    Py_XDECREF(old_label);
    Py_XDECREF(old_where);
}

/* The longest step that ended, and ran, in that time; NULL: none is known that
 * explains it. */
static const long_step *
step_holding(const loop_state *l, sl_py_period time)
{
    const long_step *longest = NULL;

    for (int i = 0; i < LONG_STEPS; i++) {
        const long_step *step = &l->steps[i];
        if (step->to > time.from && step->from < time.to &&
            (longest == NULL || step->took > longest->took))
            longest = step;
    }
    return longest != NULL &&
                   longest->took >= (time.to - time.from) / CAUSE_PART
               ? longest
               : NULL;
}

/* ---- waits ---- */

/* Since when what waits could have gone on but for the loop, at most; `now`:
 * not at all. */
static uint64_t
wait_ready_since(loop_state *l, const sl_py_wait *wait, uint64_t now)
{
    uint64_t since;

    if (wait->thread != sl_py_borrow_tstate()->id)
        return now;
    since = wait->next ? wait->ended : not_ready_at(l, now);
    since = since > wait->ended ? since : wait->ended;
    return since < now && (wait->next || now - since >= SL_PY_POLLS_LEAST_NS)
               ? since
               : now;
}

/* What goes on at `now`, and may have been ready since then, waits no more:
 * adds to `held` when it could have gone on since `wait` began. Whether it
 * waited for the task that ended last. */
static bool
wait_ends(const sl_py_turn *turn, const sl_py_wait *wait, uint64_t since,
          uint64_t now, sl_py_periods *held)
{
    const sl_py_wait *over = &turn->over;
    /* Its end, a callback of the group, we: with nothing long in between, or
     * while the loop was busy. */
    uint64_t latest = since < now ? since : now;
    bool waited = over->thread == wait->thread && over->ended > wait->ended &&
                  over->ended + SL_PY_POLLS_LEAST_NS > latest;

    if (waited)
        sl_py_periods_join(held, &over->held, wait->ended, over->ended);
    /* Until the task had ended there was nothing to go on with. */
    sl_py_periods_add(held, waited && over->ended > since ? over->ended : since,
                      now);
    return waited;
}

uint64_t
sl_py_loop_resumes(sl_py_recording *recording, bool started, uint64_t now)
{
    loop_state *l = loop_here();
    sl_py_turn *turn = &recording->turn;
    sl_py_periods held = { .count = 0 };

    step_begins(l, &turn->step, now);
    if (!started)
        return 0;
    uint64_t since = wait_ready_since(l, &turn->main, now);
    bool waited = wait_ends(turn, &turn->main, since, now, &held);
    uint64_t busy = sl_py_periods_length(&held, waited ? &turn->own : NULL);
    sl_py_period longest = sl_py_periods_longest(&held);
    uint64_t length = longest.to - longest.from;

    length = length < busy ? length : busy;
    if (length > turn->held && length >= HELD_NS) {
        const long_step *step = step_holding(l, longest);
        turn->held = length;
        turn->holder_ns = step != NULL ? step->took : 0;
        Py_XSETREF(turn->holder, Py_XNewRef(step != NULL ? step->label : NULL));
        Py_XSETREF(turn->where, Py_XNewRef(step != NULL ? step->where : NULL));
    }
    return busy;
}

static void
wait_begins(sl_py_wait *wait, PyObject *awaited, uint64_t now)
{
    wait->thread = sl_py_borrow_tstate()->id;
    wait->ended = now;
    wait->next = awaited == Py_None;
}

void
sl_py_loop_suspends(sl_py_recording *recording, PyObject *awaited, uint64_t now)
{
    loop_state *l = loop_here();
    sl_py_turn *turn = &recording->turn;
    uint64_t step = now - turn->step.began;

    wait_begins(&turn->main, awaited, now);
    turn->own.count = 0;
    turn->longest = step > turn->longest ? step : turn->longest;
    uint64_t took = step_ended(l, &turn->step, now);
    if (took > 0)
        step_remember(l, &turn->step, took, Py_XNewRef(recording->label),
                      sl_py_recording_where(recording));
    step_watches(now);
}

/* ---- tasks ---- */

uint64_t
sl_py_loop_now(void)
{
    loop_callback *c = callback_here();

    if (!c->begins)
        return sl_clock_monotonic_ns();
    c->begins = false;
    return c->step.began;
}

/* A task's step ended, perhaps that of the callback: what the task does behind
 * it is put the next one into the loop. */
static void
callback_did(const sl_py_loop_step *step, uint64_t now)
{
    loop_callback *c = callback_here();

    if (c->is_step && c->step.began == step->began)
        c->over = now;
}

/* The coroutine's wait; NULL: it has none. */
static sl_py_wait *
task_find(sl_py_turn *turn, const void *coroutine)
{
    for (uint32_t i = 0; i < turn->task_count; i++) {
        if (turn->coroutines[i] == coroutine)
            return &turn->tasks[i];
    }
    return NULL;
}

static sl_py_wait *
task_add(sl_py_turn *turn, const void *coroutine)
{
    if (turn->task_count == turn->task_capacity) {
        uint32_t capacity = turn->task_capacity * 2;
        capacity = capacity == 0 ? 8 : capacity;
        if (capacity > TASKS_MAX)
            return NULL;
        const void **coroutines =
            PyMem_Realloc(turn->coroutines, capacity * sizeof(*coroutines));
        if (coroutines == NULL)
            return NULL;
        turn->coroutines = coroutines;
        sl_py_wait *tasks =
            PyMem_Realloc(turn->tasks, capacity * sizeof(*tasks));
        if (tasks == NULL)
            return NULL;
        turn->tasks = tasks;
        turn->task_capacity = capacity;
    }
    uint32_t at = turn->task_count++;
    turn->coroutines[at] = coroutine;
    turn->tasks[at] = (sl_py_wait){ .thread = 0 };
    return &turn->tasks[at];
}

static void
task_remove(sl_py_turn *turn, const sl_py_wait *wait)
{
    uint32_t at = (uint32_t)(wait - turn->tasks), last = --turn->task_count;

    turn->coroutines[at] = turn->coroutines[last];
    turn->tasks[at] = turn->tasks[last];
}

void
sl_py_loop_task_resumes(sl_py_recording *recording, const PyObject *coroutine,
                        bool nested, uint64_t now, sl_py_loop_step *step)
{
    loop_state *l = loop_here();
    sl_py_turn *turn = &recording->turn;
    sl_py_wait *wait = task_find(turn, coroutine);

    step_begins(l, step, now);
    if (wait != NULL) {
        wait_ends(turn, wait, wait_ready_since(l, wait, now), now, &wait->held);
        return;
    }
    wait = task_add(turn, coroutine);
    /* A new one goes on in the iteration after the one that made it; what made
     * it is most often the request. An eager one runs at once. */
    const sl_py_polls *p = polls_here();
    if (wait == NULL || nested || p->loop == NULL)
        return;
    uint64_t since = p->polls[SL_PY_POLLS - 2];
    since = since > turn->main.ended ? since : turn->main.ended;
    if (turn->main.thread == sl_py_borrow_tstate()->id && now > since &&
        now - since >= SL_PY_POLLS_LEAST_NS)
        sl_py_periods_add(&wait->held, since, now);
}

void
sl_py_loop_task_suspends(sl_py_recording *recording, const PyObject *coroutine,
                         PyObject *what, PyObject *awaited, uint64_t now,
                         const sl_py_loop_step *step)
{
    loop_state *l = loop_here();
    sl_py_turn *turn = &recording->turn;
    sl_py_wait *wait = task_find(turn, coroutine);

    callback_did(step, now);
    uint64_t took = step_ended(l, step, now);
    if (took > 0) {
        sl_py_periods_add(&turn->own, step->began, now);
        step_remember(l, step, took, Py_XNewRef(recording->label),
                      sl_py_object_where(what));
    }
    if (wait != NULL) {
        wait_begins(wait, awaited, now);
        if (awaited == NULL) {
            turn->over = *wait;
            task_remove(turn, wait);
        }
    }
    step_watches(now);
}

bool
sl_py_loop_task_is_known(sl_py_recording *recording, const PyObject *coroutine)
{
    return task_find(&recording->turn, coroutine) != NULL;
}

void
sl_py_loop_task_stands(sl_py_recording *recording, const PyObject *coroutine,
                       uint64_t since)
{
    sl_py_turn *turn = &recording->turn;
    sl_py_wait *wait = task_find(turn, coroutine);

    if (wait == NULL)
        return;
    turn->standing += wait->stood == 0;
    wait->stood = since;
}

uint64_t
sl_py_loop_task_stood(sl_py_recording *recording, const PyObject *coroutine)
{
    sl_py_turn *turn = &recording->turn;
    sl_py_wait *wait = turn->standing == 0 ? NULL : task_find(turn, coroutine);
    uint64_t since = wait == NULL ? 0 : wait->stood;

    if (since != 0) {
        wait->stood = 0;
        turn->standing--;
    }
    return since;
}

void
sl_py_loop_forget(sl_py_recording *recording)
{
    PyMem_Free(recording->turn.coroutines);
    PyMem_Free(recording->turn.tasks);
    recording->turn.coroutines = NULL;
    recording->turn.tasks = NULL;
    recording->turn.task_count = recording->turn.task_capacity = 0;
}

/* ---- what is no profiled request's ---- */

void
sl_py_loop_begins(sl_py_loop_step *step)
{
    step_begins(loop_here(), step, sl_py_loop_now());
}

/* The same for what must not run Python code. */
static void
other_ends(const sl_py_loop_step *step, PyObject *what, uint64_t now)
{
    loop_state *l = loop_here();
    uint64_t took = step_ended(l, step, now);

    if (took > 0)
        step_remember(l, step, took, NULL, sl_py_object_where(what));
}

void
sl_py_loop_ends(const sl_py_loop_step *step, PyObject *coroutine)
{
    uint64_t now = sl_clock_monotonic_ns();

    callback_did(step, now);
    other_ends(step, coroutine, now);
    step_watches(now);
}

/* ---- the hub of greenlets ---- */

void
sl_py_loop_hub(bool on)
{
    sl_py_polls_here.hub = on;
}

bool
sl_py_loop_hub_wanted(void)
{
    return sl_py_polls_here.wanted;
}

void
sl_py_loop_hub_watch(PyObject *hub)
{
    sl_py_polls_watch_hub(&sl_py_polls_here, hub);
}

void
sl_py_loop_hub_lost(void)
{
    loop_state *l = loop_here();
    uint64_t now = sl_clock_monotonic_ns();

    l->began = l->ended = l->held_since = now;
    sl_py_polls_begin(&sl_py_polls_here, now);
}

/* ---- callbacks ---- */

/* Asked for where no Python code may run; the main thread's, which is the
 * loop's but for rare cases, is then told before it goes on. */
static int
watch_later(void *ignored)
{
    (void)ignored;
    if (callbacks_on)
        sl_py_polls_watch(&sl_py_polls_here);
    return 0;
}

void
sl_py_loop_callbacks(bool on)
{
    callbacks_on = on;
}

static void
callback_ends(loop_callback *c)
{
    PyObject *what = c->what;
    uint64_t now = c->over != 0 ? c->over : sl_clock_monotonic_ns();

    c->frame = 0;
    c->is_step = c->begins = false;
    c->over = 0;
    c->what = NULL;
    other_ends(&c->step, what, now);
    /* The next poll is to be known, however late whoever waits for it runs. */
    if (now - c->step.began >= HELD_NS && sl_py_polls_here.loop == NULL)
        Py_AddPendingCall(watch_later, NULL);
    /* What it does where this is the last reference is not of now. */
    sl_py_event_forget();
    Py_DECREF(what);
}

/* What the handle calls, BORROWED; NULL: it cannot be told. */
static PyObject *
callback_of(PyObject *handle)
{
    static PyTypeObject *type; /* that has the slot */
    static Py_ssize_t offset;

    if (type == NULL) {
        PyObject *slot =
            PyObject_GetAttrString((PyObject *)Py_TYPE(handle), "_callback");
        if (slot != NULL && Py_IS_TYPE(slot, &PyMemberDescr_Type)) {
            type = (PyTypeObject *)Py_NewRef((PyObject *)PyDescr_TYPE(slot));
            offset = ((PyMemberDescrObject *)slot)->d_member->offset;
        }
        PyErr_Clear();
        Py_XDECREF(slot);
    }
    if (type == NULL || !PyObject_TypeCheck(handle, type))
        return NULL;
    PyObject *what;
    memcpy(&what, (const char *)handle + offset, sizeof(what));
    return what;
}

/* Whether that is asyncio's own way to do a task's step: the first thing it
 * does is to go on with the task's coroutine. */
static bool
callback_is_step(PyObject *what)
{
    static PyTypeObject *known;

    if (Py_IS_TYPE(what, known))
        return true;
    if (PyCFunction_CheckExact(what))
        return strcmp(((PyCFunctionObject *)what)->m_ml->ml_name,
                      "task_wakeup") == 0;
    const char *name = strstr(Py_TYPE(what)->tp_name, "TaskStepMethWrapper");
    if (name == NULL)
        return false;
    Py_XSETREF(known, (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(what)));
    return true;
}

static bool
on_callback(const sl_py_target *target, uintptr_t frame, PyObject *handle)
{
    loop_callback *c = callback_here();

    (void)target;
    if (c->frame == frame) /* the loop ended in that one */
        callback_ends(c);
    if (!callbacks_on || handle == NULL || c->frame != 0)
        return false;
    PyObject *what = callback_of(handle);
    if (what == NULL)
        return false;
    c->what = Py_NewRef(what);
    c->frame = frame;
    c->is_step = c->begins = callback_is_step(what);
    step_begins(loop_here(), &c->step, sl_clock_monotonic_ns());
    return false;
}

static void
on_callback_over(const sl_py_target *target, uintptr_t frame, PyObject *result)
{
    loop_callback *c = callback_here();

    (void)target, (void)result;
    if (c->frame == frame)
        callback_ends(c);
}

/* It passes no exception on but those that end the loop. */
static const sl_py_action callback_action = { .start = on_callback,
                                              .leave = on_callback_over };

static const sl_py_target targets[] = {
    { "asyncio.events", "Handle._run", "self", &callback_action, 0 },
};

void
sl_py_loop_init(void)
{
    sl_py_probes_table(targets, sizeof(targets) / sizeof(targets[0]));
    sl_py_polls_init();
}
