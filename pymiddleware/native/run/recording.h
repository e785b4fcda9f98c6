/* recording.h - one request while it is recorded: the parts, and who owns them.
 *
 *   sampled   the sampler's (its lock)    sampler/sampled.h
 *   traced    the engine's (the GIL)      engine/traced.h
 *   turn      on the event loop (the GIL) run/loop.c
 *   the rest  run/ (the GIL)
 *
 * The core's recording has one writer at a time for each of its parts, too:
 * its marks (what samples saw) are written under the sampler's lock, always.
 * Its tree is written under the GIL while events feed it, and under the lock
 * once samples do (sampled.by_samples); whoever switches holds both.
 */
#ifndef SL_PY_RECORDING_H
#define SL_PY_RECORDING_H

#include "engine/traced.h"
#include "run/budget.h"
#include "run/periods.h"
#include "run/stints.h"
#include "sampler/sampled.h"

/* One logical stack beside the main one, fed by events: a context of a child
 * task or of a thread hop. */
typedef struct {
    PyObject *context; /* strong: a weak reference to it */
    sl_strand *strand; /* that runs now: this one, or one nested in it */
    sl_strand *bottom;
} sl_py_side;

/* A greenlet that its strands switched to, see greenlets.h. */
typedef struct {
    const void *greenlet; /* not owned: to be compared */
    sl_strand *strand;    /* NULL: events do not feed it */
} sl_py_green;

/* A step of the event loop, or another call of its, that runs: see loop.h. */
typedef struct {
    uint64_t began;   /* ns */
    uint64_t stepped; /* what had run since the last poll by then; ns */
} sl_py_loop_step;

/* What one strand waits for in the event loop. */
typedef struct {
    uint64_t thread;    /* id of the one it waits in */
    uint64_t ended;     /* its step before; ns */
    bool next;          /* for nothing but its next turn */
    uint64_t stood;     /* since then, where the step before ran on another
                         * strand's stack; ticks; 0: it did not */
    sl_py_periods held; /* when it could have gone on, at most (a task's) */
} sl_py_wait;

/* Its turns on the event loop. */
typedef struct {
    sl_py_loop_step step; /* the main strand's that runs */
    bool among_greenlets; /* that is a turn of a greenlet's, see hub.h */
    sl_py_wait main;
    /* Its tasks that wait, by the addresses of their coroutines, which are
     * never followed: one that died without an end is met as another's first
     * step, or not at all. */
    const void **coroutines;
    sl_py_wait *tasks;
    uint32_t task_count, task_capacity;
    uint32_t standing;  /* tasks with such a step, at most */
    sl_py_wait over;    /* of the task that ended last */
    sl_py_periods own;  /* long steps of its tasks since main.ended */
    uint64_t longest;   /* step so far; ns */
    uint64_t held;      /* the longest it waited for the busy loop; ns... */
    PyObject *holder;   /* ...on account of whom (strong; NULL: not known), */
    PyObject *where;    /* (strong or NULL) */
    uint64_t holder_ns; /* whose step took so long */
} sl_py_turn;

typedef struct sl_py_recording sl_py_recording;

/* What is kept of what a request asks others for, see layers.h. */
typedef enum {
    SL_PY_LAYERS_OFF,
    SL_PY_LAYERS_NAMES,
    SL_PY_LAYERS_SHAPE,
} sl_py_layers;

/* What the context variable holds. Contexts of long-lived tasks keep copies
 * for ever, so it is small and points nowhere once the request is over. */
typedef struct {
    PyObject_HEAD sl_py_recording *recording; /* borrowed; NULL: over */
    sl_py_sampled *sampled; /* its part of that, for the sampler to read */
} sl_py_handle;

/* What its functions are called, once that was asked for. */
typedef struct {
    sl_function *functions; /* by id less SL_PSEUDO_COUNT; name NULL: none */
    uint32_t count;
    PyObject *keep; /* strong: a list of what their texts live in */
} sl_py_named;

struct sl_py_recording {
    PyObject_HEAD sl_recording *core; /* NULL: discarded */
    sl_py_account *account;           /* what the core holds; goes with it */
    sl_py_by by;                      /* what it began to be made of... */
    bool less;                        /* ...is less than was wanted */
    sl_py_sampled sampled;
    sl_py_traced traced;
    sl_py_turn turn;
    sl_py_handle *handle; /* strong */
    PyObject *context;    /* strong: where the main strand runs */
    uint64_t thread;      /* id of the thread it last ran in */
    bool running;         /* the main strand is inside a section */
    bool watches;         /* steps of tasks are told on its account */
    bool finished;
    bool fork_lost;    /* it is the parent's, in a forked child */
    bool encoding;     /* the core is being read, without the GIL... */
    bool discarded;    /* ...and is to go as soon as it is not */
    sl_py_named named; /* from then on call sites are lines */
    sl_py_layers layers;
    struct sl_py_open_span *open_spans; /* innermost first, see layers.c */
    sl_py_stint section; /* where its main strand runs, while it does */
    sl_py_side *sides;
    uint32_t side_count, side_capacity;
    sl_py_green *greens;
    uint32_t green_count, green_capacity;
    uint64_t lost_strands; /* for which there was no room */
    uint64_t cpu_ns, cpu_since;
    uint64_t wall_ns;      /* once it is finished */
    PyObject *label;       /* strong: what Python calls it; NULL: nothing */
    PyObject *transaction; /* borrowed: the request around it; NULL: none */
    sl_py_recording *previous, *next; /* all live recordings */
};

#endif /* SL_PY_RECORDING_H */
