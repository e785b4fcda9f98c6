/* Spans: texts, open ones, rows. */
#include "spans.h"
#include "hash.h"
#include "kept.h"

#include <string.h>

#define CHUNK_BYTES ((size_t)8 << 10)
/* Of all: what finds no room then is counted without a row. */
#define TEXTS_MAX 4096u
#define ROWS_MAX  8192u
#define OPEN_MAX  4096u
/* Open spans that are looked through for one around. */
#define LOOK_MAX 64u

static const char *const kinds[] = {
#define XX(name, number, word) [SL_SPAN_##name] = (word),
    SL_SPAN_KIND_MAP(XX)
#undef XX
};

const char *
sl_span_kind_word(sl_span_kind kind)
{
    return (unsigned)kind < SL_SPAN_KIND_COUNT ? kinds[kind] : "?";
}

sl_span_kind
sl_span_kind_of(const char *word, size_t len)
{
    for (uint32_t i = 0; i < SL_SPAN_KIND_COUNT; i++) {
        if (strlen(kinds[i]) == len && memcmp(kinds[i], word, len) == 0)
            return (sl_span_kind)i;
    }
    return SL_SPAN_KIND_COUNT;
}

void
sl_spans_clear(sl_spans *spans, size_t budget)
{
    sl_arena *arena = spans->arena;
    uint64_t serial = spans->serial; /* handles are never used again */

    *spans = (sl_spans){ .alloc = spans->alloc,
                         .arena = arena,
                         .budget = budget,
                         .serial = serial };
    if (arena != NULL)
        sl_arena_reset(arena, budget);
}

void
sl_spans_free(sl_spans *spans)
{
    sl_arena_free(spans->arena);
    *spans = (sl_spans){ .alloc = spans->alloc };
}

/* As sl_arena_grow, in an arena that is made when it is needed. */
static void *
spans_grow(sl_spans *spans, const void *old, uint32_t count, uint32_t capacity,
           size_t size)
{
    if (spans->arena == NULL && sl_arena_new(&spans->arena, &spans->alloc,
                                             CHUNK_BYTES, spans->budget) < 0)
        return NULL;
    return sl_arena_grow(spans->arena, old, count, capacity, size);
}

/* ---- texts ---- */

/* The slot of a key, or the free one where it belongs. */
static uint32_t
text_slot(const sl_spans *spans, uint64_t key)
{
    uint32_t at = (uint32_t)key & spans->slot_mask;

    while (spans->slots[at] != 0 && spans->keys[at] != key)
        at = (at + 1) & spans->slot_mask;
    return at;
}

/* Room for two more keys. */
static bool
text_slots_reserve(sl_spans *spans)
{
    uint32_t slots = spans->slots == NULL ? 64 : (spans->slot_mask + 1) * 2;

    if (spans->slots != NULL && spans->slot_count + 2 < spans->slot_mask / 2)
        return true;
    if (slots > 4 * TEXTS_MAX)
        return false;
    uint64_t *keys = spans_grow(spans, NULL, 0, slots, sizeof(*keys));
    uint32_t *numbers =
        keys == NULL ? NULL
                     : spans_grow(spans, NULL, 0, slots, sizeof(*numbers));
    if (numbers == NULL)
        return false;
    memset(numbers, 0, slots * sizeof(*numbers));
    sl_spans grown = *spans;
    grown.keys = keys;
    grown.slots = numbers;
    grown.slot_mask = slots - 1;
    for (uint32_t i = 0; spans->slots != NULL && i <= spans->slot_mask; i++) {
        if (spans->slots[i] == 0)
            continue;
        uint32_t at = text_slot(&grown, spans->keys[i]);
        grown.keys[at] = spans->keys[i];
        grown.slots[at] = spans->slots[i];
    }
    *spans = grown;
    return true;
}

