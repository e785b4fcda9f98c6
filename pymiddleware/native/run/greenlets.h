/* greenlets.h - a switch of greenlets is a suspension.
 *
 *   request's greenlet     hub            another request's greenlet
 *     query()
 *       wait -- switch -->  poll --------->  runs
 *       [await] ...                          ...
 *       goes on <--------  timer  <-- switch
 *
 *   driver (a coroutine)           its greenlet (SQLAlchemy's greenlet_spawn)
 *     switch ------------------->  orm()  execute()
 *     await the socket <---------    await_only(...)
 *     switch ------------------->    goes on: below the driver, in one piece
 *
 * greenlet tells a trace function of each switch of its thread; ours is an
 * object of a C type, in front of whatever was there before. What ran in the
 * greenlet that stops (its stints) stands still where it is, with its time as
 * [await]; what ran in the one that goes on goes on. A greenlet that a stint's
 * own code starts and switches to is nested: a part of the same stack. One that
 * gevent or eventlet starts later, from their hub, is a strand of its own, of
 * the request that ran where and when it was spawned (jobs.h): gevent tells of
 * it, and probes on spawn_raw and eventlet's spawn do. Of any other it is not
 * known, and it is nobody's.
 *
 * Greenlets are known by their addresses; no reference is held, which would
 * delay their end. Their death is a switch too, so no address is used again
 * before we know.
 *
 * With the GIL. Never raises.
 */
#ifndef SL_PY_GREENLETS_H
#define SL_PY_GREENLETS_H

#include "run/recording.h"

/* 0; -1 with an exception. */
int sl_py_greenlets_init(void);

/* A section begins in the calling thread: from now on its switches are told, if
 * there are greenlets in this process. */
void sl_py_greenlets_watch(void);

/* The stint is about to end: its bottom strand runs for it again, and what it
 * nested waits to be switched to in another one. */
void sl_py_greenlets_leave(sl_py_stint *stint);

/* The recording is over. */
void sl_py_greenlets_end(sl_py_recording *recording);

/* In a forked child: none of them is anybody's. */
void sl_py_greenlets_after_fork(void);

/* {"switches": ...}, for engine_info: a NEW dict, or NULL with an exception. */
PyObject *sl_py_greenlets_info(void);

#endif /* SL_PY_GREENLETS_H */
