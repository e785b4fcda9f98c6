/* Whole stacks, for formats that write one for each sample. */
#include "stacks.h"

#include <stdlib.h>

#define KEPT (SL_STACKS_HEAD + SL_STACKS_TAIL)

static uint32_t
stacks_count(const sl_profile *profile, bool timeline)
{
    return timeline ? sl_profile_stretch_count(profile)
                    : sl_profile_node_count(profile);
}

static uint32_t
stacks_depth(const sl_profile *profile, bool timeline, uint32_t i)
{
    uint32_t node = timeline ? sl_profile_stretch_at(profile, i)->node : i;
    return sl_profile_node_at(profile, node)->depth + 1;
}

sl_status
sl_stacks_init(sl_stacks *stacks, const sl_profile *profile, bool timeline)
{
    uint32_t nodes = sl_profile_node_count(profile), deepest = 0;
    uint32_t count = stacks_count(profile, timeline);
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t depth = stacks_depth(profile, timeline, i);
        sum += depth;
        deepest = depth > deepest ? depth : deepest;
    }
    *stacks = (sl_stacks){ .profile = profile,
                           .whole = sum <= (uint64_t)KEPT * count };
    stacks->gap = !stacks->whole && deepest > KEPT;
    stacks->frames = malloc(((size_t)deepest + KEPT + 1) * sizeof(uint32_t));
    stacks->heads = malloc(((size_t)nodes + 1) * sizeof(uint32_t));
    if (stacks->frames == NULL || stacks->heads == NULL)
        return SL_ENOMEM;
    for (uint32_t i = 0; i < nodes; i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        stacks->heads[i] =
            node->depth < SL_STACKS_HEAD ? i : stacks->heads[node->parent];
    }
    return SL_OK;
}

void
sl_stacks_free(sl_stacks *stacks)
{
    free(stacks->frames);
    free(stacks->heads);
    *stacks = (sl_stacks){ 0 };
}

/* Fills frames[from, to) from the innermost outwards, which is `node`. */
static void
stacks_fill(sl_stacks *stacks, uint32_t node, uint32_t from, uint32_t to)
{
    while (to > from) {
        stacks->frames[--to] = node;
        node = sl_profile_node_at(stacks->profile, node)->parent;
    }
}

const uint32_t *
sl_stacks_at(sl_stacks *stacks, uint32_t node, uint32_t *count)
{
    uint32_t depth = sl_profile_node_at(stacks->profile, node)->depth + 1;

    if (stacks->whole || depth <= KEPT) {
        stacks_fill(stacks, node, 0, depth);
        *count = depth;
    } else {
        stacks_fill(stacks, stacks->heads[node], 0, SL_STACKS_HEAD);
        stacks->frames[SL_STACKS_HEAD] = SL_STACKS_GAP;
        stacks_fill(stacks, node, SL_STACKS_HEAD + 1, KEPT + 1);
        *count = KEPT + 1;
    }
    return stacks->frames;
}
