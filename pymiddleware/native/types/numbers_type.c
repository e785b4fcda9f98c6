/* numbers_type.c - Numbers: of all requests, for Python; slowlens/numbers.h. */
#include "types/numbers_type.h"
#include "board/board.h"
#include "types/recording_type.h"
#include "types/values.h"

#include "slowlens/journal.h"
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
    sl_py_board *board;       /* strong: has the journal's memory; NULL: none */
    sl_journal *journal;      /* as long as the board is open */
} table;

/* NULL: nothing is noted, or what is there belongs to a parent. */
static sl_journal *
journal_of(const table *self)
{
    return self->board != NULL && self->board->journal_of == self &&
                   sl_py_board_journal(self->board) != NULL
               ? self->journal
               : NULL;
}

/* Of a request of this process. */
static void
count_now(table *self, sl_numbers_key *key, const sl_numbers_request *request)
{
    uint64_t now = sl_clock_unix_s();
    sl_journal *journal = journal_of(self);

    if (journal != NULL)
        sl_journal_add(journal, now, key, request);
    sl_numbers_add(self->numbers, now, key, request);
    self->first_s = self->first_s != 0 ? self->first_s : now;
    self->last_s = now;
}

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
    if (self->board != NULL && self->board->journal_of == self)
        self->board->journal_of = NULL;
    sl_journal_free(self->journal);
    Py_XDECREF(self->board);
    Py_XDECREF(self->release);
    Py_XDECREF(self->host);
    Py_TYPE(object)->tp_free(object);
}

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

