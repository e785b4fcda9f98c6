/* current.h - which strand the calling thread records into. One compare an
 * event; everything here needs the GIL. */
#ifndef SL_PY_CURRENT_H
#define SL_PY_CURRENT_H

#include "engine/traced.h"

/* The clock of all recordings that are fed by events. */
extern sl_clock_kind sl_py_clock;

static inline uint64_t
sl_py_now(void)
{
    return sl_clock_ticks(sl_py_clock);
}

/* What runs in the thread that holds the GIL: valid while its id and its
 * context's version are these. No two threads share an id, ever, and
 * entering or leaving a context always moves the version. */
typedef struct {
    uint64_t thread;
    uint64_t version;
    sl_strand *strand; /* NULL: nothing that is recorded by events */
    struct sl_py_recording *owner; /* BORROWED: whose code runs; NULL: none's */
    bool paused;                   /* owner is not known, see below */
    sl_c_calls c_calls;
    bool lines; /* they are told to it */
} sl_py_current;

extern sl_py_current sl_py_active;

/* Finds out what runs in the calling thread, fills sl_py_active and returns
 * its strand. Set once, by run/active.c. Never raises. */
extern sl_strand *(*sl_py_active_resync)(PyThreadState *ts);

/* When the event was whose probe's action runs, by sl_py_now, and in which
 * thread: an action may drop what has a destructor, and with that another
 * thread may run before it is over. It is asked once for both: that is a fifth
 * of a span. */
typedef struct {
    uint64_t at; /* 0: nobody has asked the clock */
    uint64_t thread;
} sl_py_event_time;

extern sl_py_event_time sl_py_event;

static inline void
sl_py_event_told(uint64_t at)
{
    sl_py_event = (sl_py_event_time){ at, sl_py_borrow_tstate()->id };
}

static inline void
sl_py_event_forget(void)
{
    sl_py_event.at = 0;
}

/* The time of what is told of now, in the calling thread. */
static inline uint64_t
sl_py_event_now(void)
{
    return sl_py_event.at != 0 &&
                   sl_py_event.thread == sl_py_borrow_tstate()->id
               ? sl_py_event.at
               : sl_py_now();
}

/* Where the GIL says who took it last; NULL: that is not known. */
extern PyThreadState *const *sl_py_holder;

/* Finds that out, or that it is not so any more. */
void sl_py_holder_check(void);

/* sl_py_borrow_tstate for what is called a million times: two calls of the
 * interpreter and the linker less. */
static inline PyThreadState *
sl_py_borrow_tstate_hot(void)
{
    if (__builtin_expect(sl_py_holder != NULL, 1))
        return __atomic_load_n(sl_py_holder, __ATOMIC_RELAXED);
    return sl_py_borrow_tstate();
}

/* The strand the calling thread records into now, or NULL. Never raises. */
static inline sl_strand *
sl_py_active_strand(void)
{
    PyThreadState *ts = sl_py_borrow_tstate_hot();
    if (__builtin_expect(sl_py_active.thread == ts->id &&
                             sl_py_active.version == ts->context_ver,
                         1))
        return sl_py_active.strand;
    return sl_py_active_resync(ts);
}

static inline void
sl_py_active_forget(void)
{
    sl_py_active.thread = 0; /* ids of threads count from 1 */
}

/* Until it is forgotten, or another thread runs: what the calling thread runs
 * is ours, and stands with who called us. */
static inline void
sl_py_active_pause(void)
{
    PyThreadState *ts = sl_py_borrow_tstate();
    sl_py_active =
        (sl_py_current){ .thread = ts->id,
                         .version = ts->context_ver,
                         .paused = true };
}

/* The callable being entered, BORROWED: set for the length of sl_strand_enter
 * of a C function, read on the first sight of its key. NULL: it is a code
 * object that is entered, and the key is it. */
extern PyObject *sl_py_pending_callable;

/* Enters the C function `callable`, whose method definition is `key`. */
static inline void
sl_py_enter_c(sl_strand *strand, PyObject *callable, const PyMethodDef *key,
              uint64_t now)
{
    sl_py_pending_callable = callable;
    sl_strand_enter(strand, key, SL_KIND_C, now);
    sl_py_pending_callable = NULL; /* it may die before the next call */
}

#endif /* SL_PY_CURRENT_H */
