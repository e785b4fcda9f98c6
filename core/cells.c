/* Numbers of nodes, by an open-addressed table over rows: see cells.h. */
#include "cells.h"
#include "hash.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MIN  64u
#define ROWS_KEPT 256u /* what _clear keeps: a usual request's */
#define ROWS_MAX  (1u << 17)

static size_t
slot_bytes(uint32_t capacity)
{
    return (size_t)capacity * 2 * sizeof(uint32_t);
}

void
sl_cells_free(sl_cells *cells)
{
    sl_alloc alloc = cells->alloc;

    if (cells->rows != NULL && !cells->borrowed) {
        alloc.give(alloc.ctx, cells->rows);
        alloc.give(alloc.ctx, cells->slots);
    }
    *cells = (sl_cells){ .alloc = alloc };
}

void
sl_cells_clear(sl_cells *cells)
{
    if (cells->capacity > ROWS_KEPT || cells->borrowed)
        sl_cells_free(cells);
    cells->count = 0;
    cells->lost = 0;
    if (cells->slots != NULL)
        memset(cells->slots, 0, slot_bytes(cells->capacity));
}

/* The slot of that cell, or the free one where it belongs. */
static uint32_t *
cells_slot(const sl_cells *cells, const void *node, uint32_t key)
{
    uint32_t mask = cells->capacity * 2 - 1;
    uint32_t at = (uint32_t)sl_hash_mix((uintptr_t)node, key) & mask;

    for (; cells->slots[at] != 0; at = (at + 1) & mask) {
        const sl_cell *row = &cells->rows[cells->slots[at] - 1];
        if (row->node == node && row->key == key)
            break;
    }
    return &cells->slots[at];
}

void
sl_cells_reslot(sl_cells *cells)
{
    if (cells->capacity == 0)
        return;
    memset(cells->slots, 0, slot_bytes(cells->capacity));
    for (uint32_t i = 0; i < cells->count; i++)
        *cells_slot(cells, cells->rows[i].node, cells->rows[i].key) = i + 1;
}

/* Room for one more row. false: none; nothing has changed. */
static bool
cells_reserve(sl_cells *cells)
{
    const sl_alloc *alloc = &cells->alloc;
    uint32_t capacity = cells->capacity == 0 ? ROWS_MIN : cells->capacity * 2;

    if (cells->count < cells->capacity)
        return true;
    if (capacity > ROWS_MAX)
        return false;
    sl_cells grown = { .alloc = *alloc,
                       .count = cells->count,
                       .capacity = capacity,
                       .lost = cells->lost };
    grown.rows = alloc->take(alloc->ctx, capacity * sizeof(*grown.rows));
    if (grown.rows == NULL)
        return false;
    grown.slots = alloc->take(alloc->ctx, slot_bytes(capacity));
    if (grown.slots == NULL) {
        alloc->give(alloc->ctx, grown.rows);
        return false;
    }
    if (cells->count > 0)
        memcpy(grown.rows, cells->rows, cells->count * sizeof(*grown.rows));
    sl_cells_reslot(&grown);
    sl_cells_free(cells);
    *cells = grown;
    return true;
}

sl_cell *
sl_cells_find(const sl_cells *cells, const void *node, uint32_t key)
{
    uint32_t row = cells->capacity == 0 ? 0 : *cells_slot(cells, node, key);

    return row == 0 ? NULL : &cells->rows[row - 1];
}

sl_cell *
sl_cells_at(sl_cells *cells, const void *node, uint32_t key)
{
    sl_cell *found = sl_cells_find(cells, node, key);

    if (found != NULL)
        return found;
    if (!cells_reserve(cells)) {
        cells->lost++;
        return NULL;
    }
    cells->rows[cells->count] = (sl_cell){ .node = node, .key = key };
    *cells_slot(cells, node, key) = cells->count + 1;
    return &cells->rows[cells->count++];
}

void
sl_cells_sort(sl_cells *cells, int (*compare)(const void *, const void *))
{
    if (cells->count > 1)
        qsort(cells->rows, cells->count, sizeof(*cells->rows), compare);
    sl_cells_reslot(cells);
}
