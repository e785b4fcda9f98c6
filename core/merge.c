/* Several profiles as one blob: their sum, or what one has more than another.
 */
#include "blob.h"
#include "blob_put.h"
#include "compress.h"
#include "merge.h"
#include "summary.h"
#include "union.h"
#include "varint.h"

#include "slowlens/merge.h"

#include <stdlib.h>
#include <string.h>

enum { POPS, FUNCTION, CALLS, RESUMES, SELF, LINE, COLUMNS };
enum { LINE_COLUMNS = 5 };
#define UNSEEN UINT32_MAX

/* What a node is worth in the file. */
typedef sl_union_sum (*value_of)(const sl_union_node *node);

static sl_union_sum
value_sum(const sl_union_node *node)
{
    return node->side[0];
}

static uint64_t
more(uint64_t before, uint64_t after)
{
    return after > before ? after - before : 0;
}

static sl_union_sum
value_growth(const sl_union_node *node)
{
    return (sl_union_sum){ more(node->side[0].calls, node->side[1].calls),
                           more(node->side[0].resumes, node->side[1].resumes),
                           more(node->side[0].self_ns, node->side[1].self_ns),
                           0 };
}

static sl_union_span_sum
span_sum(const sl_union_span *span)
{
    return span->side[0];
}

/* The longest is one of `after`: no more than what it has more in all. */
static sl_union_span_sum
span_growth(const sl_union_span *span)
{
    const sl_union_span_sum *a = &span->side[0], *b = &span->side[1];
    return (sl_union_span_sum){ more(a->count, b->count),
                                more(a->total_ns, b->total_ns),
                                more(a->outer_ns, b->outer_ns), b->longest_ns };
}

typedef struct {
    sl_union *u;
    value_of value;
    sl_union_span_sum (*span_value)(const sl_union_span *span);
    sl_blob_functions functions;
    uint32_t *numbers; /* by function: number in the file, or UNSEEN */
    uint32_t *places;  /* by node: number in the file */
    sl_buf columns[COLUMNS];
    sl_outline outline;
    sl_outline_span *spans;
    uint64_t quantum;
    uint64_t clipped; /* numbers that a bound has cut */
    bool wide;        /* one is beyond version 1 of the format */
} merger;

static void
merger_bound(merger *m, const sl_blob_bound *bound)
{
    m->clipped += bound->clipped;
    m->wide = m->wide || bound->wide;
}

static sl_status
merger_tree(merger *m)
{
    sl_blob_bound times = sl_blob_bound_times(m->quantum);
    sl_blob_bound counts = sl_blob_bound_counts();
    uint32_t depth = 0, before = 0, place = 0;

    for (uint32_t i = 0; i != SL_UNION_END;
         i = sl_union_next(m->u, i, &depth)) {
        const sl_union_node *node = &m->u->nodes[i];
        sl_union_sum value = m->value(node);
        uint64_t number = 0;
        if (m->numbers[node->function] != UNSEEN) {
            number = (uint64_t)m->numbers[node->function] + 1;
        } else {
            m->numbers[node->function] = m->functions.count;
            sl_status status = sl_blob_functions_add(
                &m->functions, &m->u->functions[node->function]);
            if (status < 0)
                return status;
        }
        uint64_t self = sl_blob_bounded(&times, value.self_ns / m->quantum);
        sl_buf_put_varint(&m->columns[POPS],
                          place == 0 ? 0 : before + 1 - depth);
        sl_buf_put_varint(&m->columns[FUNCTION], number);
        sl_buf_put_varint(&m->columns[CALLS],
                          sl_blob_bounded(&counts, value.calls));
        sl_buf_put_varint(&m->columns[RESUMES],
                          sl_blob_bounded(&counts, value.resumes));
        sl_buf_put_varint(&m->columns[SELF], self);
        sl_buf_put_varint(&m->columns[LINE], node->line);
        m->places[i] = place;
        m->outline.nodes[place++] = (sl_outline_node){
            .parent = m->places[node->parent],
            .function = m->numbers[node->function],
            .line = node->line,
            .calls = value.calls,
            .self_ns = self * m->quantum,
        };
        before = depth;
    }
    m->outline.count = place;
    merger_bound(m, &times);
    merger_bound(m, &counts);
    return SL_OK;
}

/* Each line at its place in the file, in order. */
static void
merger_lines(merger *m, sl_buf *out, sl_buf *body)
{
    const sl_union_line *lines = m->u->lines;
    sl_blob_bound times = sl_blob_bound_times(m->quantum);
    uint32_t before = 0;
    sl_buf columns[LINE_COLUMNS];

    if (m->u->line_count == 0)
        return;
    for (int c = 0; c < LINE_COLUMNS; c++)
        sl_buf_init(&columns[c], NULL, 0);
    for (size_t i = 0; i < m->u->line_count; i++) {
        uint64_t wall = sl_blob_bounded(&times, lines[i].wall_ns / m->quantum);
        uint64_t cpu = lines[i].cpu_ns / m->quantum;
        uint64_t gil = lines[i].gil_ns / m->quantum;
        cpu = cpu < wall ? cpu : wall;
        gil = gil < wall - cpu ? gil : wall - cpu;
        sl_buf_put_varint(&columns[0], lines[i].node - before);
        sl_buf_put_varint(&columns[1], lines[i].line);
        sl_buf_put_varint(&columns[2], wall);
        sl_buf_put_varint(&columns[3], cpu);
        sl_buf_put_varint(&columns[4], gil);
        before = lines[i].node;
    }
    sl_buf_put_varint(body, m->u->line_count);
    for (int c = 0; c < LINE_COLUMNS; c++) {
        sl_blob_put_column(body, &columns[c]);
        sl_buf_free(&columns[c]);
    }
    sl_blob_put_section(out, SL_BLOB_LINES, body);
    merger_bound(m, &times);
}

