/* Worker: a thread of our own, and what wakes it.
 *
 * What Python's threading gives is whatever somebody has put in its place:
 * under gevent and eventlet a "thread" is a greenlet of whoever started it,
 * and a queue made before the patching blocks all greenlets of a thread that
 * waits for it. A Worker is a thread of the system, always.
 *
 * `mutex` guards `woken`, `asked`, `naps`, `done` and `entered`; nothing of
 * Python happens under it, so waking is allowed anywhere, also from __del__ and
 * in the middle of a collection. Everything else needs the GIL. The running
 * thread owns a reference to its Worker.
 *
 * A process that C code ends by exit(), with the interpreter alive, runs no
 * hooks of Python's: uWSGI with threads, for a worker that is busy when it is
 * told to stop. Then there is no time but what `at_work` is waited for. */
#include "types/worker_type.h"

#include "compat/leader.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

/* How often it is asked whether the process's first thread has ended, where it
 * may. */
#define LEADER_SECONDS 0.5
/* An interpreter that ends lets no thread in. */
#define ENTER_SECONDS 5.0
/* For how long exit() waits at most for threads of ours that are at work. */
#define EXIT_MS      1000
#define EXIT_LOOK_MS 2
/* For how long it does so with nothing but what a signal's handler may do. */
#define EXIT_ALONE_MS 100

typedef struct {
    PyObject_HEAD pthread_mutex_t mutex;
    pthread_cond_t changed; /* one of the three became true */
    bool woken;
    bool asked; /* to wake by itself, at `asked_at`... */
    bool naps;  /* ...which is when it does so anyway */
    struct timespec asked_at;
    bool done;
    bool entered; /* the thread has a state of Python's */
    bool busy;    /* it has been woken, or runs: counted in `at_work` */
    bool started;
    bool joined;
    pid_t pid;
    pthread_t thread;
    PyObject *function; /* of the thread, while it runs */
    PyObject *argument;
} worker;

/* How many threads of the process `at_work_pid` have something to do. */
static int at_work;
static pid_t at_work_pid;

/* Under the mutex. */
static void
note_busy(worker *self, bool busy)
{
    if (self->busy == busy || !self->started || self->pid != at_work_pid)
        return;
    self->busy = busy;
    __atomic_add_fetch(&at_work, busy ? 1 : -1, __ATOMIC_RELAXED);
}

/* Takes the GIL and gives it back, again and again. The thread that exits may
 * have waited for it when the signal came, and does so no more; yet who gave
 * it up for that thread waits for somebody to have it. */
static void *
pass_it_on(void *ignored)
{
    const struct timespec look = { 0, EXIT_LOOK_MS * 1000000L };

    (void)ignored;
    while (__atomic_load_n(&at_work, __ATOMIC_RELAXED) > 0 &&
           Py_IsInitialized()) {
        PyGILState_Release(PyGILState_Ensure());
        nanosleep(&look, NULL);
    }
    return NULL;
}

/* Whether the thread holds the GIL. PyGILState_Check() says yes to everybody
 * once there has been a sub-interpreter; before 3.12 the state that is current
 * is whoever's. */
static bool
holds_gil(void)
{
    PyThreadState *state = sl_py_borrow_tstate();

    return state != NULL && state == PyGILState_GetThisThreadState();
}

/* Waits until no thread of ours has anything to do, for so long at most; false:
 * one still has. */
static bool
wait_for_them(int ms)
{
    const struct timespec look = { 0, EXIT_LOOK_MS * 1000000L };

    for (; __atomic_load_n(&at_work, __ATOMIC_RELAXED) > 0;
         ms -= EXIT_LOOK_MS) {
        if (ms <= 0)
            return false;
        nanosleep(&look, NULL);
    }
    return true;
}

/* At exit(), which the handler of a signal may have called: of the interpreter
 * only what is asked here. Whoever held the GIL has it again afterwards:
 * handlers that the program registered before ours may need it.
 *
 * The handler may have come in the middle of malloc, whose lock its thread then
 * holds for good. To give the GIL up and to sleep takes no memory. To make a
 * thread does, and may wait for that lock for ever; so it is done last, for the
 * one case that needs it: whoever has not ended until then waits for somebody
 * to take the GIL that was given up for this thread, which was waiting for it
 * and so was in no malloc. */
