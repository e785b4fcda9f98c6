/* When an event loop polled: see polls.h. */
#include "run/polls.h"
#include "engine/current.h"
#include "engine/probes.h"

#include <string.h>

/* A hub switches to who waits for a timer or a socket itself, right after the
 * poll, and to who waits for one of those before the next one. */
#define HUB_POLLS 2
/* eventlet's calls us among its timers: before or after that one. */
#define EVENTLET_POLLS 3

__thread sl_py_polls sl_py_polls_here;

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
        PyObject *modules = sl_py_borrow_modules();
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
unwatch(sl_py_polls *p)
{
    PyObject *watchers[] = { p->watcher, p->idler };

    p->watcher = p->idler = NULL;
    Py_CLEAR(p->handle);
    p->of_hub = false;
    Py_CLEAR(p->loop);
    for (int i = 0; i < 2; i++) {
        if (watchers[i] == NULL)
            continue;
        Py_XDECREF(PyObject_CallMethod(watchers[i], "close", NULL));
        PyErr_Clear();
        Py_DECREF(watchers[i]);
    }
}

/* on_iteration as an object, BORROWED; NULL (no exception): no memory. */
static PyObject *
iteration_callback(void)
{
    static PyObject *call;

    if (call == NULL) {
        call = PyCFunction_New(&on_iteration_def, NULL);
        PyErr_Clear();
    }
    return call;
}

/* NEW: what asyncio's loop says to being asked; NULL with an exception. */
static PyObject *
ask_asyncio(PyObject *loop, PyObject *call)
{
    static PyObject *context, *name, *names;

    if (names == NULL) {
        /* Not the request's context: the call is not its work. */
        context = PyContext_New();
        name = PyUnicode_InternFromString("call_soon");
        names = Py_BuildValue("(s)", "context");
    }
    if (context == NULL || name == NULL || names == NULL)
        return NULL;
    PyObject *args[] = { loop, call, context };
    return PyObject_VectorcallMethod(name, args, 2, names);
}

/* Asks the loop to call on_iteration next time round. */
static void
ask(sl_py_polls *p)
{
    PyObject *call = iteration_callback(), *handle = NULL;

    if (p->watcher != NULL) /* calls each time */
        return;
    /* Often in the context of a task whose step has just ended: what the loop
     * does for us is no call of the task's, which would then wait in nothing
     * that it called. */
    sl_py_active_pause();
    if (call != NULL && p->of_hub) /* eventlet's */
        handle =
            PyObject_CallMethod(p->loop, "schedule_call_global", "iO", 0, call);
    else if (call != NULL)
        handle = ask_asyncio(p->loop, call);
    if (handle == NULL) {
        PyErr_Clear();
        unwatch(p);
    } else if (!p->of_hub) {
        Py_XSETREF(p->handle, Py_NewRef(handle));
        p->asked = p->iteration;
    }
    Py_XDECREF(handle);
    sl_py_active_forget();
}

/* Whether the loop stops after this iteration; what is put into it now stays
 * there, for whoever looks. Of loops of others nothing is known. */
static bool
loop_stops(PyObject *loop)
{
    PyObject *stopping = PyObject_GetAttrString(loop, "_stopping");
    bool stops = stopping == Py_True;

    PyErr_Clear();
    Py_XDECREF(stopping);
    return stops;
}

/* Takes back what the loop was to call in its next iteration; what it calls in
 * this one is counted already, and must stay. Runs no Python code. */
static void
take_back(sl_py_polls *p)
{
    PyObject *ready =
        p->handle == NULL || p->of != p->loop || p->asked != p->iteration
            ? NULL
            : PyObject_GetAttrString(p->loop, "_ready");

    if (ready != NULL &&
        strcmp(Py_TYPE(ready)->tp_name, "collections.deque") == 0) {
        for (Py_ssize_t i = PySequence_Size(ready); i-- > 0;) {
            PyObject *one = PySequence_GetItem(ready, i);
            Py_XDECREF(one); /* the deque has it */
            if (one != p->handle)
                continue;
            PySequence_DelItem(ready, i);
            break;
        }
    }
    PyErr_Clear();
    Py_XDECREF(ready);
}

/* A watcher of gevent's loop of that kind, started, NEW; NULL (no exception):
 * the hub is another's. */
static PyObject *
gevent_watcher(PyObject *hub, const char *kind, PyMethodDef *def)
{
    PyObject *loop = PyObject_GetAttrString(hub, "loop");
    PyObject *call = loop == NULL ? NULL : PyCFunction_New(def, NULL);
    /* It alone keeps no loop going. */
    PyObject *watcher =
        call == NULL ? NULL : PyObject_CallMethod(loop, kind, "O", Py_False);
    PyObject *started = watcher == NULL
                            ? NULL
                            : PyObject_CallMethod(watcher, "start", "O", call);

    PyErr_Clear();
    if (started == NULL)
        Py_CLEAR(watcher);
    Py_XDECREF(started);
    Py_XDECREF(call);
    Py_XDECREF(loop);
    return watcher;
}

