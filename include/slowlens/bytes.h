/* slowlens/bytes.h - a block of bytes handed out by the library.
 *
 * Whoever receives one through an `out` argument owns it and gives it back
 * with sl_bytes_free. A zeroed sl_bytes is empty and valid.
 */
#ifndef SL_BYTES_H
#define SL_BYTES_H

#include "slowlens/alloc.h"

#include <stdint.h>

typedef struct {
    uint8_t *data;  /* NULL when empty */
    size_t size;    /* bytes in use */
    sl_alloc alloc; /* where `data` came from */
} sl_bytes;

/* Gives the block back and empties it. NULL and empty are fine. */
void sl_bytes_free(sl_bytes *bytes);

#endif /* SL_BYTES_H */
