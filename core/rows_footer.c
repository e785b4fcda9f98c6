/* Rows packed: the footer of a segment.
 *
 *   content  version 1, count, column*       all numbers are varints
 *   column   number, length in bytes, values
 *
 *   1  time    ms in the id, zigzag of the difference to the row before
 *   2  chance  the other ten bytes of the id
 *   3  place   bytes between the end of the record before, its head and blob
 *              taken as all of it, and this one
 *   4  kind
 *   16 to 63   a column of numbers; `started` as zigzag of its difference to
 *              the time in the id, in ns
 *   64 to 127  a column of texts: count, lengths, their bytes, then for each
 *              row the number of its text (0: "")
 *
 * Columns that a reader does not know are skipped; those that are not there
 * are 0 and "".
 */
#include "rows_data.h"
#include "varint.h"

#include <string.h>

#define VERSION     1
#define ROWS_MAX    (1u << 24)
#define CONTENT_MAX ((size_t)256 << 20)

enum { TIME = 1, CHANCE, PLACE, KIND };

static const uint8_t numbers[SL_ROW_COLUMNS] = {
#define XX(name, number) number,
    SL_ROW_WIDE_MAP(XX) SL_ROW_NARROW_MAP(XX) SL_ROW_TEXT_MAP(XX)
#undef XX
};

/* ---- writing ---- */

typedef struct {
    sl_rows *rows;
    uint32_t *chosen; /* rows of the segment, in the order of their place */
    uint32_t count;
    sl_buf column, content;
} writing;

static void
put_column(writing *w, uint8_t number)
{
    sl_buf_put_varint(&w->content, number);
    sl_buf_put_varint(&w->content, w->column.size);
    sl_buf_put(&w->content, w->column.data, w->column.size);
    if (w->column.status < 0)
        w->content.status = w->column.status;
    w->column.size = 0;
}

static int64_t
id_time(const sl_rows *rows, uint32_t row)
{
    return (int64_t)sl_id_ms(rows->ids[row]);
}

static void
put_places(writing *w)
{
    const sl_rows *rows = w->rows;
    const uint32_t *bytes = rows->narrow[SL_ROW_bytes - SL_ROW_WIDE_COUNT];
    int64_t before = 0, expected = 0;

    for (uint32_t i = 0; i < w->count; i++) {
        int64_t now = id_time(rows, w->chosen[i]);
        /* Profiles end in about the order of their ids: most differences are
         * a byte or two. */
        sl_buf_put_varint(&w->column, sl_zigzag(now - before));
        before = now;
    }
    put_column(w, TIME);
    for (uint32_t i = 0; i < w->count; i++)
        sl_buf_put(&w->column, rows->ids[w->chosen[i]] + 6, SL_ID_SIZE - 6);
    put_column(w, CHANCE);
    for (uint32_t i = 0; i < w->count; i++) {
        int64_t offset = rows->places[w->chosen[i]].offset;
        /* 0 where one record stands right behind the other: as nearly all
         * do, and a column of zeros packs to nothing. */
        sl_buf_put_varint(&w->column, sl_zigzag(offset - expected));
        expected = offset + SL_RECORD_HEAD + bytes[w->chosen[i]];
    }
    put_column(w, PLACE);
    for (uint32_t i = 0; i < w->count; i++)
        sl_buf_put_u8(&w->column, rows->kinds[w->chosen[i]]);
    put_column(w, KIND);
}

static void
put_numbers(writing *w)
{
    const sl_rows *rows = w->rows;

    for (int c = 0; c < SL_ROW_NARROW_END; c++) {
        if (c == SL_ROW_ended)
            continue;
        for (uint32_t i = 0; i < w->count; i++) {
            uint32_t row = w->chosen[i];
            uint64_t value = c < SL_ROW_WIDE_COUNT
                                 ? rows->wide[c][row]
                                 : rows->narrow[c - SL_ROW_WIDE_COUNT][row];
            if (c == SL_ROW_started)
                value = sl_zigzag(
                    (int64_t)(value - (uint64_t)id_time(rows, row) * 1000000));
            sl_buf_put_varint(&w->column, value);
        }
        put_column(w, numbers[c]);
    }
}

