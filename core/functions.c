/* Functions of a recording, by key: a number each. */
#include "functions.h"

#include <string.h>

#define CAPACITY_MIN 64u

static uint32_t
functions_hash(const void *key)
{
    /* Fibonacci hashing; objects are 16-byte aligned, so drop those bits. */
    return (uint32_t)((((uintptr_t)key >> 4) * 0x9E3779B97F4A7C15u) >> 32);
}

static uint32_t *
functions_slot(const sl_functions *table, const void *key)
{
    uint32_t at = functions_hash(key) & table->mask;

    while (table->slots[at] != 0 && table->keys[table->slots[at] - 1] != key)
        at = (at + 1) & table->mask;
    return &table->slots[at];
}

/* Moves the table to twice (or the first) room. All or nothing. */
static sl_status
functions_grow(sl_functions *table)
{
    uint32_t capacity = table->capacity * 2;
    if (capacity == 0)
        capacity = CAPACITY_MIN;
    if (capacity > UINT32_MAX / 4)
        return SL_ELIMIT;

    uint32_t slots = capacity * 2;
    size_t per = sizeof(void *) + sizeof(uint16_t);
    void *mem;
    sl_status status = sl_arena_take(
        table->arena, capacity * per + slots * sizeof(uint32_t), &mem);
    if (status < 0)
        return status;

    sl_functions grown = *table;
    grown.keys = mem;
    grown.slots = (uint32_t *)(grown.keys + capacity);
    grown.flags = (uint16_t *)(grown.slots + slots);
    grown.capacity = capacity;
    grown.mask = slots - 1;
    memset(grown.slots, 0, slots * sizeof(uint32_t));
    if (table->count > 0) {
        memcpy(grown.keys, table->keys, table->count * sizeof(void *));
        memcpy(grown.flags, table->flags, table->count * sizeof(uint16_t));
    }
    for (uint32_t i = 0; i < grown.count; i++)
        *functions_slot(&grown, grown.keys[i]) = i + 1;
    *table = grown;
    return SL_OK;
}

sl_status
sl_functions_init(sl_functions *table, sl_arena *arena)
{
    *table = (sl_functions){ .arena = arena };
    return functions_grow(table);
}

sl_status
sl_functions_id(sl_functions *table, const void *key, uint32_t *id, bool *added)
{
    uint32_t *slot = functions_slot(table, key);

    *added = *slot == 0;
    if (*slot != 0) {
        *id = *slot - 1;
        return SL_OK;
    }
    if (table->count == table->capacity) {
        sl_status status = functions_grow(table);
        if (status < 0)
            return status;
        slot = functions_slot(table, key);
    }
    table->keys[table->count] = key;
    table->flags[table->count] = 0;
    *id = table->count++;
    *slot = *id + 1;
    return SL_OK;
}
