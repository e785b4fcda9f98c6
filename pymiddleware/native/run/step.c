/* The awaitable that runs an ASGI app (any awaitable) under a recording.
 *
 *   await recording.step(app(...))
 *
 * Each send, throw or close enters the request, runs the inner iterator, and
 * leaves it again, so that what other tasks do on the same thread meanwhile
 * is never charged to it. Results and exceptions pass through untouched.
 *
 *   await step(app(...))      step.follow(recording) while it runs
 *
 * The same for an app that serves one request after the other (a websocket):
 * from where it calls `follow`, its work is that recording's. */
#include "run/step.h"
#include "look/code_map.h"
#include "look/own_stack.h"
#include "run/active.h"
#include "run/loop.h"
#include "run/sections.h"
#include "sampler/sampler.h"

static PyTypeObject step_type;
static PyTypeObject *recording_type; /* set once, at import */

typedef struct {
    PyObject_HEAD sl_py_recording *recording; /* strong; NULL: none now */
    PyObject *inner; /* strong: the awaitable, then its iterator */
    bool begun;
    bool follows;    /* its recording changes while it runs */
    bool running;    /* inside a send, throw or close */
    bool section;    /* ...and its recording is in a section that we began */
    PyObject *owner; /* strong: who is told of its end, once; or NULL */
    sl_py_step_over over;
    /* While it runs and follows: the frames that its own stand above. */
    uintptr_t anchor;
    PyFrameObject *below; /* strong */
} step;

