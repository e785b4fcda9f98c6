/* look.h - one look at one thread: its stack, CPU, GIL, blocking.
 *
 * All with the sampler's lock held.
 */
#ifndef SL_PY_LOOK_H
#define SL_PY_LOOK_H

#include "sampler/slots.h"

bool sl_py_holds_gil(const sl_py_slot *slot);

/* Time since the slot was last seen, which it is *now. `cpu`: its thread's CPU
 * clock; `self`: that is the calling thread. */
void sl_py_slot_measure(sl_py_slot *slot, sl_times *out, uint64_t *now,
                        uint64_t cpu, bool self);

/* The same as of `wall` (CLOCK_MONOTONIC), which was read just now; if it was
 * seen after that, as of now. Returns when, in ticks. */
uint64_t sl_py_slot_measure_at(sl_py_slot *slot, sl_times *out, uint64_t wall,
                               uint64_t cpu, bool self);

/* The strand of `sampled` was looked at in vain; `walk` (below 0, frames.h) or
 * `why` says the reason. The time goes to [not seen]. */
sl_pseudo sl_py_unseen_why(int walk);
void sl_py_look_in_vain(sl_py_sampled *sampled, sl_strand *strand,
                        sl_pseudo why, const sl_times *passed, uint64_t now);

/* It ran up to `now` without a slot: there are more threads than slots. */
void sl_py_look_without_room(sl_py_sampled *sampled, sl_strand *strand,
                             uint64_t now);

/* The stack of a thread above `anchor`, into sl_py_sampler.places; `parts`: see
 * frames.h. Returns how many frames; below 0: as sl_py_frames_walk. */
int sl_py_stack_read(const void *ts, uintptr_t anchor, sl_py_parts *parts);

/* Whether a stack that came to `count` is to be read once more within this hold
 * of the lock: it was torn, and has cost no more than a walk. */
bool sl_py_look_goes_on(int count);

/* Looks at a slot in use. false: it is to be looked at again, once others have
 * had the lock: many of its functions are new, and not all of them are known
 * yet. None of its time is charged until then. */
bool sl_py_slot_look(sl_py_slot *slot);

/* How often that may be said of one slot in one tick; a stack as deep as is
 * told has no more new functions than that. */
#define SL_PY_LOOKS_AGAIN (SL_PY_WALK_MAX / SL_PY_CODES_NEW + 2)

/* `count` places to frames in sl_py_sampler.stack, outermost first and without
 * slowlens's own. Of a stack that is as deep as the limit the innermost is left
 * out: what else it ran is not known. Returns how many. */
uint32_t sl_py_stack_fill(int count);

/* The C function that the innermost of `count` places, of the walk just made,
 * is calling goes on top of the `depth` frames. Returns how many those are. */
uint32_t sl_py_callee_add(int count, uint32_t depth);

/* Of `count` places, those above the innermost one that runs other contexts:
 * what is below that is the server's. */
int sl_py_stack_cut(int count);

/* The `count` frames in `raw`, as own_stack.h told them in this thread (where
 * it stands, or what waits), into sl_py_sampler.stack, innermost last. Returns
 * how many; 0 also: they cannot be read now. With the GIL, which is not given
 * up since they were told, so that their code lives. */
uint32_t sl_py_alive_stack(const sl_py_raw_frame *raw, int count);

/* Before the lock is taken for it: so many new functions are learnt at once,
 * and others have the lock in between. Does nothing where there cannot be too
 * many of them, as nearly always. */
void sl_py_alive_learn(const sl_py_raw_frame *raw, int count);

/* The same for who has the lock, and nothing in it that another may change.
 * false: the lock was given up, and what was told is to be told again. */
bool sl_py_alive_known(const sl_py_raw_frame *raw, int count);

#endif /* SL_PY_LOOK_H */
