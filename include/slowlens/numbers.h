/* slowlens/numbers.h - numbers of all requests, kept or not.
 *
 *   request ended -> sl_numbers_add        each process, < 100 ns
 *                      | sl_numbers_encode   about once a minute
 *                      v
 *                    bytes (a record of this process)
 *                      | sl_numbers_consume + sl_numbers_merge    one process
 *                      v
 *                    bytes (an hour, all processes)
 *                      | sl_numbers_merge, filtered, of a day     who reads
 *                      v
 *                    sl_report_numbers
 *
 * A TABLE has a row for each period (a minute, an hour), route, method,
 * release and host: count, errors, a histogram of wall and of CPU time (2.2 %
 * at most, see core/histogram.h) and sums. Periods and fields that a table does
 * not tell apart are one in it, so the same merge makes hours of minutes and
 * a list of routes of hours. Whatever is added up is added up exactly.
 *
 * A table's memory is bounded: beyond `max_rows` what is new is counted in the
 * row "[other]" of its period; what finds no memory even there is counted as
 * lost.
 *
 * Threads: one at a time may be inside any function of a table. Encoding and
 * merging need no interpreter.
 */
#ifndef SL_NUMBERS_H
#define SL_NUMBERS_H

#include "slowlens/alloc.h"
#include "slowlens/bytes.h"
#include "slowlens/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sl_numbers sl_numbers;

/* What else is added up of each request: the name in JSON, and what it is.
 * Numbers are part of the format: new ones at the end only (64 at most; a
 * reader leaves out those that it does not know). */
#define SL_NUMBERS_MAP(XX)                                                     \
    XX(BYTES, "response_bytes")                                                \
    XX(KEPT, "kept")              /* requests whose profile is kept */         \
    XX(RUN_QUEUE, "run_queue_ns") /* for a CPU, as the kernel counts */        \
    XX(GIL, "gil_wait_ns")                                                     \
    XX(BLOCKED, "blocked_ns") /* lock, socket, disk, sleep */                  \
    XX(AWAIT, "await_ns")                                                      \
    XX(LOOP, "loop_ns")   /* able to go on, but the event loop was busy */     \
    XX(CLIENT, "idle_ns") /* between the chunks of a streamed response */      \
    XX(GC, "gc_ns")                                                            \
    XX(QUEUE, "queue_ns") /* at the server, before the app was called */       \
    XX(DB, "db_ns")                                                            \
    XX(DB_COUNT, "db_count")                                                   \
    XX(HTTP, "http_ns")                                                        \
    XX(HTTP_COUNT, "http_count")                                               \
    XX(TEMPLATE, "template_ns")                                                \
    XX(TEMPLATE_COUNT, "template_count")                                       \
    XX(CACHE, "cache_ns")                                                      \
    XX(CACHE_COUNT, "cache_count")                                             \
    XX(TASK, "task_ns") /* tasks sent to a queue */                            \
    XX(TASK_COUNT, "task_count")                                               \
    XX(FILE, "file_ns")                                                        \
    XX(FILE_COUNT, "file_count")                                               \
    XX(SPAN, "span_ns") /* named by the application */                         \
    XX(SPAN_COUNT, "span_count")                                               \
    XX(LOCK, "lock_ns") /* of what was blocked */                              \
    XX(LESS, "less")    /* requests recorded with less, for want of memory */  \
    XX(TIMED, "timed")  /* requests that were not selected: of these only how  \
                           long they took is known, and how large they were */ \
    XX(TIMED_WALL, "timed_ns") /* the wall time of those */

enum {
#define XX(name, key) SL_NUMBERS_##name,
    SL_NUMBERS_MAP(XX)
#undef XX
        SL_NUMBERS_SUMS
};

/* Fields of a key. */
enum {
    SL_NUMBERS_ROUTE,
    SL_NUMBERS_METHOD,
    SL_NUMBERS_RELEASE,
    SL_NUMBERS_HOST,
    SL_NUMBERS_FIELDS
};

#define SL_NUMBERS_FIELD_MAX 512u /* bytes; what is longer is cut */

typedef struct {
    const char *text; /* any bytes, UTF-8 as a rule; NULL: "" */
    size_t len;
} sl_numbers_text;

/* Whose numbers. Borrowed for the call. */
typedef struct {
    sl_numbers_text field[SL_NUMBERS_FIELDS];
} sl_numbers_key;

typedef struct {
    uint64_t wall_ns;
    uint64_t cpu_ns;
    bool error;      /* 5xx, or it raised */
    bool times_only; /* not recorded: cpu_ns is not known */
    uint64_t sums[SL_NUMBERS_SUMS];
} sl_numbers_request;

