/* polls.h - when the event loop of the calling thread polled last, while that
 * is of interest.
 *
 * A callback of ours is put into asyncio's loop (a watcher into gevent's, a
 * timer into eventlet's), each time round, until as many iterations in a row
 * were short; what asyncio's loop has still to call when it stops is taken
 * back. What is made of it: loop.h. Everything here belongs to the calling
 * thread, and needs the GIL.
 */
#ifndef SL_PY_POLLS_H
#define SL_PY_POLLS_H

#include "run/recording.h"

/* From one to the next: the time is up, the child task goes on, its group
 * hears of it, the request goes on. */
#define SL_PY_POLLS 5
/* Shorter steps, and shorter waits for them, are not worth telling. */
#define SL_PY_POLLS_LEAST_NS UINT64_C(1000000)

typedef struct {
    uint64_t busy_since; /* no pause since then */
    PyObject *loop;      /* strong, while it is watched; else NULL */
    PyObject *handle;    /* strong: what asyncio's loop is to call next... */
    uint64_t asked;      /* ...since that iteration */
    uint64_t iteration;  /* so many began, as far as asyncio's code tells... */
    const void *of;      /* ...the last one of this loop; only compared */
    PyObject *watcher;   /* strong: by which gevent calls each time round */
    PyObject *idler;     /* strong: what keeps its polls from sleeping */
    bool hub;            /* what tells of steps now is a hub's greenlet... */
    bool of_hub;         /* ...and what is watched is a hub's loop... */
    bool wanted;         /* ...or is to be, as soon as Python code may run */
    uint64_t polls[SL_PY_POLLS];
    uint64_t stepped; /* ns in steps since the last poll */
    int quiet;        /* iterations in a row without much of it */
} sl_py_polls;

extern __thread sl_py_polls sl_py_polls_here;

/* Begins to watch the loop that runs, or goes on: which one it is may have
 * changed. Of a hub, where greenlets are switched just now, it is only wanted:
 * see sl_py_polls_watch_hub. May run Python code; no exception is set, before
 * or after. */
void sl_py_polls_watch(sl_py_polls *polls);

/* `hub`: gevent's greenlet, or eventlet's hub; NULL: none is known. */
void sl_py_polls_watch_hub(sl_py_polls *polls, PyObject *hub);

/* Whether the loop that runs is watched; another one, which was closed
 * meanwhile, is not any more. */
bool sl_py_polls_told(sl_py_polls *polls);

/* While it is: the last poll at which what goes on now cannot have been ready
 * (sl_clock_monotonic_ns). */
uint64_t sl_py_polls_before(const sl_py_polls *polls);

/* Nothing is known of what was before `now`. */
void sl_py_polls_begin(sl_py_polls *polls, uint64_t now);

/* Registers the probes of asyncio's loop. */
void sl_py_polls_init(void);

#endif /* SL_PY_POLLS_H */
