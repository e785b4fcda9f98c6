/* The decoded, immutable profile and its sums. */
#include "profile.h"
#include "blob.h"
#include "cost.h"

#include <stdlib.h>
#include <string.h>

/* What a writer counts with is what it takes here. */
_Static_assert(sizeof(sl_profile_node) <= SL_BLOB_NODE_BYTES, "node");
_Static_assert(sizeof(sl_profile_line) <= SL_BLOB_LINE_BYTES, "line");
_Static_assert(sizeof(sl_profile_hit) <= SL_BLOB_LINE_BYTES, "hit");
_Static_assert(sizeof(sl_profile_stretch) <= SL_BLOB_STRETCH_BYTES, "stretch");
_Static_assert(sizeof(sl_profile_counter) <= SL_BLOB_COUNTER_BYTES, "counter");
_Static_assert(sizeof(sl_profile_span) <= SL_BLOB_SPAN_BYTES, "span");
_Static_assert(sizeof(sl_profile_span_first) <= SL_BLOB_FIRST_BYTES, "first");
_Static_assert(sizeof(sl_function) + sizeof(sl_profile_sum) + sizeof(uint32_t) +
                       sizeof(uint8_t) <=
                   SL_BLOB_FUNCTION_BYTES,
               "function");

sl_status
sl_profile_new(sl_profile **out, size_t max_bytes, const sl_alloc *alloc)
{
    sl_arena *arena;
    void *mem;
    sl_status status =
        sl_arena_new(&arena, alloc, 0,
                     max_bytes != 0 ? max_bytes : (size_t)SL_BLOB_MAX_DECODED);
    if (status < 0)
        return status;
    status = sl_arena_take(arena, sizeof(sl_profile), &mem);
    if (status < 0) {
        sl_arena_free(arena);
        return status;
    }
    *out = mem;
    **out = (sl_profile){ .arena = arena };
    return SL_OK;
}

void
sl_profile_free(sl_profile *profile)
{
    if (profile != NULL)
        sl_arena_free(profile->arena);
}

bool
sl_profile_is_strand(const sl_profile *profile, uint32_t i)
{
    uint8_t pseudo = profile->pseudo[profile->nodes[i].function];
    return i != 0 && (pseudo == SL_PSEUDO_TASK || pseudo == SL_PSEUDO_THREAD);
}

sl_pseudo
sl_profile_pseudo(const sl_profile *profile, uint32_t function)
{
    return (sl_pseudo)profile->pseudo[function];
}

/* Depths, and the total of a function: a node counts where no node above it is
 * of the same function. One pass in preorder, `open` holding the end of the
 * outermost activation of each function. */
static sl_status
profile_sum_functions(sl_profile *profile)
{
    void *sums, *open;
    size_t count = profile->function_count;
    sl_status status =
        sl_arena_take(profile->arena, count * sizeof(sl_profile_sum), &sums);
    if (status == SL_OK)
        status = sl_arena_take(profile->arena, count * sizeof(uint32_t), &open);
    if (status < 0)
        return status;
    profile->sums = sums;
    memset(sums, 0, count * sizeof(sl_profile_sum));
    memset(open, 0, count * sizeof(uint32_t));
    /* A node's samples are those of its subtree: one sample of a recursive
     * function stands at each of its nodes, and is one. */
    bool sampled = sl_profile_is_sampled(profile);

    for (uint32_t i = 0; i < profile->node_count; i++) {
        sl_profile_node *node = &profile->nodes[i];
        sl_profile_sum *sum = &profile->sums[node->function];
        uint32_t *end = (uint32_t *)open + node->function;

        node->depth = i == 0 ? 0 : profile->nodes[node->parent].depth + 1;

        if (!sampled || i >= *end)
            sum->calls += node->calls;
        sum->resumes += node->resumes;
        sum->self_ns += node->self_ns;
        sum->own_ns += node->own_ns;
        sum->nodes++;
        if (i >= *end) {
            sum->total_ns += node->total_ns;
            *end = i + node->size;
        }
    }
    return SL_OK;
}

