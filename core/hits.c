/* Lines as events tell them: see hits.h. */
#include "hits.h"
#include "hash.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MIN 256u
#define ROWS_MAX (1u << 17)

void
sl_hits_clear(sl_hits *hits)
{
    hits->count = 0;
    hits->lost = 0;
    if (hits->slots != NULL)
        memset(hits->slots, 0,
               (size_t)hits->capacity * 2 * sizeof(*hits->slots));
}

void
sl_hits_free(sl_hits *hits)
{
    sl_alloc alloc = hits->alloc;

    if (hits->rows != NULL)
        alloc.give(alloc.ctx, hits->rows);
    if (hits->slots != NULL)
        alloc.give(alloc.ctx, hits->slots);
    *hits = (sl_hits){ .alloc = alloc };
}

static uint32_t *
hits_slot(const sl_hits *hits, const void *node, uint32_t line)
{
    uint32_t mask = hits->capacity * 2 - 1;
    uint32_t at = (uint32_t)sl_hash_mix((uintptr_t)node, line) & mask;

    for (; hits->slots[at] != 0; at = (at + 1) & mask) {
        const sl_hit *row = &hits->rows[hits->slots[at] - 1];
        if (row->node == node && row->line == line)
            break;
    }
    return &hits->slots[at];
}

/* Room for two more rows. false: none; nothing has changed. */
static bool
hits_reserve(sl_hits *hits)
{
    const sl_alloc *alloc = &hits->alloc;
    uint32_t capacity = hits->capacity == 0 ? ROWS_MIN : hits->capacity * 2;

    if (hits->count + 2 <= hits->capacity)
        return true;
    if (capacity > ROWS_MAX)
        return false;
    size_t slot_bytes = (size_t)capacity * 2 * sizeof(uint32_t);
    sl_hit *rows = alloc->take(alloc->ctx, capacity * sizeof(*rows));
    uint32_t *slots = rows == NULL ? NULL : alloc->take(alloc->ctx, slot_bytes);
    if (slots == NULL) {
        if (rows != NULL)
            alloc->give(alloc->ctx, rows);
        return false;
    }
    sl_hits grown = { *alloc, rows, slots, hits->count, capacity, hits->lost };
    if (hits->count > 0)
        memcpy(rows, hits->rows, hits->count * sizeof(*rows));
    memset(slots, 0, slot_bytes);
    for (uint32_t i = 0; i < grown.count; i++)
        *hits_slot(&grown, rows[i].node, rows[i].line) = i + 1;
    sl_hits_free(hits);
    *hits = grown;
    return true;
}

/* The number of the row, made if need be; there is room. */
static uint32_t
hits_row(sl_hits *hits, const void *node, uint32_t line)
{
    uint32_t *slot = hits_slot(hits, node, line);

    if (*slot == 0) {
        hits->rows[hits->count] = (sl_hit){ .node = node, .line = line };
        *slot = ++hits->count;
    }
    return *slot - 1;
}

void
sl_hits_begin(sl_hits *hits, const void *node, uint32_t line)
{
    if (!hits_reserve(hits)) {
        hits->lost++;
        return;
    }
    uint32_t row = hits_row(hits, node, line);
    hits->rows[row].hits++;
    hits->rows[hits_row(hits, node, 0)].current = row + 1;
}

void
sl_hits_pass(sl_hits *hits, const void *node, uint64_t ticks)
{
    if (hits->count == 0)
        return;
    uint32_t slot = *hits_slot(hits, node, 0);
    uint32_t current = slot == 0 ? 0 : hits->rows[slot - 1].current;
    if (current > 0)
        hits->rows[current - 1].ticks += ticks;
}

void
sl_hits_sort(sl_hits *hits, int (*compare)(const void *, const void *))
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < hits->count; i++) {
        if (hits->rows[i].line != 0)
            hits->rows[kept++] = hits->rows[i];
    }
    hits->count = kept;
    if (kept > 1)
        qsort(hits->rows, kept, sizeof(*hits->rows), compare);
}
