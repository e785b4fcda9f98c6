/* Transaction: from a request's begin to its end. What needs no Python is done
 * without: a request that is not kept, whose options ask nothing of anybody. */
#include "types/transaction_type.h"
#include "engine/current.h"
#include "run/live.h"
#include "sampler/sampler.h"
#include "types/numbers_type.h"
#include "types/plan_type.h"
#include "types/values.h"

#include "slowlens/clock.h"

#include <string.h>

static PyTypeObject caller_type;
static PyObject *s_core, *s_decide, *s_plan, *s_finish, *s_say_less,
    *s_shown_path, *s_response_headers, *s_layers, *s_falcon, *s_not_begun,
    *s_module, *s_empty, *s_unmatched, *s_other;

/* ---- its begin ---- */

/* Its place on the board; NEW, or NULL: there is no board. -1 with an
 * exception. */
static int
entry_of(sl_py_door *door, const sl_py_seen *seen, bool sampled,
         sl_py_entry **out)
{
    *out = NULL;
    if (door->board == NULL || door->board == Py_None)
        return 0;
    PyObject *core = PyObject_GetAttr(door->board, s_core);
    if (core == NULL)
        return -1;
    int done = 0;
    if (Py_IS_TYPE(core, &sl_py_board_type)) {
        *out = sl_py_board_begin((sl_py_board *)core, seen->started_ns,
                                 seen->method, seen->path, sampled);
        done = *out != NULL ? 0 : -1;
    }
    Py_DECREF(core);
    return done;
}

/* Tells whoever wants to know of each. */
static int
tell_begun(sl_py_transaction *self)
{
    PyObject *told = self->door->begun;

    for (Py_ssize_t i = 0;
         told != NULL && PyList_Check(told) && i < PyList_GET_SIZE(told); i++) {
        PyObject *one = Py_NewRef(PyList_GET_ITEM(told, i));
        PyObject *done = PyObject_CallOneArg(one, (PyObject *)self);
        Py_DECREF(one);
        Py_XDECREF(done);
        if (done == NULL)
            return -1;
    }
    return 0;
}

sl_py_transaction *
sl_py_transaction_new(sl_py_door *door, PyObject *decision, PyObject *plan,
                      PyObject *method, PyObject *path)
{
    const sl_py_wishes *wishes = sl_py_plan_wishes(plan);
    sl_py_transaction *self =
        PyObject_GC_New(sl_py_transaction, &sl_py_transaction_type);

    if (self == NULL)
        return NULL;
    memset((char *)self + sizeof(PyObject), 0,
           sizeof(*self) - sizeof(PyObject));
    self->door = (sl_py_door *)Py_NewRef((PyObject *)door);
    self->decision = Py_NewRef(decision);
    self->path = Py_NewRef(path);
    PyObject_GC_Track((PyObject *)self);
    PyObject *shown =
        door->redacts
            ? PyObject_CallMethodOneArg((PyObject *)door, s_shown_path, path)
            : Py_NewRef(path);
    if (shown != NULL && PyUnicode_Check(shown))
        self->seen = sl_py_seen_new(method, shown);
    Py_XDECREF(shown);
    if (self->seen == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a path is a str");
        goto fail;
    }
    if (entry_of(door, self->seen, wishes->sampled, &self->seen->entry) < 0)
        goto fail;
    self->recording = (sl_py_recording *)sl_py_recording_make(
        wishes, (PyObject *)self->seen, (PyObject *)self->seen->entry);
    if (self->recording == NULL)
        goto fail;
    self->recording->transaction = (PyObject *)self;
    if (self->recording->less) {
        PyObject *said = PyObject_CallMethodOneArg((PyObject *)door, s_say_less,
                                                   (PyObject *)self);
        Py_XDECREF(said);
        if (said == NULL)
            goto fail;
    }
    if (tell_begun(self) == 0)
        return self;
fail:
    Py_DECREF(self);
    return NULL;
}

