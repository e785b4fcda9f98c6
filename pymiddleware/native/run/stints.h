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
#include "sampler/jobs.h"

#include "slowlens/recording.h"

struct sl_py_recording;

/* Greenlets that stand on top of each other in one stint; deeper ones are taken
 * for strangers. */
#define SL_PY_NEST_MAX 32

typedef struct sl_py_stint {
    struct sl_py_recording *recording; /* borrowed; NULL: over, or not begun */
    sl_strand *strand; /* that runs now; NULL: the stint is a task's, sampled */
    uint64_t thread;   /* id of its state */
    bool away;         /* its greenlet is switched away */
    bool spawned;      /* it is that of a greenlet of its own, greenlets.c */
    sl_py_job_slot *slot; /* its own, borrowed; NULL: the main strand's */
    /* Filled at the first switch, see greenlets.h: the greenlets it runs on,
     * each started by the one before; none is owned, addresses tell them
     * apart. Those below the last one wait in switch(). */
    struct {
        const void *greenlet;
        sl_strand *strand;
        uintptr_t frame; /* innermost, while it waits */
    } nest[SL_PY_NEST_MAX];
    int depth;                        /* 0: no switch was seen */
    uintptr_t anchor;                 /* of its slot, while it is away... */
    uint64_t since;                   /* ...since then; ticks */
    struct sl_py_stint *next, **link; /* all stints, innermost first */
} sl_py_stint;

/* `stint`, the caller's, is the innermost of the calling thread, with this
 * slot / is none any more (idempotent). */
void sl_py_stint_push(sl_py_stint *stint, struct sl_py_recording *recording,
                      sl_strand *strand, sl_py_job_slot *slot);
void sl_py_stint_drop(sl_py_stint *stint);

/* The recording is over: none is its any more. */
void sl_py_stints_forget(const struct sl_py_recording *recording);

/* All of them, innermost first; NULL: there are none. */
sl_py_stint *sl_py_stint_first(void);

/* The innermost stint of this thread, or NULL. */
sl_py_stint *sl_py_stint_here(uint64_t thread);

#endif /* SL_PY_STINTS_H */
