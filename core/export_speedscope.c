/* Format: https://www.speedscope.app/file-format-schema.json, "sampled". */
#include "hotpath.h"
#include "json.h"

#include "slowlens/report.h"

#include <string.h>

#define EXPORT_MAX ((size_t)1 << 30)

static void
put_str(sl_json *json, const char *key, const char *value)
{
    sl_json_key(json, key);
    sl_json_str(json, value, strlen(value));
}

static void
put_frames(sl_json *json, const sl_profile *profile)
{
    sl_buf name;

    sl_buf_init(&name, NULL, EXPORT_MAX);
    sl_json_key(json, "shared");
    sl_json_open(json, '{');
    sl_json_key(json, "frames");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < sl_profile_function_count(profile); i++) {
        const sl_function *f = sl_profile_function(profile, i);
        sl_json_open(json, '{');
        name.size = 0;
        sl_hotpath_name(f, &name);
        sl_json_key(json, "name");
        sl_json_str(json, (const char *)name.data, name.size);
        if (f->file_len > 0) {
            sl_json_key(json, "file");
            sl_json_str(json, f->file, f->file_len);
            sl_json_key(json, "line");
            sl_json_u64(json, f->line);
        }
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
    sl_json_close(json, '}');
    if (name.status < 0)
        json->out->status = name.status;
    sl_buf_free(&name);
}

/* Whether the main strand has node `i`, or (strands) its strand has. */
static bool
stands_in(const sl_profile *profile, uint32_t i, uint32_t *skip, bool strands)
{
    if (i >= *skip && sl_profile_is_strand(profile, i))
        *skip = i + sl_profile_node_at(profile, i)->size;
    return (i < *skip) == strands;
}

static void
put_stack(sl_json *json, const sl_profile *profile, uint32_t i)
{
    uint32_t depth = sl_profile_node_at(profile, i)->depth;

    sl_json_open(json, '[');
    /* Root first: climb depth levels anew for each frame would be quadratic
     * twice; stacks are written from a walk down instead. */
    for (uint32_t at = 0;;) {
        const sl_profile_node *node = sl_profile_node_at(profile, at);
        sl_json_u64(json, node->function);
        if (node->depth == depth)
            break;
        uint32_t child = at + 1;
        while (child + sl_profile_node_at(profile, child)->size <= i)
            child += sl_profile_node_at(profile, child)->size;
        at = child;
    }
    sl_json_close(json, ']');
}

static void
put_profile(sl_json *json, const sl_profile *profile, bool strands)
{
    uint64_t end = 0;
    uint32_t count = sl_profile_node_count(profile), skip = 0;

    sl_json_open(json, '{');
    put_str(json, "type", "sampled");
    put_str(json, "name", strands ? "tasks and threads" : "request");
    put_str(json, "unit", "nanoseconds");
    sl_json_key(json, "startValue");
    sl_json_u64(json, 0);
    sl_json_key(json, "samples");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < count; i++) {
        uint64_t self = sl_profile_node_at(profile, i)->self_ns;
        if (stands_in(profile, i, &skip, strands) && self > 0) {
            put_stack(json, profile, i);
            end += self;
        }
    }
    sl_json_close(json, ']');
    sl_json_key(json, "weights");
    sl_json_open(json, '[');
    skip = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t self = sl_profile_node_at(profile, i)->self_ns;
        if (stands_in(profile, i, &skip, strands) && self > 0)
            sl_json_u64(json, self);
    }
    sl_json_close(json, ']');
    sl_json_key(json, "endValue");
    sl_json_u64(json, end);
    sl_json_close(json, '}');
}

sl_status
sl_export_speedscope(const sl_profile *profile, sl_bytes *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };
    bool strands = false;

    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++)
        strands = strands || sl_profile_is_strand(profile, i);

    sl_buf_init(&buf, NULL, EXPORT_MAX);
    sl_json_open(&json, '{');
    put_str(&json, "$schema",
            "https://www.speedscope.app/file-format-schema.json");
    put_str(&json, "exporter", "slowlens");
    put_frames(&json, profile);
    sl_json_key(&json, "profiles");
    sl_json_open(&json, '[');
    put_profile(&json, profile, false);
    if (strands)
        put_profile(&json, profile, true);
    sl_json_close(&json, ']');
    sl_json_close(&json, '}');
    return sl_buf_finish(&buf, out);
}
