/* Every export of whatever the reader takes: in pieces it is what it is as a
 * whole, its cap holds, and what should be text is valid UTF-8. */
#include "fuzz.h"
#include "utf8.h"

#include "slowlens/export.h"

#include <string.h>

enum { MOST = 4 << 20 };

/* The pieces, compared with the whole. */
typedef struct {
    const sl_bytes *whole;
    size_t at;
} pieces;

static sl_status
compare(void *ctx, const void *bytes, size_t size)
{
    pieces *p = ctx;
    demand(size <= p->whole->size - p->at);
    demand(memcmp(p->whole->data + p->at, bytes, size) == 0);
    p->at += size;
    return SL_OK;
}

static sl_status
count(void *ctx, const void *bytes, size_t size)
{
    (void)bytes;
    *(size_t *)ctx += size;
    return SL_OK;
}

static void
check_text(const sl_bytes *out)
{
    uint32_t code;
    for (size_t i = 0, n; i < out->size; i += n) {
        n = sl_utf8_sequence((const char *)out->data + i, out->size - i, &code);
        demand(n > 0);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const sl_export_format *format;
    sl_profile *profile = fuzz_decode(data, size);

    if (profile == NULL)
        return 0;
    for (size_t i = 0; (format = sl_export_at(i)) != NULL; i++) {
        sl_bytes out = { 0 };
        size_t written = 0;
        sl_status status = sl_export_bytes(profile, format, MOST, &out);
        demand(status == SL_OK || status == SL_ELIMIT);
        if (status == SL_OK) {
            pieces p = { &out, 0 };
            demand(sl_export_stream(profile, format, MOST, compare, &p) ==
                   SL_OK);
            demand(p.at == out.size);
            if (strcmp(format->name, "pprof") != 0 &&
                strcmp(format->name, "pstats") != 0)
                check_text(&out);
            sl_bytes_free(&out);
        }
        status = sl_export_stream(profile, format, 2000, count, &written);
        demand(written <= 2000);
        demand(status == SL_OK || status == SL_ELIMIT);
    }
    sl_profile_free(profile);
    return 0;
}
