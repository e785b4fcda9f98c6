/* A blob's metadata and summary as a row. */
#include "blob.h"
#include "rows_data.h"
#include "varint.h"

#include <string.h>

/* Most metadata is in the first of these; then all of it is asked for. */
#define FRONT ((size_t)4096)

/* A text in the buffer of tags, which moves while it grows. */
typedef struct {
    size_t from, to;
} span;

typedef struct {
    sl_row *row;
    sl_buf *tags;
    uint8_t *own_id;
    span labels, findings;
    bool has_calls, has_tags;
    uint64_t samples;
} reading;

static const struct {
    const char *key;
    size_t size;
} keys[SL_ROW_COLUMNS] = {
#define XX(name, number) { #name, sizeof(#name) - 1 },
    SL_ROW_WIDE_MAP(XX) SL_ROW_NARROW_MAP(XX) SL_ROW_TEXT_MAP(XX)
#undef XX
};

/* Compares first what differs most often: sizes, and last letters. */
static int
column_of(const char *key, size_t size)
{
    for (int i = 0; size > 0 && i < SL_ROW_COLUMNS; i++) {
        if (keys[i].size == size && keys[i].key[size - 1] == key[size - 1] &&
            memcmp(keys[i].key, key, size) == 0)
            return i;
    }
    return SL_ROW_COLUMNS;
}

static bool
is(const char *key, size_t size, const char *name)
{
    return size == strlen(name) && memcmp(key, name, size) == 0;
}

/* "key=value" and a newline. A newline stands before the first, too: what is
 * looked for is then a whole line, or the beginning of one. */
static void
add_line(sl_buf *out, const char *key, size_t key_size, const char *value,
         size_t size)
{
    if (key_size > 0) {
        sl_buf_put(out, key, key_size);
        sl_buf_put_u8(out, '=');
    }
    for (size_t i = 0; i < size; i++)
        sl_buf_put_u8(out, value[i] == '\n' ? ' ' : (uint8_t)value[i]);
    sl_buf_put_u8(out, '\n');
}

static void
add_number(reading *r, const char *key, size_t key_size, int64_t value)
{
    uint64_t number = value < 0 ? 0 : (uint64_t)value;
    int column = column_of(key, key_size);

    if (column < SL_ROW_WIDE_COUNT)
        r->row->wide[column] = number;
    else if (column < SL_ROW_NARROW_END && column != SL_ROW_bytes)
        r->row->narrow[column - SL_ROW_WIDE_COUNT] =
            number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
    if (column == SL_ROW_calls)
        r->has_calls = true;
    else if (is(key, key_size, "samples"))
        r->samples = number;
}

static void
add_findings(reading *r, const char *text, size_t size)
{
    r->findings.from = r->tags->size;
    sl_buf_put_u8(r->tags, '\n');
    while (size > 0) {
        const char *end = memchr(text, ',', size);
        size_t one = end != NULL ? (size_t)(end - text) : size;
        add_line(r->tags, "", 0, text, one);
        if (end == NULL)
            break;
        text += one + 1;
        size -= one + 1;
    }
    r->findings.to = r->tags->size;
}

static void
add_text(reading *r, const char *key, size_t key_size, const char *text,
         size_t size)
{
    int column = column_of(key, key_size);

    if (is(key, key_size, "id") && r->own_id != NULL)
        sl_id_parse(text, size, r->own_id);
    else if (is(key, key_size, "hot_text"))
        r->row->text[ROWS_TEXT(SL_ROW_hot)] = (sl_row_text){ text, size };
    else if (column == SL_ROW_findings && size > 0)
        add_findings(r, text, size);
    else if (column >= SL_ROW_NARROW_END && column != SL_ROW_tags &&
             column < SL_ROW_COLUMNS)
        r->row->text[ROWS_TEXT(column)] = (sl_row_text){ text, size };
}

#define DIGITS 24

/* A number as text at the end of `digits`. Returns its length. */
static size_t
text_of(int64_t value, char digits[DIGITS])
{
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    size_t at = DIGITS;

    do
        digits[--at] = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (value < 0)
        digits[--at] = '-';
    return DIGITS - at;
}

/* Tags stand behind each other in the metadata or not: gathered in a second
 * pass. */
static sl_status
read_items(reading *r, sl_reader in, bool tags)
{
    uint64_t count, size, type, number;
    char digits[DIGITS];

    if (sl_varint_get_max(&in, SL_BLOB_MAX_META, &count) < 0)
        return SL_ECORRUPT;
    for (; count > 0; count--) {
        if (sl_varint_get_max(&in, (uint64_t)(in.end - in.pos), &size) < 0)
            return SL_ECORRUPT;
        const char *key = (const char *)in.pos;
        size_t key_size = (size_t)size;
        in.pos += size;
        bool is_tag = key_size > 4 && memcmp(key, "tag.", 4) == 0;
        r->has_tags = r->has_tags || is_tag;
        if (sl_varint_get(&in, &type) < 0)
            return SL_ECORRUPT;
        if (type == SL_BLOB_INTEGER) {
            if (sl_varint_get(&in, &number) < 0)
                return SL_ECORRUPT;
            int64_t value = sl_unzigzag(number);
            if (!tags && !is_tag)
                add_number(r, key, key_size, value);
            else if (tags && is_tag) {
                size = text_of(value, digits);
                add_line(r->tags, key + 4, key_size - 4, digits + DIGITS - size,
                         (size_t)size);
            }
            continue;
        }
        if (type != SL_BLOB_TEXT ||
            sl_varint_get_max(&in, (uint64_t)(in.end - in.pos), &size) < 0)
            return SL_ECORRUPT;
        if (!tags && !is_tag)
            add_text(r, key, key_size, (const char *)in.pos, (size_t)size);
        else if (tags && is_tag)
            add_line(r->tags, key + 4, key_size - 4, (const char *)in.pos,
                     (size_t)size);
        in.pos += size;
    }
    return in.pos == in.end ? SL_OK : SL_ECORRUPT;
}

