/* checkpoint.c - profiles of requests that still run: a copy of the recording
 * is taken and encoded elsewhere, without the GIL.
 *
 * What may write to a recording has the GIL, or is the sampler's thread. So
 * who copies holds the GIL, and the sampler's lock only to say that this
 * recording is not to be looked at: a look that is left out meanwhile is part
 * of the next one. */
#include "types/checkpoint.h"
#include "run/live.h"
#include "run/names.h"
#include "sampler/lock.h"
#include "types/recording_type.h"
#include "types/values.h"

#include "slowlens/clock.h"
#include "slowlens/span.h"

#include <string.h>

/* What the recording may grow by until it is copied. */
#define SLACK ((size_t)64 << 10)

typedef struct {
    sl_function *functions; /* by id less SL_PSEUDO_COUNT; name NULL: none */
    uint32_t count;
} names;

static bool
describe(void *ctx, uint32_t id, const void *key, sl_function *out)
{
    const names *table = ctx;
    (void)key;
    if (id - SL_PSEUDO_COUNT >= table->count ||
        table->functions[id - SL_PSEUDO_COUNT].name == NULL)
        return false;
    *out = table->functions[id - SL_PSEUDO_COUNT];
    return true;
}

/* Texts live in `keep`, which also holds what they belong to: the recording
 * may be over before they are written. */
static bool
learn_names(const sl_py_recording *self, uint32_t count, PyObject *keep,
            names *table)
{
    table->count = count - SL_PSEUDO_COUNT;
    table->functions =
        PyMem_Calloc((size_t)table->count + 1, sizeof(*table->functions));
    if (table->functions == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (uint32_t i = 0; i < self->traced.function_count; i++) {
        if (self->traced.functions[i] != NULL &&
            PyList_Append(keep, self->traced.functions[i]) < 0)
            return false;
    }
    for (uint32_t i = 0; i < table->count; i++) {
        if (!sl_py_function_describe(self, i + SL_PSEUDO_COUNT, keep,
                                     &table->functions[i]))
            table->functions[i].name = NULL;
    }
    return true;
}

static bool
is_over(const sl_py_recording *self)
{
    return self->finished || self->discarded || self->fork_lost;
}

/* From here on no sample is written into it / it is looked at again. */
static void
look_at(sl_py_recording *self, bool again)
{
    sl_py_lock();
    self->sampled.copied = !again;
    sl_py_unlock();
}

/* The sampler may be adding to it. */
static size_t
room_of(const sl_py_recording *self)
{
    sl_py_lock();
    size_t room = sl_recording_room(self->core);
    sl_py_unlock();
    return room;
}

/* The recording's copy as of now; NULL with an exception. */
static sl_frozen *
take_copy(sl_py_recording *self)
{
    sl_frozen *frozen = NULL;
    sl_status status = SL_ELIMIT;

    for (int try = 0; try < 3 && status == SL_ELIMIT; try++) {
        size_t room = room_of(self) + (SLACK << try);
        sl_frozen_free(frozen);
        frozen = NULL;
        Py_BEGIN_ALLOW_THREADS status = sl_frozen_new(&frozen, room, NULL);
        Py_END_ALLOW_THREADS if (status < 0) break;
        if (is_over(self)) {
            status = SL_ESTATE;
            break;
        }
        look_at(self, false);
        status = sl_recording_freeze(
            self->core, sl_clock_ticks(self->sampled.clock), frozen);
        look_at(self, true);
    }
    if (status == SL_OK)
        return frozen;
    sl_frozen_free(frozen);
    sl_py_raise(status);
    return NULL;
}

static sl_meta
number(const char *key, uint64_t value)
{
    return (sl_meta){ .key = key,
                      .key_len = strlen(key),
                      .number = (int64_t)value };
}

/* What it asked others for so far, of the kinds that have a key. */
static size_t
put_kinds(const sl_recording *copy, sl_meta *meta)
{
    static const struct {
        sl_span_kind kind;
        const char *count, *ns;
    } kinds[] = {
        { SL_SPAN_DB, "db_count", "db_ns" },
        { SL_SPAN_HTTP, "http_count", "http_ns" },
        { SL_SPAN_CACHE, "cache_count", "cache_ns" },
        { SL_SPAN_TEMPLATE, "template_count", "template_ns" },
    };
    size_t put = 0;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        uint64_t count, ns;
        sl_span_total(copy, kinds[i].kind, &count, &ns);
        if (count == 0)
            continue;
        meta[put++] = number(kinds[i].count, count);
        meta[put++] = number(kinds[i].ns, ns);
    }
    return put;
}

