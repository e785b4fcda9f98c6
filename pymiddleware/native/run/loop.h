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
 * short.
 *
 * A request waits for its tasks, too, and they for each other:
 *
 *   request  [step]--------------------- waits ------------------------[step]
 *   a task      [..]---- could have gone on ----[..]--- a thread ---[.., over]
 *                     |------ loop busy -------|
 *
 * What goes on right after one of its tasks has ended, waited for that one: it
 * was held up when the task was, and whatever held that up. Steps of its own
 * tasks are in that case what it waited for, not the loop.
 *
 * What runs in the loop is told by coroutines that go on (tasks.h; of whomever)
 * and, on CPython 3.12+ under asyncio's own loop, by its callbacks.
 *
 * Everything here belongs to the calling thread, and needs the GIL.
 */
#ifndef SL_PY_LOOP_H
#define SL_PY_LOOP_H

#include "run/recording.h"

/* A step of the request begins, its section too; `started`: it is not its
 * first. Returns for how long, of the time since its last step ended, it could
 * have gone on but for the loop, at most; ns. */
uint64_t sl_py_loop_resumes(sl_py_recording *recording, bool started,
                            uint64_t now);

/* Its step ended, and with it its section; `awaited`: what it gave to the
 * loop to wait for, BORROWED, or NULL: it is over. No exception is set, before
 * or after. */
void sl_py_loop_suspends(sl_py_recording *recording, PyObject *awaited,
                         uint64_t now);

/* When the task's step that begins did so: sl_clock_monotonic_ns, or when the
 * loop's callback began which does nothing but that step. */
uint64_t sl_py_loop_now(void);

/* A step of one of its tasks begins, at sl_py_loop_now / ended; `nested`: on
 * the stack of another one, or of the request (an eager task). `what` it runs
 * is to name it; a greenlet may stand for the coroutine. */
void sl_py_loop_task_resumes(sl_py_recording *recording,
                             const PyObject *coroutine, bool nested,
                             uint64_t now, sl_py_loop_step *step);
void sl_py_loop_task_suspends(sl_py_recording *recording,
                              const PyObject *coroutine, PyObject *what,
                              PyObject *awaited, uint64_t now,
                              const sl_py_loop_step *step);

/* Whether steps of that one were told, and it waits. */
bool sl_py_loop_task_is_known(sl_py_recording *recording,
                              const PyObject *coroutine);

/* The task's step before, which has suspended, ran on the stack of another
 * strand: it waits since then (ticks) / since when, if so, which is forgotten;
 * 0: it did not, or that is not known. */
void sl_py_loop_task_stands(sl_py_recording *recording,
                            const PyObject *coroutine, uint64_t since);
uint64_t sl_py_loop_task_stood(sl_py_recording *recording,
                               const PyObject *coroutine);

/* A step of another task, whose coroutine this is, begins / ended. */
void sl_py_loop_begins(sl_py_loop_step *step);
void sl_py_loop_ends(const sl_py_loop_step *step, PyObject *coroutine);

/* What the calling thread tells of steps from now on are turns of greenlets
 * (hub.h), not steps of asyncio's / is so no more. While it is, no Python code
 * runs here: */
void sl_py_loop_hub(bool on);
/* ...whether the hub's polls should be known, and begins to watch them; `hub`:
 * gevent's greenlet, or eventlet's hub; NULL: none is known. May run Python
 * code; no exception is set, before or after. */
bool sl_py_loop_hub_wanted(void);
void sl_py_loop_hub_watch(PyObject *hub);
/* Nobody told of switches for a while. */
void sl_py_loop_hub_lost(void);

/* Whether callbacks of asyncio's loops are timed. */
void sl_py_loop_callbacks(bool on);

/* The recording is over: frees what was noted of its tasks. Idempotent. */
void sl_py_loop_forget(sl_py_recording *recording);

/* Registers the probe of asyncio's callbacks. */
void sl_py_loop_init(void);

#endif /* SL_PY_LOOP_H */
