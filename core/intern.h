/* intern.h - strings to small numbers, once each. */
#ifndef SL_CORE_INTERN_H
#define SL_CORE_INTERN_H

#include "arena.h"

#include <stdint.h>

typedef struct sl_intern sl_intern;

/* Makes an empty table in *out. Table, entries and copied strings live in
 * `arena` and die with it; only the bucket array is outside, so call
 * sl_intern_free before sl_arena_free. */
sl_status sl_intern_new(sl_intern **out, sl_arena *arena,
                        const sl_alloc *alloc);
void sl_intern_free(sl_intern *table);

/* Number of the `len` bytes at `str`, which are copied the first time seen.
 * Ids count from 0 in order of first sight. On failure (SL_ENOMEM, SL_ELIMIT)
 * nothing is added. */
sl_status sl_intern_id(sl_intern *table, const char *str, size_t len,
                       uint32_t *id);

/* The same; *kept: the table's own copy, with a NUL behind, which lives as long
 * as the arena. */
sl_status sl_intern_keep(sl_intern *table, const char *str, size_t len,
                         uint32_t *id, const char **kept);

uint32_t sl_intern_count(const sl_intern *table);

/* Calls `each` for every string in the order of their ids. */
void sl_intern_each(const sl_intern *table,
                    void (*each)(void *ctx, const char *str, size_t len),
                    void *ctx);

#endif /* SL_CORE_INTERN_H */
