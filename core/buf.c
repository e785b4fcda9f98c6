/* Bytes that grow at the end, or flow on. */
#include "buf.h"

#include "varint.h"

#include <string.h>

void
sl_buf_init(sl_buf *buf, const sl_alloc *alloc, size_t limit)
{
    *buf = (sl_buf){
        .alloc = alloc != NULL ? *alloc : sl_alloc_libc,
        .limit = limit != 0 ? limit : SIZE_MAX / 4,
    };
}

void
sl_buf_free(sl_buf *buf)
{
    if (buf->data != NULL)
        buf->alloc.give(buf->alloc.ctx, buf->data);
    buf->data = NULL;
    buf->size = buf->capacity = 0;
}

uint8_t *
sl_buf_room(sl_buf *buf, size_t size)
{
    if (buf->status < 0)
        return NULL;
    if (size > buf->limit - buf->size - buf->drained) {
        buf->status = SL_ELIMIT;
        return NULL;
    }
    if (buf->data != NULL && buf->capacity - buf->size >= size)
        return buf->data + buf->size;

    size_t capacity = buf->capacity < 256 ? 256 : buf->capacity * 2;
    if (capacity < buf->size + size)
        capacity = buf->size + size;

    uint8_t *data = buf->alloc.take(buf->alloc.ctx, capacity);
    if (data == NULL) {
        buf->status = SL_ENOMEM;
        return NULL;
    }
    if (buf->size > 0)
        memcpy(data, buf->data, buf->size);
    if (buf->data != NULL)
        buf->alloc.give(buf->alloc.ctx, buf->data);
    buf->data = data;
    buf->capacity = capacity;
    return data + buf->size;
}

void
sl_buf_used(sl_buf *buf, size_t size)
{
    if (buf->status >= 0)
        buf->size += size;
}

void
sl_buf_put(sl_buf *buf, const void *bytes, size_t size)
{
    uint8_t *room = sl_buf_room(buf, size);
    if (room == NULL || size == 0)
        return;
    memcpy(room, bytes, size);
    buf->size += size;
}

void
sl_buf_put_u8(sl_buf *buf, uint8_t value)
{
    sl_buf_put(buf, &value, 1);
}

void
sl_buf_put_varint(sl_buf *buf, uint64_t value)
{
    uint8_t *room = sl_buf_room(buf, SL_VARINT_MAX);
    if (room != NULL)
        buf->size += sl_varint_put(room, value);
}

void
sl_buf_put_str(sl_buf *buf, const char *str)
{
    sl_buf_put(buf, str, strlen(str));
}

void
sl_buf_drain_to(sl_buf *buf, sl_buf_drain drain, void *ctx)
{
    buf->drain = drain;
    buf->drain_ctx = ctx;
}

void
sl_buf_drain_now(sl_buf *buf)
{
    if (buf->status < 0 || buf->drain == NULL || buf->size == 0)
        return;
    sl_status status = buf->drain(buf->drain_ctx, buf->data, buf->size);
    if (status < 0)
        buf->status = status;
    buf->drained += buf->size;
    buf->size = 0;
}

sl_status
sl_buf_finish(sl_buf *buf, sl_bytes *out)
{
    if (buf->status < 0) {
        sl_buf_free(buf);
        return buf->status;
    }
    *out = (sl_bytes){ buf->data, buf->size, buf->alloc };
    buf->data = NULL;
    buf->size = buf->capacity = 0;
    return SL_OK;
}