PyObject *
sl_py_step_new(sl_py_recording *recording, PyObject *awaitable)
{
    step *self = PyObject_GC_New(step, &step_type);
    if (self == NULL)
        return NULL;
    self->recording = (sl_py_recording *)Py_XNewRef((PyObject *)recording);
    self->inner = Py_NewRef(awaitable);
    self->begun = self->running = self->section = false;
    self->below = NULL;
    self->owner = NULL;
    self->over = NULL;
    self->follows = recording == NULL;
    self->anchor = 0;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

PyObject *
sl_py_step_of(sl_py_recording *recording, PyObject *awaitable, PyObject *owner,
              sl_py_step_over over)
{
    step *self = (step *)sl_py_step_new(recording, awaitable);
    if (self != NULL) {
        self->owner = Py_NewRef(owner);
        self->over = over;
    }
    return (PyObject *)self;
}

/* What it runs has ended. */
static void
step_ended(step *self, bool error)
{
    PyObject *owner = self->owner;

    self->owner = NULL;
    if (owner == NULL)
        return;
    self->over(owner, error);
    Py_DECREF(owner);
}

/* A section, if the recording still wants one. Trouble is not the app's. */
static void
step_begin(step *self)
{
    sl_py_recording *recording = self->recording;

    self->running = true;
    if (self->follows) {
        self->anchor = sl_py_sampler_anchor();
        Py_XSETREF(self->below, PyThreadState_GetFrame(sl_py_borrow_tstate()));
    }
    if (recording == NULL || recording->finished || recording->running)
        return;
    if (sl_py_section_begin(recording, SL_PSEUDO_AWAIT, self->anchor) < 0)
        PyErr_Clear();
    else
        self->section = true;
}

/* Ends the section without touching a pending exception. `awaited`: what the
 * iterator gave, or NULL. */
static void
step_end(step *self, PyObject *awaited)
{
    PyObject *type, *value, *traceback;

    self->running = false;
    Py_CLEAR(self->below);
    if (!self->section)
        return;
    self->section = false;
    if (!self->recording->running)
        return; /* it was finished meanwhile */
    PyErr_Fetch(&type, &value, &traceback);
    uint64_t now = sl_clock_monotonic_ns();
    sl_py_section_end_at(self->recording, awaited != NULL ? self->inner : NULL,
                         now);
    sl_py_loop_suspends(self->recording, awaited, now);
    PyErr_Restore(type, value, traceback);
}

/* Tells a deterministic recording what runs already: the frames of the calling
 * thread above the one that awaits the step. */
static void
step_enter_frames(const step *self)
{
    enum { DEEPEST = 64 };
    PyCodeObject *codes[DEEPEST];
    int count = 0;
    PyFrameObject *frame = PyThreadState_GetFrame(sl_py_borrow_tstate());

    while (frame != NULL && frame != self->below && count < DEEPEST) {
        PyFrameObject *back = PyFrame_GetBack(frame);
        codes[count] = PyFrame_GetCode(frame);
        if (sl_py_code_is_own(codes[count]))
            Py_DECREF(codes[count]);
        else
            count++;
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    sl_strand *strand = sl_recording_main(self->recording->core);
    while (count > 0) {
        sl_strand_resume(strand, codes[--count],
                         sl_clock_ticks(self->recording->sampled.clock));
        Py_DECREF(codes[count]);
    }
}

static PyObject *
step_follow(PyObject *object, PyObject *recording)
{
    step *self = (step *)object;

    if (recording != Py_None && !Py_IS_TYPE(recording, recording_type)) {
        PyErr_SetString(PyExc_TypeError, "a Recording, or None");
        return NULL;
    }
    if (!self->follows) {
        PyErr_SetString(PyExc_RuntimeError,
                        "only a step made without a recording follows one");
        return NULL;
    }
    if (self->section)
        sl_py_section_end(self->recording, NULL);
    self->section = false;
    Py_CLEAR(self->recording);
    if (recording == Py_None)
        Py_RETURN_NONE;
    self->recording = (sl_py_recording *)Py_NewRef(recording);
    /* Asked by another task: from the next send on. */
    if (!self->running || self->recording->finished || self->recording->running)
        Py_RETURN_NONE;
    if (sl_py_section_begin(self->recording, SL_PSEUDO_AWAIT, self->anchor) < 0)
        return NULL;
    self->section = true;
    if (!self->recording->sampled.by_samples)
        step_enter_frames(self);
    Py_RETURN_NONE;
}

static PyObject *
step_await(PyObject *object)
{
    step *self = (step *)object;

    if (self->begun) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot reuse an already awaited step");
        return NULL;
    }
    self->begun = true;
    if (PyCoro_CheckExact(self->inner))
        return Py_NewRef(object);

    PyAsyncMethods *methods = Py_TYPE(self->inner)->tp_as_async;
    if (methods == NULL || methods->am_await == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "object %.100s can't be used in 'await' expression",
                     Py_TYPE(self->inner)->tp_name);
        return NULL;
    }
    PyObject *iterator = methods->am_await(self->inner);
    if (iterator == NULL)
        return NULL;
    Py_SETREF(self->inner, iterator);
    return Py_NewRef(object);
}

static PySendResult
step_am_send(PyObject *object, PyObject *value, PyObject **result)
{
    step *self = (step *)object;

    step_begin(self);
    PySendResult sent = PyIter_Send(self->inner, value, result);
    step_end(self, sent == PYGEN_NEXT ? *result : NULL);
    if (sent != PYGEN_NEXT)
        step_ended(self, sent == PYGEN_ERROR);
    return sent;
}

/* What a send protocol result is to the iterator protocol. */
static PyObject *
step_result(PySendResult sent, PyObject *result)
{
    if (sent == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        if (stop != NULL)
            PyErr_SetObject(PyExc_StopIteration, stop);
        Py_XDECREF(stop);
        Py_DECREF(result);
        return NULL;
    }
    return result;
}

static PyObject *
step_send(PyObject *object, PyObject *value)
{
    PyObject *result = NULL;
    PySendResult sent = step_am_send(object, value, &result);
    return step_result(sent, result);
}

static PyObject *
step_next(PyObject *object)
{
    return step_send(object, Py_None);
}

/* An attribute of what the step runs. The name is one object for all calls: the
 * interpreter's cache of types goes by its address. */
static PyObject *
inner_attribute(const step *self, const char *name)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *value =
        interned != NULL ? PyObject_GetAttr(self->inner, interned) : NULL;
    Py_XDECREF(interned);
    return value;
}

