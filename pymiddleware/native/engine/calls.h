/* calls.h - calls of known C functions, at the places that make them (3.12+).
 *
 *   drivers whose execute() is C (sqlite3, psycopg2) have no code object to put
 *   a probe on, and a call of theirs is not seen by samples. So:
 *
 *     a function runs for the first time    is it of the project, or does it
 *                                           call something `execute`?
 *       no  -> never asked again            yes -> its calls are told of
 *     a call in it is made                  of a C function that is known?
 *       no  -> this place: never again      yes -> the action, each time
 *
 * Under a tool id of its own, because an answer "never again" counts for all
 * of an id's events at that place. What is never asked again costs nothing. In
 * the project it is the callable that counts: `self.ask = cursor.execute` is
 * found where it is called. A place that calls others first is not asked again,
 * unless its function says `execute` or is handed such a C function (a
 * decorator, a pool of threads): as one of its first arguments, in its closure,
 * or by a table. A call through functools.partial or a context's run() is one
 * of what it calls. Out of C (map) none is told of; that map() is given one,
 * is.
 *
 * All of it with the GIL. Never raises.
 */
#ifndef SL_PY_CALLS_H
#define SL_PY_CALLS_H

#include "engine/probe.h"

/* The target stands for `callable`, a C function of a class or module. Ignored
 * if it is none. */
void sl_py_calls_add(PyObject *callable, const sl_py_target *target);

/* The function that runs `code` calls what it is given. */
void sl_py_calls_handed(PyObject *code);

/* `code` runs already, and may have begun before anybody watched. */
void sl_py_calls_started(PyObject *code);

/* Whether a request is recorded: else nobody asks of their calls. At first none
 * is. */
void sl_py_calls_asked(bool somebody);

/* From now on calls of those are told of, if there are any. Cheap. */
void sl_py_calls_watch(void);

/* They still are: the tool id is taken again if somebody took or freed it, or
 * set what is told under it; tried again as long as none is free. Whether that
 * was found to have happened. */
bool sl_py_calls_keep(void);

/* Gives the tool id back, to the engine, which needs it more. Whether there was
 * one. */
bool sl_py_calls_give_up(void);

/* Why not, in one sentence; NULL: they are, or there are none. */
const char *sl_py_calls_why_not(void);

#endif /* SL_PY_CALLS_H */
