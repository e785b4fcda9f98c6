/* children.h - other threads that work for a sampled request.
 *
 * They are found by the context variable that carries the request: the
 * sampler reads it in the context of every thread of the process.
 */
#ifndef SL_PY_CHILDREN_H
#define SL_PY_CHILDREN_H

#include "sampler/state.h"

/* The variable whose value of type `handle` has, at `offset`, the address of a
 * sl_py_sampled or NULL. All of them borrowed, for good. */
void sl_py_children_find_by(const PyObject *variable,
                            const PyTypeObject *handle, size_t offset);
const PyObject *sl_py_children_variable(void);

/* Looks at all of them, in the tick with this number. */
void sl_py_children_look(uint64_t ticks);

/* The sampled recording is new / over. With the lock held. */
void sl_py_children_add(sl_py_sampled *sampled);
void sl_py_children_remove(sl_py_sampled *sampled);

/* In a forked child: there are none. */
void sl_py_children_forget(void);

#endif /* SL_PY_CHILDREN_H */
