/* utf8.h - one valid sequence at a time (RFC 3629). */
#ifndef SL_CORE_UTF8_H
#define SL_CORE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the valid sequence at `text`, of which `left` bytes are there; 0:
 * there is none. *code is its code point. */
static inline size_t
sl_utf8_sequence(const char *text, size_t left, uint32_t *code)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const uint8_t *s = (const uint8_t *)text;
    size_t n = s[0] < 0x80   ? 1
               : s[0] < 0xC2 ? 0
               : s[0] < 0xE0 ? 2
               : s[0] < 0xF0 ? 3
               : s[0] < 0xF5 ? 4
                             : 0;

    if (n == 0 || n > left)
        return 0;
    *code = n == 1 ? s[0] : s[0] & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3Fu);
    }
    if (*code < least[n] || *code > 0x10FFFF ||
        (*code >= 0xD800 && *code < 0xE000))
        return 0;
    return n;
}

/* The most bytes of a text, at most `max`, that end no sequence in its
 * middle. */
static inline size_t
sl_utf8_cut(const char *text, size_t len, size_t max)
{
    if (len <= max)
        return len;
    for (size_t back = 0; back < 4 && back < max; back++) {
        if (((uint8_t)text[max - back] & 0xC0) != 0x80)
            return max - back;
    }
    return max;
}

#endif /* SL_CORE_UTF8_H */
