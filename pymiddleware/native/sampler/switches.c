/* The slots of greenlets: see switches.h. */
#include "sampler/switches.h"
#include "sampler/look.h"
#include "sampler/sampler.h"
#include "sampler/thread.h"

/* The slot that a strand had; NULL: it has none any more. While it was away a
 * fork or a request's end may have closed it, and another may have got it: a
 * number alone does not say. */
static sl_py_slot *
slot_of(const sl_py_sampled *sampled, const sl_py_job_slot *own)
{
    int at = own != NULL ? own->slot : sampled->slot;
    sl_py_slot *s = at < 0 ? NULL : &sl_py_slots[at];

    if (s == NULL || s->sampled != sampled ||
        (own != NULL && s->serial != own->serial))
        return NULL;
    return s;
}

static void
slot_remember(sl_py_sampled *sampled, sl_py_job_slot *own, const sl_py_slot *s)
{
    int at = s != NULL ? (int)(s - sl_py_slots) : -1;

    if (own == NULL) {
        sampled->slot = at;
    } else {
        own->slot = at;
        own->serial = s != NULL ? s->serial : 0;
    }
}

/* What the walk believed of the greenlet before is not true of the next one: it
 * begins anew with the version that the context has as of this event. */
static void
slot_nest(sl_py_slot *s, const uintptr_t *below, int count)
{
    s->below_count = count;
    for (int i = 0; i < count; i++)
        s->below[i] = below[i];
    s->version = sl_py_borrow_tstate()->context_ver;
    s->bottom = 0;
    s->walked = false;
}

uintptr_t
sl_py_switch_anchor(const sl_py_sampled *sampled, const sl_py_job_slot *slot)
{
    sl_py_lock();
    const sl_py_slot *s = slot_of(sampled, slot);
    uintptr_t anchor = s != NULL ? s->anchor : 0;
    sl_py_unlock();
    return anchor;
}

uintptr_t
sl_py_switch_away(sl_py_sampled *sampled, sl_strand *strand,
                  sl_py_job_slot *slot, const sl_py_raw_frame *raw, int count,
                  uint64_t cpu_ns)
{
    sl_times passed = { 0 };
    uintptr_t anchor = 0;

    if (sampled->by_samples)
        sl_py_alive_learn(raw, count);
    sl_py_lock();
    uint64_t now = sl_clock_ticks(sampled->clock);
    sl_py_slot *s = slot_of(sampled, slot);
    if (s != NULL) {
        anchor = s->anchor;
        /* With the CPU time that the event read: whatever else runs in this
         * thread from here on is not the strand's. */
        sl_py_slot_measure(s, &passed, &now, cpu_ns, true);
        if (!sampled->by_samples)
            sl_recording_observe(sampled->core, &passed, NULL, now);
        sl_py_slot_close(s);
    }
    slot_remember(sampled, slot, NULL);
    if (sampled->timed && strand != NULL)
        sl_py_timed_end(sampled, strand, now);
    /* Where it waits is known without a sample, and exactly: its frames stand
     * still, and belong to the thread that is here. */
    else if (sampled->by_samples && strand != NULL)
        sl_strand_pause(strand, sl_py_sampler.stack,
                        sl_py_alive_stack(raw, count), &passed, now);
    sl_py_unlock();
    return anchor;
}

void
sl_py_switch_back(sl_py_sampled *sampled, sl_strand *strand,
                  sl_py_job_slot *slot, uintptr_t anchor,
                  const uintptr_t *below, int below_count, uint64_t cpu_ns,
                  uint64_t ready)
{
    sl_py_lock();
    uint64_t now = sl_clock_ticks(sampled->clock);
    /* First it waited for what it had asked for; once that was there, for the
     * hub, which had others to run. */
    if (sampled->by_samples) {
        sl_strand_wait(strand, SL_PSEUDO_AWAIT, ready < now ? ready : now);
        sl_strand_continue(strand, SL_PSEUDO_LOOP, now);
    }
    if (slot == NULL)
        sampled->unseen_since = now;
    sl_py_slot *s = NULL;
    /* Events need no slot but for the main strand, which is observed. */
    if (!sampled->timed && (sampled->by_samples || slot == NULL) &&
        sl_py_thread_needed())
        s = sl_py_slot_open(sampled, strand, now, sl_clock_monotonic_ns(),
                            cpu_ns, anchor);
    if (s != NULL)
        slot_nest(s, below, below_count);
    slot_remember(sampled, slot, s);
    sl_py_unlock();
}

void
sl_py_switch_over(sl_py_sampled *sampled, sl_py_job_slot *slot,
                  const uintptr_t *below, int below_count)
{
    sl_py_lock();
    sl_py_slot *s = slot_of(sampled, slot);
    if (s != NULL)
        slot_nest(s, below, below_count);
    sl_py_unlock();
}

void
sl_py_switch_strands(sl_strand *from, sl_strand *to, uint64_t now)
{
    sl_py_lock();
    if (from != NULL)
        sl_strand_park(from, now);
    if (to != NULL)
        sl_strand_unpark(to, now);
    sl_py_unlock();
}

void
sl_py_switch_waited(sl_strand *strand, uint64_t ready, uint64_t now)
{
    sl_py_lock();
    sl_strand_stood(strand, SL_PSEUDO_AWAIT, ready < now ? ready : now);
    sl_strand_stood(strand, SL_PSEUDO_LOOP, now);
    sl_strand_unpark(strand, now);
    sl_py_unlock();
}
