/* numbers_type.c - Numbers: of all requests, for Python; slowlens/numbers.h. */
#include "types/numbers_type.h"
#include "types/recording_type.h"
#include "types/values.h"

#include "slowlens/numbers.h"
#include "slowlens/span.h"

#include <string.h>
#include <time.h>

typedef struct {
    PyObject_HEAD sl_numbers *numbers;
    sl_numbers_options options;
    PyObject *release, *host; /* strong: str, of every request added */
    uint64_t first_s, last_s; /* when requests were added; 0: none was */
    bool busy;                /* a thread is inside without the GIL */
} table;

static bool
table_enter(table *self)
{
    if (self->busy)
        PyErr_SetString(PyExc_RuntimeError, "Numbers: one thread at a time");
    return !self->busy;
}

/* What has no UTF-8 (lone surrogates) counts as "". */
static sl_numbers_text
text_of(PyObject *value)
{
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(value, &len);

    if (text == NULL) {
        PyErr_Clear();
        return (sl_numbers_text){ "", 0 };
    }
    return (sl_numbers_text){ text, (size_t)len };
}

static PyObject *
numbers_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "period_s", "release", "host", "apart", NULL };
    unsigned int period = 60, apart = 0;
    PyObject *release = NULL, *host = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|IUUI:Numbers", names,
                                     &period, &release, &host, &apart))
        return NULL;
    table *self = (table *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->options = (sl_numbers_options){ .period_s = period, .apart = apart };
    self->release = Py_XNewRef(release);
    self->host = Py_XNewRef(host);
    sl_status status = sl_numbers_new(&self->numbers, &self->options, NULL);
    if (status < 0) {
        Py_DECREF(self);
        return sl_py_raise(status);
    }
    return (PyObject *)self;
}

static void
numbers_dealloc(PyObject *object)
{
    table *self = (table *)object;
    sl_numbers_free(self->numbers);
    Py_XDECREF(self->release);
    Py_XDECREF(self->host);
    Py_TYPE(object)->tp_free(object);
}

