/* Recording: one request while it is recorded, for Python. */
#include "types/recording_type.h"
#include "compat/cpu_clock.h"
#include "engine/current.h"
#include "engine/engine.h"
#include "engine/functions.h"
#include "engine/probes.h"
#include "look/code_map.h"
#include "run/active.h"
#include "run/adopted.h"
#include "run/greenlets.h"
#include "run/jobs.h"
#include "run/layers.h"
#include "run/lent.h"
#include "run/live.h"
#include "run/loop.h"
#include "run/names.h"
#include "run/sections.h"
#include "run/step.h"
#include "run/tasks.h"
#include "sampler/sampler.h"
#include "sampler/tasks.h"
#include "types/completed.h"
#include "types/values.h"

#include "slowlens/span.h"

#include <stdlib.h>
#include <string.h>

/* Recordings are recycled: making one costs 0.4 us, its first block more. */
#define POOL_MAX 8
/* One that holds more is freed: memory of a burst is not kept. */
#define POOL_BYTES ((size_t)160 << 10)

typedef struct {
    sl_recording *core;
    sl_py_account *account;
} pooled;

static pooled pool[POOL_MAX];
static int pool_count;

static uint64_t serial; /* of the recording that was made last */

/* A core that runs from now on, new or used before. `options` are copied. */
static sl_status
core_take(sl_py_recording *self, const sl_recording_options *options,
          sl_py_by by)
{
    if (pool_count > 0 && !options->small) {
        pool_count--;
        self->core = pool[pool_count].core;
        self->account = pool[pool_count].account;
        sl_py_account_by(self->account, by);
        return sl_recording_reset(self->core, options);
    }
    self->account = calloc(1, sizeof(*self->account));
    if (self->account == NULL)
        return SL_ENOMEM;
    self->account->by = by;
    sl_alloc alloc = sl_py_budget_alloc(self->account);
    return sl_recording_new(&self->core, options, &alloc);
}

static void
release_core(sl_py_recording *recording)
{
    if (recording->core != NULL && pool_count < POOL_MAX &&
        !recording->sampled.timed &&
        sl_py_account_bytes(recording->account) <= POOL_BYTES) {
        pool[pool_count++] = (pooled){ recording->core, recording->account };
    } else {
        sl_recording_free(recording->core);
        free(recording->account);
    }
    recording->core = recording->sampled.core = NULL;
    recording->account = NULL;
}

/* Number of `text` among the names of an option. -1 with a ValueError. */
static int
parse_word(const char *option, const char *text, const char *const names[3])
{
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0)
            return i;
    }
    PyErr_Format(PyExc_ValueError, "%s must be '%s', '%s' or '%s', not '%s'",
                 option, names[0], names[1], names[2], text);
    return -1;
}

/* What feeds the recording: events, or the sampler; `anyway`: nobody, where
 * that cannot be had. */
static int
recording_acquire(sl_py_recording *self, bool anyway)
{
    if (!sl_py_engine_hears_imports())
        sl_py_probes_refresh();
    if (!self->sampled.by_samples)
        return sl_py_engine_acquire(&self->traced);
    if (sl_py_sampler_why_not() == NULL || anyway)
        return 0; /* added when it is whole */
    PyErr_Format(PyExc_RuntimeError, "sampling cannot be had here: %s",
                 sl_py_sampler_why_not());
    return -1;
}

static void
recording_release(sl_py_recording *self)
{
    if (self->watches)
        sl_py_tasks_unwatch();
    self->watches = false;
    if (self->sampled.core != NULL) /* else it never was one */
        sl_py_sampler_learn(&self->sampled);
    if (self->sampled.by_samples)
        sl_py_sampler_remove(&self->sampled);
    else
        sl_py_engine_release(&self->traced);
}

