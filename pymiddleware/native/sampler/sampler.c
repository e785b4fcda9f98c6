/* The sampler's door: sections of requests, settings. */
#include "sampler/sampler.h"
#include "compat/cpu_clock.h"
#include "look/own_stack.h"
#include "sampler/brake.h"
#include "sampler/children.h"
#include "sampler/clocks.h"
#include "sampler/look.h"
#include "sampler/slots.h"
#include "sampler/state.h"
#include "sampler/strands.h"
#include "sampler/tasks.h"
#include "sampler/thread.h"

void
sl_py_sampler_add(sl_py_sampled *sampled)
{
    if (sampled->timed)
        return;
    sl_py_lock();
    sl_py_children_add(sampled);
    sl_py_unlock();
}

void
sl_py_sampler_learn(const sl_py_sampled *sampled)
{
    uint64_t now = sl_clock_monotonic_ns();
    uint64_t born = sl_recording_start_ns(sampled->core);

    sl_py_lock();
    sl_py_brake_learn(now > born ? now - born : 0);
    sl_py_unlock();
}

void
sl_py_sampler_remove(sl_py_sampled *sampled)
{
    sl_py_lock();
    sl_py_children_remove(sampled);
    sl_py_unlock();
    sl_py_tasks_end_all(sampled);
    sl_py_children_free(sampled);
}

void
sl_py_sampler_enters(sl_py_sampled *sampled)
{
    sl_py_lock();
    sampled->enters_ts = sl_py_borrow_tstate();
    sl_py_unlock();
}

void
sl_py_sampler_begin(sl_py_sampled *sampled, const sl_py_section *section)
{
    sl_strand *strand = sl_recording_main(sampled->core);
    sl_pseudo gap = section->gap;
    uintptr_t anchor =
        section->anchor != 0 ? section->anchor : sl_py_sampler_anchor();

    sl_py_lock();
    uint64_t now = sl_py_ticks_at(sampled, section->now_ns);
    sampled->slot = -1;
    sampled->unseen_since = now;
    if (section->busy_ns > 0) {
        sl_strand_wait(strand, gap, sl_py_busy_since(sampled, section, now));
        gap = SL_PSEUDO_LOOP;
    }
    if (sampled->started)
        sl_strand_continue(strand, gap, now);
    else
        sl_strand_charge(strand, now);
    sampled->started = true;
    sampled->context = section->context;
    sampled->thread_ts = sl_py_borrow_tstate();
    sampled->enters_ts = NULL;
    sl_py_slot *s = !sampled->timed && sl_py_thread_needed()
                        ? sl_py_slot_open(sampled, strand, now, section->now_ns,
                                          section->cpu_ns, anchor)
                        : NULL;
    if (s != NULL)
        sampled->slot = (int)(s - sl_py_slots);
    sl_py_unlock();
}

void
sl_py_sampler_end(sl_py_sampled *sampled, PyObject *waiting, uint64_t now_ns,
                  uint64_t cpu_ns)
{
    sl_strand *strand = sl_recording_main(sampled->core);
    sl_py_raw_frame frames[SL_PY_WALK_MAX];
    sl_times passed = { 0 };
    uint64_t now;
    /* Before the lock: it asks the interpreter. */
    int count =
        waiting != NULL && sampled->by_samples && !sampled->timed
            ? sl_py_own_await_chain(&sl_py_sampler.layout, waiting, frames)
            : 0;

    sl_py_alive_learn(frames, count);
    sl_py_lock();
    if (sampled->timed) {
        sl_py_timed_end(sampled, strand, sl_clock_ticks(sampled->clock));
        sl_py_unlock();
        return;
    }
    sl_py_slot *s = sampled->slot >= 0 ? &sl_py_slots[sampled->slot] : NULL;
    if (s != NULL && s->sampled == sampled) {
        /* Ended by another thread than it began in: whose CPU clock is it? */
        bool self = s->tid == sl_py_own_tid();
        if (!self)
            cpu_ns = sl_py_cpu_of(s->tid);
        now = sl_py_slot_measure_at(s, &passed, now_ns, cpu_ns, self);
        sl_py_slot_close(s);
    } else {
        now = sl_py_ticks_at(sampled, now_ns);
        passed.wall =
            now > sampled->unseen_since ? now - sampled->unseen_since : 0;
        if (sampled->by_samples) { /* there are more threads than slots */
            sl_py_look_in_vain(sampled, strand, SL_PSEUDO_UNSEEN_ROOM, &passed,
                               now);
            passed.wall = 0;
        }
    }
    sampled->slot = -1;
    sampled->interval_ns = sl_py_brake_base_interval(
        now_ns - sl_recording_start_ns(sampled->core));
    sampled->suspended_at = now;
    if (sampled->by_samples)
        sl_strand_pause(strand, sl_py_sampler.stack,
                        sl_py_alive_stack(frames, count), &passed, now);
    else
        sl_strand_suspend(strand, now);
    sl_py_unlock();
}

