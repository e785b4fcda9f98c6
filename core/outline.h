/* outline.h - as much of a call tree as its hot path and its summary want.
 *
 * The side that writes a blob fills it from a recording or from a union, the
 * side that reads one from a profile; so both say the same. Nodes stand in
 * preorder: the children of node i are i + 1, then c + nodes[c].size.
 */
#ifndef SL_CORE_OUTLINE_H
#define SL_CORE_OUTLINE_H

#include "slowlens/vocabulary.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint32_t parent; /* of node 0: 0 */
    uint32_t size;   /* of its subtree */
    uint32_t function;
    uint64_t self_ns;
    uint64_t total_ns; /* without the strands below it */
} sl_outline_node;

/* When a node's function was innermost; in the order of lane and time. */
typedef struct {
    uint32_t node;
    uint32_t lane;
    uint64_t from_ns, to_ns;
} sl_outline_stretch;

typedef struct {
    sl_outline_node *nodes;
    uint32_t count;
    const sl_function *functions;
    const uint8_t *pseudo; /* by function: sl_pseudo, SL_PSEUDO_COUNT: code */
    const sl_outline_stretch *stretches;
    uint32_t stretch_count;
} sl_outline;

static inline sl_pseudo
sl_outline_pseudo(const sl_outline *o, uint32_t node)
{
    return (sl_pseudo)o->pseudo[o->nodes[node].function];
}

static inline const sl_function *
sl_outline_function(const sl_outline *o, uint32_t node)
{
    return &o->functions[o->nodes[node].function];
}

/* Whether the node ran beside its parent. */
static inline bool
sl_outline_is_strand(const sl_outline *o, uint32_t node)
{
    sl_pseudo pseudo = sl_outline_pseudo(o, node);
    return node != 0 &&
           (pseudo == SL_PSEUDO_TASK || pseudo == SL_PSEUDO_THREAD);
}

/* Fills size and total_ns from parent and self_ns. */
static inline void
sl_outline_derive(sl_outline *o)
{
    for (uint32_t i = 0; i < o->count; i++) {
        o->nodes[i].size = 1;
        o->nodes[i].total_ns = o->nodes[i].self_ns;
    }
    for (uint32_t i = o->count; i-- > 1;) {
        sl_outline_node *parent = &o->nodes[o->nodes[i].parent];
        parent->size += o->nodes[i].size;
        if (!sl_outline_is_strand(o, i))
            parent->total_ns += o->nodes[i].total_ns;
    }
}

#endif /* SL_CORE_OUTLINE_H */