/* What was decided, NEW: a Decision, or None; NULL with an exception. */
static PyObject *
decision_of(sl_py_door *door, PyObject *path)
{
    int debug = sl_py_door_debug(door);
    if (debug < 0)
        return NULL;
    PyObject *decision = door->decisions[debug];
    return decision != NULL && decision != Py_None
               ? Py_NewRef(decision)
               : PyObject_CallMethodOneArg((PyObject *)door, s_decide, path);
}

/* How that is recorded, BORROWED of the door; NULL with an exception. */
static PyObject *
plan_of(sl_py_door *door, PyObject *decision, bool follows)
{
    PyObject **known = door->plans[follows];

    if (known[0] != decision) {
        PyObject *args[] = { (PyObject *)door, decision,
                             follows ? Py_True : Py_False };
        PyObject *plan = PyObject_VectorcallMethod(
            s_plan, args, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        if (plan == NULL || !Py_IS_TYPE(plan, &sl_py_plan_type)) {
            Py_XDECREF(plan);
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "plan() gives a Plan");
            return NULL;
        }
        Py_XSETREF(known[1], plan);
        Py_XSETREF(known[0], Py_NewRef(decision));
    }
    return known[1];
}

/* Whether somebody records already what runs in this context. */
static bool
is_recorded(const sl_py_door *door)
{
    PyObject *value = NULL;

    if (door->recorded == NULL || !PyContextVar_CheckExact(door->recorded) ||
        PyContextVar_Get(door->recorded, NULL, &value) < 0)
        PyErr_Clear();
    bool is = value == Py_True;
    Py_XDECREF(value);
    return is;
}

/* What kept it from being recorded is told; the app runs without. */
static void
say_not_begun(sl_py_door *door)
{
    PyObject *type, *error, *traceback;

    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (error != NULL && traceback != NULL)
        PyException_SetTraceback(error, traceback);
    PyObject *said =
        error == NULL
            ? NULL
            : PyObject_CallMethodOneArg((PyObject *)door, s_not_begun, error);
    if (said == NULL)
        PyErr_Clear();
    Py_XDECREF(said);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
}

sl_py_transaction *
sl_py_transaction_begin(sl_py_door *door, PyObject *method, PyObject *path,
                        bool follows, bool *odd)
{
    sl_py_pulse *pulse = door->plain ? sl_py_door_pulse(door) : NULL;
    sl_py_transaction *self = NULL;

    *odd = pulse == NULL || sl_py_sampler_why_not() != NULL ||
           !(pulse->noted || door->boardless);
    if (*odd)
        return NULL;
    PyObject *decision = decision_of(door, path);
    if (decision == NULL)
        goto fail;
    if (decision != Py_None && !is_recorded(door)) {
        PyObject *plan = plan_of(door, decision, follows);
        if (plan == NULL || sl_py_door_wake(pulse) < 0)
            goto fail;
        self = sl_py_transaction_new(door, decision, plan, method, path);
        if (self == NULL)
            goto fail;
        if (!pulse->ticking && sl_py_door_wake(pulse) < 0)
            Py_CLEAR(self);
    }
fail:
    Py_XDECREF(decision);
    if (PyErr_Occurred())
        say_not_begun(door);
    return self;
}

static PyObject *
transaction_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *door, *incoming, *decision, *plan;

    (void)type; /* there are no subtypes */
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "Transaction has no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!OOO!:Transaction", &sl_py_door_type, &door,
                          &incoming, &decision, &sl_py_plan_type, &plan))
        return NULL;
    PyObject *method = PyObject_GetAttrString(incoming, "method");
    PyObject *path =
        method != NULL ? PyObject_GetAttrString(incoming, "path") : NULL;
    sl_py_transaction *self = NULL;
    if (path != NULL && (!PyUnicode_Check(method) || !PyUnicode_Check(path)))
        PyErr_SetString(PyExc_TypeError, "method and path are str");
    else if (path != NULL)
        self = sl_py_transaction_new((sl_py_door *)door, decision, plan, method,
                                     path);
    if (self != NULL)
        self->incoming = Py_NewRef(incoming);
    Py_XDECREF(method);
    Py_XDECREF(path);
    return (PyObject *)self;
}

