/* The nodes of a stopped recording in the order in which they are written. */
#include "numbering.h"

/* Makes the samples of each node those of its subtree. */
static void
samples_sum(sl_node *const *order, uint64_t number)
{
    order[0]->calls--; /* its own: it is no sample */
    for (uint64_t i = number; i-- > 1;) {
        /* What a strand or a wait counts are not its parent's samples. */
        if (order[i]->function >= SL_PSEUDO_COUNT ||
            order[i]->function == SL_PSEUDO_GC ||
            order[i]->function == SL_PSEUDO_TRUNCATED ||
            order[i]->function == SL_PSEUDO_UNSEEN_DEEP)
            order[i]->parent->calls += order[i]->calls;
    }
}

/* Samples are no calls: below `top`, beside nodes that count calls, how often
 * a function was called is not known. */
static void
samples_hide(sl_node *top, sl_node *const *order, uint64_t number)
{
    top->calls = 1;
    /* In preorder, the first whose parent comes before is outside. */
    for (uint64_t i = top->number + 1;
         i < number && order[i]->parent->number >= top->number; i++) {
        if (order[i]->function >= SL_PSEUDO_COUNT)
            order[i]->calls = 0;
    }
}

sl_status
sl_recording_number(sl_recording *recording)
{
    sl_tree *tree = &recording->tree;
    uint32_t depth = 0;
    uint64_t number = 0;

    if (recording->summed)
        return SL_OK;
    sl_node **order = recording->alloc.take(
        recording->alloc.ctx, (size_t)tree->nodes * sizeof(*order));
    if (order == NULL)
        return SL_ENOMEM;
    for (const sl_node *node = tree->root; node != NULL;
         node = sl_tree_next(node, &depth)) {
        order[number] = (sl_node *)(uintptr_t)node;
        order[number]->number = number;
        number += !sl_tree_is_unused(tree, node);
    }
    if (recording->sampled && recording->sampled_from == 0)
        samples_sum(order, number);
    else if (recording->sampled)
        samples_hide(recording->main.base, order, number);
    recording->alloc.give(recording->alloc.ctx, order);
    recording->summed = true;
    return SL_OK;
}
