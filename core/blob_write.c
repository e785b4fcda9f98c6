/* A stopped recording as a blob. blob.h draws the format. */
#include "blob.h"
#include "blob_put.h"
#include "compress.h"
#include "cost.h"
#include "numbering.h"
#include "summary.h"
#include "varint.h"

#include <stdlib.h>
#include <string.h>

enum { POPS, FUNCTION, CALLS, RESUMES, SELF, LINE, COLUMNS };

/* Bytes that a number of each may take: all but SELF have 32 bits. */
static const uint8_t column_bytes[COLUMNS] = { 5, 5, 5, 5, SL_VARINT_MAX, 5 };

#define UNSEEN      UINT32_MAX
#define HIT_COLUMNS 4

/* One encoding at work. */
typedef struct {
    sl_recording *recording;
    const sl_alloc *alloc;
    sl_blob_functions functions;
    uint32_t *numbers;       /* by function id: number in the file, or UNSEEN */
    sl_buf columns[COLUMNS]; /* of TREE */
    uint64_t quantum;
    double scale; /* quanta a tick */
    sl_outline outline;
    sl_cost cost;
    sl_cost_sheet sheet; /* of the outline's nodes, where `costs` */
    sl_outline_stretch *stretches;
    sl_outline_line *lines;
    sl_outline_counter *counters;
    sl_outline_span *spans;
    bool costs;       /* `cost` is to be taken off the outline */
    uint64_t clipped; /* numbers that a bound has cut */
    bool wide;        /* one is beyond version 1 of the format */
    size_t front;     /* where META and SUMMARY end in the content */
    sl_describe describe;
    void *ctx;
} writer;

/* Ticks in quanta. A double beyond 64 bits has no integer. */
static uint64_t
quanta(const writer *w, uint64_t ticks)
{
    double sum = (double)ticks * w->scale + 0.5;
    return sum < (double)SL_BLOB_MAX_SUM ? (uint64_t)sum : SL_BLOB_MAX_SUM;
}

static void
writer_bound(writer *w, const sl_blob_bound *bound)
{
    w->clipped += bound->clipped;
    w->wide = w->wide || bound->wide;
}

/* Writes function `id` into the columns. */
static sl_status
writer_function(writer *w, uint32_t id)
{
    const void *key = w->recording->tree.functions.keys[id];
    sl_function f = { .name = "?",
                      .name_len = 1,
                      .file = "",
                      .kind = SL_KIND_PYTHON,
                      .origin = SL_ORIGIN_LIBRARY };

    if (id < SL_PSEUDO_COUNT) {
        f.name = sl_pseudo_name((sl_pseudo)id);
        f.name_len = strlen(f.name);
        f.kind = SL_KIND_PSEUDO;
        f.origin = SL_ORIGIN_NONE;
    } else if (w->describe != NULL) {
        sl_function told = f;
        if (w->describe(w->ctx, id, key, &told))
            f = told;
    }

    w->numbers[id] = w->functions.count;
    return sl_blob_functions_add(&w->functions, &f);
}

/* Room for the longest columns there can be, once: no test for each number. */
static sl_status
writer_room(writer *w, uint8_t **at)
{
    size_t nodes = w->recording->tree.nodes;

    for (int i = 0; i < COLUMNS; i++) {
        at[i] = sl_buf_room(&w->columns[i], nodes * column_bytes[i]);
        if (at[i] == NULL)
            return w->columns[i].status;
    }
    w->outline.nodes =
        w->alloc->take(w->alloc->ctx, nodes * sizeof(sl_outline_node));
    if (w->outline.nodes == NULL)
        return SL_ENOMEM;
    return w->costs ? sl_cost_sheet_new(&w->sheet, &w->cost, (uint32_t)nodes,
                                        w->alloc)
                    : SL_OK;
}