/* Keeps a copy. 0: no room. */
static uint32_t
text_add(sl_spans *spans, const char *text, size_t len)
{
    void *mem;

    if (spans->text_count == spans->text_capacity) {
        uint32_t capacity =
            spans->text_capacity == 0 ? 16 : spans->text_capacity * 2;
        sl_span_text *texts =
            capacity > TEXTS_MAX
                ? NULL
                : spans_grow(spans, spans->texts, spans->text_count, capacity,
                             sizeof(*texts));
        if (texts == NULL)
            return 0;
        spans->texts = texts;
        spans->text_capacity = capacity;
        if (spans->text_count == 0)
            texts[spans->text_count++] = (sl_span_text){ "", 0 };
    }
    if (sl_arena_take(spans->arena, len + 1, &mem) < 0)
        return 0;
    memcpy(mem, text, len);
    ((char *)mem)[len] = '\0';
    spans->texts[spans->text_count] = (sl_span_text){ mem, (uint32_t)len };
    return spans->text_count++;
}

/* `text`, whose key is `key` and which is not known, is number `number`. */
static void
text_known(sl_spans *spans, uint64_t key, uint32_t number)
{
    uint32_t at = text_slot(spans, key);

    spans->slot_count += spans->slots[at] == 0;
    spans->keys[at] = key;
    spans->slots[at] = number + 1;
}

static uint32_t
text_new(sl_spans *spans, sl_span_memo *memo, unsigned keep,
         sl_sql_dialect dialect, uint64_t key, const char *text, size_t len)
{
    char made[SL_SPAN_TEXT_MAX];
    size_t size = sl_kept_made(memo, key, keep, dialect, text, len, made);
    uint32_t number = 0;

    if (size > 0) {
        uint64_t own = sl_kept_key(
            sl_kept_seed(spans, SL_KEPT_AS_IS, SL_SQL_ANY), made, size);
        uint32_t same = text_slot(spans, own);
        number = spans->slots[same] != 0 ? spans->slots[same] - 1
                                         : text_add(spans, made, size);
        if (number == 0) {
            spans->lost++;
            return 0;
        }
        text_known(spans, own, number);
    }
    text_known(spans, key, number);
    return number;
}

static uint32_t
spans_text(sl_spans *spans, sl_span_memo *memo, unsigned keep,
           sl_sql_dialect dialect, uint64_t hash, const char *text, size_t len)
{
    if (len == 0)
        return 0;
    const void *table = memo != NULL ? (const void *)memo : spans;
    uint64_t seed = sl_kept_seed(table, keep, dialect);
    uint64_t key = hash != 0 ? sl_kept_key_of(seed, hash, len)
                             : sl_kept_key(seed, text, len);
    uint32_t at = spans->slots != NULL ? text_slot(spans, key) : 0;
    if (spans->slots != NULL && spans->slots[at] != 0)
        return spans->slots[at] - 1;
    if (!text_slots_reserve(spans)) {
        spans->lost++;
        return 0;
    }
    return text_new(spans, memo, keep, dialect, key, text, len);
}

uint32_t
sl_spans_word(sl_spans *spans, const char *text, size_t len)
{
    const char *end = len > 0 ? memchr(text, '\0', len) : NULL;

    return spans_text(spans, NULL, SL_KEPT_AS_IS, SL_SQL_ANY, 0, text,
                      end != NULL ? (size_t)(end - text) : len);
}

uint32_t
sl_spans_kept(sl_spans *spans, sl_span_memo *memo, sl_span_keep keep,
              sl_sql_dialect dialect, uint64_t hash, const char *text,
              size_t len)
{
    return spans_text(spans, memo, keep, dialect, hash, text, len);
}

uint32_t
sl_spans_kind(sl_spans *spans, const char *word, size_t len)
{
    uint32_t kind = sl_span_kind_of(word, len);

    if (kind < SL_SPAN_KIND_COUNT)
        return kind;
    uint32_t text = sl_spans_word(spans, word, len);
    return text == 0 ? SL_SPAN_CUSTOM : SL_SPAN_KIND_COUNT + text;
}

sl_span_text
sl_spans_text(const sl_spans *spans, uint32_t number)
{
    return number < spans->text_count ? spans->texts[number]
                                      : (sl_span_text){ "", 0 };
}

sl_span_text
sl_spans_kind_text(const sl_spans *spans, uint32_t kind)
{
    if (kind >= SL_SPAN_KIND_COUNT)
        return sl_spans_text(spans, kind - SL_SPAN_KIND_COUNT);
    return (sl_span_text){ kinds[kind], (uint32_t)strlen(kinds[kind]) };
}

/* ---- rows ---- */

