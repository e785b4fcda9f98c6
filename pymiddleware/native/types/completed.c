/* What a finished recording came to, as metadata. In C, and only what is there:
 * for a small profile a dictionary of all totals, read again in Python, took as
 * long as half of its encoding. */
#include "types/completed.h"
#include "run/recording.h"
#include "types/values.h"

#include "slowlens/span.h"

#include <string.h>

/* Keys of slowlens/meta.h. */
#define KEYS(XX)                                                               \
    XX(mode)                                                                   \
    XX(c_mode)                                                                 \
    XX(cpu_ns)                                                                 \
    XX(await_ns)                                                               \
    XX(loop_ns)                                                                \
    XX(idle_ns)                                                                \
    XX(gc_ns)                                                                  \
    XX(step_ns)                                                                \
    XX(sampled_from_ns)                                                        \
    XX(wall_ns)                                                                \
    XX(samples)                                                                \
    XX(interval_ns)                                                            \
    XX(rejected)                                                               \
    XX(unseen_torn)                                                            \
    XX(unseen_greenlet)                                                        \
    XX(unseen_shim)                                                            \
    XX(unseen_deep)                                                            \
    XX(unseen_moved)                                                           \
    XX(unseen_room)                                                            \
    XX(unseen_memory)                                                          \
    XX(unseen_late)                                                            \
    XX(calls)                                                                  \
    XX(resumes)                                                                \
    XX(c_calls)                                                                \
    XX(nodes)                                                                  \
    XX(profile_bytes)                                                          \
    XX(flags)                                                                  \
    XX(waiting_ns)                                                             \
    XX(gil_wait_ns)                                                            \
    XX(blocked_ns)                                                             \
    XX(run_queue_ns)                                                           \
    XX(lock_ns)                                                                \
    XX(socket_ns)                                                              \
    XX(disk_ns)                                                                \
    XX(sleep_ns)                                                               \
    XX(poll_ns)                                                                \
    XX(child_ns)                                                               \
    XX(db_count)                                                               \
    XX(db_ns)                                                                  \
    XX(http_count)                                                             \
    XX(http_ns)                                                                \
    XX(cache_count)                                                            \
    XX(cache_ns)                                                               \
    XX(template_count)                                                         \
    XX(template_ns)

enum {
#define XX(name) KEY_##name,
    KEYS(XX)
#undef XX
        KEY_COUNT
};
static PyObject *keys[KEY_COUNT];
static PyObject *text_sampling;

/* A dictionary at work; `fine` until there is an exception. */
typedef struct {
    PyObject *meta;
    bool fine;
} target;

static void
put_object(target *to, int key, PyObject *value)
{
    if (to->fine &&
        (value == NULL || PyDict_SetItem(to->meta, keys[key], value) < 0))
        to->fine = false;
    Py_XDECREF(value);
}

static void
put(target *to, int key, uint64_t value)
{
    if (to->fine)
        put_object(to, key, PyLong_FromUnsignedLongLong(value));
}

static void
put_some(target *to, int key, uint64_t value)
{
    if (value != 0)
        put(to, key, value);
}

static uint64_t
less_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What was neither CPU nor await; and of what kind, where samples saw most of
 * the time. */
static void
put_waiting(target *to, const sl_recording_totals *t, uint64_t cpu_ns)
{
    static const struct {
        sl_metric metric;
        int key;
    } kinds[] = {
        { SL_METRIC_LOCK, KEY_lock_ns }, { SL_METRIC_SOCKET, KEY_socket_ns },
        { SL_METRIC_DISK, KEY_disk_ns }, { SL_METRIC_SLEEP, KEY_sleep_ns },
        { SL_METRIC_POLL, KEY_poll_ns }, { SL_METRIC_CHILD, KEY_child_ns }
    };
    uint64_t away = t->await_ns + t->loop_ns + t->idle_ns;
    uint64_t running = t->wall_ns > away ? t->wall_ns - away : 0;
    uint64_t waiting = running > cpu_ns ? running - cpu_ns : 0;

    put(to, KEY_waiting_ns, waiting);
    if (t->samples == 0 || t->seen_ns < running - running / 2)
        return;
    uint64_t queue = less_of(waiting, t->waited_ns[SL_METRIC_RUN_QUEUE]);
    uint64_t gil = less_of(waiting - queue, t->gil_ns);
    uint64_t left = waiting - queue - gil; /* blocked */
    put(to, KEY_gil_wait_ns, gil);
    put(to, KEY_blocked_ns, left);
    put_some(to, KEY_run_queue_ns, queue);
    /* What is left over is blocked of a kind that nobody saw. */
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        uint64_t part = less_of(left, t->waited_ns[kinds[i].metric]);
        put_some(to, kinds[i].key, part);
        left -= part;
    }
}

/* Looks that told nothing, in all and by reason. */
static void
put_unseen(target *to, const sl_py_recording *self, uint64_t late)
{
    enum { FIRST = SL_PSEUDO_UNSEEN_TORN };
    static const struct {
        int pseudo;
        int key;
        bool rejected;
    } reasons[] = { { SL_PSEUDO_UNSEEN_TORN, KEY_unseen_torn, true },
                    { SL_PSEUDO_UNSEEN_GREENLET, KEY_unseen_greenlet, true },
                    { SL_PSEUDO_UNSEEN_SHIM, KEY_unseen_shim, true },
                    { SL_PSEUDO_UNSEEN_DEEP, KEY_unseen_deep, true },
                    { SL_PSEUDO_UNSEEN_MOVED, KEY_unseen_moved, true },
                    { SL_PSEUDO_UNSEEN_ROOM, KEY_unseen_room, false },
                    { SL_PSEUDO_UNSEEN_MEMORY, KEY_unseen_memory, false } };
    uint64_t rejected = 0;

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        uint64_t looks = self->sampled.unseen[reasons[i].pseudo - FIRST];
        rejected += reasons[i].rejected ? looks : 0;
        put_some(to, reasons[i].key, looks);
    }
    put_some(to, KEY_rejected, rejected);
    put_some(to, KEY_unseen_late, late);
}

