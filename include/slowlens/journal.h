/* slowlens/journal.h - requests counted since numbers were stored last, in
 * memory that outlives the process.
 *
 *   request ended -> sl_numbers_add    in a table of the process, and
 *                    sl_journal_add    in mapped memory, no system call
 *   a minute later   sl_journal_turn   adding goes on in the other half
 *                    (the table is stored)
 *                    sl_journal_stored the first half is forgotten
 *   SIGKILL        ->  whoever finds the memory: sl_journal_read, stores that
 *
 * The memory is the caller's, the end of a board's file as a rule. A request is
 * in it when the half's length says so, which is written last: what a kill cuts
 * short is not read. What a half holds has a name (`source`, 16 bytes): a store
 * that remembers it takes it once, whoever brings it. A half says whether
 * somebody was about to store it, so that others look there first.
 *
 * Bounded: a request that finds no room in its half is not in the journal, and
 * in the table all the same.
 *
 * Threads: one at a time may call the writer's functions (under CPython: hold
 * the GIL). Only a dead process's journal is read.
 */
#ifndef SL_JOURNAL_H
#define SL_JOURNAL_H

#include "slowlens/alloc.h"
#include "slowlens/numbers.h"
#include "slowlens/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sl_journal sl_journal;

#define SL_JOURNAL_HEAD_BYTES ((size_t)1024)
#define SL_JOURNAL_HALVES     2u
/* Of release and host; what is longer is cut. */
#define SL_JOURNAL_TEXT_MAX 200u

/* Bytes of memory for halves of so many. */
size_t sl_journal_bytes(size_t half);

/* Writes an empty journal into `memory` (aligned to 8) and makes its writer in
 * *out. The memory must outlive it. `seed`: 8 bytes that no other process has.
 * `release` and `host` are those of each request. `alloc` is copied, NULL means
 * libc. SL_ENOMEM; SL_ELIMIT: no room for a half of 4,096 bytes. */
sl_status sl_journal_new(sl_journal **out, void *memory, size_t size,
                         uint64_t seed, const sl_numbers_text *release,
                         const sl_numbers_text *host, const sl_alloc *alloc);

/* Frees the writer and leaves the memory as it is. */
void sl_journal_free(sl_journal *journal);

/* Notes a request: of `key` the route and the method. False: it had no room. */
bool sl_journal_add(sl_journal *journal, uint64_t at_s,
                    const sl_numbers_key *key,
                    const sl_numbers_request *request);

/* Whether the half in use is three quarters full: it is time to store. */
bool sl_journal_is_filling(const sl_journal *journal);

/* What was added so far is being stored, by the name that `source` becomes;
 * adding goes on in the other half, whatever that held. */
void sl_journal_turn(sl_journal *journal, uint8_t source[16]);

/* The half of that name is stored, and forgotten. Nothing, where it has another
 * name by now. */
void sl_journal_stored(sl_journal *journal, const uint8_t source[16]);

/* ---- reading, in any process ---- */

/* Adds what half `half` holds to `numbers`, and says its name, from when to
 * when its requests ended, and whether somebody was about to store it. Nothing
 * in it: SL_OK, *requests 0. SL_ECORRUPT, SL_EVERSION: no journal, or none of
 * this version; what stood before a place that cannot be read is added. */
sl_status sl_journal_read(const void *memory, size_t size, unsigned half,
                          sl_numbers *numbers, uint8_t source[16],
                          uint64_t *first_s, uint64_t *last_s,
                          uint64_t *requests, bool *storing);

/* Of a dead process: somebody is about to store the half / has done so. Nothing
 * where `memory` is no journal. */
void sl_journal_mark(void *memory, size_t size, unsigned half, bool stored);

#endif /* SL_JOURNAL_H */