static void
let_them_end(void)
{
    PyThreadState *given = NULL;
    pthread_t helper;

    if (at_work_pid != getpid() || !Py_IsInitialized() ||
        __atomic_load_n(&at_work, __ATOMIC_RELAXED) == 0)
        return;
    if (holds_gil())
        given = PyEval_SaveThread();
    if (!wait_for_them(given != NULL ? EXIT_MS : EXIT_ALONE_MS) &&
        given == NULL && pthread_create(&helper, NULL, pass_it_on, NULL) == 0) {
        pthread_detach(helper);
        wait_for_them(EXIT_MS - EXIT_ALONE_MS);
    }
    if (given != NULL && Py_IsInitialized())
        PyEval_RestoreThread(given);
}

/* A condition that is waited for by CLOCK_MONOTONIC: the wall clock may be set
 * back by an hour. macOS has no clock for conditions, but relative waits. */
static void
changed_init(pthread_cond_t *changed)
{
#ifdef __APPLE__
    pthread_cond_init(changed, NULL);
#else
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(changed, &attributes);
    pthread_condattr_destroy(&attributes);
#endif
}

/* Waits until `at` at the latest; false: it is past that. */
static bool
changed_wait(pthread_cond_t *changed, pthread_mutex_t *mutex,
             const struct timespec *at)
{
#ifdef __APPLE__
    struct timespec now, left;

    clock_gettime(CLOCK_MONOTONIC, &now);
    left.tv_sec = at->tv_sec - now.tv_sec;
    left.tv_nsec = at->tv_nsec - now.tv_nsec;
    if (left.tv_nsec < 0) {
        left.tv_nsec += 1000000000L;
        left.tv_sec--;
    }
    return left.tv_sec >= 0 && pthread_cond_timedwait_relative_np(
                                   changed, mutex, &left) != ETIMEDOUT;
#else
    return pthread_cond_timedwait(changed, mutex, at) != ETIMEDOUT;
#endif
}

static void
deadline_in(double seconds, struct timespec *at)
{
    clock_gettime(CLOCK_MONOTONIC, at);
    if (seconds > 1e6)
        seconds = 1e6;
    at->tv_sec += (time_t)seconds;
    at->tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (at->tv_nsec >= 1000000000L) {
        at->tv_nsec -= 1000000000L;
        at->tv_sec++;
    }
}

/* Waits without the GIL until `*flag`; false: it was not in time. */
static bool
wait_for(worker *self, const bool *flag, double seconds)
{
    struct timespec at;
    bool seen;

    if (seconds >= 0)
        deadline_in(seconds, &at);
    Py_BEGIN_ALLOW_THREADS pthread_mutex_lock(&self->mutex);
    while (!*flag) {
        if (seconds < 0)
            pthread_cond_wait(&self->changed, &self->mutex);
        else if (!changed_wait(&self->changed, &self->mutex, &at))
            break;
    }
    seen = *flag;
    pthread_mutex_unlock(&self->mutex);
    Py_END_ALLOW_THREADS return seen;
}

/* Under the mutex: until it is woken, or the time has come that it was asked to
 * wake at; false: neither was in time. */
static bool
sleep_until_woken(worker *self, const struct timespec *end)
{
    for (;;) {
        if (self->woken)
            return true;
        if (self->asked || self->naps) {
            if (changed_wait(&self->changed, &self->mutex, &self->asked_at))
                continue;
            self->naps = false;
            if (self->asked || self->woken)
                return true;
        } else if (end == NULL) {
            pthread_cond_wait(&self->changed, &self->mutex);
        } else if (!changed_wait(&self->changed, &self->mutex, end)) {
            return self->woken || self->asked;
        }
    }
}

