/* buf.h - bytes that grow at the end.
 *
 * The first failure sticks: after it every put does nothing, and
 * sl_buf_finish reports it. So a writer is straight-line code.
 */
#ifndef SL_CORE_BUF_H
#define SL_CORE_BUF_H

#include "slowlens/alloc.h"
#include "slowlens/bytes.h"
#include "slowlens/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct {
    sl_alloc alloc;
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t limit; /* bytes it may hold at most */
    sl_status status;
} sl_buf;

/* An empty buffer. `alloc` is copied; NULL means libc. `limit` 0: no limit
 * of its own. Takes no memory yet. */
void sl_buf_init(sl_buf *buf, const sl_alloc *alloc, size_t limit);

/* Gives the memory back. Fine on a zeroed, failed or finished buffer. */
void sl_buf_free(sl_buf *buf);

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
