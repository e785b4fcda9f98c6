/* Records of a segment file, one after the other: see slowlens/segment.h. */
#include "slowlens/segment.h"

#include <string.h>

#define MAGIC     0x184D2A50u
#define MAGIC_END 16u
#define OWN       (SL_RECORD_HEAD - 8) /* of the payload, the head's part */
#define FOOTER    "sl1f"

static void
put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t
get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
           (uint32_t)at[3] << 24;
}

static uint64_t
get_u64(const uint8_t *at)
{
    return get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

/* CRC-32 as in ISO 3309 (zlib's crc32), four bits at a time: heads are short,
 * and footers few. */
static uint32_t
crc32_add(uint32_t crc, const uint8_t *data, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c
    };

    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc = table[(crc ^ data[i]) & 15] ^ crc >> 4;
        crc = table[(crc ^ (uint32_t)data[i] >> 4) & 15] ^ crc >> 4;
    }
    return ~crc;
}

/* What stands at offset 8. */
static uint32_t
record_crc(const uint8_t *head, const void *inside, size_t inside_size)
{
    uint32_t crc = crc32_add(0, head, 8);
    crc = crc32_add(crc, head + 12, SL_RECORD_HEAD - 12);
    return crc32_add(crc, inside, inside_size);
}

static void
head_begin(uint8_t *head, sl_record_kind kind, size_t inside, size_t outside)
{
    memset(head, 0, SL_RECORD_HEAD);
    put_u32(head, MAGIC + (uint32_t)kind);
    put_u32(head + 4, (uint32_t)(OWN + inside));
    put_u32(head + 12, (uint32_t)outside);
}

sl_status
sl_record_head(uint8_t head[SL_RECORD_HEAD], sl_record_kind kind,
               const uint8_t *id, const void *inside, size_t inside_size,
               size_t outside_size)
{
    if (kind < 1 || kind >= MAGIC_END || inside_size > SL_RECORD_MAX ||
        outside_size > SL_RECORD_MAX)
        return SL_ERANGE;
    head_begin(head, kind, inside_size, outside_size);
    if (id != NULL)
        memcpy(head + 16, id, SL_ID_SIZE);
    put_u32(head + 8, record_crc(head, inside, inside_size));
    return SL_OK;
}

sl_status
sl_record_erase(uint8_t head[SL_RECORD_HEAD], uint64_t size)
{
    if (size < SL_RECORD_HEAD || size - SL_RECORD_HEAD > 2 * SL_RECORD_MAX)
        return SL_ERANGE;
    head_begin(head, SL_RECORD_ERASED, (size_t)size - SL_RECORD_HEAD, 0);
    put_u32(head + 8, record_crc(head, "", 0));
    return SL_OK;
}

sl_status
sl_record_read(const void *data, size_t size, sl_record *out)
{
    const uint8_t *head = data;

    out->size = SL_RECORD_HEAD;
    if (size < SL_RECORD_HEAD)
        return SL_EMORE;
    uint32_t kind = get_u32(head) - MAGIC, payload = get_u32(head + 4);
    if (kind < 1 || kind >= MAGIC_END || payload < OWN)
        return SL_ECORRUPT;

    sl_record found = { .kind = (sl_record_kind)kind,
                        .inside = payload - OWN,
                        .outside = get_u32(head + 12) };
    uint32_t covered = found.inside;
    if (kind == SL_RECORD_ERASED)
        covered = 0; /* whoever erases writes its head first */
    else if (found.inside > SL_RECORD_MAX)
        return SL_ECORRUPT;
    if (found.inside > 2 * SL_RECORD_MAX || found.outside > SL_RECORD_MAX)
        return SL_ECORRUPT;
    if (size - SL_RECORD_HEAD < covered) {
        out->size = (uint64_t)SL_RECORD_HEAD + covered;
        return SL_EMORE;
    }
    if (get_u32(head + 8) != record_crc(head, head + SL_RECORD_HEAD, covered))
        return SL_ECORRUPT;
    memcpy(found.id, head + 16, SL_ID_SIZE);
    found.size = (uint64_t)SL_RECORD_HEAD + found.inside + found.outside;
    *out = found;
    return SL_OK;
}

bool
sl_footer_end_read(const void *data, size_t size, sl_footer_end *out)
{
    if (size < SL_FOOTER_END)
        return false;
    const uint8_t *at = (const uint8_t *)data + size - SL_FOOTER_END;
    if (memcmp(at + 24, FOOTER, 4) != 0)
        return false;
    *out = (sl_footer_end){ .oldest_ms = get_u64(at),
                            .newest_ms = get_u64(at + 8),
                            .profiles = get_u32(at + 16),
                            .size = get_u32(at + 20) };
    return out->size >= SL_RECORD_HEAD + SL_FOOTER_END;
}

void
sl_footer_end_write(uint8_t data[SL_FOOTER_END], const sl_footer_end *end)
{
    put_u32(data, (uint32_t)end->oldest_ms);
    put_u32(data + 4, (uint32_t)(end->oldest_ms >> 32));
    put_u32(data + 8, (uint32_t)end->newest_ms);
    put_u32(data + 12, (uint32_t)(end->newest_ms >> 32));
    put_u32(data + 16, end->profiles);
    put_u32(data + 20, end->size);
    memcpy(data + 24, FOOTER, 4);
}

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* 26 digits of 5 bits hold 130: two bits stand before the id's first. */
void
sl_id_text(const uint8_t id[SL_ID_SIZE], char text[SL_ID_TEXT])
{
    for (int i = 0; i < SL_ID_TEXT; i++) {
        unsigned digit = 0;
        for (int bit = 5 * i - 2; bit < 5 * i + 3; bit++) {
            unsigned one =
                bit < 0 ? 0 : (unsigned)id[bit / 8] >> (7 - bit % 8) & 1u;
            digit = digit << 1 | one;
        }
        text[i] = digits[digit];
    }
}

bool
sl_id_parse(const char *text, size_t size, uint8_t id[SL_ID_SIZE])
{
    uint8_t bytes[SL_ID_SIZE] = { 0 };

    if (size != SL_ID_TEXT || text[0] < '0' || text[0] > '7')
        return false;
    for (int i = 0; i < SL_ID_TEXT; i++) {
        const char *digit = memchr(digits, text[i], sizeof(digits) - 1);
        if (digit == NULL)
            return false;
        unsigned value = (unsigned)(digit - digits);
        for (int bit = 5 * i - 2, k = 4; k >= 0; bit++, k--) {
            if (bit >= 0)
                bytes[bit / 8] |= (uint8_t)((value >> k & 1) << (7 - bit % 8));
        }
    }
    memcpy(id, bytes, SL_ID_SIZE);
    return true;
}

uint64_t
sl_id_ms(const uint8_t id[SL_ID_SIZE])
{
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id[i];
    return ms;
}
