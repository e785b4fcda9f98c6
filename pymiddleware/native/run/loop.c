/* What the event loop did while a request waited in it; see loop.h. */
#include "run/loop.h"
#include "run/names.h"

#include <string.h>

/* Steps without a pause that take this long hold the loop up. */
#define HELD_NS UINT64_C(5000000)
/* A pause between two steps: longer, and the loop may have slept. */
#define PAUSE_NS UINT64_C(200000)
/* Shorter steps, and shorter waits for them, are not worth telling. */
#define LEAST_NS UINT64_C(1000000)
/* A step that is shorter than this part of a wait is not its cause. */
#define CAUSE_PART 4
/* From one to the next: the time is up, the child task goes on, its group
 * hears of it, the request goes on. */
#define POLLS 5

/* The loop of one thread. */
typedef struct {
    uint64_t busy_since; /* no pause since then */
    uint64_t ended;      /* when the last step did */
    PyObject *loop;      /* strong, while it is watched; else NULL */
    uint64_t polls[POLLS];
    uint64_t stepped; /* ns in steps since the last poll */
    int quiet;        /* iterations in a row without much of it */
    /* The longest step of this busy time; label NULL: none is known. */
    PyObject *label, *where;
    uint64_t longest;
} loop_state;

static __thread loop_state state;

static void
forget_longest(loop_state *l)
{
    l->longest = 0;
    Py_CLEAR(l->label);
    Py_CLEAR(l->where);
}

/* ---- iterations ---- */

static PyObject *on_iteration(PyObject *self, PyObject *ignored);

static PyMethodDef on_iteration_def = {
    "slowlens_iteration", on_iteration, METH_NOARGS,
    "Tells slowlens that the event loop has come round."
};

/* The loop that runs in this thread, NEW; NULL (no exception): none, or one
 * that is not asyncio's. */
static PyObject *
running_loop(void)
{
    static PyObject *get;
    PyObject *loop = NULL;

    if (get == NULL) {
        /* Who runs an asyncio loop has imported it. */
        PyObject *modules = PySys_GetObject("modules"); /* borrowed */
        PyObject *module =
            modules == NULL
                ? NULL
                : PyMapping_GetItemString(modules, "asyncio.events");
        if (module != NULL)
            get = PyObject_GetAttrString(module, "_get_running_loop");
        Py_XDECREF(module);
    }
    if (get != NULL)
        loop = PyObject_CallNoArgs(get);
    if (loop == Py_None)
        Py_CLEAR(loop);
    PyErr_Clear();
    return loop;
}

static void
unwatch(loop_state *l)
{
    Py_CLEAR(l->loop);
    forget_longest(l);
}

/* Asks the loop to call on_iteration next time round. */
static void
ask(loop_state *l)
{
    static PyObject *callback, *context, *name, *names;

    if (callback == NULL) {
        /* Not the request's context: the call is not its work. */
        context = PyContext_New();
        name = PyUnicode_InternFromString("call_soon");
        names = Py_BuildValue("(s)", "context");
        if (context != NULL && name != NULL && names != NULL)
            callback = PyCFunction_New(&on_iteration_def, NULL);
    }
    PyObject *args[] = { l->loop, callback, context };
    PyObject *handle = callback == NULL
                           ? NULL
                           : PyObject_VectorcallMethod(name, args, 2, names);
    if (handle == NULL) {
        PyErr_Clear();
        unwatch(l);
    }
    Py_XDECREF(handle);
}

static PyObject *
on_iteration(PyObject *self, PyObject *ignored)
{
    loop_state *l = &state;

    (void)self, (void)ignored;
    if (l->loop == NULL)
        Py_RETURN_NONE;
    memmove(l->polls, l->polls + 1, sizeof(l->polls) - sizeof(*l->polls));
    l->polls[POLLS - 1] = sl_clock_monotonic_ns();
    l->quiet = l->stepped < LEAST_NS ? l->quiet + 1 : 0;
    l->stepped = 0;
    if (l->quiet >= POLLS) {
        unwatch(l);
        l->busy_since = l->polls[POLLS - 1];
    } else {
        ask(l);
    }
    Py_RETURN_NONE;
}

/* Begins to watch the loop, or goes on: which one it is may have changed. */
static void
watch(loop_state *l)
{
    PyObject *loop = running_loop();

    if (loop == NULL || loop != l->loop) {
        Py_XSETREF(l->loop, loop);
        if (loop == NULL)
            return;
        for (int i = 0; i < POLLS; i++)
            l->polls[i] = l->busy_since;
        ask(l);
    } else {
        Py_DECREF(loop);
    }
    l->quiet = 0;
}

/* ---- steps ---- */

/* Since when the loop has not been idle, as far as is known at `now`. */
static uint64_t
not_ready_at(loop_state *l, uint64_t now)
{
    if (l->loop != NULL) {
        PyObject *loop = running_loop();
        bool same = loop == l->loop;
        Py_XDECREF(loop);
        if (same)
            return l->polls[0];
        unwatch(l);
    }
    return now;
}

uint64_t
sl_py_loop_resumes(sl_py_turn *turn, const PyObject *label, bool started,
                   uint64_t now)
{
    loop_state *l = &state;

    /* While it is watched, its polls tell. */
    if (l->loop == NULL && now - l->ended > PAUSE_NS) {
        l->busy_since = now;
        l->stepped = 0;
        forget_longest(l);
    }
    turn->began = now;
    if (!started || turn->thread != sl_py_borrow_tstate()->id)
        return 0;
    uint64_t since = turn->next ? turn->ended : not_ready_at(l, now);
    since = since > turn->ended ? since : turn->ended;
    uint64_t busy = now > since ? now - since : 0;
    if (busy < LEAST_NS && !turn->next)
        return 0;
    if (busy > turn->held && busy >= HELD_NS && l->label != label) {
        bool cause = l->longest >= busy / CAUSE_PART;
        turn->held = busy;
        turn->holder_ns = cause ? l->longest : 0;
        Py_XSETREF(turn->holder, Py_XNewRef(cause ? l->label : NULL));
        Py_XSETREF(turn->where, Py_XNewRef(cause ? l->where : NULL));
    }
    return busy;
}

void
sl_py_loop_suspends(sl_py_recording *recording, PyObject *awaited)
{
    loop_state *l = &state;
    sl_py_turn *turn = &recording->turn;
    uint64_t now = sl_clock_monotonic_ns();
    uint64_t step = now - turn->began;

    turn->thread = sl_py_borrow_tstate()->id;
    turn->ended = now;
    turn->next = awaited == Py_None;
    turn->longest = step > turn->longest ? step : turn->longest;
    l->ended = now;
    l->stepped += step;
    if (step >= LEAST_NS && step > l->longest) {
        l->longest = step;
        Py_XSETREF(l->label, Py_XNewRef(recording->label));
        Py_XSETREF(l->where, sl_py_recording_where(recording));
    }
    if (now - l->busy_since >= HELD_NS && l->stepped >= LEAST_NS)
        watch(l);
}
