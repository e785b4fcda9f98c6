/* From a work item to its strand: see jobs.h. */
#include "run/jobs.h"
#include "engine/argument.h"
#include "engine/current.h"
#include "engine/engine.h"
#include "engine/probes.h"
#include "look/own_stack.h"
#include "run/active.h"
#include "run/handed.h"
#include "run/lent.h"
#include "run/live.h"
#include "run/spans.h"
#include "run/stints.h"
#include "sampler/jobs.h"

#include <string.h>

/* ---- handed over, not begun ---- */

/* By the object's address, which says enough: each new one passes its
 * __init__ (or start) and takes the entry over. */
typedef struct {
    const void *object;   /* NULL: free */
    sl_py_handle *handle; /* strong */
    uint64_t since;       /* ticks of the recording's clock */
    const void *node;     /* where the strand that handed it over stood */
    uint32_t lane;        /* that strand's */
    bool parts;           /* it may be taken more than once */
    bool initial;         /* a pool's thread, of which only its start is */
} note;

#define NOTES_MAX (1u << 16)

static note *notes;
static uint32_t notes_mask, notes_count;
static uint64_t notes_lost;

static note *
note_slot(const void *object)
{
    uint32_t at =
        (uint32_t)(((uintptr_t)object >> 4) * 2654435761u) & notes_mask;
    while (notes[at].object != NULL && notes[at].object != object)
        at = (at + 1) & notes_mask;
    return &notes[at];
}

/* Closes the gap, so that every look-up still finds its entry. */
static void
note_remove(note *n)
{
    uint32_t hole = (uint32_t)(n - notes), at = hole;

    Py_DECREF((PyObject *)n->handle);
    notes_count--;
    for (;;) {
        notes[hole].object = NULL;
        uint32_t home;
        do {
            at = (at + 1) & notes_mask;
            if (notes[at].object == NULL)
                return;
            home =
                (uint32_t)(((uintptr_t)notes[at].object >> 4) * 2654435761u) &
                notes_mask;
            /* It may stay where it is if its home is after the hole. */
        } while (((at - home) & notes_mask) < ((at - hole) & notes_mask));
        notes[hole] = notes[at];
        hole = at;
    }
}

/* Room for one more: without those whose request is over, or in a table twice
 * the size. */
static bool
notes_reserve(void)
{
    if (notes != NULL && notes_count < notes_mask / 2)
        return true;
    uint32_t live = 0;
    for (uint32_t i = 0; notes != NULL && i <= notes_mask; i++)
        live += notes[i].object != NULL && notes[i].handle->recording != NULL;
    uint32_t slots = 64;
    while (slots / 4 < live + 1)
        slots *= 2;
    note *old = notes, *grown = NULL;
    if (slots <= NOTES_MAX)
        grown = PyMem_Calloc(slots, sizeof(*grown));
    if (grown == NULL)
        return false;
    uint32_t old_mask = notes_mask;
    notes = grown;
    notes_mask = slots - 1;
    notes_count = live;
    for (uint32_t i = 0; old != NULL && i <= old_mask; i++) {
        if (old[i].object == NULL)
            continue;
        if (old[i].handle->recording != NULL)
            *note_slot(old[i].object) = old[i];
        else
            Py_DECREF((PyObject *)old[i].handle);
    }
    PyMem_Free(old);
    return true;
}

static void
note_forget(const void *object)
{
    note *n = notes_count == 0 ? NULL : note_slot(object);

    if (n != NULL && n->object != NULL)
        note_remove(n);
}

/* Where the calling thread stands: what called its innermost function, which is
 * the pool's own and has handed something over. */
static sl_span_what
handed_at(sl_py_recording *recording, sl_strand *strand)
{
    sl_span_what at = { 0 };
    uintptr_t frame = sl_py_own_is_trusted() ? sl_py_own_frame() : 0;

    if (strand != NULL) {
        at.node = sl_strand_node(strand);
        at.lane = sl_strand_lane(strand);
    } else if (frame != 0 && sl_py_own_back(frame) != 0) {
        sl_py_span_stands(recording, sl_py_borrow_tstate(),
                          sl_py_own_back(frame), NULL, &at);
    }
    return at;
}

