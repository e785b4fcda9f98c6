/* board.c - Board and Entry, for Python; and reading boards of others. */
#include "board/board.h"

#include "slowlens/clock.h"
#include "slowlens/segment.h"

#include <pthread.h>
#include <string.h>

/* Boards that are open, so that a forked child can let go of them. One for
 * each store of the process. */
#define BOARDS_MAX 64
static sl_py_board *boards[BOARDS_MAX];
static bool handler_set;

/* ---- fork ---- */

static void
forget_boards(void)
{
    for (int i = 0; i < BOARDS_MAX; i++) {
        if (boards[i] != NULL)
            boards[i]->board = NULL; /* a few KiB stay behind in the child */
        boards[i] = NULL;
    }
}

void
sl_py_board_after_fork(void)
{
    forget_boards();
}

/* ---- the board ---- */

/* Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators":
 * SplitMix64. Ids must not meet; they are no secret. */
static uint64_t
board_random(sl_py_board *self)
{
    uint64_t z = self->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* A ULID (github.com/ulid/spec): 48 bits of milliseconds, 80 of chance. */
static void
board_id(sl_py_board *self, uint64_t unix_ns, uint8_t id[16])
{
    uint64_t ms = unix_ns / 1000000u;
    uint64_t low = board_random(self), high = board_random(self);

    for (int i = 0; i < 6; i++)
        id[i] = (uint8_t)(ms >> (8 * (5 - i)));
    memcpy(id + 6, &low, 8);
    memcpy(id + 14, &high, 2);
}

static PyObject *
board_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "memory",        "seed", "pid",
                             "pid_started",   "boot", "namespaces",
                             "journal_bytes", NULL };
    PyObject *memory;
    const char *seed, *boot;
    Py_ssize_t seed_size, boot_size;
    unsigned int pid;
    unsigned long long pid_started, namespaces;
    unsigned int journal = 0;

    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "Oy#IKy#K|I:Board", names, &memory, &seed, &seed_size,
            &pid, &pid_started, &boot, &boot_size, &namespaces, &journal))
        return NULL;
    if (seed_size != 8 || boot_size != 16) {
        PyErr_SetString(PyExc_ValueError, "seed: 8 bytes, boot: 16");
        return NULL;
    }
    int at = 0;
    while (at < BOARDS_MAX && boards[at] != NULL)
        at++;
    if (at == BOARDS_MAX) {
        PyErr_SetString(PyExc_RuntimeError, "too many boards");
        return NULL;
    }
    if (!handler_set && pthread_atfork(NULL, NULL, forget_boards) != 0)
        return PyErr_NoMemory();
    handler_set = true;

    sl_py_board *self = (sl_py_board *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (PyObject_GetBuffer(memory, &self->buffer, PyBUF_WRITABLE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    sl_board_owner owner = { .pid = pid,
                             .pid_started = pid_started,
                             .namespaces = namespaces };
    memcpy(owner.boot, boot, sizeof(owner.boot));
    memcpy(&self->random, seed, sizeof(self->random));
    /* The board ends where its last slot does: so a reader finds it. */
    size_t size = (size_t)self->buffer.len;
    self->journal_bytes = journal < size ? journal : 0;
    sl_status status =
        (size - self->journal_bytes) % 8 != 0
            ? SL_ERANGE
            : sl_board_new(&self->board, self->buffer.buf,
                           size - self->journal_bytes, &owner, NULL);
    if (status < 0) {
        Py_DECREF(self);
        PyErr_SetString(PyExc_ValueError, sl_status_text(status));
        return NULL;
    }
    boards[at] = self;
    return (PyObject *)self;
}

void *
sl_py_board_journal(const sl_py_board *self)
{
    if (self->board == NULL || self->journal_bytes == 0)
        return NULL;
    return (char *)self->buffer.buf + self->buffer.len - self->journal_bytes;
}

static void
board_shut(sl_py_board *self)
{
    for (int i = 0; i < BOARDS_MAX; i++) {
        if (boards[i] == self)
            boards[i] = NULL;
    }
    sl_board_free(self->board);
    self->board = NULL;
}

static void
board_dealloc(PyObject *object)
{
    sl_py_board *self = (sl_py_board *)object;
    board_shut(self);
    if (self->buffer.obj != NULL)
        PyBuffer_Release(&self->buffer);
    Py_TYPE(object)->tp_free(object);
}

static PyObject *
board_close(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_board *self = (sl_py_board *)object;
    board_shut(self);
    if (self->buffer.obj != NULL)
        PyBuffer_Release(&self->buffer);
    Py_RETURN_NONE;
}

/* The text in UTF-8; what has none (lone surrogates) is shown as nothing. */
static const char *
utf8_of(PyObject *text, size_t *len)
{
    Py_ssize_t size;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &size);

    if (bytes == NULL)
        PyErr_Clear(), bytes = "", size = 0;
    *len = (size_t)size;
    return bytes;
}

sl_py_entry *
sl_py_board_begin(sl_py_board *self, uint64_t started, PyObject *method,
                  PyObject *path, bool sampled)
{
    sl_py_entry *entry = PyObject_New(sl_py_entry, &sl_py_entry_type);
    if (entry == NULL)
        return NULL;
    sl_board_request request = {
        .started_unix_ns = started,
        .now = sl_clock_monotonic_ns(),
        .tid = (uint32_t)sl_py_borrow_tstate()->native_thread_id,
        .mode = sampled ? SL_BOARD_SAMPLING : SL_BOARD_DETERMINISTIC,
    };
    request.method = utf8_of(method, &request.method_len);
    request.path = utf8_of(path, &request.path_len);
    board_id(self, started, request.id);
    memcpy(entry->id, request.id, sizeof(entry->id));
    entry->started_unix_ns = started;
    entry->started = request.now;
    entry->code = NULL;
    entry->line = 0;
    entry->board = (sl_py_board *)Py_NewRef((PyObject *)self);
    entry->slot = self->board == NULL ? SL_BOARD_NONE
                                      : sl_board_begin(self->board, &request);
    return entry;
}

/* begin(started_ns, method, path, sampled) */
static PyObject *
board_begin(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    if (count != 4 || !PyLong_Check(args[0]) || !PyUnicode_Check(args[1]) ||
        !PyUnicode_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError,
                        "begin(started_ns, method, path, sampled)");
        return NULL;
    }
    uint64_t started = PyLong_AsUnsignedLongLong(args[0]);
    if (started == (uint64_t)-1 && PyErr_Occurred())
        return NULL;
    return (PyObject *)sl_py_board_begin((sl_py_board *)object, started,
                                         args[1], args[2], args[3] == Py_True);
}

