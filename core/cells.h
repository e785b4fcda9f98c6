/* cells.h - numbers of nodes beside calls and self time: (node, key) to sums.
 *
 *   table     key       sums             from      in a file
 *   marks     a line    wall, cpu, gil   samples   LINES
 *   hits      a line    hits, ticks      events    HITS (hits.h)
 *   counters  a metric  its value        both      COUNTERS
 *
 * One table of each kind in a recording, as each is filled by another writer
 * (slowlens/recording.h). Nodes are only addresses here. Full or out of memory,
 * a table takes no more and counts what it left out.
 */
#ifndef SL_CORE_CELLS_H
#define SL_CORE_CELLS_H

#include "slowlens/alloc.h"

#include <stdbool.h>
#include <stdint.h>

/* What the sums of a cell are, by table. All times are ticks; counters have
 * the metric's own unit. */
enum { SL_MARK_WALL, SL_MARK_CPU, SL_MARK_GIL, SL_CELL_SUMS };
enum { SL_HIT_COUNT, SL_HIT_TICKS };
enum { SL_COUNTER_VALUE };

typedef struct {
    const void *node;
    uint32_t key;
    uint32_t link; /* hits alone: see hits.h */
    uint64_t sums[SL_CELL_SUMS];
} sl_cell;

typedef struct {
    sl_alloc alloc;
    sl_cell *rows;   /* in the order in which they came, until sorted */
    uint32_t *slots; /* number + 1; 0: free */
    uint32_t count, capacity;
    uint64_t lost; /* additions that found no room */
    bool borrowed; /* rows and slots are another's: not to be given back */
} sl_cells;

/* Zeroed but for `alloc` is empty. _clear forgets all, keeping little memory;
 * _free gives everything back. Both may be called in any state. */
void sl_cells_clear(sl_cells *cells);
void sl_cells_free(sl_cells *cells);

/* The cell of (node, key), or NULL. Valid until the next one is made. */
sl_cell *sl_cells_find(const sl_cells *cells, const void *node, uint32_t key);

/* The same, made with zeros where there is none. NULL: no room (counted). */
sl_cell *sl_cells_at(sl_cells *cells, const void *node, uint32_t key);

/* The nodes of the rows have other addresses now, or the rows another order. */
void sl_cells_reslot(sl_cells *cells);

/* Puts the rows in the order of `compare` (as qsort's, of sl_cell). */
void sl_cells_sort(sl_cells *cells, int (*compare)(const void *, const void *));

/* Bytes of memory it holds. */
static inline size_t
sl_cells_bytes(const sl_cells *cells)
{
    return (size_t)cells->capacity * (sizeof(sl_cell) + 2 * sizeof(uint32_t));
}

#endif /* SL_CORE_CELLS_H */