static void
note_set(const void *object, bool elsewhere, bool parts)
{
    sl_strand *strand = NULL;
    sl_py_recording *recording = sl_py_active_owner(&strand);

    if (recording == NULL) {
        note_forget(object);
        return;
    }
    if (elsewhere && !recording->sampled.by_samples)
        sl_py_engine_hand_over(&recording->traced);
    /* Before the entry is touched: a finalizer that runs there may hand work
     * over itself, or end the request, which then lets go of its recording. */
    Py_INCREF((PyObject *)recording);
    sl_span_what at = handed_at(recording, strand);
    note made = { .object = object,
                  .handle =
                      (sl_py_handle *)Py_NewRef((PyObject *)recording->handle),
                  .since = sl_clock_ticks(recording->sampled.clock),
                  .node = at.node,
                  .lane = at.lane,
                  .parts = parts };
    Py_DECREF((PyObject *)recording);
    note_forget(object);
    if (made.handle->recording == NULL) {
        Py_DECREF((PyObject *)made.handle);
    } else if (notes_reserve()) {
        *note_slot(object) = made;
        notes_count++;
    } else {
        notes_lost++;
        Py_DECREF((PyObject *)made.handle);
    }
}

void
sl_py_jobs_note(const void *object, bool elsewhere)
{
    note_set(object, elsewhere, false);
}

/* The entry of that object, if there is one, is from now on that of another. */
static void
note_move(const void *object, const void *to)
{
    note *n = notes_count == 0 ? NULL : note_slot(object);

    if (n == NULL || n->object == NULL)
        return;
    note moved = *n;
    Py_INCREF((PyObject *)moved.handle);
    note_remove(n);
    note_forget(to);
    moved.object = to;
    *note_slot(to) = moved;
    notes_count++;
}

sl_py_recording *
sl_py_jobs_take(const void *object, const void **node, uint64_t *since)
{
    note *n = notes_count == 0 ? NULL : note_slot(object);

    if (n == NULL || n->object == NULL)
        return NULL;
    sl_py_recording *recording = n->handle->recording;
    *node = n->node;
    *since = n->since;
    if (!n->parts || recording == NULL)
        note_remove(n);
    return recording;
}

static uint32_t
note_lane(const void *object)
{
    const note *n = notes_count == 0 ? NULL : note_slot(object);

    return n == NULL || n->object == NULL ? 0 : n->lane;
}

/* ---- running ---- */

typedef struct job {
    sl_py_stint stint; /* recording NULL: the request is over */
    uintptr_t frame;   /* that ends it */
    sl_py_job_slot slot;
    bool may_leak;    /* an exception ends its frame, and its thread, untold */
    struct job *next; /* all that run, or all that are free */
} job;

static job *running, *unused;
static void (*on_begin)(void);

void
sl_py_jobs_on_begin(void (*begins)(void))
{
    on_begin = begins;
}

static job *
job_new(void)
{
    job *j = unused;

    if (j != NULL)
        unused = j->next;
    else
        j = PyMem_Calloc(1, sizeof(*j));
    return j;
}

/* `object` runs in the calling thread, above `anchor`, until the call in
 * `frame` ends. Whether it is a job. */
static bool
job_begin_above(const void *object, const sl_py_handed *handed,
                uintptr_t anchor, uintptr_t frame, bool may_leak)
{
    const void *node;
    uint64_t since;
    uint32_t lane = note_lane(object);
    sl_py_recording *recording = sl_py_jobs_take(object, &node, &since);
    PyThreadState *ts = sl_py_borrow_tstate();
    sl_py_stint *here = sl_py_stint_here(ts->id);
    if (recording == NULL)
        return false;
    /* On a stack of the request itself: a part of it like any other. */
    if (here != NULL && here->recording == recording) {
        sl_py_lent_begin(recording, frame, node, lane);
        return false;
    }
    if (on_begin != NULL) {
        /* What it calls may run Python: the request can end meanwhile, and let
         * go of its recording. */
        Py_INCREF((PyObject *)recording);
        on_begin();
        bool over =
            recording->finished || Py_REFCNT((PyObject *)recording) == 1;
        Py_DECREF((PyObject *)recording);
        if (over)
            return false;
    }
    job *j = job_new();
    if (j == NULL)
        return false;
    sl_py_work work = { 0 };
    if (recording->sampled.by_samples)
        work = sl_py_handed_work(handed);
    sl_strand *strand =
        sl_py_sampler_job_begin(&recording->sampled, SL_PSEUDO_THREAD, node,
                                since, anchor, &work, &j->slot);
    Py_XDECREF((PyObject *)work.code); /* whose work it is holds it */
    if (strand == NULL) {
        j->next = unused;
        unused = j;
        return false;
    }
    j->frame = frame;
    j->may_leak = may_leak;
    sl_py_stint_push(&j->stint, recording, strand, &j->slot);
    j->next = running;
    running = j;
    sl_py_active_forget();
    return true;
}

