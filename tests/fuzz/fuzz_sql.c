/* Any bytes as SQL or a URL, in any dialect and any room: what is written fits,
 * is UTF-8 without control characters, and a shape is its own shape. */
#include "sql_lexer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
demand(bool truth)
{
    if (!truth)
        abort();
}

static void
check_text(const char *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;

    for (size_t i = 0; i < len;) {
        size_t one = sl_utf8_length(at + i, len - i);
        demand(one > 0 && at[i] >= ' ' && at[i] != 0x7F);
        i += one;
    }
    demand(memchr(text, '\'', len) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t rooms[] = { 0, 7, 8, 20, 61, 300, 4096 };

    if (size == 0)
        return 0;
    sl_sql_dialect dialect = data[0] % 6;
    const char *sql = (const char *)data + 1;
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        size_t room = rooms[i];
        char *out = malloc(room + 1), *again = malloc(room + 1);
        demand(out != NULL && again != NULL);
        size_t len = sl_sql_shape(sql, size - 1, dialect, out, room);
        demand(len <= room);
        check_text(out, len);
        size_t second = sl_sql_shape(out, len, dialect, again, room);
        demand(second == len && memcmp(out, again, len) == 0);
        len = sl_sql_names(sql, size - 1, dialect, out, room);
        demand(len <= room);
        demand(sl_url_host(sql, size - 1, out, room) <= room);
        free(out);
        free(again);
    }
    return 0;
}
