/* arena.h - memory that is freed all at once.
 *
 *   arena -> [chunk used....|free] -> [chunk used.......|] -> NULL
 *
 * One arena per recording and one per decoded profile: whatever they build
 * dies with it, so nothing inside needs a free function of its own.
 * Not thread-safe: an arena belongs to whoever holds its owner.
 */
#ifndef SL_CORE_ARENA_H
#define SL_CORE_ARENA_H

#include "slowlens/alloc.h"
#include "slowlens/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sl_arena sl_arena;

/* Makes an empty arena in *out. `alloc` is copied; NULL means libc. `chunk`
 * is the usual size of a chunk in bytes (0: 4 KiB). `limit` caps the bytes
 * the arena may ever hold, headers included.
 * Returns SL_ENOMEM, or SL_ELIMIT when `limit` is below the first chunk. */
sl_status sl_arena_new(sl_arena **out, const sl_alloc *alloc, size_t chunk,
                       size_t limit);

/* Frees the arena and everything taken from it. NULL is allowed. */
void sl_arena_free(sl_arena *arena);

/* Forgets everything taken, and gives all chunks back but one of the usual
 * size, which the next use starts with. `limit` replaces the old limit. */
void sl_arena_reset(sl_arena *arena, size_t limit);

/* Replaces the limit; what was taken stays. */
void sl_arena_limit(sl_arena *arena, size_t limit);

/* Takes `size` bytes, aligned for any type, not zeroed, owned by the arena.
 * On failure (SL_ENOMEM, SL_ELIMIT) *out is untouched and the arena keeps
 * everything taken before. */
sl_status sl_arena_take(sl_arena *arena, size_t size, void **out);

/* An array of `capacity` items of `size` bytes that begins with the `count`
 * items of `old`, which stays in the arena: doubled each time, at most as much
 * again. NULL: no room; nothing has changed. */
void *sl_arena_grow(sl_arena *arena, const void *old, uint32_t count,
                    uint32_t capacity, size_t size);

/* Calls `see` with each block of memory that something was taken from, and the
 * bytes of it that are in use, until it answers false. */
void sl_arena_each(const sl_arena *arena,
                   bool (*see)(void *ctx, const void *block, size_t used),
                   void *ctx);

/* Bytes held from the allocator, headers included. */
size_t sl_arena_bytes(const sl_arena *arena);

#endif /* SL_CORE_ARENA_H */
