/* tasks.h - steps of a sampled request's tasks: each is a section of its own
 * strand. With the GIL held, and without the lock.
 */
#ifndef SL_PY_SAMPLER_TASKS_H
#define SL_PY_SAMPLER_TASKS_H

#include "sampler/jobs.h"
#include "sampler/state.h"

/* What is to be known at the end of a task's step. */
typedef struct {
    bool nested; /* on the stack of another one, or of its request */
    sl_py_job_slot slot;
} sl_py_task_step;

/* A task of the sampled recording, whose coroutine this is, goes on in the
 * calling thread / stops, and `waits` for something or is over. The recording
 * is not finished. `now_ns`: sl_clock_monotonic_ns, read just now. Never
 * raise. */
void sl_py_sampler_task_begin(sl_py_sampled *sampled, PyObject *coroutine,
                              bool nested, uint64_t now_ns,
                              sl_py_task_step *step);
void sl_py_sampler_task_end(sl_py_sampled *sampled, PyObject *coroutine,
                            bool waits, uint64_t now_ns,
                            const sl_py_task_step *step);

/* The request is over: those of its tasks that run are not looked at any more,
 * and those that wait have waited until now. */
void sl_py_tasks_end_all(sl_py_sampled *sampled);

#endif /* SL_PY_SAMPLER_TASKS_H */
