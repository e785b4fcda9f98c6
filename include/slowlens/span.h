/* slowlens/span.h - what a recording asked others for, and its named pieces.
 *
 *   node ---- span: kind "db", text "SELECT id FROM author WHERE id = ?",
 *     |             where "books/list.html:12"
 *     |             100 times, 61 ms in all, 2 ms the longest
 *     |             the first ones: at 1.20 ms for 0.11, at 1.35 ms for 0.09...
 *     `------ span: kind "payment", text "charge card", ...
 *
 * A span begins where the recording stands (a node of its tree), ends whenever
 * it does, and is no call of the tree: it may cover waits, and others may begin
 * inside it. Spans of one place (node and line), lane (the strand's), kind and
 * text are one ROW, which counts; of its first ones it is also kept when they
 * were. Of one strand, a span that is open while another begins is around it:
 * the time of one within another of its kind is not the kind's a second time.
 *
 * No text that is a parameter is kept: of a query its shape, of a URL its host
 * (slowlens/sql.h), made once for each text of a recording and found again by
 * a hash of it. A text is a number from then on.
 *
 * Like the events of a recording: one thread at a time (under CPython: hold the
 * GIL), also where samples feed the tree: spans have memory and a budget of
 * their own. Nothing here fails loudly: where there is no room for a row of its
 * own, a span is counted in one of its kind for the whole request; what is in
 * no row is counted in sl_spans_lost, and in the total of its kind all the
 * same. A span that is open when the recording stops ends then. */
#ifndef SL_SPAN_H
#define SL_SPAN_H

#include "slowlens/recording.h"
#include "slowlens/sql.h"

/* XX(name, number, word) - the kinds that have totals. Files know them by their
 * words. An application's own ones are counted as CUSTOM. */
#define SL_SPAN_KIND_MAP(XX)                                                   \
    XX(DB, 0, "db")                                                            \
    XX(HTTP, 1, "http")                                                        \
    XX(CACHE, 2, "cache")                                                      \
    XX(TEMPLATE, 3, "template")                                                \
    XX(TASK, 4, "task")                                                        \
    XX(FILE, 5, "file")                                                        \
    XX(PROCESS, 6, "process")                                                  \
    XX(RPC, 7, "rpc")                                                          \
    XX(MAIL, 8, "mail")                                                        \
    XX(PROFILE, 9, "profile")                                                  \
    XX(CUSTOM, 10, "custom")

typedef enum {
#define XX(name, number, word) SL_SPAN_##name = (number),
    SL_SPAN_KIND_MAP(XX)
#undef XX
        SL_SPAN_KIND_COUNT
} sl_span_kind;

/* Word of a kind of the table: static; "?" for another number. */
const char *sl_span_kind_word(sl_span_kind kind);

/* Its number; SL_SPAN_KIND_COUNT: no kind of the table has that word. */
sl_span_kind sl_span_kind_of(const char *word, size_t len);

/* Bytes of a text that are kept. */
#define SL_SPAN_TEXT_MAX 2048u

/* Spans of one row whose begin and length are kept; and of all rows. */
#define SL_SPAN_FIRSTS     64u
#define SL_SPAN_FIRSTS_ALL 8192u

/* An open span; 0: none. Never used again: one that was ended, or whose
 * recording is over, is ignored. */
typedef uint64_t sl_span;

/* Number of a text (bytes up to a NUL; control characters and what is no UTF-8
 * are replaced), copied on first sight; 0: the empty one, or no room (then
 * counted as lost). Valid until the recording is freed or reset. */
uint32_t sl_span_word(sl_recording *recording, const char *text, size_t len);

/* The same of what may be kept of a text: sl_sql_shape, sl_sql_names,
 * sl_url_host. The text itself is not kept, a hash of it is. */
typedef enum { SL_SPAN_SHAPE, SL_SPAN_NAMES, SL_SPAN_HOST } sl_span_keep;
uint32_t sl_span_kept(sl_recording *recording, sl_span_keep keep,
                      sl_sql_dialect dialect, const char *text, size_t len);

/* What SL_SPAN_MEMO texts of all recordings are kept as: the same query comes
 * in request after request, and reading its shape is most of what it costs to
 * tell of it. Of the text itself a hash is kept. One caller at a time. */
#define SL_SPAN_MEMO 256u
typedef struct sl_span_memo sl_span_memo;

/* `alloc` is copied, NULL means libc. NULL: no memory. */
sl_span_memo *sl_span_memo_new(const sl_alloc *alloc);
void sl_span_memo_free(sl_span_memo *memo);

/* sl_span_kept, by way of `memo` (NULL: without one). `hash`: a good one of 64
 * bits that the caller has of all of the text, which it then is told apart by,
 * unread; 0: none. */
uint32_t sl_span_kept_by(sl_recording *recording, sl_span_memo *memo,
                         sl_span_keep keep, sl_sql_dialect dialect,
                         uint64_t hash, const char *text, size_t len);

/* The kind of that word: of the table, or one of this recording's own.
 * SL_SPAN_CUSTOM when there is no room for its word. */
uint32_t sl_span_kind_here(sl_recording *recording, const char *word,
                           size_t len);

typedef struct {
    const void *node; /* of sl_strand_here or sl_strand_place; NULL: the root */
    uint32_t site;    /* in the node's function: as sl_strand_site and, where
                         samples feed it, a line; 0: not known */
    uint32_t lane;    /* sl_strand_lane */
    uint32_t kind;    /* of sl_span_kind_here */
    uint32_t text;    /* 0: not known */
    uint32_t where;   /* beside the node: a line of a template; 0: nowhere */
    uint32_t detail;  /* kept with the first ones; 0: none */
} sl_span_what;

/* A span begins at `now` (ticks of the recording's clock). 0: no room
 * (counted), or the recording is stopped. */
sl_span sl_span_begin(sl_recording *recording, const sl_span_what *what,
                      uint64_t now);

/* It ends at `now`. */
void sl_span_end(sl_recording *recording, sl_span span, uint64_t now);

/* A span that is over, from `from` to `to`. */
void sl_span_add(sl_recording *recording, const sl_span_what *what,
                 uint64_t from, uint64_t to);

/* Spans of one kind of the table that have ended: how many, and their ns
 * without those within others of the kind. */
void sl_span_total(const sl_recording *recording, sl_span_kind kind,
                   uint64_t *count, uint64_t *ns);

/* One row. */
typedef struct {
    const char *kind, *text, *where; /* NUL-terminated; "": none */
    const void *node;                /* compare only */
    uint32_t function;               /* of the node; SL_PSEUDO_ROOT... */
    uint32_t site;                   /* where that was called, if known */
    uint64_t count;                  /* ended ones */
    uint64_t total_ns, longest_ns;
} sl_span_sum;

/* How many rows there are / number `index` of them, in the order of their
 * first end. */
uint32_t sl_span_sums(const sl_recording *recording);
void sl_span_sum_get(const sl_recording *recording, uint32_t index,
                     sl_span_sum *out);

/* Spans that are in no row, and texts that found no room. */
uint64_t sl_spans_lost(const sl_recording *recording);

/* The parts of an sl_span_what of a strand that events feed: the node that it
 * is in, which is valid until the recording is freed or reset, the key of its
 * function, the number of the strand. */
const void *sl_strand_here(const sl_strand *strand);
const void *sl_strand_key(const sl_strand *strand);
uint32_t sl_strand_lane(const sl_strand *strand);

/* So many ns in ticks of the running recording's clock. */
uint64_t sl_recording_ticks(const sl_recording *recording, uint64_t ns);

#endif /* SL_SPAN_H */
