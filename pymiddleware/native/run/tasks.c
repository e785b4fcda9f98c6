/* The steps of tasks while an asynchronous request is recorded; see tasks.h. */
#include "run/tasks.h"
#include "engine/current.h"
#include "run/active.h"
#include "run/adopted.h"
#include "run/greenlets.h"
#include "run/live.h"
#include "run/loop.h"
#include "run/step.h"
#include "run/stints.h"
#include "sampler/tasks.h"

#include <string.h>

typedef PyObject *(*fast_method)(PyObject *, PyObject *const *, Py_ssize_t);

static sendfunc send_before;
static PyCFunction send_method_before;
static fast_method throw_before;
static PyInterpreterState *interpreter;

/* The contexts of the innermost step that runs in this thread, and of the
 * innermost that is a sampled request's task's; only to be compared. */
static __thread const PyObject *stepping, *inside;

/* Recordings on whose account steps are told. */
static Py_ssize_t watchers;

/* Not on the C stack: greenlets move that about. */
typedef struct task_stint {
    sl_py_stint stint;
    sl_py_job_slot slot;
    struct task_stint *next; /* while it is unused */
} task_stint;

static task_stint *unused;

/* What to do when the step that begins has ended. */
typedef struct {
    sl_py_recording *recording; /* strong; NULL: no profiled request's */
    const PyObject *outer;      /* `inside` before */
    const PyObject *below;      /* `stepping` before */
    PyObject *token; /* strong: the context names it meanwhile; or NULL */
    bool sampled;    /* the sampler knows of it */
    bool told;       /* by events, on another strand's stack */
    bool drives;     /* the request's own step, which tells by itself */
    sl_py_task_step step;
    sl_py_loop_step turn;
    task_stint *stint; /* NULL: it has none of its own */
} task_step;

/* The step is a stint of its thread: a greenlet that it switches to is a part
 * of it, and so is what runs in a context that names nobody. */
static task_stint *
stint_begin(sl_py_recording *recording, sl_strand *strand,
            const sl_py_job_slot *slot)
{
    task_stint *t = unused;

    if (t != NULL)
        unused = t->next;
    else
        t = PyMem_Calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->slot = *slot;
    sl_py_stint_push(&t->stint, recording, strand, &t->slot);
    sl_py_active_forget();
    return t;
}

static void
stint_end(task_stint *t, sl_py_job_slot *slot)
{
    if (t == NULL)
        return;
    if (t->stint.recording != NULL && t->stint.strand != NULL)
        sl_py_greenlets_leave(&t->stint);
    *slot = t->slot;
    sl_py_stint_drop(&t->stint);
    sl_py_active_forget();
    t->next = unused;
    unused = t;
}

/* Whether it is suspended, and so has begun. */
static bool
is_suspended(PyObject *coroutine)
{
    PyObject *is = PyObject_GetAttrString(coroutine, "cr_suspended");

    PyErr_Clear();
    Py_XDECREF(is); /* True and False live for ever */
    return is == Py_True;
}

/* The step of a recording that events feed. */
static void
step_is_told(task_step *s, sl_py_recording *recording, PyObject *coroutine,
             bool on_it, uint64_t now)
{
    const sl_py_job_slot none = { .slot = -1 };
    uint64_t stood = sl_py_loop_task_stood(recording, coroutine);

    /* Else another one stood there, which is gone without an end, and this one
     * lies at its address. */
    if (stood != 0 && is_suspended(coroutine))
        sl_py_active_waited(recording, coroutine, stood,
                            sl_py_ticks_at(&recording->sampled, now));
    s->told = on_it;
    sl_strand *strand = on_it ? NULL : sl_py_active_task(recording);
    if (strand != NULL)
        s->stint = stint_begin(recording, strand, &none);
}

/* A task of a profiled request goes on. */
static void
step_is_of(task_step *s, sl_py_recording *recording, PyObject *coroutine)
{
    PyThreadState *ts = sl_py_borrow_tstate();
    const sl_py_stint *below = sl_py_stint_here(ts->id);
    /* An eager task runs on the stack of whoever makes it, until it waits; one
     * of a loop that the request, or a job of its, runs itself, always. */
    bool on_it = (recording->running && recording->thread == ts->id) ||
                 (below != NULL && below->recording == recording);
    bool nested = inside != NULL || on_it;

    uint64_t now = sl_py_loop_now();

    s->recording = (sl_py_recording *)Py_NewRef((PyObject *)recording);
    sl_py_loop_task_resumes(recording, coroutine, s->below != NULL || on_it,
                            now, &s->turn);
    s->sampled = recording->sampled.by_samples;
    if (!s->sampled) {
        step_is_told(s, recording, coroutine, on_it, now);
        return;
    }
    inside = ts->context;
    sl_py_sampler_task_begin(&recording->sampled, coroutine, nested, now,
                             &s->step);
    if (s->step.slot.slot >= 0)
        s->stint = stint_begin(recording, NULL, &s->step.slot);
}

