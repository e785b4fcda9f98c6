/* sampled.h - what the sampler keeps of one recording: its part of
 * sl_py_recording (run/recording.h).
 *
 * The sampler's lock guards it. Fields marked "set once" are written before
 * the sampler knows the recording and read by anybody after that; those
 * marked "both" are written with the GIL and the lock, so that either of them
 * is enough to read them.
 */
#ifndef SL_PY_SAMPLED_H
#define SL_PY_SAMPLED_H

#include "board/board.h"
#include "compat/py_compat.h"

#include "slowlens/recording.h"

/* Work of the recording beside its main strand: a context in another thread,
 * or a task. The address of the context only tells one from another; one that
 * is used again is still this request's. It stays where it is until the
 * recording is over. */
typedef struct sl_py_child sl_py_child;
typedef struct sl_py_sampled sl_py_sampled;

/* One of a list of children with the same hash, see strands.c. */
typedef struct {
    sl_py_child *next;
    sl_py_child **to_this; /* NULL: in no list */
} sl_py_child_link;

struct sl_py_child {
    sl_py_sampled *owner;
    uintptr_t context; /* 0: the work is over, the strand may be used again */
    sl_strand *strand; /* NULL: none yet */
    PyObject *task;    /* strong: a weak reference to its coroutine, or NULL */
    const PyObject *coroutine;
    sl_py_child_link by_coroutine; /* a task */
    sl_py_child_link by_context;   /* what does not wait */
    sl_py_child *next_free;        /* while its work is over */
    bool opened;                   /* the strand is this work's */
    bool waits;                    /* suspended... */
    uint64_t since;                /* ...then; ticks */
};

/* Reasons of looks in vain: SL_UNSEEN_MAP without the last, which the core
 * counts. */
#define SL_PY_UNSEEN (SL_PSEUDO_UNSEEN_LATE - SL_PSEUDO_UNSEEN_TORN)

struct sl_py_sampled {
    sl_recording *core;    /* set once; borrowed from the recording */
    sl_clock_kind clock;   /* set once */
    uint64_t serial;       /* set once: no two recordings have the same */
    bool follows;          /* set once: child work may run anywhere */
    bool by_samples;       /* both: fed by the sampler, no events... */
    bool timed;            /* set once: ...nor by that: its times alone */
    bool started;          /* both: had a section */
    uintptr_t context;     /* both: where the main strand runs; an address */
    const void *thread_ts; /* state of the thread it last ran in */
    const void *enters_ts; /* both: of the one that is about to; or NULL */
    int slot;              /* of the running main strand, or -1 */
    uint64_t unseen_since; /* ticks when the section began */
    uint64_t suspended_at; /* ticks when the one before ended */
    uint64_t unseen[SL_PY_UNSEEN]; /* looks in vain, by reason */
    uint64_t interval_ns;  /* between samples, when the last section ended */
    uint64_t lost_strands; /* for which there was no room */
    /* All its threads are looked at together, and when does not depend on what
     * they do: else what jobs and steps begin with would be met more often. */
    uint64_t due_ns;       /* to be looked at next; 0: never was */
    uint64_t planned_ns;   /* from the last look to that */
    uint32_t looked;       /* in this tick */
    uint32_t slots;        /* its threads that run... */
    uint64_t idle_ns;      /* ...or when the last of them stopped */
    bool copied;           /* it is not looked at meanwhile, see checkpoint.c */
    sl_py_child **children; /* in blocks, see strands.c */
    uint32_t child_count;
    sl_py_child *child_free; /* of them, whose work is over */
    uint32_t child_pruned;   /* up to there it was looked for some to free */
    sl_py_entry *entry;      /* set once: on the board (strong), or NULL */
};

/* `now_ns`, which was read just now, as the recording counts. */
static inline uint64_t
sl_py_ticks_at(const sl_py_sampled *sampled, uint64_t now_ns)
{
    return sampled->clock == SL_CLOCK_MONOTONIC
               ? now_ns
               : sl_clock_ticks(sampled->clock);
}

#endif /* SL_PY_SAMPLED_H */
