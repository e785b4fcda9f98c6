/* Recording: one request while it is recorded, for Python. */
#include "engine/engine.h"
#include "run/jobs.h"
#include "sampler/sampler.h"

#include <string.h>

/* Recordings are recycled: making one costs 0.4 us, its first block more. */
#define POOL_MAX 8
static sl_recording *pool[POOL_MAX];
static int pool_count;

PyTypeObject sl_py_handle_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Handle",
    .tp_doc = "What the context variable holds: which request this is.",
    .tp_basicsize = sizeof(sl_py_handle),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

/* First sight of a function: hold what keeps its key valid. */
static bool
on_function(void *ctx, const void *key, uint32_t id)
{
    sl_py_recording *recording = ctx;
    PyObject *object = (PyObject *)key;
    bool is_code = true;

    if (sl_py_pending_callable != NULL) {
        object = sl_py_c_function_owner(sl_py_pending_callable);
        is_code = false;
    } else {
        Py_INCREF(object);
    }

    uint32_t at = id - SL_PSEUDO_COUNT;
    if (at >= recording->function_capacity) {
        uint32_t capacity = recording->function_capacity * 2;
        if (capacity <= at)
            capacity = at < 256 ? 256 : at * 2;
        PyObject **grown =
            PyMem_Realloc(recording->functions, capacity * sizeof(*grown));
        if (grown == NULL) {
            /* The name is lost; the reference is leaked on purpose, so that
             * the address is not used again. */
            return false;
        }
        memset(grown + recording->function_capacity, 0,
               (capacity - recording->function_capacity) * sizeof(*grown));
        recording->functions = grown;
        recording->function_capacity = capacity;
    }
    recording->functions[at] = object;
    if (at >= recording->function_count)
        recording->function_count = at + 1;

    if (!is_code || recording->c_calls == SL_C_NONE)
        return false;
    if (!sl_py_code_is_chosen((PyCodeObject *)object))
        return false;
    sl_py_engine_watch((PyCodeObject *)object);
    return true;
}

/* No more room for paths: the next event of the main strand sees to it. */
static void
on_full(void *ctx)
{
    ((sl_py_recording *)ctx)->full = true;
    sl_py_active_forget();
}

static void
release_functions(sl_py_recording *recording)
{
    for (uint32_t i = 0; i < recording->function_count; i++)
        Py_XDECREF(recording->functions[i]);
    PyMem_Free(recording->functions);
    recording->functions = NULL;
    recording->function_count = recording->function_capacity = 0;
}

static void
release_core(sl_py_recording *recording)
{
    if (recording->core == NULL)
        return;
    if (pool_count < POOL_MAX)
        pool[pool_count++] = recording->core;
    else
        sl_recording_free(recording->core);
    recording->core = NULL;
}

static int
parse_c_calls(const char *text, sl_c_calls *out)
{
    static const char *const names[] = { "none", "chosen", "all" };
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (sl_c_calls)i;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "c_calls must be 'chosen', 'all' or 'none', not '%s'", text);
    return -1;
}

/* What feeds the recording: events, or the sampler. */
static int
recording_acquire(sl_py_recording *self)
{
    if (!self->sampled)
        return sl_py_engine_acquire(self);
    if (sl_py_sampler_why_not() == NULL)
        return 0; /* added when it is whole */
    PyErr_Format(PyExc_RuntimeError, "sampling cannot be had here: %s",
                 sl_py_sampler_why_not());
    return -1;
}

static void
recording_release(sl_py_recording *self)
{
    if (self->sampled)
        sl_py_sampler_remove(self);
    else
        sl_py_engine_release(self);
}

