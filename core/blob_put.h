/* blob_put.h - the parts of a blob that both of its writers put: a recording's
 * and a decoded profile's. blob.h draws the format. */
#ifndef SL_CORE_BLOB_PUT_H
#define SL_CORE_BLOB_PUT_H

#include "buf.h"
#include "intern.h"

#include "slowlens/vocabulary.h"

#include <stdbool.h>

/* FUNCTIONS at work: strings and columns. */
typedef struct {
    sl_arena *arena;
    sl_intern *strings;
    sl_buf names, files, lines, kinds, origins;
    uint32_t count;
    uint32_t cut;  /* names that were too long */
    sl_buf known;  /* sl_function by number; its texts live in the arena */
    sl_buf pseudo; /* uint8_t by number: sl_pseudo_of */
} sl_blob_functions;

/* The bounds of one column of times or counts at work. */
typedef struct {
    uint64_t left;    /* of what the column may add up to, in its unit */
    uint64_t v1_most; /* a single number that version 1 could hold */
    uint64_t clipped; /* numbers that did not fit whole */
    bool wide;        /* one is beyond version 1 */
} sl_blob_bound;

/* Fine to free in any state, zeroed ones included. SL_ENOMEM. */
sl_status sl_blob_functions_init(sl_blob_functions *f, const sl_alloc *alloc);
void sl_blob_functions_free(sl_blob_functions *f);

/* Adds a function, which gets the next number. SL_ENOMEM; SL_ELIMIT: too many;
 * SL_ERANGE: its kind or origin is none. */
sl_status sl_blob_functions_add(sl_blob_functions *f, const sl_function *one);

/* The content from the magic to FUNCTIONS: META, `summary` (empty: none),
 * STRINGS, FUNCTIONS. `body` is scratch, empty before and after; `wide`: a
 * number is beyond version 1. Returns where SUMMARY ends: the front of
 * sl_compress_front. Failures stick to `out`. */
size_t sl_blob_put_head(sl_buf *out, sl_buf *body, const sl_meta *meta,
                      size_t meta_count, const sl_buf *summary,
                      sl_blob_functions *functions, bool wide);

/* Appends items as META and SUMMARY have them. */
void sl_blob_put_items(sl_buf *out, const sl_meta *items, size_t count);

/* Bounds of a column of times in units of `quantum` ns, and of counts. */
sl_blob_bound sl_blob_bound_times(uint64_t quantum);
sl_blob_bound sl_blob_bound_counts(void);

/* What may be written of `value`; the rest is counted. */
static inline uint64_t
sl_blob_bounded(sl_blob_bound *bound, uint64_t value)
{
    if (value > bound->v1_most)
        bound->wide = true;
    if (value > bound->left) {
        value = bound->left;
        bound->clipped++;
    }
    bound->left -= value;
    return value;
}

/* COUNTERS at work. */
typedef struct {
    sl_buf metrics, nodes, values;
    uint64_t metric, node, rows;
    uint32_t metric_count;
    sl_blob_bound bound;
    uint64_t clipped;
} sl_blob_metric;

/* Rows come in the order of metric and node, each pair once. _end puts the
 * payload into `body`, frees, and tells how many numbers had to be cut. */
void sl_blob_counters_begin(sl_blob_metric *row, const sl_alloc *alloc);
void sl_blob_counters_add(sl_blob_metric *row, uint64_t metric, uint64_t node,
                          uint64_t value);
uint64_t sl_blob_counters_end(sl_blob_metric *row, sl_buf *body);

/* SPANS at work. */
typedef struct {
    uint32_t node, line, lane;
    const char *kind, *text, *where; /* with a NUL behind */
    uint64_t count, total, outer, longest; /* quanta */
    uint32_t firsts; /* of those that are put next, by sl_blob_spans_first */
} sl_blob_span;

enum { SL_BLOB_SPAN_COLUMNS = 11, SL_BLOB_FIRST_COLUMNS = 3 };

typedef struct {
    sl_blob_functions *functions; /* whose strings they use */
    sl_buf rows[SL_BLOB_SPAN_COLUMNS], firsts[SL_BLOB_FIRST_COLUMNS];
    uint32_t row_count, first_count, node;
    uint64_t before; /* begin of the row's first before */
    sl_blob_bound counts, times, gaps;
    sl_status status;
} sl_blob_spans;

/* Rows come in the order of their nodes, each one's firsts behind it in the
 * order of time (`from`: quanta since the request began). _end puts the
 * payload into `body`, frees, and gives in *clipped how many numbers had to be
 * cut. SL_ENOMEM, SL_ELIMIT: too many strings. */
void sl_blob_spans_begin(sl_blob_spans *s, sl_blob_functions *functions,
                         uint64_t quantum, const sl_alloc *alloc);
void sl_blob_spans_add(sl_blob_spans *s, const sl_blob_span *row);
void sl_blob_spans_first(sl_blob_spans *s, uint64_t from, uint64_t length,
                         const char *detail);
sl_status sl_blob_spans_end(sl_blob_spans *s, uint64_t lost, sl_buf *body,
                            uint64_t *clipped);

/* How many rows of each table there are to be. */
typedef struct {
    uint64_t nodes, functions, lines, stretches, counters, spans, firsts;
} sl_blob_rows;

/* SL_ELIMIT if a reader would not take so many. */
sl_status sl_blob_check_rows(const sl_blob_rows *rows);

/* Appends a column. */
void sl_blob_put_column(sl_buf *out, const sl_buf *column);

/* Ends the section that `body` holds, and empties `body` for the next. */
void sl_blob_put_section(sl_buf *out, unsigned tag, sl_buf *body);

/* Nanoseconds per unit: fine for short requests, coarse enough for long ones
 * that three bytes hold most times. */
uint64_t sl_blob_quantum(uint64_t wall_ns);

#endif /* SL_CORE_BLOB_PUT_H */
