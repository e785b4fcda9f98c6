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

/* The work of a _WorkItem or a Thread; zeros: it is another object, or calls
 * what is not written in Python. Its code is a NEW reference. */
sl_py_work sl_py_handed_work(PyObject *object);

/* The same of a call of `function` (NULL: nothing is known) with the tuple
 * `args`, or NULL. */
sl_py_work sl_py_handed_call(PyObject *function, PyObject *args);

#endif /* SL_PY_HANDED_H */
