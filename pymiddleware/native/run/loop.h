/* loop.h - what the event loop did while a request waited in it.
 *
 *   iteration n                n+1           n+2
 *   poll [another's long step] poll [timer]  poll [our step]
 *        |------------------ busy ----------------|
 *        ours cannot have been ready at this poll
 *
 * Nobody tells when that which a request awaits became ready: the kernel
 * knows, and the loop asks it only between two iterations. So the answer is
 * the most it can have been. What a poll makes ready sets a future in that
 * iteration; whoever awaits it goes on in the next one; through a child task
 * and its group that takes two more. So a request that goes on now because of
 * what happened outside was not ready five polls ago. Polls are learnt by a
 * callback of ours, put into the loop only while it is being held up: after
 * steps that took HELD_NS together, until as many iterations in a row were
 * short. What is no profiled request's step is seen only then.
 *
 * Everything here belongs to the calling thread, and needs the GIL.
 */
#ifndef SL_PY_LOOP_H
#define SL_PY_LOOP_H

#include "run/recording.h"

/* A step of the request with this turn and label begins at `now` (monotonic
 * ns); `started`: it is not its first. Returns for how long, of the time since
 * its last step ended, it could have gone on but for the loop, at most; ns. */
uint64_t sl_py_loop_resumes(sl_py_turn *turn, const PyObject *label,
                            bool started, uint64_t now);

/* Its step ended, and with it its section; `awaited`: what it gave to the
 * loop to wait for, BORROWED, or NULL: it is over. No exception is set, before
 * or after. */
void sl_py_loop_suspends(sl_py_recording *recording, PyObject *awaited);

#endif /* SL_PY_LOOP_H */
