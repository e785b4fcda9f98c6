/* handlers.h - that a handler of signals was called, without being one.
 *
 * A server that is told to end (SIGTERM), or a worker that takes too long
 * (SIGABRT), has a handler of its own, and may be killed a moment later. The
 * handler stays what it is: a probe (engine/probes.h) on its code counts its
 * calls, and the writer writes down what runs. What has no handler in Python
 * (the default one ends the process at once) is not seen; nor, on 3.11, what
 * no recorded request is interrupted by.
 *
 * All of it with the GIL.
 */
#ifndef SL_PY_HANDLERS_H
#define SL_PY_HANDLERS_H

#include "compat/py_compat.h"

/* Counts the calls of `code` from now on, for as long as the process lives.
 * Idempotent. false: they cannot be counted, or enough others are. */
bool sl_py_handlers_watch(PyCodeObject *code);

/* How many calls there were. */
uint64_t sl_py_handlers_calls(void);

#endif /* SL_PY_HANDLERS_H */
