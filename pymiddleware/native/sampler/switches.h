/* switches.h - what the sampler is to know of greenlets, see run/greenlets.h.
 *
 *   frames of the one that runs ... its outermost -> 0
 *   frames of the one that started it, from where it waits ... -> 0
 *   ...of the bottom one, from where it waits ... -> anchor
 *
 * Between a switch and its event, and while the event waits for the lock, the
 * sampler sees the next greenlet's stack where it looks for this one's. A walk
 * that ends at the anchor cannot be another's. One that has to be put together
 * is believed if the thread's context had the version of the last event before
 * and after it, or if its outermost frame is one that was believed before.
 *
 * With the GIL held, and without the lock.
 */
#ifndef SL_PY_SWITCHES_H
#define SL_PY_SWITCHES_H

#include "sampler/jobs.h"

/* The frame that the slot's frames stand above. */
uintptr_t sl_py_switch_anchor(const sl_py_sampled *sampled,
                              const sl_py_job_slot *slot);

/* A strand of the recording stops in the calling thread, and its slot (number
 * and serial; 0: the main strand's) is closed. `raw`: the frames that wait,
 * innermost first. Returns the slot's anchor. `strand` NULL: nobody's wait. */
uintptr_t sl_py_switch_away(sl_py_sampled *sampled, sl_strand *strand,
                            sl_py_job_slot *slot, const sl_py_raw_frame *raw,
                            int count, uint64_t cpu_ns);

/* It goes on after an await, in a slot of its own again. `below`: the innermost
 * frames of the greenlets that wait for it, the bottom one's first. `ready`:
 * ticks; since then it was the hub that was busy. */
void sl_py_switch_back(sl_py_sampled *sampled, sl_strand *strand,
                       sl_py_job_slot *slot, uintptr_t anchor,
                       const uintptr_t *below, int below_count, uint64_t cpu_ns,
                       uint64_t ready);

/* It goes on without a wait, in another greenlet of its own. */
void sl_py_switch_over(sl_py_sampled *sampled, sl_py_job_slot *slot,
                       const uintptr_t *below, int below_count);

/* The strands of a recording that events feed: from one to the other (NULL:
 * none) / one goes on after a wait. With the lock: samples write into the same
 * marks. */
void sl_py_switch_strands(sl_strand *from, sl_strand *to, uint64_t now);
void sl_py_switch_waited(sl_strand *strand, uint64_t ready, uint64_t now);

#endif /* SL_PY_SWITCHES_H */
