/* The table of exports, and how one is written. */
#include "exporters.h"
#include "framed.h"

#include <string.h>

/* Bytes of an export whose length nobody bounds: what a real profile needs is
 * far below; what a made-up one could be made to give is above. */
#define BYTES_LEAST ((uint64_t)64 << 20)
#define BYTES_A_ROW ((uint64_t)2 << 10)
#define BYTES_MOST  ((uint64_t)1 << 30)

typedef struct {
    sl_export_format format;
    void (*put)(const sl_profile *profile, sl_buf *out);
} row;

/* Formats that have something of their own for what was asked of others; in all
 * others that stands as frames. */
static const char *const with_spans[] = { "chrome", "gecko", "json", "text" };

static const row table[] = {
#define XX(name, ending, media_type, title, counts)                            \
    { { #name, ending, media_type, title, counts }, sl_exporter_##name },
    SL_EXPORT_MAP(XX)
#undef XX
};

enum { ROWS = sizeof(table) / sizeof(table[0]) };

const sl_export_format *
sl_export_at(size_t i)
{
    return i < ROWS ? &table[i].format : NULL;
}

const sl_export_format *
sl_export_find(const char *name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(table[i].format.name, name) == 0)
            return &table[i].format;
    }
    return NULL;
}

const char *
sl_export_counts(const sl_export_format *format, const sl_profile *profile)
{
    bool counts = format != NULL && format->counts[0] != '\0';

    if (!counts)
        return "";
    return sl_profile_is_sampled(profile) ? "samples" : format->counts;
}

static size_t
export_max(const sl_profile *profile, size_t max_bytes)
{
    uint64_t rows =
        (uint64_t)sl_profile_node_count(profile) +
        sl_profile_function_count(profile) + sl_profile_line_count(profile) +
        sl_profile_stretch_count(profile) + sl_profile_span_count(profile);
    uint64_t most = BYTES_LEAST + BYTES_A_ROW * rows;

    if (max_bytes != 0)
        return max_bytes;
    return (size_t)(most < BYTES_MOST ? most : BYTES_MOST);
}

static bool
wants_frames(const sl_export_format *format)
{
    for (size_t i = 0; i < sizeof(with_spans) / sizeof(with_spans[0]); i++) {
        if (strcmp(format->name, with_spans[i]) == 0)
            return false;
    }
    return true;
}

/* Puts the export into a buffer that has its limit and perhaps a drain. */
static sl_status
export_put(const sl_profile *profile, const sl_export_format *format,
           sl_buf *out)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (format != &table[i].format)
            continue;
        sl_profile *framed = NULL;
        if (wants_frames(format))
            out->status = sl_profile_framed(profile, &framed);
        if (out->status == SL_OK)
            table[i].put(framed != NULL ? framed : profile, out);
        sl_profile_free(framed);
        sl_buf_drain_now(out);
        return out->status;
    }
    return SL_ERANGE;
}

sl_status
sl_export_stream(const sl_profile *profile, const sl_export_format *format,
                 size_t max_bytes, sl_export_write write, void *ctx)
{
    sl_buf buf;

    sl_buf_init(&buf, NULL, export_max(profile, max_bytes));
    sl_buf_drain_to(&buf, write, ctx);
    sl_status status = export_put(profile, format, &buf);
    sl_buf_free(&buf);
    return status;
}

sl_status
sl_export_bytes(const sl_profile *profile, const sl_export_format *format,
                size_t max_bytes, sl_bytes *out)
{
    sl_buf buf;

    sl_buf_init(&buf, NULL, export_max(profile, max_bytes));
    sl_status status = export_put(profile, format, &buf);
    if (status < 0) {
        sl_buf_free(&buf);
        return status;
    }
    return sl_buf_finish(&buf, out);
}
