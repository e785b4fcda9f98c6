/* spans.h - the spans of one recording, as it keeps them: slowlens/span.h.
 *
 *   texts[]   what is kept, once; found by a hash of what was given
 *   open[]    those that have not ended, newest first
 *   rows[]    (node, site, lane, kind, text, where) -> count, times
 *   firsts[]  when each of the first spans of a row was
 *
 * Nodes are only addresses here. All of it is in an arena of its own, with a
 * budget of its own, made by the first span: a tree that is full leaves room
 * for spans. */
#ifndef SL_CORE_SPANS_H
#define SL_CORE_SPANS_H

#include "arena.h"

#include "slowlens/span.h"

typedef struct {
    const char *text; /* with a NUL behind */
    uint32_t len;
} sl_span_text;

typedef struct {
    sl_span_what what; /* but for its detail */
    uint32_t firsts;   /* so many are kept */
    uint64_t count;
    uint64_t total; /* ticks, like all times here */
    uint64_t outer; /* without those within others of the kind */
    uint64_t longest;
} sl_span_row;

typedef struct {
    uint32_t row;
    uint32_t detail; /* text */
    uint64_t from, length;
} sl_span_first;

typedef struct {
    sl_span handle; /* 0: free */
    sl_span_what what;
    uint32_t next, before; /* open ones: number + 1; free: the next free one */
    bool nested;           /* in another of its kind */
    uint64_t from;
} sl_span_open;

typedef struct {
    sl_alloc alloc;
    sl_arena *arena; /* NULL until needed */
    size_t budget;
    sl_span_text *texts; /* 0 is "" */
    uint64_t *keys;      /* of `slots`: hashes */
    uint32_t *slots;     /* text number + 1; 0: free */
    uint32_t text_count, text_capacity, slot_mask, slot_count;
    sl_span_row *rows;
    uint32_t *row_slots; /* number + 1; 0: free */
    uint32_t row_count, row_capacity;
    uint32_t row_last; /* which was asked for last: often the next, too */
    sl_span_first *firsts;
    uint32_t first_count, first_capacity;
    sl_span_open *open;
    uint32_t open_capacity, newest, unused; /* numbers + 1 */
    uint64_t serial;
    uint64_t lost;
    struct {
        uint64_t count, ticks;
    } totals[SL_SPAN_KIND_COUNT];
} sl_spans;

/* Zeroed but for `alloc` is empty. _clear forgets all, keeping one block, and
 * sets the budget in bytes; _free gives everything back, in any state. */
void sl_spans_clear(sl_spans *spans, size_t budget);
void sl_spans_free(sl_spans *spans);

/* As slowlens/span.h has them, of a recording that runs. */
uint32_t sl_spans_word(sl_spans *spans, const char *text, size_t len);
uint32_t sl_spans_kept(sl_spans *spans, sl_span_memo *memo, sl_span_keep keep,
                       sl_sql_dialect dialect, uint64_t hash, const char *text,
                       size_t len);
uint32_t sl_spans_kind(sl_spans *spans, const char *word, size_t len);
sl_span sl_spans_begin(sl_spans *spans, const sl_span_what *what, uint64_t now);
void sl_spans_end(sl_spans *spans, sl_span span, uint64_t now);
void sl_spans_add(sl_spans *spans, const sl_span_what *what, uint64_t from,
                  uint64_t to);

/* The nodes of its rows are at other addresses now. */
void sl_spans_reslot(sl_spans *spans);

/* Ends all that are open. */
void sl_spans_stop(sl_spans *spans, uint64_t now);

/* What is kept under a number, and the word of a kind. Borrowed. */
sl_span_text sl_spans_text(const sl_spans *spans, uint32_t number);
sl_span_text sl_spans_kind_text(const sl_spans *spans, uint32_t kind);

#endif /* SL_CORE_SPANS_H */
