/* Spans of a recording: slowlens/span.h. What keeps them: spans.c. */
#include "recording_data.h"

uint32_t
sl_span_word(sl_recording *recording, const char *text, size_t len)
{
    return recording->stopped ? 0 : sl_spans_word(&recording->spans, text, len);
}

uint32_t
sl_span_kept_by(sl_recording *recording, sl_span_memo *memo, sl_span_keep keep,
                sl_sql_dialect dialect, uint64_t hash, const char *text,
                size_t len)
{
    return recording->stopped ? 0
                              : sl_spans_kept(&recording->spans, memo, keep,
                                              dialect, hash, text, len);
}

uint32_t
sl_span_kept(sl_recording *recording, sl_span_keep keep, sl_sql_dialect dialect,
             const char *text, size_t len)
{
    return sl_span_kept_by(recording, NULL, keep, dialect, 0, text, len);
}

uint32_t
sl_span_kind_here(sl_recording *recording, const char *word, size_t len)
{
    return recording->stopped ? SL_SPAN_CUSTOM
                              : sl_spans_kind(&recording->spans, word, len);
}

sl_span
sl_span_begin(sl_recording *recording, const sl_span_what *what, uint64_t now)
{
    return recording->stopped ? 0
                              : sl_spans_begin(&recording->spans, what, now);
}

void
sl_span_end(sl_recording *recording, sl_span span, uint64_t now)
{
    if (!recording->stopped)
        sl_spans_end(&recording->spans, span, now);
}

void
sl_span_add(sl_recording *recording, const sl_span_what *what, uint64_t from,
            uint64_t to)
{
    if (!recording->stopped)
        sl_spans_add(&recording->spans, what, from, to);
}

/* Ns per tick, so far or for good; 0: not known yet. */
static double
scale_so_far(const sl_recording *recording)
{
    if (recording->stopped || recording->clock == SL_CLOCK_MONOTONIC)
        return sl_recording_scale(recording);
    uint64_t ticks = sl_clock_ticks(recording->clock) - recording->start_ticks;
    uint64_t passed = sl_clock_monotonic_ns() - recording->start_ns;
    return ticks > 0 ? (double)passed / (double)ticks : 0;
}

uint64_t
sl_recording_ticks(const sl_recording *recording, uint64_t ns)
{
    double scale = scale_so_far(recording);
    return scale > 0 ? (uint64_t)((double)ns / scale) : 0;
}

void
sl_span_total(const sl_recording *recording, sl_span_kind kind, uint64_t *count,
              uint64_t *ns)
{
    double scale = scale_so_far(recording);

    *count = recording->spans.totals[kind].count;
    *ns = (uint64_t)((double)recording->spans.totals[kind].ticks * scale);
}

uint32_t
sl_span_sums(const sl_recording *recording)
{
    return recording->spans.row_count;
}

void
sl_span_sum_get(const sl_recording *recording, uint32_t index, sl_span_sum *out)
{
    const sl_spans *spans = &recording->spans;
    const sl_span_row *row = &spans->rows[index];
    const sl_node *node =
        row->what.node != NULL ? row->what.node : recording->tree.root;
    double scale = scale_so_far(recording);

    *out = (sl_span_sum){
        .kind = sl_spans_kind_text(spans, row->what.kind).text,
        .text = sl_spans_text(spans, row->what.text).text,
        .where = sl_spans_text(spans, row->what.where).text,
        .node = node,
        .function = node->function,
        .site = node->site,
        .count = row->count,
        .total_ns = (uint64_t)((double)row->total * scale),
        .longest_ns = (uint64_t)((double)row->longest * scale),
    };
}

uint64_t
sl_spans_lost(const sl_recording *recording)
{
    return recording->spans.lost;
}

const void *
sl_strand_here(const sl_strand *strand)
{
    return strand->cur;
}

const void *
sl_strand_key(const sl_strand *strand)
{
    return strand->cur->key;
}

uint32_t
sl_strand_lane(const sl_strand *strand)
{
    return strand->lane;
}