typedef struct {
    uint32_t period_s; /* length of a period; 0: all time is one */
    uint32_t apart;    /* bits 1 << SL_NUMBERS_ROUTE...: the fields to tell
                          apart; 0: all of them */
    uint32_t max_rows; /* 0: 4,096 */
    size_t max_bytes;  /* 0: 32 MiB */
} sl_numbers_options;

/* An empty table in *out. `options` is copied, NULL: all zero; `alloc` too,
 * NULL means libc. SL_ENOMEM, SL_ELIMIT. */
sl_status sl_numbers_new(sl_numbers **out, const sl_numbers_options *options,
                         const sl_alloc *alloc);
void sl_numbers_free(sl_numbers *numbers);

/* Counts one request that ended at `at_s` (Unix time). Hot: no failure to
 * report, see sl_numbers_lost. */
void sl_numbers_add(sl_numbers *numbers, uint64_t at_s,
                    const sl_numbers_key *key,
                    const sl_numbers_request *request);

/* Rows; requests counted in them; requests that found no memory. */
uint32_t sl_numbers_rows(const sl_numbers *numbers);
uint64_t sl_numbers_count(const sl_numbers *numbers);
uint64_t sl_numbers_lost(const sl_numbers *numbers);

/* Bytes of memory it holds. */
size_t sl_numbers_bytes(const sl_numbers *numbers);

/* Writes the table as one zstd frame (format: core/numbers.h). `level`: zstd's,
 * 0 means 1. SL_ENOMEM, SL_ELIMIT (more than any reader takes), SL_ECOMPRESS;
 * then *out is untouched. */
sl_status sl_numbers_encode(const sl_numbers *numbers, int level,
                            sl_bytes *out);

/* Which rows to merge. Zeroed: all. A field with `text` NULL: any. */
typedef struct {
    sl_numbers_key key;
    uint64_t from_s; /* first period's beginning, */
    uint64_t to_s;   /* and the one that is not taken any more; 0: no end */
} sl_numbers_filter;

/* Adds what sl_numbers_encode wrote. `filter` may be NULL. What the bytes were
 * made of (sl_numbers_consume) is not taken over.
 * SL_ECORRUPT, SL_EVERSION: nothing was added. SL_ENOMEM, SL_ELIMIT: a part
 * may have been: free the table. */
sl_status sl_numbers_merge(sl_numbers *numbers, const void *bytes, size_t size,
                           const sl_numbers_filter *filter);

/* An encoded table goes on: as sl_numbers_merge, and what it was made of is
 * known again. */
sl_status sl_numbers_load(sl_numbers *numbers, const void *bytes, size_t size);

/* Exactly once. A table remembers of each source (a segment, by its 16 bytes
 * of name) up to where (a record's offset or number, which rises) it was read,
 * and that is encoded with it: merge a record if this says true, then write the
 * table whole. *fresh becomes false for a record that is in it already.
 * SL_ENOMEM, SL_ELIMIT (65,536 sources): nothing is remembered. */
sl_status sl_numbers_consume(sl_numbers *numbers, const uint8_t source[16],
                             uint64_t mark, bool *fresh);

/* Up to where `source` was read; false: nothing of it was. */
bool sl_numbers_consumed(const sl_numbers *numbers, const uint8_t source[16],
                         uint64_t *mark);

/* {"count":N,"errors":N,"lost":N,"wall_ns":N,"cpu_ns":N,
 *  "rows":[{"route":S,"method":S,"release":S,"host":S,
 *    "count":N,"errors":N,"wall_ns":N,"cpu_ns":N,
 *    "p50_ns":N,"p90_ns":N,"p95_ns":N,"p99_ns":N,"max_ns":N,
 *    "cpu_p50_ns":N,"cpu_p95_ns":N,
 *    "sums":{"response_bytes":N,...}, (those that are not 0)
 *    "series":{"from_s":[N],"count":[N],"errors":[N],"wall_ns":[N],
 *              "p50_ns":[N],"p95_ns":[N]}}]}
 * A row a key, all periods together, the most wall time first; `series` holds
 * its periods in the order of time, where the table tells periods apart; else
 * its arrays are empty. `limit` 0: all rows. SL_ENOMEM, SL_ELIMIT. */
sl_status sl_report_numbers(const sl_numbers *numbers, uint32_t limit,
                            sl_bytes *out);

/* The buckets, for a heat map or an export: {"scale":4, "rows":[{"from_s":N,
 *  "route":S,"method":S,"release":S,"host":S,"count":N,
 *  "wall":{"first":N,"counts":[N]}, "cpu":{...}}]}
 * `first` is OpenTelemetry's index of the first bucket. SL_ENOMEM, SL_ELIMIT.
 */
sl_status sl_report_histograms(const sl_numbers *numbers, sl_bytes *out);

#endif /* SL_NUMBERS_H */