bool
sl_py_wishes_parse(PyObject *args, PyObject *kwargs, sl_py_wishes *out,
                   PyObject **label, PyObject **entry)
{
    static char *names[] = { "c_calls", "max_bytes", "max_nodes", "follows",
                             "sampled", "goes_on",   "label",     "entry",
                             "anyway",  "layers",    "lines",     "lessens",
                             NULL };
    const char *c_calls = "chosen", *layers = "shape";
    Py_ssize_t max_bytes = 0;
    unsigned int max_nodes = 0;
    int follows = 0, sampled = 0, goes_on = 0, anyway = 0, lines = 0;
    int lessens = 0;

    *label = *entry = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|s$nIpppOOpspp:Recording",
                                     names, &c_calls, &max_bytes, &max_nodes,
                                     &follows, &sampled, &goes_on, label, entry,
                                     &anyway, &layers, &lines, &lessens))
        return false;
    if (max_bytes < 0) {
        PyErr_SetString(PyExc_ValueError, "max_bytes must not be negative");
        return false;
    }
    static const char *const c_words[] = { "none", "chosen", "all" };
    static const char *const l_words[] = { "off", "names", "shape" };
    int calls = parse_word("c_calls", c_calls, c_words);
    int kept = parse_word("layers", layers, l_words);
    if (calls < 0 || kept < 0)
        return false;
    *out = (sl_py_wishes){ .c_calls = (sl_c_calls)calls,
                           .layers = (sl_py_layers)kept,
                           .max_bytes = (size_t)max_bytes,
                           .max_nodes = max_nodes,
                           .follows = follows != 0,
                           .sampled = sampled != 0,
                           .goes_on = goes_on != 0,
                           .anyway = anyway != 0,
                           .lines = lines != 0,
                           .lessens = lessens != 0 };
    return true;
}

PyObject *
sl_py_recording_make(const sl_py_wishes *wishes, PyObject *label,
                     PyObject *entry)
{
    if (entry == Py_None)
        entry = NULL;
    if (entry != NULL && !Py_IS_TYPE(entry, &sl_py_entry_type)) {
        PyErr_SetString(PyExc_TypeError, "entry: an Entry, or None");
        return NULL;
    }
    sl_py_by wanted = wishes->sampled ? SL_PY_BY_SAMPLES : SL_PY_BY_EVENTS;
    sl_py_by by = sl_py_budget_begin(wanted);
    /* Where nothing can be sampled, that is no more than times. */
    if (by == SL_PY_BY_SAMPLES && by != wanted &&
        sl_py_sampler_why_not() != NULL)
        by = sl_py_budget_begin(SL_PY_BY_TIMES);
    if (by == SL_PY_BY_NOTHING || (by != wanted && !wishes->lessens)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "recordings hold all the memory that they may at once "
                        "(max_active_bytes)");
        return NULL;
    }
    sl_py_recording *self = (sl_py_recording *)sl_py_recording_type.tp_alloc(
        &sl_py_recording_type, 0);
    if (self == NULL)
        return NULL;
    bool sampled = by != SL_PY_BY_EVENTS;
    self->by = by;
    self->less = by != wanted;
    self->sampled.timed = by == SL_PY_BY_TIMES;
    self->traced.c_calls = wishes->c_calls;
    self->layers = wishes->layers;
    self->traced.follows = self->sampled.follows =
        wishes->follows && by != SL_PY_BY_TIMES;
    self->sampled.by_samples = sampled;
    self->traced.lines = wishes->lines && !sampled;
    self->label = Py_XNewRef(label);
    self->sampled.entry = (sl_py_entry *)Py_XNewRef(entry);
    bool goes_on =
        wishes->goes_on && !sampled && sl_py_sampler_why_not() == NULL;
    /* The sampler reads the kernel's clocks anyway. */
    self->sampled.clock = sampled ? SL_CLOCK_MONOTONIC : sl_py_clock;
    self->sampled.slot = -1;
    self->sampled.serial = ++serial;
    self->finished = true; /* until it is whole */
    self->handle = sl_py_handle_new();
    if (self->handle == NULL)
        goto fail;
    if (recording_acquire(self, wishes->anyway || self->sampled.timed) < 0)
        goto fail;

    sl_recording_options options = { .clock = self->sampled.clock,
                                     .max_bytes = wishes->max_bytes,
                                     .max_nodes = wishes->max_nodes,
                                     .on_function =
                                         sampled ? NULL : sl_py_on_function,
                                     .on_full = goes_on ? sl_py_on_full : NULL,
                                     .ctx = &self->traced,
                                     .small = self->sampled.timed };
    sl_status status = core_take(self, &options, by);
    if (status < 0) {
        recording_release(self);
        sl_py_raise(status);
        goto fail;
    }
    self->sampled.core = self->core;
    if (self->less)
        sl_py_budget_less(by);
    sl_py_layers_begin(self);
    self->finished = false;
    sl_py_live_add(self);
    if (self->sampled.by_samples)
        sl_py_sampler_add(&self->sampled);
    if (self->sampled.follows) {
        sl_py_tasks_watch();
        self->watches = true;
    }
    return (PyObject *)self;
