/* Format: perftools.profiles.Profile (profile.proto of github.com/google/pprof)
 * as a protocol buffer in a gzip member (RFC 1952) of stored blocks (RFC 1951):
 * readers want the wrapping, and our own files are the small ones.
 *
 * A function's system_name stays empty: pprof demangles a name that equals
 * it, and takes <lambda> for a C++ template. */
#include "exporters.h"
#include "label.h"
#include "stacks.h"
#include "varint.h"

#include <stdlib.h>
#include <string.h>

#define STORED_MAX   65535u
#define SAMPLE_TYPES 4

/* Strings of the document, in the order in which they are first wanted.
 * Function f has name 2f and file 2f+1 behind the fixed ones, so that nothing
 * has to be looked up. */
enum {
    STR_NONE,
    STR_CALLS,
    STR_COUNT,
    STR_WALL,
    STR_CPU,
    STR_GIL,
    STR_NANOSECONDS,
    STR_ROUTE,
    STR_TRACE,
    STR_THREAD,
    STR_MODE,
    STR_STRAND,
    STR_MAIN,
    STR_BESIDE,
    STR_ROUTE_VALUE,
    STR_TRACE_VALUE,
    STR_THREAD_VALUE,
    STR_MODE_VALUE,
    STR_FIXED
};

static void
put_key(sl_buf *out, unsigned field, unsigned wire)
{
    sl_buf_put_varint(out, (uint64_t)field << 3 | wire);
}

static void
put_number(sl_buf *out, unsigned field, uint64_t value)
{
    if (value == 0)
        return;
    put_key(out, field, 0);
    sl_buf_put_varint(out, value);
}

static void
put_bytes(sl_buf *out, unsigned field, const void *bytes, size_t size)
{
    put_key(out, field, 2);
    sl_buf_put_varint(out, size);
    sl_buf_put(out, bytes, size);
}

/* Ends the message in `part` as a field of `out`, and empties it. */
static void
put_message(sl_buf *out, unsigned field, sl_buf *part)
{
    if (part->status < 0)
        out->status = part->status;
    put_bytes(out, field, part->data, part->size);
    part->size = 0;
}

/* ---- gzip ---- */

/* The document flows through a gzip member of stored blocks. */
typedef struct {
    sl_buf *out;
    uint32_t table[256], crc, size;
} gzip;

static void
put_le(sl_buf *out, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        sl_buf_put_u8(out, (uint8_t)(value >> (8 * i)));
}

static void
gzip_begin(gzip *zip, sl_buf *out)
{
    static const uint8_t head[10] = { 0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255 };

    *zip = (gzip){ .out = out, .crc = 0xFFFFFFFFu };
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0xEDB88320u : 0);
        zip->table[i] = value;
    }
    sl_buf_put(out, head, sizeof(head));
}

static void
gzip_block(gzip *zip, const uint8_t *data, size_t size, bool last)
{
    sl_buf_put_u8(zip->out, last);
    put_le(zip->out, (uint32_t)size, 2);
    put_le(zip->out, ~(uint32_t)size, 2);
    sl_buf_put(zip->out, data, size);
    sl_buf_flow(zip->out);
    for (size_t i = 0; i < size; i++)
        zip->crc = zip->table[(zip->crc ^ data[i]) & 0xFF] ^ zip->crc >> 8;
    zip->size += (uint32_t)size;
}

/* The drain of the document: as many whole blocks as there are. */
static sl_status
gzip_take(void *ctx, const void *bytes, size_t size)
{
    gzip *zip = ctx;
    const uint8_t *at = bytes;

    while (size > 0) {
        size_t part = size < STORED_MAX ? size : STORED_MAX;
        gzip_block(zip, at, part, false);
        at += part;
        size -= part;
    }
    return zip->out->status;
}

static void
gzip_end(gzip *zip)
{
    gzip_block(zip, (const uint8_t *)"", 0, true);
    put_le(zip->out, ~zip->crc, 4);
    put_le(zip->out, zip->size, 4);
}

/* ---- the document ---- */

static void
put_text(sl_buf *out, sl_buf *part, const char *text, size_t len)
{
    sl_label_text(part, text, len, SL_LABEL_WHOLE);
    put_message(out, 6, part);
    sl_buf_flow(out);
}