PyObject *
sl_py_checkpoint(PyObject *module, PyObject *args)
{
    enum { MORE = 16 };
    sl_py_recording *self;
    PyObject *dict, *result = NULL;
    sl_recording *copy = NULL;
    sl_bytes blob = { 0 };
    names table = { 0 };
    size_t count = 0;

    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!:checkpoint", &sl_py_recording_type, &self,
                          &PyDict_Type, &dict))
        return NULL;
    if (is_over(self)) {
        PyErr_SetString(PyExc_RuntimeError, "the recording is over");
        return NULL;
    }
    PyObject *keep = PyList_New(0);
    sl_meta *given = keep == NULL ? NULL : sl_py_parse_meta(dict, keep, &count);
    sl_meta *meta =
        given == NULL ? NULL : PyMem_Calloc(count + MORE, sizeof(sl_meta));
    if (given != NULL && meta == NULL)
        PyErr_NoMemory();
    sl_frozen *frozen = meta == NULL ? NULL : take_copy(self);
    if (frozen == NULL)
        goto done;
    sl_status status = sl_frozen_thaw(frozen, &copy);
    if (status < 0) {
        sl_py_raise(status);
        goto done;
    }
    sl_recording_totals t;
    sl_recording_totals_get(copy, &t);
    if (!learn_names(self, t.functions, keep, &table))
        goto done;
    sl_py_names_sites(self, copy);
    memcpy(meta, given, count * sizeof(*meta));
    meta[count++] = number("wall_ns", t.wall_ns);
    meta[count++] =
        number("cpu_ns", t.samples > 0 ? t.seen_cpu_ns : self->cpu_ns);
    meta[count++] = number("nodes", t.nodes);
    if (t.samples > 0)
        meta[count++] = number("samples", t.samples);
    if (!self->sampled.by_samples) {
        meta[count++] = number("calls", t.events);
        meta[count++] = number("c_calls", t.c_events);
    }
    if (t.await_ns > 0)
        meta[count++] = number("await_ns", t.await_ns);
    count += put_kinds(copy, meta + count);
    Py_BEGIN_ALLOW_THREADS status =
        sl_recording_encode(copy, meta, count, describe, &table, 0, &blob);
    Py_END_ALLOW_THREADS result = sl_py_take_bytes(status, &blob);
done:
    sl_frozen_free(frozen);
    PyMem_Free(table.functions);
    PyMem_Free(meta);
    PyMem_Free(given);
    Py_XDECREF(keep);
    return result;
}

/* Held first and shown to Python afterwards: making objects may run a
 * collection, which may end recordings while they are gone through. */
enum { FOUND_MAX = 256 };
typedef struct {
    const sl_py_board *board;
    uint64_t began; /* at that time or before */
    int count;
    sl_py_recording *found[FOUND_MAX]; /* strong */
} search;

static void
add_running(sl_py_recording *recording, const void *arg)
{
    search *s = (search *)(uintptr_t)arg;
    const sl_py_entry *entry = recording->sampled.entry;

    if (s->count < FOUND_MAX && entry != NULL && entry->board == s->board &&
        entry->started <= s->began && !is_over(recording))
        s->found[s->count++] = (sl_py_recording *)Py_NewRef(recording);
}

PyObject *
sl_py_running(PyObject *module, PyObject *args)
{
    PyObject *board;
    unsigned long long age;

    (void)module;
    if (!PyArg_ParseTuple(args, "O!K:running", &sl_py_board_type, &board, &age))
        return NULL;
    uint64_t now = sl_clock_monotonic_ns();
    search s;
    s.board = (sl_py_board *)board;
    s.began = now > age ? now - age : 0;
    s.count = 0;
    sl_py_live_each(add_running, &s);
    PyObject *list = PyList_New(0);
    for (int i = 0; i < s.count; i++) {
        sl_py_recording *one = s.found[i];
        PyObject *item =
            list == NULL
                ? NULL
                : Py_BuildValue("(OOO)", one,
                                one->label != NULL ? one->label : Py_None,
                                one->sampled.by_samples ? Py_True : Py_False);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        Py_DECREF(one);
    }
    return list;
}
