/* spans.h - the spans of one recording, as it keeps them: slowlens/span.h.
 *
 *   open[]   those that have not ended: which sum, since when
 *   sums[]   (node, kind, text, where) -> count, total, longest
 *   ones[]   the first of all: sum, lane, from, to
 *
 * Nodes are only addresses here. All of it is arrays of its own, not the
 * arena of the tree: a tree that is full leaves room for spans.
 */
#ifndef SL_CORE_SPANS_H
#define SL_CORE_SPANS_H

#include "slowlens/alloc.h"
#include "slowlens/span.h"

typedef struct {
    const void *node;
    sl_span_words what;
    uint32_t count;
    uint64_t total, longest; /* ticks */
} sl_span_row;

typedef struct {
    uint32_t row; /* ...+ 1; 0: free, and `lane` is the next free one */
    uint32_t lane;
    uint64_t from;
} sl_span_open;

typedef struct {
    uint32_t row, lane;
    uint64_t from, to; /* ticks */
} sl_span_one;

typedef struct {
    sl_alloc alloc;
    char *words; /* NUL-terminated, one after the other; offset = number */
    uint32_t words_len, words_capacity;
    uint32_t *word_slots; /* of a word, or 0 */
    uint32_t word_count, word_mask;
    sl_span_row *rows;
    uint32_t *row_slots; /* number + 1; 0: free */
    uint32_t row_count, row_capacity;
    sl_span_open *open;
    uint32_t open_count, open_capacity, open_free; /* free: number + 1 */
    sl_span_one *ones;
    uint32_t one_count, one_capacity;
    uint64_t lost;
} sl_spans;

/* Zeroed but for `alloc` is empty. Both may be called in any state. */
void sl_spans_clear(sl_spans *spans);
void sl_spans_free(sl_spans *spans);

/* As slowlens/span.h has them. */
uint32_t sl_spans_word(sl_spans *spans, const char *text, size_t len);
sl_span sl_spans_begin(sl_spans *spans, const void *node, uint32_t lane,
                       const sl_span_words *what, uint64_t now);
void sl_spans_end(sl_spans *spans, sl_span span, uint64_t now);

/* Ends all that are open. */
void sl_spans_stop(sl_spans *spans, uint64_t now);

#endif /* SL_CORE_SPANS_H */