static void
put_meta_text(sl_buf *out, sl_buf *part, const sl_profile *profile,
              const char *key)
{
    const sl_meta *item = sl_profile_meta_find(profile, key);
    if (item != NULL && item->text != NULL)
        put_text(out, part, item->text, item->text_len);
    else
        put_text(out, part, "", 0);
}

static void
put_strings(sl_buf *out, sl_buf *part, const sl_profile *profile, bool gap)
{
    static const char *const fixed[] = {
        "",
        "calls",
        "count",
        "wall",
        "cpu",
        "gil_wait",
        "nanoseconds",
        "route",
        "trace_id",
        "thread",
        "mode",
        "strand",
        "request",
        "beside the request",
    };
    static const char *const keys[] = { "route", "trace_id", "thread", "mode" };

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        put_bytes(out, 6, fixed[i], strlen(fixed[i]));
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        put_meta_text(out, part, profile, keys[i]);
    for (uint32_t i = 0; i < sl_profile_function_count(profile); i++) {
        const sl_function *f = sl_profile_function(profile, i);
        put_text(out, part, f->name, f->name_len);
        put_text(out, part, f->file, f->file_len);
    }
    if (gap)
        put_bytes(out, 6, SL_STACKS_GAP_NAME, strlen(SL_STACKS_GAP_NAME));
}

static void
put_types(sl_buf *out, sl_buf *part)
{
    static const uint64_t types[SAMPLE_TYPES][2] = {
        { STR_CALLS, STR_COUNT },
        { STR_WALL, STR_NANOSECONDS },
        { STR_CPU, STR_NANOSECONDS },
        { STR_GIL, STR_NANOSECONDS },
    };
    for (int i = 0; i < SAMPLE_TYPES; i++) {
        put_number(part, 1, types[i][0]);
        put_number(part, 2, types[i][1]);
        put_message(out, 1, part);
    }
}

static void
put_label(sl_buf *sample, sl_buf *part, uint64_t key, uint64_t value)
{
    put_number(part, 1, key);
    put_number(part, 2, value);
    put_message(sample, 3, part);
}

/* One location for each node: a function and the line the call stands on. A
 * location's line is where the frame IS, so it is its child's call line. */
static void
put_sample(sl_buf *out, sl_stacks *stacks, uint32_t i, const uint64_t *values,
           bool beside, const uint8_t *has_text, sl_buf *sample, sl_buf *part)
{
    uint32_t depth, nodes = sl_profile_node_count(stacks->profile);
    const uint32_t *frames = sl_stacks_at(stacks, i, &depth);

    for (uint32_t d = depth; d-- > 0;)
        sl_buf_put_varint(part, frames[d] == SL_STACKS_GAP
                                    ? (uint64_t)nodes + 1
                                    : (uint64_t)frames[d] + 1);
    put_message(sample, 1, part);
    for (int v = 0; v < SAMPLE_TYPES; v++)
        sl_buf_put_varint(part, values[v]);
    put_message(sample, 2, part);
    for (unsigned l = 0; l < 4; l++) {
        if (has_text[l])
            put_label(sample, part, STR_ROUTE + l, STR_ROUTE_VALUE + l);
    }
    put_label(sample, part, STR_STRAND, beside ? STR_BESIDE : STR_MAIN);
    put_message(out, 2, sample);
    sl_buf_flow(out);
}

static void
put_samples(sl_buf *out, sl_stacks *stacks, sl_buf *sample, sl_buf *part)
{
    const sl_profile *profile = stacks->profile;
    static const char *const keys[] = { "route", "trace_id", "thread", "mode" };
    uint32_t line = 0, skip = 0;
    uint8_t has_text[4];

    for (int i = 0; i < 4; i++) {
        const sl_meta *item = sl_profile_meta_find(profile, keys[i]);
        has_text[i] = item != NULL && item->text != NULL && item->text_len > 0;
    }
    bool sampled = sl_profile_is_sampled(profile);
    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        uint64_t values[SAMPLE_TYPES] = { node->calls, node->self_ns, 0, 0 };
        if (sampled) { /* samples of this node alone */
            for (uint32_t c = i + 1; c < i + node->size;
                 c += sl_profile_node_at(profile, c)->size) {
                uint64_t below = sl_profile_node_at(profile, c)->calls;
                values[0] -= below < values[0] ? below : values[0];
            }
        }
        for (; line < sl_profile_line_count(profile) &&
               sl_profile_line_at(profile, line)->node == i;
             line++) {
            values[2] += sl_profile_line_at(profile, line)->cpu_ns;
            values[3] += sl_profile_line_at(profile, line)->gil_ns;
        }
        if (i >= skip && sl_profile_is_strand(profile, i))
            skip = i + node->size;
        if (values[0] != 0 || values[1] != 0)
            put_sample(out, stacks, i, values, i < skip, has_text, sample,
                       part);
    }
}