/* The row of that line, or NULL. */
static sl_profile_hit *
hit_find(const sl_profile *profile, uint32_t node, uint32_t line)
{
    uint32_t low = 0, high = profile->hit_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const sl_profile_hit *row = &profile->hits[middle];
        if (row->node < node || (row->node == node && row->line < line))
            low = middle + 1;
        else
            high = middle;
    }
    sl_profile_hit *row = &profile->hits[low];
    return low < profile->hit_count && row->node == node && row->line == line
               ? row
               : NULL;
}

static void
hit_take(sl_profile_hit *row, double own)
{
    if (row != NULL)
        row->self_ns -= sl_cost_off(own, row->self_ns);
}

static sl_cost_calls
node_calls(const sl_profile *profile, const sl_profile_node *node)
{
    return (sl_cost_calls){ profile->functions[node->function].kind,
                            node->calls, node->resumes, node->line != 0 };
}

/* Lines: each has its event, and what is the caller's of the calls it makes. */
static void
hits_subtract_cost(sl_profile *profile, sl_cost_sheet *sheet)
{
    for (uint32_t i = 0; i < profile->hit_count; i++) {
        sl_profile_hit *row = &profile->hits[i];
        sl_cost_sheet_lines(sheet, row->node, row->hits);
        hit_take(row, sl_cost_lines(&sheet->cost, row->hits));
    }
    for (uint32_t i = 1; profile->hit_count > 0 && i < profile->node_count;
         i++) {
        const sl_profile_node *node = &profile->nodes[i];
        const sl_cost_calls calls = node_calls(profile, node);
        hit_take(hit_find(profile, node->parent, node->line),
                 sl_cost_callers(&sheet->cost, &calls));
    }
}

/* Takes off each node what it cost; the sum of the request's own. */
static uint64_t
nodes_subtract_cost(sl_profile *profile, sl_cost_sheet *sheet)
{
    sl_profile_node *nodes = profile->nodes;
    uint64_t sum = 0;
    uint32_t to;

    for (uint32_t i = 0; i < profile->node_count; i++) {
        const sl_cost_calls calls = node_calls(profile, &nodes[i]);
        sl_cost_sheet_node(sheet, i, nodes[i].parent, &calls,
                           sl_profile_is_strand(profile, i));
    }
    hits_subtract_cost(profile, sheet);
    for (uint32_t i = 0; i < profile->node_count; i++) {
        nodes[i].own_ns = sl_cost_sheet_off(sheet, i, nodes[i].self_ns, &to);
        nodes[i].self_ns -= nodes[i].own_ns;
        if (to == 0)
            sum += nodes[i].own_ns;
        else
            nodes[to].self_ns += nodes[i].own_ns;
    }
    return sum;
}

/* Takes what recording cost off the nodes; there is room for one more node and
 * function, see cost.h. */
static sl_status
profile_subtract_cost(sl_profile *profile)
{
    sl_profile_node *nodes = profile->nodes;
    uint32_t count = profile->node_count;
    uint64_t sum = 0;
    sl_cost_sheet sheet;
    sl_cost cost;

    if (!sl_cost_read(profile->meta, profile->meta_count, &cost))
        return SL_OK;
    sl_status status = sl_cost_sheet_new(&sheet, &cost, count, &sl_alloc_libc);
    if (status == SL_OK)
        sum = nodes_subtract_cost(profile, &sheet);
    sl_cost_sheet_free(&sheet);
    if (status < 0 || sum == 0)
        return status;
    const char *name = sl_pseudo_name(SL_PSEUDO_OWN_COST);
    profile->functions[profile->function_count] =
        (sl_function){ .name = name,
                       .name_len = strlen(name),
                       .file = "",
                       .kind = SL_KIND_PSEUDO,
                       .origin = SL_ORIGIN_NONE };
    profile->pseudo[profile->function_count] = SL_PSEUDO_OWN_COST;
    nodes[count] = (sl_profile_node){ .function = profile->function_count++,
                                      .self_ns = sum };
    profile->node_count++;
    return SL_OK;
}

