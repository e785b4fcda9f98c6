/* Numbers of all requests.
 *
 * Encoded: one zstd frame with content size and checksum (core/compress.h)
 * around
 *
 *   "slownums"           8 bytes
 *   version, scale       varints: 1 or 2, 4. 2: there are requests whose CPU
 *                        time is not known, which `cpu` did not count
 *   period               seconds; 0: all time is one
 *   lost                 requests that found no memory
 *   sources              count, then for each: 16 bytes of name, mark
 *   strings              count, then for each: length, bytes; number 0 is ""
 *   rows                 count, then for each:
 *     period's number    zigzag of the difference to the row before
 *     route, method, release, host     numbers of strings
 *     count, errors
 *     wall, cpu          as sl_histogram_put writes them
 *     sums               count of those that are not 0, then for each: number
 *                        (SL_NUMBERS_MAP), value
 *
 * All numbers are varints (core/varint.h).
 */
#include "numbers.h"

#include "compress.h"
#include "intern.h"

#include <string.h>

#define MAGIC       "slownums"
#define MAGIC_SIZE  8u
#define VERSION     2u
#define VERSION_CPU 1u /* the CPU time of each request is known */
#define ROWS        4096u
#define BYTES       ((size_t)32 << 20)
#define CHUNK       ((size_t)16 << 10)
#define SOURCES_MAX 65536u
/* What a reader accepts. */
#define CONTENT_MAX ((size_t)256 << 20)
#define STRINGS_MAX (1u << 20)
#define ROWS_MAX    (1u << 20)
#define SUMS_MAX    64u
#define PERIOD_MAX  (366u * 86400u)
/* Unix seconds beyond this are no time; the same bound for writer and reader,
 * whatever periods they have. */
#define SECONDS_MAX (UINT64_C(1) << 40)

static const char other[] = "[other]";

typedef struct {
    uint8_t name[16];
    uint64_t mark;
} source;

struct sl_numbers {
    sl_alloc alloc;
    sl_arena *arena;
    size_t max_bytes;
    uint32_t period_s, apart, max_rows;
    sl_numbers_row **rows;
    uint32_t row_count, row_capacity;
    uint32_t *slots; /* number + 1; 0: free. A power of two of them */
    uint32_t slot_mask;
    source *sources;
    uint32_t source_count, source_capacity;
    uint64_t count, lost;
};