/* ---- an entry ---- */

static void
entry_change(sl_py_entry *entry, sl_board_state state, uint32_t tid,
             uint64_t now)
{
    if (entry != NULL && entry->board->board != NULL)
        sl_board_change(entry->board->board, entry->slot, state, tid, now);
}

void
sl_py_entry_runs(sl_py_entry *entry, uint64_t now)
{
    entry_change(entry, SL_BOARD_RUNS,
                 (uint32_t)sl_py_borrow_tstate()->native_thread_id, now);
}

void
sl_py_entry_waits(sl_py_entry *entry, uint64_t now)
{
    entry_change(entry, SL_BOARD_WAITS, 0, now);
}

void
sl_py_entry_end(sl_py_entry *entry)
{
    if (entry == NULL)
        return;
    /* What ends because the interpreter does (a response that was never closed)
     * has nobody left who could store it: it stays on the board, as of a
     * process that died, for whoever looks next. */
    if (entry->board->board != NULL && !sl_py_is_finalizing())
        sl_board_end(entry->board->board, entry->slot);
    entry->slot = SL_BOARD_NONE;
}

void
sl_py_entry_seen(sl_py_entry *entry, uint64_t now, const void *code,
                 const char *name, size_t name_len, const char *file,
                 size_t file_len, uint32_t line)
{
    if (entry == NULL || entry->board->board == NULL)
        return;
    if (entry->code == code && entry->line == line) {
        sl_board_still(entry->board->board, entry->slot, now);
        return;
    }
    entry->code = code;
    entry->line = line;
    sl_board_seen(entry->board->board, entry->slot, now, name, name_len, file,
                  file_len, line);
}

