/* thread.h - the sampler's thread: ticks, what they may cost, fork. */
#ifndef SL_PY_THREAD_H
#define SL_PY_THREAD_H

#include "sampler/state.h"

/* Sees to forks, from now on; idempotent. Before memory is read for the first
 * time. false: it cannot. */
bool sl_py_thread_set_up(void);

/* A slot is about to be used: starts or wakes the thread. false: there can be
 * none. With the GIL and the lock held. */
bool sl_py_thread_needed(void);

/* Settings are others from now on, also where it sleeps by the old ones. With
 * the lock held. */
void sl_py_thread_configured(void);

/* Whether there is such a thread in this very process. With the GIL. */
bool sl_py_thread_lives(void);

/* Ends the thread and waits for it. With the GIL, without the lock. */
bool sl_py_thread_stop(void);

/* In a forked child; without the lock. */
void sl_py_thread_after_fork(void);

/* Whether it does nothing. With the lock held. */
bool sl_py_thread_idle(void);

#endif /* SL_PY_THREAD_H */