/* ---- its end ---- */

/* What it holds of the request, which holds it. */
static void
let_go(sl_py_transaction *self)
{
    Py_CLEAR(self->incoming);
    Py_CLEAR(self->request);
    Py_CLEAR(self->read);
    Py_CLEAR(self->root);
    Py_CLEAR(self->path);
    Py_CLEAR(self->app);
}

/* What it is counted as, BORROWED; NULL: Python has to say. */
static PyObject *
route_of(const sl_py_transaction *self)
{
    const sl_py_seen *seen = self->seen;
    PyObject *folded = self->door->folded;

    if (seen->named)
        return NULL;
    if (sl_py_seen_has_route(seen))
        return seen->route;
    return folded != NULL && PyDict_CheckExact(folded) &&
                   sl_clock_monotonic_ns() < self->door->folded_ns
               ? PyDict_GetItemWithError(folded, seen->path)
               : NULL;
}

static bool
is_a_task(PyObject *method)
{
    return PyUnicode_CompareWithASCIIString(method, "TASK") == 0;
}

/* Counts it and gives its memory back, where that is all there is to do; false:
 * Python has to look at it. */
static bool
count_alone(sl_py_transaction *self)
{
    const sl_py_seen *seen = self->seen;
    uint64_t wall = self->recording->wall_ns;
    uint64_t response = seen->body_ns < 0 ? wall : (uint64_t)seen->body_ns;
    bool error = seen->error || seen->status >= 500;
    sl_py_pulse *pulse =
        self->door->plain ? sl_py_door_pulse(self->door) : NULL;
    PyObject *route = pulse != NULL ? route_of(self) : NULL;

    if (route == NULL || !sl_py_door_may_skip(pulse) || is_a_task(seen->method))
        return false;
    /* Of what has no route of its own none is the worst. */
    PyObject *own = PyUnicode_Compare(route, s_unmatched) == 0 ||
                            PyUnicode_Compare(route, s_other) == 0
                        ? NULL
                        : route;
    if (sl_py_door_may_keep(self->door, self->decision, own, response, wall,
                            error))
        return false;
    PyObject *numbers = pulse->numbers;
    if (numbers != NULL && Py_IS_TYPE(numbers, &sl_py_numbers_type)) {
        if (sl_py_numbers_are_full(numbers))
            return false;
        sl_py_counted counted = {
            .recording = self->recording,
            .route = route,
            .method = seen->method,
            .response_bytes = seen->bytes > 0 ? (uint64_t)seen->bytes : 0,
            .error = error,
        };
        if (sl_py_numbers_add(numbers, &counted) < 0) {
            PyErr_Clear();
            return false;
        }
    }
    sl_py_door_skip(pulse);
    sl_py_recording_drop(self->recording);
    return true;
}

int
sl_py_transaction_finish(sl_py_transaction *self)
{
    PyObject *type, *error, *traceback;
    int done = 0;

    if (self->done)
        return 0;
    self->done = 1;
    if (self->recording == NULL || self->door == NULL)
        return 0; /* the collector has been here */
    PyErr_Fetch(&type, &error, &traceback);
    Py_INCREF((PyObject *)self);
    sl_py_recording_finish(self->recording);
    self->recording->transaction = NULL;
    if (self->recording->fork_lost) {
        sl_py_recording_drop(self->recording); /* the parent counts it */
    } else if (!count_alone(self)) {
        PyErr_Clear();
        PyObject *said = PyObject_CallMethodOneArg((PyObject *)self->door,
                                                   s_finish, (PyObject *)self);
        done = said != NULL ? 0 : -1;
        Py_XDECREF(said);
    }
    let_go(self);
    Py_DECREF((PyObject *)self);
    if (done == 0) {
        PyErr_Restore(type, error, traceback);
        return 0;
    }
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    return -1;
}

