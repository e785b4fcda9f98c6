/* blob_meta.c - a blob with other metadata: all its other sections as they
 * are, known or not. */
#include "blob.h"
#include "blob_put.h"
#include "compress.h"
#include "varint.h"

#include "slowlens/profile.h"

#include <string.h>

/* Finds what stands behind META. */
static sl_status
skip_meta(const sl_buf *content, sl_reader *rest)
{
    sl_reader in = sl_reader_over(content->data, content->size);
    uint64_t tag, size;

    if (content->size < SL_BLOB_HEADER_SIZE ||
        memcmp(in.pos, SL_BLOB_MAGIC, SL_BLOB_MAGIC_SIZE) != 0)
        return SL_ECORRUPT;
    if (in.pos[8] == 0 || in.pos[8] > SL_BLOB_VERSION || in.pos[9] != 0)
        return SL_EVERSION;
    in.pos += SL_BLOB_HEADER_SIZE;
    if (sl_varint_get(&in, &tag) < 0 || tag != SL_BLOB_META ||
        sl_varint_get_max(&in, (uint64_t)(in.end - in.pos), &size) < 0)
        return SL_ECORRUPT;
    in.pos += size;
    *rest = in;
    return SL_OK;
}

sl_status
sl_blob_with_meta(const void *blob, size_t size, const sl_meta *meta,
                  size_t meta_count, int level, const sl_alloc *alloc,
                  sl_bytes *out)
{
    sl_buf content, next, body, frame;
    sl_reader rest;

    if (meta_count > SL_BLOB_MAX_META)
        return SL_ELIMIT;
    sl_buf_init(&content, alloc, 0);
    sl_buf_init(&next, alloc, SL_BLOB_MAX_CONTENT);
    sl_buf_init(&body, alloc, SL_BLOB_MAX_CONTENT);
    sl_buf_init(&frame, alloc, 0);

    sl_status status =
        sl_decompress(&content, blob, size, SL_BLOB_MAX_CONTENT, 0);
    if (status == SL_OK)
        status = skip_meta(&content, &rest);
    if (status == SL_OK) {
        sl_buf_put(&next, content.data, SL_BLOB_HEADER_SIZE);
        sl_blob_put_items(&body, meta, meta_count);
        sl_blob_put_section(&next, SL_BLOB_META, &body);
        sl_buf_put(&next, rest.pos, (size_t)(rest.end - rest.pos));
        status = next.status;
    }
    if (status == SL_OK)
        status =
            sl_compress(&frame, next.data, next.size, level != 0 ? level : 3);
    if (status == SL_OK)
        status = sl_buf_finish(&frame, out);
    sl_buf_free(&content);
    sl_buf_free(&next);
    sl_buf_free(&body);
    sl_buf_free(&frame);
    return status;
}
