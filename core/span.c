/* Spans of a recording: slowlens/span.h. What keeps them: spans.c. */
#include "recording_data.h"

uint32_t
sl_span_word(sl_recording *recording, const char *text, size_t len)
{
    return sl_spans_word(&recording->spans, text, len);
}

sl_span
sl_span_begin(sl_strand *strand, const void *node, const sl_span_words *what,
              uint64_t now)
{
    sl_recording *recording = sl_recording_of(strand->tree);

    if (recording->stopped)
        return 0;
    return sl_spans_begin(&recording->spans, node != NULL ? node : strand->base,
                          strand->lane, what, now);
}

void
sl_span_end(sl_recording *recording, sl_span span, uint64_t now)
{
    if (!recording->stopped)
        sl_spans_end(&recording->spans, span, now);
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
    const sl_node *node = row->node;
    double scale = recording->stopped ? sl_recording_scale(recording) : 1.0;

    *out = (sl_span_sum){
        .kind = row->what.kind != 0 ? spans->words + row->what.kind : "",
        .text = row->what.text != 0 ? spans->words + row->what.text : "",
        .where = row->what.where != 0 ? spans->words + row->what.where : "",
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