void
sl_py_entry_beat(sl_py_entry *entry, uint64_t now)
{
    if (entry != NULL && entry->board->board != NULL)
        sl_board_beat(entry->board->board, now);
}

static void
entry_dealloc(PyObject *object)
{
    sl_py_entry *entry = (sl_py_entry *)object;
    sl_py_entry_end(entry);
    Py_DECREF(entry->board);
    PyObject_Free(object);
}

void
sl_py_entry_name(sl_py_entry *entry, PyObject *route)
{
    size_t len;
    const char *text = utf8_of(route, &len);
    if (entry->board->board != NULL)
        sl_board_name(entry->board->board, entry->slot, text, len);
}

static PyObject *
entry_name(PyObject *object, PyObject *route)
{
    if (!PyUnicode_Check(route)) {
        PyErr_SetString(PyExc_TypeError, "a route is a str");
        return NULL;
    }
    sl_py_entry_name((sl_py_entry *)object, route);
    Py_RETURN_NONE;
}

static PyObject *
entry_end(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sl_py_entry_end((sl_py_entry *)object);
    Py_RETURN_NONE;
}

static PyObject *
id_text(const uint8_t id[16])
{
    char text[SL_ID_TEXT];
    sl_id_text(id, text);
    return PyUnicode_FromStringAndSize(text, SL_ID_TEXT);
}

PyObject *
sl_py_entry_id(const sl_py_entry *entry)
{
    return id_text(entry->id);
}

static PyObject *
entry_id(PyObject *object, void *closure)
{
    (void)closure;
    return sl_py_entry_id((sl_py_entry *)object);
}

/* ---- reading ---- */