/* `local` has room for a number of each text of the dictionary. */
static void
put_texts(writing *w, sl_row_column column, uint32_t *local)
{
    const sl_rows *rows = w->rows;
    const uint32_t *texts = rows->narrow[column - SL_ROW_WIDE_COUNT];
    const sl_words *words = &rows->words[ROWS_TEXT(column)];
    uint32_t count = 0;
    size_t size;

    memset(local, 0, (words->count + 1) * sizeof(*local));
    for (uint32_t i = 0; i < w->count; i++) {
        uint32_t text = texts[w->chosen[i]];
        if (text != 0 && local[text] == 0)
            local[text] = ++count;
    }
    sl_buf_put_varint(&w->column, count);
    /* In the order of first use: a text is new where its number is the next. */
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0, next = 1; i < w->count; i++) {
            uint32_t text = texts[w->chosen[i]];
            if (text == 0 || local[text] != next)
                continue;
            next++;
            const char *bytes = sl_words_text(words, text, &size);
            if (pass == 0)
                sl_buf_put_varint(&w->column, size);
            else
                sl_buf_put(&w->column, bytes, size);
        }
    }
    for (uint32_t i = 0; i < w->count; i++)
        sl_buf_put_varint(&w->column, local[texts[w->chosen[i]]]);
    put_column(w, numbers[column]);
}

/* Rows come in the order of their places but for what was added later:
 * insertion moves few. */
static void
choose(writing *w, uint32_t segment)
{
    const sl_rows *rows = w->rows;

    for (uint32_t row = 0; row < rows->count; row++) {
        if (rows->places[row].segment != segment ||
            rows->states[row] == ROW_GONE)
            continue;
        uint32_t at = w->count++;
        for (; at > 0 && rows->places[w->chosen[at - 1]].offset >
                             rows->places[row].offset;
             at--)
            w->chosen[at] = w->chosen[at - 1];
        w->chosen[at] = row;
    }
}

static sl_status
finish(writing *w, sl_buf *inside, sl_bytes *out)
{
    sl_footer_end end = { .profiles = w->count };
    uint8_t tail[SL_FOOTER_END], head[SL_RECORD_HEAD];

    for (uint32_t i = 0; i < w->count; i++) {
        uint64_t ms = (uint64_t)id_time(w->rows, w->chosen[i]);
        if (i == 0 || ms < end.oldest_ms)
            end.oldest_ms = ms;
        if (ms > end.newest_ms)
            end.newest_ms = ms;
    }
    end.size = (uint32_t)(SL_RECORD_HEAD + inside->size + SL_FOOTER_END);
    sl_footer_end_write(tail, &end);
    sl_buf_put(inside, tail, sizeof(tail));
    if (inside->status < 0)
        return inside->status;
    sl_status status = sl_record_head(head, SL_RECORD_FOOTER, NULL,
                                      inside->data, inside->size, 0);
    if (status < 0)
        return status;
    sl_buf record;
    sl_buf_init(&record, &w->rows->alloc, 0);
    sl_buf_put(&record, head, sizeof(head));
    sl_buf_put(&record, inside->data, inside->size);
    return sl_buf_finish(&record, out);
}