static void
merger_counters(merger *m, sl_buf *out, sl_buf *body)
{
    const sl_profile_counter *rows = m->u->counters;
    sl_blob_metric row;

    if (m->u->counter_count == 0)
        return;
    sl_blob_counters_begin(&row, NULL);
    for (size_t i = 0; i < m->u->counter_count; i++)
        sl_blob_counters_add(&row, rows[i].metric, rows[i].node,
                             rows[i].value);
    m->clipped += sl_blob_counters_end(&row, body);
    sl_blob_put_section(out, SL_BLOB_COUNTERS, body);
}

/* Spans that did not grow are left out of a growth. */
static sl_status
merger_spans(merger *m, sl_buf *out, sl_buf *body)
{
    const sl_union_spans *all = &m->u->spans;
    uint64_t lost =
        m->value == value_sum ? all->lost[0] : more(all->lost[0], all->lost[1]);
    uint64_t clipped = 0;
    sl_blob_spans put;

    if (all->count == 0 && lost == 0)
        return SL_OK;
    sl_blob_spans_begin(&put, &m->functions, m->quantum, NULL);
    for (uint32_t i = 0; i < all->count; i++) {
        const sl_union_span *span = &all->rows[i];
        sl_union_span_sum value = m->span_value(span);
        const sl_blob_span one = { .node = span->node,
                                   .line = span->line,
                                   .kind = span->kind,
                                   .text = span->text,
                                   .where = span->where,
                                   .count = value.count,
                                   .total = value.total_ns / m->quantum,
                                   .outer = value.outer_ns / m->quantum,
                                   .longest = value.longest_ns / m->quantum };
        if (one.count == 0 && one.total == 0)
            continue;
        sl_blob_spans_add(&put, &one);
        m->spans[m->outline.span_count++] =
            (sl_outline_span){ .node = one.node,
                               .line = one.line,
                               .kind = one.kind,
                               .text = one.text,
                               .where = one.where,
                               .count = one.count,
                               .total_ns = value.total_ns,
                               .outer_ns = value.outer_ns,
                               .longest_ns = value.longest_ns };
    }
    m->wide = m->wide || put.counts.wide || put.times.wide;
    sl_status status = sl_blob_spans_end(&put, lost, body, &clipped);
    sl_blob_put_section(out, SL_BLOB_SPANS, body);
    m->clipped += clipped;
    m->outline.spans = m->spans;
    m->outline.spans_lost = lost;
    return status;
}

/* Lines, counters and spans name nodes of the union: from here on, those of the
 * file, in its order. */
static void
merger_renumber(merger *m)
{
    for (size_t i = 0; i < m->u->line_count; i++)
        m->u->lines[i].node = m->places[m->u->lines[i].node];
    for (size_t i = 0; i < m->u->counter_count; i++)
        m->u->counters[i].node = m->places[m->u->counters[i].node];
    sl_union_spans *spans = &m->u->spans;
    for (uint32_t i = 0; i < spans->count; i++)
        spans->rows[i].node = m->places[spans->rows[i].node];
    sl_union_compact(m->u);
    sl_union_spans_sort(spans);
}

/* Everything behind FUNCTIONS first, then what stands before it, which is a
 * summary of it. */
static sl_status
merger_content(merger *m, const sl_meta *meta, size_t meta_count, sl_buf *out)
{
    sl_buf body, rest, summary;
    sl_status status = merger_tree(m);

    sl_buf_init(&body, NULL, SL_BLOB_MAX_CONTENT);
    sl_buf_init(&rest, NULL, SL_BLOB_MAX_CONTENT);
    sl_buf_init(&summary, NULL, SL_BLOB_MAX_CONTENT);
    if (status == SL_OK) {
        sl_buf_put_varint(&body, m->u->node_count);
        sl_buf_put_varint(&body, m->quantum);
        for (int i = 0; i < COLUMNS; i++)
            sl_blob_put_column(&body, &m->columns[i]);
        sl_blob_put_section(&rest, SL_BLOB_TREE, &body);
        merger_renumber(m);
        merger_lines(m, &rest, &body);
        merger_counters(m, &rest, &body);
        status = merger_spans(m, &rest, &body);
        sl_blob_put_section(&rest, SL_BLOB_END, &body);
        if (status == SL_OK)
            status = rest.status;
    }
    if (status == SL_OK) {
        m->outline.functions =
            (const sl_function *)(void *)m->functions.known.data;
        m->outline.pseudo = m->functions.pseudo.data;
        m->outline.function_count = m->functions.count;
        m->outline.meta = meta;
        m->outline.meta_count = meta_count;
        sl_outline_derive(&m->outline);
        sl_summary_put(&m->outline, m->clipped + m->functions.cut, &summary);
        sl_blob_put_head(out, &body, meta, meta_count, &summary, &m->functions,
                         m->wide);
        sl_blob_put_column(out, &rest);
        status = summary.status < 0 ? summary.status : out->status;
    }
    sl_buf_free(&body);
    sl_buf_free(&rest);
    sl_buf_free(&summary);
    return status;
}

