/* slowlens/rows.h - a table of what is stored: one row a profile.
 *
 *              started  wall_ns  ...  path  route  ...   segment  offset
 *   row 0      u64      u64           u32   u32          u32      u32
 *   row 1
 *   ...        columns, one array each; texts are numbers of a dictionary
 *
 * A list is one pass over the columns that it filters and sorts by, and a
 * heap of as many rows as are wanted; nothing is indexed, nothing is sorted
 * beforehand. 10^6 rows take about 230 bytes each and their paths.
 *
 * The table is derived: from a segment's footer, or from the metadata of its
 * blobs (slowlens/segment.h). Bytes of any origin may be added.
 *
 * Two records may have one id: a checkpoint and the profile itself, or what
 * was copied before its old place was deleted. One of them is shown: a whole
 * profile before a checkpoint, then the later one; the others wait in its
 * shadow until it is dropped.
 *
 * Not thread-safe: one caller at a time. All memory belongs to the table.
 */
#ifndef SL_ROWS_H
#define SL_ROWS_H

#include "slowlens/alloc.h"
#include "slowlens/bytes.h"
#include "slowlens/segment.h"
#include "slowlens/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every column once: name (the key in a blob's META, if it has one), number
 * in a footer. Numbers are never used again for something else. `ended` is
 * reckoned, and in no footer: the order in which rows came to be stored, but
 * for what the writer took. */
#define SL_ROW_WIDE_MAP(XX)                                                    \
    XX(started, 16)                                                            \
    XX(wall_ns, 17)                                                            \
    XX(cpu_ns, 18)                                                             \
    XX(await_ns, 19)                                                           \
    XX(waiting_ns, 20)                                                         \
    XX(calls, 21)                                                              \
    XX(c_calls, 22)                                                            \
    XX(run_queue_ns, 23)                                                       \
    XX(gil_wait_ns, 24)                                                        \
    XX(blocked_ns, 25)                                                         \
    XX(gc_ns, 26)                                                              \
    XX(loop_ns, 27)                                                            \
    XX(idle_ns, 28)                                                            \
    XX(db_ns, 29)                                                              \
    XX(ended, 30)
#define SL_ROW_NARROW_MAP(XX)                                                  \
    XX(bytes, 40)                                                              \
    XX(status, 41)                                                             \
    XX(pid, 42)                                                                \
    XX(db_count, 43)                                                           \
    XX(http_count, 44)                                                         \
    XX(cache_count, 45)                                                        \
    XX(template_count, 46)
#define SL_ROW_TEXT_MAP(XX)                                                    \
    XX(path, 64)                                                               \
    XX(route, 65)                                                              \
    XX(hot, 66)                                                                \
    XX(tags, 67)                                                               \
    XX(method, 68)                                                             \
    XX(mode, 69)                                                               \
    XX(kept, 70)                                                               \
    XX(flags, 71)                                                              \
    XX(framework, 72)                                                          \
    XX(host, 73)                                                               \
    XX(release, 74)                                                            \
    XX(findings, 75)

typedef enum {
#define XX(name, number) SL_ROW_##name,
    SL_ROW_WIDE_MAP(XX) SL_ROW_WIDE_COUNT,
    SL_ROW_NARROW = SL_ROW_WIDE_COUNT - 1, /* the next one follows */
    SL_ROW_NARROW_MAP(XX) SL_ROW_NARROW_END,
    SL_ROW_TEXT = SL_ROW_NARROW_END - 1,
    SL_ROW_TEXT_MAP(XX) SL_ROW_COLUMNS
#undef XX
} sl_row_column;

typedef struct sl_rows sl_rows;

/* An empty table in *out. `limit` caps its memory in bytes (0: none).
 * SL_ENOMEM. */
sl_status sl_rows_new(sl_rows **out, const sl_alloc *alloc, size_t limit);
void sl_rows_free(sl_rows *rows);

/* Adds the profiles of a piece of a segment. `data` begins at byte `offset`
 * of segment number `segment` with a whole record; *used is how many of its
 * bytes were whole records (others than profiles are passed over), also when
 * it fails. A blob that cannot be read gets a row that says so in `flags`:
 * "unreadable".
 * SL_ECORRUPT: at *used there is no record. SL_ELIMIT, SL_ENOMEM. */
sl_status sl_rows_add_records(sl_rows *rows, uint32_t segment, uint64_t offset,
                              const void *data, size_t size, size_t *used);

/* Adds one profile that is no record of a segment. `id` NULL: the one of its
 * metadata. `hot` may be NULL.
 * SL_ECORRUPT, SL_EVERSION: it cannot be read. SL_ELIMIT, SL_ENOMEM. */
sl_status sl_rows_add_blob(sl_rows *rows, const uint8_t *id, uint32_t segment,
                           const void *blob, size_t size, const char *hot,
                           size_t hot_size);

