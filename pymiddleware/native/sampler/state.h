/* state.h - what all of the sampler shares: settings, counters, scratch.
 *
 *   sampled     the sampler's part of a recording
 *   lock        the lock that guards all of it
 *   clocks      CPU clocks of threads; nothing is kept
 *   slots       threads that run a request now
 *   brake       how often is looked, and what that may cost
 *   look        one look at one thread: its stack, CPU, GIL, blocking
 *   waits       what a thread waits for that is off the CPU
 *   strands     the strands of a recording beside its main one
 *   children    other threads that work for a request
 *   tasks       steps of a request's tasks
 *   jobs        work that was handed to a thread
 *   switches    greenlets
 *   stands      at which node the calling thread stands
 *   thread      the sampler's thread, its ticks, fork
 *   self_test   whether all this works on this interpreter
 *   sampler     the door: sections of requests, settings
 *   absent      all of it where there is no sampler
 *
 * What these files keep is guarded by the lock, but for: whether the thread
 * exists (thread.c) and what waits to be dropped (lock.c), which the GIL
 * guards; a thread's own id and last slot (clocks.c, slots.c), which no other
 * sees; and how the request of a context is found (children.c), set once, at
 * import.
 */
#ifndef SL_PY_SAMPLER_STATE_H
#define SL_PY_SAMPLER_STATE_H

#include "look/codes.h"
#include "sampler/lock.h"
#include "sampler/sampled.h"

/* Looks at one thread, in all, before its stack counts as torn. */
#define SL_PY_TRIES 3

typedef struct {
    uint64_t ticks, late, samples, rejected, retried, moved, no_slot, cpu_ns;
    /* Requests whose other work, and threads in which such work, is not looked
     * for: there are more than there is room for. */
    uint64_t not_followed, threads_left;
} sl_py_sampler_counts;

typedef struct {
    /* Written with the GIL and the lock, by the self-test, or in the child of a
     * fork where nobody else is; read with either. */
    sl_py_layout layout;
    const char *method; /* of reading memory; NULL: not ready */
    char why_not[200];  /* empty: it works */
    bool children;      /* contexts can be read here */
    int32_t variable_hash;
    /* Guarded by the lock. */
    int live_following;   /* sampled recordings that tasks may belong to */
    uint64_t interval_ns; /* as configured */
    uint64_t current_ns;  /* as the brake has it */
    uint32_t limit_ppm;
    sl_py_sampler_counts counts;
    /* Of one look. */
    sl_py_raw_frame raw[SL_PY_WALK_MAX];
    sl_py_place places[SL_PY_WALK_MAX];
    sl_frame stack[SL_PY_WALK_MAX];
} sl_py_sampler_state;

extern sl_py_sampler_state sl_py_sampler;

/* Whether sampling can be had. With the lock or the GIL held: it changes with
 * both. */
bool sl_py_sampler_ready(void);

#endif /* SL_PY_SAMPLER_STATE_H */
