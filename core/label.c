/* Names as other people's formats and terminals can take them. */
#include "label.h"
#include "utf8.h"

#include <string.h>

void
sl_label_text(sl_buf *out, const char *text, size_t len, size_t max)
{
    size_t whole = len <= max ? len : sl_utf8_cut(text, len, max - 3);
    size_t plain = 0;

    for (size_t i = 0; i < whole;) {
        uint32_t code = 0;
        size_t n = sl_utf8_sequence(text + i, whole - i, &code);
        if (n != 0 && code >= 0x20 && (code < 0x7F || code > 0x9F)) {
            i += n;
            continue;
        }
        sl_buf_put(out, text + plain, i - plain);
        sl_buf_put_str(out, n == 0 ? "\xEF\xBF\xBD" : "?");
        i += n == 0 ? 1 : n;
        plain = i;
    }
    sl_buf_put(out, text + plain, whole - plain);
    if (whole < len)
        sl_buf_put_str(out, "...");
}

void
sl_label_name(sl_buf *out, const sl_function *f, size_t max)
{
    const char *start = f->file, *end = f->file + f->file_len;

    if (f->kind == SL_KIND_PYTHON && f->file_len > 0 && f->file[0] != '<') {
        if (f->file_len > 3 && memcmp(end - 3, ".py", 3) == 0)
            end -= 3;
        if (end - start > 9 && memcmp(end - 9, "/__init__", 9) == 0)
            end -= 9;
        for (const char *at = start; at < end; at++) {
            if (*at == '/' || *at == '\\')
                start = at + 1;
        }
        size_t stem = (size_t)(end - start), most = max / 2;
        sl_label_text(out, start, stem, most);
        sl_buf_put_u8(out, '.');
        max -= (stem < most ? stem : most) + 1;
    }
    sl_label_text(out, f->name, f->name_len, max);
}
