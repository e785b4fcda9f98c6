/* The turns of greenlets: see hub.h. */
#include "run/hub.h"
#include "look/code_map.h"
#include "look/own_stack.h"
#include "run/live.h"
#include "run/loop.h"

#include <string.h>

/* Of shorter turns nobody asks whose they were; as in loop.c. */
#define LONG_NS UINT64_C(1000000)
#define DEEPEST 256

static PyObject *name_hub, *name_greenlet, *name_local, *name_hubs;
static PyObject *name_run, *name_its_run;

/* Counts the times at which nobody may have been told of switches. */
static uint64_t gaps;

static __thread struct {
    const void *hub; /* its address; NULL: none was seen */
    uint64_t gaps;   /* those that it knows of */
    bool open;       /* the turn that runs is timed: */
    sl_py_loop_step step;
    PyObject *what; /* strong or NULL */
} here;

/* ---- asking greenlets ---- */

/* eventlet's hub of this thread, NEW; NULL: there is none. */
static PyObject *
eventlet_hub(void)
{
    PyObject *hubs = sl_py_borrow_module(name_hubs);
    PyObject *local = hubs == NULL ? NULL : PyObject_GetAttr(hubs, name_local);
    PyObject *hub = local == NULL ? NULL : PyObject_GetAttr(local, name_hub);

    PyErr_Clear();
    Py_XDECREF(local);
    return hub;
}

bool
sl_py_hub_is(PyObject *greenlet, bool fresh)
{
    if (greenlet == here.hub)
        return true;
    /* gevent's has a class of its own. */
    if (strstr(Py_TYPE(greenlet)->tp_name, "Hub") != NULL)
        return true;
    if (here.hub != NULL && !fresh)
        return false;
    /* eventlet's is a greenlet like any other, which the hub keeps. */
    PyObject *hub = eventlet_hub();
    PyObject *its = hub == NULL ? NULL : PyObject_GetAttr(hub, name_greenlet);
    bool is = its == greenlet;
    PyErr_Clear();
    Py_XDECREF(its);
    Py_XDECREF(hub);
    return is;
}

PyObject *
sl_py_hub_what(PyObject *greenlet)
{
    PyObject *what = PyObject_GenericGetAttr(greenlet, name_its_run);

    if (what == NULL) {
        PyErr_Clear();
        what = PyObject_GenericGetAttr(greenlet, name_run);
        PyErr_Clear();
    }
    return what;
}

/* The outermost function that waits above `frame` and is of the project,
 * BORROWED of the frames; NULL: there is none. */
static PyObject *
stack_function(uintptr_t frame)
{
    sl_py_raw_frame frames[DEEPEST];
    int count = frame == 0 ? 0 : sl_py_own_frames(frame, 0, frames, DEEPEST);

    while (count-- > 0) {
        PyCodeObject *code = (PyCodeObject *)frames[count].code;
        if (sl_py_code_origin(code) == SL_ORIGIN_PROJECT)
            return (PyObject *)code;
    }
    return NULL;
}

/* Who had the turn: BORROWED, or NULL. `what`: what the greenlet was to run;
 * `frame`: where it waits now. */
static PyObject *
turn_function(const sl_py_loop_step *step, PyObject *what, uintptr_t frame)
{
    if (sl_clock_monotonic_ns() - step->began < LONG_NS)
        return what;
    PyObject *function = stack_function(frame);
    return function != NULL ? function : what;
}

/* ---- turns ---- */

static void
turn_drop(void)
{
    here.open = false;
    Py_CLEAR(here.what);
}

/* Forgets what it knows if it was not told of all. */
static void
catch_up(void)
{
    if (here.gaps == gaps)
        return;
    here.gaps = gaps;
    turn_drop();
    sl_py_loop_hub_lost();
}

void
sl_py_hub_switch(PyObject *origin, PyObject *target, bool fresh)
{
    if (sl_py_hub_is(origin, false)) {
        here.hub = origin;
        if (here.open) /* a switch was not told */
            gaps++;
    } else if (sl_py_hub_is(target, fresh)) {
        here.hub = target;
    }
    if (here.hub == NULL)
        return;
    sl_py_loop_hub(true);
    catch_up();
}