/* Calls `method` of what it runs, which is given up, as a step. */
static PyObject *
step_call(step *self, PyObject *method, PyObject *args)
{
    if (method == NULL)
        return NULL;
    step_begin(self);
    PyObject *result = PyObject_CallObject(method, args);
    step_end(self, result);
    Py_DECREF(method);
    return result;
}

static PyObject *
step_throw(PyObject *object, PyObject *args)
{
    step *self = (step *)object;
    PyObject *result = step_call(self, inner_attribute(self, "throw"), args);
    if (result == NULL)
        step_ended(self, !PyErr_ExceptionMatches(PyExc_StopIteration));
    return result;
}

static PyObject *
step_close(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    step *self = (step *)object;
    PyObject *method = inner_attribute(self, "close");
    PyObject *result;
    if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear(); /* an awaitable need not have one */
        result = Py_NewRef(Py_None);
    } else {
        result = step_call(self, method, NULL);
    }
    step_ended(self, true);
    return result;
}

static int
step_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(((step *)object)->inner);
    Py_VISIT((PyObject *)((step *)object)->below);
    Py_VISIT(((step *)object)->owner);
    return 0;
}

static int
step_clear(PyObject *object)
{
    Py_CLEAR(((step *)object)->inner);
    Py_CLEAR(((step *)object)->below);
    return 0;
}

static void
step_dealloc(PyObject *object)
{
    step *self = (step *)object;
    PyObject_GC_UnTrack(object);
    step_ended(self, true);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->below);
    Py_CLEAR(self->recording);
    PyObject_GC_Del(object);
}

bool
sl_py_step_is_awaited_by(const sl_py_recording *recording, PyObject *coroutine)
{
    PyObject *at = Py_NewRef(coroutine);
    bool found = false;

    for (int i = 0; at != NULL && !found && i < SL_PY_WALK_MAX; i++) {
        found = Py_IS_TYPE(at, &step_type) &&
                ((const step *)at)->recording == recording;
        Py_SETREF(at, sl_py_own_awaited(at));
    }
    Py_XDECREF(at);
    return found;
}

static PyAsyncMethods step_async = {
    .am_await = step_await,
    .am_send = step_am_send,
};

static PyMethodDef step_methods[] = {
    { "send", step_send, METH_O, "send(value, /)\n--\n\nAs a coroutine's." },
    { "throw", step_throw, METH_VARARGS,
      "throw(type, value=None, traceback=None, /)\n--\n\nAs a coroutine's." },
    { "close", step_close, METH_NOARGS, "close()\n--\n\nAs a coroutine's." },
    { "follow", step_follow, METH_O,
      "follow(recording, /)\n--\n\nWhat runs in this step from here on is the "
      "recording's; None: nobody's. Only for a step made without a "
      "recording." },
    { NULL, NULL, 0, NULL },
};

/* What asyncio's call graph, pstree and debuggers ask of a coroutine: the step
 * is not there, they see the coroutine that it runs. */
static PyObject *
step_inner(PyObject *object, void *name)
{
    return inner_attribute((step *)object, name);
}

static PyGetSetDef step_attributes[] = {
    { "cr_await", step_inner, NULL, "The coroutine's.", (void *)"cr_await" },
    { "cr_frame", step_inner, NULL, "The coroutine's.", (void *)"cr_frame" },
    { "cr_code", step_inner, NULL, "The coroutine's.", (void *)"cr_code" },
    { "cr_running", step_inner, NULL, "The coroutine's.",
      (void *)"cr_running" },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyTypeObject step_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Step",
    .tp_doc = "An awaitable under a recording. See Recording.step.",
    .tp_basicsize = sizeof(step),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_as_async = &step_async,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = step_next,
    .tp_methods = step_methods,
    .tp_getset = step_attributes,
    .tp_traverse = step_traverse,
    .tp_clear = step_clear,
    .tp_dealloc = step_dealloc,
};

int
sl_py_step_init(PyTypeObject *recording)
{
    recording_type = recording;
    return PyType_Ready(&step_type);
}
