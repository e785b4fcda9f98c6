/* What several profiles asked of others, as one table. */
#include "union_spans.h"
#include "blob.h"
#include "hash.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64u
/* Rows beyond the bound for what finds no room: one for each kind. */
#define KINDS_MORE 64u

static const char no_text[] = "";

/* The one copy of a text; NULL: no room. */
static const char *
word_keep(sl_union_spans *s, const char *text, size_t len)
{
    const char *kept;
    uint32_t id;

    if (s->words == NULL) {
        if (s->texts == NULL && s->own == NULL &&
            sl_arena_new(&s->own, NULL, 0, SIZE_MAX) < 0)
            return NULL;
        sl_arena *arena = s->texts != NULL ? s->texts : s->own;
        if (sl_intern_new(&s->words, arena, NULL) < 0)
            return NULL;
    }
    return sl_intern_keep(s->words, text, len, &id, &kept) == SL_OK ? kept
                                                                    : NULL;
}

/* Bytes of "books/list.html:12" without ":12". */
static size_t
without_line(const char *where)
{
    size_t len = strlen(where), end = len;

    while (end > 0 && where[end - 1] >= '0' && where[end - 1] <= '9')
        end--;
    return end > 0 && end < len && where[end - 1] == ':' ? end - 1 : len;
}

static uint32_t
span_hash(const sl_union_spans *s, const sl_union_span *one)
{
    uint64_t hash = sl_hash_mix(s->seed, (uint64_t)one->node << 32 | one->line);
    hash = sl_hash_mix(hash, (uintptr_t)one->text);
    hash = sl_hash_mix(hash, (uintptr_t)one->where ^ (uintptr_t)one->kind << 1);
    return (uint32_t)(hash >> 16);
}

static bool
span_equal(const sl_union_span *a, const sl_union_span *b)
{
    return a->node == b->node && a->line == b->line && a->kind == b->kind &&
           a->text == b->text && a->where == b->where;
}

/* The slot of a row like that, or the free one where it belongs. */
static uint32_t *
span_slot(const sl_union_spans *s, uint32_t *slots, uint32_t mask,
          const sl_union_span *wanted)
{
    uint32_t at = span_hash(s, wanted) & mask;

    while (slots[at] != 0 && !span_equal(&s->rows[slots[at] - 1], wanted))
        at = (at + 1) & mask;
    return &slots[at];
}

static bool
spans_reserve(sl_union_spans *s)
{
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity == 0 ? SLOTS_MIN / 2 : s->capacity * 2;
        sl_union_span *grown = realloc(s->rows, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        s->rows = grown;
        s->capacity = capacity;
    }
    if (s->slots != NULL && s->count < s->mask / 2)
        return true;
    uint32_t slots = s->mask == 0 ? SLOTS_MIN : (s->mask + 1) * 2;
    uint32_t *grown = calloc(slots, sizeof(*grown));
    if (grown == NULL)
        return false;
    for (uint32_t i = 0; i < s->count; i++)
        *span_slot(s, grown, slots - 1, &s->rows[i]) = i + 1;
    free(s->slots);
    s->slots = grown;
    s->mask = slots - 1;
    return true;
}

static bool
has_room(const sl_union_spans *s, bool bare)
{
    uint32_t most = s->most != 0 ? s->most : SL_BLOB_MAX_SPANS - KINDS_MORE;
    return s->count < most + (bare ? KINDS_MORE : 0);
}

static void
sum_add(sl_union_span_sum *to, const sl_union_span_sum *from)
{
    to->count = sl_union_plus(to->count, from->count);
    to->total_ns = sl_union_plus(to->total_ns, from->total_ns);
    to->outer_ns = sl_union_plus(to->outer_ns, from->outer_ns);
    if (from->longest_ns > to->longest_ns)
        to->longest_ns = from->longest_ns;
}

/* Into the row like `wanted`; where there is no room for one more, into that of
 * its kind at the root, or no row at all. SL_ENOMEM. */
static sl_status
span_take(sl_union_spans *s, const sl_union_span *wanted, int side,
          const sl_union_span_sum *sum)
{
    const sl_union_span bare = { .kind = wanted->kind,
                                 .text = no_text,
                                 .where = no_text };
    if (s->seed == 0)
        s->seed = sl_hash_seed(s) | 1;
    if (!spans_reserve(s))
        return SL_ENOMEM;
    uint32_t *slot = span_slot(s, s->slots, s->mask, wanted);
    if (*slot == 0 && !has_room(s, span_equal(wanted, &bare))) {
        s->full = true;
        if (!span_equal(wanted, &bare))
            return span_take(s, &bare, side, sum);
        s->lost[side] = sl_union_plus(s->lost[side], sum->count);
        return SL_OK;
    }
    if (*slot == 0) {
        s->rows[s->count] = *wanted;
        *slot = ++s->count;
    }
    sum_add(&s->rows[*slot - 1].side[side], sum);
    return SL_OK;
}

sl_status
sl_union_spans_add(sl_union_spans *s, const sl_profile_span *span,
                   uint32_t node, uint32_t line, uint64_t weight, int side)
{
    size_t where =
        s->with_lines ? strlen(span->where) : without_line(span->where);
    const sl_union_span_sum sum = { sl_union_times(span->count, weight),
                                    sl_union_times(span->total_ns, weight),
                                    sl_union_times(span->outer_ns, weight),
                                    span->longest_ns };
    sl_union_span wanted = {
        .node = node,
        .line = s->with_lines ? line : 0,
        .kind = word_keep(s, span->kind, strlen(span->kind)),
        .text = word_keep(s, span->text, strlen(span->text)),
        .where = word_keep(s, span->where, where),
    };
    if (wanted.kind == NULL || wanted.text == NULL || wanted.where == NULL) {
        if (s->texts == NULL)
            return SL_ENOMEM;
        s->full = true; /* there are as many texts as there may be */
        wanted.text = wanted.where = no_text;
        wanted.line = 0;
        wanted.kind = wanted.kind != NULL ? wanted.kind : no_text;
    }
    return span_take(s, &wanted, side, &sum);
}

static int
span_compare(const void *a, const void *b)
{
    const sl_union_span *x = a, *y = b;

    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    int order = strcmp(x->kind, y->kind);
    if (order == 0)
        order = strcmp(x->text, y->text);
    if (order == 0)
        order = strcmp(x->where, y->where);
    if (order == 0 && x->line != y->line)
        order = x->line < y->line ? -1 : 1;
    return order;
}

void
sl_union_spans_sort(sl_union_spans *s)
{
    if (s->count > 0)
        qsort(s->rows, s->count, sizeof(*s->rows), span_compare);
}

size_t
sl_union_spans_bytes(const sl_union_spans *s)
{
    return (s->own != NULL ? sl_arena_bytes(s->own) : 0) +
           s->capacity * sizeof(sl_union_span) +
           ((size_t)s->mask + 1) * sizeof(uint32_t);
}

void
sl_union_spans_free(sl_union_spans *s)
{
    free(s->rows);
    free(s->slots);
    sl_intern_free(s->words);
    sl_arena_free(s->own);
    *s = (sl_union_spans){ 0 };
}
