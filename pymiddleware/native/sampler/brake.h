/* brake.h - how often the sampler looks, and what that may cost.
 *
 *   income   `limit` of the CPU time that the rest of the process uses, and a
 *            quarter of it of the time that passes: a floor that no busy
 *            neighbour takes away
 *   outgo    the sampler's own CPU time
 *   purse    what is left of both, at most five seconds' worth on a core
 *
 *   full ... half full     every request each interval, as asked for
 *   half full ... empty    old requests seldomer, down to MOST_LOOKS in their
 *                          time so far; the first 50 ms of each as before
 *   empty ...              all of them seldomer
 *
 * So a request that comes after quiet is seen in full, whatever it costs for
 * that moment, and it is the long requests that pay: each of their samples
 * stands for the same part of them.
 *
 * With the sampler's lock held.
 */
#ifndef SL_PY_BRAKE_H
#define SL_PY_BRAKE_H

#include "sampler/state.h"

/* The purse is full: after a fork, or with another limit. */
void sl_py_brake_reset(void);

/* Counts what has been used since the last time. By the sampler's thread. */
void sl_py_brake_count(void);

/* Nanoseconds until the next look at a request that began `age_ns` ago. */
uint64_t sl_py_brake_interval(uint64_t age_ns);

#endif /* SL_PY_BRAKE_H */