static bool
what_is(const sl_span_what *a, const sl_span_what *b)
{
    return a->node == b->node && a->text == b->text && a->kind == b->kind &&
           a->site == b->site && a->lane == b->lane && a->where == b->where;
}

static uint32_t *
row_slot(const sl_spans *spans, const sl_span_what *what)
{
    uint32_t mask = spans->row_capacity * 2 - 1;
    uint64_t mix = sl_hash_mix((uintptr_t)what->node,
                               (uint64_t)what->text << 32 | what->site);
    mix ^= ((uint64_t)what->kind << 32 | what->lane) +
           ((uint64_t)what->where << 16);
    uint32_t at = (uint32_t)sl_hash_mix(mix, 0) & mask;

    while (spans->row_slots[at] != 0 &&
           !what_is(&spans->rows[spans->row_slots[at] - 1].what, what))
        at = (at + 1) & mask;
    return &spans->row_slots[at];
}

void
sl_spans_reslot(sl_spans *spans)
{
    if (spans->row_capacity == 0)
        return;
    memset(spans->row_slots, 0,
           (size_t)spans->row_capacity * 2 * sizeof(uint32_t));
    for (uint32_t i = 0; i < spans->row_count; i++)
        *row_slot(spans, &spans->rows[i].what) = i + 1;
}

static bool
rows_reserve(sl_spans *spans)
{
    uint32_t capacity = spans->row_capacity == 0 ? 32 : spans->row_capacity * 2;

    if (spans->row_count < spans->row_capacity)
        return true;
    if (capacity > ROWS_MAX)
        return false;
    sl_spans grown = *spans;
    grown.rows = spans_grow(spans, spans->rows, spans->row_count, capacity,
                            sizeof(*grown.rows));
    grown.row_slots =
        grown.rows == NULL
            ? NULL
            : spans_grow(spans, NULL, 0, capacity * 2, sizeof(uint32_t));
    if (grown.row_slots == NULL)
        return false;
    grown.row_capacity = capacity;
    grown.arena = spans->arena;
    sl_spans_reslot(&grown);
    *spans = grown;
    return true;
}

/* Number of the row; it is made if need be. UINT32_MAX: no room. */
static uint32_t
row_of(sl_spans *spans, const sl_span_what *what)
{
    uint32_t last = spans->row_last;

    if (last < spans->row_count && what_is(&spans->rows[last].what, what))
        return last;
    uint32_t *slot = spans->row_capacity > 0 ? row_slot(spans, what) : NULL;
    if (slot != NULL && *slot != 0)
        return spans->row_last = *slot - 1;
    if (!rows_reserve(spans))
        return UINT32_MAX;
    slot = row_slot(spans, what);
    spans->rows[spans->row_count] = (sl_span_row){ .what = *what };
    *slot = ++spans->row_count;
    return spans->row_last = *slot - 1;
}

static void
row_first(sl_spans *spans, uint32_t row, const sl_span_open *span,
          uint64_t length)
{
    if (spans->rows[row].firsts == SL_SPAN_FIRSTS)
        return;
    if (spans->first_count == spans->first_capacity) {
        uint32_t capacity =
            spans->first_capacity == 0 ? 64 : spans->first_capacity * 2;
        sl_span_first *firsts =
            capacity > SL_SPAN_FIRSTS_ALL
                ? NULL
                : spans_grow(spans, spans->firsts, spans->first_count, capacity,
                             sizeof(*firsts));
        if (firsts == NULL)
            return;
        spans->firsts = firsts;
        spans->first_capacity = capacity;
    }
    spans->rows[row].firsts++;
    spans->firsts[spans->first_count++] =
        (sl_span_first){ row, span->what.detail, span->from, length };
}

/* The kind that a span is part of the total of. */
static uint32_t
total_kind(uint32_t kind)
{
    return kind < SL_SPAN_KIND_COUNT ? kind : SL_SPAN_CUSTOM;
}

/* A span that is over goes into its row. Where there is no room for a row of
 * its own: into one of the kind for the whole request. */
