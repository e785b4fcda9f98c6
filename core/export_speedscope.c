/* Format: https://www.speedscope.app/file-format-schema.json. One "sampled"
 * profile for each thread with exact times, one of its CPU time where that
 * was seen, and an "evented" one in the order of time where there is one. */
#include "hotpath.h"
#include "json.h"
#include "layout.h"

#include "slowlens/report.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT_MAX ((size_t)1 << 30)

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

/* Value of a node by a metric. */
typedef enum { METRIC_WALL, METRIC_CPU } metric;

typedef struct {
    const sl_profile *profile;
    const sl_place *places;
    uint64_t *cpu;  /* by node; NULL: nobody sampled it */
    uint32_t *path; /* functions from the root to the node at hand */
    sl_json json;
} speedscope;

static uint64_t
value_of(const speedscope *s, uint32_t i, metric what)
{
    return what == METRIC_CPU ? s->cpu[i]
                              : sl_profile_node_at(s->profile, i)->self_ns;
}

static void
put_head(sl_json *json, const char *type, const char *name)
{
    sl_json_open(json, '{');
    sl_json_text(json, "type", type);
    sl_json_text(json, "name", name);
    sl_json_text(json, "unit", "nanoseconds");
    sl_json_key(json, "startValue");
    sl_json_u64(json, 0);
}

/* One thread by one metric: a sample for each node with its exact time. */
static void
put_thread(speedscope *s, uint32_t thread, const char *name, metric what)
{
    sl_json *json = &s->json;
    uint32_t count = sl_profile_node_count(s->profile);
    uint64_t end = 0;

    put_head(json, "sampled", name);
    sl_json_key(json, "samples");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < count; i++) {
        const sl_profile_node *node = sl_profile_node_at(s->profile, i);
        s->path[node->depth] = node->function;
        if (s->places[i].thread != thread || value_of(s, i, what) == 0)
            continue;
        sl_json_open(json, '[');
        for (uint32_t d = 0; d <= node->depth; d++)
            sl_json_u64(json, s->path[d]);
        sl_json_close(json, ']');
    }
    sl_json_close(json, ']');
    sl_json_key(json, "weights");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < count; i++) {
        uint64_t value = value_of(s, i, what);
        if (s->places[i].thread != thread || value == 0)
            continue;
        sl_json_u64(json, value);
        end += value;
    }
    sl_json_close(json, ']');
    sl_json_key(json, "endValue");
    sl_json_u64(json, end);
    sl_json_close(json, '}');
}

static void
put_event(sl_json *json, const char *type, uint32_t function, uint64_t at)
{
    sl_json_open(json, '{');
    sl_json_text(json, "type", type);
    sl_json_key(json, "frame");
    sl_json_u64(json, function);
    sl_json_key(json, "at");
    sl_json_u64(json, at);
    sl_json_close(json, '}');
}

/* The main lane in the order of time: from one stretch to the next, what the
 * two stacks do not share is closed and opened. */
static void
put_timeline(speedscope *s, uint32_t *open, uint32_t *next)
{
    const sl_profile *profile = s->profile;
    sl_json *json = &s->json;
    uint32_t depth = 0, wanted = 0;
    uint64_t at = 0;

    put_head(json, "evented", "request in time order");
    sl_json_key(json, "events");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < sl_profile_stretch_count(profile); i++) {
        const sl_profile_stretch *one = sl_profile_stretch_at(profile, i);
        if (one->lane != 0)
            break;
        wanted = sl_profile_node_at(profile, one->node)->depth + 1;
        for (uint32_t d = wanted, n = one->node; d-- > 0;
             n = sl_profile_node_at(profile, n)->parent)
            next[d] = n;
        uint32_t same = 0;
        while (same < depth && same < wanted && open[same] == next[same])
            same++;
        for (; depth > same; depth--)
            put_event(json, "C",
                      sl_profile_node_at(profile, open[depth - 1])->function,
                      one->from_ns);
        for (; depth < wanted; depth++) {
            open[depth] = next[depth];
            put_event(json, "O",
                      sl_profile_node_at(profile, open[depth])->function,
                      one->from_ns);
        }
        at = one->to_ns;
    }
    for (; depth > 0; depth--)
        put_event(json, "C",
                  sl_profile_node_at(profile, open[depth - 1])->function, at);
    sl_json_close(json, ']');
    sl_json_key(json, "endValue");
    sl_json_u64(json, at);
    sl_json_close(json, '}');
}

static void
put_profiles(speedscope *s)
{
    const sl_profile *profile = s->profile;
    uint32_t seen = 0;
    char room[32];

    sl_json_key(&s->json, "profiles");
    sl_json_open(&s->json, '[');
    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++) {
        if (s->places[i].depth > 0)
            continue;
        put_thread(s, seen, sl_layout_thread_name(profile, i, seen, room),
                   METRIC_WALL);
        seen++;
    }
    if (s->cpu != NULL)
        put_thread(s, 0, "request, CPU only", METRIC_CPU);
    if (sl_profile_stretch_count(profile) > 0) {
        size_t levels = (size_t)sl_profile_node_count(profile) + 1;
        uint32_t *stacks = malloc(2 * levels * sizeof(*stacks));
        if (stacks == NULL)
            s->json.out->status = SL_ENOMEM;
        else
            put_timeline(s, stacks, stacks + levels);
        free(stacks);
    }
    sl_json_close(&s->json, ']');
}

static uint64_t *
cpu_times(const sl_profile *profile)
{
    uint64_t *cpu = calloc(sl_profile_node_count(profile), sizeof(*cpu));
    for (uint32_t i = 0; cpu != NULL && i < sl_profile_line_count(profile);
         i++) {
        const sl_profile_line *line = sl_profile_line_at(profile, i);
        cpu[line->node] += line->cpu_ns;
    }
    return cpu;
}

sl_status
sl_export_speedscope(const sl_profile *profile, sl_bytes *out)
{
    bool seen = sl_profile_line_count(profile) > 0;
    sl_place *places;
    uint32_t threads;
    sl_buf buf;
    sl_status status = sl_layout_places(profile, &places, &threads);
    if (status < 0)
        return status;

    sl_buf_init(&buf, NULL, EXPORT_MAX);
    speedscope s = { .profile = profile,
                     .places = places,
                     .cpu = seen ? cpu_times(profile) : NULL,
                     .path = malloc(sl_profile_node_count(profile) *
                                    sizeof(uint32_t)),
                     .json = { .out = &buf } };
    if (s.path == NULL || (seen && s.cpu == NULL)) {
        buf.status = SL_ENOMEM;
    } else {
        sl_json_open(&s.json, '{');
        sl_json_text(&s.json, "$schema",
                     "https://www.speedscope.app/file-format-schema.json");
        sl_json_text(&s.json, "exporter", "slowlens");
        put_frames(&s.json, profile);
        put_profiles(&s);
        sl_json_close(&s.json, '}');
    }
    free(s.path);
    free(s.cpu);
    free(places);
    return sl_buf_finish(&buf, out);
}
