/* Numbers of nodes beside calls and times. */
#include "counters.h"
#include "hash.h"

#include <string.h>

#define ROWS_MIN 64u
#define ROWS_MAX (1u << 17)

void
sl_counters_clear(sl_counters *counters)
{
    counters->count = 0;
    counters->lost = 0;
    if (counters->slots != NULL)
        memset(counters->slots, 0,
               (size_t)counters->capacity * 2 * sizeof(*counters->slots));
}

void
sl_counters_free(sl_counters *counters)
{
    sl_alloc alloc = counters->alloc;

    if (counters->rows != NULL)
        alloc.give(alloc.ctx, counters->rows);
    if (counters->slots != NULL)
        alloc.give(alloc.ctx, counters->slots);
    *counters = (sl_counters){ .alloc = alloc };
}

static uint32_t *
counters_slot(const sl_counters *counters, const void *node, uint32_t metric)
{
    uint32_t mask = counters->capacity * 2 - 1;
    uint32_t at = (uint32_t)sl_hash_mix((uintptr_t)node, metric) & mask;

    for (; counters->slots[at] != 0; at = (at + 1) & mask) {
        const sl_counter *row = &counters->rows[counters->slots[at] - 1];
        if (row->node == node && row->metric == metric)
            break;
    }
    return &counters->slots[at];
}

void
sl_counters_reslot(sl_counters *counters)
{
    memset(counters->slots, 0,
           (size_t)counters->capacity * 2 * sizeof(*counters->slots));
    for (uint32_t i = 0; i < counters->count; i++)
        *counters_slot(counters, counters->rows[i].node,
                       counters->rows[i].metric) = i + 1;
}

/* Room for one more row. false: none; nothing has changed. */
static bool
counters_reserve(sl_counters *counters)
{
    const sl_alloc *alloc = &counters->alloc;
    uint32_t capacity =
        counters->capacity == 0 ? ROWS_MIN : counters->capacity * 2;

    if (counters->count < counters->capacity)
        return true;
    if (capacity > ROWS_MAX)
        return false;
    size_t slot_bytes = (size_t)capacity * 2 * sizeof(uint32_t);
    sl_counter *rows = alloc->take(alloc->ctx, capacity * sizeof(*rows));
    uint32_t *slots = rows == NULL ? NULL : alloc->take(alloc->ctx, slot_bytes);
    if (slots == NULL) {
        if (rows != NULL)
            alloc->give(alloc->ctx, rows);
        return false;
    }
    sl_counters grown = { *alloc,          rows,     slots,
                          counters->count, capacity, counters->lost };
    if (counters->count > 0)
        memcpy(rows, counters->rows, counters->count * sizeof(*rows));
    sl_counters_reslot(&grown);
    sl_counters_free(counters);
    *counters = grown;
    return true;
}

void
sl_counters_add(sl_counters *counters, const void *node, sl_metric metric,
                uint64_t value)
{
    if (value == 0)
        return;
    if (!counters_reserve(counters)) {
        counters->lost++;
        return;
    }
    uint32_t *slot = counters_slot(counters, node, (uint32_t)metric);
    if (*slot == 0) {
        counters->rows[counters->count] =
            (sl_counter){ node, (uint32_t)metric, 0 };
        *slot = ++counters->count;
    }
    counters->rows[*slot - 1].value += value;
}