/* Whose task it is where its context does not say so: it does from here to the
 * step's end. */
static sl_py_recording *
step_adopts(task_step *s, const PyObject *coroutine)
{
    sl_py_recording *recording = sl_py_adopted_of(coroutine);

    if (recording == NULL)
        return NULL;
    s->token = sl_py_live_set(recording->handle);
    if (s->token == NULL)
        PyErr_Clear();
    sl_py_active_forget();
    return s->token != NULL ? recording : NULL;
}

/* Whether the coroutine is that of the task whose steps are the recording's
 * own, which is known by what it waits for. Asked of none that is known to be
 * another task's. */
static bool
is_driver(sl_py_recording *recording, PyObject *coroutine)
{
    return !recording->running &&
           !sl_py_loop_task_is_known(recording, coroutine) &&
           sl_py_step_is_awaited_by(recording, coroutine);
}

/* Whether the coroutine that goes on is a task's. What is sent into within a
 * step, in the same context, is of that step: CPython 3.11 awaits that way.
 * `called`: by a method of its, and so not by asyncio, whose tasks keep to one
 * context. */
static bool
step_begin(task_step *s, PyObject *coroutine, bool called)
{
    PyThreadState *ts = sl_py_borrow_tstate();

    if (ts->interp != interpreter || ts->context == NULL ||
        ts->context == stepping)
        return false;
    sl_py_recording *recording = sl_py_live_recording();
    /* A thread that took no context along runs a loop for its request. */
    const sl_py_stint *below =
        recording == NULL ? sl_py_stint_here(ts->id) : NULL;
    if (below != NULL)
        recording = below->recording;
    /* Its main strand tells by itself (step.c), also where trio has its task
     * go on in another context for a while (from_thread.run). */
    if (recording != NULL && recording->context == ts->context)
        return false;
    *s = (task_step){ .outer = inside, .below = stepping };
    if (called && recording != NULL && is_driver(recording, coroutine)) {
        /* What runs there before its section begins is nobody's task. */
        if (below == NULL && !recording->sampled.by_samples) {
            Py_XSETREF(recording->context, Py_NewRef(ts->context));
            sl_py_active_forget();
        }
        stepping = ts->context;
        s->drives = true;
        return true;
    }
    stepping = ts->context;
    if (recording == NULL && sl_py_adopted_count > 0)
        recording = step_adopts(s, coroutine);
    if (recording != NULL)
        step_is_of(s, recording, coroutine);
    else
        sl_py_loop_begins(&s->turn);
    return true;
}

/* `awaited`: what it waits for; NULL: it is over. A pending exception stays as
 * it is. */
static void
step_end(task_step *s, PyObject *coroutine, PyObject *awaited)
{
    PyObject *type, *value, *traceback;

    stepping = s->below;
    inside = s->outer;
    if (s->drives)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (s->recording == NULL) {
        sl_py_loop_ends(&s->turn, coroutine);
    } else {
        uint64_t now = sl_clock_monotonic_ns();
        stint_end(s->stint, &s->step.slot);
        if (s->sampled && !s->recording->finished)
            sl_py_sampler_task_end(&s->recording->sampled, coroutine,
                                   awaited != NULL, now, &s->step);
        sl_py_loop_task_suspends(s->recording, coroutine, coroutine, awaited,
                                 now, &s->turn);
        if (s->told && awaited != NULL && !s->recording->finished)
            sl_py_loop_task_stands(s->recording, coroutine,
                                   sl_py_ticks_at(&s->recording->sampled, now));
        Py_DECREF((PyObject *)s->recording);
    }
    if (s->token != NULL) {
        sl_py_live_reset(s->token);
        sl_py_active_forget();
    }
    if (awaited == NULL && sl_py_adopted_count > 0)
        sl_py_adopted_over(coroutine);
    PyErr_Restore(type, value, traceback);
}

