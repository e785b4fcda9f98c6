/* slowlens/board.h - which requests run now, in memory that others can read.
 *
 *   head   4,096 bytes: whose board this is, when it was last alive
 *   slot   384 bytes: one running request
 *     .. 255   what it is, since when, whether it runs or waits
 *     256 ..   where it was seen last, by a sampler
 *   slot   ...
 *
 * The memory is the caller's, a mapped file as a rule: what a process wrote
 * there outlives it, so that after a SIGKILL another one can read what was
 * running. Writing takes no lock and no system call, about 10 ns a change.
 *
 * Each half of a slot has a count that is odd while it is being written: a
 * reader takes what it copied if the count was even, and the same before and
 * after. Words are copied as relaxed atomics, so that racing is defined.
 *
 * Threads: one at a time may call begin, name, state and end (under CPython:
 * hold the GIL). sl_board_seen may run beside them, from one thread at a time,
 * as long as the slot is in use. Readers may be any number, anywhere.
 *
 * Times are CLOCK_MONOTONIC in ns, one clock for all processes of a machine
 * until it is started again, but where it says Unix time.
 */
#ifndef SL_BOARD_H
#define SL_BOARD_H

#include "slowlens/alloc.h"
#include "slowlens/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sl_board sl_board;

#define SL_BOARD_HEAD_BYTES ((size_t)4096)
#define SL_BOARD_SLOT_BYTES ((size_t)384)
#define SL_BOARD_SLOTS_MAX  65536u

/* No slot: the board is full. All functions below take it and do nothing. */
#define SL_BOARD_NONE UINT32_MAX

typedef enum {
    SL_BOARD_FREE = 0,
    SL_BOARD_RUNS = 1,  /* in a thread */
    SL_BOARD_WAITS = 2, /* for an event loop, or between two chunks */
} sl_board_state;

typedef enum {
    SL_BOARD_DETERMINISTIC = 0,
    SL_BOARD_SAMPLING = 1,
} sl_board_mode;

/* Whose board it is. */
typedef struct {
    uint32_t pid;         /* as its own namespace counts */
    uint64_t pid_started; /* field 22 of /proc/PID/stat; 0: not known */
    uint8_t boot[16];     /* which start of the machine */
    uint64_t namespaces;  /* inode of its pid namespace; 0: not known */
} sl_board_owner;

#define SL_BOARD_METHOD_BYTES 16
#define SL_BOARD_PATH_BYTES   80
#define SL_BOARD_ROUTE_BYTES  104
#define SL_BOARD_NAME_BYTES   48
#define SL_BOARD_FILE_BYTES   48

/* A request that begins. Texts are UTF-8, borrowed for the call, and cut where
 * they are too long; a file's name is cut at its beginning. */
typedef struct {
    uint8_t id[16];
    uint64_t started_unix_ns;
    uint64_t now;
    uint32_t tid;
    sl_board_mode mode;
    const char *method;
    size_t method_len;
    const char *path;
    size_t path_len;
} sl_board_request;

/* A slot as it was read. Texts end with NUL. */
typedef struct {
    sl_board_state state;
    sl_board_mode mode;
    uint8_t id[16];
    uint64_t started_unix_ns;
    uint64_t started;
    uint64_t changed; /* when it began to run or wait */
    uint32_t tid;
    char method[SL_BOARD_METHOD_BYTES];
    char path[SL_BOARD_PATH_BYTES];
    char route[SL_BOARD_ROUTE_BYTES]; /* "": not known yet */
    uint64_t looks;                   /* of the sampler; 0: the rest is empty */
    uint64_t seen;                    /* when, */
    uint32_t line;                    /* and where: */
    char name[SL_BOARD_NAME_BYTES];
    char file[SL_BOARD_FILE_BYTES];
} sl_board_entry;

/* Bytes of memory for so many slots. */
size_t sl_board_bytes(uint32_t slots);

/* Writes an empty board into `memory` (aligned to 8, at least one slot) and
 * makes its writer in *out. The memory must outlive it. `alloc` is copied, NULL
 * means libc. SL_ENOMEM; SL_ELIMIT: no room for one slot. */
sl_status sl_board_new(sl_board **out, void *memory, size_t size,
                       const sl_board_owner *owner, const sl_alloc *alloc);

/* Frees the writer and leaves the memory as it is. */
void sl_board_free(sl_board *board);

/* Takes a slot; SL_BOARD_NONE: all are taken (counted in the head). */
uint32_t sl_board_begin(sl_board *board, const sl_board_request *request);

/* Slots that are taken. */
uint32_t sl_board_count(const sl_board *board);

/* The request's route is known. */
void sl_board_name(sl_board *board, uint32_t slot, const char *route,
                   size_t len);

/* It runs in thread `tid` / waits from `now` on. */
void sl_board_change(sl_board *board, uint32_t slot, sl_board_state state,
                     uint32_t tid, uint64_t now);

/* It is over: the slot is free. */
void sl_board_end(sl_board *board, uint32_t slot);

/* A sampler saw the request at `now` where it had seen it before... */
void sl_board_still(sl_board *board, uint32_t slot, uint64_t now);

/* ...or there. */
void sl_board_seen(sl_board *board, uint32_t slot, uint64_t now,
                   const char *name, size_t name_len, const char *file,
                   size_t file_len, uint32_t line);

/* The process was alive at `now`. Any thread. */
void sl_board_beat(sl_board *board, uint64_t now);

/* ---- reading, in any process ---- */

/* Whether `memory` is a board, of what size, and whose: SL_ECORRUPT if not,
 * SL_EVERSION if of another version. `beat`: when its owner was last alive;
 * `missed`: requests that found no slot. Each `out` may be NULL. */
sl_status sl_board_check(const void *memory, size_t size, uint32_t *slots,
                         sl_board_owner *owner, uint64_t *beat,
                         uint64_t *missed);

/* Reads slot `slot`, which must be below *slots. false: it is free, or was
 * being written all the time. A half-written slot of a process that is dead:
 * `dead` takes it as it is, for nobody will finish it. */
bool sl_board_read(const void *memory, uint32_t slot, bool dead,
                   sl_board_entry *out);

/* Frees a slot of a dead process's board. */
void sl_board_clear(void *memory, uint32_t slot);

#endif /* SL_BOARD_H */
