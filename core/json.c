#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
json_value(sl_json *json)
{
    if (json->comma)
        sl_buf_put_u8(json->out, ',');
    json->comma = true;
}

void
sl_json_open(sl_json *json, char bracket)
{
    json_value(json);
    sl_buf_put_u8(json->out, (uint8_t)bracket);
    json->comma = false;
}

void
sl_json_close(sl_json *json, char bracket)
{
    sl_buf_put_u8(json->out, (uint8_t)bracket);
    json->comma = true;
}

/* Length of the valid UTF-8 sequence at `s` (RFC 3629), 0 if there is none;
 * *cp is its code point. */
static size_t
utf8_sequence(const uint8_t *s, size_t left, uint32_t *cp)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = s[0] < 0x80   ? 1
               : s[0] < 0xC2 ? 0
               : s[0] < 0xE0 ? 2
               : s[0] < 0xF0 ? 3
               : s[0] < 0xF5 ? 4
                             : 0;

    if (n == 0 || n > left)
        return 0;
    *cp = n == 1 ? s[0] : s[0] & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        *cp = *cp << 6 | (s[i] & 0x3Fu);
    }
    if (*cp < least[n] || *cp > 0x10FFFF || (*cp >= 0xD800 && *cp < 0xE000))
        return 0;
    return n;
}

static void
json_text(sl_buf *out, const char *str, size_t len)
{
    const uint8_t *s = (const uint8_t *)str;
    char escape[8];

    sl_buf_put_u8(out, '"');
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t cp = 0xFFFD;
        n = utf8_sequence(s + i, len - i, &cp);
        if (n == 0) {
            n = 1;
            sl_buf_put_str(out, "\\ufffd");
        } else if (cp == '"' || cp == '\\') {
            sl_buf_put_u8(out, '\\');
            sl_buf_put_u8(out, (uint8_t)cp);
        } else if (cp < 0x20 || cp == 0x7F || cp == '<' || cp == '>' ||
                   cp == '&' || cp == 0x2028 || cp == 0x2029) {
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)cp);
            sl_buf_put_str(out, escape);
        } else {
            sl_buf_put(out, s + i, n);
        }
    }
    sl_buf_put_u8(out, '"');
}

void
sl_json_key_n(sl_json *json, const char *key, size_t len)
{
    json_value(json);
    json_text(json->out, key, len);
    sl_buf_put_u8(json->out, ':');
    json->comma = false;
}

void
sl_json_key(sl_json *json, const char *key)
{
    sl_json_key_n(json, key, strlen(key));
}

void
sl_json_str(sl_json *json, const char *str, size_t len)
{
    json_value(json);
    json_text(json->out, str, len);
}

void
sl_json_u64(sl_json *json, uint64_t value)
{
    char digits[24], *at = digits + sizeof(digits);

    json_value(json);
    do /* millions of them: printf takes four times as long */
        *--at = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    sl_buf_put(json->out, at, (size_t)(digits + sizeof(digits) - at));
}

void
sl_json_i64(sl_json *json, int64_t value)
{
    char digits[24];
    json_value(json);
    snprintf(digits, sizeof(digits), "%" PRId64, value);
    sl_buf_put_str(json->out, digits);
}

void
sl_json_bool(sl_json *json, bool value)
{
    json_value(json);
    sl_buf_put_str(json->out, value ? "true" : "false");
}

void
sl_json_raw(sl_json *json, const char *value)
{
    json_value(json);
    sl_buf_put_str(json->out, value);
}

void
sl_json_number(sl_json *json, const char *key, uint64_t value)
{
    sl_json_key(json, key);
    sl_json_u64(json, value);
}

void
sl_json_text(sl_json *json, const char *key, const char *value)
{
    sl_json_key(json, key);
    sl_json_str(json, value, strlen(value));
}