sl_status
sl_numbers_new(sl_numbers **out, const sl_numbers_options *options,
               const sl_alloc *alloc)
{
    static const sl_numbers_options zero;
    const sl_numbers_options *o = options != NULL ? options : &zero;
    size_t max_bytes = o->max_bytes != 0 ? o->max_bytes : BYTES;
    sl_arena *arena;
    void *mem;

    if (o->period_s > PERIOD_MAX)
        return SL_ERANGE;
    sl_status status = sl_arena_new(&arena, alloc, CHUNK, max_bytes);
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

/* The row of `key`, made where it is new; [other] of its period where there is
 * no room for more. The last eighth of the memory is for the rows that are
 * there. */
static sl_status
row_of(sl_numbers *numbers, uint64_t at_s, const sl_numbers_key *asked,
       sl_numbers_row **out)
{
    uint64_t period = numbers->period_s;
    uint64_t from_s;
    sl_numbers_key key = { 0 };

    at_s = at_s < SECONDS_MAX ? at_s : SECONDS_MAX;
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

    if (row_of(numbers, at_s, key, &row) < 0 ||
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

static source *
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
    source *known = find_source(numbers, name);

    if (known != NULL) {
        *fresh = mark > known->mark;
        if (*fresh)
            known->mark = mark;
        return SL_OK;
    }
    if (numbers->source_count == SOURCES_MAX)
        return SL_ELIMIT;
    if (numbers->source_count == numbers->source_capacity) {
        uint32_t capacity =
            numbers->source_capacity != 0 ? numbers->source_capacity * 2 : 8;
        void *mem;
        sl_status status =
            sl_arena_take(numbers->arena, capacity * sizeof(source), &mem);
        if (status < 0)
            return status;
        if (numbers->source_count > 0)
            memcpy(mem, numbers->sources,
                   numbers->source_count * sizeof(source));
        numbers->sources = mem;
        numbers->source_capacity = capacity;
    }
    source *made = &numbers->sources[numbers->source_count++];
    memcpy(made->name, name, 16);
    made->mark = mark;
    *fresh = true;
    return SL_OK;
}

bool
sl_numbers_consumed(const sl_numbers *numbers, const uint8_t name[16],
                    uint64_t *mark)
{
    const source *known = find_source(numbers, name);

    if (known != NULL)
        *mark = known->mark;
    return known != NULL;
}

/* ---- encoding ---- */

static void
put_string(void *ctx, const char *text, size_t len)
{
    sl_buf_put_varint(ctx, len);
    sl_buf_put(ctx, text, len);
}

static void
put_row(sl_buf *out, const sl_numbers_row *row, const uint32_t *strings,
        int64_t step)
{
    uint64_t used = 0;

    sl_buf_put_varint(out, sl_zigzag(step));
    for (int i = 0; i < SL_NUMBERS_FIELDS; i++)
        sl_buf_put_varint(out, strings[i]);
    sl_buf_put_varint(out, row->count);
    sl_buf_put_varint(out, row->errors);
    sl_histogram_put(&row->wall, out);
    sl_histogram_put(&row->cpu, out);
    for (int i = 0; i < SL_NUMBERS_SUMS; i++)
        used += row->sums[i] != 0;
    sl_buf_put_varint(out, used);
    for (uint32_t i = 0; i < SL_NUMBERS_SUMS; i++) {
        if (row->sums[i] != 0) {
            sl_buf_put_varint(out, i);
            sl_buf_put_varint(out, row->sums[i]);
        }
    }
}

static sl_status
intern_rows(const sl_numbers *numbers, sl_intern *table, uint32_t *strings)
{
    uint32_t empty;
    sl_status status = sl_intern_id(table, "", 0, &empty);

    for (uint32_t i = 0; i < numbers->row_count && status == SL_OK; i++) {
        for (int f = 0; f < SL_NUMBERS_FIELDS && status == SL_OK; f++) {
            const sl_numbers_text *text = &numbers->rows[i]->key.field[f];
            status = sl_intern_id(table, text->text, text->len, strings++);
        }
    }
    return status;
}

/* What an older reader knows is written as it knows it. */
static uint64_t
version_of(const sl_numbers *numbers)
{
    for (uint32_t i = 0; i < numbers->row_count; i++) {
        if (numbers->rows[i]->cpu.count != numbers->rows[i]->count)
            return VERSION;
    }
    return VERSION_CPU;
}

static void
put_content(const sl_numbers *numbers, const sl_intern *table,
            const uint32_t *strings, sl_buf *out)
{
    uint64_t period = numbers->period_s, before = 0;

    sl_buf_put(out, MAGIC, MAGIC_SIZE);
    sl_buf_put_varint(out, version_of(numbers));
    sl_buf_put_varint(out, SL_HISTOGRAM_SCALE);
    sl_buf_put_varint(out, period);
    sl_buf_put_varint(out, numbers->lost);
    sl_buf_put_varint(out, numbers->source_count);
    for (uint32_t i = 0; i < numbers->source_count; i++) {
        sl_buf_put(out, numbers->sources[i].name, 16);
        sl_buf_put_varint(out, numbers->sources[i].mark);
    }
    sl_buf_put_varint(out, sl_intern_count(table));
    sl_intern_each(table, put_string, out);
    sl_buf_put_varint(out, numbers->row_count);
    for (uint32_t i = 0; i < numbers->row_count; i++) {
        const sl_numbers_row *row = numbers->rows[i];
        uint64_t at = period != 0 ? row->from_s / period : 0;
        put_row(out, row, strings + (size_t)i * SL_NUMBERS_FIELDS,
                (int64_t)(at - before));
        before = at;
    }
}

sl_status
sl_numbers_encode(const sl_numbers *numbers, int level, sl_bytes *out)
{
    sl_arena *arena;
    sl_intern *table = NULL;
    sl_buf content, frame;
    void *strings;
    sl_status status =
        sl_arena_new(&arena, &numbers->alloc, CHUNK, SIZE_MAX / 2);

    if (status < 0)
        return status;
    sl_buf_init(&content, &numbers->alloc, CONTENT_MAX);
    sl_buf_init(&frame, &numbers->alloc, 0);
    status = sl_arena_take(arena,
                           ((size_t)numbers->row_count + 1) *
                               SL_NUMBERS_FIELDS * sizeof(uint32_t),
                           &strings);
    if (status == SL_OK)
        status = sl_intern_new(&table, arena, &numbers->alloc);
    if (status == SL_OK)
        status = intern_rows(numbers, table, strings);
    if (status == SL_OK) {
        put_content(numbers, table, strings, &content);
        status = content.status;
    }
    if (status == SL_OK)
        status = sl_compress(&frame, content.data, content.size,
                             level != 0 ? level : 1);
    sl_buf_free(&content);
    sl_intern_free(table);
    sl_arena_free(arena);
    if (status < 0) {
        sl_buf_free(&frame);
        return status;
    }
    return sl_buf_finish(&frame, out);
}

/* ---- merging ---- */

typedef struct {
    sl_numbers *numbers; /* NULL: only check */
    const sl_numbers_filter *filter;
    const sl_numbers_text *strings;
    uint64_t string_count, period_s, version;
} merge_job;

static bool
is_wanted(const merge_job *job, uint64_t from_s, const sl_numbers_key *key)
{
    const sl_numbers_filter *filter = job->filter;

    if (filter == NULL)
        return true;
    if (from_s < filter->from_s ||
        (filter->to_s != 0 && from_s >= filter->to_s))
        return false;
    for (int i = 0; i < SL_NUMBERS_FIELDS; i++) {
        const sl_numbers_text *a = &filter->key.field[i], *b = &key->field[i];
        if (a->text != NULL &&
            (a->len != b->len ||
             (a->len > 0 && memcmp(a->text, b->text, a->len) != 0)))
            return false;
    }
    return true;
}

static sl_status
get_sums(sl_reader *at, sl_numbers_row *row)
{
    uint64_t used, number, value;

    if (sl_varint_get_max(at, SUMS_MAX, &used) < 0)
        return SL_ECORRUPT;
    for (uint64_t i = 0; i < used; i++) {
        if (sl_varint_get_max(at, SUMS_MAX - 1, &number) < 0 ||
            sl_varint_get(at, &value) < 0)
            return SL_ECORRUPT;
        if (row != NULL && number < SL_NUMBERS_SUMS)
            row->sums[number] += value;
    }
    return SL_OK;
}

/* A histogram of a row, which must have counted all its requests, or `least` of
 * them: that number is what it begins with. */
static sl_status
get_times(sl_reader *at, sl_arena *arena, uint64_t least, uint64_t count,
          sl_histogram *h)
{
    sl_reader peek = *at;
    uint64_t counted;

    if (sl_varint_get_max(&peek, count, &counted) < 0 || counted < least)
        return SL_ECORRUPT;
    return sl_histogram_get(at, arena, h);
}

static sl_status
get_row(sl_reader *at, const merge_job *job, uint64_t *period)
{
    sl_numbers_key key = { 0 };
    sl_numbers_row *row = NULL;
    uint64_t step, number, count, errors;

    if (sl_varint_get(at, &step) < 0)
        return SL_ECORRUPT;
    *period += (uint64_t)sl_unzigzag(step);
    if (*period > SECONDS_MAX / (job->period_s > 0 ? job->period_s : 1))
        return SL_ECORRUPT;
    for (int i = 0; i < SL_NUMBERS_FIELDS; i++) {
        if (sl_varint_get_max(at, job->string_count - 1, &number) < 0)
            return SL_ECORRUPT;
        key.field[i] = job->strings[number];
    }
    if (sl_varint_get(at, &count) < 0 ||
        sl_varint_get_max(at, count, &errors) < 0)
        return SL_ECORRUPT;

    uint64_t from_s = *period * job->period_s;
    sl_status status = SL_OK;
    if (job->numbers != NULL && is_wanted(job, from_s, &key))
        status = row_of(job->numbers, from_s, &key, &row);
    sl_arena *arena = row != NULL ? job->numbers->arena : NULL;
    if (status == SL_OK)
        status =
            get_times(at, arena, count, count, row != NULL ? &row->wall : NULL);
    if (status == SL_OK)
        status = get_times(at, arena, job->version == VERSION_CPU ? count : 0,
                           count, row != NULL ? &row->cpu : NULL);
    if (status == SL_OK)
        status = get_sums(at, row);
    if (status < 0)
        return status;
    if (row != NULL) {
        row->count += count;
        row->errors += errors;
        job->numbers->count += count;
    }
    return SL_OK;
}

static sl_status
get_rows(sl_reader *at, const merge_job *job)
{
    uint64_t rows, period = 0;

    if (sl_varint_get_max(at, ROWS_MAX, &rows) < 0)
        return SL_ECORRUPT;
    for (uint64_t i = 0; i < rows; i++) {
        sl_status status = get_row(at, job, &period);
        if (status < 0)
            return status;
    }
    return at->pos == at->end ? SL_OK : SL_ECORRUPT;
}

static sl_status
get_sources(sl_reader *at, sl_numbers *numbers)
{
    uint64_t count, mark;
    bool fresh;

    if (sl_varint_get_max(at, SOURCES_MAX, &count) < 0)
        return SL_ECORRUPT;
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *name = at->pos;
        if ((size_t)(at->end - at->pos) < 16)
            return SL_ECORRUPT;
        at->pos += 16;
        if (sl_varint_get(at, &mark) < 0)
            return SL_ECORRUPT;
        if (numbers != NULL) {
            sl_status status = sl_numbers_consume(numbers, name, mark, &fresh);
            if (status < 0)
                return status;
        }
    }
    return SL_OK;
}

static sl_status
get_strings(sl_reader *at, sl_arena *arena, merge_job *job)
{
    uint64_t count, len;
    void *mem;

    /* Each takes a byte at least: no more than there are. */
    if (sl_varint_get_max(at, STRINGS_MAX, &count) < 0 || count == 0 ||
        count > (size_t)(at->end - at->pos))
        return SL_ECORRUPT;
    sl_status status =
        sl_arena_take(arena, count * sizeof(sl_numbers_text), &mem);
    if (status < 0)
        return status;
    sl_numbers_text *strings = mem;
    for (uint64_t i = 0; i < count; i++) {
        if (sl_varint_get_max(at, SL_NUMBERS_FIELD_MAX, &len) < 0 ||
            len > (size_t)(at->end - at->pos))
            return SL_ECORRUPT;
        strings[i] = (sl_numbers_text){ (const char *)at->pos, len };
        at->pos += len;
    }
    job->strings = strings;
    job->string_count = count;
    return SL_OK;
}

/* Reads the content. Rows are read twice: whatever is wrong is found before
 * anything is added. */
static sl_status
get_content(sl_numbers *numbers, sl_reader at, sl_arena *arena,
            const sl_numbers_filter *filter, bool with_sources)
{
    merge_job job = { .filter = filter };
    uint64_t version, scale, lost;
    sl_reader sources, rows;
    sl_status status;

    if ((size_t)(at.end - at.pos) < MAGIC_SIZE ||
        memcmp(at.pos, MAGIC, MAGIC_SIZE) != 0)
        return SL_ECORRUPT;
    at.pos += MAGIC_SIZE;
    if (sl_varint_get(&at, &version) < 0 || sl_varint_get(&at, &scale) < 0)
        return SL_ECORRUPT;
    if (version < VERSION_CPU || version > VERSION ||
        scale != SL_HISTOGRAM_SCALE)
        return SL_EVERSION;
    job.version = version;
    if (sl_varint_get_max(&at, PERIOD_MAX, &job.period_s) < 0 ||
        sl_varint_get(&at, &lost) < 0)
        return SL_ECORRUPT;
    sources = at;
    status = get_sources(&at, NULL);
    if (status == SL_OK)
        status = get_strings(&at, arena, &job);
    rows = at;
    if (status == SL_OK)
        status = get_rows(&at, &job);
    if (status < 0)
        return status;

    job.numbers = numbers;
    status = with_sources ? get_sources(&sources, numbers) : SL_OK;
    if (status == SL_OK)
        status = get_rows(&rows, &job);
    if (status == SL_OK)
        numbers->lost += lost;
    return status;
}

static sl_status
merge_content(sl_numbers *numbers, const void *content, size_t size,
              const sl_numbers_filter *filter, bool with_sources)
{
    const uint8_t *at = content;
    sl_arena *arena;
    sl_status status =
        sl_arena_new(&arena, &numbers->alloc, CHUNK, SIZE_MAX / 2);

    if (status < 0)
        return status;
    status = get_content(numbers, (sl_reader){ at, at + size }, arena, filter,
                         with_sources);
    sl_arena_free(arena);
    return status;
}

static sl_status
merge(sl_numbers *numbers, const void *bytes, size_t size,
      const sl_numbers_filter *filter, bool with_sources)
{
    sl_buf content;

    sl_buf_init(&content, &numbers->alloc, CONTENT_MAX);
    sl_status status = sl_decompress(&content, bytes, size, CONTENT_MAX, 0);
    if (status == SL_OK)
        status = merge_content(numbers, content.data, content.size, filter,
                               with_sources);
    sl_buf_free(&content);
    return status;
}

sl_status
sl_numbers_merge(sl_numbers *numbers, const void *bytes, size_t size,
                 const sl_numbers_filter *filter)
{
    return merge(numbers, bytes, size, filter, false);
}

sl_status
sl_numbers_load(sl_numbers *numbers, const void *bytes, size_t size)
{
    return merge(numbers, bytes, size, NULL, true);
}

sl_status
sl_numbers_load_content(sl_numbers *numbers, const void *content, size_t size)
{
    return merge_content(numbers, content, size, NULL, true);
}