void
sl_py_hub_stops(sl_py_recording *recording)
{
    sl_py_turn *turn = &recording->turn;

    if (here.hub == NULL)
        return;
    if (!turn->among_greenlets) /* the thread's first */
        turn->step = (sl_py_loop_step){ .began = sl_clock_monotonic_ns() };
    turn->among_greenlets = false;
    sl_py_loop_suspends(recording, Py_False, sl_clock_monotonic_ns());
}

void
sl_py_hub_turn_over(PyObject *origin, uintptr_t frame)
{
    if (!here.open || origin == here.hub)
        return;
    PyObject *what = turn_function(&here.step, here.what, frame);
    sl_py_loop_ends(&here.step, what != NULL ? what : origin);
    turn_drop();
}

void
sl_py_hub_turn(PyObject *target)
{
    if (here.hub == NULL || target == here.hub)
        return;
    here.open = true;
    Py_XSETREF(here.what, sl_py_hub_what(target));
    sl_py_loop_begins(&here.step);
}

uint64_t
sl_py_hub_goes_on(sl_py_recording *recording, uint64_t since, uint64_t now)
{
    sl_py_turn *turn = &recording->turn;
    uint64_t ns = sl_clock_monotonic_ns(), ended = turn->main.ended;

    if (here.hub == NULL)
        return UINT64_MAX;
    turn->among_greenlets = true;
    uint64_t busy = sl_py_loop_resumes(recording, true, ns);
    if (busy == 0)
        return UINT64_MAX;
    if (ns <= ended || busy >= ns - ended)
        return since;
    return now - (uint64_t)((double)(now - since) * (double)busy /
                            (double)(ns - ended));
}

void
sl_py_hub_told(PyObject *origin, PyObject *target)
{
    if (here.hub == NULL)
        return;
    sl_py_loop_hub(false);
    if (!sl_py_loop_hub_wanted())
        return;
    PyObject *at = origin == here.hub   ? origin
                   : target == here.hub ? target
                                        : NULL;
    if (at != NULL && strstr(Py_TYPE(at)->tp_name, "Hub") != NULL)
        Py_INCREF(at);
    else if (at != NULL)
        at = eventlet_hub();
    sl_py_loop_hub_watch(at);
    Py_XDECREF(at);
}

void
sl_py_hub_spawned_goes_on(sl_py_recording *recording, const void *greenlet,
                          sl_py_loop_step *step)
{
    if (here.hub != NULL)
        sl_py_loop_task_resumes(recording, greenlet, false,
                                sl_clock_monotonic_ns(), step);
}

void
sl_py_hub_spawned_stops(sl_py_recording *recording, const void *greenlet,
                        PyObject *what, uintptr_t frame,
                        const sl_py_loop_step *step)
{
    if (here.hub == NULL)
        return;
    sl_py_loop_task_suspends(
        recording, greenlet, turn_function(step, what, frame),
        frame == 0 ? NULL : Py_False, sl_clock_monotonic_ns(), step);
}

void
sl_py_hub_died(const void *greenlet)
{
    if (greenlet == here.hub)
        here.hub = NULL;
}

/* ---- sections ---- */

void
sl_py_hub_section_begin(sl_py_recording *recording, bool turns, uint64_t now)
{
    if (sl_py_live_count() <= 1)
        gaps++;
    recording->turn.among_greenlets = turns && here.hub != NULL;
    if (!recording->turn.among_greenlets)
        return;
    sl_py_loop_hub(true);
    catch_up();
    sl_py_loop_resumes(recording, false, now);
    sl_py_loop_hub(false);
}

void
sl_py_hub_section_end(sl_py_recording *recording, uint64_t now)
{
    if (!recording->turn.among_greenlets || here.hub == NULL)
        return;
    recording->turn.among_greenlets = false;
    sl_py_loop_hub(true);
    sl_py_loop_suspends(recording, Py_False, now);
    sl_py_loop_hub(false);
}

int
sl_py_hub_init(void)
{
    name_hub = PyUnicode_InternFromString("hub");
    name_greenlet = PyUnicode_InternFromString("greenlet");
    name_local = PyUnicode_InternFromString("_threadlocal");
    name_hubs = PyUnicode_InternFromString("eventlet.hubs");
    name_run = PyUnicode_InternFromString("run");
    name_its_run = PyUnicode_InternFromString("_run");
    return name_hub == NULL || name_greenlet == NULL || name_local == NULL ||
                   name_hubs == NULL || name_run == NULL || name_its_run == NULL
               ? -1
               : 0;
}