/* Text of another process: shown whatever it is. */
static PyObject *
text_of(const char *text)
{
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

static PyObject *
request_of(const sl_board_entry *e, uint32_t slot)
{
    return Py_BuildValue(
        "{s:I,s:N,s:s,s:s,s:K,s:K,s:K,s:I,s:N,s:N,s:N,s:K,s:K,s:N,s:N,s:I}",
        "slot", slot, "id", id_text(e->id), "state",
        e->state == SL_BOARD_RUNS ? "runs" : "waits", "mode",
        e->mode == SL_BOARD_SAMPLING ? "sampling" : "deterministic", "started",
        (unsigned long long)e->started_unix_ns, "started_mono",
        (unsigned long long)e->started, "changed_mono",
        (unsigned long long)e->changed, "tid", e->tid, "method",
        text_of(e->method), "path", text_of(e->path), "route",
        text_of(e->route), "looks", (unsigned long long)e->looks, "seen_mono",
        (unsigned long long)e->seen, "name", text_of(e->name), "file",
        text_of(e->file), "line", e->line);
}

PyObject *
sl_py_board_read(PyObject *module, PyObject *args)
{
    Py_buffer buffer;
    int dead = 0;
    uint32_t slots;
    sl_board_owner owner;
    uint64_t beat, missed;
    PyObject *result = NULL;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*|p:board_read", &buffer, &dead))
        return NULL;
    sl_status status = sl_board_check(buffer.buf, (size_t)buffer.len, &slots,
                                      &owner, &beat, &missed);
    PyObject *list = status < 0 ? NULL : PyList_New(0);
    if (status < 0)
        PyErr_Format(PyExc_ValueError, "no board: %s", sl_status_text(status));
    for (uint32_t i = 0; list != NULL && i < slots; i++) {
        sl_board_entry entry;
        if (!sl_board_read(buffer.buf, i, dead != 0, &entry))
            continue;
        PyObject *one = request_of(&entry, i);
        if (one == NULL || PyList_Append(list, one) < 0)
            Py_CLEAR(list);
        Py_XDECREF(one);
    }
    if (list != NULL)
        result =
            Py_BuildValue("{s:I,s:K,s:y#,s:K,s:K,s:K,s:N}", "pid", owner.pid,
                          "pid_started", (unsigned long long)owner.pid_started,
                          "boot", owner.boot, (Py_ssize_t)sizeof(owner.boot),
                          "namespaces", (unsigned long long)owner.namespaces,
                          "beat_mono", (unsigned long long)beat, "missed",
                          (unsigned long long)missed, "requests", list);
    PyBuffer_Release(&buffer);
    return result;
}

PyObject *
sl_py_board_clear(PyObject *module, PyObject *args)
{
    Py_buffer buffer;
    unsigned int slot;
    uint32_t slots;

    (void)module;
    if (!PyArg_ParseTuple(args, "w*I:board_clear", &buffer, &slot))
        return NULL;
    bool good = sl_board_check(buffer.buf, (size_t)buffer.len, &slots, NULL,
                               NULL, NULL) == SL_OK &&
                slot < slots;
    if (good)
        sl_board_clear(buffer.buf, slot);
    PyBuffer_Release(&buffer);
    if (good)
        Py_RETURN_NONE;
    PyErr_SetString(PyExc_ValueError, "no such slot");
    return NULL;
}

/* ---- the types ---- */

static PyObject *
board_count(PyObject *object, void *closure)
{
    const sl_py_board *self = (sl_py_board *)object;
    (void)closure;
    return PyLong_FromUnsignedLong(
        self->board == NULL ? 0 : sl_board_count(self->board));
}

static PyGetSetDef board_getset[] = {
    { "count", board_count, NULL, "Requests on it.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyMethodDef board_methods[] = {
    { "begin", (PyCFunction)(void (*)(void))board_begin, METH_FASTCALL,
      "begin(started_ns, method, path, sampled, /)\n--\n\nAn Entry: a request "
      "that runs from now on, in the calling thread. `started_ns` is Unix "
      "time. Where the board is full or closed, it has an id and no slot." },
    { "close", board_close, METH_NOARGS,
      "close()\n--\n\nLets go of the memory; nobody may be sampling. "
      "Idempotent." },
    { NULL, NULL, 0, NULL },
};

PyTypeObject sl_py_board_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Board",
    .tp_doc = "Board(memory, seed, pid, pid_started, boot, namespaces, "
              "journal_bytes=0)\n--\n\n"
              "Requests that run in this process, in `memory` (writable, "
              "zeroed) that others read: see slowlens/board.h. `seed`: 8 "
              "random bytes for the ids; `journal_bytes` at the end are for "
              "Numbers.note_in. ValueError: too little memory.",
    .tp_basicsize = sizeof(sl_py_board),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = board_new,
    .tp_dealloc = board_dealloc,
    .tp_methods = board_methods,
    .tp_getset = board_getset,
};

static PyMethodDef entry_methods[] = {
    { "name", entry_name, METH_O,
      "name(route, /)\n--\n\nThe request's route is known." },
    { "end", entry_end, METH_NOARGS,
      "end()\n--\n\nThe request is over. Idempotent; a Recording does it." },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef entry_getset[] = {
    { "id", entry_id, NULL, "The profile's id, a lower-case ULID.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

PyTypeObject sl_py_entry_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Entry",
    .tp_doc = "A running request on a Board; made by Board.begin.",
    .tp_basicsize = sizeof(sl_py_entry),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = entry_dealloc,
    .tp_methods = entry_methods,
    .tp_getset = entry_getset,
};