/* What the thread waits in, without the GIL. */
static bool
wait_for_work(worker *self, double seconds, double nap)
{
    struct timespec end;
    bool seen;

    if (seconds >= 0)
        deadline_in(seconds, &end);
    Py_BEGIN_ALLOW_THREADS pthread_mutex_lock(&self->mutex);
    if (!self->woken && !self->asked)
        note_busy(self, false);
    if (nap > 0 && !self->asked && (seconds < 0 || nap < seconds)) {
        self->naps = true;
        deadline_in(nap, &self->asked_at);
    }
    seen = sleep_until_woken(self, seconds < 0 ? NULL : &end);
    self->woken = self->asked = self->naps = false;
    note_busy(self, true);
    pthread_mutex_unlock(&self->mutex);
    Py_END_ALLOW_THREADS return seen;
}

static void *
worker_run(void *argument)
{
    worker *self = argument;
    PyGILState_STATE state = PyGILState_Ensure();
    pthread_mutex_lock(&self->mutex);
    self->entered = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->mutex);
    PyObject *result = PyObject_CallFunctionObjArgs(
        self->function, (PyObject *)self, self->argument, NULL);
    if (result == NULL)
        PyErr_WriteUnraisable(self->function);
    Py_XDECREF(result);
    Py_CLEAR(self->function);
    Py_CLEAR(self->argument);
    pthread_mutex_lock(&self->mutex);
    self->done = true;
    note_busy(self, false);
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->mutex);
    Py_DECREF(self);
    PyGILState_Release(state);
    return NULL;
}

/* Before there is a thread that could say that it has nothing to do. With the
 * GIL. */
static void
note_start(worker *self)
{
    static bool set_up;

    if (!set_up) {
        set_up = true;
        atexit(let_them_end);
    }
    self->started = true;
    self->pid = getpid();
    if (at_work_pid != self->pid) { /* a forked child: none of its parent's */
        at_work_pid = self->pid;
        at_work = 0;
    }
    note_busy(self, true);
}