sl_status
sl_profile_derive(sl_profile *profile)
{
    sl_status status = profile_subtract_cost(profile);

    return status < 0 ? status : sl_profile_add_up(profile);
}

sl_status
sl_profile_add_up(sl_profile *profile)
{
    sl_profile_node *nodes = profile->nodes;

    /* Backwards: below a node all has been added up, from 0. */
    for (uint32_t i = profile->node_count; i-- > 0;) {
        sl_profile_node *parent = &nodes[nodes[i].parent];
        nodes[i].size++;
        nodes[i].total_ns += nodes[i].self_ns;
        if (i > 0)
            parent->size += nodes[i].size;
        if (i > 0 && !sl_profile_is_strand(profile, i))
            parent->total_ns += nodes[i].total_ns;
    }
    return profile_sum_functions(profile);
}

size_t
sl_profile_meta_count(const sl_profile *profile)
{
    return profile->meta_count;
}

const sl_meta *
sl_profile_meta(const sl_profile *profile, size_t i)
{
    return &profile->meta[i];
}

static const sl_meta *
items_find(const sl_meta *items, size_t count, const char *key)
{
    size_t len = strlen(key);

    for (size_t i = 0; i < count; i++) {
        if (items[i].key_len == len && memcmp(items[i].key, key, len) == 0)
            return &items[i];
    }
    return NULL;
}

const sl_meta *
sl_profile_meta_find(const sl_profile *profile, const char *key)
{
    return items_find(profile->meta, profile->meta_count, key);
}

size_t
sl_profile_summary_count(const sl_profile *profile)
{
    return profile->summary_count;
}

const sl_meta *
sl_profile_summary(const sl_profile *profile, size_t i)
{
    return &profile->summary[i];
}

const sl_meta *
sl_profile_summary_find(const sl_profile *profile, const char *key)
{
    return items_find(profile->summary, profile->summary_count, key);
}

uint32_t
sl_profile_function_count(const sl_profile *profile)
{
    return profile->function_count;
}

const sl_function *
sl_profile_function(const sl_profile *profile, uint32_t i)
{
    return &profile->functions[i];
}

const sl_profile_sum *
sl_profile_function_sum(const sl_profile *profile, uint32_t i)
{
    return &profile->sums[i];
}

uint32_t
sl_profile_node_count(const sl_profile *profile)
{
    return profile->node_count;
}

const sl_profile_node *
sl_profile_node_at(const sl_profile *profile, uint32_t i)
{
    return &profile->nodes[i];
}

uint32_t
sl_profile_line_count(const sl_profile *profile)
{
    return profile->line_count;
}

const sl_profile_line *
sl_profile_line_at(const sl_profile *profile, uint32_t i)
{
    return &profile->lines[i];
}

uint32_t
sl_profile_hit_count(const sl_profile *profile)
{
    return profile->hit_count;
}

const sl_profile_hit *
sl_profile_hit_at(const sl_profile *profile, uint32_t i)
{
    return &profile->hits[i];
}

uint32_t
sl_profile_stretch_count(const sl_profile *profile)
{
    return profile->stretch_count;
}

const sl_profile_stretch *
sl_profile_stretch_at(const sl_profile *profile, uint32_t i)
{
    return &profile->stretches[i];
}

uint32_t
sl_profile_counter_count(const sl_profile *profile)
{
    return profile->counter_count;
}

const sl_profile_counter *
sl_profile_counter_at(const sl_profile *profile, uint32_t i)
{
    return &profile->counters[i];
}

uint32_t
sl_profile_span_count(const sl_profile *profile)
{
    return profile->span_count;
}

const sl_profile_span *
sl_profile_span_at(const sl_profile *profile, uint32_t i)
{
    return &profile->spans[i];
}