uintptr_t
sl_py_sampler_anchor(void)
{
    return sl_py_sampler_ready() ? sl_py_own_anchor(&sl_py_sampler.layout) : 0;
}

bool
sl_py_sampler_take_over(sl_py_sampled *sampled)
{
    sl_times passed;
    uint64_t now;

    sl_py_lock();
    bool done = sl_py_sampler_ready() && sampled->slot >= 0;
    if (done) {
        sl_py_slot *s = &sl_py_slots[sampled->slot];
        sl_py_slot_measure(s, &passed, &now, sl_py_cpu_clock_ns(), true);
        s->walked = false;
        sl_recording_observe(sampled->core, &passed, NULL, now);
        done = sl_recording_sample_on(sampled->core, now) == SL_OK;
        sampled->by_samples = done;
    }
    if (done)
        sl_py_children_add(sampled);
    sl_py_unlock();
    return done;
}

void
sl_py_sampler_continue(sl_strand *strand, uint64_t now)
{
    sl_py_lock();
    sl_strand_continue(strand, SL_PSEUDO_AWAIT, now);
    sl_py_unlock();
}

void
sl_py_sampler_waited_in(sl_strand *strand, const void *const *keys,
                        uint32_t count, uint64_t since, uint64_t until)
{
    sl_py_lock();
    sl_strand_wait_in(strand, keys, count, SL_PSEUDO_AWAIT, since, until);
    sl_py_unlock();
}

uint32_t
sl_py_sampler_seen(const sl_py_sampled *sampled, uint32_t *functions,
                   uint32_t max)
{
    sl_py_lock();
    uint32_t count =
        sl_recording_seen(sampled->core, sampled->unseen_since, functions, max);
    sl_py_unlock();
    return count;
}

/* ---- set-up ---- */

void
sl_py_sampler_configure(uint64_t interval_ns, uint32_t limit_ppm)
{
    sl_py_lock();
    sl_py_sampler.interval_ns = interval_ns;
    sl_py_sampler.limit_ppm = limit_ppm;
    sl_py_brake_reset();
    sl_py_thread_configured();
    sl_py_unlock();
}

const char *
sl_py_sampler_why_not(void)
{
    return sl_py_sampler.why_not[0] != '\0' ? sl_py_sampler.why_not : NULL;
}

bool
sl_py_sampler_stop(void)
{
    return sl_py_thread_stop();
}

void
sl_py_sampler_resume(void)
{
    sl_py_lock();
    sl_py_thread_needed();
    sl_py_unlock();
}

void
sl_py_sampler_lock_measure(bool on)
{
    sl_py_lock_measure(on);
}

void
sl_py_sampler_after_fork(void)
{
    /* No fork: the thread is there, and what it looks at is not to be taken
     * from under it, nor is a second one to be started beside it. */
    if (sl_py_thread_lives())
        sl_py_thread_stop();
    sl_py_thread_after_fork();
}

PyObject *
sl_py_sampler_info(void)
{
    sl_py_lock();
    sl_py_sampler_counts c = sl_py_sampler.counts;
    uint64_t interval = sl_py_sampler.interval_ns;
    uint64_t current = sl_py_sampler.current_ns;
    uint64_t usual = sl_py_brake_usual();
    uint64_t unusual = sl_py_brake_base_interval(UINT64_MAX);
    uint64_t unnamed = sl_py_codes_refused();
    bool idle = sl_py_thread_idle();
    sl_py_unlock();
    sl_py_lock_facts lock = sl_py_lock_told();
    return Py_BuildValue(
        "{s:O,s:z,s:z,s:s,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:O,"
        "s:I,s:I,s:K,s:K,s:K,s:K,s:O}",
        "children", sl_py_sampler.children ? Py_True : Py_False, "why_not",
        sl_py_sampler_why_not(), "memory", sl_py_sampler.method, "cpu_clock",
        sl_py_cpu_clock_cheap() ? "rseq" : "system call", "interval_ns",
        (unsigned long long)interval, "current_ns", (unsigned long long)current,
        "usual_ns", (unsigned long long)usual, "unusual_ns",
        (unsigned long long)unusual, "ticks", (unsigned long long)c.ticks,
        "late", (unsigned long long)c.late, "samples",
        (unsigned long long)c.samples, "rejected",
        (unsigned long long)c.rejected, "retried",
        (unsigned long long)c.retried, "moved", (unsigned long long)c.moved,
        "no_slot", (unsigned long long)c.no_slot, "cpu_ns",
        (unsigned long long)c.cpu_ns, "parked", idle ? Py_True : Py_False,
        "lock_steps", (unsigned)lock.steps, "lock_learnt",
        (unsigned)lock.learnt, "lock_held_ns",
        (unsigned long long)lock.held_ns, "not_followed",
        (unsigned long long)c.not_followed, "threads_left",
        (unsigned long long)c.threads_left, "unnamed",
        (unsigned long long)unnamed, "codes_watched",
        sl_py_codes_are_watched() ? Py_True : Py_False);
}