static void
spans_take(sl_spans *spans, const sl_span_open *span, uint64_t to)
{
    uint64_t length = to > span->from ? to - span->from : 0;
    uint32_t kind = total_kind(span->what.kind);
    uint32_t at = row_of(spans, &span->what);

    spans->totals[kind].count++;
    spans->totals[kind].ticks += span->nested ? 0 : length;
    if (at == UINT32_MAX)
        at = row_of(spans, &(sl_span_what){ .kind = kind });
    if (at == UINT32_MAX) {
        spans->lost++;
        return;
    }
    sl_span_row *row = &spans->rows[at];
    row->count++;
    row->total += length;
    row->outer += span->nested ? 0 : length;
    row->longest = length > row->longest ? length : row->longest;
    row_first(spans, at, span, length);
}

/* ---- open ones ---- */

/* The innermost open span of that kind on the lane, or NULL. */
static const sl_span_open *
open_around(const sl_spans *spans, uint32_t lane, uint32_t kind)
{
    uint32_t left = LOOK_MAX;

    for (uint32_t at = spans->newest; at != 0 && left > 0; left--) {
        const sl_span_open *span = &spans->open[at - 1];
        if (span->what.lane == lane && span->what.kind == kind)
            return span;
        at = span->next;
    }
    return NULL;
}

/* A free slot's number + 1; 0: no room. */
static uint32_t
open_new(sl_spans *spans)
{
    if (spans->unused == 0) {
        uint32_t old = spans->open_capacity;
        uint32_t capacity = old == 0 ? 16 : old * 2;
        sl_span_open *open =
            capacity > OPEN_MAX
                ? NULL
                : spans_grow(spans, spans->open, old, capacity, sizeof(*open));
        if (open == NULL)
            return 0;
        for (uint32_t i = old; i < capacity; i++)
            open[i] = (sl_span_open){ .next = i + 1 < capacity ? i + 2 : 0 };
        spans->open = open;
        spans->open_capacity = capacity;
        spans->unused = old + 1;
    }
    uint32_t at = spans->unused;
    spans->unused = spans->open[at - 1].next;
    return at;
}

static sl_span_open
span_from(const sl_spans *spans, const sl_span_what *what, uint64_t now)
{
    bool nested = open_around(spans, what->lane, what->kind) != NULL;
    return (sl_span_open){ .what = *what, .nested = nested, .from = now };
}

/* The slot in the low bits, so that a handle is found without a search. */
#define SLOT_BITS 12
_Static_assert(OPEN_MAX <= 1u << SLOT_BITS, "slots fit into handles");

sl_span
sl_spans_begin(sl_spans *spans, const sl_span_what *what, uint64_t now)
{
    sl_span_open span = span_from(spans, what, now);
    uint32_t at = open_new(spans);

    if (at == 0) {
        spans->totals[total_kind(what->kind)].count++;
        spans->lost++;
        return 0;
    }
    span.handle = ++spans->serial << SLOT_BITS | (at - 1);
    span.next = spans->newest;
    if (spans->newest != 0)
        spans->open[spans->newest - 1].before = at;
    spans->newest = at;
    spans->open[at - 1] = span;
    return span.handle;
}

/* The open span of that handle, or NULL. */
static sl_span_open *
open_of(const sl_spans *spans, sl_span handle)
{
    uint32_t at = (uint32_t)handle & ((1u << SLOT_BITS) - 1);

    if (handle == 0 || at >= spans->open_capacity ||
        spans->open[at].handle != handle)
        return NULL;
    return &spans->open[at];
}

static void
open_end(sl_spans *spans, sl_span_open *span, uint64_t now)
{
    uint32_t at = (uint32_t)(span - spans->open) + 1;

    spans_take(spans, span, now);
    if (span->next != 0)
        spans->open[span->next - 1].before = span->before;
    if (span->before != 0)
        spans->open[span->before - 1].next = span->next;
    else
        spans->newest = span->next;
    *span = (sl_span_open){ .next = spans->unused };
    spans->unused = at;
}

void
sl_spans_end(sl_spans *spans, sl_span handle, uint64_t now)
{
    sl_span_open *span = open_of(spans, handle);

    if (span != NULL)
        open_end(spans, span, now);
}

void
sl_spans_add(sl_spans *spans, const sl_span_what *what, uint64_t from,
             uint64_t to)
{
    sl_span_open span = span_from(spans, what, from);
    spans_take(spans, &span, to);
}

void
sl_spans_stop(sl_spans *spans, uint64_t now)
{
    while (spans->newest != 0)
        open_end(spans, &spans->open[spans->newest - 1], now);
}
