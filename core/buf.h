/* buf.h - bytes that grow at the end.
 *
 * The first failure sticks: after it every put does nothing, and
 * sl_buf_finish reports it. So a writer is straight-line code.
 *
 * A buffer may FLOW: with a drain, what stands in it is handed on and
 * forgotten whenever it is more than a chunk, at places where its writer says
 * that it will not touch it again. So a document of any length takes the
 * memory of a chunk.
 */
#ifndef SL_CORE_BUF_H
#define SL_CORE_BUF_H

#include "slowlens/alloc.h"
#include "slowlens/bytes.h"
#include "slowlens/status.h"

#include <stddef.h>
#include <stdint.h>

/* Takes bytes that leave a buffer. A failure sticks to the buffer. */
typedef sl_status (*sl_buf_drain)(void *ctx, const void *bytes, size_t size);

typedef struct {
    sl_alloc alloc;
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t limit; /* bytes it may hold at most, drained ones included */
    sl_status status;
    sl_buf_drain drain; /* NULL: it only grows */
    void *drain_ctx;
    size_t drained; /* bytes that have left */
} sl_buf;

/* A buffer with a drain hands on what is more than this. */
#define SL_BUF_CHUNK ((size_t)64 << 10)

/* An empty buffer. `alloc` is copied; NULL means libc. `limit` 0: no limit
 * of its own. Takes no memory yet. */
void sl_buf_init(sl_buf *buf, const sl_alloc *alloc, size_t limit);

/* Gives the memory back. Fine on a zeroed, failed or finished buffer. */
void sl_buf_free(sl_buf *buf);

/* Gives an empty buffer a drain. */
void sl_buf_drain_to(sl_buf *buf, sl_buf_drain drain, void *ctx);

/* Hands all on that stands in a buffer with a drain. */
void sl_buf_drain_now(sl_buf *buf);

/* The writer is done with what stands in the buffer: hands it on if there is
 * a drain and it is worth it. */
static inline void
sl_buf_flow(sl_buf *buf)
{
    if (buf->size >= SL_BUF_CHUNK && buf->drain != NULL)
        sl_buf_drain_now(buf);
}

void sl_buf_put(sl_buf *buf, const void *bytes, size_t size);
void sl_buf_put_u8(sl_buf *buf, uint8_t value);
void sl_buf_put_varint(sl_buf *buf, uint64_t value);
void sl_buf_put_str(sl_buf *buf, const char *str); /* without its NUL */

/* Room for `size` more bytes at the end, or NULL after a failure. The caller
 * fills it and says with sl_buf_used how much it used. */
uint8_t *sl_buf_room(sl_buf *buf, size_t size);
void sl_buf_used(sl_buf *buf, size_t size);

/* Moves the bytes to *out and empties the buffer; or returns the failure
 * that stuck (SL_ENOMEM, SL_ELIMIT), frees, and leaves *out alone. */
sl_status sl_buf_finish(sl_buf *buf, sl_bytes *out);

#endif /* SL_CORE_BUF_H */
