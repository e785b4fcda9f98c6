/* hits.h - lines of functions, as events tell them, in cells: how often each
 * was begun and how long it took itself.
 *
 * A node is on one line at a time: the one it began last. What passed before
 * its first is in none. Which one that is stands in the cell of line 0, whose
 * `link` is the number of the line's row + 1.
 */
#ifndef SL_CORE_HITS_H
#define SL_CORE_HITS_H

#include "cells.h"

/* The node begins a line, which is not 0. */
void sl_hits_begin(sl_cells *hits, const void *node, uint32_t line);

/* So much time passed in the node, on the line it is on, if it is on any. */
void sl_hits_pass(sl_cells *hits, const void *node, uint64_t ticks);

/* Leaves only the lines, in the order of `compare`. No more can be told then,
 * until it is cleared. */
void sl_hits_sort(sl_cells *hits, int (*compare)(const void *, const void *));

#endif /* SL_CORE_HITS_H */