static bool
job_begin(const void *object, const sl_py_handed *handed, uintptr_t frame,
          bool may_leak)
{
    return job_begin_above(object, handed, frame, frame, may_leak);
}

static void
job_drop(job **at)
{
    job *j = *at;

    *at = j->next;
    if (j->stint.recording != NULL)
        sl_py_sampler_job_end(&j->stint.recording->sampled, j->stint.strand,
                              &j->slot, false);
    sl_py_stint_drop(&j->stint);
    j->next = unused;
    unused = j;
    sl_py_active_forget();
}

/* The call in `frame` of the calling thread ends, and its job, if it is one. */
static void
job_end(uintptr_t frame)
{
    uint64_t thread = sl_py_borrow_tstate()->id;
    job **at = &running;

    while (*at != NULL &&
           ((*at)->frame != frame ||
            ((*at)->stint.recording != NULL && (*at)->stint.thread != thread)))
        at = &(*at)->next;
    if (*at != NULL)
        job_drop(at);
}

void
sl_py_jobs_end(sl_py_recording *recording)
{
    for (job *j = running; j != NULL; j = j->next) {
        if (j->stint.recording != recording)
            continue;
        sl_py_sampler_job_end(&recording->sampled, j->stint.strand, &j->slot,
                              true);
        sl_py_stint_drop(&j->stint);
    }
}

void
sl_py_jobs_after_fork(void)
{
    sl_py_lent_after_fork();
    while (running != NULL) {
        job *j = running;
        running = j->next;
        sl_py_stint_drop(&j->stint);
        j->next = unused;
        unused = j;
    }
    for (uint32_t i = 0; notes != NULL && i <= notes_mask; i++) {
        if (notes[i].object != NULL)
            Py_DECREF((PyObject *)notes[i].handle);
        notes[i].object = NULL;
    }
    notes_count = 0;
}

/* ---- the probes ---- */

static bool
on_handed_over(const sl_py_target *target, uintptr_t frame, PyObject *self)
{
    (void)target, (void)frame;
    if (self != NULL)
        sl_py_jobs_note(self, true);
    return false;
}

/* BORROWED; NULL: it is not set, or None. */
static PyObject *
variable(uintptr_t frame, const char *name)
{
    PyObject *value = sl_py_own_variable(frame, name);
    return value != Py_None ? value : NULL;
}

static bool
on_begun(const sl_py_target *target, uintptr_t frame, PyObject *self)
{
    const sl_py_handed handed = { self, variable(frame, "func"),
                                  variable(frame, "args") };

    return self != NULL && job_begin(self, &handed, frame, target->detail != 0);
}

static void
on_ended(const sl_py_target *target, uintptr_t frame, PyObject *result)
{
    (void)target, (void)result;
    if (running != NULL)
        job_end(frame);
    sl_py_lent_end(frame);
}

/* The calling thread, as an address that no object has. */
static const void *
this_thread(void)
{
    return (const void *)(((uintptr_t)sl_py_borrow_tstate()->id << 4) | 2);
}

/* A thread begins: a job, or a pool's that has an initializer to call. */
static bool
on_thread_begun(const sl_py_target *target, uintptr_t frame, PyObject *self)
{
    const note *n = self == NULL || notes_count == 0 ? NULL : note_slot(self);

    if (n == NULL || n->object == NULL)
        return false;
    if (!n->initial)
        return on_begun(target, frame, self);
    note_move(self, this_thread());
    return false;
}

/* A thread ends, and a job in it whose exception ended its worker. Green
 * threads have one thread's state between them: what another one runs is
 * away. */
static void
on_thread_ended(const sl_py_target *target, uintptr_t frame, PyObject *result)
{
    uint64_t thread = sl_py_borrow_tstate()->id;

    on_ended(target, frame, result);
    note_forget(this_thread());
    for (job **at = &running; *at != NULL;) {
        if ((*at)->may_leak && (*at)->stint.thread == thread &&
            !(*at)->stint.away)
            job_drop(at);
        else
            at = &(*at)->next;
    }
}

