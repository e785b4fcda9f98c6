/* Lines as events tell them: see hits.h. */
#include "hits.h"

void
sl_hits_begin(sl_cells *hits, const void *node, uint32_t line)
{
    sl_cell *cell = sl_cells_at(hits, node, line);

    if (cell == NULL)
        return;
    cell->sums[SL_HIT_COUNT]++;
    uint32_t number = (uint32_t)(cell - hits->rows) + 1;
    sl_cell *current = sl_cells_at(hits, node, 0);
    if (current != NULL)
        current->link = number;
}

void
sl_hits_pass(sl_cells *hits, const void *node, uint64_t ticks)
{
    const sl_cell *current = sl_cells_find(hits, node, 0);

    if (current != NULL && current->link > 0)
        hits->rows[current->link - 1].sums[SL_HIT_TICKS] += ticks;
}

void
sl_hits_sort(sl_cells *hits, int (*compare)(const void *, const void *))
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < hits->count; i++) {
        if (hits->rows[i].key != 0)
            hits->rows[kept++] = hits->rows[i];
    }
    hits->count = kept;
    sl_cells_sort(hits, compare);
}
