/* hits.h - lines of functions, as events tell them: (node, line) to how often
 * it was begun and how long it took itself. What HITS of a blob is written
 * from.
 *
 * A node is on one line at a time: the one it began last. What passed before
 * its first is in none. Nodes are only addresses here. Full or out of memory,
 * it takes no more and counts what it left out.
 */
#ifndef SL_CORE_HITS_H
#define SL_CORE_HITS_H

#include "slowlens/alloc.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const void *node;
    uint32_t line;    /* 0: which line the node is on */
    uint32_t current; /* ...that is: the row's number + 1 */
    uint64_t hits;
    uint64_t ticks;
} sl_hit;

typedef struct {
    sl_alloc alloc;
    sl_hit *rows;
    uint32_t *slots; /* number + 1; 0: free */
    uint32_t count, capacity;
    uint64_t lost; /* lines that found no room */
} sl_hits;

/* Zeroed but for `alloc` is empty. Both may be called in any state. */
void sl_hits_clear(sl_hits *hits);
void sl_hits_free(sl_hits *hits);

/* The node begins a line, which is not 0. */
void sl_hits_begin(sl_hits *hits, const void *node, uint32_t line);

/* So much time passed in the node, on the line it is on, if it is on any. */
void sl_hits_pass(sl_hits *hits, const void *node, uint64_t ticks);

/* Leaves only the lines, in the order of `compare` (as qsort's, of sl_hit). No
 * more can be added then, until it is cleared. */
void sl_hits_sort(sl_hits *hits, int (*compare)(const void *, const void *));

#endif /* SL_CORE_HITS_H */