sl_status
sl_rows_footer(sl_rows *rows, uint32_t segment, sl_bytes *out)
{
    writing w = { .rows = rows };
    sl_buf inside;
    uint32_t most = 0;

    for (int i = 0; i < ROWS_TEXTS; i++)
        most = rows->words[i].count > most ? rows->words[i].count : most;
    uint32_t *room = rows->alloc.take(
        rows->alloc.ctx, ((size_t)rows->count + most + 2) * sizeof(*room));
    if (room == NULL)
        return SL_ENOMEM;
    w.chosen = room;
    sl_buf_init(&w.column, &rows->alloc, 0);
    sl_buf_init(&w.content, &rows->alloc, CONTENT_MAX);
    sl_buf_init(&inside, &rows->alloc, 0);
    choose(&w, segment);

    sl_buf_put_varint(&w.content, VERSION);
    sl_buf_put_varint(&w.content, w.count);
    put_places(&w);
    put_numbers(&w);
    for (int c = SL_ROW_NARROW_END; c < SL_ROW_COLUMNS; c++)
        put_texts(&w, (sl_row_column)c, room + rows->count + 1);
    sl_status status = w.content.status;
    if (status == SL_OK)
        status = sl_compress(&inside, w.content.data, w.content.size, 3);
    if (status == SL_OK)
        status = finish(&w, &inside, out);
    sl_buf_free(&w.column);
    sl_buf_free(&w.content);
    sl_buf_free(&inside);
    rows->alloc.give(rows->alloc.ctx, room);
    return status;
}

/* ---- reading ---- */

typedef struct {
    sl_rows *rows;
    uint32_t segment;
    uint64_t count;
    sl_reader time, chance, place, kind;
    sl_reader column[SL_ROW_COLUMNS];
    uint32_t *global[ROWS_TEXTS]; /* the table's number of each text here */
    uint64_t texts[ROWS_TEXTS];
} loading;

/* Reads a column's texts, and puts them into the table's dictionary. */
static sl_status
load_texts(loading *l, int text)
{
    sl_reader *in = &l->column[SL_ROW_NARROW_END + text], lengths;
    sl_alloc *alloc = &l->rows->alloc;
    uint64_t count, size, sum = 0;

    if (sl_varint_get_max(in, l->count, &count) < 0)
        return SL_ECORRUPT;
    l->global[text] =
        alloc->take(alloc->ctx, ((size_t)count + 1) * sizeof(uint32_t));
    if (l->global[text] == NULL)
        return SL_ENOMEM;
    l->global[text][0] = 0;
    l->texts[text] = count;
    /* All lengths are held against what is there before the first text goes
     * into the table, which gives nothing back. */
    lengths = *in;
    for (uint64_t i = 0; i < count; i++) {
        if (sl_varint_get_max(in, (uint64_t)(in->end - in->pos), &size) < 0)
            return SL_ECORRUPT;
        sum += size;
    }
    if (sum > (uint64_t)(in->end - in->pos))
        return SL_ECORRUPT;
    for (uint64_t i = 1; i <= count; i++) {
        if (sl_varint_get(&lengths, &size) < 0)
            return SL_ECORRUPT;
        sl_status status =
            sl_words_put(&l->rows->words[text], (const char *)in->pos,
                         (size_t)size, &l->global[text][i]);
        if (status < 0)
            return status;
        in->pos += size;
    }
    return SL_OK;
}

static sl_status
load_columns(loading *l, sl_reader in)
{
    uint64_t number, size;

    while (in.pos < in.end) {
        if (sl_varint_get(&in, &number) < 0 ||
            sl_varint_get_max(&in, (uint64_t)(in.end - in.pos), &size) < 0)
            return SL_ECORRUPT;
        sl_reader column = { in.pos, in.pos + size };
        in.pos += size;
        switch (number) {
        case TIME: l->time = column; break;
        case CHANCE: l->chance = column; break;
        case PLACE: l->place = column; break;
        case KIND: l->kind = column; break;
        default:
            for (int c = 0; c < SL_ROW_COLUMNS; c++) {
                if (numbers[c] == number)
                    l->column[c] = column;
            }
        }
    }
    for (int i = 0; i < ROWS_TEXTS; i++) {
        if (l->column[SL_ROW_NARROW_END + i].pos == NULL)
            continue;
        sl_status status = load_texts(l, i);
        if (status < 0)
            return status;
    }
    return SL_OK;
}

