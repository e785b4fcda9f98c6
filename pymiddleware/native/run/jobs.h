/* jobs.h - work that a request hands to another thread.
 *
 *   the request's thread                  a thread of the pool
 *     submit(f)
 *       _WorkItem.__init__  -- noted ->     waits in the queue
 *     goes on                               _WorkItem.run: a strand [thread]
 *                                             [queued]  f  ...
 *
 * Probes on the standard library's own functions (probes.h) tell of both ends,
 * so a job is found however short it is, and whether or not it takes the
 * request's context along: ThreadPoolExecutor (and with it run_in_executor,
 * to_thread, asgiref), threading.Thread, and gevent's threadpool. A pool's
 * threads are nobody's: they serve whoever comes; only what they are
 * initialized with is of who had them started. multiprocessing's ThreadPool
 * (joblib's) and eventlet's tpool call what they are handed in a frame of their
 * worker's own: there each call that it makes is told of (3.12+).
 *
 * With the GIL. Never raises.
 */
#ifndef SL_PY_JOBS_H
#define SL_PY_JOBS_H

#include "run/recording.h"

/* Adds the probes to the table. */
void sl_py_jobs_init(void);

/* Called in a thread in which a job begins, before it does. */
void sl_py_jobs_on_begin(void (*begins)(void));

/* What runs in the calling thread hands `object` over, to run later; elsewhere:
 * in another thread. Known by its address until it is taken, handed over again
 * (by whomever), or its request is over. */
void sl_py_jobs_note(const void *object, bool elsewhere);

/* The live recording that handed `object` over, BORROWED, with where and when
 * (ticks), which is forgotten; NULL: none did. */
sl_py_recording *sl_py_jobs_take(const void *object, const void **node,
                                 uint64_t *since);

/* The recording is over: what still runs for it runs for nobody, and what was
 * noted for it is forgotten. */
void sl_py_jobs_end(sl_py_recording *recording);

/* In a forked child: none runs. */
void sl_py_jobs_after_fork(void);

#endif /* SL_PY_JOBS_H */