/* ---- workers that call what they are handed, in a frame of theirs ---- */

/* In its worker a job is one call of the function in a variable: begun by the
 * line that finds both variables set and no result yet, ended by the next call
 * of another. */
static const struct {
    const char *handed, *function, *result;
} workers[] = { { "job", "func", "result" }, { "e", "meth", "rv" } };

/* What a job of a multiprocessing pool is known by, its number, as an address
 * that no object has. */
static const void *
numbered(PyObject *number)
{
    long n = PyLong_AsLong(number);
    PyErr_Clear();
    return n < 0 ? NULL : (const void *)(((uintptr_t)n << 4) | 1);
}

static void
on_worker_line(const sl_py_target *target, uintptr_t frame)
{
    if (notes_count == 0 ||
        variable(frame, workers[target->detail].function) == NULL ||
        variable(frame, workers[target->detail].result) != NULL)
        return;
    PyObject *handed =
        sl_py_own_variable(frame, workers[target->detail].handed);
    const void *object = handed == NULL || !PyLong_Check(handed)
                             ? (const void *)handed
                             : numbered(handed);
    const sl_py_handed what = {
        NULL, variable(frame, workers[target->detail].function),
        variable(frame, "args")
    };
    if (object != NULL)
        job_begin(object, &what, frame, true);
}

static void
on_worker_calls(const sl_py_target *target, uintptr_t frame, PyObject *callable)
{
    if (running != NULL &&
        callable != variable(frame, workers[target->detail].function))
        job_end(frame);
}

static bool
is_set(PyObject *object, const char *name)
{
    PyObject *key = PyUnicode_InternFromString(name);
    PyObject *value = key == NULL ? NULL : sl_py_plain_attribute(object, key);
    bool is = value != NULL && value != Py_None;

    PyErr_Clear();
    Py_XDECREF(key);
    Py_XDECREF(value);
    return is;
}

/* What stands for the result of a pool's job, in as many parts as the pool
 * likes, was made; it calls back itself. */
static void
on_result_made(const sl_py_target *target, uintptr_t frame, PyObject *result)
{
    static PyObject *name;
    PyObject *self = result == NULL ? NULL : sl_py_own_variable(frame, "self");
    (void)target;

    if (name == NULL)
        name = PyUnicode_InternFromString("_job");
    PyObject *number =
        self == NULL || name == NULL ? NULL : sl_py_plain_attribute(self, name);
    const void *object =
        number == NULL || !PyLong_Check(number) ? NULL : numbered(number);
    PyErr_Clear();
    Py_XDECREF(number);
    if (object == NULL)
        return;
    note_set(object, true, true);
    if (is_set(self, "_callback") || is_set(self, "_error_callback"))
        note_set(self, true, true);
    else
        note_forget(self); /* that of another one, which lay there before */
}

/* A part of the result was set; with the last one it has called back. */
static void
on_result_set(const sl_py_target *target, uintptr_t frame, PyObject *result)
{
    PyObject *self = sl_py_own_variable(frame, "self");
    static PyObject *name;

    on_ended(target, frame, result);
    if (name == NULL)
        name = PyUnicode_InternFromString("_number_left");
    PyObject *left =
        self == NULL || name == NULL ? NULL : sl_py_plain_attribute(self, name);
    PyErr_Clear();
    if (self != NULL &&
        (left == NULL || !PyLong_Check(left) || sl_py_small_int(left) == 0))
        note_forget(self);
    Py_XDECREF(left);
}

/* eventlet's tpool is handed an event with each job. */
static void
on_tpool_calls(const sl_py_target *target, uintptr_t frame, PyObject *callable)
{
    PyObject *event = sl_py_own_variable(frame, workers[target->detail].handed);
    (void)callable;
    if (event != NULL)
        note_set(event, true, false);
}

/* ---- greenlets ---- */

/* The function made a greenlet, which runs later. */
static void
on_made(const sl_py_target *target, uintptr_t frame, PyObject *result)
{
    (void)target, (void)frame;
    if (result != NULL)
        sl_py_jobs_note(result, false);
}

/* ...as the second of what it returns. */
static void
on_second_made(const sl_py_target *target, uintptr_t frame, PyObject *result)
{
    if (result != NULL && PyTuple_Check(result) &&
        PyTuple_GET_SIZE(result) == 2)
        on_made(target, frame, PyTuple_GET_ITEM(result, 1));
}

