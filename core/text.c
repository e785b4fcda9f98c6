/* The tree as text: what `slowlens show` and the embedding example print. */
#include "text.h"
#include "label.h"
#include "labels.h"
#include "rank.h"

#include "slowlens/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX   ((size_t)1 << 30)
#define INDENT_MAX 120u
/* Of one node, and of one text. */
#define SPANS_MOST 20u
#define SPAN_TEXT  200u

static void
put_line(sl_buf *out, const sl_profile *profile, const sl_labels *labels,
         uint32_t i)
{
    const sl_profile_node *node = sl_profile_node_at(profile, i);
    size_t len;
    const char *name = sl_labels_at(labels, node->function, &len);
    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns;
    uint32_t depth = node->depth < INDENT_MAX ? node->depth : INDENT_MAX;
    char line[128];

    snprintf(
        line, sizeof(line), "%6.1f%% %10.3f ms %10.3f self %9" PRIu64 "x  ",
        wall > 0 ? (double)node->total_ns * 100 / (double)wall : 0.0,
        (double)node->total_ns / 1e6, (double)node->self_ns / 1e6, node->calls);
    sl_buf_put_str(out, line);
    for (uint32_t d = 0; d < depth; d++)
        sl_buf_put_str(out, "  ");
    sl_buf_put(out, name, len);
    if (node->line != 0) {
        snprintf(line, sizeof(line), "  (line %u)", node->line);
        sl_buf_put_str(out, line);
    }
    sl_buf_put_u8(out, '\n');
    sl_buf_flow(out);
}

/* What was asked of others at the node, one line a row. */
static void
put_spans(sl_buf *out, const sl_profile *profile, uint32_t i, uint64_t least)
{
    const sl_profile_node *node = sl_profile_node_at(profile, i);
    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns;
    uint32_t depth = node->depth < INDENT_MAX ? node->depth + 1 : INDENT_MAX;
    uint32_t at = sl_profile_first_span(profile, i), put = 0;
    char line[128];

    for (; at < sl_profile_span_count(profile) && put < SPANS_MOST; at++) {
        const sl_profile_span *span = sl_profile_span_at(profile, at);
        if (span->node != i)
            break;
        if (span->total_ns < least)
            continue;
        put++;
        snprintf(line, sizeof(line), "%6.1f%% %10.3f ms %15s %9" PRIu64 "x  ",
                 wall > 0 ? (double)span->total_ns * 100 / (double)wall : 0.0,
                 (double)span->total_ns / 1e6, "", span->count);
        sl_buf_put_str(out, line);
        for (uint32_t d = 0; d < depth; d++)
            sl_buf_put_str(out, "  ");
        sl_buf_put_u8(out, '[');
        sl_label_text(out, span->kind, strlen(span->kind), SPAN_TEXT);
        sl_buf_put_str(out, "] ");
        sl_label_text(out, span->text, strlen(span->text), SPAN_TEXT);
        if (span->line != 0) {
            snprintf(line, sizeof(line), "  (line %u)", span->line);
            sl_buf_put_str(out, line);
        }
        sl_buf_put_u8(out, '\n');
    }
}

void
sl_text_put(const sl_profile *profile, uint32_t permille, sl_buf *out)
{
    uint32_t count = sl_profile_node_count(profile), open = 0;
    uint64_t least = sl_profile_node_at(profile, 0)->total_ns / 1000 * permille;
    sl_ranked *stack = malloc(((size_t)count + 1) * sizeof(*stack));
    sl_labels labels;
    sl_status status = sl_labels_init(&labels, profile);

    if (status < 0 || stack == NULL)
        out->status = status < 0 ? status : SL_ENOMEM;
    else
        stack[open++] = (sl_ranked){ 0, 0 };
    while (open > 0) {
        uint32_t i = stack[--open].id, first = open;
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        put_line(out, profile, &labels, i);
        put_spans(out, profile, i, least);
        for (uint32_t c = i + 1; c < i + node->size;) {
            const sl_profile_node *child = sl_profile_node_at(profile, c);
            if (child->total_ns >= least)
                stack[open++] = (sl_ranked){ child->total_ns, c };
            c += child->size;
        }
        /* Popped from the end, so the heaviest goes last. */
        qsort(stack + first, open - first, sizeof(*stack), sl_ranked_compare);
        for (uint32_t a = first, b = open; b > a + 1; a++) {
            sl_ranked swap = stack[--b];
            stack[b] = stack[a];
            stack[a] = swap;
        }
    }
    free(stack);
    sl_labels_free(&labels);
}

sl_status
sl_report_text(const sl_profile *profile, uint32_t permille, sl_bytes *out)
{
    sl_buf buf;

    sl_buf_init(&buf, NULL, TEXT_MAX);
    sl_text_put(profile, permille, &buf);
    return sl_buf_finish(&buf, out);
}
