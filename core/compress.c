/* The one door to zstd: frames in and out, with caps. */
#include "compress.h"

#include <stdbool.h>
#include <zstd.h>

#define WINDOW_LOG_MAX 27 /* 128 MiB, zstd's own default limit */

/* Less than this behind the front costs no more to decode than the front. */
#define MUCH ((size_t)8 << 10)

static bool
compress_parts(ZSTD_CCtx *ctx, ZSTD_outBuffer *out, const void *src,
               size_t size, size_t front)
{
    ZSTD_inBuffer in = { src, front, 0 };

    ZSTD_CCtx_setPledgedSrcSize(ctx, size);
    if (front > 0 && size - front > MUCH &&
        ZSTD_compressStream2(ctx, out, &in, ZSTD_e_flush) != 0)
        return false;
    in.size = size;
    return ZSTD_compressStream2(ctx, out, &in, ZSTD_e_end) == 0;
}

/* A context that nobody uses: making one takes longer than compressing a small
 * profile. One is kept, whichever thread comes next. */
static ZSTD_CCtx *spare;

/* One that grew beyond this with a large profile is not kept. */
#define SPARE_BYTES ((size_t)4 << 20)

static ZSTD_CCtx *
context_take(void)
{
    ZSTD_CCtx *ctx = __atomic_exchange_n(&spare, NULL, __ATOMIC_ACQ_REL);
    return ctx != NULL ? ctx : ZSTD_createCCtx();
}

static void
context_give(ZSTD_CCtx *ctx)
{
    if (ZSTD_sizeof_CCtx(ctx) <= SPARE_BYTES &&
        ZSTD_CCtx_reset(ctx, ZSTD_reset_session_and_parameters) == 0)
        ctx = __atomic_exchange_n(&spare, ctx, __ATOMIC_ACQ_REL);
    ZSTD_freeCCtx(ctx); /* NULL is fine */
}

sl_status
sl_compress_front(sl_buf *dst, const void *src, size_t size, size_t front,
                  int level)
{
    ZSTD_CCtx *ctx = context_take();
    if (ctx == NULL)
        return SL_ENOMEM;

    ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);

    size_t bound = ZSTD_compressBound(size) + ZSTD_compressBound(front);
    uint8_t *room = sl_buf_room(dst, bound);
    if (room == NULL) {
        context_give(ctx);
        return dst->status;
    }

    ZSTD_outBuffer out = { room, bound, 0 };
    bool done = compress_parts(ctx, &out, src, size, front);
    context_give(ctx);
    if (!done)
        return SL_ECOMPRESS;
    sl_buf_used(dst, out.pos);
    return SL_OK;
}

sl_status
sl_compress(sl_buf *dst, const void *src, size_t size, int level)
{
    return sl_compress_front(dst, src, size, 0, level);
}

/* Runs the stream until it ends, `want` is reached, or something is wrong.
 * `part`: the input is not all of it, and its end is no fault. */
static sl_status
decompress_stream(ZSTD_DCtx *ctx, sl_buf *dst, ZSTD_inBuffer *in, size_t limit,
                  size_t want, bool part)
{
    const size_t step = ZSTD_DStreamOutSize();

    for (;;) {
        if (want != 0 && dst->size >= want)
            return SL_OK;
        if (dst->size > limit)
            return SL_ELIMIT;

        uint8_t *room = sl_buf_room(dst, step);
        if (room == NULL)
            return dst->status;

        ZSTD_outBuffer out = { room, step, 0 };
        size_t before = in->pos;
        size_t left = ZSTD_decompressStream(ctx, &out, in);
        if (ZSTD_isError(left))
            return SL_ECORRUPT;
        sl_buf_used(dst, out.pos);
        if (left == 0)
            return in->pos == in->size && !part ? SL_OK : SL_ECORRUPT;
        if (out.pos == 0 && in->pos == before)
            return part ? SL_OK : SL_ECORRUPT; /* wants more: cut off */
    }
}

struct sl_unpacker {
    sl_alloc alloc;
    ZSTD_DCtx *ctx;
};

/* As `spare`, for the other direction. */
static ZSTD_DCtx *spare_unpacks;

sl_status
sl_unpacker_new(sl_unpacker **out, const sl_alloc *alloc)
{
    const sl_alloc *from = alloc != NULL ? alloc : &sl_alloc_libc;
    sl_unpacker *unpacker = from->take(from->ctx, sizeof(*unpacker));
    if (unpacker == NULL)
        return SL_ENOMEM;
    ZSTD_DCtx *ctx =
        __atomic_exchange_n(&spare_unpacks, NULL, __ATOMIC_ACQ_REL);
    *unpacker = (sl_unpacker){ *from, ctx != NULL ? ctx : ZSTD_createDCtx() };
    if (unpacker->ctx == NULL) {
        sl_unpacker_free(unpacker);
        return SL_ENOMEM;
    }
    ZSTD_DCtx_setParameter(unpacker->ctx, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    *out = unpacker;
    return SL_OK;
}

void
sl_unpacker_free(sl_unpacker *unpacker)
{
    if (unpacker == NULL)
        return;
    ZSTD_DCtx *ctx = unpacker->ctx;
    if (ctx != NULL && ZSTD_sizeof_DCtx(ctx) <= SPARE_BYTES &&
        !ZSTD_isError(ZSTD_DCtx_reset(ctx, ZSTD_reset_session_and_parameters)))
        ctx = __atomic_exchange_n(&spare_unpacks, ctx, __ATOMIC_ACQ_REL);
    ZSTD_freeDCtx(ctx); /* NULL is fine */
    unpacker->alloc.give(unpacker->alloc.ctx, unpacker);
}

sl_status
sl_unpack(sl_unpacker *unpacker, sl_buf *dst, const void *src, size_t size,
          size_t limit, size_t want)
{
    /* A skippable or legacy frame would decode to nothing, silently. */
    if (size < 4 || ((const uint8_t *)src)[0] != 0x28)
        return SL_ECORRUPT;

    /* The frame before may have been left half-way. */
    ZSTD_DCtx_reset(unpacker->ctx, ZSTD_reset_session_only);
    bool part = want != 0 && size > SL_FRONT_BYTES;
    ZSTD_inBuffer in = { src, part ? SL_FRONT_BYTES : size, 0 };
    sl_status status =
        decompress_stream(unpacker->ctx, dst, &in, limit, want, part);
    if (status == SL_OK && want == 0 && dst->size > limit)
        status = SL_ELIMIT;
    return status;
}

sl_status
sl_decompress(sl_buf *dst, const void *src, size_t size, size_t limit,
              size_t want)
{
    sl_unpacker *unpacker;

    sl_status status = sl_unpacker_new(&unpacker, &dst->alloc);
    if (status < 0)
        return status;
    status = sl_unpack(unpacker, dst, src, size, limit, want);
    sl_unpacker_free(unpacker);
    return status;
}
