/* Bytes that a function handed out, given back. */
#include "slowlens/bytes.h"

void
sl_bytes_free(sl_bytes *bytes)
{
    if (bytes == NULL)
        return;
    if (bytes->data != NULL)
        bytes->alloc.give(bytes->alloc.ctx, bytes->data);
    *bytes = (sl_bytes){ 0 };
}