/* A greenlet is made, which runs later. */
static bool
on_init(const sl_py_target *target, uintptr_t frame, PyObject *self)
{
    (void)target, (void)frame;
    if (self != NULL)
        sl_py_jobs_note(self, false);
    return false;
}

/* Where pools have their workers: a module, or (with its dot) a package. */
static const char *const pools[] = {
    "concurrent.futures.thread", "anyio.",   "trio.",
    "multiprocessing.pool",      "twisted.", "eventlet.tpool"
};

/* Whether a module of that name (any object) is a pool's. */
static bool
is_pool(PyObject *module)
{
    const char *name = module != NULL && PyUnicode_Check(module)
                           ? PyUnicode_AsUTF8(module)
                           : NULL;
    PyErr_Clear();
    for (size_t i = 0; name != NULL && i < sizeof(pools) / sizeof(pools[0]);
         i++) {
        size_t length = strlen(pools[i]);
        if (strncmp(name, pools[i], length) == 0 &&
            (pools[i][length - 1] == '.' || name[length] == '\0'))
            return true;
    }
    return false;
}

/* Whether the thread serves whoever comes, by what it runs (a function of the
 * pool, or a method of its) or by a class of its own. */
static bool
is_worker(PyObject *thread)
{
    static PyObject *target_name, *module_name;

    if (module_name == NULL) {
        target_name = PyUnicode_InternFromString("_target");
        module_name = PyUnicode_InternFromString("__module__");
    }
    if (module_name == NULL || target_name == NULL)
        return false;
    PyObject *target = PyObject_GenericGetAttr(thread, target_name);
    PyErr_Clear();
    PyObject *function = target != NULL && PyMethod_Check(target)
                             ? PyMethod_GET_FUNCTION(target)
                             : target;
    bool worker = function != NULL && PyFunction_Check(function) &&
                  is_pool(PyFunction_GetModule(function));
    Py_XDECREF(target);
    PyObject *module = PyObject_GenericGetAttr(thread, module_name);
    PyErr_Clear();
    worker = worker || is_pool(module);
    Py_XDECREF(module);
    return worker;
}

/* What is called first in a pool's thread runs in it, once for each thread. */
static bool
on_initializer(const sl_py_target *target, uintptr_t frame, PyObject *ignored)
{
    (void)target, (void)ignored;
    if (notes_count > 0)
        job_begin_above(this_thread(), &(sl_py_handed){ 0 },
                        sl_py_own_back(frame), frame, true);
    return false;
}

static const sl_py_action initializes = { .start = on_initializer,
                                          .leave = on_ended };
static const sl_py_target initializer = { "", "", NULL, &initializes, 0 };

/* The function that the pool's thread calls first, NEW; NULL: none, or not one
 * in Python. Among what the thread is to be called with, or (3.14+) an
 * attribute of one of that. */
static PyObject *
initializer_of(PyObject *thread)
{
    PyObject *key = PyUnicode_InternFromString("_args");
    PyObject *args = key == NULL ? NULL : PyObject_GenericGetAttr(thread, key);
    PyObject *found = NULL;

    PyErr_Clear();
    Py_XSETREF(key, PyUnicode_InternFromString("initializer"));
    if (args != NULL && key != NULL && PyTuple_Check(args) &&
        PyTuple_GET_SIZE(args) > 2) {
        found = sl_py_plain_attribute(PyTuple_GET_ITEM(args, 1), key);
        PyErr_Clear();
        if (found == NULL)
            found = Py_NewRef(PyTuple_GET_ITEM(args, 2));
        if (PyMethod_Check(found))
            Py_SETREF(found, Py_NewRef(PyMethod_GET_FUNCTION(found)));
        if (!PyFunction_Check(found))
            Py_CLEAR(found);
    }
    PyErr_Clear();
    Py_XDECREF(key);
    Py_XDECREF(args);
    return found;
}

/* A pool's thread is started by whoever hands over more than others do at the
 * time: what it is initialized with is that one's work. */
