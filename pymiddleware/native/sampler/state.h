/* sampler_state.h - what the sampler's files share: one lock, what it guards.
 *
 *   sampler.c          the thread, sections of requests, fork
 *   sampler_look.c     one look at one thread: its stack, CPU, GIL, blocking
 *   sampler_tasks.c    steps of its tasks
 *   sampler_children.c other threads that work for it
 *   sampler_strands.c  where both of them find their strands
 *   sampler_test.c     whether all this works on this interpreter
 */
#ifndef SL_PY_SAMPLER_STATE_H
#define SL_PY_SAMPLER_STATE_H

#include "sampler/sampler.h"

#include <pthread.h>
#include <sys/types.h>
#include <time.h>

#define SL_PY_SLOTS_MAX 256
/* Looks at one thread before its stack counts as torn. */
#define SL_PY_RETRIES 3

/* A thread that runs a request. */
typedef struct {
    sl_py_recording *recording; /* NULL: free; valid while the slot is in use */
    sl_strand *strand;      /* of it */
    uint64_t serial;        /* no two uses of any slot have the same */
    const void *ts;
    uintptr_t anchor;
    pid_t tid;
    pid_t syscall_tid; /* whose file syscall_fd is */
    int syscall_fd;
    bool waited;                     /* for the GIL, when last seen... */
    bool asked;                      /* ...and asked about */
    bool walked;                     /* its stack is known as of then */
    uint64_t wall_ns, cpu_ns, ticks; /* when last seen */
} sl_py_slot;

/* All of it under the lock, but for what the sampler's thread alone uses. */
typedef struct {
    pthread_mutex_t lock;
    sl_py_slot slots[SL_PY_SLOTS_MAX];
    int slots_used; /* up to here some may be in use */
    int slots_active;
    int live_following; /* sampled recordings that child work may belong to */
    sl_py_layout layout;
    const char *method; /* of reading memory; NULL: not ready */
    char why_not[200];  /* empty: it works */
    bool children;      /* contexts can be read here */
    int32_t variable_hash;
    uint64_t interval_ns; /* as configured */
    uint64_t current_ns;  /* as the brake has it */
    uint32_t limit_ppm;
    struct {
        uint64_t ticks, late, samples, rejected, retried, moved, no_slot,
            cpu_ns;
    } counts;
    /* One look at a time. */
    sl_py_raw_frame raw[SL_PY_WALK_MAX];
    sl_py_place places[SL_PY_WALK_MAX];
    sl_frame stack[SL_PY_WALK_MAX];
} sl_py_sampler_state;

extern sl_py_sampler_state sl_py_sampler;

/* ---- sampler.c; with the lock and the GIL held ---- */

/* Whether sampling can be had. */
bool sl_py_sampler_ready(void);

/* `strand` of `recording` runs in the calling thread, from `now` (ticks) on. NULL
 * (counted): no thread can be sampled besides those that are. */
sl_py_slot *sl_py_slot_open(sl_py_recording *recording, sl_strand *strand,
                            uint64_t now, uint64_t cpu, uintptr_t anchor);

/* It has stopped running, or is not to be looked at any more. */
void sl_py_slot_close(sl_py_slot *slot);

/* The stack that `waiting`, an awaitable or NULL, is suspended in, into
 * sl_py_sampler.stack, innermost last. Returns how many frames. */
uint32_t sl_py_waiting_stack(PyObject *waiting);

/* ---- sampler_look.c; all with the lock held ---- */

/* ns of a clock, 0 where it cannot be read (a thread that is gone). */
uint64_t sl_py_clock_ns(clockid_t clock);

/* CPU clock of any thread of this process. */
clockid_t sl_py_thread_clock(pid_t tid);
pid_t sl_py_own_tid(void);

bool sl_py_holds_gil(const sl_py_slot *slot);

/* Time since the slot was last seen, which it is *now. `cpu`: its thread's CPU
 * clock; `self`: that is the calling thread. */
void sl_py_slot_measure(sl_py_slot *slot, sl_times *out, uint64_t *now,
                        uint64_t cpu, bool self);

/* The stack of a thread above `anchor`, into sl_py_sampler.places. Returns how
 * many frames; -1: torn. */
int sl_py_stack_read(const void *ts, uintptr_t anchor);

/* Looks at a slot in use. */
void sl_py_slot_look(sl_py_slot *slot);

/* `count` places to frames in sl_py_sampler.stack, outermost first and without
 * slowlens's own. Returns how many. */
uint32_t sl_py_stack_fill(int count);

/* ---- sampler_children.c; with the lock held ---- */

void sl_py_children_look(uint64_t ticks);

/* In a forked child: there are none. */
void sl_py_children_forget(void);

/* ---- sampler_tasks.c; with the lock and the GIL held ---- */

/* The request is over: those of its tasks that run are not looked at any more,
 * and those that wait have waited until now. */
void sl_py_tasks_end(sl_py_recording *recording);

/* ---- sampler_strands.c; with the lock held, and _task with the GIL ---- */

/* The request's work in a context that is no task's step: found, or new. NULL:
 * no room (counted). Valid until the next of these calls. */
sl_py_child *sl_py_child_of_context(sl_py_recording *recording, uintptr_t context);

/* The task of this coroutine; NULL: it was not added. */
sl_py_child *sl_py_child_of_task(sl_py_recording *recording,
                                 const PyObject *coroutine);

/* A task that was not there. NULL: no room (counted). */
sl_py_child *sl_py_child_add_task(sl_py_recording *recording, PyObject *coroutine,
                                  uintptr_t context);

/* Its strand, which begins at `now` if it has none yet; `ts`: where it runs.
 * NULL: no memory (counted). */
sl_strand *sl_py_child_open(sl_py_recording *recording, sl_py_child *child,
                            const void *ts, uint64_t now);

/* Its work is over. With the GIL. */
void sl_py_child_end(sl_py_recording *recording, sl_py_child *child);

/* Forgets all of them. With the GIL. */
void sl_py_children_free(sl_py_recording *recording);

#endif /* SL_PY_SAMPLER_STATE_H */
