/* stretches.h - in which node a lane was when, as a sampler saw it:
 * lane: [from, to) in one node. What TIMELINE of a blob is written from.
 *
 * Nodes are only addresses here. Full or out of memory, it takes no more and
 * counts what it left out.
 */
#ifndef SL_CORE_STRETCHES_H
#define SL_CORE_STRETCHES_H

#include "slowlens/alloc.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const void *node;
    uint64_t from, to; /* ticks */
    uint32_t lane;     /* 0: the main strand */
} sl_stretch;

typedef struct {
    sl_alloc alloc;
    sl_stretch *rows;
    uint32_t count, capacity;
    uint64_t lost; /* that found no room */
    bool borrowed; /* rows are another's: not to be given back */
} sl_stretches;

/* Zeroed but for `alloc` is empty. _clear forgets all, keeping little memory;
 * _free gives everything back. Both may be called in any state. */
void sl_stretches_clear(sl_stretches *stretches);
void sl_stretches_free(sl_stretches *stretches);

/* Says that `lane` was in `node` from `from` to `to`. Goes on the stretch
 * before if it is the same node and no time lies between. Stretches of one
 * lane come in the order of time. */
void sl_stretches_add(sl_stretches *stretches, const sl_stretch *add);

#endif /* SL_CORE_STRETCHES_H */
