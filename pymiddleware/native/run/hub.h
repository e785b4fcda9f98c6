/* hub.h - greenlets take turns in a thread as tasks do in an event loop; the
 * hub of gevent or eventlet, which all of them wait in, is the loop.
 *
 *   hub | request A |  hub  | another greenlet, 50 ms | hub | request A
 *         turn        poll    turn                      poll  turn
 *              |-- [await] --|------- [loop busy] -------|
 *
 * Each turn is a step of that loop (loop.h says what follows from it): a
 * request that waits while another greenlet has a long turn could have gone on
 * since the poll before that, at most, and whoever had it held it up.
 *
 * Everything here belongs to the calling thread, needs the GIL, and raises
 * nothing. Where no hub was seen it does nothing.
 */
#ifndef SL_PY_HUB_H
#define SL_PY_HUB_H

#include "run/recording.h"

/* 0; -1 with an exception. */
int sl_py_hub_init(void);

/* Whether the greenlet is a hub; `fresh`: it has not run before. */
bool sl_py_hub_is(PyObject *greenlet, bool fresh);

/* What the greenlet is to run, NEW; NULL: it does not say, or has begun. Runs
 * no code of its. */
PyObject *sl_py_hub_what(PyObject *greenlet);

/* A section of the recording begins, which may be the only one: of switches
 * before it nobody may have told. / `turns`: it is no step of another loop. /
 * It has ended, in the same thread. */
void sl_py_hub_section_begin(sl_py_recording *recording, bool turns,
                             uint64_t now);
void sl_py_hub_section_end(sl_py_recording *recording, uint64_t now);

/* The calling thread went from `origin` to `target`. In this order: it begins
 * to be told; what ran of recordings stops; the turn of `origin` is over, whose
 * innermost frame is `frame` (0: it has ended); that of `target` begins; what
 * goes on of recordings does; all is told. The last may run Python code. */
void sl_py_hub_switch(PyObject *origin, PyObject *target, bool fresh);
void sl_py_hub_stops(sl_py_recording *recording);
void sl_py_hub_turn_over(PyObject *origin, uintptr_t frame);
void sl_py_hub_turn(PyObject *target);
/* Returns when, between `since` and `now` (ticks), what it waited for may have
 * been ready at the earliest; UINT64_MAX: it is not known to have been. */
uint64_t sl_py_hub_goes_on(sl_py_recording *recording, uint64_t since,
                           uint64_t now);
void sl_py_hub_told(PyObject *origin, PyObject *target);

/* The same for a greenlet that the recording spawned: it goes on / stops;
 * `what` it was to run (or NULL), `frame` as above. */
void sl_py_hub_spawned_goes_on(sl_py_recording *recording, const void *greenlet,
                               sl_py_loop_step *step);
void sl_py_hub_spawned_stops(sl_py_recording *recording, const void *greenlet,
                             PyObject *what, uintptr_t frame,
                             const sl_py_loop_step *step);

/* The greenlet has ended. */
void sl_py_hub_died(const void *greenlet);

#endif /* SL_PY_HUB_H */
