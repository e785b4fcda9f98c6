/* layers.h - the queries, requests and templates of a profiled request: spans
 * by probes on the functions that ask for them.
 *
 *   rows of Python (slowlens/layers/)       table of probes (engine/probes.h)
 *     module, function, kind,  ------------>  the function starts: the text is
 *     where its text is                       read from its frame, and a span
 *                                             of that kind begins where the
 *                                             request stands
 *                                             it returns or raises: it ends
 *
 * A span is known by its frame: a coroutine is suspended in it while others
 * run, and its span goes on meanwhile. Layers stand on each other (an ORM over
 * a driver): a span inside one of the same kind and text, begun by another
 * function, is the same query and is not told twice.
 *
 * With the GIL. Never raises, but for sl_py_layers_add.
 */
#ifndef SL_PY_LAYERS_H
#define SL_PY_LAYERS_H

#include "run/recording.h"

/* layers_add(module, qualname, kind, text, what, more, whole): one row. */
PyObject *sl_py_layers_add(PyObject *module, PyObject *args);

/* layers_open(kind): whether what runs here is inside a call of a row of that
 * kind. */
PyObject *sl_py_layers_open(PyObject *module, PyObject *kind);

/* The recording is about to begin. */
void sl_py_layers_begin(const sl_py_recording *recording);

/* The recording is over: its open spans end now. */
void sl_py_layers_end(sl_py_recording *recording);

/* In a forked child: what is open is the parent's. */
void sl_py_layers_after_fork(void);

#endif /* SL_PY_LAYERS_H */
