/* Memory in chunks, all given back at once, up to a limit: see arena.h. */
#include "arena.h"

#include <stdalign.h>
#include <string.h>

#define CHUNK_MIN ((size_t)4096)
#define ALIGN     alignof(max_align_t)

struct chunk {
    struct chunk *next;
    size_t size; /* bytes in data[] */
    size_t used;
    alignas(max_align_t) unsigned char data[];
};

struct sl_arena {
    sl_alloc alloc;
    struct chunk *head; /* the chunk being filled; older ones behind it */
    size_t chunk;
    size_t limit;
    size_t bytes;
};

static sl_status
arena_grow(sl_arena *arena, size_t need)
{
    size_t size = need > arena->chunk ? need : arena->chunk;

    if (size > SIZE_MAX - sizeof(struct chunk))
        return SL_ELIMIT;

    size_t total = sizeof(struct chunk) + size;
    if (arena->bytes > arena->limit || total > arena->limit - arena->bytes)
        return SL_ELIMIT;

    struct chunk *chunk = arena->alloc.take(arena->alloc.ctx, total);
    if (chunk == NULL)
        return SL_ENOMEM;

    *chunk = (struct chunk){ .next = arena->head, .size = size };
    arena->head = chunk;
    arena->bytes += total;
    return SL_OK;
}

sl_status
sl_arena_new(sl_arena **out, const sl_alloc *alloc, size_t chunk, size_t limit)
{
    if (alloc == NULL)
        alloc = &sl_alloc_libc;
    if (chunk < CHUNK_MIN)
        chunk = CHUNK_MIN;
    if (limit < sizeof(sl_arena) + sizeof(struct chunk) + chunk)
        return SL_ELIMIT;

    sl_arena *arena = alloc->take(alloc->ctx, sizeof(*arena));
    if (arena == NULL)
        return SL_ENOMEM;

    *arena = (sl_arena){
        .alloc = *alloc,
        .chunk = chunk,
        .limit = limit,
        .bytes = sizeof(*arena),
    };

    *out = arena;
    return SL_OK;
}

void
sl_arena_free(sl_arena *arena)
{
    if (arena == NULL)
        return;

    sl_alloc alloc = arena->alloc;
    for (struct chunk *chunk = arena->head, *next; chunk != NULL;
         chunk = next) {
        next = chunk->next;
        alloc.give(alloc.ctx, chunk);
    }
    alloc.give(alloc.ctx, arena);
}

void
sl_arena_reset(sl_arena *arena, size_t limit)
{
    struct chunk *kept = NULL;

    for (struct chunk *chunk = arena->head, *next; chunk != NULL;
         chunk = next) {
        next = chunk->next;
        if (kept == NULL && chunk->size == arena->chunk)
            kept = chunk;
        else
            arena->alloc.give(arena->alloc.ctx, chunk);
    }

    arena->bytes = sizeof(*arena);
    arena->limit = limit;
    arena->head = kept;
    if (kept != NULL) {
        kept->next = NULL;
        kept->used = 0;
        arena->bytes += sizeof(*kept) + kept->size;
    }
}

sl_status
sl_arena_take(sl_arena *arena, size_t size, void **out)
{
    if (size > SIZE_MAX - ALIGN)
        return SL_ELIMIT;
    size = (size + ALIGN - 1) & ~(ALIGN - 1);

    if (arena->head == NULL || arena->head->size - arena->head->used < size) {
        sl_status status = arena_grow(arena, size);
        if (status < 0)
            return status;
    }

    *out = arena->head->data + arena->head->used;
    arena->head->used += size;
    return SL_OK;
}

void *
sl_arena_grow(sl_arena *arena, const void *old, uint32_t count,
              uint32_t capacity, size_t size)
{
    void *mem;

    if (sl_arena_take(arena, capacity * size, &mem) < 0)
        return NULL;
    if (count > 0)
        memcpy(mem, old, count * size);
    return mem;
}

void
sl_arena_limit(sl_arena *arena, size_t limit)
{
    arena->limit = limit;
}

void
sl_arena_each(const sl_arena *arena,
              bool (*see)(void *ctx, const void *block, size_t used), void *ctx)
{
    for (const struct chunk *chunk = arena->head; chunk != NULL;
         chunk = chunk->next) {
        if (chunk->used > 0 && !see(ctx, chunk->data, chunk->used))
            return;
    }
}

size_t
sl_arena_bytes(const sl_arena *arena)
{
    return arena->bytes;
}
