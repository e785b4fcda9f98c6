/* hash.h - mixing for tables whose keys come from files of any origin. */
#ifndef SL_CORE_HASH_H
#define SL_CORE_HASH_H

#include "slowlens/clock.h"

#include <stdint.h>

/* What an earlier hash and one more value make. */
static inline uint64_t
sl_hash_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93u;
    return hash ^ hash >> 29;
}

/* A beginning that whoever wrote the file cannot know: keys that fall on one
 * another for one table do not for the next. Nothing that a table's order
 * would show depends on it. */
static inline uint64_t
sl_hash_seed(const void *table)
{
    return sl_hash_mix(sl_clock_monotonic_ns(), (uint64_t)(uintptr_t)table);
}

#endif /* SL_CORE_HASH_H */
