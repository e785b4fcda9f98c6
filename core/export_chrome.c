/* Format: the JSON of Chrome's Trace Event Format ("X" complete events in
 * microseconds, "M" metadata), as chrome://tracing, Perfetto and speedscope
 * read it. */
#include "hotpath.h"
#include "layout.h"
#include "report_put.h"

#include "slowlens/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT_MAX ((size_t)1 << 30)

static void
put_us(sl_json *json, const char *key, uint64_t ns)
{
    char number[40];
    sl_json_key(json, key);
    snprintf(number, sizeof(number), "%" PRIu64 ".%03" PRIu64, ns / 1000,
             ns % 1000);
    sl_json_raw(json, number);
}

static void
put_thread(sl_json *json, uint32_t thread, const char *name)
{
    sl_json_open(json, '{');
    sl_json_text(json, "ph", "M");
    sl_json_text(json, "name", "thread_name");
    sl_json_number(json, "pid", 1);
    sl_json_number(json, "tid", (uint64_t)thread + 1);
    sl_json_key(json, "args");
    sl_json_open(json, '{');
    sl_json_text(json, "name", name);
    sl_json_close(json, '}');
    sl_json_close(json, '}');
}

static void
put_event(sl_json *json, const sl_profile *profile, uint32_t i, uint32_t thread,
          uint64_t from, uint64_t length, sl_buf *name, bool whole)
{
    const sl_profile_node *node = sl_profile_node_at(profile, i);
    const sl_function *f = sl_profile_function(profile, node->function);

    name->size = 0;
    sl_hotpath_name(f, name);
    sl_json_open(json, '{');
    sl_json_text(json, "ph", "X");
    sl_json_key(json, "name");
    sl_json_str(json, (const char *)name->data, name->size);
    sl_json_text(json, "cat", sl_origin_name(f->origin));
    sl_json_number(json, "pid", 1);
    sl_json_number(json, "tid", (uint64_t)thread + 1);
    put_us(json, "ts", from);
    put_us(json, "dur", length);
    if (whole) {
        sl_json_key(json, "args");
        sl_json_open(json, '{');
        sl_json_number(json, "calls", node->calls + node->resumes);
        put_us(json, "self_us", node->self_ns);
        sl_json_key(json, "file");
        sl_json_str(json, f->file, f->file_len);
        sl_json_number(json, "line", f->line);
        sl_json_close(json, '}');
    }
    sl_json_close(json, '}');
}

/* The timeline's lanes: each stretch with the stack above it would repeat the
 * tree, so what was innermost stands alone. */
static void
put_timeline(sl_json *json, const sl_profile *profile, uint32_t threads,
             sl_buf *name)
{
    uint32_t lane = UINT32_MAX;
    char title[48];

    for (uint32_t i = 0; i < sl_profile_stretch_count(profile); i++) {
        const sl_profile_stretch *one = sl_profile_stretch_at(profile, i);
        if (one->lane != lane) {
            lane = one->lane;
            snprintf(title, sizeof(title), "in time order %" PRIu32, lane);
            put_thread(json, threads + lane, title);
        }
        put_event(json, profile, one->node, threads + lane, one->from_ns,
                  one->to_ns - one->from_ns, name, false);
    }
}

sl_status
sl_export_chrome(const sl_profile *profile, sl_bytes *out)
{
    sl_place *places;
    uint32_t threads, seen = 0;
    char title[32];
    sl_status status = sl_layout_places(profile, &places, &threads);
    if (status < 0)
        return status;

    sl_buf buf, name;
    sl_json json = { .out = &buf };
    sl_buf_init(&buf, NULL, EXPORT_MAX);
    sl_buf_init(&name, NULL, EXPORT_MAX);
    sl_json_open(&json, '{');
    sl_json_text(&json, "displayTimeUnit", "ms");
    sl_json_key(&json, "traceEvents");
    sl_json_open(&json, '[');
    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++) {
        if (places[i].depth == 0)
            put_thread(&json, places[i].thread,
                       sl_layout_thread_name(profile, i, seen++, title));
        put_event(&json, profile, i, places[i].thread, places[i].start_ns,
                  sl_profile_node_at(profile, i)->total_ns, &name, true);
    }
    put_timeline(&json, profile, threads, &name);
    sl_json_close(&json, ']');
    sl_json_close(&json, '}');
    if (name.status < 0)
        buf.status = name.status;
    sl_buf_free(&name);
    free(places);
    return sl_buf_finish(&buf, out);
}