static PySendResult
task_send(PyObject *coroutine, PyObject *value, PyObject **result)
{
    task_step step;

    if (!step_begin(&step, coroutine, false))
        return send_before(coroutine, value, result);
    PySendResult sent = send_before(coroutine, value, result);
    step_end(&step, coroutine, sent == PYGEN_NEXT ? *result : NULL);
    return sent;
}

/* As trio does it, which calls the method. */
static PyObject *
task_send_method(PyObject *coroutine, PyObject *value)
{
    task_step step;

    if (!step_begin(&step, coroutine, true))
        return send_method_before(coroutine, value);
    PyObject *result = send_method_before(coroutine, value);
    step_end(&step, coroutine, result);
    return result;
}

static PyObject *
task_throw(PyObject *coroutine, PyObject *const *args, Py_ssize_t count)
{
    task_step step;

    if (!step_begin(&step, coroutine, true))
        return throw_before(coroutine, args, count);
    PyObject *result = throw_before(coroutine, args, count);
    step_end(&step, coroutine, result);
    return result;
}

/* A method of the type as it was, and as it is with ours in front. */
typedef struct {
    PyMethodDescrObject *descriptor; /* borrowed from the type; NULL: unknown */
    PyMethodDef *before, ours;
} way;

/* The type's three ways in; filled once, what is in force is what the type
 * points to. */
static PyAsyncMethods *methods_before, methods_ours;
static way way_send, way_throw;

/* Whether the method is what this was written for; then it is known. */
static bool
way_learn(way *w, const char *name, int flags, PyCFunction ours)
{
    PyObject *descriptor =
        PyObject_GetAttrString((PyObject *)&PyCoro_Type, name);
    if (descriptor == NULL) {
        PyErr_Clear();
        return false;
    }
    PyMethodDescrObject *method = (PyMethodDescrObject *)descriptor;
    if (Py_IS_TYPE(descriptor, &PyMethodDescr_Type) &&
        method->d_method->ml_flags == flags) {
        w->before = method->d_method;
        w->ours = *w->before;
        w->ours.ml_meth = ours;
        w->descriptor = method;
    }
    Py_DECREF(descriptor); /* the type holds it */
    return w->descriptor != NULL;
}

static bool
way_is_free(const way *w)
{
    return w->descriptor->d_method == w->before;
}

static void
way_restore(way *w)
{
    if (w->descriptor->d_method == &w->ours)
        w->descriptor->d_method = w->before;
}

/* Whether all of them are known. */
static bool
ways_learn(void)
{
    if (send_before != NULL)
        return true;
    if (PyCoro_Type.tp_as_async == NULL ||
        PyCoro_Type.tp_as_async->am_send == NULL ||
        !way_learn(&way_send, "send", METH_O, task_send_method) ||
        !way_learn(&way_throw, "throw", METH_FASTCALL,
                   (PyCFunction)(void (*)(void))task_throw))
        return false;
    send_method_before = way_send.before->ml_meth;
    memcpy(&throw_before, &way_throw.before->ml_meth, sizeof(throw_before));
    methods_before = PyCoro_Type.tp_as_async;
    methods_ours = *methods_before;
    send_before = methods_ours.am_send;
    methods_ours.am_send = task_send;
    interpreter = sl_py_borrow_tstate()->interp;
    return true;
}

void
sl_py_tasks_watch(void)
{
    /* Somebody else's, put there meanwhile, is left alone. */
    sl_py_loop_callbacks(true);
    if (watchers++ > 0 || !ways_learn() ||
        PyCoro_Type.tp_as_async != methods_before || !way_is_free(&way_send) ||
        !way_is_free(&way_throw))
        return;
    way_send.descriptor->d_method = &way_send.ours;
    way_throw.descriptor->d_method = &way_throw.ours;
    PyCoro_Type.tp_as_async = &methods_ours;
}

static void
ways_restore(void)
{
    sl_py_loop_callbacks(false);
    if (!sl_py_tasks_watched())
        return;
    way_restore(&way_send);
    way_restore(&way_throw);
    PyCoro_Type.tp_as_async = methods_before;
}

void
sl_py_tasks_unwatch(void)
{
    if (--watchers == 0)
        ways_restore();
}

void
sl_py_tasks_after_fork(void)
{
    watchers = 0;
    ways_restore();
}

bool
sl_py_tasks_watched(void)
{
    return send_before != NULL && PyCoro_Type.tp_as_async == &methods_ours;
}
