/* Work that a request handed to another thread: a strand, and while it is
 * sampled a slot. */
#include "sampler/jobs.h"
#include "compat/cpu_clock.h"
#include "sampler/clocks.h"
#include "sampler/look.h"
#include "sampler/thread.h"

/* The strand's work is that, or not known: then it is like all other such work.
 * The place where its function begins is one like others. */
static void
work_tell(sl_strand *strand, const sl_py_work *work)
{
    const sl_py_raw_frame start = { (uintptr_t)work->code,
                                    (uintptr_t)work->code +
                                        sl_py_sampler.layout.code_bytes };
    bool found = work->code != NULL && sl_py_alive_stack(&start, 1) == 1;

    sl_strand_works(strand, work->alike,
                    found ? sl_py_sampler.stack[0].key : NULL);
}

sl_strand *
sl_py_sampler_job_begin(sl_py_sampled *sampled, sl_pseudo pseudo,
                        const void *node, uint64_t since, uintptr_t anchor,
                        const sl_py_work *work, sl_py_job_slot *slot)
{
    uint64_t cpu = sampled->by_samples ? sl_py_cpu_clock_ns() : 0;

    *slot = (sl_py_job_slot){ .slot = -1, .by_samples = sampled->by_samples };
    if (sampled->timed)
        return NULL;
    sl_py_lock();
    uint64_t now = sl_clock_ticks(sampled->clock);
    sl_strand *strand =
        sl_recording_job(sampled->core, pseudo, node, since, now);
    sl_py_slot *s =
        strand == NULL || !sampled->by_samples || !sl_py_thread_needed()
            ? NULL
            : sl_py_slot_open(sampled, strand, now, sl_clock_monotonic_ns(),
                              cpu, anchor);
    if (s != NULL)
        work_tell(strand, work);
    if (s != NULL) {
        slot->slot = (int)(s - sl_py_slots);
        slot->serial = s->serial;
    }
    sl_py_unlock();
    return strand;
}

void
sl_py_sampler_job_end(sl_py_sampled *sampled, sl_strand *strand,
                      const sl_py_job_slot *slot, bool cut)
{
    sl_times passed = { 0 };

    sl_py_lock();
    uint64_t now = sl_clock_ticks(sampled->clock);
    sl_py_slot *s = slot->slot < 0 ? NULL : &sl_py_slots[slot->slot];
    if (s != NULL && s->sampled == sampled && s->serial == slot->serial) {
        sl_py_slot_measure(s, &passed, &now, sl_py_cpu_of(s->tid),
                           s->tid == sl_py_own_tid());
        sl_py_slot_close(s);
        sl_strand_end(strand, &passed, now);
    } else if (slot->slot < 0 && slot->by_samples && !cut && !sampled->timed) {
        sl_py_look_without_room(sampled, strand, now);
    }
    /* Began by events and went on by samples: not fed any more. */
    bool fed = slot->by_samples == sampled->by_samples;
    if (fed && !cut)
        sl_strand_done(strand, now);
    else if (!sampled->by_samples)
        sl_strand_charge(strand, now);
    sl_py_unlock();
}
