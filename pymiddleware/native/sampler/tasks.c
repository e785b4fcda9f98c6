/* Steps of a sampled request's tasks: each is a section of its own strand. */
#include "sampler/state.h"

/* What waited in `child` since it was suspended goes on, in the calling
 * thread. NULL: no memory. */
static sl_strand *
task_resume(sl_py_recording *recording, sl_py_child *child, PyObject *coroutine,
            uint64_t now)
{
    bool first = !child->opened;
    uint64_t since = child->waits ? child->since : now;
    sl_strand *strand =
        sl_py_child_open(recording, child, sl_py_borrow_tstate(), since);

    child->waits = false;
    if (strand == NULL)
        return NULL;
    /* Where it waits, or begins: what it does before a sample comes is
     * charged there. */
    if (first)
        sl_strand_pause(strand, sl_py_sampler.stack,
                        sl_py_waiting_stack(coroutine), &(sl_times){ 0 },
                        since);
    sl_strand_continue(strand, SL_PSEUDO_AWAIT, now);
    return strand;
}

bool
sl_py_sampler_follows(void)
{
    return sl_py_sampler.live_following > 0;
}

void
sl_py_sampler_task_begin(sl_py_recording *recording, PyObject *coroutine,
                         bool nested, sl_py_task_step *step)
{
    uint64_t cpu = sl_clock_thread_cpu_ns();

    step->slot = -1;
    step->nested = nested;
    pthread_mutex_lock(&sl_py_sampler.lock);
    sl_py_child *child = sl_py_child_of_task(recording, coroutine);
    if (child == NULL && !nested)
        child = sl_py_child_add_task(recording, coroutine,
                                     (uintptr_t)sl_py_borrow_tstate()->context);
    uint64_t now = sl_clock_ticks(recording->clock);
    sl_strand *strand =
        child == NULL ? NULL : task_resume(recording, child, coroutine, now);
    sl_py_slot *s = strand == NULL || nested
                        ? NULL
                        : sl_py_slot_open(recording, strand, now, cpu, 0);
    if (s != NULL) {
        step->slot = (int)(s - sl_py_sampler.slots);
        step->serial = s->serial;
    }
    pthread_mutex_unlock(&sl_py_sampler.lock);
}

/* Where the step's time went, into *passed: nowhere, if it was not looked at
 * or is over by now. */
static void
task_measure(const sl_py_task_step *step, sl_times *passed)
{
    sl_py_slot *s = step->slot < 0 ? NULL : &sl_py_sampler.slots[step->slot];
    uint64_t now;

    if (s == NULL || s->recording == NULL || s->serial != step->serial)
        return;
    bool self = s->tid == sl_py_own_tid();
    sl_py_slot_measure(s, passed, &now,
                       self ? sl_clock_thread_cpu_ns()
                            : sl_py_clock_ns(sl_py_thread_clock(s->tid)),
                       self);
    sl_py_slot_close(s);
}

void
sl_py_sampler_task_end(sl_py_recording *recording, PyObject *coroutine, bool waits,
                       const sl_py_task_step *step)
{
    sl_times passed = { 0 };

    pthread_mutex_lock(&sl_py_sampler.lock);
    task_measure(step, &passed);
    uint64_t now = sl_clock_ticks(recording->clock);
    sl_py_child *child = sl_py_child_of_task(recording, coroutine);
    if (child == NULL && waits && step->nested)
        child = sl_py_child_add_task(recording, coroutine,
                                     (uintptr_t)sl_py_borrow_tstate()->context);
    if (child != NULL) {
        child->waits = waits;
        child->since = now;
        if (child->opened && waits)
            sl_strand_pause(child->strand, sl_py_sampler.stack,
                            sl_py_waiting_stack(coroutine), &passed, now);
        else if (child->opened)
            sl_strand_end(child->strand, &passed, now);
        if (!waits)
            sl_py_child_end(recording, child);
    }
    pthread_mutex_unlock(&sl_py_sampler.lock);
}

void
sl_py_tasks_end(sl_py_recording *recording)
{
    uint64_t now = sl_clock_ticks(recording->clock);

    for (int i = 0; i < SL_PY_SLOTS_MAX; i++) {
        if (sl_py_sampler.slots[i].recording == recording)
            sl_py_slot_close(&sl_py_sampler.slots[i]);
    }
    for (uint32_t i = 0; i < recording->child_count; i++) {
        sl_py_child *child = &recording->children[i];
        if (child->waits && sl_py_weak_is(child->task, child->coroutine))
            task_resume(recording, child, (PyObject *)child->coroutine, now);
    }
}