/* Adds all rows of a footer: what stands inside the record.
 * SL_ECORRUPT, SL_ELIMIT, SL_ENOMEM: some may have been added; drop the
 * segment. */
sl_status sl_rows_add_footer(sl_rows *rows, uint32_t segment,
                             const void *inside, size_t size);

/* The footer of a segment: the whole record, to be appended. SL_ENOMEM. */
sl_status sl_rows_footer(sl_rows *rows, uint32_t segment, sl_bytes *out);

/* Forgets a segment, or whatever has an id. Memory is given back in time. */
void sl_rows_drop_segment(sl_rows *rows, uint32_t segment);
void sl_rows_drop(sl_rows *rows, const uint8_t id[SL_ID_SIZE]);
/* Forgets an id in one segment only. */
void sl_rows_drop_in(sl_rows *rows, const uint8_t id[SL_ID_SIZE],
                     uint32_t segment);

typedef struct {
    uint32_t segment;
    uint32_t offset;
} sl_row_place;

/* Where the profile of an id is. False: there is none. */
bool sl_rows_find(const sl_rows *rows, const uint8_t id[SL_ID_SIZE],
                  sl_row_place *place);
/* All places of an id, those in the shadow too: at most `room` are written.
 * Returns how many there are. */
size_t sl_rows_places(const sl_rows *rows, const uint8_t id[SL_ID_SIZE],
                      sl_row_place *places, size_t room);

typedef struct {
    const char *text; /* NULL: any */
    size_t size;
} sl_row_text;

/* "Stored since": of a segment that was there, what begins at `offset` or
 * later. */
typedef struct {
    uint32_t segment;
    uint32_t offset;
} sl_row_mark;

/* A text that must occur, ASCII letters in any case: in one of the columns
 * that `where` names. */
#define SL_ROWS_IN_PATH (1u << 0) /* path, route */
#define SL_ROWS_IN_HOT  (1u << 1)
typedef struct {
    sl_row_text text;
    unsigned where;
} sl_row_word;

#define SL_ROWS_WORDS 16

typedef struct {
    sl_row_column sort;
    bool falling;
    /* Equal to these. */
    sl_row_text route, method, mode, host, release;
    uint32_t status_from, status_to; /* 0, UINT32_MAX: any */
    uint64_t wall_from, wall_to;     /* [from, to); UINT64_MAX: no end */
    uint64_t since, until;           /* of started, alike */
    sl_row_column
        more_than_none; /* a count that is not 0; SL_ROW_COLUMNS: any */
    sl_row_word words[SL_ROWS_WORDS]; /* all of them */
    size_t word_count;
    sl_row_text tag; /* "key", or "key=value" */
    sl_row_text finding;
    /* Where the page before ended: only what comes after (value, id). */
    bool after;
    uint64_t after_number;  /* of a column of numbers */
    sl_row_text after_text; /* of a column of texts */
    uint8_t after_id[SL_ID_SIZE];
    /* Only what is in a segment past `newest`, or past a mark in its own. */
    bool marked;
    uint32_t newest;
    const sl_row_mark *marks;
    size_t mark_count;
    uint32_t limit;
} sl_rows_query;

/* Asks for all rows, newest first: what a caller narrows. */
void sl_rows_query_init(sl_rows_query *query);

/* Writes {"rows": [ROW...], "more": BOOL, "count": N} to *out: at most
 * query->limit rows, whether there are others behind them, and how many there
 * are on all pages. ROW has all columns, "id", and
 * "kind": "profile" or "checkpoint". Texts that are not UTF-8 are mended.
 * SL_ENOMEM, SL_ELIMIT (no such column to sort by, too many words). */
sl_status sl_rows_list(sl_rows *rows, const sl_rows_query *query,
                       sl_bytes *out);

#define SL_ROWS_TREND 12

/* Writes [{"route", "method", "count", "errors", "p50", "p95", "p99", "max",
 * "total", "worst": id, "trend": [12 medians over the time they span; 0: none
 * there]}...]: numbers of each route and method, or of one route (text not
 * NULL), over the rows that are shown. Times in ns. SL_ENOMEM. */
sl_status sl_rows_routes(const sl_rows *rows, const sl_row_text *route,
                         sl_bytes *out);

/* Writes [["METHOD route", "slow" or "errors", rank, bytes, id]...]: of each
 * route and method the `per_route` slowest (rank: wall_ns), and as many of the
 * latest with status 500 and up (rank: started). SL_ENOMEM. */
sl_status sl_rows_worst(const sl_rows *rows, uint32_t per_route, sl_bytes *out);

/* Rows that are shown, and bytes of memory held. */
uint32_t sl_rows_count(const sl_rows *rows);
size_t sl_rows_bytes(const sl_rows *rows);

/* The column of a name, or SL_ROW_COLUMNS. */
sl_row_column sl_row_column_of(const char *name);

#endif /* SL_ROWS_H */
