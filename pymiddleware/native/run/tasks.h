/* tasks.h - the steps of tasks while an asynchronous request is recorded.
 *
 *   asyncio's Task           PyCoro_Type
 *     goes on    -- send ->    am_send  \
 *   trio's
 *     goes on    -- send ->    send      ours: whose context is this? --> its
 *   either's is told of                        strand; then as it was
 *     a failure  -- throw ->   throw    /
 *
 * Samples alone tell nothing of a task that waits, nor of one that never ran
 * while they looked, and no event of the interpreter tells of a step to who
 * asks for no other event; and who holds the event loop up may be a task of
 * nobody's. So the three ways in which a task goes on, all of the type of
 * coroutines, have a function of ours in front for as long as there is an
 * asynchronous request that is recorded, and are put back with the last of
 * them. Coroutines, tasks and what they answer are what they were.
 *
 * Whose task it is its context says; where that names nobody, who made it
 * (adopted.h). A step of an exact recording's task is a stint (stints.h):
 * greenlets that it switches to are nested in it.
 *
 * A step that runs on the stack of its request, or of a job of it (an eager
 * task until it waits; all of a loop that the request runs itself), is told
 * there; only what it waits for is a strand of its own.
 *
 * With the GIL, in the main interpreter. Never raises.
 */
#ifndef SL_PY_TASKS_H
#define SL_PY_TASKS_H

#include <stdbool.h>

/* Puts them there, on account of one recording; where that cannot be had,
 * nothing changes. */
void sl_py_tasks_watch(void);

/* That recording is over; with the last one, puts back what was there. A step
 * that is under way ends as it began. */
void sl_py_tasks_unwatch(void);

/* In a forked child: nobody is recorded. */
void sl_py_tasks_after_fork(void);

/* Whether they are there. */
bool sl_py_tasks_watched(void);

#endif /* SL_PY_TASKS_H */