fail:
    Py_DECREF(self);
    return NULL;
}

static PyObject *
recording_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    sl_py_wishes wishes;
    PyObject *label, *entry;

    (void)type; /* there are no subtypes */
    return sl_py_wishes_parse(args, kwargs, &wishes, &label, &entry)
               ? sl_py_recording_make(&wishes, label, entry)
               : NULL;
}

void
sl_py_recording_finish(sl_py_recording *self)
{
    if (self->finished)
        return;
    self->finished = true;
    sl_py_section_end(self, NULL);
    sl_py_layers_end(self);
    sl_py_jobs_end(self);
    sl_py_lent_over(self);
    sl_py_greenlets_end(self);
    sl_py_loop_forget(self);
    recording_release(self);
    sl_py_entry_end(self->sampled.entry);
    sl_recording_stop(self->core, sl_clock_ticks(self->sampled.clock));
    self->wall_ns = sl_recording_wall_ns(self->core);
    sl_py_live_remove(self);
    sl_py_stints_forget(self);
    if (sl_py_adopted_count > 0)
        sl_py_adopted_prune();
}

static void
recording_dealloc(PyObject *object)
{
    sl_py_recording *self = (sl_py_recording *)object;
    PyObject *error_type, *error, *traceback;

    /* It may die anywhere, also while an exception is on its way. */
    PyErr_Fetch(&error_type, &error, &traceback);
    sl_py_recording_finish(self);
    sl_py_functions_release(&self->traced);
    sl_py_names_free(self);
    release_core(self);
    Py_XDECREF(self->handle);
    Py_XDECREF(self->label);
    Py_XDECREF(self->sampled.entry);
    Py_XDECREF(self->turn.holder);
    Py_XDECREF(self->turn.where);
    sl_py_loop_forget(self); /* of the parent's, in a forked child */
    Py_TYPE(object)->tp_free(object);
    PyErr_Restore(error_type, error, traceback);
}

static PyObject *
need_live(sl_py_recording *self)
{
    if (!self->finished)
        return Py_None;
    PyErr_SetString(PyExc_RuntimeError, "the recording is finished");
    return NULL;
}