/* The quantum that all times so far are multiples of: 1, 10 or 100. */
static uint64_t
union_quantum(const sl_union *u)
{
    uint64_t quantum = 100;
    for (uint32_t i = 0; i < u->node_count && quantum > 1; i++) {
        while (u->nodes[i].side[0].self_ns % quantum != 0 ||
               u->nodes[i].side[1].self_ns % quantum != 0)
            quantum /= 10;
    }
    for (uint32_t i = 0; i < u->spans.count && quantum > 1; i++) {
        while (u->spans.rows[i].side[0].total_ns % quantum != 0 ||
               u->spans.rows[i].side[1].total_ns % quantum != 0)
            quantum /= 10;
    }
    return quantum;
}

static sl_status
union_encode(sl_union *u, value_of value, const sl_meta *meta,
             size_t meta_count, int level, sl_bytes *out)
{
    merger m = { .u = u,
                 .value = value,
                 .span_value = value == value_sum ? span_sum : span_growth,
                 .quantum = union_quantum(u) };
    sl_buf content, frame;

    sl_buf_init(&content, NULL, SL_BLOB_MAX_CONTENT);
    sl_buf_init(&frame, NULL, 0);
    for (int i = 0; i < COLUMNS; i++)
        sl_buf_init(&m.columns[i], NULL, 0);
    sl_status status = sl_blob_functions_init(&m.functions, NULL);
    if (status == SL_OK)
        status =
            sl_blob_check_rows(&(sl_blob_rows){ .nodes = u->node_count,
                                                .functions = u->function_count,
                                                .lines = u->line_count,
                                                .counters = u->counter_count,
                                                .spans = u->spans.count });
    m.outline.nodes =
        malloc(((size_t)u->node_count + 1) * sizeof(*m.outline.nodes));
    m.numbers = malloc(((size_t)u->function_count + 1) * sizeof(uint32_t));
    m.places = malloc(((size_t)u->node_count + 1) * sizeof(uint32_t));
    m.spans = malloc(((size_t)u->spans.count + 1) * sizeof(*m.spans));
    if (m.numbers == NULL || m.places == NULL || m.outline.nodes == NULL ||
        m.spans == NULL)
        status = SL_ENOMEM;
    if (status == SL_OK) {
        memset(m.numbers, 0xFF, (size_t)u->function_count * sizeof(uint32_t));
        status = merger_content(&m, meta, meta_count, &content);
    }
    if (status == SL_OK)
        status = sl_compress(&frame, content.data, content.size,
                             level != 0 ? level : 3);
    if (status == SL_OK)
        status = sl_buf_finish(&frame, out);
    for (int i = 0; i < COLUMNS; i++)
        sl_buf_free(&m.columns[i]);
    sl_blob_functions_free(&m.functions);
    free(m.numbers);
    free(m.places);
    free(m.outline.nodes);
    free(m.spans);
    sl_buf_free(&content);
    sl_buf_free(&frame);
    return status;
}

sl_status
sl_union_encode(sl_union *u, const sl_meta *meta, size_t meta_count, int level,
                sl_bytes *out)
{
    if (u->node_count == 0 || meta_count > SL_BLOB_MAX_META)
        return SL_ERANGE;
    return union_encode(u, value_sum, meta, meta_count, level, out);
}

sl_status
sl_merge(const sl_profile *const *profiles, size_t count, const sl_meta *meta,
         size_t meta_count, int level, sl_bytes *out)
{
    sl_union u = { .with_lines = true };
    sl_status status = SL_OK;

    for (size_t i = 0; status == SL_OK && i < count; i++)
        status = sl_union_add(&u, profiles[i], 0, NULL, NULL);
    if (status == SL_OK)
        status = sl_union_encode(&u, meta, meta_count, level, out);
    sl_union_free(&u);
    return status;
}

sl_status
sl_growth(const sl_profile *before, const sl_profile *after,
          const sl_meta *meta, size_t meta_count, int level, sl_bytes *out)
{
    sl_union u = { 0 };
    sl_status status = meta_count > SL_BLOB_MAX_META
                           ? SL_ERANGE
                           : sl_union_add(&u, before, 0, NULL, NULL);
    if (status == SL_OK)
        status = sl_union_add(&u, after, 1, NULL, NULL);
    if (status == SL_OK)
        status = union_encode(&u, value_growth, meta, meta_count, level, out);
    sl_union_free(&u);
    return status;
}
