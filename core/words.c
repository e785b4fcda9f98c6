/* A dictionary of texts as small numbers: see words.h. */
#include "words.h"

#include <string.h>

#define COUNT_MAX ((uint32_t)1 << 31)

void
sl_words_init(sl_words *words, const sl_alloc *alloc)
{
    *words = (sl_words){ .alloc = alloc != NULL ? *alloc : sl_alloc_libc };
}

void
sl_words_free(sl_words *words)
{
    if (words->alloc.give == NULL)
        return;
    words->alloc.give(words->alloc.ctx, words->bytes);
    words->alloc.give(words->alloc.ctx, words->starts);
    words->alloc.give(words->alloc.ctx, words->slots);
    sl_words_init(words, &words->alloc);
}

size_t
sl_words_bytes(const sl_words *words)
{
    return words->room +
           (size_t)(words->capacity + words->slot_count) * sizeof(uint32_t);
}

/* FNV-1a, eight bytes a step. */
static uint32_t
hash_of(const char *text, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u ^ size, piece;

    for (; size >= 8; size -= 8, text += 8) {
        memcpy(&piece, text, 8);
        hash = (hash ^ piece) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    for (; size > 0; size--, text++)
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    hash ^= hash >> 29;
    return (uint32_t)(hash * 0x9E3779B97F4A7C15u >> 32);
}

const char *
sl_words_text(const sl_words *words, uint32_t number, size_t *size)
{
    if (number == 0 || number > words->count) {
        *size = 0;
        return "";
    }
    size_t from = words->starts[number - 1];
    size_t to = number < words->count ? words->starts[number] : words->size;
    *size = to - from - 1;
    return words->bytes + from;
}

/* Where the text stands in the slots, or the free slot it would take. */
static uint32_t
slot_of(const sl_words *words, const char *text, size_t size)
{
    uint32_t mask = words->slot_count - 1, at = hash_of(text, size) & mask;
    size_t other;

    for (; words->slots[at] != 0; at = (at + 1) & mask) {
        const char *known = sl_words_text(words, words->slots[at], &other);
        if (other == size && memcmp(known, text, size) == 0)
            break;
    }
    return at;
}

bool
sl_words_find(const sl_words *words, const char *text, size_t size,
              uint32_t *number)
{
    *number = 0;
    if (size == 0)
        return true;
    if (words->count == 0)
        return false;
    *number = words->slots[slot_of(words, text, size)];
    return *number != 0;
}

/* A larger block with the old one's content; the old one is given back. */
static void *
grown(sl_words *words, void *old, size_t used, size_t size)
{
    void *mem = words->alloc.take(words->alloc.ctx, size);
    if (mem != NULL && used > 0)
        memcpy(mem, old, used);
    if (mem != NULL)
        words->alloc.give(words->alloc.ctx, old);
    return mem;
}

static sl_status
grow_slots(sl_words *words)
{
    uint32_t count = words->slot_count > 0 ? words->slot_count * 2 : 64;
    uint32_t *slots =
        words->alloc.take(words->alloc.ctx, count * sizeof(uint32_t));
    if (slots == NULL)
        return SL_ENOMEM;
    memset(slots, 0, count * sizeof(uint32_t));
    words->alloc.give(words->alloc.ctx, words->slots);
    words->slots = slots;
    words->slot_count = count;
    for (uint32_t n = 1; n <= words->count; n++) {
        size_t size;
        const char *text = sl_words_text(words, n, &size);
        uint32_t at = hash_of(text, size) & (count - 1);
        while (slots[at] != 0)
            at = (at + 1) & (count - 1);
        slots[at] = n;
    }
    return SL_OK;
}

/* Room for one more text of `size` bytes and its NUL. */
static sl_status
make_room(sl_words *words, size_t size)
{
    if (words->count == COUNT_MAX || size >= UINT32_MAX - words->size)
        return SL_ELIMIT;
    if (words->size + size + 1 > words->room) {
        size_t room = (words->room + size + 1) * 3 / 2 + 64;
        void *bytes = grown(words, words->bytes, words->size, room);
        if (bytes == NULL)
            return SL_ENOMEM;
        words->bytes = bytes;
        words->room = room;
    }
    if (words->count == words->capacity) {
        uint32_t capacity = words->capacity * 3 / 2 + 32;
        void *starts =
            grown(words, words->starts, words->count * sizeof(uint32_t),
                  capacity * sizeof(uint32_t));
        if (starts == NULL)
            return SL_ENOMEM;
        words->starts = starts;
        words->capacity = capacity;
    }
    if (words->count >= words->slot_count / 4 * 3)
        return grow_slots(words);
    return SL_OK;
}

sl_status
sl_words_put(sl_words *words, const char *text, size_t size, uint32_t *number)
{
    if (sl_words_find(words, text, size, number))
        return SL_OK;
    sl_status status = make_room(words, size);
    if (status < 0)
        return status;
    uint32_t slot = slot_of(words, text, size);
    memcpy(words->bytes + words->size, text, size);
    words->bytes[words->size + size] = '\0';
    words->starts[words->count++] = (uint32_t)words->size;
    words->size += size + 1;
    words->slots[slot] = *number = words->count;
    return SL_OK;
}

/* ---- looking through all of them ---- */

typedef struct {
    const uint8_t *text;
    size_t size;
    bool fold;
    /* The first two bytes, and the bits that do not count in them. */
    uint8_t first, second, first_mask, second_mask;
} needle_t;

static bool
is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static uint8_t
folded(uint8_t c)
{
    return is_letter(c) ? c | 0x20 : c;
}

static bool
stands_at(const needle_t *needle, const uint8_t *at)
{
    if (!needle->fold)
        return memcmp(at, needle->text, needle->size) == 0;
    for (size_t i = 0; i < needle->size; i++) {
        if (folded(at[i]) != folded(needle->text[i]))
            return false;
    }
    return true;
}

#define BLOCK 64

/* Whether the needle's first two bytes may begin in the block: no branches,
 * so that compilers make vectors of it. at[BLOCK] is read too. */
static bool
may_begin(const needle_t *needle, const uint8_t *at)
{
    uint8_t any = 0;

    for (int i = 0; i < BLOCK; i++) {
        any |= (uint8_t)(((at[i] | needle->first_mask) == needle->first) &
                         ((at[i + 1] | needle->second_mask) == needle->second));
    }
    return any != 0;
}

/* The next place from `at` on where the needle stands, or NULL. */
static const uint8_t *
next_hit(const needle_t *needle, const uint8_t *at, const uint8_t *end)
{
    while ((size_t)(end - at) >= needle->size) {
        if ((size_t)(end - at) > BLOCK + needle->size &&
            !may_begin(needle, at)) {
            at += BLOCK;
            continue;
        }
        for (int i = 0; i < BLOCK && (size_t)(end - at) >= needle->size;
             i++, at++) {
            if ((*at | needle->first_mask) == needle->first &&
                stands_at(needle, at))
                return at;
        }
    }
    return NULL;
}

void
sl_words_search(const sl_words *words, const char *text, size_t size, bool fold,
                uint8_t *hits)
{
    if (size == 0)
        hits[0] = 1;
    if (words->count == 0)
        return;
    if (size == 0 || memchr(text, '\0', size) != NULL) {
        memset(hits + 1, size == 0, words->count);
        return; /* a NUL stands between texts only */
    }
    needle_t needle = { .text = (const uint8_t *)text,
                        .size = size,
                        .fold = fold };
    needle.first_mask = fold && is_letter(needle.text[0]) ? 0x20 : 0;
    needle.first = needle.text[0] | needle.first_mask;
    needle.second = needle.second_mask = 0xFF;
    if (size > 1) {
        needle.second_mask = fold && is_letter(needle.text[1]) ? 0x20 : 0;
        needle.second = needle.text[1] | needle.second_mask;
    }

    const uint8_t *begin = (const uint8_t *)words->bytes;
    const uint8_t *end = begin + words->size, *at = begin;
    uint32_t number = 1; /* of the text that `at` is in, or one before */
    while ((at = next_hit(&needle, at, end)) != NULL) {
        while (number < words->count && begin + words->starts[number] <= at)
            number++;
        hits[number] = 1;
        if (number == words->count)
            return;
        at = begin + words->starts[number];
    }
}
