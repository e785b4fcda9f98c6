#include "blob_put.h"
#include "blob.h"
#include "varint.h"

#include <string.h>

sl_status
sl_blob_functions_init(sl_blob_functions *f, const sl_alloc *alloc)
{
    sl_buf *const bufs[] = { &f->names, &f->files, &f->lines, &f->kinds,
                             &f->origins };
    uint32_t empty;

    memset(f, 0, sizeof(*f));
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        sl_buf_init(bufs[i], alloc, 0);
    sl_status status = sl_arena_new(&f->arena, alloc, 0, SIZE_MAX / 4);
    if (status == SL_OK)
        status = sl_intern_new(&f->strings, f->arena, alloc);
    if (status == SL_OK)
        status = sl_intern_id(f->strings, "", 0, &empty);
    return status;
}

void
sl_blob_functions_free(sl_blob_functions *f)
{
    sl_buf *const bufs[] = { &f->names, &f->files, &f->lines, &f->kinds,
                             &f->origins };
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        sl_buf_free(bufs[i]);
    sl_intern_free(f->strings);
    sl_arena_free(f->arena);
    memset(f, 0, sizeof(*f));
}

sl_status
sl_blob_functions_add(sl_blob_functions *f, const sl_function *one)
{
    uint32_t name, file;
    sl_status status =
        sl_intern_id(f->strings, one->name, one->name_len, &name);
    if (status == SL_OK)
        status = sl_intern_id(f->strings, one->file, one->file_len, &file);
    if (status < 0)
        return status;
    sl_buf_put_varint(&f->names, name);
    sl_buf_put_varint(&f->files, file);
    sl_buf_put_varint(&f->lines, one->line);
    sl_buf_put_varint(&f->kinds, one->kind);
    sl_buf_put_varint(&f->origins, one->origin);
    f->count++;
    return SL_OK;
}

static void
put_meta(sl_buf *out, const sl_meta *meta, size_t count)
{
    sl_buf_put_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        sl_buf_put_varint(out, meta[i].key_len);
        sl_buf_put(out, meta[i].key, meta[i].key_len);
        if (meta[i].text == NULL) {
            sl_buf_put_u8(out, SL_BLOB_INTEGER);
            sl_buf_put_varint(out, sl_zigzag(meta[i].number));
        } else {
            sl_buf_put_u8(out, SL_BLOB_TEXT);
            sl_buf_put_varint(out, meta[i].text_len);
            sl_buf_put(out, meta[i].text, meta[i].text_len);
        }
    }
}

static void
put_length(void *ctx, const char *str, size_t len)
{
    (void)str;
    sl_buf_put_varint(ctx, len);
}

static void
put_text(void *ctx, const char *str, size_t len)
{
    sl_buf_put(ctx, str, len);
}

void
sl_blob_put_column(sl_buf *out, const sl_buf *column)
{
    if (column->status < 0)
        out->status = column->status;
    sl_buf_put(out, column->data, column->size);
}

void
sl_blob_put_section(sl_buf *out, unsigned tag, sl_buf *body)
{
    if (body->status < 0)
        out->status = body->status;
    sl_buf_put_varint(out, tag);
    sl_buf_put_varint(out, body->size);
    sl_buf_put(out, body->data, body->size);
    body->size = 0;
}

uint64_t
sl_blob_quantum(uint64_t wall)
{
    return wall < 1000000 ? 1 : wall < 10000000 ? 10 : 100;
}

void
sl_blob_put_head(sl_buf *out, sl_buf *body, const sl_meta *meta,
                 size_t meta_count, sl_blob_functions *functions)
{
    static const uint8_t version[] = { SL_BLOB_VERSION, 0, 0, 0 };

    sl_buf_put(out, SL_BLOB_MAGIC, SL_BLOB_MAGIC_SIZE);
    sl_buf_put(out, version, sizeof(version));

    put_meta(body, meta, meta_count);
    sl_blob_put_section(out, SL_BLOB_META, body);

    sl_buf_put_varint(body, sl_intern_count(functions->strings));
    sl_intern_each(functions->strings, put_length, body);
    sl_intern_each(functions->strings, put_text, body);
    sl_blob_put_section(out, SL_BLOB_STRINGS, body);

    sl_buf_put_varint(body, functions->count);
    sl_blob_put_column(body, &functions->names);
    sl_blob_put_column(body, &functions->files);
    sl_blob_put_column(body, &functions->lines);
    sl_blob_put_column(body, &functions->kinds);
    sl_blob_put_column(body, &functions->origins);
    sl_blob_put_section(out, SL_BLOB_FUNCTIONS, body);
}
