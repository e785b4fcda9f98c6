/* varint.h - LEB128 integers, the only number form inside a blob.
 *
 *   value 300 = 0b1_0010_1100  ->  AC 02   (7 bits per byte, low first,
 *                                           top bit set on all but the last)
 *
 * Signed values are zigzagged first (0, -1, 1, -2 -> 0, 1, 2, 3), as in
 * Protocol Buffers' sint64.
 */
#ifndef SL_CORE_VARINT_H
#define SL_CORE_VARINT_H

#include "slowlens/status.h"

#include <stddef.h>
#include <stdint.h>

#define SL_VARINT_MAX 10 /* bytes a uint64_t can need */

/* A read-only window that only ever shrinks. */
typedef struct {
    const uint8_t *pos;
    const uint8_t *end;
} sl_reader;

/* One over `size` bytes; of none, `bytes` may be NULL. */
static inline sl_reader
sl_reader_over(const void *bytes, size_t size)
{
    const uint8_t *pos = bytes;
    return (sl_reader){ pos, size == 0 ? pos : pos + size };
}

/* Writes `value` at `dst`, which has room for SL_VARINT_MAX bytes. Returns
 * the number of bytes written, 1 to SL_VARINT_MAX. Cannot fail. */
static inline size_t
sl_varint_put(uint8_t *dst, uint64_t value)
{
    size_t n = 0;
    while (value >= 0x80) {
        dst[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    dst[n++] = (uint8_t)value;
    return n;
}

/* Reads one value and moves past it. On SL_ECORRUPT (ends early, or does not
 * fit 64 bits) neither the reader nor *out has changed. */
static inline sl_status
sl_varint_get(sl_reader *reader, uint64_t *out)
{
    uint64_t value = 0;
    const uint8_t *pos = reader->pos;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (pos == reader->end)
            return SL_ECORRUPT;
        uint64_t byte = *pos++;
        if (shift == 63 && byte > 1)
            return SL_ECORRUPT;
        value |= (byte & 0x7F) << shift;
        if (byte < 0x80) {
            reader->pos = pos;
            *out = value;
            return SL_OK;
        }
    }
    return SL_ECORRUPT;
}

/* Reads a value that must not exceed `max`; else SL_ECORRUPT, unmoved. */
static inline sl_status
sl_varint_get_max(sl_reader *reader, uint64_t max, uint64_t *out)
{
    sl_reader at = *reader;
    uint64_t value;

    /* One byte is the rule. */
    if (at.pos != at.end && *at.pos < 0x80) {
        if (*at.pos > max)
            return SL_ECORRUPT;
        *out = *at.pos;
        reader->pos = at.pos + 1;
        return SL_OK;
    }
    if (sl_varint_get(&at, &value) < 0 || value > max)
        return SL_ECORRUPT;
    *reader = at;
    *out = value;
    return SL_OK;
}

static inline uint64_t
sl_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

static inline int64_t
sl_unzigzag(uint64_t value)
{
    return (int64_t)((value >> 1) ^ (0 - (value & 1)));
}

#endif /* SL_CORE_VARINT_H */