static PyObject *
recording_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "c_calls", "max_bytes", "max_nodes", "follows",
                             "sampled", "goes_on",   "label",     NULL };
    const char *c_calls = "chosen";
    Py_ssize_t max_bytes = 0;
    unsigned int max_nodes = 0;
    int follows = 0, sampled = 0, goes_on = 0;
    PyObject *label = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|s$nIpppO:Recording", names,
                                     &c_calls, &max_bytes, &max_nodes, &follows,
                                     &sampled, &goes_on, &label))
        return NULL;
    if (max_bytes < 0) {
        PyErr_SetString(PyExc_ValueError, "max_bytes must not be negative");
        return NULL;
    }
    sl_c_calls calls;
    if (parse_c_calls(c_calls, &calls) < 0)
        return NULL;

    sl_py_recording *self = (sl_py_recording *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->c_calls = calls;
    self->follows = follows != 0;
    self->sampled = sampled != 0;
    self->label = Py_XNewRef(label);
    goes_on = goes_on && !sampled && sl_py_sampler_why_not() == NULL;
    /* The sampler reads the kernel's clocks anyway. */
    self->clock = sampled ? SL_CLOCK_MONOTONIC : sl_py_clock;
    self->slot = -1;
    self->finished = true; /* until it is whole */
    self->handle = PyObject_New(sl_py_handle, &sl_py_handle_type);
    if (self->handle == NULL)
        goto fail;
    self->handle->recording = NULL;
    if (recording_acquire(self) < 0)
        goto fail;

    sl_recording_options options = { .clock = self->clock,
                                     .max_bytes = (size_t)max_bytes,
                                     .max_nodes = max_nodes,
                                     .on_function =
                                         sampled ? NULL : on_function,
                                     .on_full = goes_on ? on_full : NULL,
                                     .ctx = self };
    sl_status status;
    if (pool_count > 0) {
        self->core = pool[--pool_count];
        status = sl_recording_reset(self->core, &options);
    } else {
        status = sl_recording_new(&self->core, &options, NULL);
    }
    if (status < 0) {
        recording_release(self);
        sl_py_raise(status);
        goto fail;
    }
    self->handle->recording = self;
    self->finished = false;
    sl_py_active_add(self);
    if (self->sampled)
        sl_py_sampler_add(self);
    return (PyObject *)self;
fail:
    Py_DECREF(self);
    return NULL;
}

/* Ends it, whatever state it is in; no exception. */
static void
recording_finish(sl_py_recording *self)
{
    if (self->finished)
        return;
    self->finished = true;
    sl_py_section_end(self, NULL);
    sl_py_jobs_end(self);
    recording_release(self);
    sl_recording_stop(self->core, sl_clock_ticks(self->clock));
    sl_py_active_remove(self);
}

