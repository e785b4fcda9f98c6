/* The sampler where there is none: on other systems than Linux, or left out
 * (SL_SAMPLER=OFF). It stands for all other files of this room and for those of
 * look/ that read other threads.
 *
 * What is left of a section, a job or a switch is what the core is to know of
 * it: when it began and ended. All of that happens under the GIL, so there is
 * no lock. */
#include "compat/cpu_clock.h"
#include "look/own_stack.h"
#include "sampler/children.h"
#include "sampler/jobs.h"
#include "sampler/lock.h"
#include "sampler/sampler.h"
#include "sampler/self_test.h"
#include "sampler/stands.h"
#include "sampler/switches.h"
#include "sampler/tasks.h"

#include "slowlens/clock.h"

/* ---- the lock: the GIL is enough ---- */

void
sl_py_lock(void)
{
}

void
sl_py_unlock(void)
{
}

void
sl_py_unlock_drop(void)
{
}

void
sl_py_sampler_opcodes(const sl_py_opcodes *opcodes)
{
    (void)opcodes;
}

/* ---- sections ---- */

void
sl_py_sampler_add(sl_py_sampled *sampled)
{
    (void)sampled;
}

void
sl_py_sampler_remove(sl_py_sampled *sampled)
{
    (void)sampled;
}

void
sl_py_sampler_learn(const sl_py_sampled *sampled)
{
    (void)sampled;
}

void
sl_py_sampler_enters(sl_py_sampled *sampled)
{
    (void)sampled;
}

void
sl_py_sampler_begin(sl_py_sampled *sampled, const sl_py_section *section)
{
    sl_strand *strand = sl_recording_main(sampled->core);
    uint64_t now = sl_py_ticks_at(sampled, section->now_ns);
    sl_pseudo gap = section->gap;

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
}

void
sl_py_sampler_end(sl_py_sampled *sampled, PyObject *waiting, uint64_t now_ns,
                  uint64_t cpu_ns)
{
    sl_strand *strand = sl_recording_main(sampled->core);
    uint64_t now = sl_py_ticks_at(sampled, now_ns);
    sl_times passed = { .wall = now - sampled->unseen_since };

    (void)waiting, (void)cpu_ns;
    sampled->suspended_at = now;
    if (sampled->timed)
        sl_py_timed_end(sampled, strand, now);
    else if (sampled->by_samples) /* of which there are none: its times alone */
        sl_strand_pause(strand, NULL, 0, &passed, now);
    else
        sl_strand_suspend(strand, now);
}

uintptr_t
sl_py_sampler_anchor(void)
{
    return 0;
}

bool
sl_py_sampler_take_over(sl_py_sampled *sampled)
{
    (void)sampled;
    return false;
}

void
sl_py_sampler_continue(sl_strand *strand, uint64_t now)
{
    sl_strand_continue(strand, SL_PSEUDO_AWAIT, now);
}

void
sl_py_sampler_waited_in(sl_strand *strand, const void *const *keys,
                        uint32_t count, uint64_t since, uint64_t until)
{
    sl_strand_wait_in(strand, keys, count, SL_PSEUDO_AWAIT, since, until);
}

uint32_t
sl_py_sampler_seen(const sl_py_sampled *sampled, uint32_t *functions,
                   uint32_t max)
{
    return sl_recording_seen(sampled->core, sampled->unseen_since, functions,
                             max);
}

/* ---- work in other threads, tasks, greenlets ---- */

const void *
sl_py_sampler_stands(sl_py_sampled *sampled, PyThreadState *ts, uintptr_t frame,
                     bool main, sl_strand **strand, uint32_t *line)
{
    (void)ts, (void)frame, (void)main;
    *line = 0;
    *strand = sl_recording_main(sampled->core);
    return sl_strand_node(*strand);
}

sl_strand *
sl_py_sampler_job_begin(sl_py_sampled *sampled, sl_pseudo pseudo,
                        const void *node, uint64_t since, uintptr_t anchor,
                        const sl_py_work *work, sl_py_job_slot *slot)
{
    (void)anchor, (void)work;
    *slot = (sl_py_job_slot){ .slot = -1 };
    return sampled->by_samples
               ? NULL
               : sl_recording_job(sampled->core, pseudo, node, since,
                                  sl_clock_ticks(sampled->clock));
}

void
sl_py_sampler_job_end(sl_py_sampled *sampled, sl_strand *strand,
                      const sl_py_job_slot *slot, bool cut)
{
    uint64_t now = sl_clock_ticks(sampled->clock);

    (void)slot;
    if (cut)
        sl_strand_charge(strand, now);
    else
        sl_strand_done(strand, now);
}

