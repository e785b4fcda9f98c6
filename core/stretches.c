/* When a lane was in which node: see stretches.h. */
#include "stretches.h"

#include <string.h>

#define ROWS_MIN  64u
#define ROWS_KEPT 512u
#define ROWS_MAX  (1u << 16)

void
sl_stretches_free(sl_stretches *stretches)
{
    sl_alloc alloc = stretches->alloc;

    if (stretches->rows != NULL && !stretches->borrowed)
        alloc.give(alloc.ctx, stretches->rows);
    *stretches = (sl_stretches){ .alloc = alloc };
}

void
sl_stretches_clear(sl_stretches *stretches)
{
    if (stretches->capacity > ROWS_KEPT || stretches->borrowed)
        sl_stretches_free(stretches);
    stretches->count = 0;
    stretches->lost = 0;
}

/* Room for one more row. false: none; nothing has changed. */
static bool
stretches_reserve(sl_stretches *stretches)
{
    const sl_alloc *alloc = &stretches->alloc;
    uint32_t capacity =
        stretches->capacity < ROWS_MIN ? ROWS_MIN : stretches->capacity * 2;

    if (stretches->count < stretches->capacity)
        return true;
    if (capacity > ROWS_MAX)
        return false;
    sl_stretches grown = { .alloc = *alloc,
                           .count = stretches->count,
                           .capacity = capacity,
                           .lost = stretches->lost };
    grown.rows = alloc->take(alloc->ctx, capacity * sizeof(*grown.rows));
    if (grown.rows == NULL)
        return false;
    if (stretches->count > 0)
        memcpy(grown.rows, stretches->rows,
               stretches->count * sizeof(*grown.rows));
    sl_stretches_free(stretches);
    *stretches = grown;
    return true;
}

void
sl_stretches_add(sl_stretches *stretches, const sl_stretch *add)
{
    sl_stretch *last =
        stretches->count > 0 ? &stretches->rows[stretches->count - 1] : NULL;

    if (last != NULL && last->lane == add->lane && last->node == add->node &&
        last->to == add->from) {
        last->to = add->to;
        return;
    }
    if (!stretches_reserve(stretches)) {
        stretches->lost++;
        return;
    }
    stretches->rows[stretches->count++] = *add;
}
