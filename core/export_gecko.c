/* Format: a processed profile of the Firefox Profiler (docs-developer of
 * github.com/firefox-devtools/profiler), version 57 of it: the profiler
 * upgrades what is older than itself. One thread for the request and one for
 * each strand beside it; a sample is a node with its exact self time as
 * weight ("tracing-ms"); phases, waits and the first spans are markers, these
 * under the name of their kind. */
#include "exporters.h"
#include "json.h"
#include "labels.h"
#include "layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GECKO_VERSION   32
#define GECKO_PROCESSED 57

/* Categories, by sl_origin. */
static const char *const categories[][2] = {
    { "Project", "yellow" },
    { "Library", "blue" },
    { "Standard library", "lightblue" },
    { "C", "green" },
    { "Other", "grey" },
};
enum { CATEGORIES = 5 };

/* Kinds of spans that have a name of their own; others have the first one's. */
#define KINDS_MAX 64u

/* Strings behind those of the functions. */
enum { STR_PHASE, STR_AWAIT, STR_LOOP, STR_GC, STR_OWN };
static const char *const own_strings[STR_OWN] = { "phase", "await",
                                                  "event loop busy",
                                                  "garbage collection" };

typedef struct {
    const sl_profile *profile;
    sl_layout layout;
    sl_labels labels;
    sl_json json;
    uint32_t *local; /* by node: its stack's number in its thread */
    /* A thread has tables of the functions that occur in it, and no others:
     * profiles have many threads and many functions. */
    uint32_t *numbers;  /* by function: its number in the thread at hand */
    uint32_t *named_in; /* by function: thread + 1 that gave it the number */
    uint32_t *used;     /* functions of the thread at hand, in their order */
    uint32_t used_count;
    uint32_t functions;
    const char **kinds; /* of spans: strings behind STR_OWN */
    uint32_t kind_count;
} gecko;

static void
put_null(sl_json *json, const char *key)
{
    sl_json_key(json, key);
    sl_json_raw(json, "null");
}

static void
put_ms(sl_json *json, uint64_t ns)
{
    char number[40];
    snprintf(number, sizeof(number), "%" PRIu64 ".%06" PRIu64, ns / 1000000,
             ns % 1000000);
    sl_json_raw(json, number);
}

/* "key":[value, value...] of the same raw value. */
static void
put_same(sl_json *json, const char *key, uint32_t count, const char *value)
{
    sl_json_key(json, key);
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < count; i++)
        sl_json_raw(json, value);
    sl_json_close(json, ']');
}

static void
put_empty(sl_json *json, const char *key, const char *columns)
{
    char column[32];

    sl_json_key(json, key);
    sl_json_open(json, '{');
    while (*columns != '\0') {
        size_t len = strcspn(columns, " ");
        snprintf(column, sizeof(column), "%.*s", (int)len, columns);
        put_same(json, column, 0, "");
        columns += len + (columns[len] == ' ');
    }
    sl_json_number(json, "length", 0);
    sl_json_close(json, '}');
}

