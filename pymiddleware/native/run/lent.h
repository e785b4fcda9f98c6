/* lent.h - work that a request's coroutine awaits and that runs in a thread
 * which runs the request already, on its stack:
 *
 *   the request's thread                      its event loop's thread
 *     view = async_to_sync(f)  -- starts -->    f: await qs.aget()
 *       waits, and runs what it is handed  <--    sync_to_async(qs.get)
 *         _WorkItem.run, qs.get, a query
 *
 * It stays where it is in the tree. But below the thread's own functions nobody
 * of the project asked for that query: who did is the coroutine. So a span that
 * begins there stands where the work was handed over.
 *
 * With the GIL. Never raises.
 */
#ifndef SL_PY_LENT_H
#define SL_PY_LENT_H

#include "run/recording.h"

#include "slowlens/span.h"

/* What runs for the recording above `frame` was handed over where `node` of
 * strand `lane` stands. / The call in `frame` is over. */
void sl_py_lent_begin(const sl_py_recording *recording, uintptr_t frame,
                      const void *node, uint32_t lane);
void sl_py_lent_end(uintptr_t frame);

/* *what, which stands in the calling thread's `frame`, stands where that was
 * handed over, unless a function of the project is between. */
void sl_py_lent_stands(const sl_py_recording *recording, uintptr_t frame,
                       sl_span_what *what);

/* The recording is over: also what nobody told the end of. */
void sl_py_lent_over(const sl_py_recording *recording);

/* In a forked child: none runs. */
void sl_py_lent_after_fork(void);

#endif /* SL_PY_LENT_H */
