/* numbers.c - the table of all requests' numbers: its rows and its sources. */
#include "numbers.h"

#include <string.h>

#define ROWS  4096u
#define BYTES ((size_t)32 << 20)

static const char other[] = "[other]";

sl_status
sl_numbers_new(sl_numbers **out, const sl_numbers_options *options,
               const sl_alloc *alloc)
{
    static const sl_numbers_options zero;
    const sl_numbers_options *o = options != NULL ? options : &zero;
    size_t max_bytes = o->max_bytes != 0 ? o->max_bytes : BYTES;
    sl_arena *arena;
    void *mem;

    if (o->period_s > SL_NUMBERS_PERIOD_MAX)
        return SL_ERANGE;
    sl_status status = sl_arena_new(&arena, alloc, SL_NUMBERS_CHUNK, max_bytes);
    if (status < 0)
        return status;
    status = sl_arena_take(arena, sizeof(sl_numbers), &mem);
    if (status < 0) {
        sl_arena_free(arena);
        return status;
    }
    *out = mem;
    **out = (sl_numbers){
        .alloc = alloc != NULL ? *alloc : sl_alloc_libc,
        .arena = arena,
        .max_bytes = max_bytes,
        .period_s = o->period_s,
        .apart = o->apart != 0 ? o->apart : (1u << SL_NUMBERS_FIELDS) - 1,
        .max_rows = o->max_rows != 0 ? o->max_rows : ROWS,
    };
    return SL_OK;
}

void
sl_numbers_free(sl_numbers *numbers)
{
    if (numbers != NULL)
        sl_arena_free(numbers->arena);
}

uint32_t
sl_numbers_rows(const sl_numbers *numbers)
{
    return numbers->row_count;
}

uint64_t
sl_numbers_count(const sl_numbers *numbers)
{
    return numbers->count;
}

uint64_t
sl_numbers_lost(const sl_numbers *numbers)
{
    return numbers->lost;
}

size_t
sl_numbers_bytes(const sl_numbers *numbers)
{
    return sl_arena_bytes(numbers->arena);
}

const sl_numbers_row *
sl_numbers_row_at(const sl_numbers *numbers, uint32_t i)
{
    return numbers->rows[i];
}

bool
sl_numbers_has_periods(const sl_numbers *numbers)
{
    return numbers->period_s != 0;
}

/* ---- rows ---- */

static uint64_t
mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 32;
}

/* Eight bytes at a time: a key is some fifty bytes, and this runs for each
 * request. */
static uint64_t
hash_text(uint64_t hash, const sl_numbers_text *text)
{
    const char *at = text->text;
    size_t left = text->len;
    uint64_t word;

    hash = mix(hash, left);
    for (; left >= sizeof(word); at += sizeof(word), left -= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        hash = mix(hash, word);
    }
    word = 0;
    if (left > 0)
        memcpy(&word, at, left);
    return mix(hash, word);
}

static uint64_t
hash_key(uint64_t from_s, const sl_numbers_key *key)
{
    uint64_t hash = mix(0, from_s);

    for (int i = 0; i < SL_NUMBERS_FIELDS; i++)
        hash = hash_text(hash, &key->field[i]);
    return hash;
}

static bool
same_key(const sl_numbers_key *a, const sl_numbers_key *b)
{
    for (int i = 0; i < SL_NUMBERS_FIELDS; i++) {
        if (a->field[i].len != b->field[i].len ||
            (a->field[i].len > 0 &&
             memcmp(a->field[i].text, b->field[i].text, a->field[i].len) != 0))
            return false;
    }
    return true;
}

static sl_numbers_row *
find_row(const sl_numbers *numbers, uint64_t from_s, const sl_numbers_key *key,
         uint64_t hash)
{
    if (numbers->slots == NULL)
        return NULL;
    for (uint32_t at = (uint32_t)hash & numbers->slot_mask;
         numbers->slots[at] != 0; at = (at + 1) & numbers->slot_mask) {
        sl_numbers_row *row = numbers->rows[numbers->slots[at] - 1];
        if (row->hash == hash && row->from_s == from_s &&
            same_key(&row->key, key))
            return row;
    }
    return NULL;
}

static void
put_slot(uint32_t *slots, uint32_t mask, uint64_t hash, uint32_t number)
{
    uint32_t at = (uint32_t)hash & mask;

    while (slots[at] != 0)
        at = (at + 1) & mask;
    slots[at] = number + 1;
}

/* Room for one more row; the slots stay at most half full. */
static sl_status
grow_rows(sl_numbers *numbers)
{
    uint32_t capacity =
        numbers->row_capacity != 0 ? numbers->row_capacity * 2 : 32;
    uint32_t mask = capacity * 2 - 1;
    void *rows, *slots;

    if (numbers->row_count < numbers->row_capacity)
        return SL_OK;
    sl_status status = sl_arena_take(
        numbers->arena, capacity * sizeof(sl_numbers_row *), &rows);
    if (status == SL_OK)
        status = sl_arena_take(numbers->arena,
                               ((size_t)mask + 1) * sizeof(uint32_t), &slots);
    if (status < 0)
        return status;
    memset(slots, 0, ((size_t)mask + 1) * sizeof(uint32_t));
    if (numbers->row_count > 0)
        memcpy(rows, numbers->rows,
               numbers->row_count * sizeof(sl_numbers_row *));
    numbers->rows = rows;
    for (uint32_t i = 0; i < numbers->row_count; i++)
        put_slot(slots, mask, numbers->rows[i]->hash, i);
    numbers->slots = slots;
    numbers->slot_mask = mask;
    numbers->row_capacity = capacity;
    return SL_OK;
}