/* add(recording, route, method, error, kept, response_bytes) */
/* Adds what the request asked others for: how often, and how long it took. */
static void
add_spans(const sl_recording *core, uint64_t sums[SL_NUMBERS_SUMS])
{
    static const struct {
        sl_span_kind kind;
        int ns, count;
    } kinds[] = {
        { SL_SPAN_DB, SL_NUMBERS_DB, SL_NUMBERS_DB_COUNT },
        { SL_SPAN_HTTP, SL_NUMBERS_HTTP, SL_NUMBERS_HTTP_COUNT },
        { SL_SPAN_TEMPLATE, SL_NUMBERS_TEMPLATE, SL_NUMBERS_TEMPLATE_COUNT },
        { SL_SPAN_CACHE, SL_NUMBERS_CACHE, SL_NUMBERS_CACHE_COUNT },
        { SL_SPAN_TASK, SL_NUMBERS_TASK, SL_NUMBERS_TASK_COUNT },
        { SL_SPAN_FILE, SL_NUMBERS_FILE, SL_NUMBERS_FILE_COUNT },
        { SL_SPAN_CUSTOM, SL_NUMBERS_SPAN, SL_NUMBERS_SPAN_COUNT },
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        sl_span_total(core, kinds[i].kind, &sums[kinds[i].count],
                      &sums[kinds[i].ns]);
}

static PyObject *
numbers_add(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    table *self = (table *)object;

    if (count != 6 || !Py_IS_TYPE(args[0], &sl_py_recording_type) ||
        !PyUnicode_Check(args[1]) || !PyUnicode_Check(args[2]) ||
        !PyLong_Check(args[5])) {
        PyErr_SetString(PyExc_TypeError, "add(recording, route, method, error, "
                                         "kept, response_bytes)");
        return NULL;
    }
    const sl_py_recording *recording = (sl_py_recording *)args[0];
    if (recording->core == NULL || !recording->finished) {
        PyErr_SetString(PyExc_RuntimeError, "a finished recording is needed");
        return NULL;
    }
    sl_recording_waits waits;
    sl_recording_waits_get(recording->core, &waits);
    uint64_t apart = waits.await_ns + waits.loop_ns + waits.idle_ns;
    uint64_t ran = waits.wall_ns > apart ? waits.wall_ns - apart : 0;
    uint64_t off = ran > recording->cpu_ns ? ran - recording->cpu_ns : 0;
    uint64_t queue = waits.run_queue_ns < off ? waits.run_queue_ns : off;
    uint64_t gil = waits.gil_ns < off - queue ? waits.gil_ns : off - queue;
    uint64_t bytes = PyLong_AsUnsignedLongLong(args[5]);
    if (bytes == (uint64_t)-1 && PyErr_Occurred())
        PyErr_Clear(), bytes = 0;

    sl_numbers_key key = { .field = {
                               [SL_NUMBERS_ROUTE] = text_of(args[1]),
                               [SL_NUMBERS_METHOD] = text_of(args[2]),
                           } };
    if (self->release != NULL)
        key.field[SL_NUMBERS_RELEASE] = text_of(self->release);
    if (self->host != NULL)
        key.field[SL_NUMBERS_HOST] = text_of(self->host);
    sl_numbers_request request = {
        .wall_ns = waits.wall_ns,
        .cpu_ns = recording->cpu_ns,
        .error = args[3] == Py_True,
        .sums = { [SL_NUMBERS_BYTES] = bytes,
                  [SL_NUMBERS_KEPT] = args[4] == Py_True,
                  [SL_NUMBERS_RUN_QUEUE] = queue,
                  [SL_NUMBERS_GIL] = gil,
                  [SL_NUMBERS_BLOCKED] = off - queue - gil,
                  [SL_NUMBERS_GC] = waits.gc_ns,
                  [SL_NUMBERS_AWAIT] = waits.await_ns,
                  [SL_NUMBERS_LOOP] = waits.loop_ns,
                  [SL_NUMBERS_CLIENT] = waits.idle_ns,
                  [SL_NUMBERS_LESS] = recording->less },
    };
    add_spans(recording->core, request.sums);
    uint64_t now = sl_clock_unix_s();
    if (!table_enter(self))
        return NULL;
    sl_numbers_add(self->numbers, now, &key, &request);
    self->first_s = self->first_s != 0 ? self->first_s : now;
    self->last_s = now;
    Py_RETURN_NONE;
}

/* add_killed(route, method, wall_ns, at_s): all that is known of a request
 * whose process died, at that Unix time. It counts as an error. */
static PyObject *
numbers_add_killed(PyObject *object, PyObject *args)
{
    table *self = (table *)object;
    PyObject *route, *method;
    unsigned long long wall, at;

    if (!PyArg_ParseTuple(args, "UUKK", &route, &method, &wall, &at))
        return NULL;
    sl_numbers_key key = { .field = {
                               [SL_NUMBERS_ROUTE] = text_of(route),
                               [SL_NUMBERS_METHOD] = text_of(method),
                           } };
    if (self->release != NULL)
        key.field[SL_NUMBERS_RELEASE] = text_of(self->release);
    if (self->host != NULL)
        key.field[SL_NUMBERS_HOST] = text_of(self->host);
    sl_numbers_request request = { .wall_ns = wall,
                                   .error = true,
                                   .sums = { [SL_NUMBERS_KEPT] = 1 } };
    if (!table_enter(self))
        return NULL;
    sl_numbers_add(self->numbers, at, &key, &request);
    if (self->first_s == 0 || at < self->first_s)
        self->first_s = at;
    if (at > self->last_s)
        self->last_s = at;
    Py_RETURN_NONE;
}

/* take(): what was added so far leaves as (first_s, last_s, bytes). */
static PyObject *
numbers_take(PyObject *object, PyObject *ignored)
{
    table *self = (table *)object;
    sl_numbers *taken = self->numbers, *next;
    sl_bytes bytes = { 0 };
    sl_status status;

    (void)ignored;
    if (!table_enter(self))
        return NULL;
    if (sl_numbers_count(taken) == 0 && sl_numbers_lost(taken) == 0)
        Py_RETURN_NONE;
    status = sl_numbers_new(&next, &self->options, NULL);
    if (status < 0)
        return sl_py_raise(status);
    uint64_t first = self->first_s, last = self->last_s;
    self->numbers = next;
    self->first_s = self->last_s = 0;
    Py_BEGIN_ALLOW_THREADS status = sl_numbers_encode(taken, 0, &bytes);
    Py_END_ALLOW_THREADS sl_numbers_free(taken);
    if (status < 0)
        return sl_py_raise(status);
    PyObject *result = Py_BuildValue(
        "(KKy#)", (unsigned long long)first, (unsigned long long)last,
        (const char *)bytes.data, (Py_ssize_t)bytes.size);
    sl_bytes_free(&bytes);
    return result;
}

/* Runs `call` on the table without the GIL; `status` is a local. */
#define WITHOUT_GIL(self, call)                                                \
    do {                                                                       \
        (self)->busy = true;                                                   \
        Py_BEGIN_ALLOW_THREADS status = (call);                                \
        Py_END_ALLOW_THREADS(self)->busy = false;                              \
    } while (0)

static PyObject *
numbers_load(PyObject *object, PyObject *arg)
{
    table *self = (table *)object;
    Py_buffer data;
    sl_status status;

    if (!table_enter(self) || PyObject_GetBuffer(arg, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    WITHOUT_GIL(self,
                sl_numbers_load(self->numbers, data.buf, (size_t)data.len));
    PyBuffer_Release(&data);
    if (status < 0)
        return sl_py_raise(status);
    Py_RETURN_NONE;
}

static PyObject *
numbers_merge(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "data", "route",  "method", "release",
                             "host", "from_s", "to_s",   NULL };
    table *self = (table *)object;
    PyObject *fields[SL_NUMBERS_FIELDS] = { NULL };
    Py_buffer data;
    unsigned long long from = 0, to = 0;
    sl_numbers_filter filter = { 0 };
    sl_status status;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*|$OOOOKK:merge", names,
                                     &data, &fields[0], &fields[1], &fields[2],
                                     &fields[3], &from, &to))
        return NULL;
    for (int i = 0; i < SL_NUMBERS_FIELDS; i++) {
        if (fields[i] != NULL && PyUnicode_Check(fields[i]))
            filter.key.field[i] = text_of(fields[i]);
    }
    filter.from_s = from;
    filter.to_s = to;
    if (!table_enter(self)) {
        PyBuffer_Release(&data);
        return NULL;
    }
    WITHOUT_GIL(self, sl_numbers_merge(self->numbers, data.buf,
                                       (size_t)data.len, &filter));
    PyBuffer_Release(&data);
    if (status < 0)
        return sl_py_raise(status);
    Py_RETURN_NONE;
}

