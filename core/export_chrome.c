/* Format: the JSON of Chrome's Trace Event Format ("X" complete events in
 * microseconds, "M" metadata), as chrome://tracing, Perfetto and speedscope
 * read it. When each of the first spans was: nestable asynchronous events ("b",
 * "e"), for several may be under way at once; how many there were in all: the
 * args of their node's event. */
#include "exporters.h"
#include "json.h"
#include "labels.h"
#include "layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Bytes of a query or a kind that an event repeats. */
#define TEXT_MAX SL_LABEL_MAX

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

/* As a label: cut where it is long, for it is repeated. */
static void
put_short(sl_json *json, const char *key, const char *text)
{
    size_t len = strlen(text);

    sl_json_key(json, key);
    sl_json_str(json, text, len < TEXT_MAX ? len : TEXT_MAX);
}

/* What was asked of others at a node. */
static void
put_asked(sl_json *json, const sl_profile *profile, uint32_t node)
{
    uint32_t count = sl_profile_span_count(profile);
    uint32_t at = sl_profile_first_span(profile, node);

    if (at == count || sl_profile_span_at(profile, at)->node != node)
        return;
    sl_json_key(json, "asked");
    sl_json_open(json, '[');
    for (; at < count && sl_profile_span_at(profile, at)->node == node; at++) {
        const sl_profile_span *span = sl_profile_span_at(profile, at);
        sl_json_open(json, '{');
        put_short(json, "kind", span->kind);
        put_short(json, "text", span->text);
        if (span->where[0] != 0)
            put_short(json, "where", span->where);
        sl_json_number(json, "count", span->count);
        put_us(json, "total_us", span->total_ns);
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
}

static void
put_async(sl_json *json, const sl_profile_span *span,
          const sl_profile_span_first *first, const char *phase, uint64_t id)
{
    sl_json_open(json, '{');
    sl_json_text(json, "ph", phase);
    put_short(json, "cat", span->kind);
    put_short(json, "name", span->text[0] != 0 ? span->text : span->kind);
    sl_json_number(json, "id", id);
    sl_json_number(json, "pid", 1);
    sl_json_number(json, "tid", 1);
    put_us(json, "ts",
           first->from_ns + (phase[0] == 'e' ? first->length_ns : 0));
    if (phase[0] == 'b') {
        sl_json_key(json, "args");
        sl_json_open(json, '{');
        if (span->where[0] != 0)
            put_short(json, "where", span->where);
        if (first->detail[0] != 0)
            put_short(json, "detail", first->detail);
        sl_json_close(json, '}');
    }
    sl_json_close(json, '}');
}

static void
put_spans(sl_json *json, const sl_profile *profile)
{
    uint64_t id = 0;

    for (uint32_t i = 0; i < sl_profile_span_count(profile); i++) {
        const sl_profile_span *span = sl_profile_span_at(profile, i);
        for (uint32_t n = 0; n < span->first_count; n++) {
            id++;
            put_async(json, span, &span->firsts[n], "b", id);
            put_async(json, span, &span->firsts[n], "e", id);
        }
        sl_buf_flow(json->out);
    }
}

static void
put_event(sl_json *json, const sl_profile *profile, uint32_t i, uint32_t thread,
          uint64_t from, uint64_t length, const sl_labels *labels, bool whole)
{
    const sl_profile_node *node = sl_profile_node_at(profile, i);
    const sl_function *f = sl_profile_function(profile, node->function);
    size_t len;
    const char *name = sl_labels_at(labels, node->function, &len);

    sl_json_open(json, '{');
    sl_json_text(json, "ph", "X");
    sl_json_key(json, "name");
    sl_json_str(json, name, len);
    sl_json_text(json, "cat", sl_origin_name(f->origin));
    sl_json_number(json, "pid", 1);
    sl_json_number(json, "tid", (uint64_t)thread + 1);
    put_us(json, "ts", from);
    put_us(json, "dur", length);
    if (whole) {
        sl_json_key(json, "args");
        sl_json_open(json, '{');
        sl_json_number(json, "calls", node->calls);
        put_us(json, "self_us", node->self_ns);
        sl_json_key(json, "file");
        /* Its end says most, and a file's name repeats at each node. */
        size_t shown = f->file_len < SL_LABEL_MAX ? f->file_len : SL_LABEL_MAX;
        sl_json_str(json, f->file + f->file_len - shown, shown);
        sl_json_number(json, "line", f->line);
        put_asked(json, profile, i);
        sl_json_close(json, '}');
    }
    sl_json_close(json, '}');
}

/* The timeline's lanes: each stretch with the stack above it would repeat the
 * tree, so what was innermost stands alone. */
static void
put_timeline(sl_json *json, const sl_profile *profile, uint32_t threads,
             const sl_labels *labels)
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
                  one->to_ns - one->from_ns, labels, false);
    }
}

static void
put_all(sl_json *json, const sl_profile *profile, const sl_layout *layout,
        const sl_labels *labels)
{
    char title[32];

    sl_json_open(json, '{');
    sl_json_text(json, "displayTimeUnit", "ms");
    sl_json_key(json, "traceEvents");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++) {
        const sl_place *place = &layout->places[i];
        if (place->depth == 0)
            put_thread(
                json, place->thread,
                sl_layout_thread_name(layout, profile, place->thread, title));
        put_event(json, profile, i, place->thread, place->start_ns,
                  sl_profile_node_at(profile, i)->total_ns, labels, true);
    }
    put_timeline(json, profile, layout->threads, labels);
    put_spans(json, profile);
    sl_json_close(json, ']');
    sl_json_close(json, '}');
}

void
sl_exporter_chrome(const sl_profile *profile, sl_buf *out)
{
    sl_labels labels;
    sl_layout layout = { 0 };
    sl_json json = { .out = out };
    sl_status status = sl_labels_init(&labels, profile);

    if (status == SL_OK)
        status = sl_layout_init(&layout, profile);
    if (status == SL_OK)
        put_all(&json, profile, &layout, &labels);
    else
        out->status = status;
    sl_layout_free(&layout);
    sl_labels_free(&labels);
}