/* A row of its own for `key`, whose texts are copied. */
static sl_status
make_row(sl_numbers *numbers, uint64_t from_s, const sl_numbers_key *key,
         uint64_t hash, sl_numbers_row **out)
{
    size_t size = sizeof(sl_numbers_row);
    void *mem;

    for (int i = 0; i < SL_NUMBERS_FIELDS; i++)
        size += key->field[i].len;
    sl_status status = grow_rows(numbers);
    if (status == SL_OK)
        status = sl_arena_take(numbers->arena, size, &mem);
    if (status < 0)
        return status;

    sl_numbers_row *row = mem;
    char *at = (char *)(row + 1);
    *row = (sl_numbers_row){ .hash = hash, .from_s = from_s };
    for (int i = 0; i < SL_NUMBERS_FIELDS; i++) {
        size_t len = key->field[i].len;
        row->key.field[i] = (sl_numbers_text){ at, len };
        if (len > 0)
            memcpy(at, key->field[i].text, len);
        at += len;
    }
    put_slot(numbers->slots, numbers->slot_mask, hash, numbers->row_count);
    numbers->rows[numbers->row_count++] = row;
    *out = row;
    return SL_OK;
}

sl_status
sl_numbers_row_of(sl_numbers *numbers, uint64_t at_s,
                  const sl_numbers_key *asked, sl_numbers_row **out)
{
    uint64_t period = numbers->period_s;
    uint64_t from_s;
    sl_numbers_key key = { 0 };

    at_s = at_s < SL_NUMBERS_SECONDS_MAX ? at_s : SL_NUMBERS_SECONDS_MAX;
    from_s = period != 0 ? at_s - at_s % period : 0;

    for (int i = 0; i < SL_NUMBERS_FIELDS; i++) {
        const sl_numbers_text *text = &asked->field[i];
        if ((numbers->apart >> i & 1u) == 0 || text->text == NULL)
            continue;
        key.field[i] = *text;
        if (text->len > SL_NUMBERS_FIELD_MAX)
            key.field[i].len = SL_NUMBERS_FIELD_MAX;
    }
    uint64_t hash = hash_key(from_s, &key);
    *out = find_row(numbers, from_s, &key, hash);
    if (*out != NULL)
        return SL_OK;
    if (numbers->row_count < numbers->max_rows &&
        sl_arena_bytes(numbers->arena) <
            numbers->max_bytes - numbers->max_bytes / 8)
        return make_row(numbers, from_s, &key, hash, out);

    key = (sl_numbers_key){ .field = { { other, sizeof(other) - 1 } } };
    hash = hash_key(from_s, &key);
    *out = find_row(numbers, from_s, &key, hash);
    return *out != NULL ? SL_OK : make_row(numbers, from_s, &key, hash, out);
}

void
sl_numbers_add(sl_numbers *numbers, uint64_t at_s, const sl_numbers_key *key,
               const sl_numbers_request *request)
{
    uint32_t wall = sl_histogram_bucket(request->wall_ns);
    uint32_t cpu = sl_histogram_bucket(request->cpu_ns);
    sl_numbers_row *row;

    if (sl_numbers_row_of(numbers, at_s, key, &row) < 0 ||
        sl_histogram_reserve(&row->wall, numbers->arena, wall) < 0 ||
        (!request->times_only &&
         sl_histogram_reserve(&row->cpu, numbers->arena, cpu) < 0)) {
        numbers->lost++;
        return;
    }
    sl_histogram_count(&row->wall, wall, request->wall_ns);
    if (!request->times_only)
        sl_histogram_count(&row->cpu, cpu, request->cpu_ns);
    row->count++;
    row->errors += request->error;
    for (int i = 0; i < SL_NUMBERS_SUMS; i++)
        row->sums[i] += request->sums[i];
    numbers->count++;
}

/* ---- sources ---- */

static sl_numbers_source *
find_source(const sl_numbers *numbers, const uint8_t name[16])
{
    for (uint32_t i = 0; i < numbers->source_count; i++) {
        if (memcmp(numbers->sources[i].name, name, 16) == 0)
            return &numbers->sources[i];
    }
    return NULL;
}

sl_status
sl_numbers_consume(sl_numbers *numbers, const uint8_t name[16], uint64_t mark,
                   bool *fresh)
{
    sl_numbers_source *known = find_source(numbers, name);

    if (known != NULL) {
        *fresh = mark > known->mark;
        if (*fresh)
            known->mark = mark;
        return SL_OK;
    }
    if (numbers->source_count == SL_NUMBERS_SOURCES_MAX)
        return SL_ELIMIT;
    if (numbers->source_count == numbers->source_capacity) {
        uint32_t capacity =
            numbers->source_capacity != 0 ? numbers->source_capacity * 2 : 8;
        void *mem;
        sl_status status = sl_arena_take(
            numbers->arena, capacity * sizeof(sl_numbers_source), &mem);
        if (status < 0)
            return status;
        if (numbers->source_count > 0)
            memcpy(mem, numbers->sources,
                   numbers->source_count * sizeof(sl_numbers_source));
        numbers->sources = mem;
        numbers->source_capacity = capacity;
    }
    sl_numbers_source *made = &numbers->sources[numbers->source_count++];
    memcpy(made->name, name, 16);
    made->mark = mark;
    *fresh = true;
    return SL_OK;
}

bool
sl_numbers_consumed(const sl_numbers *numbers, const uint8_t name[16],
                    uint64_t *mark)
{
    const sl_numbers_source *known = find_source(numbers, name);

    if (known != NULL)
        *mark = known->mark;
    return known != NULL;
}
