/* slowlens/span.h - what a recording asked others for, and its named pieces.
 *
 *   node ---- span: kind "db", text "SELECT id FROM author WHERE id = ?",
 *     |             where "books/list.html:12"
 *     |             100 times, 61 ms in all, 2 ms the longest
 *     `------ span: kind "payment", text "charge card", ...
 *
 * A span begins where the recording stands (a node of its tree), ends whenever
 * it does, and is no call of the tree: it may cover waits, and others may begin
 * inside it. Spans of one node, kind, text and place are counted as one; of the
 * first ones it is also kept when they were. Texts are words: copied once a
 * recording, and a number from then on.
 *
 * Like the events of a recording: one thread at a time. Nothing here fails
 * loudly; what finds no room is counted in sl_spans_totals.
 */
#ifndef SL_SPAN_H
#define SL_SPAN_H

#include "slowlens/recording.h"

/* An open span; 0: none. */
typedef uint32_t sl_span;

/* Number of a text (UTF-8, copied on first sight); 0: the empty one, or no
 * room. Valid until the recording is freed or reset. */
uint32_t sl_span_word(sl_recording *recording, const char *text, size_t len);

/* What a span is, in words. */
typedef struct {
    uint32_t kind;  /* "db", "http", "template"... */
    uint32_t text;  /* 0: not known */
    uint32_t where; /* beside the node: a line of a template; 0: nowhere */
} sl_span_words;

/* A span begins at `now` (ticks) in `node` of the strand's tree, as
 * sl_strand_node or sl_strand_place told it (NULL: its lowest node). It must be
 * ended by sl_span_end, or ends with the recording. 0: no room (counted). */
sl_span sl_span_begin(sl_strand *strand, const void *node,
                      const sl_span_words *what, uint64_t now);

/* It ends at `now`. 0 is ignored. */
void sl_span_end(sl_recording *recording, sl_span span, uint64_t now);

/* All spans of one node, kind, text and place. */
typedef struct {
    const char *kind, *text, *where; /* NUL-terminated; "": none */
    const void *node;                /* as it was given; compare only */
    uint32_t function;               /* of the node; SL_PSEUDO_ROOT... */
    uint32_t site;                   /* where that was called, if known */
    uint32_t count;                  /* ended ones */
    uint64_t total_ns, longest_ns;
} sl_span_sum;

/* How many different ones there are / number `index` of them, in the order of
 * their first. Of a stopped recording, or (times then in ticks) a running one.
 */
uint32_t sl_span_sums(const sl_recording *recording);
void sl_span_sum_get(const sl_recording *recording, uint32_t index,
                     sl_span_sum *out);

/* Spans and words that found no room. */
uint64_t sl_spans_lost(const sl_recording *recording);

#endif /* SL_SPAN_H */