/* The next section of the front. SL_EMORE: it goes on. */
static sl_status
next_section(sl_reader *in, uint64_t *tag, sl_reader *section)
{
    uint64_t size;

    if (sl_varint_get(in, tag) < 0 || sl_varint_get(in, &size) < 0 ||
        size > (uint64_t)(in->end - in->pos))
        return SL_EMORE;
    *section = (sl_reader){ in->pos, in->pos + size };
    in->pos += size;
    return SL_OK;
}

/* Finds META and SUMMARY (empty: there is none) in the front of a blob's
 * content. SL_EMORE: it goes on. */
static sl_status
find_front(const sl_buf *front, sl_reader *meta, sl_reader *summary)
{
    uint64_t tag;

    *summary = (sl_reader){ NULL, NULL };
    if (front->size < SL_BLOB_HEADER_SIZE)
        return SL_EMORE;
    if (memcmp(front->data, SL_BLOB_MAGIC, SL_BLOB_MAGIC_SIZE) != 0)
        return SL_ECORRUPT;
    int version = front->data[8] | front->data[9] << 8;
    if (version == 0 || version > SL_BLOB_VERSION)
        return SL_EVERSION;
    sl_reader in = { front->data + SL_BLOB_HEADER_SIZE,
                     front->data + front->size };
    sl_status status = next_section(&in, &tag, meta);
    if (status == SL_OK && tag != SL_BLOB_META)
        return SL_ECORRUPT;
    if (status < 0 || (in.pos < in.end && *in.pos != SL_BLOB_SUMMARY))
        return status;
    return next_section(&in, &tag, summary);
}

/* As many bytes of the content as needed. Only META is: what ends behind it
 * has no SUMMARY. */
static sl_status
unpack_front(sl_unpacker *unpacker, const void *blob, size_t size,
             sl_buf *front, sl_reader *meta, sl_reader *summary)
{
    sl_status status = SL_EMORE;

    for (size_t want = FRONT; status == SL_EMORE; want = 0) {
        front->size = 0;
        *meta = (sl_reader){ NULL, NULL };
        status =
            sl_unpack(unpacker, front, blob, size, SL_BLOB_MAX_CONTENT, want);
        if (status == SL_OK)
            status = find_front(front, meta, summary);
        if (want == 0)
            break;
    }
    if (status == SL_EMORE)
        status = meta->pos != NULL ? SL_OK : SL_ECORRUPT;
    return status;
}

sl_status
sl_row_of_blob(sl_row *row, sl_unpacker *unpacker, const void *blob,
               size_t size, sl_buf *front, sl_buf *tags, uint8_t *own_id)
{
    reading r = { .row = row, .tags = tags, .own_id = own_id };
    sl_reader meta, summary;

    tags->size = 0;
    memset(row->wide, 0, sizeof(row->wide));
    memset(row->narrow, 0, sizeof(row->narrow));
    for (int i = 0; i < ROWS_TEXTS; i++)
        row->text[i] = (sl_row_text){ "", 0 };
    sl_status status =
        unpack_front(unpacker, blob, size, front, &meta, &summary);
    if (status == SL_OK)
        status = read_items(&r, meta, false);
    if (status == SL_OK && summary.pos != NULL)
        status = read_items(&r, summary, false);
    if (status < 0)
        return status;
    r.labels.from = tags->size;
    sl_buf_put_u8(tags, '\n');
    if (r.has_tags)
        status = read_items(&r, meta, true);
    r.labels.to = tags->size;
    if (status == SL_OK)
        status = tags->status;
    if (status < 0)
        return status;

    sl_row_text *text = row->text;
    const char *lines = (const char *)tags->data;
    if (r.labels.to > r.labels.from + 1)
        text[ROWS_TEXT(SL_ROW_tags)] =
            (sl_row_text){ lines + r.labels.from, r.labels.to - r.labels.from };
    if (r.findings.to > r.findings.from)
        text[ROWS_TEXT(SL_ROW_findings)] =
            (sl_row_text){ lines + r.findings.from,
                           r.findings.to - r.findings.from };
    if (text[ROWS_TEXT(SL_ROW_route)].size == 0)
        text[ROWS_TEXT(SL_ROW_route)] = text[ROWS_TEXT(SL_ROW_path)];
    if (!r.has_calls)
        row->wide[SL_ROW_calls] = r.samples;
    row->narrow[SL_ROW_bytes - SL_ROW_WIDE_COUNT] =
        size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
    return SL_OK;
}
