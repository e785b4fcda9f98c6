/* What is kept of a text, and hashes that stand for the rest: see kept.h. */
#include "kept.h"
#include "hash.h"
#include "utf8.h"

#include <string.h>

/* ---- hashes ---- */

static inline uint64_t
eight(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* A hash of all of the text that tells texts apart: no two of one recording
 * have the same, but once in 2^64: each word is mixed twice over before the
 * next, so that no difference of the one is undone by one of the other, as
 * texts that differ in few letters would find. Four lanes, so that a long query
 * does not wait for one multiplication after the other; by name, for as a
 * vector they take twice the instructions (SSE2 multiplies no 64 bits). */
uint64_t
sl_kept_key(uint64_t seed, const char *text, size_t len)
{
    uint64_t a = seed, b = seed ^ 0x9E3779B97F4A7C15u,
             c = seed ^ 0xD6E8FEB86659FD93u, d = seed ^ 0xC2B2AE3D27D4EB4Fu;
    uint64_t tail = 0;
    size_t at = 0;

    for (; at + 32 <= len; at += 32) {
        a = sl_hash_mix(a, eight(text + at));
        b = sl_hash_mix(b, eight(text + at + 8));
        c = sl_hash_mix(c, eight(text + at + 16));
        d = sl_hash_mix(d, eight(text + at + 24));
    }
    for (; at + 8 <= len; at += 8)
        a = sl_hash_mix(a, eight(text + at));
    if (len >= 8)
        tail = eight(text + len - 8); /* some of it twice */
    else
        memcpy(&tail, text, len);
    a = sl_hash_mix(a, tail);
    if (len >= 32)
        a = sl_hash_mix(sl_hash_mix(sl_hash_mix(a, b), c), d);
    a = sl_hash_mix(a, len);
    return a != 0 ? a : 1;
}

uint64_t
sl_kept_key_of(uint64_t seed, uint64_t hash, size_t len)
{
    uint64_t key = sl_hash_mix(sl_hash_mix(seed, len), hash);
    return key != 0 ? key : 1;
}

uint64_t
sl_kept_seed(const void *table, unsigned keep, sl_sql_dialect dialect)
{
    return (uintptr_t)table + ((uint64_t)keep << 56) +
           ((uint64_t)dialect << 48);
}

/* ---- texts ---- */

/* As it is, but for what is no UTF-8, and control characters. */
static size_t
text_clean(const char *text, size_t len, char *out, size_t capacity)
{
    size_t used = 0;

    for (size_t at = 0; at < len;) {
        uint32_t code = 0;
        size_t n = sl_utf8_sequence(text + at, len - at, &code);
        const char *put = n > 0 ? text + at : "\xEF\xBF\xBD";
        size_t size = n > 0 ? n : 3;
        if (n == 1 && (code < 0x20 || code == 0x7F))
            put = " ";
        if (used + size > capacity)
            break;
        memcpy(out + used, put, size);
        used += size;
        at += n > 0 ? n : 1;
    }
    return used;
}

static size_t
text_made(unsigned keep, sl_sql_dialect dialect, const char *text, size_t len,
          char *out)
{
    switch (keep) {
    case SL_SPAN_SHAPE:
        return sl_sql_shape(text, len, dialect, out, SL_SPAN_TEXT_MAX);
    case SL_SPAN_NAMES:
        return sl_sql_names(text, len, dialect, out, SL_SPAN_TEXT_MAX);
    case SL_SPAN_HOST: return sl_url_host(text, len, out, SL_SPAN_TEXT_MAX);
    default: return text_clean(text, len, out, SL_SPAN_TEXT_MAX);
    }
}

/* What texts were kept as lately, each at the place that its key says. */
struct sl_span_memo {
    sl_alloc alloc;
    struct {
        uint64_t key; /* 0: free */
        uint32_t size;
        char *made; /* `size` bytes */
    } entries[SL_SPAN_MEMO];
};

sl_span_memo *
sl_span_memo_new(const sl_alloc *alloc)
{
    const sl_alloc *from = alloc != NULL ? alloc : &sl_alloc_libc;
    sl_span_memo *memo = from->take(from->ctx, sizeof(*memo));

    if (memo != NULL)
        *memo = (sl_span_memo){ .alloc = *from };
    return memo;
}

static void
memo_forget(sl_span_memo *memo, uint32_t at)
{
    if (memo->entries[at].key != 0)
        memo->alloc.give(memo->alloc.ctx, memo->entries[at].made);
    memo->entries[at].key = 0;
}

void
sl_span_memo_free(sl_span_memo *memo)
{
    if (memo == NULL)
        return;
    for (uint32_t at = 0; at < SL_SPAN_MEMO; at++)
        memo_forget(memo, at);
    sl_alloc alloc = memo->alloc;
    alloc.give(alloc.ctx, memo);
}

size_t
sl_kept_made(sl_span_memo *memo, uint64_t key, unsigned keep,
             sl_sql_dialect dialect, const char *text, size_t len, char *out)
{
    if (memo == NULL || keep == SL_KEPT_AS_IS)
        return text_made(keep, dialect, text, len, out);
    uint32_t at = (uint32_t)key & (SL_SPAN_MEMO - 1);
    if (memo->entries[at].key == key) {
        memcpy(out, memo->entries[at].made, memo->entries[at].size);
        return memo->entries[at].size;
    }
    size_t size = text_made(keep, dialect, text, len, out);
    char *made = size > 0 ? memo->alloc.take(memo->alloc.ctx, size) : NULL;
    if (made != NULL) {
        memcpy(made, out, size);
        memo_forget(memo, at);
        memo->entries[at].key = key;
        memo->entries[at].size = (uint32_t)size;
        memo->entries[at].made = made;
    }
    return size;
}
