/* Spans: words, open ones, sums. */
#include "spans.h"
#include "hash.h"

#include <string.h>

#define WORDS_MAX_BYTES ((uint32_t)1 << 20)
#define ROWS_MAX        ((uint32_t)1 << 15)
#define OPEN_MAX        ((uint32_t)1 << 14)
#define ONES_MAX        ((uint32_t)1 << 12)
#define FIRST           64u /* a power of 2 */

void
sl_spans_clear(sl_spans *spans)
{
    spans->words_len = spans->words_len > 0 ? 1 : 0;
    spans->word_count = spans->row_count = 0;
    spans->open_count = spans->open_free = spans->one_count = 0;
    spans->lost = 0;
    if (spans->word_slots != NULL)
        memset(spans->word_slots, 0,
               ((size_t)spans->word_mask + 1) * sizeof(*spans->word_slots));
    if (spans->row_slots != NULL)
        memset(spans->row_slots, 0,
               (size_t)spans->row_capacity * 2 * sizeof(*spans->row_slots));
}

void
sl_spans_free(sl_spans *spans)
{
    sl_alloc alloc = spans->alloc;
    void *all[] = { spans->words,     spans->word_slots, spans->rows,
                    spans->row_slots, spans->open,       spans->ones };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] != NULL)
            alloc.give(alloc.ctx, all[i]);
    }
    *spans = (sl_spans){ .alloc = alloc };
}

/* A copy of `old` (`used` bytes of it) in a block of `size` bytes, in its
 * place; the rest is zero. NULL: no memory; nothing has changed. */
static void *
grown(const sl_alloc *alloc, void *old, size_t used, size_t size)
{
    char *block = alloc->take(alloc->ctx, size);

    if (block == NULL)
        return NULL;
    if (used > 0)
        memcpy(block, old, used);
    memset(block + used, 0, size - used);
    if (old != NULL)
        alloc->give(alloc->ctx, old);
    return block;
}

/* ---- words ---- */

static uint64_t
word_hash(const char *text, size_t len)
{
    uint64_t hash = len;
    size_t at = 0;

    for (; at + 8 <= len; at += 8) {
        uint64_t part;
        memcpy(&part, text + at, 8);
        hash = sl_hash_mix(hash, part);
    }
    for (; at < len; at++)
        hash = sl_hash_mix(hash, (unsigned char)text[at]);
    return hash;
}

static uint32_t *
word_slot(const sl_spans *spans, const char *text, size_t len)
{
    uint32_t at = (uint32_t)word_hash(text, len) & spans->word_mask;

    for (; spans->word_slots[at] != 0; at = (at + 1) & spans->word_mask) {
        const char *word = spans->words + spans->word_slots[at];
        if (strncmp(word, text, len) == 0 && word[len] == '\0')
            break;
    }
    return &spans->word_slots[at];
}

/* Room for one more word of `len` bytes. */
static bool
words_reserve(sl_spans *spans, size_t len)
{
    uint32_t capacity = spans->words_capacity;

    if (spans->word_slots == NULL || spans->word_count > spans->word_mask / 2) {
        uint32_t slots =
            spans->word_slots == NULL ? FIRST : (spans->word_mask + 1) * 2;
        uint32_t *table = grown(&spans->alloc, NULL, 0, slots * sizeof(*table));
        if (table == NULL)
            return false;
        if (spans->word_slots != NULL)
            spans->alloc.give(spans->alloc.ctx, spans->word_slots);
        spans->word_slots = table;
        spans->word_mask = slots - 1;
        for (uint32_t at = 1; at < spans->words_len;) {
            size_t word_len = strlen(spans->words + at);
            *word_slot(spans, spans->words + at, word_len) = at;
            at += (uint32_t)word_len + 1;
        }
    }
    while (capacity < WORDS_MAX_BYTES && capacity - spans->words_len < len + 2)
        capacity = capacity == 0 ? 2048 : capacity * 2;
    if (capacity - spans->words_len < len + 2)
        return false;
    if (capacity > spans->words_capacity) {
        char *words =
            grown(&spans->alloc, spans->words, spans->words_len, capacity);
        if (words == NULL)
            return false;
        spans->words = words;
        spans->words_capacity = capacity;
    }
    if (spans->words_len == 0)
        spans->words[spans->words_len++] = '\0'; /* number 0: the empty one */
    return true;
}

uint32_t
sl_spans_word(sl_spans *spans, const char *text, size_t len)
{
    if (len > 0 && memchr(text, '\0', len) != NULL)
        len = strlen(text);
    if (len == 0)
        return 0;
    uint32_t *slot =
        spans->word_slots == NULL ? NULL : word_slot(spans, text, len);
    if (slot != NULL && *slot != 0)
        return *slot;
    if (len >= WORDS_MAX_BYTES || !words_reserve(spans, len)) {
        spans->lost++;
        return 0;
    }
    uint32_t number = spans->words_len;
    memcpy(spans->words + number, text, len);
    spans->words[number + len] = '\0';
    *word_slot(spans, text, len) = number;
    spans->words_len += (uint32_t)len + 1;
    spans->word_count++;
    return number;
}

/* ---- sums ---- */

