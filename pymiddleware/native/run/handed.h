/* handed.h - what work that was handed over is: the function that it calls
 * first, and what tells it from other work of that function.
 *
 *   partial(ctx.run, timed(f), x)  ->  timed.<locals>.wrapper, alike: with f
 *
 * Reading runs no code of anybody's. With the GIL; never raises.
 */
#ifndef SL_PY_HANDED_H
#define SL_PY_HANDED_H

#include "sampler/jobs.h"

/* Learns the names that are read; once, where Python may run. */
void sl_py_handed_init(void);

/* BORROWED, or NULL: not known. */
typedef struct {
    PyObject *object; /* a _WorkItem or a Thread, or another one */
    PyObject *function,
        *args; /* else: what is called, and the tuple with what */
} sl_py_handed;

/* Zeros but for `alike`: it calls what is not known, or not written in Python.
 * Its code is a NEW reference. */
sl_py_work sl_py_handed_work(const sl_py_handed *handed);

/* work_of(function, args) -> (alike, code or None), for tests. */
PyObject *sl_py_handed_tell(PyObject *module, PyObject *args);

#endif /* SL_PY_HANDED_H */