static void
put_meta(sl_json *json, const sl_profile *profile)
{
    const sl_meta *started = sl_profile_meta_find(profile, "started");
    const sl_meta *path = sl_profile_meta_find(profile, "path");

    sl_json_key(json, "meta");
    sl_json_open(json, '{');
    sl_json_number(json, "interval", 1);
    sl_json_key(json, "startTime");
    put_ms(json, started != NULL && started->text == NULL && started->number > 0
                     ? (uint64_t)started->number
                     : 0);
    sl_json_number(json, "processType", 0);
    sl_json_number(json, "stackwalk", 0);
    sl_json_number(json, "version", GECKO_VERSION);
    sl_json_number(json, "preprocessedProfileVersion", GECKO_PROCESSED);
    sl_json_text(json, "product", "slowlens");
    if (path != NULL && path->text != NULL)
        sl_json_text(json, "arguments", path->text);
    sl_json_key(json, "symbolicated");
    sl_json_bool(json, true);
    sl_json_text(json, "importedFrom", "slowlens");
    sl_json_key(json, "categories");
    sl_json_open(json, '[');
    for (int i = 0; i < CATEGORIES; i++) {
        sl_json_open(json, '{');
        sl_json_text(json, "name", categories[i][0]);
        sl_json_text(json, "color", categories[i][1]);
        sl_json_key(json, "subcategories");
        sl_json_raw(json, "[\"Other\"]");
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
    put_same(json, "markerSchema", 0, "");
    put_empty(json, "extensions", "id name baseURL");
    sl_json_close(json, '}');
}

/* Numbers the stacks of one thread, and its functions. */
static uint32_t
number_thread(gecko *g, uint32_t thread)
{
    uint32_t count = 0;

    g->used_count = 0;
    for (uint32_t at = g->layout.starts[thread];
         at < g->layout.starts[thread + 1]; at++) {
        uint32_t i = g->layout.nodes[at];
        uint32_t function = sl_profile_node_at(g->profile, i)->function;
        g->local[i] = count++;
        if (g->named_in[function] == thread + 1)
            continue;
        g->named_in[function] = thread + 1;
        g->numbers[function] = g->used_count;
        g->used[g->used_count++] = function;
    }
    return count;
}

/* A column over the nodes of one thread. */
#define FOR_NODES(g, thread, i)                                                \
    for (uint32_t at_##i = (g)->layout.starts[thread], i;                      \
         at_##i < (g)->layout.starts[(thread) + 1] &&                          \
         (i = (g)->layout.nodes[at_##i], true);                                \
         at_##i++)

/* Behind the last one of the request stands one more, of nothing, where the
 * request ends: what the profiler shows ends with the begin of the last one. */
static void
put_samples(gecko *g, uint32_t thread)
{
    sl_json *json = &g->json;
    uint32_t count = thread == 0;
    uint64_t at = 0;

    FOR_NODES(g, thread, i)
    count += sl_profile_node_at(g->profile, i)->self_ns > 0;

    sl_json_key(json, "samples");
    sl_json_open(json, '{');
    sl_json_key(json, "stack");
    sl_json_open(json, '[');
    FOR_NODES(g, thread, i)
    {
        if (sl_profile_node_at(g->profile, i)->self_ns > 0)
            sl_json_u64(json, g->local[i]);
    }
    if (thread == 0)
        sl_json_raw(json, "null");
    sl_json_close(json, ']');
    sl_json_key(json, "time");
    sl_json_open(json, '[');
    FOR_NODES(g, thread, i)
    {
        uint64_t self = sl_profile_node_at(g->profile, i)->self_ns;
        if (self > 0)
            put_ms(json, at);
        at += self;
    }
    if (thread == 0)
        put_ms(json, at);
    sl_json_close(json, ']');
    sl_json_key(json, "weight");
    sl_json_open(json, '[');
    FOR_NODES(g, thread, i)
    {
        uint64_t self = sl_profile_node_at(g->profile, i)->self_ns;
        if (self > 0)
            put_ms(json, self);
    }
    if (thread == 0)
        sl_json_raw(json, "0");
    sl_json_close(json, ']');
    sl_json_text(json, "weightType", "tracing-ms");
    put_same(json, "eventDelay", count, "null");
    sl_json_number(json, "length", count);
    sl_json_close(json, '}');
}

static void
put_stacks(gecko *g, uint32_t thread, uint32_t count)
{
    sl_json *json = &g->json;

    sl_json_key(json, "stackTable");
    sl_json_open(json, '{');
    sl_json_key(json, "frame");
    sl_json_open(json, '[');
    FOR_NODES(g, thread, i)
    sl_json_u64(json, g->numbers[sl_profile_node_at(g->profile, i)->function]);
    sl_json_close(json, ']');
    sl_json_key(json, "category");
    sl_json_open(json, '[');
    FOR_NODES(g, thread, i)
    sl_json_u64(json,
                sl_profile_function(g->profile,
                                    sl_profile_node_at(g->profile, i)->function)
                    ->origin);
    sl_json_close(json, ']');
    put_same(json, "subcategory", count, "0");
    sl_json_key(json, "prefix");
    sl_json_open(json, '[');
    FOR_NODES(g, thread, i)
    {
        if (g->layout.places[i].depth == 0)
            sl_json_raw(json, "null");
        else
            sl_json_u64(json,
                        g->local[sl_profile_node_at(g->profile, i)->parent]);
    }
    sl_json_close(json, ']');
    sl_json_number(json, "length", count);
    sl_json_close(json, '}');
}

/* What a column of a function table shows. */
typedef enum { NUMBER, ORIGIN, DEFINED, NAME, FILE_NAME } of_function;

static void
put_column(gecko *g, const char *key, of_function what)
{
    sl_json *json = &g->json;

    sl_json_key(json, key);
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < g->used_count; i++) {
        uint32_t number = g->used[i];
        const sl_function *f = sl_profile_function(g->profile, number);
        switch (what) {
        case NUMBER: sl_json_u64(json, i); break;
        case ORIGIN: sl_json_u64(json, f->origin); break;
        case DEFINED: sl_json_u64(json, f->line); break;
        case NAME: sl_json_u64(json, 2 * (uint64_t)number); break;
        case FILE_NAME:
            if (f->file_len == 0)
                sl_json_raw(json, "null");
            else
                sl_json_u64(json, 2 * (uint64_t)number + 1);
        }
    }
    sl_json_close(json, ']');
}

/* One frame and one entry of the function table for each function. */
static void
put_functions(gecko *g)
{
    sl_json *json = &g->json;
    uint32_t count = g->used_count;

    sl_json_key(json, "frameTable");
    sl_json_open(json, '{');
    put_same(json, "address", count, "-1");
    put_column(g, "category", ORIGIN);
    put_same(json, "subcategory", count, "0");
    put_column(g, "func", NUMBER);
    put_same(json, "innerWindowID", count, "null");
    put_same(json, "implementation", count, "null");
    put_same(json, "optimizations", count, "null");
    put_column(g, "line", DEFINED);
    put_same(json, "column", count, "null");
    put_same(json, "inlineDepth", count, "0");
    put_same(json, "nativeSymbol", count, "null");
    sl_json_number(json, "length", count);
    sl_json_close(json, '}');

    sl_json_key(json, "funcTable");
    sl_json_open(json, '{');
    put_column(g, "name", NAME);
    put_column(g, "fileName", FILE_NAME);
    put_same(json, "isJS", count, "false");
    put_same(json, "relevantForJS", count, "false");
    put_same(json, "resource", count, "-1");
    put_column(g, "lineNumber", DEFINED);
    put_same(json, "columnNumber", count, "null");
    sl_json_number(json, "length", count);
    sl_json_close(json, '}');
}

typedef struct {
    uint64_t from, to;
    uint64_t name; /* number of its string, behind those of the functions */
    const char *text;
} marker;

static uint64_t
meta_ns(const sl_profile *profile, const char *key)
{
    const sl_meta *item = sl_profile_meta_find(profile, key);
    return item != NULL && item->text == NULL && item->number > 0
               ? (uint64_t)item->number
               : 0;
}

/* Number of a kind's string; kinds are few. */
static uint64_t
kind_string(gecko *g, const char *kind)
{
    uint32_t i = 0;

    while (i < g->kind_count && strcmp(g->kinds[i], kind) != 0)
        i++;
    if (i == g->kind_count && i < KINDS_MAX)
        g->kinds[g->kind_count++] = kind;
    return STR_OWN + (i < KINDS_MAX ? i : 0);
}

/* What was asked of others, when that is known. */
static uint32_t
collect_spans(gecko *g, marker *out)
{
    const sl_profile *profile = g->profile;
    uint32_t count = 0;

    for (uint32_t i = 0; i < sl_profile_span_count(profile); i++) {
        const sl_profile_span *span = sl_profile_span_at(profile, i);
        uint64_t name = span->first_count > 0 ? kind_string(g, span->kind) : 0;
        for (uint32_t n = 0; n < span->first_count; n++) {
            const sl_profile_span_first *first = &span->firsts[n];
            out[count++] =
                (marker){ first->from_ns, first->from_ns + first->length_ns,
                          name, span->text[0] != 0 ? span->text : span->kind };
        }
    }
    return count;
}

/* Phases of the response, and what the timeline knows of waits. */
static uint32_t
collect_markers(const sl_profile *profile, marker *out)
{
    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns;
    uint64_t headers = meta_ns(profile, "headers_ns");
    uint64_t body = meta_ns(profile, "body_ns");
    uint32_t count = 0;

    if (headers > 0)
        out[count++] = (marker){ 0, headers, STR_PHASE, "until the headers" };
    if (body > headers)
        out[count++] = (marker){ headers, body, STR_PHASE, "body" };
    if (body > 0 && wall > body)
        out[count++] = (marker){ body, wall, STR_PHASE, "background" };
    for (uint32_t i = 0; i < sl_profile_stretch_count(profile); i++) {
        const sl_profile_stretch *one = sl_profile_stretch_at(profile, i);
        if (one->lane != 0)
            continue;
        marker found = { one->from_ns, one->to_ns, STR_AWAIT, "await" };
        switch (sl_profile_pseudo(
            profile, sl_profile_node_at(profile, one->node)->function)) {
        case SL_PSEUDO_AWAIT: break;
        case SL_PSEUDO_LOOP:
            found.name = STR_LOOP;
            found.text = "loop";
            break;
        case SL_PSEUDO_GC:
            found.name = STR_GC;
            found.text = "gc";
            break;
        default: continue;
        }
        out[count++] = found;
    }
    return count;
}

static void
put_markers(gecko *g, const marker *markers, uint32_t count)
{
    sl_json *json = &g->json;

    sl_json_key(json, "markers");
    sl_json_open(json, '{');
    sl_json_key(json, "data");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < count; i++) {
        sl_json_open(json, '{');
        size_t len = strlen(markers[i].text);
        sl_json_text(json, "type", "Text");
        sl_json_key(json, "name");
        sl_json_str(json, markers[i].text,
                    len < SL_LABEL_MAX ? len : SL_LABEL_MAX);
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
    sl_json_key(json, "name");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < count; i++)
        sl_json_u64(json, 2 * (uint64_t)g->functions + markers[i].name);
    sl_json_close(json, ']');
    for (int end = 0; end < 2; end++) {
        sl_json_key(json, end ? "endTime" : "startTime");
        sl_json_open(json, '[');
        for (uint32_t i = 0; i < count; i++)
            put_ms(json, end ? markers[i].to : markers[i].from);
        sl_json_close(json, ']');
    }
    put_same(json, "phase", count, "1"); /* an interval */
    put_same(json, "category", count, "4");
    sl_json_number(json, "length", count);
    sl_json_close(json, '}');
}

static void
put_thread(gecko *g, uint32_t thread, const marker *markers,
           uint32_t marker_count)
{
    sl_json *json = &g->json;
    const sl_meta *pid = sl_profile_meta_find(g->profile, "pid");
    uint32_t stacks = number_thread(g, thread);
    char room[32], number[32];

    snprintf(number, sizeof(number), "%" PRId64,
             pid != NULL && pid->text == NULL ? pid->number : 0);
    sl_json_open(json, '{');
    sl_json_text(json, "name",
                 sl_layout_thread_name(&g->layout, g->profile, thread, room));
    sl_json_key(json, "isMainThread");
    sl_json_bool(json, thread == 0);
    sl_json_number(json, "processStartupTime", 0);
    put_null(json, "processShutdownTime");
    sl_json_number(json, "registerTime", 0);
    put_null(json, "unregisterTime");
    put_same(json, "pausedRanges", 0, "");
    sl_json_text(json, "pid", number);
    sl_json_number(json, "tid", thread);
    sl_json_text(json, "processType", "default");
    sl_json_text(json, "processName", "Python");
    put_samples(g, thread);
    put_stacks(g, thread, stacks);
    put_functions(g);
    put_empty(json, "resourceTable", "lib name host type");
    put_empty(json, "nativeSymbols", "libIndex address name functionSize");
    put_markers(g, markers, thread == 0 ? marker_count : 0);
    sl_json_close(json, '}');
}

static void
put_shared(gecko *g)
{
    sl_json *json = &g->json;

    sl_json_key(json, "shared");
    sl_json_open(json, '{');
    sl_json_key(json, "stringArray");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < g->functions; i++) {
        const sl_function *f = sl_profile_function(g->profile, i);
        size_t len;
        const char *name = sl_labels_at(&g->labels, i, &len);
        sl_json_str(json, name, len);
        sl_json_str(json, f->file, f->file_len);
    }
    for (int i = 0; i < STR_OWN; i++)
        sl_json_str(json, own_strings[i], strlen(own_strings[i]));
    for (uint32_t i = 0; i < g->kind_count; i++)
        sl_json_str(json, g->kinds[i], strlen(g->kinds[i]));
    sl_json_close(json, ']');
    put_empty(json, "sources", "uuid filename");
    sl_json_close(json, '}');
}

static void
put_all(gecko *g, marker *markers)
{
    uint32_t marker_count = collect_markers(g->profile, markers);
    marker_count += collect_spans(g, markers + marker_count);

    sl_json_open(&g->json, '{');
    put_meta(&g->json, g->profile);
    put_same(&g->json, "libs", 0, "");
    put_same(&g->json, "pages", 0, "");
    sl_json_key(&g->json, "threads");
    sl_json_open(&g->json, '[');
    for (uint32_t t = 0; t < g->layout.threads; t++)
        put_thread(g, t, markers, marker_count);
    sl_json_close(&g->json, ']');
    put_shared(g);
    sl_json_close(&g->json, '}');
}

void
sl_exporter_gecko(const sl_profile *profile, sl_buf *out)
{
    size_t nodes = sl_profile_node_count(profile);
    size_t functions = sl_profile_function_count(profile);
    gecko g = { .profile = profile,
                .json = { .out = out },
                .local = malloc(nodes * sizeof(uint32_t)),
                .numbers = malloc(functions * sizeof(uint32_t)),
                .named_in = calloc(functions, sizeof(uint32_t)),
                .used = malloc(functions * sizeof(uint32_t)),
                .functions = (uint32_t)functions };
    size_t spans = 0;
    for (uint32_t i = 0; i < sl_profile_span_count(profile); i++)
        spans += sl_profile_span_at(profile, i)->first_count;
    marker *markers =
        malloc(((size_t)sl_profile_stretch_count(profile) + spans + 3) *
               sizeof(*markers));
    const char *kinds[KINDS_MAX];
    g.kinds = kinds;
    sl_status status = sl_labels_init(&g.labels, profile);

    if (status == SL_OK)
        status = sl_layout_init(&g.layout, profile);
    if (status == SL_OK &&
        (g.local == NULL || g.numbers == NULL || g.named_in == NULL ||
         g.used == NULL || markers == NULL))
        status = SL_ENOMEM;
    if (status == SL_OK)
        put_all(&g, markers);
    else
        out->status = status;
    free(markers);
    free(g.local);
    free(g.numbers);
    free(g.named_in);
    free(g.used);
    sl_layout_free(&g.layout);
    sl_labels_free(&g.labels);
}
