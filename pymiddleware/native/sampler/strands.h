/* strands.h - the strands of a sampled request beside its main one.
 *
 * All but the last with the sampler's lock held; what names a task or drops
 * one, with the GIL too.
 */
#ifndef SL_PY_STRANDS_H
#define SL_PY_STRANDS_H

#include "sampler/state.h"

/* The request's work in a context that is no task's step: found, or new. NULL:
 * no room (counted). */
sl_py_child *sl_py_child_of_context(sl_py_sampled *sampled, uintptr_t context);

/* Child number `at`, below child_count. */
sl_py_child *sl_py_child_at(const sl_py_sampled *sampled, uint32_t at);

/* The task of this coroutine; NULL: it was not added. */
sl_py_child *sl_py_child_of_task(sl_py_sampled *sampled,
                                 const PyObject *coroutine);

/* A task that was not there; `weak`, a weak reference to its coroutine, is
 * taken over. NULL: no room (counted). */
sl_py_child *sl_py_child_add_task(sl_py_sampled *sampled, PyObject *coroutine,
                                  PyObject *weak, uintptr_t context);

/* Its strand, which begins at `now` if it has none yet; `ts`: where it runs.
 * NULL: no memory (counted). */
sl_strand *sl_py_child_open(sl_py_sampled *sampled, sl_py_child *child,
                            const void *ts, uint64_t now);

/* It waits from now on, or goes on. */
void sl_py_child_waits(sl_py_child *child, bool waits);

/* Its work is over. */
void sl_py_child_end(sl_py_sampled *sampled, sl_py_child *child);

/* Forgets all of them. With the GIL, without the lock. */
void sl_py_children_free(sl_py_sampled *sampled);

/* In a forked child: those of all recordings are the parent's. */
void sl_py_strands_forget(void);

#endif /* SL_PY_STRANDS_H */