void
sl_py_transaction_abandon(sl_py_transaction *self)
{
    if (self->done || self->recording == NULL || self->door == NULL)
        return;
    self->done = 1;
    sl_py_recording_finish(self->recording);
    self->recording->transaction = NULL;
    sl_py_recording_drop(self->recording);
    self->door->abandoned++;
    let_go(self);
}

static int
transaction_traverse(PyObject *object, visitproc visit, void *arg)
{
    sl_py_transaction *self = (sl_py_transaction *)object;
    Py_VISIT((PyObject *)self->door);
    Py_VISIT(self->decision);
    Py_VISIT(self->incoming);
    Py_VISIT(self->request);
    Py_VISIT(self->read);
    Py_VISIT(self->app);
    return 0;
}

static int
transaction_clear(PyObject *object)
{
    sl_py_transaction *self = (sl_py_transaction *)object;
    Py_CLEAR(self->decision);
    let_go(self);
    return 0;
}

static void
transaction_dealloc(PyObject *object)
{
    sl_py_transaction *self = (sl_py_transaction *)object;
    PyObject_GC_UnTrack(object);
    if (self->recording != NULL)
        self->recording->transaction = NULL;
    let_go(self);
    Py_CLEAR(self->decision);
    Py_CLEAR(self->recording); /* which ends it, if nobody has */
    Py_CLEAR(self->seen);
    Py_CLEAR(self->door);
    PyObject_GC_Del(object);
}

/* ---- what it is told ---- */

void
sl_py_transaction_headers(sl_py_transaction *self, int status)
{
    if (self->done) /* by a task that outlived its app */
        return;
    self->seen->status = status;
    self->seen->headers_ns =
        (int64_t)sl_recording_wall_ns(self->recording->core);
}

void
sl_py_transaction_body(sl_py_transaction *self)
{
    if (!self->done)
        self->seen->body_ns =
            (int64_t)sl_recording_wall_ns(self->recording->core);
}