static PyObject *
on_idle(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    Py_RETURN_NONE;
}

static PyMethodDef on_idle_def = { "slowlens_idle", on_idle, METH_NOARGS,
                                   "The loop has nothing else to do." };

static PyObject *
on_iteration(PyObject *self, PyObject *ignored)
{
    sl_py_polls *p = &sl_py_polls_here;

    (void)self, (void)ignored;
    if (p->loop == NULL)
        Py_RETURN_NONE;
    memmove(p->polls, p->polls + 1, sizeof(p->polls) - sizeof(*p->polls));
    p->polls[SL_PY_POLLS - 1] = sl_clock_monotonic_ns();
    p->quiet = p->stepped < SL_PY_POLLS_LEAST_NS ? p->quiet + 1 : 0;
    p->stepped = 0;
    if (p->quiet >= SL_PY_POLLS) {
        unwatch(p);
        p->busy_since = p->polls[SL_PY_POLLS - 1];
    } else {
        ask(p);
    }
    Py_RETURN_NONE;
}

/* Begins to watch the loop, or goes on: which one it is may have changed. */
void
sl_py_polls_watch(sl_py_polls *p)
{
    if (p->hub) { /* Greenlets are switched just now. */
        p->wanted = true;
        return;
    }
    PyObject *loop = running_loop();

    if (loop == NULL || loop != p->loop) {
        unwatch(p);
        if (loop != NULL && loop_stops(loop))
            Py_CLEAR(loop);
        p->loop = loop;
        if (loop == NULL)
            return;
        for (int i = 0; i < SL_PY_POLLS; i++)
            p->polls[i] = p->busy_since;
        ask(p);
    } else {
        Py_DECREF(loop);
    }
    p->quiet = 0;
}

/* Whether the loop that runs is watched; another one, which was closed
 * meanwhile, is not any more. */
bool
sl_py_polls_told(sl_py_polls *p)
{
    if (p->loop == NULL || p->hub || p->of_hub)
        return p->loop != NULL && p->hub == p->of_hub;
    PyObject *loop = running_loop();
    bool same = loop == p->loop;
    Py_XDECREF(loop);
    if (!same)
        unwatch(p);
    return same;
}

uint64_t
sl_py_polls_before(const sl_py_polls *p)
{
    return p->polls[p->watcher != NULL ? SL_PY_POLLS - HUB_POLLS
                    : p->of_hub        ? SL_PY_POLLS - EVENTLET_POLLS
                                       : 0];
}

void
sl_py_polls_begin(sl_py_polls *p, uint64_t now)
{
    p->busy_since = now;
    p->stepped = 0;
    for (int i = 0; i < SL_PY_POLLS; i++)
        p->polls[i] = now;
}

void
sl_py_polls_watch_hub(sl_py_polls *p, PyObject *hub)
{
    p->wanted = false;
    if (hub == NULL)
        return;
    if (!p->of_hub || p->loop != hub) {
        unwatch(p);
        PyObject *watcher = gevent_watcher(hub, "check", &on_iteration_def);
        PyObject *idler =
            watcher == NULL ? NULL : gevent_watcher(hub, "idle", &on_idle_def);
        for (int i = 0; i < SL_PY_POLLS; i++)
            p->polls[i] = p->busy_since;
        p->watcher = watcher;
        p->idler = idler;
        p->loop = Py_NewRef(hub);
        p->of_hub = true;
        ask(p);
    }
    p->quiet = 0;
}

/* A loop that stops leaves what it has not called to whoever runs it next, and
 * the application may count that: nothing of ours stays. */
static bool
on_stop(const sl_py_target *target, uintptr_t frame, PyObject *loop)
{
    sl_py_polls *p = &sl_py_polls_here;

    (void)target, (void)frame;
    if (loop != NULL && loop == p->loop && !p->of_hub) {
        take_back(p);
        unwatch(p);
        p->busy_since = sl_clock_monotonic_ns();
    }
    return false;
}

/* asyncio's loop begins an iteration. */
static bool
on_once(const sl_py_target *target, uintptr_t frame, PyObject *loop)
{
    sl_py_polls *p = &sl_py_polls_here;

    (void)target, (void)frame;
    p->iteration++;
    p->of = loop;
    return false;
}

static const sl_py_action stop_action = { .start = on_stop };
static const sl_py_action once_action = { .start = on_once };

static const sl_py_target targets[] = {
    { "asyncio.base_events", "BaseEventLoop.stop", "self", &stop_action, 0 },
    { "asyncio.base_events", "BaseEventLoop._run_once", "self", &once_action,
      0 },
};

void
sl_py_polls_init(void)
{
    sl_py_probes_table(targets, sizeof(targets) / sizeof(targets[0]));
}
