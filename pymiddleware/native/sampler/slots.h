/* slots.h - the threads that run a request now, for the sampler to look at.
 *
 * All with the sampler's lock held.
 */
#ifndef SL_PY_SLOTS_H
#define SL_PY_SLOTS_H

#include "sampler/state.h"

#include <sys/types.h>

#define SL_PY_SLOTS_MAX 256
#define SL_PY_BELOW_MAX 32

/* A small file of /proc about a thread, which stays open: opening costs more
 * than reading. */
typedef struct {
    pid_t tid; /* whose it is; 0: none was asked for */
    int fd;    /* -1: it cannot be opened */
    /* Which file that is: the application may have closed the descriptor, with
     * all that it does not know, and have one of its own under the number. */
    dev_t device;
    ino_t inode;
} sl_py_thread_file;

/* Whether it is open, and still that file. */
bool sl_py_thread_file_is_open(const sl_py_thread_file *file);

/* Closes it, if so. */
void sl_py_thread_file_close(sl_py_thread_file *file);

typedef struct {
    sl_py_sampled *sampled; /* NULL: free; valid while the slot is in use */
    sl_strand *strand;      /* of it */
    uint64_t serial;        /* no two uses of any slot have the same */
    const void *ts;
    uintptr_t anchor;
    /* A greenlet's stack ends where the greenlet began. The request's goes on
     * in the one that switched to it, at the frame where that one stands: these
     * frames, one for each greenlet that waits so, the innermost last
     * (switches.h). */
    uintptr_t below[SL_PY_BELOW_MAX];
    int below_count;
    uint64_t version; /* of the thread's context, at the last event */
    uintptr_t bottom; /* outermost frame that was believed; 0: none yet */
    pid_t tid;
    int cpu;                                    /* it ran on when it began */
    sl_py_thread_file syscall_file, delay_file; /* see waits.c */
    uint64_t delay_ns; /* waited for a CPU in its life, when last asked... */
    uint64_t delay_at_ns;
    bool delay_known;                    /* in this use of the slot */
    uint64_t pending_ns, pending_gil_ns; /* ...off the CPU since */
    int kind, pending_kind; /* what it was seen waiting for: see waits.h */
    bool waited;            /* for the GIL, when last seen... */
    bool asked;             /* ...and asked about */
    bool walked;            /* its stack is known as of then */
    uint64_t wall_ns, cpu_ns, ticks; /* when last seen */
    uint64_t planned_ns;             /* from the last look to the next */
    bool aside;                      /* to be looked at in between, once */
    uint64_t vouch_ticks;            /* a sample speaks for; 0: for all */
    uint64_t born_ns;                /* when the recording began */
} sl_py_slot;

extern sl_py_slot sl_py_slots[SL_PY_SLOTS_MAX];

/* Up to here some may be in use; how many are. */
extern int sl_py_slots_used, sl_py_slots_active;

/* `strand` of `sampled` runs in the calling thread, above the frame `anchor`,
 * from `now` (ticks) on, `wall` by CLOCK_MONOTONIC; `cpu`: the thread's CPU
 * clock. NULL (counted): no thread can be sampled besides those that are. */
sl_py_slot *sl_py_slot_open(sl_py_sampled *sampled, sl_strand *strand,
                            uint64_t now, uint64_t wall, uint64_t cpu,
                            uintptr_t anchor);

/* It has stopped running, or is not to be looked at any more. */
void sl_py_slot_close(sl_py_slot *slot);

/* In a forked child: none is in use. */
void sl_py_slots_forget(void);

#endif /* SL_PY_SLOTS_H */