static void
put_location(sl_buf *out, uint64_t id, uint64_t function, uint64_t line,
             sl_buf *location, sl_buf *part)
{
    put_number(part, 1, function);
    put_number(part, 2, line);
    put_number(location, 1, id);
    put_message(location, 4, part);
    put_message(out, 4, location);
    sl_buf_flow(out);
}

static void
put_locations(sl_buf *out, const sl_profile *profile, bool gap,
              sl_buf *location, sl_buf *part)
{
    uint32_t nodes = sl_profile_node_count(profile);

    for (uint32_t i = 0; i < nodes; i++) {
        uint32_t function = sl_profile_node_at(profile, i)->function;
        put_location(out, (uint64_t)i + 1, (uint64_t)function + 1,
                     sl_profile_function(profile, function)->line, location,
                     part);
    }
    if (gap)
        put_location(out, (uint64_t)nodes + 1,
                     (uint64_t)sl_profile_function_count(profile) + 1, 0,
                     location, part);
}

static void
put_functions(sl_buf *out, const sl_profile *profile, bool gap, sl_buf *part)
{
    uint32_t count = sl_profile_function_count(profile);

    for (uint32_t i = 0; i < count + gap; i++) {
        put_number(part, 1, (uint64_t)i + 1);
        put_number(part, 2, (uint64_t)STR_FIXED + 2 * (uint64_t)i);
        if (i < count) {
            put_number(part, 4, (uint64_t)STR_FIXED + 2 * (uint64_t)i + 1);
            put_number(part, 5, sl_profile_function(profile, i)->line);
        }
        put_message(out, 5, part);
        sl_buf_flow(out);
    }
}

/* The number of a key of the metadata; 0: it has none. */
static uint64_t
meta_number(const sl_profile *profile, const char *key)
{
    const sl_meta *found = sl_profile_meta_find(profile, key);
    return found != NULL && found->text == NULL && found->number > 0
               ? (uint64_t)found->number
               : 0;
}

/* How long was looked: of requests that were gathered over a time, that. */
static uint64_t
duration_of(const sl_profile *profile)
{
    uint64_t started = meta_number(profile, "started");
    uint64_t until = meta_number(profile, "until");
    return until > started ? until - started
                           : sl_profile_node_at(profile, 0)->total_ns;
}

void
sl_exporter_pprof(const sl_profile *profile, sl_buf *out)
{
    sl_buf document, message, part;
    sl_stacks stacks;
    gzip zip;
    sl_status status = sl_stacks_init(&stacks, profile, false);

    if (status < 0) {
        out->status = status;
        sl_stacks_free(&stacks);
        return;
    }
    gzip_begin(&zip, out);
    sl_buf_init(&document, NULL, 0);
    sl_buf_drain_to(&document, gzip_take, &zip);
    sl_buf_init(&message, NULL, 0);
    sl_buf_init(&part, NULL, 0);
    put_types(&document, &part);
    put_samples(&document, &stacks, &message, &part);
    put_locations(&document, profile, stacks.gap, &message, &part);
    put_functions(&document, profile, stacks.gap, &part);
    put_strings(&document, &part, profile, stacks.gap);
    put_number(&document, 9, meta_number(profile, "started"));
    put_number(&document, 10, duration_of(profile));
    put_number(&part, 1, STR_WALL);
    put_number(&part, 2, STR_NANOSECONDS);
    put_message(&document, 11, &part);
    put_number(&document, 12, 1);
    put_number(&document, 14, STR_WALL);
    sl_buf_drain_now(&document);
    if (document.status < 0)
        out->status = document.status;
    gzip_end(&zip);
    sl_buf_free(&document);
    sl_buf_free(&message);
    sl_buf_free(&part);
    sl_stacks_free(&stacks);
}
