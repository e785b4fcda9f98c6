/* numbers_write.c - a table of numbers as bytes (numbers.h has them). */
#include "buf.h"
#include "compress.h"
#include "intern.h"
#include "numbers.h"
#include "varint.h"

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
            return SL_NUMBERS_VERSION;
    }
    return SL_NUMBERS_VERSION_CPU;
}

static void
put_content(const sl_numbers *numbers, const sl_intern *table,
            const uint32_t *strings, sl_buf *out)
{
    uint64_t period = numbers->period_s, before = 0;

    sl_buf_put(out, SL_NUMBERS_MAGIC, SL_NUMBERS_MAGIC_SIZE);
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
        sl_arena_new(&arena, &numbers->alloc, SL_NUMBERS_CHUNK, SIZE_MAX / 2);

    if (status < 0)
        return status;
    sl_buf_init(&content, &numbers->alloc, SL_NUMBERS_CONTENT_MAX);
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
