/* brake.h - how often the sampler looks, and what that may cost.
 *
 *   income   `limit` of the CPU time that the rest of the process uses, and,
 *            while that is less than a core, a quarter of it of the time that
 *            passes: a floor that no busy neighbour takes away
 *   outgo    what looking costs the process: the sampler's own CPU time, and
 *            more than as much again where it puts a thread that runs off its
 *            CPU, which comes back to cold caches
 *   purse    what is left of both, at most a second's worth on a core; or owed,
 *            at most half as much
 *
 *   full ... half full     every request each interval, as asked for
 *   half full ... empty    old requests seldomer, down to MOST_LOOKS in their
 *                          time so far; the first 50 ms of each as before
 *   empty ... half a debt  requests that are no older than requests get here
 *                          are seldom looked at; from there on they are looked
 *                          at as before: the slow ones are seen, and what the
 *                          others do is known from many of them
 *   ... a whole debt       all of them seldomer
 *
 * So a request that comes after quiet is seen in full, whatever it costs for
 * that moment; then it is the long requests that pay, whose samples stand for
 * the same part of each; and under load those pay that are all alike.
 *
 * With the sampler's lock held.
 */
#ifndef SL_PY_BRAKE_H
#define SL_PY_BRAKE_H

#include "sampler/state.h"

/* The purse is full: after a fork, or with another limit. */
void sl_py_brake_reset(void);

/* A thread of the sampler begins (the one before ended for a fork): its clock
 * of CPU time starts at 0, and what is in the purse stays. Under the lock. */
void sl_py_brake_begin(void);

/* Counts what has been used since the last time. By the sampler's thread. */
void sl_py_brake_count(void);

/* The sampler has ticked, on the CPU of a thread that runs a request or not. */
void sl_py_brake_ticked(bool same_cpu);

/* A request is over, `age_ns` after it began: what is usual here. */
void sl_py_brake_learn(uint64_t age_ns);

/* How old requests get here, in nanoseconds. */
uint64_t sl_py_brake_usual(void);

/* Nanoseconds until the next look at a request that began `age_ns` ago. */
uint64_t sl_py_brake_interval(uint64_t age_ns);

/* The same as if it was young: what is told of a request. */
uint64_t sl_py_brake_base_interval(uint64_t age_ns);

#endif /* SL_PY_BRAKE_H */