static uint32_t *
row_slot(const sl_spans *spans, const void *node, const sl_span_words *what)
{
    uint32_t mask = spans->row_capacity * 2 - 1;
    uint64_t hash = sl_hash_mix(sl_hash_mix((uintptr_t)node, what->kind),
                                (uint64_t)what->text << 32 | what->where);
    uint32_t at = (uint32_t)hash & mask;

    for (; spans->row_slots[at] != 0; at = (at + 1) & mask) {
        const sl_span_row *row = &spans->rows[spans->row_slots[at] - 1];
        if (row->node == node && row->what.kind == what->kind &&
            row->what.text == what->text && row->what.where == what->where)
            break;
    }
    return &spans->row_slots[at];
}

static bool
rows_reserve(sl_spans *spans)
{
    uint32_t capacity =
        spans->row_capacity == 0 ? FIRST : spans->row_capacity * 2;
    size_t slot_bytes = (size_t)capacity * 2 * sizeof(*spans->row_slots);

    if (spans->row_count < spans->row_capacity)
        return true;
    if (capacity > ROWS_MAX)
        return false;
    uint32_t *slots = grown(&spans->alloc, NULL, 0, slot_bytes);
    sl_span_row *rows = slots == NULL ? NULL
                                      : grown(&spans->alloc, spans->rows,
                                              spans->row_count * sizeof(*rows),
                                              capacity * sizeof(*rows));
    if (rows == NULL) {
        if (slots != NULL)
            spans->alloc.give(spans->alloc.ctx, slots);
        return false;
    }
    if (spans->row_slots != NULL)
        spans->alloc.give(spans->alloc.ctx, spans->row_slots);
    spans->rows = rows;
    spans->row_slots = slots;
    spans->row_capacity = capacity;
    for (uint32_t i = 0; i < spans->row_count; i++)
        *row_slot(spans, rows[i].node, &rows[i].what) = i + 1;
    return true;
}

/* Number + 1 of the row; 0: no room. */
static uint32_t
row_of(sl_spans *spans, const void *node, const sl_span_words *what)
{
    uint32_t *slot =
        spans->row_slots == NULL ? NULL : row_slot(spans, node, what);

    if (slot != NULL && *slot != 0)
        return *slot;
    if (!rows_reserve(spans))
        return 0;
    spans->rows[spans->row_count++] =
        (sl_span_row){ .node = node, .what = *what };
    slot = row_slot(spans, node, what);
    *slot = spans->row_count;
    return *slot;
}

/* ---- spans ---- */

/* Number + 1 of a free place among the open ones; 0: no room. */
static uint32_t
open_place(sl_spans *spans)
{
    uint32_t place = spans->open_free;

    if (place != 0) {
        spans->open_free = spans->open[place - 1].lane;
        return place;
    }
    if (spans->open_count == spans->open_capacity) {
        uint32_t capacity =
            spans->open_capacity == 0 ? FIRST : spans->open_capacity * 2;
        if (capacity > OPEN_MAX)
            return 0;
        sl_span_open *open =
            grown(&spans->alloc, spans->open, spans->open_count * sizeof(*open),
                  capacity * sizeof(*open));
        if (open == NULL)
            return 0;
        spans->open = open;
        spans->open_capacity = capacity;
    }
    return ++spans->open_count;
}

/* Keeps when the span was, if it is one of the first. */
static void
one_keep(sl_spans *spans, const sl_span_open *open, uint64_t now)
{
    if (spans->one_count == spans->one_capacity) {
        uint32_t capacity =
            spans->one_capacity == 0 ? FIRST : spans->one_capacity * 2;
        sl_span_one *ones = capacity > ONES_MAX
                                ? NULL
                                : grown(&spans->alloc, spans->ones,
                                        spans->one_count * sizeof(*ones),
                                        capacity * sizeof(*ones));
        if (ones == NULL)
            return;
        spans->ones = ones;
        spans->one_capacity = capacity;
    }
    spans->ones[spans->one_count++] =
        (sl_span_one){ open->row - 1, open->lane, open->from, now };
}

sl_span
sl_spans_begin(sl_spans *spans, const void *node, uint32_t lane,
               const sl_span_words *what, uint64_t now)
{
    uint32_t row = row_of(spans, node, what);
    uint32_t place = row == 0 ? 0 : open_place(spans);

    if (place == 0) {
        spans->lost++;
        return 0;
    }
    spans->open[place - 1] = (sl_span_open){ row, lane, now };
    return place;
}

static void
span_end(sl_spans *spans, sl_span_open *open, uint64_t now)
{
    sl_span_row *row = &spans->rows[open->row - 1];
    uint64_t passed = now > open->from ? now - open->from : 0;

    row->count++;
    row->total += passed;
    row->longest = passed > row->longest ? passed : row->longest;
    one_keep(spans, open, now);
    open->row = 0;
}

void
sl_spans_end(sl_spans *spans, sl_span span, uint64_t now)
{
    if (span == 0 || span > spans->open_count || spans->open[span - 1].row == 0)
        return;
    span_end(spans, &spans->open[span - 1], now);
    spans->open[span - 1].lane = spans->open_free;
    spans->open_free = span;
}

void
sl_spans_stop(sl_spans *spans, uint64_t now)
{
    for (uint32_t i = 0; i < spans->open_count; i++) {
        if (spans->open[i].row != 0)
            span_end(spans, &spans->open[i], now);
    }
    spans->open_count = spans->open_free = 0;
}
