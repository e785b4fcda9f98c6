/* lock.h - the sampler's lock.
 *
 * It guards what sampler/ and look/ keep, and of each recording the part of
 * the sampler (sampled.h) and all that samples write into the core. The order
 * is: the GIL, then this one; the sampler's thread takes this one alone.
 *
 * Who holds it may hold the GIL, so whoever waits for it may stop every
 * thread of the process. Therefore nothing of Python that allocates, drops a
 * reference or runs code is called under it: a collection or a __del__ could
 * come back here, and wait for itself. tests/lint/locks.py follows calls by
 * name between lock and unlock; it does not see those through a pointer, in a
 * macro or in core/, which has nothing of Python.
 */
#ifndef SL_PY_LOCK_H
#define SL_PY_LOCK_H

#include "compat/py_compat.h"

#include <assert.h>
#include <time.h>

/* Any thread. */
void sl_py_lock(void);
void sl_py_unlock(void);

/* The same for who holds the GIL: afterwards the references that were put
 * aside meanwhile are dropped, which may run any code. */
void sl_py_unlock_drop(void);

/* `object` (NULL: nothing) loses a reference once the lock is given back.
 * With the GIL and the lock held. */
void sl_py_drop_later(PyObject *object);

/* Held for no longer than one look: what goes over things that an application
 * may have any number of counts them here, and gives the lock back after
 * SL_PY_LOCK_STEPS. The most of one hold is told by sl_py_lock_told, and
 * tested.
 */
#define SL_PY_LOCK_STEPS 64
/* Of them, what goes over a list may take: some are for finding one thing. */
#define SL_PY_SCAN_STEPS (SL_PY_LOCK_STEPS / 2)
extern uint32_t sl_py_lock_steps; /* of this hold; guarded by the lock */

/* Functions that were met for the first time, in this hold: dearer than a step,
 * and SL_PY_CODES_NEW at most in one look, but for those that were given up in
 * it to make room. */
extern uint32_t sl_py_lock_learnt; /* guarded by the lock */

/* For who holds the lock, and nothing in it that another may change: others
 * may have it now. */
void sl_py_lock_yield(void);

typedef struct {
    uint32_t steps;   /* most of one hold */
    uint32_t learnt;  /* likewise, functions */
    uint64_t held_ns; /* longest, on the CPU; 0: not measured */
} sl_py_lock_facts;

/* What was so far; and from now on, from zero, measured or not: reading a CPU
 * clock costs more than most of what is done under the lock. */
sl_py_lock_facts sl_py_lock_told(void);
void sl_py_lock_measure(bool on);

/* Whether the calling thread holds it; for assertions. true in builds that
 * have none. */
bool sl_py_locked(void);

/* A rule that stands at a function: asserted in debug builds. */
#define SL_PY_NEEDS_LOCK() assert(sl_py_locked())

/* Around fork(2): held across it by the parent; new in the child. */
void sl_py_lock_fork_child(void);

/* Who waits for `wanted` (one at most) is woken when the lock is given back. */
void sl_py_lock_wake(void *wanted);

/* Waits for `wanted` (pthread_cond_t *) without the lock, and no longer than
 * `until` (CLOCK_MONOTONIC), for which _init is to be called first. */
void sl_py_lock_wait(void *wanted);
void sl_py_lock_wait_until(void *wanted, const struct timespec *until);
void sl_py_lock_wanted_init(void *wanted);

#endif /* SL_PY_LOCK_H */