static PyObject *
worker_start(PyObject *object, PyObject *args)
{
    worker *self = (worker *)object;
    sigset_t all, before;

    if (self->started) {
        PyErr_SetString(PyExc_RuntimeError, "a Worker is started once");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OO:start", &self->function, &self->argument))
        return NULL;
    Py_INCREF(self->function);
    Py_INCREF(self->argument);
    Py_INCREF(self);
    note_start(self);
    /* Signals are for the app's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&self->thread, NULL, worker_run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        note_busy(self, false);
        self->started = false;
        Py_CLEAR(self->function);
        Py_CLEAR(self->argument);
        Py_DECREF(self);
        PyErr_SetString(PyExc_RuntimeError, "no more threads");
        return NULL;
    }
    /* The calling thread may be Python's last one, and end: 3.11 aborts when a
     * thread comes to an interpreter that had some and has none. */
    if (sl_py_leader_may_end())
        wait_for(self, &self->entered, ENTER_SECONDS);
    Py_RETURN_NONE;
}

static PyObject *
worker_wake(PyObject *object, PyObject *ignored)
{
    worker *self = (worker *)object;

    (void)ignored;
    if (self->started && self->pid != getpid())
        Py_RETURN_NONE; /* a forked child: nobody is there, and the mutex may
                           be held for ever */
    pthread_mutex_lock(&self->mutex);
    if (!self->woken) {
        self->woken = true;
        if (!self->done) /* nobody would say that it has nothing to do */
            note_busy(self, true);
        pthread_cond_broadcast(&self->changed);
    }
    pthread_mutex_unlock(&self->mutex);
    Py_RETURN_NONE;
}

static PyObject *
worker_wake_in(PyObject *object, PyObject *value)
{
    worker *self = (worker *)object;
    double seconds = PyFloat_AsDouble(value);

    if (seconds == -1 && PyErr_Occurred())
        return NULL;
    if (self->started && self->pid != getpid())
        Py_RETURN_NONE; /* as in wake() */
    pthread_mutex_lock(&self->mutex);
    if (!self->asked && !self->woken) {
        self->asked = true;
        if (!self->done)
            note_busy(self, true);
        if (!self->naps) {
            deadline_in(seconds > 0 ? seconds : 0, &self->asked_at);
            pthread_cond_broadcast(&self->changed);
        }
    }
    pthread_mutex_unlock(&self->mutex);
    Py_RETURN_NONE;
}

/* None: for ever. */
static int
seconds_of(PyObject *value, double *seconds)
{
    *seconds = -1;
    if (value == Py_None)
        return 0;
    *seconds = PyFloat_AsDouble(value);
    if (*seconds == -1 && PyErr_Occurred())
        return -1;
    if (!(*seconds >= 0))
        *seconds = 0;
    return 0;
}

static PyObject *
worker_wait(PyObject *object, PyObject *args)
{
    worker *self = (worker *)object;
    PyObject *value;
    double seconds, nap = 0;

    if (!PyArg_ParseTuple(args, "O|d:wait", &value, &nap) ||
        seconds_of(value, &seconds) < 0)
        return NULL;
    if (sl_py_leader_may_end() && !(seconds >= 0 && seconds < LEADER_SECONDS))
        seconds = LEADER_SECONDS;
    return PyBool_FromLong(wait_for_work(self, seconds, nap));
}

static PyObject *
worker_get_alone(PyObject *object, void *closure)
{
    (void)object, (void)closure;
    return PyBool_FromLong(sl_py_leader_ended());
}

static PyObject *
worker_join(PyObject *object, PyObject *value)
{
    worker *self = (worker *)object;
    double seconds;

    if (seconds_of(value, &seconds) < 0)
        return NULL;
    if (!self->started || self->joined || self->pid != getpid())
        Py_RETURN_TRUE;
    if (pthread_equal(self->thread, pthread_self()))
        Py_RETURN_FALSE;
    if (!wait_for(self, &self->done, seconds) || self->joined)
        return PyBool_FromLong(self->joined);
    self->joined = true;
    pthread_t thread = self->thread;
    Py_BEGIN_ALLOW_THREADS pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS Py_RETURN_TRUE;
}

static PyObject *
worker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (!PyArg_ParseTuple(args, ":Worker") ||
        (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0))
        return NULL;
    worker *self = (worker *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    pthread_mutex_init(&self->mutex, NULL);
    changed_init(&self->changed);
    return (PyObject *)self;
}

static void
worker_dealloc(PyObject *object)
{
    worker *self = (worker *)object;

    /* The thread is over, or is the one that runs this, as its last act; in a
     * forked child it never was. */
    if (!self->started || self->pid == getpid()) {
        if (self->started && !self->joined)
            pthread_detach(self->thread);
        pthread_cond_destroy(&self->changed);
        pthread_mutex_destroy(&self->mutex);
    }
    Py_XDECREF(self->function);
    Py_XDECREF(self->argument);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef methods[] = {
    { "start", worker_start, METH_VARARGS,
      "start(function, argument, /)\n--\n\nA thread of the system calls "
      "function(worker, argument). RuntimeError: there is none to be had." },
    { "wake", worker_wake, METH_NOARGS,
      "wake()\n--\n\nEnds the wait of the thread, the current or the next "
      "one. Allowed anywhere." },
    { "wake_in", worker_wake_in, METH_O,
      "wake_in(seconds, /)\n--\n\nAs wake(), in so many seconds: what comes "
      "until then is done with it. Whoever asks later makes it no later." },
    { "wait", worker_wait, METH_VARARGS,
      "wait(seconds, nap=0, /)\n--\n\nFor the thread: waits to be woken, for "
      "so long at most (None: for ever). Whether it was. For `nap` seconds it "
      "need not be told that it is to wake soon: it looks then." },
    { "join", worker_join, METH_O,
      "join(seconds, /)\n--\n\nWaits for the end of the thread, for so long "
      "at most. Whether it is over." },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef getset[] = {
    { "alone", worker_get_alone, NULL,
      "Whether the thread is to end when it has nothing to do: the one that "
      "forked this process has, which ends with the last of its threads.",
      NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

PyTypeObject sl_py_worker_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Worker",
    .tp_basicsize = sizeof(worker),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Worker()\n--\n\nA thread that is one whatever was patched, and "
              "what wakes it.",
    .tp_new = worker_new,
    .tp_dealloc = worker_dealloc,
    .tp_methods = methods,
    .tp_getset = getset,
};
