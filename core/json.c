/* JSON written straight into a buffer. */
#include "json.h"
#include "utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
json_value(sl_json *json)
{
    sl_buf_flow(json->out);
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

static void
json_text(sl_buf *out, const char *str, size_t len)
{
    char escape[8];
    size_t plain = 0;

    sl_buf_put_u8(out, '"');
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t code = 0xFFFD;
        n = sl_utf8_sequence(str + i, len - i, &code);
        if (n != 0 && code >= 0x20 && code != 0x7F && code != '"' &&
            code != '\\' && code != '<' && code != '>' && code != '&' &&
            code != 0x2028 && code != 0x2029)
            continue;
        sl_buf_put(out, str + plain, i - plain);
        if (n == 0) {
            n = 1;
            code = 0xFFFD;
        }
        if (code == '"' || code == '\\')
            snprintf(escape, sizeof(escape), "\\%c", (char)code);
        else
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)code);
        sl_buf_put_str(out, escape);
        plain = i + n;
    }
    if (len > plain) /* an empty text may be NULL */
        sl_buf_put(out, str + plain, len - plain);
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

    do /* millions of them: printf takes four times as long */
        *--at = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    sl_buf_flow(json->out);
    if (json->comma)
        *--at = ',';
    json->comma = true;
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
sl_json_real(sl_json *json, const char *key, double value, int digits)
{
    char text[32];
    snprintf(text, sizeof(text), "%.*g", digits, value);
    sl_json_key(json, key);
    sl_json_raw(json, text);
}

void
sl_json_text(sl_json *json, const char *key, const char *value)
{
    sl_json_key(json, key);
    sl_json_str(json, value, strlen(value));
}