static void
recording_dealloc(PyObject *object)
{
    sl_py_recording *self = (sl_py_recording *)object;

    recording_finish(self);
    release_functions(self);
    release_core(self);
    Py_XDECREF(self->handle);
    Py_XDECREF(self->label);
    Py_XDECREF(self->turn.holder);
    Py_XDECREF(self->turn.where);
    Py_TYPE(object)->tp_free(object);
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
recording_leave(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_recording *self = (sl_py_recording *)object;
    sl_py_section_end(self, NULL);
    if (!self->follows)
        sl_py_context_release(self);
    Py_RETURN_NONE;
}

static PyObject *
recording_finish_method(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    recording_finish((sl_py_recording *)object);
    Py_RETURN_NONE;
}

static PyObject *
recording_discard(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_recording *self = (sl_py_recording *)object;
    recording_finish(self);
    release_functions(self);
    release_core(self);
    Py_RETURN_NONE;
}

static PyObject *
recording_totals(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_recording *self = (sl_py_recording *)object;
    const sl_py_turn *turn = &self->turn;
    sl_recording_totals t;

    if (self->core == NULL || !self->finished) {
        PyErr_SetString(PyExc_RuntimeError, self->core == NULL
                                                ? "the recording is discarded"
                                                : "the recording is running");
        return NULL;
    }
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
        { "rejected", self->rejected },
        { "interval_ns", self->interval_ns },
        { "seen_ns", t.seen_ns },
        { "seen_cpu_ns", t.seen_cpu_ns },
        { "gil_ns", t.gil_ns },
        { "events", t.events },
        { "c_events", t.c_events },
        { "nodes", t.nodes },
        { "functions", t.functions },
        { "strands", t.strands },
        { "mended", t.mended },
        { "dropped", t.dropped + self->lost_strands },
        { "bytes", t.bytes },
        { "sampled_from_ns", t.sampled_from_ns },
        { "step_ns", turn->longest },
        { "held_ns", turn->held },
        { "holder_ns", turn->holder_ns },
    };
    PyObject *dict = Py_BuildValue(
        "{s:O,s:O,s:O,s:O,s:O}", "truncated", t.truncated ? Py_True : Py_False,
        "displaced", self->displaced ? Py_True : Py_False, "fork_lost",
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
    return dict;
}

/* ---- encoding ---- */

typedef struct {
    sl_py_recording *recording;
    sl_function *functions; /* by id less SL_PSEUDO_COUNT */
    uint32_t count;
} name_table;

/* A sampled function's key is its name already. */
static void
describe_sampled(const sl_py_code *code, sl_function *out)
{
    *out = (sl_function){ .name = code->name,
                          .name_len = code->name_len,
                          .file = code->file,
                          .file_len = code->file_len,
                          .line = code->line,
                          .kind = SL_KIND_PYTHON,
                          .origin =
                              sl_py_file_origin(code->file, code->file_len) };
}

/* Function `id`, no pseudo one; strings live in `keep`. false: no name. */
static bool
function_describe(const sl_py_recording *recording, uint32_t id, PyObject *keep,
                  sl_function *out)
{
    const void *key = sl_recording_key(recording->core, id);
    uint32_t at = id - SL_PSEUDO_COUNT;

    if (id >= sl_recording_first_sampled(recording->core)) {
        describe_sampled(key, out);
        return true;
    }
    return at < recording->function_count && recording->functions[at] != NULL &&
           sl_py_describe(recording->functions[at], key, keep, out);
}

PyObject *
sl_py_recording_where(sl_py_recording *recording)
{
    enum { DEEPEST = 128, SHOWN = 4 };
    uint32_t functions[DEEPEST];
    uint32_t count = sl_py_sampler_seen(recording, functions, DEEPEST);
    PyObject *keep = count == 0 ? NULL : PyList_New(0);
    PyObject *where = keep == NULL ? NULL : PyList_New(0);
    sl_function f;

    for (uint32_t i = 0; where != NULL && i < count; i++) {
        if (PyList_GET_SIZE(where) == SHOWN)
            break;
        if (!function_describe(recording, functions[i], keep, &f) ||
            (i > 0 && (f.origin != SL_ORIGIN_PROJECT ||
                       functions[i] == functions[i - 1])))
            continue;
        PyObject *pair = Py_BuildValue("(s#s#)", f.name, (Py_ssize_t)f.name_len,
                                       f.file, (Py_ssize_t)f.file_len);
        if (pair == NULL || PyList_Append(where, pair) < 0)
            Py_CLEAR(where);
        Py_XDECREF(pair);
    }
    if (where != NULL)
        PyList_Reverse(where);
    PyErr_Clear();
    Py_XDECREF(keep);
    return where;
}

static uint32_t
site_line(void *ctx, uint32_t id, uint32_t site)
{
    const sl_py_recording *recording = ctx;
    uint32_t at = id - SL_PSEUDO_COUNT;

    if (id >= sl_recording_first_sampled(recording->core))
        return site; /* a line already */
    if (id < SL_PSEUDO_COUNT || at >= recording->function_count ||
        recording->functions[at] == NULL ||
        !PyCode_Check(recording->functions[at]))
        return 0;
    int line =
        PyCode_Addr2Line((PyCodeObject *)recording->functions[at], (int)site);
    return line > 0 ? (uint32_t)line : 0;
}

static bool
describe(void *ctx, uint32_t id, const void *key, sl_function *out)
{
    const name_table *table = ctx;
    (void)key;
    if (id - SL_PSEUDO_COUNT >= table->count ||
        table->functions[id - SL_PSEUDO_COUNT].name == NULL)
        return false;
    *out = table->functions[id - SL_PSEUDO_COUNT];
    return true;
}

sl_meta *
sl_py_parse_meta(PyObject *dict, PyObject *keep, size_t *count)
{
    sl_meta *meta =
        PyMem_Calloc((size_t)PyDict_GET_SIZE(dict) + 1, sizeof(*meta));
    PyObject *key, *value;
    Py_ssize_t at = 0;

    *count = 0;
    if (meta == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    while (PyDict_Next(dict, &at, &key, &value)) {
        sl_meta *item = &meta[*count];
        PyObject *texts[] = { key, value };
        if (value == Py_None)
            continue;
        if (!PyUnicode_Check(key) ||
            !(PyUnicode_Check(value) || PyLong_Check(value))) {
            PyErr_SetString(PyExc_TypeError, "metadata maps str to int or str");
            goto fail;
        }
        for (int i = 0; i < 1 + PyUnicode_Check(value); i++) {
            PyObject *bytes = PyUnicode_AsEncodedString(texts[i], "utf-8",
                                                        "backslashreplace");
            if (bytes == NULL || PyList_Append(keep, bytes) < 0) {
                Py_XDECREF(bytes);
                goto fail;
            }
            *(i == 0 ? &item->key : &item->text) = PyBytes_AS_STRING(bytes);
            *(i == 0 ? &item->key_len : &item->text_len) =
                (size_t)PyBytes_GET_SIZE(bytes);
            Py_DECREF(bytes);
        }
        if (item->text == NULL) {
            item->number = PyLong_AsLongLong(value);
            if (item->number == -1 && PyErr_Occurred())
                goto fail;
        }
        ++*count;
    }
    return meta;
fail:
    PyMem_Free(meta);
    return NULL;
}

static bool
resolve_names(sl_py_recording *self, PyObject *keep, name_table *table)
{
    sl_recording_totals totals;

    sl_recording_totals_get(self->core, &totals);
    table->recording = self;
    table->count = totals.functions - SL_PSEUDO_COUNT;
    table->functions =
        PyMem_Calloc((size_t)table->count + 1, sizeof(*table->functions));
    if (table->functions == NULL) {
        PyErr_NoMemory();
        return false;
    }
    if (!self->resolved && self->function_count > 0)
        sl_recording_resolve_sites(self->core, site_line, self);
    self->resolved = true;
    for (uint32_t i = 0; i < table->count; i++) {
        if (!function_describe(self, i + SL_PSEUDO_COUNT, keep,
                               &table->functions[i]))
            table->functions[i].name = NULL;
    }
    return true;
}

static PyObject *
recording_encode(PyObject *object, PyObject *args)
{
    sl_py_recording *self = (sl_py_recording *)object;
    PyObject *dict, *result = NULL;
    int level = 3;
    size_t count = 0;
    sl_bytes blob = { 0 };
    name_table table = { 0 };

    if (!PyArg_ParseTuple(args, "O!|i:encode", &PyDict_Type, &dict, &level))
        return NULL;
    if (self->core == NULL || !self->finished || self->fork_lost) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "only a finished, undiscarded recording of this process "
            "can be encoded");
        return NULL;
    }
    PyObject *keep = PyList_New(0);
    if (keep == NULL)
        return NULL;
    sl_meta *meta = sl_py_parse_meta(dict, keep, &count);
    if (meta != NULL && resolve_names(self, keep, &table)) {
        sl_status status;
        Py_BEGIN_ALLOW_THREADS status = sl_recording_encode(
            self->core, meta, count, describe, &table, level, &blob);
        Py_END_ALLOW_THREADS if (status < 0) sl_py_raise(status);
        else result = PyBytes_FromStringAndSize((const char *)blob.data,
                                                (Py_ssize_t)blob.size);
        sl_bytes_free(&blob);
    }
    PyMem_Free(table.functions);
    PyMem_Free(meta);
    Py_DECREF(keep);
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
    if (self->core == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the recording is discarded");
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(sl_recording_wall_ns(self->core));
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

static PyGetSetDef recording_getset[] = {
    { "wall_ns", recording_get_wall, NULL,
      "Wall time in nanoseconds, so far or in all.", NULL },
    { "cpu_ns", recording_get_cpu, NULL,
      "CPU time of the sections, nanoseconds.", NULL },
    { "finished", recording_get_finished, NULL, "Whether it has ended.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMethodDef recording_methods[] = {
    { "enter", recording_enter, METH_NOARGS,
      "enter()\n--\n\nThis thread works for the request from here on. Time "
      "since the last leave() is charged to [between chunks]." },
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
    { "totals", recording_totals, METH_NOARGS,
      "totals()\n--\n\nCounts and times of the finished recording, a dict." },
    { "encode", recording_encode, METH_VARARGS,
      "encode(meta, level=3, /)\n--\n\nThe finished recording as a blob with "
      "`meta` (str to int or str; None is left out) in it. The GIL is "
      "released while it works." },
    { NULL, NULL, 0, NULL },
};

bool
sl_py_recording_is_method(const PyMethodDef *method)
{
    const PyMethodDef *end = recording_methods + sizeof(recording_methods) /
                                                     sizeof(*recording_methods);
    return method >= recording_methods && method < end;
}

PyTypeObject sl_py_recording_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Recording",
    .tp_doc = "Recording(c_calls='chosen', *, max_bytes=0, max_nodes=0, "
              "follows=False, sampled=False, goes_on=False, label=None)\n--"
              "\n\nOne request being recorded, from now on. `follows`: its "
              "work may go on in any task or thread; `sampled`: by looking at "
              "it now and then, not by events; `goes_on`: by sampling, where "
              "events are too many for its limits; `label`: what "
              "totals()['held_by'] of those it held up gives.\n"
              "RuntimeError: no engine is free; ValueError: a wrong argument.",
    .tp_basicsize = sizeof(sl_py_recording),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = recording_new,
    .tp_dealloc = recording_dealloc,
    .tp_methods = recording_methods,
    .tp_getset = recording_getset,
};
