/* stands.h - where the work that runs in the calling thread stands in the tree
 * of its sampled request: by a walk of the thread's own stack.
 *
 * With the GIL held, and without the lock.
 */
#ifndef SL_PY_STANDS_H
#define SL_PY_STANDS_H

#include "sampler/state.h"

/* The node of `frame`, the innermost one of the calling thread `ts`, made if
 * need be. `main`: it is the request's main strand that runs here. *strand: the
 * strand it is of; *line: where that frame is, 0: not known.
 * NULL: no memory (counted). The recording is live, and fed by samples. */
const void *sl_py_sampler_stands(sl_py_sampled *sampled, PyThreadState *ts,
                                 uintptr_t frame, bool main, sl_strand **strand,
                                 uint32_t *line);

#endif /* SL_PY_STANDS_H */
