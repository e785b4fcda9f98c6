/* Steps of a sampled request's tasks: each is a section of its own strand. */
#include "sampler/tasks.h"
#include "compat/cpu_clock.h"
#include "look/own_stack.h"
#include "sampler/clocks.h"
#include "sampler/look.h"
#include "sampler/strands.h"
#include "sampler/thread.h"

/* Where a coroutine waits; told before the lock is taken, because asking it
 * is a call into the interpreter. */
typedef struct {
    int count;
    sl_py_raw_frame frames[SL_PY_WALK_MAX];
} waiting;

static void
waiting_tell(waiting *w, PyObject *coroutine)
{
    w->count =
        sl_py_own_await_chain(&sl_py_sampler.layout, coroutine, w->frames);
    sl_py_alive_learn(w->frames, w->count);
}

/* What waited in `child` since it was suspended goes on, in the calling
 * thread. `w`: where it waits, or begins; looked at if this is its first
 * step. NULL: no memory. */
static sl_strand *
task_resume(sl_py_sampled *sampled, sl_py_child *child, const waiting *w,
            uint64_t now)
{
    bool first = !child->opened;
    uint64_t since = child->waits ? child->since : now;
    sl_strand *strand =
        sl_py_child_open(sampled, child, sl_py_borrow_tstate(), since);

    sl_py_child_waits(child, false);
    if (strand == NULL)
        return NULL;
    if (first) {
        uint32_t count = sl_py_alive_stack(w->frames, w->count);
        const void *function = sl_py_sampler.stack[0].key;
        if (count > 0)
            sl_strand_works(strand, (uint64_t)(uintptr_t)function, function);
        /* What it does not tell of itself is charged to where it waits. */
        sl_strand_pause(strand, sl_py_sampler.stack, count, &(sl_times){ 0 },
                        since);
    }
    sl_strand_continue(strand, SL_PSEUDO_AWAIT, now);
    return strand;
}

/* The task's child, new if need be; the lock is held before and after, but
 * given back in between where something must be asked of the interpreter:
 * then *w is filled. NULL: no room. */
static sl_py_child *
task_child(sl_py_sampled *sampled, PyObject *coroutine, bool add, waiting *w)
{
    sl_py_child *child = sl_py_child_of_task(sampled, coroutine);
    PyObject *weak = NULL;

    if ((child != NULL && child->opened) || (child == NULL && !add))
        return child;
    sl_py_unlock_drop();
    waiting_tell(w, coroutine);
    if (child == NULL)
        weak = sl_py_weak_new(coroutine);
    sl_py_lock();
    child = sl_py_child_of_task(sampled, coroutine);
    if (child != NULL)
        sl_py_drop_later(weak);
    else if (weak != NULL)
        child = sl_py_child_add_task(sampled, coroutine, weak,
                                     (uintptr_t)sl_py_borrow_tstate()->context);
    else
        sampled->lost_strands++;
    return child;
}

void
sl_py_sampler_task_begin(sl_py_sampled *sampled, PyObject *coroutine,
                         bool nested, uint64_t now_ns, sl_py_task_step *step)
{
    uint64_t cpu = sl_py_cpu_clock_at(now_ns);
    uintptr_t anchor = nested ? 0 : sl_py_own_anchor(&sl_py_sampler.layout);
    waiting w;

    step->slot = (sl_py_job_slot){ .slot = -1 };
    step->nested = nested;
    if (sampled->timed)
        return;
    w.count = 0;
    sl_py_lock();
    sl_py_child *child = task_child(sampled, coroutine, !nested, &w);
    uint64_t now = sl_py_ticks_at(sampled, now_ns);
    sl_strand *strand =
        child == NULL ? NULL : task_resume(sampled, child, &w, now);
    sl_py_slot *s =
        strand == NULL || nested || !sl_py_thread_needed()
            ? NULL
            : sl_py_slot_open(sampled, strand, now, now_ns, cpu, anchor);
    if (s != NULL) {
        step->slot.slot = (int)(s - sl_py_slots);
        step->slot.serial = s->serial;
    }
    sl_py_unlock_drop();
}