static PyObject *
recording_enter(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_recording *self = (sl_py_recording *)object;

    if (need_live(self) == NULL)
        return NULL;
    if (self->running) {
        PyErr_SetString(PyExc_RuntimeError, "already entered");
        return NULL;
    }
    if (sl_py_section_begin(self, SL_PSEUDO_IDLE, 0) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
recording_enter_block(PyObject *object, PyObject *ignored)
{
    PyObject *entered = recording_enter(object, ignored);

    if (entered != NULL)
        sl_py_section_block((sl_py_recording *)object);
    return entered;
}

void
sl_py_recording_leave(sl_py_recording *self)
{
    sl_py_section_end(self, NULL);
    if (!self->sampled.follows)
        sl_py_live_leave_context(self);
}

static PyObject *
recording_leave(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_recording_leave((sl_py_recording *)object);
    Py_RETURN_NONE;
}

static PyObject *
recording_finish_method(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_recording_finish((sl_py_recording *)object);
    Py_RETURN_NONE;
}

void
sl_py_recording_drop(sl_py_recording *self)
{
    self->discarded = true;
    if (self->encoding)
        return;
    sl_py_functions_release(&self->traced);
    sl_py_names_free(self);
    release_core(self);
}

static PyObject *
recording_discard(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_recording *self = (sl_py_recording *)object;
    sl_py_recording_finish(self);
    sl_py_recording_drop(self);
    Py_RETURN_NONE;
}

/* {kind: (count, ns)} of its spans; NEW. */
static PyObject *
recording_kinds(const sl_py_recording *self)
{
    PyObject *kinds = PyDict_New();

    for (int kind = 0; kinds != NULL && kind < SL_SPAN_KIND_COUNT; kind++) {
        uint64_t count, ns;
        sl_span_total(self->core, (sl_span_kind)kind, &count, &ns);
        if (count == 0)
            continue;
        PyObject *pair = Py_BuildValue("(KK)", (unsigned long long)count,
                                       (unsigned long long)ns);
        if (pair == NULL ||
            PyDict_SetItemString(kinds, sl_span_kind_word((sl_span_kind)kind),
                                 pair) < 0)
            Py_CLEAR(kinds);
        Py_XDECREF(pair);
    }
    return kinds;
}

static PyObject *
recording_totals(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_recording *self = (sl_py_recording *)object;
    const sl_py_turn *turn = &self->turn;
    sl_recording_totals t;

    if (self->discarded || !self->finished || self->encoding) {
        PyErr_SetString(PyExc_RuntimeError,
                        self->discarded  ? "the recording is discarded"
                        : self->encoding ? "the recording is being encoded"
                                         : "the recording is running");
        return NULL;
    }
    enum { FIRST = SL_PSEUDO_UNSEEN_TORN };
    const uint64_t *unseen = self->sampled.unseen;
    sl_recording_totals_get(self->core, &t);
    const struct {
        const char *name;
        uint64_t number;
    } numbers[] = {
        { "wall_ns", t.wall_ns },
        { "cpu_ns", self->cpu_ns },
        { "await_ns", t.await_ns },
        { "loop_ns", t.loop_ns },
        { "idle_ns", t.idle_ns },
        { "gc_ns", t.gc_ns },
        { "samples", t.samples },
        { "rejected", unseen[SL_PSEUDO_UNSEEN_TORN - FIRST] +
                          unseen[SL_PSEUDO_UNSEEN_GREENLET - FIRST] +
                          unseen[SL_PSEUDO_UNSEEN_SHIM - FIRST] +
                          unseen[SL_PSEUDO_UNSEEN_DEEP - FIRST] +
                          unseen[SL_PSEUDO_UNSEEN_MOVED - FIRST] },
        { "unseen_torn", unseen[SL_PSEUDO_UNSEEN_TORN - FIRST] },
        { "unseen_greenlet", unseen[SL_PSEUDO_UNSEEN_GREENLET - FIRST] },
        { "unseen_shim", unseen[SL_PSEUDO_UNSEEN_SHIM - FIRST] },
        { "unseen_deep", unseen[SL_PSEUDO_UNSEEN_DEEP - FIRST] },
        { "unseen_moved", unseen[SL_PSEUDO_UNSEEN_MOVED - FIRST] },
        { "unseen_room", unseen[SL_PSEUDO_UNSEEN_ROOM - FIRST] },
        { "unseen_memory", unseen[SL_PSEUDO_UNSEEN_MEMORY - FIRST] },
        { "unseen_late", t.late },
        { "interval_ns", self->sampled.interval_ns },
        { "seen_ns", t.seen_ns },
        { "seen_cpu_ns", t.seen_cpu_ns },
        { "gil_ns", t.gil_ns },
        { "run_queue_ns", t.waited_ns[SL_METRIC_RUN_QUEUE] },
        { "lock_ns", t.waited_ns[SL_METRIC_LOCK] },
        { "socket_ns", t.waited_ns[SL_METRIC_SOCKET] },
        { "disk_ns", t.waited_ns[SL_METRIC_DISK] },
        { "sleep_ns", t.waited_ns[SL_METRIC_SLEEP] },
        { "poll_ns", t.waited_ns[SL_METRIC_POLL] },
        { "child_ns", t.waited_ns[SL_METRIC_CHILD] },
        { "events", t.events },
        { "resumes", t.resumes },
        { "c_events", t.c_events },
        { "nodes", t.nodes },
        { "functions", t.functions },
        { "strands", t.strands },
        { "mended", t.mended },
        { "dropped",
          t.dropped + self->lost_strands + self->sampled.lost_strands },
        { "bytes", t.bytes },
        { "spans_lost", sl_spans_lost(self->core) },
        { "unwatched", self->traced.unwatched },
        { "sampled_from_ns", t.sampled_from_ns },
        { "step_ns", turn->longest },
        { "held_ns", turn->held },
        { "holder_ns", turn->holder_ns },
    };
    PyObject *dict = Py_BuildValue(
        "{s:O,s:O,s:O,s:O,s:O,s:O}", "less", self->less ? Py_True : Py_False,
        "truncated", t.truncated ? Py_True : Py_False, "displaced",
        self->traced.displaced ? Py_True : Py_False, "fork_lost",
        self->fork_lost ? Py_True : Py_False, "held_by",
        turn->holder != NULL ? turn->holder : Py_None, "held_where",
        turn->where != NULL ? turn->where : Py_None);
    for (size_t i = 0; dict != NULL && i < sizeof(numbers) / sizeof(numbers[0]);
         i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(numbers[i].number);
        if (number == NULL ||
            PyDict_SetItemString(dict, numbers[i].name, number) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(number);
    }
    PyObject *kinds = dict != NULL ? recording_kinds(self) : NULL;
    if (kinds == NULL || PyDict_SetItemString(dict, "spans", kinds) < 0)
        Py_CLEAR(dict);
    Py_XDECREF(kinds);
    return dict;
}

static PyObject *
recording_spans(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    const sl_py_recording *self = (sl_py_recording *)object;
    uint32_t count =
        self->discarded || self->encoding ? 0 : sl_span_sums(self->core);
    PyObject *list = PyList_New((Py_ssize_t)count);

    for (uint32_t i = 0; list != NULL && i < count; i++) {
        sl_span_sum sum;
        sl_span_sum_get(self->core, i, &sum);
        PyObject *row = Py_BuildValue("(sssKKK)", sum.kind, sum.text, sum.where,
                                      (unsigned long long)sum.count,
                                      (unsigned long long)sum.total_ns,
                                      (unsigned long long)sum.longest_ns);
        if (row == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, row);
    }
    return list;
}

/* ---- encoding ---- */

/* Whether its tree may be read now; else an exception is set. */
static bool
recording_is_readable(const sl_py_recording *self)
{
    bool is = !self->discarded && self->finished && !self->fork_lost &&
              !self->encoding;

    if (!is)
        PyErr_SetString(
            PyExc_RuntimeError,
            "only a finished, undiscarded recording of this process "
            "that nobody else encodes can be encoded");
    return is;
}

/* Nobody reads it any more; what ran meanwhile may have discarded it. */
static void
recording_read(sl_py_recording *self)
{
    self->encoding = false;
    if (self->discarded)
        sl_py_recording_drop(self);
}

static PyObject *
recording_let_go(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_recording *self = (sl_py_recording *)object;

    if (!recording_is_readable(self))
        return NULL;
    bool fine = true;
    if (sl_py_names_last(self)) {
        self->encoding = true; /* the end of code objects runs code */
        fine = sl_py_names_let_go(self);
        recording_read(self);
    }
    return fine ? Py_NewRef(Py_None) : NULL;
}

void
sl_py_encoding_end(sl_py_encoding *one)
{
    PyMem_Free(one->meta);
    Py_CLEAR(one->keep);
    if (one->self != NULL)
        recording_read(one->self);
    Py_CLEAR(one->self);
}

bool
sl_py_encoding_begin(sl_py_encoding *one, sl_py_recording *self, PyObject *dict)
{
    if (!recording_is_readable(self))
        return false;
    self->encoding = true; /* what runs meanwhile may want to discard it */
    one->self = (sl_py_recording *)Py_NewRef(self);
    one->keep = PyList_New(0);
    if (one->keep != NULL)
        one->meta = sl_py_parse_meta(dict, one->keep, &one->count);
    if (one->meta != NULL && sl_py_names_resolve(self))
        return true;
    sl_py_encoding_end(one);
    return false;
}

void
sl_py_encoding_do(sl_py_encoding *one, int level)
{
    one->status =
        sl_recording_encode(one->self->core, one->meta, one->count,
                            sl_py_names_describe, one->self, level, &one->blob);
}

static PyObject *
recording_encode(PyObject *object, PyObject *args)
{
    sl_py_encoding one = { 0 };
    PyObject *dict;
    int level = 3;

    if (!PyArg_ParseTuple(args, "O!|i:encode", &PyDict_Type, &dict, &level) ||
        !sl_py_encoding_begin(&one, (sl_py_recording *)object, dict))
        return NULL;
    Py_BEGIN_ALLOW_THREADS sl_py_budget_encodes(true);
    sl_py_encoding_do(&one, level);
    sl_py_budget_encodes(false);
    Py_END_ALLOW_THREADS PyObject *result =
        sl_py_take_bytes(one.status, &one.blob);
    sl_py_encoding_end(&one);
    return result;
}

static PyObject *
recording_step(PyObject *object, PyObject *awaitable)
{
    sl_py_recording *self = (sl_py_recording *)object;
    if (need_live(self) == NULL)
        return NULL;
    return sl_py_step_new(self, awaitable);
}

static PyObject *
recording_get_wall(PyObject *object, void *closure)
{
    (void)closure;
    sl_py_recording *self = (sl_py_recording *)object;
    uint64_t wall =
        self->finished ? self->wall_ns : sl_recording_wall_ns(self->core);
    return PyLong_FromUnsignedLongLong(wall);
}

static PyObject *
recording_get_memory(PyObject *object, void *closure)
{
    (void)closure;
    sl_py_recording *self = (sl_py_recording *)object;
    size_t bytes =
        self->account != NULL ? sl_py_account_bytes(self->account) : 0;
    return PyLong_FromSize_t(bytes);
}

static PyObject *
recording_get_finished(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((sl_py_recording *)object)->finished);
}

static PyObject *
recording_get_cpu(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(((sl_py_recording *)object)->cpu_ns);
}

static PyObject *
recording_get_by(PyObject *object, void *closure)
{
    (void)closure;
    static const char *const words[] = { "events", "samples", "times" };
    return PyUnicode_FromString(words[((sl_py_recording *)object)->by]);
}

static PyObject *
recording_get_less(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((sl_py_recording *)object)->less);
}

static PyGetSetDef recording_getset[] = {
    { "by", recording_get_by, NULL,
      "What it began to be made of: events, samples, or times (alone).", NULL },
    { "less", recording_get_less, NULL,
      "Whether that is less than was wanted, for want of memory.", NULL },
    { "wall_ns", recording_get_wall, NULL,
      "Wall time in nanoseconds, so far or in all.", NULL },
    { "cpu_ns", recording_get_cpu, NULL,
      "CPU time of the sections, nanoseconds.", NULL },
    { "memory", recording_get_memory, NULL,
      "Memory it takes, in bytes; 0 once it is discarded.", NULL },
    { "finished", recording_get_finished, NULL, "Whether it has ended.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyObject *
recording_so_far(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_recording *self = (sl_py_recording *)object;
    uint64_t awaited = 0, loop = 0;
    if (self->core == NULL || self->finished) {
        PyErr_SetString(PyExc_RuntimeError, "the recording is over");
        return NULL;
    }
    sl_recording_suspended(self->core, &awaited, &loop);
    uint64_t cpu = self->cpu_ns;
    if (self->running && self->thread == sl_py_borrow_tstate()->id) {
        uint64_t now = sl_py_cpu_clock_ns();
        cpu += now > self->cpu_since ? now - self->cpu_since : 0;
    }
    return Py_BuildValue("(KKKKN)",
                         (unsigned long long)sl_recording_wall_ns(self->core),
                         (unsigned long long)cpu, (unsigned long long)awaited,
                         (unsigned long long)loop, recording_kinds(self));
}

static PyMethodDef recording_methods[] = {
    { "so_far", recording_so_far, METH_NOARGS,
      "so_far()\n--\n\nOf a recording that runs, in nanoseconds: (wall, cpu, "
      "awaited, waited for the event loop, {kind: (count, ns)} of its spans "
      "that have ended)." },
    { "enter", recording_enter, METH_NOARGS,
      "enter()\n--\n\nThis thread works for the request from here on. Time "
      "since the last leave() is charged to [between chunks]." },
    { "enter_block", recording_enter_block, METH_NOARGS,
      "enter_block()\n--\n\nenter(), for the block of a `with`: the function "
      "that it stands in is recorded from here on, though it began before." },
    { "leave", recording_leave, METH_NOARGS,
      "leave()\n--\n\nThis thread does something else from here on." },
    { "step", recording_step, METH_O,
      "step(awaitable, /)\n--\n\nAn awaitable that runs `awaitable` with each "
      "of its steps inside the request, and charges the time between two "
      "steps to [await]. May be awaited once." },
    { "finish", recording_finish_method, METH_NOARGS,
      "finish()\n--\n\nEnds the recording. Idempotent." },
    { "discard", recording_discard, METH_NOARGS,
      "discard()\n--\n\nEnds it and gives its memory back." },
    { "spans", recording_spans, METH_NOARGS,
      "[(kind, text, where, count, total ns, longest ns)]: what it asked "
      "others for, and its named pieces, so far" },
    { "let_go", recording_let_go, METH_NOARGS,
      "let_go()\n--\n\nOf a finished recording that waits to be encoded: if "
      "a code object lives on by it alone, its functions are named now, and "
      "it holds none any longer. The app's weak references to them may be "
      "called." },
    { "totals", recording_totals, METH_NOARGS,
      "totals()\n--\n\nCounts and times of the finished recording, a dict." },
    { "complete", sl_py_recording_complete, METH_O,
      "complete(meta, /)\n--\n\nPuts what the finished recording came to into "
      "its metadata, a dict with its `mode`. (calls and resumes, calls of C, "
      "ns that it was held up), or None: no such." },
    { "encode", recording_encode, METH_VARARGS,
      "encode(meta, level=3, /)\n--\n\nThe finished recording as a blob with "
      "`meta` (str to int or str; None is left out) in it. The GIL is "
      "released while it works." },
    { NULL, NULL, 0, NULL },
};

PyTypeObject sl_py_recording_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Recording",
    .tp_doc =
        "Recording(c_calls='chosen', *, max_bytes=0, max_nodes=0, "
        "follows=False, sampled=False, goes_on=False, label=None, "
        "entry=None, anyway=False, layers='shape', lines=False, "
        "lessens=False)\n--"
        "\n\nOne request being recorded, from now on. `follows`: its "
        "work may go on in any task or thread; `sampled`: by looking at "
        "it now and then, not by events; `goes_on`: by sampling, where "
        "events are too many for its limits; `label`: what "
        "totals()['held_by'] of those it held up gives; `entry`: its place on "
        "the Board; `anyway`: where samples cannot be had, its times alone "
        "are recorded; `lessens`: where running recordings hold too much "
        "memory for it, it is sampled instead, or timed (see `by`, `less`).\n"
        "RuntimeError: no engine is free; ValueError: a wrong argument.",
    .tp_basicsize = sizeof(sl_py_recording),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = recording_new,
    .tp_dealloc = recording_dealloc,
    .tp_methods = recording_methods,
    .tp_getset = recording_getset,
};

int
sl_py_recording_init(void)
{
    /* enter and leave are not calls of the program, and never return inside
     * the request. */
    sl_py_hidden_recording =
        (sl_py_hidden){ recording_methods,
                        recording_methods + sizeof(recording_methods) /
                                                sizeof(*recording_methods) };
    return sl_py_completed_init() < 0 ? -1
                                      : PyType_Ready(&sl_py_recording_type);
}