static void
put_flags(target *to, const sl_py_recording *self, const sl_recording_totals *t)
{
    const struct {
        const char *word;
        bool is;
    } flags[] = { { ",truncated", t->truncated },
                  { ",displaced", self->traced.displaced },
                  { ",less", self->less },
                  { ",partial", t->dropped + self->lost_strands +
                                        self->sampled.lost_strands +
                                        self->traced.unwatched >
                                    0 } };
    char text[64] = "";

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (flags[i].is)
            strcat(text, flags[i].word);
    }
    if (text[0] != '\0' && to->fine)
        put_object(to, KEY_flags, PyUnicode_FromString(text + 1));
}

/* Of the kinds that metadata has. */
enum { ASKED = SL_SPAN_TEMPLATE + 1 };
typedef struct {
    uint64_t count, ns;
} asked;

static void
put_asked(target *to, const asked kinds[ASKED])
{
    static const int at[ASKED][2] = {
        [SL_SPAN_DB] = { KEY_db_count, KEY_db_ns },
        [SL_SPAN_HTTP] = { KEY_http_count, KEY_http_ns },
        [SL_SPAN_CACHE] = { KEY_cache_count, KEY_cache_ns },
        [SL_SPAN_TEMPLATE] = { KEY_template_count, KEY_template_ns },
    };

    for (int kind = 0; kind < ASKED; kind++) {
        if (kinds[kind].count > 0) {
            put(to, at[kind][0], kinds[kind].count);
            put(to, at[kind][1], kinds[kind].ns);
        }
    }
}

static bool
is_sampling(const target *to)
{
    PyObject *mode = PyDict_GetItemWithError(to->meta, keys[KEY_mode]);

    return mode != NULL && PyUnicode_Check(mode) &&
           PyUnicode_CompareWithASCIIString(mode, "sampling") == 0;
}

PyObject *
sl_py_recording_complete(PyObject *object, PyObject *meta)
{
    sl_py_recording *self = (sl_py_recording *)object;
    target to = { meta, true };
    sl_recording_totals t;
    asked kinds[ASKED];

    if (!PyDict_Check(meta)) {
        PyErr_SetString(PyExc_TypeError, "metadata is a dict");
        return NULL;
    }
    if (self->discarded || !self->finished || self->encoding) {
        PyErr_SetString(PyExc_RuntimeError,
                        "only a finished, undiscarded recording has totals");
        return NULL;
    }
    /* All that the core is asked is asked before Python may run anything:
     * making objects may collect, and whoever ends then may discard it. */
    sl_recording_totals_get(self->core, &t);
    for (int kind = 0; kind < ASKED; kind++)
        sl_span_total(self->core, (sl_span_kind)kind, &kinds[kind].count,
                      &kinds[kind].ns);
    if (self->less) {
        put_object(&to, KEY_mode, Py_NewRef(text_sampling));
        put_object(&to, KEY_c_mode, Py_NewRef(Py_None));
    }
    bool sampled = is_sampling(&to);
    put(&to, KEY_wall_ns, t.wall_ns);
    put(&to, KEY_cpu_ns, self->cpu_ns);
    put_some(&to, KEY_await_ns, t.await_ns);
    put_some(&to, KEY_loop_ns, t.loop_ns);
    put_some(&to, KEY_idle_ns, t.idle_ns);
    put_some(&to, KEY_gc_ns, t.gc_ns);
    put_some(&to, KEY_step_ns, self->turn.longest);
    put_some(&to, KEY_sampled_from_ns, t.sampled_from_ns);
    if (sampled || t.sampled_from_ns != 0) {
        put(&to, KEY_samples, t.samples);
        put_unseen(&to, self, t.late);
        put(&to, KEY_interval_ns, self->sampled.interval_ns);
    }
    if (!sampled) {
        put(&to, KEY_calls, t.events);
        put_some(&to, KEY_resumes, t.resumes);
        put(&to, KEY_c_calls, t.c_events);
    }
    put(&to, KEY_nodes, t.nodes);
    put(&to, KEY_profile_bytes, t.bytes);
    put_asked(&to, kinds);
    put_flags(&to, self, &t);
    put_waiting(&to, &t, self->cpu_ns);
    uint64_t events = t.events + t.resumes, held = self->turn.held;
    if (!to.fine || PyErr_Occurred())
        return NULL;
    if (events == 0 && t.c_events == 0 && held == 0)
        Py_RETURN_NONE;
    return Py_BuildValue("(KKK)", (unsigned long long)events,
                         (unsigned long long)t.c_events,
                         (unsigned long long)held);
}

int
sl_py_completed_init(void)
{
    const sl_py_word words[] = {
#define XX(name) { &keys[KEY_##name], #name },
        KEYS(XX)
#undef XX
            { &text_sampling, "sampling" },
    };
    return sl_py_words(words, sizeof(words) / sizeof(words[0]));
}