uint32_t
sl_profile_first_span(const sl_profile *profile, uint32_t node)
{
    uint32_t low = 0, high = profile->span_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (profile->spans[middle].node < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t
sl_profile_spans_lost(const sl_profile *profile)
{
    return profile->spans_lost;
}

/* The first row at or behind (metric, node). */
static uint32_t
counter_find(const sl_profile *profile, uint32_t metric, uint32_t node)
{
    uint32_t low = 0, high = profile->counter_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const sl_profile_counter *row = &profile->counters[middle];
        if (row->metric < metric || (row->metric == metric && row->node < node))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t
sl_profile_counter_of(const sl_profile *profile, sl_metric metric,
                      uint32_t node)
{
    uint32_t at = counter_find(profile, (uint32_t)metric, node);

    if (metric == SL_METRIC_OWN && profile->nodes[node].own_ns > 0)
        return profile->nodes[node].own_ns;

    if (at == profile->counter_count)
        return 0;
    const sl_profile_counter *row = &profile->counters[at];
    return row->metric == (uint32_t)metric && row->node == node ? row->value
                                                                : 0;
}

bool
sl_profile_is_sampled(const sl_profile *profile)
{
    const sl_meta *mode = sl_profile_meta_find(profile, "mode");
    return mode != NULL && mode->text != NULL &&
           strcmp(mode->text, "sampling") == 0;
}

/* What samples saw and counters hold, as an outline has them. */
static void
outline_seen(const sl_profile *profile, sl_outline_line *lines,
             sl_outline_counter *counters)
{
    for (uint32_t i = 0; i < profile->line_count; i++) {
        const sl_profile_line *one = &profile->lines[i];
        lines[i] = (sl_outline_line){ one->node, one->line, one->wall_ns,
                                      one->cpu_ns, one->gil_ns };
    }
    for (uint32_t i = 0; i < profile->counter_count; i++) {
        const sl_profile_counter *one = &profile->counters[i];
        counters[i] =
            (sl_outline_counter){ one->node, one->metric, one->value };
    }
}

static void
outline_spans(const sl_profile *profile, sl_outline_span *spans)
{
    for (uint32_t i = 0; i < profile->span_count; i++) {
        const sl_profile_span *one = &profile->spans[i];
        spans[i] = (sl_outline_span){ .node = one->node,
                                      .line = one->line,
                                      .lane = one->lane,
                                      .kind = one->kind,
                                      .text = one->text,
                                      .where = one->where,
                                      .count = one->count,
                                      .total_ns = one->total_ns,
                                      .outer_ns = one->outer_ns,
                                      .longest_ns = one->longest_ns };
    }
}

sl_status
sl_profile_outline(const sl_profile *profile, sl_outline *out)
{
    sl_outline_line *lines =
        malloc(((size_t)profile->line_count + 1) * sizeof(*lines));
    sl_outline_counter *counters =
        malloc(((size_t)profile->counter_count + 1) * sizeof(*counters));
    sl_outline_span *spans =
        malloc(((size_t)profile->span_count + 1) * sizeof(*spans));

    *out = (sl_outline){ .nodes = profile->nodes,
                         .count = profile->node_count,
                         .functions = profile->functions,
                         .pseudo = profile->pseudo,
                         .function_count = profile->function_count,
                         .stretches = profile->stretches,
                         .stretch_count = profile->stretch_count,
                         .lines = lines,
                         .line_count = profile->line_count,
                         .counters = counters,
                         .counter_count = profile->counter_count,
                         .spans = spans,
                         .span_count = profile->span_count,
                         .spans_lost = profile->spans_lost,
                         .meta = profile->meta,
                         .meta_count = profile->meta_count };
    if (lines == NULL || counters == NULL || spans == NULL) {
        sl_profile_outline_free(out);
        return SL_ENOMEM;
    }
    sl_outline_find_own(out);
    outline_seen(profile, lines, counters);
    outline_spans(profile, spans);
    return SL_OK;
}

void
sl_profile_outline_free(sl_outline *outline)
{
    free((void *)(uintptr_t)outline->lines);
    free((void *)(uintptr_t)outline->counters);
    free((void *)(uintptr_t)outline->spans);
    *outline = (sl_outline){ 0 };
}

size_t
sl_profile_bytes(const sl_profile *profile)
{
    return sl_arena_bytes(profile->arena);
}
