/* board.h - the board of this process, and a request's entry on it.
 *
 *   Board(memory)          a mapped file, see slowlens/board.h
 *     `-- begin() -> Entry    one running request: its id, and its slot
 *
 * An entry is made when the request begins, belongs to its recording from
 * then on, and is over with it. It knows nothing of the recording, so nothing
 * points in a circle. In a forked child all entries are over: the memory is
 * the parent's.
 *
 * With the GIL held, but for sl_py_entry_seen: under the sampler's lock.
 */
#ifndef SL_PY_BOARD_H
#define SL_PY_BOARD_H

#include "compat/py_compat.h"

#include "slowlens/board.h"

typedef struct {
    PyObject_HEAD Py_buffer buffer; /* holds the memory */
    sl_board *board;                /* NULL: closed, or the parent's */
    uint64_t random;                /* state of the ids' chance */
    size_t journal_bytes;           /* at the end of the memory */
    const void *journal_of;         /* whose it is, compared only; NULL: free */
} sl_py_board;

typedef struct {
    PyObject_HEAD sl_py_board *board; /* strong */
    uint32_t slot;                    /* SL_BOARD_NONE: over, or no room */
    uint8_t id[16];
    uint64_t started_unix_ns;
    uint64_t started; /* CLOCK_MONOTONIC */
    /* Under the sampler's lock: where it was seen last. */
    const void *code;
    uint32_t line;
} sl_py_entry;

extern PyTypeObject sl_py_board_type;
extern PyTypeObject sl_py_entry_type;

/* The request runs here from `now` (CLOCK_MONOTONIC) on / waits. `entry` may be
 * NULL in all of these. Never raise. */
void sl_py_entry_runs(sl_py_entry *entry, uint64_t now);
void sl_py_entry_waits(sl_py_entry *entry, uint64_t now);

/* A NEW entry of a request that begins now; method and path are str. NULL with
 * an exception. */
sl_py_entry *sl_py_board_begin(sl_py_board *board, uint64_t started_unix_ns,
                               PyObject *method, PyObject *path, bool sampled);

/* Its route, a str, is known. Never raises. */
void sl_py_entry_name(sl_py_entry *entry, PyObject *route);

/* The profile's id, a NEW str; NULL with an exception. */
PyObject *sl_py_entry_id(const sl_py_entry *entry);

/* It is over. Idempotent. */
void sl_py_entry_end(sl_py_entry *entry);

/* The sampler saw it at `now` (CLOCK_MONOTONIC) in `code`, whose texts these
 * are. Under the sampler's lock, between the entry's begin and its end. */
void sl_py_entry_seen(sl_py_entry *entry, uint64_t now, const void *code,
                      const char *name, size_t name_len, const char *file,
                      size_t file_len, uint32_t line);

/* The process was alive at `now` (CLOCK_MONOTONIC). As sl_py_entry_seen. */
void sl_py_entry_beat(sl_py_entry *entry, uint64_t now);

/* The place of the journal (slowlens/journal.h) behind the board; NULL: there
 * is none, or it is closed. */
void *sl_py_board_journal(const sl_py_board *board);

/* In a forked child: no board is ours. */
void sl_py_board_after_fork(void);

/* board_read(memory, dead) and board_clear(memory, slot), module functions. */
PyObject *sl_py_board_read(PyObject *module, PyObject *args);
PyObject *sl_py_board_clear(PyObject *module, PyObject *args);

#endif /* SL_PY_BOARD_H */