static PyObject *
numbers_consume(PyObject *object, PyObject *args)
{
    table *self = (table *)object;
    Py_buffer source;
    unsigned long long mark;
    bool fresh = false;

    if (!PyArg_ParseTuple(args, "y*K:consume", &source, &mark))
        return NULL;
    sl_status status =
        source.len != 16 ? SL_ERANGE
        : !table_enter(self)
            ? SL_ESTATE
            : sl_numbers_consume(self->numbers, source.buf, mark, &fresh);
    PyBuffer_Release(&source);
    if (PyErr_Occurred())
        return NULL;
    return status < 0 ? sl_py_raise(status) : PyBool_FromLong(fresh);
}

static PyObject *
numbers_encode(PyObject *object, PyObject *ignored)
{
    table *self = (table *)object;
    sl_bytes bytes = { 0 };
    sl_status status;

    (void)ignored;
    if (!table_enter(self))
        return NULL;
    WITHOUT_GIL(self, sl_numbers_encode(self->numbers, 0, &bytes));
    return sl_py_take_bytes(status, &bytes);
}

static PyObject *
numbers_report(PyObject *object, PyObject *args)
{
    table *self = (table *)object;
    unsigned int limit = 0;
    sl_bytes bytes = { 0 };
    sl_status status;

    if (!PyArg_ParseTuple(args, "|I:report", &limit) || !table_enter(self))
        return NULL;
    WITHOUT_GIL(self, sl_report_numbers(self->numbers, limit, &bytes));
    return sl_py_take_bytes(status, &bytes);
}

static PyObject *
numbers_get_count(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(
        sl_numbers_count(((table *)object)->numbers));
}

static PyObject *
numbers_get_memory(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(sl_numbers_bytes(((table *)object)->numbers));
}

static PyGetSetDef numbers_getset[] = {
    { "count", numbers_get_count, NULL, "Requests that are counted in it.",
      NULL },
    { "memory", numbers_get_memory, NULL, "Bytes of memory.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMethodDef numbers_methods[] = {
    { "add", (PyCFunction)(void (*)(void))numbers_add, METH_FASTCALL,
      "add(recording, route, method, error, kept, response_bytes, /)\n--\n\n"
      "Counts a finished request, now." },
    { "add_killed", numbers_add_killed, METH_VARARGS,
      "add_killed(route, method, wall_ns, at_s, /)\n--\n\n"
      "Counts a request whose process died, at that Unix time." },
    { "take", numbers_take, METH_NOARGS,
      "take()\n--\n\nWhat was added leaves, as (Unix seconds of the first, of "
      "the last, bytes); None: nothing was." },
    { "load", numbers_load, METH_O,
      "load(data, /)\n--\n\nAn encoded table goes on, with what it was made "
      "of. CorruptError." },
    { "merge", (PyCFunction)(void (*)(void))numbers_merge,
      METH_VARARGS | METH_KEYWORDS,
      "merge(data, *, route=None, method=None, release=None, host=None, "
      "from_s=0, to_s=0)\n--\n\nAdds an encoded table, or what of it is asked "
      "for (None: any; to_s 0: no end). CorruptError." },
    { "consume", numbers_consume, METH_VARARGS,
      "consume(source, mark, /)\n--\n\nWhether the record at `mark` of "
      "`source` (16 bytes) is not in the table yet; it counts as in it from "
      "now on." },
    { "encode", numbers_encode, METH_NOARGS, "encode()\n--\n\nAs bytes." },
    { "report", numbers_report, METH_VARARGS,
      "report(limit=0, /)\n--\n\nJSON bytes: sl_report_numbers of "
      "slowlens/numbers.h." },
    { NULL, NULL, 0, NULL },
};

PyTypeObject sl_py_numbers_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Numbers",
    .tp_doc = "Numbers(period_s=60, release='', host='', apart=0)\n--\n\n"
              "Numbers of all requests: see slowlens/numbers.h. `release` and "
              "`host` are those of each request that is added; `apart`: bits "
              "of the fields told apart, 0 for all.",
    .tp_basicsize = sizeof(table),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = numbers_new,
    .tp_dealloc = numbers_dealloc,
    .tp_methods = numbers_methods,
    .tp_getset = numbers_getset,
};
