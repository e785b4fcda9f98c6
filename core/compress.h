/* compress.h - the one door to zstd. */
#ifndef SL_CORE_COMPRESS_H
#define SL_CORE_COMPRESS_H

#include "buf.h"

#define SL_FRONT_BYTES 2048u

/* Appends `src` to `dst` as ONE standard zstd frame with its content size
 * and a content checksum. `level` as zstd's (3 is the default of the house).
 * Returns SL_ENOMEM, SL_ELIMIT, or SL_ECOMPRESS; `dst` may have grown. */
sl_status sl_compress(sl_buf *dst, const void *src, size_t size, int level);

/* The same; the first `front` bytes are blocks of their own where there is much
 * behind them: who wants no more than these (sl_unpack) decodes no more. */
sl_status sl_compress_front(sl_buf *dst, const void *src, size_t size,
                            size_t front, int level);

/* Appends the content of the one frame in `src` to `dst`. The content may
 * not exceed `limit` bytes, nor need a window of more than 128 MiB; the
 * frame's own claim about its size is not trusted.
 * When `want` is not 0, stops as soon as that many bytes are there, or what
 * can be had from the frame's first SL_FRONT_BYTES (nothing, at times): to read
 * what stands at the front.
 * Returns SL_ECORRUPT (not a frame, damaged, cut, or followed by anything),
 * SL_ELIMIT, SL_ENOMEM. */
sl_status sl_decompress(sl_buf *dst, const void *src, size_t size, size_t limit,
                        size_t want);

/* A context that is kept: making one costs more than what is in a small frame.
 * One caller at a time. */
typedef struct sl_unpacker sl_unpacker;

sl_status sl_unpacker_new(sl_unpacker **out, const sl_alloc *alloc);
void sl_unpacker_free(sl_unpacker *unpacker); /* NULL is fine */

/* As sl_decompress. */
sl_status sl_unpack(sl_unpacker *unpacker, sl_buf *dst, const void *src,
                    size_t size, size_t limit, size_t want);

#endif /* SL_CORE_COMPRESS_H */