PyObject *
sl_py_transaction_more(sl_py_transaction *self, PyObject *root)
{
    if (self->done || !sl_py_door_adds(self->door))
        return NULL;
    PyObject *args[] = { (PyObject *)self->door, (PyObject *)self,
                         root != NULL ? root : s_empty };
    sl_py_active_pause();
    PyObject *more = PyObject_VectorcallMethod(
        s_response_headers, args, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    sl_py_active_forget();
    if (more == NULL || !PyList_Check(more) || PyList_GET_SIZE(more) == 0) {
        PyErr_Clear();
        Py_CLEAR(more);
    }
    return more;
}

static PyObject *
transaction_headers_sent(PyObject *object, PyObject *status)
{
    long number = PyLong_Check(status) ? PyLong_AsLong(status) : 0;
    PyErr_Clear(); /* what no server takes */
    sl_py_transaction_headers((sl_py_transaction *)object,
                              number < 0 || number > 999999 ? 0 : (int)number);
    Py_RETURN_NONE;
}

static PyObject *
transaction_body_sent(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_transaction_body((sl_py_transaction *)object);
    Py_RETURN_NONE;
}

static PyObject *
transaction_more_headers(PyObject *object, PyObject *const *args,
                         Py_ssize_t count)
{
    if (count > 1 || (count == 1 && !PyUnicode_Check(args[0]))) {
        PyErr_SetString(PyExc_TypeError, "more_headers(root='')");
        return NULL;
    }
    PyObject *more = sl_py_transaction_more((sl_py_transaction *)object,
                                            count == 1 ? args[0] : NULL);
    return more != NULL ? more : PyList_New(0);
}

static PyObject *
transaction_leave_context(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_transaction *self = (sl_py_transaction *)object;
    if (!self->done)
        sl_py_live_leave_context(self->recording);
    Py_RETURN_NONE;
}

static PyObject *
transaction_finish(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    if (sl_py_transaction_finish((sl_py_transaction *)object) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
transaction_abandon(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_transaction_abandon((sl_py_transaction *)object);
    Py_RETURN_NONE;
}

/* The request as the policy sees it: made of what was read, when it is asked
 * for. */
static PyObject *
transaction_get_incoming(PyObject *object, void *closure)
{
    (void)closure;
    sl_py_transaction *self = (sl_py_transaction *)object;

    if (self->incoming == NULL && self->request != NULL && self->read != NULL) {
        PyObject *args[] = { self->request, self->read };
        PyObject *made = sl_py_upcall(self->asgi ? SL_PY_UP_ASGI_INCOMING
                                                 : SL_PY_UP_WSGI_INCOMING,
                                      args, 2);
        if (made == NULL)
            return NULL;
        Py_XSETREF(self->incoming, made);
    }
    if (self->incoming == NULL)
        PyErr_SetString(PyExc_AttributeError, "the request is over");
    return Py_XNewRef(self->incoming);
}

static PyObject *
transaction_get_layers(PyObject *object, void *closure)
{
    (void)closure;
    PyObject *options = ((sl_py_transaction *)object)->door->options;
    if (options == NULL)
        Py_RETURN_NONE;
    return PyObject_GetAttr(options, s_layers);
}

static PyMethodDef transaction_methods[] = {
    { "headers_sent", transaction_headers_sent, METH_O,
      "headers_sent(status, /)\n--\n\nThe response's status is known and its "
      "headers are on their way." },
    { "body_sent", transaction_body_sent, METH_NOARGS,
      "body_sent()\n--\n\nThe last byte of the body was handed to the "
      "server." },
    { "more_headers", (PyCFunction)(void (*)(void))transaction_more_headers,
      METH_FASTCALL,
      "more_headers(root='', /)\n--\n\nHeaders to add to the app's own, by the "
      "option response_headers: [(name, value)]." },
    { "leave_context", transaction_leave_context, METH_NOARGS,
      "leave_context()\n--\n\nThe calling context goes on to other things; "
      "where it began." },
    { "finish", transaction_finish, METH_NOARGS,
      "finish()\n--\n\nEnds the profile and decides about it. Idempotent; "
      "nothing of ours is raised." },
    { "abandon", transaction_abandon, METH_NOARGS,
      "abandon()\n--\n\nThe response was thrown away half-way: keep nothing, "
      "lose nothing silently." },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef transaction_getset[] = {
    { "incoming", transaction_get_incoming, NULL,
      "The request, until it is over.", NULL },
    { "layers", transaction_get_layers, NULL,
      "What is kept of what it asks others for: the option of that name.",
      NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMemberDef transaction_members[] = {
    { "seen", T_OBJECT_EX, offsetof(sl_py_transaction, seen), READONLY,
      "What becomes known of it." },
    { "recording", T_OBJECT_EX, offsetof(sl_py_transaction, recording),
      READONLY, "What is recorded." },
    { "decision", T_OBJECT_EX, offsetof(sl_py_transaction, decision), READONLY,
      "How it is recorded." },
    { "done", T_BOOL, offsetof(sl_py_transaction, done), READONLY,
      "Whether it is over." },
    { NULL, 0, 0, 0, NULL },
};

PyTypeObject sl_py_transaction_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Transaction",
    .tp_doc = "Transaction(recorder, incoming, decision, plan, /)\n--\n\nOne "
              "request being recorded, from now on. Raises what plan() does.",
    .tp_basicsize = sizeof(sl_py_transaction),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = transaction_new,
    .tp_traverse = transaction_traverse,
    .tp_clear = transaction_clear,
    .tp_dealloc = transaction_dealloc,
    .tp_methods = transaction_methods,
    .tp_getset = transaction_getset,
    .tp_members = transaction_members,
};

PyObject *
sl_py_current_transaction(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    sl_py_recording *recording = sl_py_live_recording();
    PyObject *transaction = recording != NULL ? recording->transaction : NULL;
    return Py_NewRef(transaction != NULL ? transaction : Py_None);
}

/* ---- what apps call ---- */

PyObject *
sl_py_caller_new(sl_py_transaction *transaction, PyObject *outer,
                 vectorcallfunc call)
{
    sl_py_caller *self = PyObject_GC_New(sl_py_caller, &caller_type);
    if (self == NULL)
        return NULL;
    self->call = call;
    self->transaction = (sl_py_transaction *)Py_NewRef((PyObject *)transaction);
    self->outer = Py_NewRef(outer);
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

static int
caller_traverse(PyObject *object, visitproc visit, void *arg)
{
    sl_py_caller *self = (sl_py_caller *)object;
    Py_VISIT((PyObject *)self->transaction);
    Py_VISIT(self->outer);
    return 0;
}

static int
caller_clear(PyObject *object)
{
    sl_py_caller *self = (sl_py_caller *)object;
    Py_SETREF(self->outer, Py_NewRef(Py_None)); /* it may still be called */
    return 0;
}

static void
caller_dealloc(PyObject *object)
{
    sl_py_caller *self = (sl_py_caller *)object;
    PyObject_GC_UnTrack(object);
    Py_CLEAR(self->transaction);
    Py_CLEAR(self->outer);
    PyObject_GC_Del(object);
}

static PyTypeObject caller_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Caller",
    .tp_doc = "What an app calls to answer: start_response, or send.",
    .tp_basicsize = sizeof(sl_py_caller),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_vectorcall_offset = offsetof(sl_py_caller, call),
    .tp_call = PyVectorcall_Call,
    .tp_traverse = caller_traverse,
    .tp_clear = caller_clear,
    .tp_dealloc = caller_dealloc,
};

void
sl_py_transaction_ask_route(sl_py_transaction *self, sl_py_up which,
                            PyObject *const *args, size_t count)
{
    PyObject *route = sl_py_upcall(which, args, count);

    if (route == NULL)
        PyErr_Clear();
    else
        sl_py_seen_note_route(self->seen, route);
    Py_XDECREF(route);
}

bool
sl_py_app_is_silent(sl_py_door *door, PyObject *app)
{
    if (Py_TYPE(app) == door->silent)
        return true;
    PyObject *module = PyObject_GetAttr((PyObject *)Py_TYPE(app), s_module);
    bool silent =
        module != NULL && PyUnicode_Check(module) &&
        PyUnicode_Tailmatch(module, s_falcon, 0, PY_SSIZE_T_MAX, -1) == 0;
    PyErr_Clear();
    Py_XDECREF(module);
    if (silent)
        Py_XSETREF(door->silent,
                   (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(app)));
    return silent;
}

int
sl_py_transaction_init(void)
{
    static const sl_py_word names[] = {
        { &s_core, "core" },
        { &s_decide, "decide_plain" },
        { &s_plan, "plan" },
        { &s_finish, "_finish" },
        { &s_say_less, "_say_less_of" },
        { &s_shown_path, "shown_path" },
        { &s_response_headers, "response_headers" },
        { &s_layers, "layers" },
        { &s_falcon, "falcon" },
        { &s_not_begun, "_not_begun" },
        { &s_module, "__module__" },
        { &s_empty, "" },
        { &s_unmatched, "[unmatched]" },
        { &s_other, "[other]" },
    };

    if (sl_py_words(names, sizeof(names) / sizeof(names[0])) < 0)
        return -1;
    return PyType_Ready(&caller_type) < 0 ||
                   PyType_Ready(&sl_py_transaction_type) < 0
               ? -1
               : 0;
}
