/* Work that a request handed to another thread: a strand, and while it is
 * sampled a slot. */
#include "sampler/jobs.h"
#include "compat/cpu_clock.h"
#include "sampler/clocks.h"
#include "sampler/look.h"
#include "sampler/thread.h"

#define SHORT_NS UINT64_C(20000)
#define FRESH_NS UINT64_C(200000)

/* The calling thread's CPU clock at the end of its last job: reading it (0.5
 * us) costs as much as all else about a job, and they come in rows. */
static __thread struct {
    uint64_t cpu, wall;
} last;

static uint64_t
begin_cpu(void)
{
    uint64_t now = sl_clock_monotonic_ns();

    return now - last.wall < FRESH_NS ? last.cpu : sl_py_cpu_clock_ns();
}

sl_strand *
sl_py_sampler_job_begin(sl_py_sampled *sampled, sl_pseudo pseudo,
                        const void *node, uint64_t since, uintptr_t anchor,
                        sl_py_job_slot *slot)
{
    uint64_t cpu = sampled->by_samples ? begin_cpu() : 0;

    *slot = (sl_py_job_slot){ .slot = -1 };
    sl_py_lock();
    uint64_t now = sl_clock_ticks(sampled->clock);
    sl_strand *strand =
        sl_recording_job(sampled->core, pseudo, node, since, now);
    sl_py_slot *s =
        strand == NULL || !sampled->by_samples || !sl_py_thread_needed()
            ? NULL
            : sl_py_slot_open(sampled, strand, now, cpu, anchor);
    if (s != NULL) {
        slot->slot = (int)(s - sl_py_slots);
        slot->serial = s->serial;
    }
    sl_py_unlock();
    return strand;
}

/* The CPU clock of the slot's thread, which has run since it was last seen. A
 * reading costs as much as a short job: that one was on the CPU all the time.
 */
static uint64_t
slot_cpu(const sl_py_slot *s, bool self)
{
    uint64_t passed = sl_clock_monotonic_ns() - s->wall_ns;

    if (passed < SHORT_NS)
        return s->cpu_ns + passed;
    return self ? sl_py_cpu_clock_ns()
                : sl_py_clock_ns(sl_py_thread_clock(s->tid));
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
        bool self = s->tid == sl_py_own_tid();
        uint64_t cpu = slot_cpu(s, self);
        sl_py_slot_measure(s, &passed, &now, cpu, self);
        if (self) {
            last.cpu = cpu;
            last.wall = s->wall_ns;
        }
        sl_py_slot_close(s);
        sl_strand_end(strand, &passed, now);
    }
    /* Began by events and went on by samples: not fed any more. */
    bool fed = slot->slot >= 0 || !sampled->by_samples;
    if (fed && !cut)
        sl_strand_done(strand, now);
    else if (!sampled->by_samples)
        sl_strand_charge(strand, now);
    sl_py_unlock();
}
