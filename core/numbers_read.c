/* numbers_read.c - bytes of any origin into a table of numbers: all of them, or
 * nothing and a refusal. */
#include "buf.h"
#include "compress.h"
#include "numbers.h"
#include "varint.h"

#include <string.h>

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

    if (sl_varint_get_max(at, SL_NUMBERS_SUMS_MAX, &used) < 0)
        return SL_ECORRUPT;
    for (uint64_t i = 0; i < used; i++) {
        if (sl_varint_get_max(at, SL_NUMBERS_SUMS_MAX - 1, &number) < 0 ||
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
    if (*period >
        SL_NUMBERS_SECONDS_MAX / (job->period_s > 0 ? job->period_s : 1))
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
        status = sl_numbers_row_of(job->numbers, from_s, &key, &row);
    sl_arena *arena = row != NULL ? job->numbers->arena : NULL;
    if (status == SL_OK)
        status =
            get_times(at, arena, count, count, row != NULL ? &row->wall : NULL);
    if (status == SL_OK)
        status = get_times(at, arena,
                           job->version == SL_NUMBERS_VERSION_CPU ? count : 0,
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

    if (sl_varint_get_max(at, SL_NUMBERS_ROWS_MAX, &rows) < 0)
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

    if (sl_varint_get_max(at, SL_NUMBERS_SOURCES_MAX, &count) < 0)
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
    if (sl_varint_get_max(at, SL_NUMBERS_STRINGS_MAX, &count) < 0 ||
        count == 0 || count > (size_t)(at->end - at->pos))
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

    if ((size_t)(at.end - at.pos) < SL_NUMBERS_MAGIC_SIZE ||
        memcmp(at.pos, SL_NUMBERS_MAGIC, SL_NUMBERS_MAGIC_SIZE) != 0)
        return SL_ECORRUPT;
    at.pos += SL_NUMBERS_MAGIC_SIZE;
    if (sl_varint_get(&at, &version) < 0 || sl_varint_get(&at, &scale) < 0)
        return SL_ECORRUPT;
    if (version < SL_NUMBERS_VERSION_CPU || version > SL_NUMBERS_VERSION ||
        scale != SL_HISTOGRAM_SCALE)
        return SL_EVERSION;
    job.version = version;
    if (sl_varint_get_max(&at, SL_NUMBERS_PERIOD_MAX, &job.period_s) < 0 ||
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
    sl_arena *arena;
    sl_status status =
        sl_arena_new(&arena, &numbers->alloc, SL_NUMBERS_CHUNK, SIZE_MAX / 2);

    if (status < 0)
        return status;
    status = get_content(numbers, sl_reader_over(content, size), arena, filter,
                         with_sources);
    sl_arena_free(arena);
    return status;
}

static sl_status
merge(sl_numbers *numbers, const void *bytes, size_t size,
      const sl_numbers_filter *filter, bool with_sources)
{
    sl_buf content;

    sl_buf_init(&content, &numbers->alloc, SL_NUMBERS_CONTENT_MAX);
    sl_status status =
        sl_decompress(&content, bytes, size, SL_NUMBERS_CONTENT_MAX, 0);
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
