/* A profile as functions and who called whom. */
#include "calls.h"

#include <stdlib.h>
#include <string.h>

static int
pair_compare(const void *a, const void *b)
{
    const sl_call *x = a, *y = b;
    if (x->callee != y->callee)
        return x->callee < y->callee ? -1 : 1;
    if (x->caller != y->caller)
        return x->caller < y->caller ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* The pair that node `i` counts for. */
static sl_call
pair_of(const sl_profile *profile, uint32_t i, bool by_line)
{
    const sl_profile_node *node = sl_profile_node_at(profile, i);
    return (sl_call){
        .caller = sl_profile_node_at(profile, node->parent)->function,
        .callee = node->function,
        .line = by_line ? node->line : 0,
    };
}

/* One pair for each (caller, callee, line), sorted. */
static uint32_t
pairs_collect(const sl_profile *profile, bool by_line, sl_call *pairs)
{
    uint32_t count = 0, kept = 0;

    for (uint32_t i = 1; i < sl_profile_node_count(profile); i++)
        pairs[count++] = pair_of(profile, i, by_line);
    qsort(pairs, count, sizeof(*pairs), pair_compare);
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || pair_compare(&pairs[kept - 1], &pairs[i]) != 0)
            pairs[kept++] = pairs[i];
    }
    return kept;
}

/* Adds a node to what it belongs to. `end`: where the outermost activation
 * that is open ends; moves when this one is outermost. */
static void
call_add(sl_call *call, const sl_profile_node *node, uint32_t i, uint32_t *end,
         bool sampled)
{
    if (!sampled || i >= *end)
        call->calls += node->calls;
    call->self_ns += node->self_ns;
    if (i < *end)
        return;
    call->primitive += node->calls;
    call->total_ns += node->total_ns;
    *end = i + node->size;
}

static void
calls_fill(const sl_profile *profile, bool by_line, sl_calls *calls,
           uint32_t *ends)
{
    bool sampled = sl_profile_is_sampled(profile);
    uint32_t *pair_ends = ends + calls->function_count;

    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        uint32_t callee = node->function;
        /* A total of a pair counts where the callee itself is outermost: the
         * recursive calls of f from f then cost nothing twice. */
        uint32_t open = ends[callee];
        call_add(&calls->functions[callee], node, i, &ends[callee], sampled);
        if (i == 0)
            continue;
        sl_call key = pair_of(profile, i, by_line);
        sl_call *pair = bsearch(&key, calls->pairs, calls->pair_count,
                                sizeof(key), pair_compare);
        uint32_t at = (uint32_t)(pair - calls->pairs);
        if (pair_ends[at] < open)
            pair_ends[at] = open;
        call_add(pair, node, i, &pair_ends[at], sampled);
    }
}

sl_status
sl_calls_sum(const sl_profile *profile, bool by_line, sl_calls *out)
{
    size_t functions = sl_profile_function_count(profile);
    size_t nodes = sl_profile_node_count(profile);
    uint32_t *ends = calloc(functions + nodes + 1, sizeof(*ends));

    *out = (sl_calls){
        .functions = calloc(functions + 1, sizeof(sl_call)),
        .pairs = calloc(nodes + 1, sizeof(sl_call)),
        .function_count = (uint32_t)functions,
    };
    if (ends == NULL || out->functions == NULL || out->pairs == NULL) {
        free(ends);
        sl_calls_free(out);
        return SL_ENOMEM;
    }
    for (uint32_t i = 0; i < out->function_count; i++)
        out->functions[i].callee = i;
    out->pair_count = pairs_collect(profile, by_line, out->pairs);
    calls_fill(profile, by_line, out, ends);
    free(ends);
    return SL_OK;
}

void
sl_calls_free(sl_calls *calls)
{
    free(calls->functions);
    free(calls->pairs);
    *calls = (sl_calls){ 0 };
}