static void
writer_cost(writer *w, const sl_node *node, const sl_outline_node *to)
{
    const sl_function *known =
        (const sl_function *)(void *)w->functions.known.data;
    const sl_cost_calls calls = { known[to->function].kind, node->calls,
                                  node->resumes, node->site != 0 };

    sl_cost_sheet_node(
        &w->sheet, (uint32_t)(to - w->outline.nodes), to->parent, &calls,
        node->function == SL_PSEUDO_TASK || node->function == SL_PSEUDO_THREAD);
}

static sl_status
writer_tree(writer *w)
{
    const sl_tree *tree = &w->recording->tree;
    sl_blob_bound times = sl_blob_bound_times(w->quantum);
    sl_blob_bound counts = sl_blob_bound_counts();
    uint32_t depth = 0, before = 0, count = 0;
    uint64_t ticks = 0, written = 0;
    uint8_t *at[COLUMNS];
    sl_status status = writer_room(w, at);

    for (const sl_node *node = tree->root; status == SL_OK && node != NULL;
         node = sl_tree_next(node, &depth)) {
        if (sl_tree_is_unused(tree, node))
            continue;

        uint64_t number = 0;
        if (w->numbers[node->function] != UNSEEN) {
            number = (uint64_t)w->numbers[node->function] + 1;
        } else {
            status = writer_function(w, node->function);
            if (status < 0)
                return status;
        }

        /* What is rounded is the sum so far, and written is what it grew by:
         * each node is off by one quantum at most, and all of them together
         * by one, too. Rounded one by one, a million short calls would be
         * worth nothing. */
        ticks += node->self;
        uint64_t sum = quanta(w, ticks);
        uint64_t self = sl_blob_bounded(&times, sum - written);
        /* How many levels up from the node before: 0 for its child, 1 for
         * its sibling. */
        uint64_t pops = count == 0 ? 0 : before + 1 - depth;
        at[POPS] += sl_varint_put(at[POPS], pops);
        at[FUNCTION] += sl_varint_put(at[FUNCTION], number);
        at[CALLS] +=
            sl_varint_put(at[CALLS], sl_blob_bounded(&counts, node->calls));
        at[RESUMES] +=
            sl_varint_put(at[RESUMES], sl_blob_bounded(&counts, node->resumes));
        at[SELF] += sl_varint_put(at[SELF], self);
        at[LINE] += sl_varint_put(at[LINE], node->site);
        /* `last` is for a recording that runs; its place is free now. */
        ((sl_node *)(uintptr_t)node)->number = count;
        const sl_outline_node *to = &w->outline.nodes[count];
        w->outline.nodes[count++] = (sl_outline_node){
            .parent = node->parent == NULL ? 0 : (uint32_t)node->parent->number,
            .function = w->numbers[node->function],
            .line = node->site,
            .calls = node->calls,
            .self_ns = self * w->quantum,
        };
        if (w->costs)
            writer_cost(w, node, to);
        written = sum;
        before = depth;
    }
    for (int i = 0; status == SL_OK && i < COLUMNS; i++)
        sl_buf_used(&w->columns[i], (size_t)(at[i] - w->columns[i].data));
    w->outline.count = count;
    writer_bound(w, &times);
    writer_bound(w, &counts);
    return status;
}

/* ---- what samples saw ---- */

static uint64_t
node_number(const void *node)
{
    return ((const sl_node *)node)->number;
}