void
sl_py_sampler_task_begin(sl_py_sampled *sampled, PyObject *coroutine,
                         bool nested, uint64_t now_ns, sl_py_task_step *step)
{
    (void)sampled, (void)coroutine, (void)now_ns;
    *step = (sl_py_task_step){ .nested = nested, .slot = { .slot = -1 } };
}

void
sl_py_sampler_task_end(sl_py_sampled *sampled, PyObject *coroutine, bool waits,
                       uint64_t now_ns, const sl_py_task_step *step)
{
    (void)sampled, (void)coroutine, (void)waits, (void)now_ns, (void)step;
}

uintptr_t
sl_py_switch_anchor(const sl_py_sampled *sampled, const sl_py_job_slot *slot)
{
    (void)sampled, (void)slot;
    return 0;
}

uintptr_t
sl_py_switch_away(sl_py_sampled *sampled, sl_strand *strand,
                  sl_py_job_slot *slot, const sl_py_raw_frame *raw, int count,
                  uint64_t cpu_ns)
{
    (void)slot, (void)raw, (void)count, (void)cpu_ns;
    if (sampled->by_samples && strand != NULL)
        sl_strand_pause(strand, NULL, 0, &(sl_times){ 0 },
                        sl_clock_ticks(sampled->clock));
    return 0;
}

void
sl_py_switch_back(sl_py_sampled *sampled, sl_strand *strand,
                  sl_py_job_slot *slot, uintptr_t anchor,
                  const uintptr_t *below, int below_count, uint64_t cpu_ns,
                  uint64_t ready)
{
    (void)slot, (void)anchor, (void)below, (void)below_count, (void)cpu_ns;
    if (!sampled->by_samples)
        return;
    uint64_t now = sl_clock_ticks(sampled->clock);
    sl_strand_wait(strand, SL_PSEUDO_AWAIT, ready < now ? ready : now);
    sl_strand_continue(strand, SL_PSEUDO_LOOP, now);
}

void
sl_py_switch_over(sl_py_sampled *sampled, sl_py_job_slot *slot,
                  const uintptr_t *below, int below_count)
{
    (void)sampled, (void)slot, (void)below, (void)below_count;
}

void
sl_py_switch_strands(sl_strand *from, sl_strand *to, uint64_t now)
{
    if (from != NULL)
        sl_strand_park(from, now);
    if (to != NULL)
        sl_strand_unpark(to, now);
}

void
sl_py_switch_waited(sl_strand *strand, uint64_t ready, uint64_t now)
{
    sl_strand_stood(strand, SL_PSEUDO_AWAIT, ready < now ? ready : now);
    sl_strand_stood(strand, SL_PSEUDO_LOOP, now);
    sl_strand_unpark(strand, now);
}

void
sl_py_children_find_by(const PyObject *variable, const PyTypeObject *handle,
                       size_t offset)
{
    (void)variable, (void)handle, (void)offset;
}

/* ---- set-up ---- */

const char *
sl_py_sampler_why_not(void)
{
#ifdef __linux__
    return "this slowlens was built without its sampler";
#else
    return "looking at other threads from outside takes Linux";
#endif
}

void
sl_py_sampler_configure(uint64_t interval_ns, uint32_t limit_ppm)
{
    (void)interval_ns, (void)limit_ppm;
}

bool
sl_py_sampler_stop(void)
{
    return false;
}

void
sl_py_sampler_resume(void)
{
}

void
sl_py_sampler_after_fork(void)
{
}

void
sl_py_sampler_lock_measure(bool on)
{
    (void)on;
}

PyObject *
sl_py_sampler_info(void)
{
    return Py_BuildValue(
        "{s:O,s:s,s:O,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:O,"
        "s:i,s:i,s:i,s:i,s:i,s:i,s:O}",
        "children", Py_False, "why_not", sl_py_sampler_why_not(), "memory",
        Py_None, "cpu_clock", sl_py_cpu_clock_cheap() ? "rseq" : "system call",
        "interval_ns", 0, "current_ns", 0, "usual_ns", 0, "unusual_ns", 0,
        "ticks", 0, "late", 0, "samples", 0, "rejected", 0, "retried", 0,
        "moved", 0, "no_slot", 0, "cpu_ns", 0, "parked", Py_True, "lock_steps",
        0, "lock_learnt", 0, "lock_held_ns", 0, "not_followed", 0,
        "threads_left", 0, "unnamed", 0, "codes_watched", Py_False);
}

const char *
sl_py_sampler_test(const char *own_files)
{
    sl_py_layout layout;

    (void)own_files;
    sl_py_layout_get(&layout);
    sl_py_own_try(&layout);
    return sl_py_sampler_why_not();
}
