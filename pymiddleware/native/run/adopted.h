/* adopted.h - tasks of a request whose context does not name it.
 *
 *   create_task(c, context=Context())    c's coroutine is noted, with whose
 *   Context().run(create_task, c)   ---> it is; its steps are found by that,
 *                                        and while one runs its context names
 *                                        the request (tasks.c)
 *
 * A task takes its context from whoever made it, or is given one; an empty one
 * names nobody. Probes on the functions of asyncio that make tasks tell who did
 * (uvloop's own create_task is no Python function, and tells nothing).
 *
 * With the GIL. Never raises.
 */
#ifndef SL_PY_ADOPTED_H
#define SL_PY_ADOPTED_H

#include "run/recording.h"

/* Adds the probes to the table. */
void sl_py_adopted_init(void);

/* How many are noted: mostly none. */
extern uint32_t sl_py_adopted_count;

/* The live recording that made the task of this coroutine, BORROWED; NULL: none
 * is known to have. */
sl_py_recording *sl_py_adopted_of(const PyObject *coroutine);

/* The coroutine has ended. */
void sl_py_adopted_over(const PyObject *coroutine);

/* Forgets those whose request, or coroutine, is gone. */
void sl_py_adopted_prune(void);

#endif /* SL_PY_ADOPTED_H */