/* Cells by node and key, or by key and node. */
static int
cell_compare(const void *a, const void *b)
{
    const sl_cell *x = a, *y = b;
    uint64_t m = node_number(x->node), n = node_number(y->node);
    if (m != n)
        return m < n ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static int
cell_compare_keys(const void *a, const void *b)
{
    const sl_cell *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return cell_compare(a, b);
}

static int
stretch_compare(const void *a, const void *b)
{
    const sl_stretch *x = a, *y = b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return x->from < y->from ? -1 : x->from > y->from;
}

enum { LINE_COLUMNS = 5, STRETCH_COLUMNS = 4, SEEN_COLUMNS = 5 };

static void
put_columns(sl_buf *out, unsigned tag, uint32_t rows, sl_buf *columns,
            int count, sl_buf *body)
{
    sl_buf_put_varint(body, rows);
    for (int i = 0; i < count; i++) {
        sl_blob_put_column(body, &columns[i]);
        columns[i].size = 0;
    }
    sl_blob_put_section(out, tag, body);
}

static void
writer_lines(writer *w, sl_buf *columns)
{
    const sl_cells *marks = &w->recording->marks;
    sl_blob_bound times = sl_blob_bound_times(w->quantum);
    uint64_t before = 0, ticks = 0, written = 0;

    for (uint32_t i = 0; i < marks->count; i++) {
        const sl_cell *mark = &marks->rows[i];
        uint64_t number = node_number(mark->node);
        ticks += mark->sums[SL_MARK_WALL];
        uint64_t sum = quanta(w, ticks);
        uint64_t wall = sl_blob_bounded(&times, sum - written);
        uint64_t cpu = (uint64_t)((double)mark->sums[SL_MARK_CPU] * w->scale);
        uint64_t gil = (uint64_t)((double)mark->sums[SL_MARK_GIL] * w->scale);
        /* Their own rounding may bring them above the whole, which a reader
         * refuses. */
        cpu = cpu < wall ? cpu : wall;
        gil = gil < wall - cpu ? gil : wall - cpu;
        sl_buf_put_varint(&columns[0], number - before);
        sl_buf_put_varint(&columns[1], mark->key);
        sl_buf_put_varint(&columns[2], wall);
        sl_buf_put_varint(&columns[3], cpu);
        sl_buf_put_varint(&columns[4], gil);
        if (w->lines != NULL)
            w->lines[i] =
                (sl_outline_line){ (uint32_t)number, mark->key,
                                   wall * w->quantum, cpu * w->quantum,
                                   gil * w->quantum };
        before = number;
        written = sum;
    }
    writer_bound(w, &times);
}

/* Since the beginning, in quanta. */
static uint64_t
since_start(const writer *w, uint64_t ticks)
{
    uint64_t start = w->recording->start_ticks;
    return ticks > start ? quanta(w, ticks - start) : 0;
}

static void
writer_timeline(writer *w, sl_buf *columns)
{
    const sl_stretches *stretches = &w->recording->stretches;
    uint64_t most = SL_BLOB_MAX_SUM / w->quantum;
    uint64_t lane = 0, node = 0, end = 0;

    for (uint32_t i = 0; i < stretches->count; i++) {
        const sl_stretch *stretch = &stretches->rows[i];
        uint64_t number = node_number(stretch->node);
        uint64_t from = since_start(w, stretch->from);
        uint64_t to = since_start(w, stretch->to);
        /* Two looks at one lane may overlap by what passed between two
         * readings of the clock: the later one gives way. */
        if (stretch->lane != lane)
            end = 0;
        from = from > end ? from : end;
        to = to > from ? to : from;
        w->clipped += to > most;
        to = to < most ? to : most;
        from = from < to ? from : to;
        w->wide = w->wide || to > SL_BLOB_V1_MAX_NS / w->quantum;
        sl_buf_put_varint(&columns[0], stretch->lane - lane);
        sl_buf_put_varint(&columns[1], from - end);
        sl_buf_put_varint(&columns[2],
                          sl_zigzag((int64_t)number - (int64_t)node));
        sl_buf_put_varint(&columns[3], to - from);
        if (w->stretches != NULL)
            w->stretches[i] =
                (sl_outline_stretch){ (uint32_t)number, stretch->lane,
                                      from * w->quantum, to * w->quantum };
        lane = stretch->lane;
        node = number;
        end = to;
    }
}

/* LINES and TIMELINE. The recording is stopped, so sorting what its sampler
 * collected changes nothing that anybody reads. */
static void
writer_seen(writer *w, sl_buf *out, sl_buf *body)
{
    sl_cells *marks = &w->recording->marks;
    sl_stretches *stretches = &w->recording->stretches;
    sl_buf columns[SEEN_COLUMNS];

    w->clipped += marks->lost + stretches->lost;
    for (int i = 0; i < SEEN_COLUMNS; i++)
        sl_buf_init(&columns[i], w->alloc, 0);
    if (marks->count > 0) {
        sl_cells_sort(marks, cell_compare);
        w->lines =
            w->alloc->take(w->alloc->ctx, marks->count * sizeof(*w->lines));
        if (w->lines == NULL)
            out->status = SL_ENOMEM;
        w->outline.lines = w->lines;
        w->outline.line_count = w->lines != NULL ? marks->count : 0;
        writer_lines(w, columns);
        put_columns(out, SL_BLOB_LINES, marks->count, columns, LINE_COLUMNS,
                    body);
    }
    if (stretches->count > 0) {
        qsort(stretches->rows, stretches->count, sizeof(sl_stretch),
              stretch_compare);
        w->stretches = w->alloc->take(w->alloc->ctx,
                                      stretches->count * sizeof(*w->stretches));
        if (w->stretches == NULL)
            out->status = SL_ENOMEM;
        writer_timeline(w, columns);
        put_columns(out, SL_BLOB_TIMELINE, stretches->count, columns,
                    STRETCH_COLUMNS, body);
        w->outline.stretches = w->stretches;
        w->outline.stretch_count = w->stretches != NULL ? stretches->count : 0;
    }
    for (int i = 0; i < SEEN_COLUMNS; i++)
        sl_buf_free(&columns[i]);
}

static void
writer_counters(writer *w, sl_buf *out, sl_buf *body)
{
    sl_cells *counters = &w->recording->counters;
    sl_blob_metric row;

    w->clipped += counters->lost;
    if (counters->count == 0)
        return;
    sl_cells_sort(counters, cell_compare_keys);
    w->counters =
        w->alloc->take(w->alloc->ctx, counters->count * sizeof(*w->counters));
    if (w->counters == NULL)
        out->status = SL_ENOMEM;
    w->outline.counters = w->counters;
    w->outline.counter_count = w->counters != NULL ? counters->count : 0;
    sl_blob_counters_begin(&row, w->alloc);
    for (uint32_t i = 0; i < counters->count; i++) {
        const sl_cell *one = &counters->rows[i];
        uint64_t value = one->sums[SL_COUNTER_VALUE];
        sl_blob_counters_add(&row, one->key, node_number(one->node), value);
        if (w->counters != NULL)
            w->counters[i] =
                (sl_outline_counter){ (uint32_t)node_number(one->node),
                                      one->key, value };
    }
    w->clipped += sl_blob_counters_end(&row, body);
    sl_blob_put_section(out, SL_BLOB_COUNTERS, body);
}

/* ---- spans ---- */

typedef struct {
    uint32_t node; /* number in the file */
    uint32_t row;
} span_place;

static int
span_compare(const void *a, const void *b)
{
    const span_place *x = a, *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static int
first_compare(const void *a, const void *b)
{
    const sl_span_first *x = a, *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* The number of a span's node. What was cut off the tree before anything was
 * called there is no node of the file. */
static uint32_t
span_node(const writer *w, const sl_node *node)
{
    /* [truncated], which every tree has, is written only if something is in
     * it. */
    if (node != NULL && sl_tree_is_unused(&w->recording->tree, node))
        node = node->parent;
    return node == NULL ? 0 : (uint32_t)node->number;
}

static void
writer_span(writer *w, sl_blob_spans *put, const span_place *at,
            const sl_span_first *firsts, uint32_t first_count)
{
    const sl_spans *spans = &w->recording->spans;
    const sl_span_row *row = &spans->rows[at->row];
    const sl_blob_span one = {
        .node = at->node,
        .line = row->what.site,
        .lane = row->what.lane,
        .kind = sl_spans_kind_text(spans, row->what.kind).text,
        .text = sl_spans_text(spans, row->what.text).text,
        .where = sl_spans_text(spans, row->what.where).text,
        .count = row->count,
        .total = quanta(w, row->total),
        .outer = quanta(w, row->outer),
        .longest = quanta(w, row->longest),
        .firsts = first_count,
    };

    sl_blob_spans_add(put, &one);
    for (uint32_t i = 0; i < first_count; i++)
        sl_blob_spans_first(put, since_start(w, firsts[i].from),
                            quanta(w, firsts[i].length),
                            sl_spans_text(spans, firsts[i].detail).text);
    w->spans[w->outline.span_count++] = (sl_outline_span){
        .node = one.node,
        .line = one.line,
        .lane = one.lane,
        .kind = one.kind,
        .text = one.text,
        .where = one.where,
        .count = one.count,
        .total_ns = one.total * w->quantum,
        .outer_ns = one.outer * w->quantum,
        .longest_ns = one.longest * w->quantum,
    };
}

/* SPANS. The recording is stopped: its firsts may be sorted. */
static sl_status
writer_spans(writer *w, sl_buf *out, sl_buf *body)
{
    sl_spans *spans = &w->recording->spans;
    const uint32_t rows = spans->row_count;
    const sl_alloc *alloc = w->alloc;
    sl_blob_spans put;
    uint64_t clipped = 0;

    if (rows == 0 && spans->lost == 0)
        return SL_OK;
    span_place *order = alloc->take(alloc->ctx, (rows + 1) * sizeof(*order));
    uint32_t *from = alloc->take(alloc->ctx, (rows + 1) * sizeof(*from));
    w->spans = alloc->take(alloc->ctx, (rows + 1) * sizeof(*w->spans));
    sl_status status =
        order == NULL || from == NULL || w->spans == NULL ? SL_ENOMEM : SL_OK;
    if (status == SL_OK) {
        sl_span_first *firsts = spans->firsts;
        if (spans->first_count > 0)
            qsort(firsts, spans->first_count, sizeof(*firsts), first_compare);
        /* Where each row's first spans begin; the one behind the last is
         * where they end. */
        for (uint32_t row = 0, at = 0; row <= rows; row++) {
            while (at < spans->first_count && firsts[at].row < row)
                at++;
            from[row] = at;
        }
        for (uint32_t i = 0; i < rows; i++)
            /* A reader wants them by node, and nodes have their numbers only
             * now. */
            order[i] =
                (span_place){ span_node(w, spans->rows[i].what.node), i };
        qsort(order, rows, sizeof(*order), span_compare);
        sl_blob_spans_begin(&put, &w->functions, w->quantum, alloc);
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t row = order[i].row;
            writer_span(w, &put, &order[i], firsts + from[row],
                        from[row + 1] - from[row]);
        }
        status = sl_blob_spans_end(&put, spans->lost, body, &clipped);
        sl_blob_put_section(out, SL_BLOB_SPANS, body);
        w->clipped += clipped;
        w->outline.spans = w->spans;
        w->outline.spans_lost = spans->lost;
    }
    if (order != NULL)
        alloc->give(alloc->ctx, order);
    if (from != NULL)
        alloc->give(alloc->ctx, from);
    return status;
}

/* Takes off the outline what a reader will take off the nodes. What it puts
 * into [own cost] stays with the request here: it is no function of the file,
 * and of no consequence for a summary. */
static void
writer_subtract_cost(writer *w)
{
    sl_outline_node *nodes = w->outline.nodes;
    uint32_t to;

    for (uint32_t i = 0; w->costs && i < w->outline.count; i++) {
        uint64_t off = sl_cost_sheet_off(&w->sheet, i, nodes[i].self_ns, &to);
        nodes[i].self_ns -= off;
        nodes[to].self_ns += off;
        w->outline.own_ns += to == 0 ? off : 0;
    }
}

/* HITS, and what the lines cost their functions. */
static void
writer_hits(writer *w, sl_buf *out, sl_buf *body)
{
    sl_cells *hits = &w->recording->hits;
    sl_blob_bound times = sl_blob_bound_times(w->quantum);
    sl_blob_bound counts = sl_blob_bound_counts();
    uint64_t before = 0, ticks = 0, written = 0;
    sl_buf columns[HIT_COLUMNS];

    w->clipped += hits->lost;
    sl_hits_sort(hits, cell_compare);
    if (hits->count == 0)
        return;
    for (int i = 0; i < HIT_COLUMNS; i++)
        sl_buf_init(&columns[i], w->alloc, 0);
    for (uint32_t i = 0; i < hits->count; i++) {
        const sl_cell *hit = &hits->rows[i];
        uint64_t number = node_number(hit->node);
        ticks += hit->sums[SL_HIT_TICKS];
        uint64_t sum = quanta(w, ticks);
        sl_buf_put_varint(&columns[0], number - before);
        sl_buf_put_varint(&columns[1], hit->key);
        sl_buf_put_varint(&columns[2],
                          sl_blob_bounded(&counts, hit->sums[SL_HIT_COUNT]));
        sl_buf_put_varint(&columns[3], sl_blob_bounded(&times, sum - written));
        if (w->costs)
            sl_cost_sheet_lines(&w->sheet, (uint32_t)number,
                                hit->sums[SL_HIT_COUNT]);
        before = number;
        written = sum;
    }
    writer_bound(w, &times);
    writer_bound(w, &counts);
    put_columns(out, SL_BLOB_HITS, hits->count, columns, HIT_COLUMNS, body);
    for (int i = 0; i < HIT_COLUMNS; i++)
        sl_buf_free(&columns[i]);
}

/* Everything behind FUNCTIONS into `rest`, then what stands before it, which
 * is a summary of it. */
static sl_status
writer_content(writer *w, const sl_meta *meta, size_t meta_count, sl_buf *out,
               sl_buf *body)
{
    sl_buf rest, summary;

    sl_buf_init(&rest, w->alloc, SL_BLOB_MAX_CONTENT);
    sl_buf_init(&summary, w->alloc, SL_BLOB_MAX_CONTENT);
    sl_buf_put_varint(body, w->outline.count);
    sl_buf_put_varint(body, w->quantum);
    for (int i = 0; i < COLUMNS; i++)
        sl_blob_put_column(body, &w->columns[i]);
    sl_blob_put_section(&rest, SL_BLOB_TREE, body);
    writer_seen(w, &rest, body);
    writer_counters(w, &rest, body);
    writer_hits(w, &rest, body);
    sl_status status = writer_spans(w, &rest, body);
    if (status < 0)
        rest.status = status;
    /* The summary stands in front of what it is a summary of, so that a list
     * of requests decompresses the first few kilobytes of each: it is made
     * from the outline, of what is written here, as a reader would make it. */
    sl_blob_put_section(&rest, SL_BLOB_END, body);
    if (rest.status == SL_OK) {
        w->outline.functions =
            (const sl_function *)(void *)w->functions.known.data;
        w->outline.pseudo = w->functions.pseudo.data;
        w->outline.function_count = w->functions.count;
        w->outline.meta = meta;
        w->outline.meta_count = meta_count;
        writer_subtract_cost(w);
        sl_outline_derive(&w->outline);
        sl_summary_put(&w->outline, w->clipped + w->functions.cut, &summary);
    }
    w->front = sl_blob_put_head(out, body, meta, meta_count, &summary,
                                &w->functions, w->wide);
    sl_blob_put_column(out, &rest);
    if (summary.status < 0)
        out->status = summary.status;
    sl_buf_free(&rest);
    sl_buf_free(&summary);
    return out->status;
}

static sl_status
writer_init(writer *w)
{
    const uint32_t functions = w->recording->tree.functions.count;
    void *mem;

    for (int i = 0; i < COLUMNS; i++)
        sl_buf_init(&w->columns[i], w->alloc, 0);
    sl_status status = sl_blob_functions_init(&w->functions, w->alloc);
    if (status == SL_OK)
        status = sl_arena_take(w->functions.arena, functions * sizeof(uint32_t),
                               &mem);
    if (status < 0)
        return status;
    w->numbers = mem;
    memset(w->numbers, 0xFF, functions * sizeof(uint32_t));
    return SL_OK;
}

static void
writer_free(writer *w)
{
    for (int i = 0; i < COLUMNS; i++)
        sl_buf_free(&w->columns[i]);
    if (w->outline.nodes != NULL)
        w->alloc->give(w->alloc->ctx, w->outline.nodes);
    sl_cost_sheet_free(&w->sheet);
    if (w->stretches != NULL)
        w->alloc->give(w->alloc->ctx, w->stretches);
    if (w->lines != NULL)
        w->alloc->give(w->alloc->ctx, w->lines);
    if (w->counters != NULL)
        w->alloc->give(w->alloc->ctx, w->counters);
    if (w->spans != NULL)
        w->alloc->give(w->alloc->ctx, w->spans);
    sl_blob_functions_free(&w->functions);
}

sl_status
sl_recording_encode(sl_recording *recording, const sl_meta *meta,
                    size_t meta_count, sl_describe describe, void *ctx,
                    int level, sl_bytes *out)
{
    if (!recording->stopped || recording->tree.root == NULL)
        return SL_ESTATE;
    if (meta_count > SL_BLOB_MAX_META)
        return SL_ELIMIT;

    uint64_t quantum = sl_blob_quantum(sl_recording_wall_ns(recording));
    writer w = { .recording = recording,
                 .alloc = &recording->alloc,
                 .quantum = quantum,
                 .scale = sl_recording_scale(recording) / (double)quantum,
                 .describe = describe,
                 .ctx = ctx };
    w.costs = sl_cost_read(meta, meta_count, &w.cost);
    sl_buf content, body, frame;
    sl_buf_init(&content, w.alloc, SL_BLOB_MAX_CONTENT);
    sl_buf_init(&body, w.alloc, SL_BLOB_MAX_CONTENT);
    sl_buf_init(&frame, w.alloc, 0);

    const sl_blob_rows rows = { .nodes = recording->tree.nodes,
                                .functions = recording->tree.functions.count,
                                .lines = (uint64_t)recording->marks.count +
                                         recording->hits.count,
                                .stretches = recording->stretches.count,
                                .counters = recording->counters.count,
                                .spans = recording->spans.row_count,
                                .firsts = recording->spans.first_count };
    sl_status status = sl_blob_check_rows(&rows);
    if (status == SL_OK)
        status = writer_init(&w);
    /* A look is counted where it found the thread, at the innermost node; in
     * the file a node has those of all below it. */
    if (status == SL_OK && (recording->sampled || recording->marks.count > 0))
        status = sl_recording_number(recording);
    if (status == SL_OK)
        status = writer_tree(&w);
    if (status == SL_OK)
        status = writer_content(&w, meta, meta_count, &content, &body);
    if (status == SL_OK)
        status = sl_compress_front(&frame, content.data, content.size, w.front,
                                   level != 0 ? level : 3);
    if (status == SL_OK)
        status = sl_buf_finish(&frame, out);

    writer_free(&w);
    sl_buf_free(&content);
    sl_buf_free(&body);
    sl_buf_free(&frame);
    return status;
}
