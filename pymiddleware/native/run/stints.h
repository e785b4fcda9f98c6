/* stints.h - what of which recording runs on a thread's stack, from the bottom
 * up.
 *
 *   thread 7:  [section of A] ---- [job of B] ---- [section of C]  <- here
 *   thread 8:  [job of A]                                          <- here
 *
 * The context variable names the recording of what takes its context along.
 * What does not (a function that runs in a context of its own, a pool's thread)
 * is told by the stack it runs on: a section of the main strand, or a piece of
 * work that was handed to a thread, is a stint for as long as it lasts. A
 * greenlet that is switched away takes its stints off the stack.
 *
 * With the GIL. Never fails, never raises.
 */
#ifndef SL_PY_STINTS_H
#define SL_PY_STINTS_H

#include "compat/py_compat.h"

#include "slowlens/recording.h"

struct sl_py_recording;

typedef struct sl_py_stint {
    struct sl_py_recording *recording; /* borrowed; NULL: over, or not begun */
    sl_strand *strand;
    uint64_t thread;                  /* id of its state */
    bool away;                        /* its greenlet is switched away */
    struct sl_py_stint *next, **link; /* all stints, innermost first */
} sl_py_stint;

/* `stint`, the caller's, is the innermost of the calling thread / is none any
 * more (idempotent). */
void sl_py_stint_push(sl_py_stint *stint, struct sl_py_recording *recording,
                      sl_strand *strand);
void sl_py_stint_drop(sl_py_stint *stint);

/* The innermost stint of this thread, or NULL. */
sl_py_stint *sl_py_stint_here(uint64_t thread);

#endif /* SL_PY_STINTS_H */