int
sl_py_numbers_add(PyObject *object, const sl_py_counted *counted)
{
    table *self = (table *)object;
    const sl_py_recording *recording = counted->recording;

    if (recording->core == NULL || !recording->finished) {
        PyErr_SetString(PyExc_RuntimeError, "a finished recording is needed");
        return -1;
    }
    if (!table_enter(self))
        return -1;
    sl_recording_waits waits;
    sl_recording_waits_get(recording->core, &waits);
    uint64_t apart = waits.await_ns + waits.loop_ns + waits.idle_ns;
    uint64_t ran = waits.wall_ns > apart ? waits.wall_ns - apart : 0;
    uint64_t off = ran > recording->cpu_ns ? ran - recording->cpu_ns : 0;
    uint64_t queue = waits.run_queue_ns < off ? waits.run_queue_ns : off;
    uint64_t gil = waits.gil_ns < off - queue ? waits.gil_ns : off - queue;

    sl_numbers_key key = { .field = {
                               [SL_NUMBERS_ROUTE] = text_of(counted->route),
                               [SL_NUMBERS_METHOD] = text_of(counted->method),
                           } };
    if (self->release != NULL)
        key.field[SL_NUMBERS_RELEASE] = text_of(self->release);
    if (self->host != NULL)
        key.field[SL_NUMBERS_HOST] = text_of(self->host);
    sl_numbers_request request = {
        .wall_ns = waits.wall_ns,
        .cpu_ns = recording->cpu_ns,
        .error = counted->error,
        .sums = { [SL_NUMBERS_BYTES] = counted->response_bytes,
                  [SL_NUMBERS_KEPT] = counted->kept,
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
    count_now(self, &key, &request);
    return 0;
}

bool
sl_py_numbers_are_full(PyObject *object)
{
    const sl_journal *journal = journal_of((table *)object);
    return journal != NULL && sl_journal_is_filling(journal);
}

/* add(recording, route, method, error, kept, response_bytes) */
static PyObject *
numbers_add(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    if (count != 6 || !Py_IS_TYPE(args[0], &sl_py_recording_type) ||
        !PyUnicode_Check(args[1]) || !PyUnicode_Check(args[2]) ||
        !PyLong_Check(args[5])) {
        PyErr_SetString(PyExc_TypeError, "add(recording, route, method, error, "
                                         "kept, response_bytes)");
        return NULL;
    }
    uint64_t bytes = PyLong_AsUnsignedLongLong(args[5]);
    if (bytes == (uint64_t)-1 && PyErr_Occurred())
        PyErr_Clear(), bytes = 0;
    sl_py_counted counted = { .recording = (sl_py_recording *)args[0],
                              .route = args[1],
                              .method = args[2],
                              .error = args[3] == Py_True,
                              .kept = args[4] == Py_True,
                              .response_bytes = bytes };
    if (sl_py_numbers_add(object, &counted) < 0)
        return NULL;
    Py_RETURN_NONE;
}

void
sl_py_numbers_add_timed(PyObject *numbers, PyObject *route, PyObject *method,
                        uint64_t wall_ns, bool error, uint64_t response_bytes)
{
    table *self = (table *)numbers;
    sl_numbers_key key = { .field = {
                               [SL_NUMBERS_ROUTE] = text_of(route),
                               [SL_NUMBERS_METHOD] = text_of(method),
                           } };

    if (self->busy)
        return; /* merging: no table of requests is */
    if (self->release != NULL)
        key.field[SL_NUMBERS_RELEASE] = text_of(self->release);
    if (self->host != NULL)
        key.field[SL_NUMBERS_HOST] = text_of(self->host);
    count_now(
        self, &key,
        &(sl_numbers_request){ .wall_ns = wall_ns,
                               .error = error,
                               .times_only = true,
                               .sums = { [SL_NUMBERS_BYTES] = response_bytes,
                                         [SL_NUMBERS_TIMED] = 1,
                                         [SL_NUMBERS_TIMED_WALL] = wall_ns } });
}

/* ---- the journal ---- */

static sl_numbers_text
text_or_none(PyObject *value)
{
    return value != NULL ? text_of(value) : (sl_numbers_text){ NULL, 0 };
}

/* note_in(board, seed) */
static PyObject *
numbers_note_in(PyObject *object, PyObject *args)
{
    table *self = (table *)object;
    sl_py_board *board;
    const char *seed;
    Py_ssize_t seed_size;
    uint64_t number;

    if (!PyArg_ParseTuple(args, "O!y#:note_in", &sl_py_board_type, &board,
                          &seed, &seed_size))
        return NULL;
    if (seed_size != (Py_ssize_t)sizeof(number)) {
        PyErr_SetString(PyExc_ValueError, "seed: 8 bytes");
        return NULL;
    }
    void *memory = sl_py_board_journal(board);
    if (journal_of(self) != NULL)
        Py_RETURN_TRUE;
    if (memory == NULL || board->journal_of != NULL)
        Py_RETURN_FALSE;
    memcpy(&number, seed, sizeof(number));
    sl_numbers_text release = text_or_none(self->release),
                    host = text_or_none(self->host);
    sl_journal *journal;
    if (sl_journal_new(&journal, memory, board->journal_bytes, number, &release,
                       &host, NULL) < 0)
        Py_RETURN_FALSE;
    sl_journal_free(self->journal);
    self->journal = journal;
    Py_XSETREF(self->board, (sl_py_board *)Py_NewRef(board));
    board->journal_of = self;
    Py_RETURN_TRUE;
}

static PyObject *
numbers_stored(PyObject *object, PyObject *source)
{
    table *self = (table *)object;
    sl_journal *journal = journal_of(self);

    if (!PyBytes_Check(source)) {
        PyErr_SetString(PyExc_TypeError, "a source is bytes");
        return NULL;
    }
    if (journal != NULL && PyBytes_GET_SIZE(source) == 16)
        sl_journal_stored(journal, (const uint8_t *)PyBytes_AS_STRING(source));
    Py_RETURN_NONE;
}

static PyObject *
numbers_get_wants(PyObject *object, void *closure)
{
    table *self = (table *)object;
    sl_journal *journal = journal_of(self);

    (void)closure;
    return PyBool_FromLong(sl_numbers_count(self->numbers) == 0 ||
                           (journal != NULL && sl_journal_is_filling(journal)));
}

static PyObject *
numbers_get_full(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(sl_py_numbers_are_full(object));
}

/* One half of a journal, as a NEW tuple; None: there is nothing in it. */
static PyObject *
half_of(const Py_buffer *buffer, size_t at, unsigned half)
{
    uint8_t source[16];
    uint64_t first, last, requests;
    bool storing;
    sl_numbers *numbers;
    sl_bytes bytes = { 0 };
    PyObject *result = NULL;

    sl_status status =
        sl_numbers_new(&numbers, &(sl_numbers_options){ .period_s = 60 }, NULL);
    if (status < 0)
        return sl_py_raise(status);
    sl_journal_read((const char *)buffer->buf + at, (size_t)buffer->len - at,
                    half, numbers, source, &first, &last, &requests, &storing);
    if (sl_numbers_count(numbers) == 0) {
        sl_numbers_free(numbers);
        Py_RETURN_NONE;
    }
    Py_BEGIN_ALLOW_THREADS status = sl_numbers_encode(numbers, 0, &bytes);
    Py_END_ALLOW_THREADS sl_numbers_free(numbers);
    PyObject *encoded = sl_py_take_bytes(status, &bytes);
    if (encoded != NULL)
        result = Py_BuildValue(
            "(Iy#KKNO)", half, (const char *)source, (Py_ssize_t)sizeof(source),
            (unsigned long long)first, (unsigned long long)last, encoded,
            storing ? Py_True : Py_False);
    return result;
}

static bool
journal_at(const Py_buffer *buffer, size_t *at)
{
    uint32_t slots;

    if (sl_board_check(buffer->buf, (size_t)buffer->len, &slots, NULL, NULL,
                       NULL) < 0) {
        PyErr_SetString(PyExc_ValueError, "no board");
        return false;
    }
    *at = sl_board_bytes(slots);
    return true;
}

PyObject *
sl_py_board_numbers(PyObject *module, PyObject *args)
{
    Py_buffer buffer;
    PyObject *list = NULL;
    size_t at;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*:board_numbers", &buffer))
        return NULL;
    if (journal_at(&buffer, &at))
        list = PyList_New(0);
    for (unsigned half = 0; list != NULL && half < SL_JOURNAL_HALVES; half++) {
        PyObject *one = half_of(&buffer, at, half);
        if (one == NULL || (one != Py_None && PyList_Append(list, one) < 0))
            Py_CLEAR(list);
        Py_XDECREF(one);
    }
    PyBuffer_Release(&buffer);
    return list;
}

PyObject *
sl_py_board_numbers_mark(PyObject *module, PyObject *args)
{
    Py_buffer buffer;
    unsigned int half;
    int stored;
    size_t at;

    (void)module;
    if (!PyArg_ParseTuple(args, "w*Ip:board_numbers_mark", &buffer, &half,
                          &stored))
        return NULL;
    bool good = journal_at(&buffer, &at);
    if (good)
        sl_journal_mark((char *)buffer.buf + at, (size_t)buffer.len - at, half,
                        stored != 0);
    PyBuffer_Release(&buffer);
    if (!good)
        return NULL;
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

/* take(): what was added so far leaves as (first_s, last_s, bytes, source). */
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
    sl_journal *journal = journal_of(self);
    uint8_t source[16] = { 0 };
    if (journal != NULL)
        sl_journal_turn(journal, source);
    self->numbers = next;
    self->first_s = self->last_s = 0;
    Py_BEGIN_ALLOW_THREADS status = sl_numbers_encode(taken, 0, &bytes);
    Py_END_ALLOW_THREADS sl_numbers_free(taken);
    if (status < 0)
        return sl_py_raise(status);
    PyObject *result = Py_BuildValue(
        "(KKy#y#)", (unsigned long long)first, (unsigned long long)last,
        (const char *)bytes.data, (Py_ssize_t)bytes.size, (const char *)source,
        (Py_ssize_t)(journal != NULL ? sizeof(source) : 0));
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
    { "wants", numbers_get_wants, NULL,
      "Somebody is to store them soon: the next request is the first since "
      "take, or the journal is nearly full.",
      NULL },
    { "full", numbers_get_full, NULL, "The journal is nearly full.", NULL },
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
      "the last, bytes, source); None: nothing was. `source` names it in the "
      "journal, b'' where there is none." },
    { "note_in", numbers_note_in, METH_VARARGS,
      "note_in(board, seed, /)\n--\n\nWhat is counted from now on is noted "
      "behind the Board, too, for whoever finds it when this process is dead. "
      "`seed`: 8 random bytes. False: there is no place, or it is another's." },
    { "stored", numbers_stored, METH_O,
      "stored(source, /)\n--\n\nWhat take gave is stored: its notes go." },
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