static void
on_worker_start(PyObject *thread)
{
    PyObject *function = sl_py_live_count() > 0 ? initializer_of(thread) : NULL;

    if (function == NULL)
        return;
    sl_py_probes_put((PyCodeObject *)PyFunction_GET_CODE(function),
                     &initializer);
    sl_py_jobs_note(thread, true);
    note *n = notes_count == 0 ? NULL : note_slot(thread);
    if (n != NULL && n->object != NULL)
        n->initial = true;
    Py_DECREF(function); /* the thread holds it */
}

static bool
on_thread_start(const sl_py_target *target, uintptr_t frame, PyObject *self)
{
    if (self == NULL || !is_worker(self))
        return on_handed_over(target, frame, self);
    on_worker_start(self);
    return false;
}

/* Something goes on in the thread of an event loop, with the context of who
 * says so. */
static bool
on_other_loop(const sl_py_target *target, uintptr_t frame, PyObject *argument)
{
    (void)target, (void)frame, (void)argument;
    sl_strand *strand = NULL;
    sl_py_recording *recording = sl_py_active_owner(&strand);
    if (recording != NULL && !recording->sampled.by_samples)
        sl_py_engine_hand_over(&recording->traced);
    return false;
}

static const sl_py_action other_loop = { .start = on_other_loop };
static const sl_py_action handed_over = { .start = on_handed_over };
static const sl_py_action made = { .leave = on_made };
static const sl_py_action second_made = { .leave = on_second_made };
static const sl_py_action init = { .start = on_init };
static const sl_py_action thread_started = { .start = on_thread_start };
static const sl_py_action runs = { .start = on_begun, .leave = on_ended };
static const sl_py_action thread_runs = { .start = on_thread_begun,
                                          .leave = on_thread_ended };
static const sl_py_action sets = { .start = on_begun, .leave = on_result_set };
static const sl_py_action result_made = { .leave = on_result_made };
static const sl_py_action worker = { .line = on_worker_line,
                                     .calls = on_worker_calls,
                                     .leave = on_ended };
static const sl_py_action tpool = { .calls = on_tpool_calls };

static const sl_py_target targets[] = {
    { "concurrent.futures.thread", "_WorkItem.__init__", "self", &handed_over,
      0 },
    { "concurrent.futures.thread", "_WorkItem.run", "self", &runs, 0 },
    /* asgiref's, for what must run in the thread that waits for it. */
    { "asgiref.current_thread_executor", "_WorkItem.__init__", "self",
      &handed_over, 0 },
    { "asgiref.current_thread_executor", "_WorkItem.run", "self", &runs, 0 },
    { "threading", "Thread.start", "self", &thread_started, 0 },
    { "threading", "Thread._bootstrap_inner", "self", &thread_runs, 0 },
    { "gevent.threadpool", "ThreadResult.__init__", "self", &handed_over, 0 },
    { "gevent.threadpool", "_WorkerGreenlet.__run_task", "thread_result", &runs,
      0 },
    { "multiprocessing.pool", "ApplyResult.__init__", NULL, &result_made, 0 },
    { "multiprocessing.pool", "IMapIterator.__init__", NULL, &result_made, 0 },
    { "multiprocessing.pool", "ApplyResult._set", "self", &sets, 1 },
    { "multiprocessing.pool", "MapResult._set", "self", &sets, 1 },
    { "multiprocessing.pool", "worker", NULL, &worker, 0 },
    { "eventlet.tpool", "execute", NULL, &tpool, 1 },
    { "eventlet.tpool", "tworker", NULL, &worker, 1 },
    /* A greenlet of its own, see greenlets.h; gevent's others tell of
     * themselves. */
    { "gevent.hub", "spawn_raw", NULL, &made, 0 },
    { "eventlet.greenthread", "GreenThread.__init__", "self", &init, 0 },
    { "eventlet.greenthread", "_spawn_n", NULL, &second_made, 0 },
};

/* Where events come from all threads anyway, these would only cost. */
static const sl_py_target loop_targets[] = {
    { "asyncio.tasks", "run_coroutine_threadsafe", NULL, &other_loop, 0 },
    { "asyncio.base_events", "BaseEventLoop.call_soon_threadsafe", NULL,
      &other_loop, 0 },
};

void
sl_py_jobs_init(void)
{
    sl_py_handed_init();
    sl_py_probes_table(targets, sizeof(targets) / sizeof(targets[0]));
    if (sl_py_engine_hooks_threads())
        sl_py_probes_table(loop_targets,
                           sizeof(loop_targets) / sizeof(loop_targets[0]));
}
