/* Strings to small numbers, once each. */
#include "intern.h"
#include "hash.h"

#include <string.h>

/* The only file that includes uthash. Its default on a failed allocation is
 * exit(-1), in the web server's own process, so ask for the other way. */
static _Thread_local const sl_alloc *hash_alloc;
#define HASH_NONFATAL_OOM          1
#define uthash_nonfatal_oom(entry) ((entry)->refused = 1)
#define uthash_malloc(size)        (hash_alloc->take(hash_alloc->ctx, (size)))
#define uthash_free(ptr, size)     (hash_alloc->give(hash_alloc->ctx, (ptr)))
#include <uthash.h>

struct entry {
    UT_hash_handle hh;
    uint32_t id;
    int refused;
    char str[];
};

struct sl_intern {
    sl_arena *arena; /* borrowed */
    sl_alloc alloc;
    struct entry *by_str;
    uint32_t count;
    uint64_t seed;
};

sl_status
sl_intern_new(sl_intern **out, sl_arena *arena, const sl_alloc *alloc)
{
    void *mem;
    sl_status status = sl_arena_take(arena, sizeof(sl_intern), &mem);
    if (status < 0)
        return status;

    sl_intern *table = mem;
    *table = (sl_intern){
        .arena = arena,
        .alloc = alloc != NULL ? *alloc : sl_alloc_libc,
        .seed = sl_hash_seed(table),
    };
    *out = table;
    return SL_OK;
}

void
sl_intern_free(sl_intern *table)
{
    if (table == NULL)
        return;
    hash_alloc = &table->alloc;
    HASH_CLEAR(hh, table->by_str);
}

/* Names come from files of any origin: with a hash that is known beforehand,
 * a file could be made of names that all fall on one another. */
static unsigned
intern_hash(const sl_intern *table, const char *str, size_t len)
{
    uint64_t hash = sl_hash_mix(table->seed, len), eight = 0;
    size_t at = 0;

    for (; at + sizeof(eight) <= len; at += sizeof(eight)) {
        memcpy(&eight, str + at, sizeof(eight));
        hash = sl_hash_mix(hash, eight);
    }
    eight = 0;
    if (at < len)
        memcpy(&eight, str + at, len - at);
    return (unsigned)(sl_hash_mix(hash, eight) >> 16);
}

sl_status
sl_intern_id(sl_intern *table, const char *str, size_t len, uint32_t *id)
{
    const char *kept;
    return sl_intern_keep(table, str, len, id, &kept);
}

sl_status
sl_intern_keep(sl_intern *table, const char *str, size_t len, uint32_t *id,
               const char **kept)
{
    struct entry *entry;

    if (len > UINT32_MAX)
        return SL_ELIMIT;
    unsigned hash = intern_hash(table, str, len);
    HASH_FIND_BYHASHVALUE(hh, table->by_str, str, (unsigned)len, hash, entry);
    if (entry != NULL) {
        *id = entry->id;
        *kept = entry->str;
        return SL_OK;
    }
    if (table->count == UINT32_MAX)
        return SL_ELIMIT;

    void *mem;
    sl_status status =
        sl_arena_take(table->arena, sizeof(*entry) + len + 1, &mem);
    if (status < 0)
        return status;

    entry = mem;
    memset(entry, 0, sizeof(*entry));
    if (len > 0)
        memcpy(entry->str, str, len);
    entry->str[len] = '\0';
    entry->id = table->count;

    hash_alloc = &table->alloc;
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, table->by_str, entry->str, (unsigned)len,
                                hash, entry);
    if (entry->refused)
        return SL_ENOMEM;

    table->count++;
    *id = entry->id;
    *kept = entry->str;
    return SL_OK;
}

uint32_t
sl_intern_count(const sl_intern *table)
{
    return table->count;
}

void
sl_intern_each(const sl_intern *table,
               void (*each)(void *ctx, const char *str, size_t len), void *ctx)
{
    /* uthash keeps its elements in a list in order of insertion. */
    for (const struct entry *entry = table->by_str; entry != NULL;
         entry = entry->hh.next)
        each(ctx, entry->str, entry->hh.keylen);
}