/* Where the step's time went, into *passed: nowhere, if it was not looked at
 * or is over by now. Returns the end of it, ticks. */
static uint64_t
task_measure(const sl_py_sampled *sampled, const sl_py_task_step *step,
             uint64_t now_ns, sl_times *passed)
{
    sl_py_slot *s = step->slot.slot < 0 ? NULL : &sl_py_slots[step->slot.slot];

    if (s == NULL || s->sampled == NULL || s->serial != step->slot.serial)
        return sl_py_ticks_at(sampled, now_ns);
    bool self = s->tid == sl_py_own_tid();
    uint64_t cpu = self ? sl_py_cpu_clock_at(now_ns) : sl_py_cpu_of(s->tid);
    uint64_t now = sl_py_slot_measure_at(s, passed, now_ns, cpu, self);
    sl_py_slot_close(s);
    return now;
}

void
sl_py_sampler_task_end(sl_py_sampled *sampled, PyObject *coroutine, bool waits,
                       uint64_t now_ns, const sl_py_task_step *step)
{
    sl_times passed = { 0 };
    waiting w;

    if (sampled->timed)
        return;
    w.count = 0;
    if (waits)
        waiting_tell(&w, coroutine);
    sl_py_lock();
    uint64_t now = task_measure(sampled, step, now_ns, &passed);
    sl_py_child *child = waits && step->nested
                             ? task_child(sampled, coroutine, true, &w)
                             : sl_py_child_of_task(sampled, coroutine);
    if (child != NULL) {
        sl_py_child_waits(child, waits);
        child->since = now;
        if (child->opened && !step->nested && step->slot.slot < 0)
            sl_py_look_without_room(sampled, child->strand, now);
        if (child->opened && waits)
            sl_strand_pause(child->strand, sl_py_sampler.stack,
                            sl_py_alive_stack(w.frames, w.count), &passed, now);
        else if (child->opened)
            sl_strand_end(child->strand, &passed, now);
        if (!waits)
            sl_py_child_end(sampled, child);
    }
    sl_py_unlock_drop();
}

/* A task that waits and of which this is to be told, and where it waits: NEW;
 * *at goes on. NULL: none of the next few. */
static PyObject *
task_that_waits(sl_py_sampled *sampled, uint32_t *at)
{
    uint32_t end = *at + SL_PY_SCAN_STEPS;

    for (; *at < sampled->child_count && *at < end; (*at)++) {
        sl_py_child *child = sl_py_child_at(sampled, *at);
        sl_py_lock_steps++;
        if (child->waits && sl_py_weak_is(child->task, child->coroutine))
            return Py_NewRef((PyObject *)child->coroutine);
    }
    return NULL;
}

/* The task `coroutine` waits no longer. */
static void
task_wait_end(sl_py_sampled *sampled, PyObject *coroutine, uint64_t now)
{
    waiting w;

    w.count = 0;
    sl_py_child *child = task_child(sampled, coroutine, false, &w);
    if (child != NULL && child->waits)
        task_resume(sampled, child, &w, now);
    sl_py_drop_later(coroutine);
}

void
sl_py_tasks_end_all(sl_py_sampled *sampled)
{
    uint64_t now = sl_clock_ticks(sampled->clock);
    PyObject *coroutine;

    sl_py_lock();
    for (int i = 0; i < sl_py_slots_used; i++) {
        if (sl_py_slots[i].sampled == sampled)
            sl_py_slot_close(&sl_py_slots[i]);
    }
    /* One a hold, or none of a few: there may be thousands. */
    for (uint32_t at = 0; at < sampled->child_count;) {
        coroutine = task_that_waits(sampled, &at);
        if (coroutine != NULL) {
            task_wait_end(sampled, coroutine, now);
            at++;
        }
        sl_py_unlock_drop();
        sl_py_lock();
    }
    sl_py_unlock_drop();
}