static sl_status
load_cells(loading *l, sl_row *row, uint64_t ms, uint32_t *texts)
{
    uint64_t value;

    for (int c = 0; c < SL_ROW_COLUMNS; c++) {
        value = 0;
        if (l->column[c].pos != NULL &&
            sl_varint_get(&l->column[c], &value) < 0)
            return SL_ECORRUPT;
        if (c == SL_ROW_started)
            row->wide[c] = ms * 1000000 + (uint64_t)sl_unzigzag(value);
        else if (c < SL_ROW_WIDE_COUNT)
            row->wide[c] = value;
        else if (c < SL_ROW_NARROW_END) {
            if (value > UINT32_MAX)
                return SL_ECORRUPT;
            row->narrow[c - SL_ROW_WIDE_COUNT] = (uint32_t)value;
        } else {
            int text = c - SL_ROW_NARROW_END;
            if (value > l->texts[text])
                return SL_ECORRUPT;
            texts[text] = value == 0 ? 0 : l->global[text][value];
        }
    }
    return SL_OK;
}

static sl_status
load_rows(loading *l)
{
    uint32_t texts[ROWS_TEXTS];
    uint64_t ms = 0, offset = 0, value;

    if (l->count > 0 &&
        ((uint64_t)(l->chance.end - l->chance.pos) != l->count * 10 ||
         (uint64_t)(l->kind.end - l->kind.pos) != l->count))
        return SL_ECORRUPT;
    for (uint64_t i = 0; i < l->count; i++) {
        sl_row row = { .kind = *l->kind.pos++ };
        if (sl_varint_get(&l->time, &value) < 0)
            return SL_ECORRUPT;
        ms += (uint64_t)sl_unzigzag(value);
        for (int k = 0; k < 6; k++)
            row.id[k] = (uint8_t)(ms >> (40 - 8 * k));
        memcpy(row.id + 6, l->chance.pos, SL_ID_SIZE - 6);
        l->chance.pos += SL_ID_SIZE - 6;
        if (sl_varint_get(&l->place, &value) < 0)
            return SL_ECORRUPT;
        offset += (uint64_t)sl_unzigzag(value);
        if (ms >> 48 != 0 || offset > UINT32_MAX)
            return SL_ECORRUPT;
        row.place = (sl_row_place){ l->segment, (uint32_t)offset };
        sl_status status = load_cells(l, &row, ms, texts);
        if (status == SL_OK)
            status = sl_rows_put_numbers(l->rows, &row, texts);
        if (status < 0)
            return status;
        offset += SL_RECORD_HEAD + row.narrow[SL_ROW_bytes - SL_ROW_WIDE_COUNT];
    }
    return SL_OK;
}

static sl_status
load(loading *l, const sl_buf *content)
{
    sl_reader in = sl_reader_over(content->data, content->size);
    uint64_t version;

    if (sl_varint_get(&in, &version) < 0 || version != VERSION ||
        sl_varint_get_max(&in, ROWS_MAX, &l->count) < 0)
        return SL_ECORRUPT;
    sl_status status = load_columns(l, in);
    return status == SL_OK ? load_rows(l) : status;
}

sl_status
sl_rows_add_footer(sl_rows *rows, uint32_t segment, const void *inside,
                   size_t size)
{
    loading l = { .rows = rows, .segment = segment };
    sl_buf content;

    if (size < SL_FOOTER_END)
        return SL_ECORRUPT;
    sl_buf_init(&content, &rows->alloc, CONTENT_MAX + ((size_t)1 << 20));
    sl_status status = sl_unpack(rows->unpacker, &content, inside,
                                 size - SL_FOOTER_END, CONTENT_MAX, 0);
    if (status == SL_OK)
        status = load(&l, &content);
    for (int i = 0; i < ROWS_TEXTS; i++)
        rows->alloc.give(rows->alloc.ctx, l.global[i]);
    sl_buf_free(&content);
    return status;
}
