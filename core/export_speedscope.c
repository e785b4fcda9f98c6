/* Format: https://www.speedscope.app/file-format-schema.json. One "sampled"
 * profile for each thread with exact times, one of its CPU time where that
 * was seen, and an "evented" one in the order of time where there is one. */
#include "exporters.h"
#include "json.h"
#include "labels.h"
#include "layout.h"
#include "stacks.h"

#include <stdlib.h>
#include <string.h>

/* Value of a node by a metric. */
typedef enum { METRIC_WALL, METRIC_CPU } metric;

typedef struct {
    const sl_profile *profile;
    sl_layout layout;
    sl_labels labels;
    sl_stacks stacks;
    sl_stacks timeline; /* likewise, of its stretches */
    uint64_t *cpu;      /* by node; NULL: nobody sampled it */
    sl_json json;
} speedscope;

static uint64_t
value_of(const speedscope *s, uint32_t i, metric what)
{
    return what == METRIC_CPU ? s->cpu[i]
                              : sl_profile_node_at(s->profile, i)->self_ns;
}

/* Functions, and behind them what stands for frames that are left out. */
static void
put_frames(speedscope *s)
{
    sl_json *json = &s->json;

    sl_json_key(json, "shared");
    sl_json_open(json, '{');
    sl_json_key(json, "frames");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < sl_profile_function_count(s->profile); i++) {
        const sl_function *f = sl_profile_function(s->profile, i);
        size_t len;
        const char *name = sl_labels_at(&s->labels, i, &len);
        sl_json_open(json, '{');
        sl_json_key(json, "name");
        sl_json_str(json, name, len);
        if (f->file_len > 0) {
            sl_json_key(json, "file");
            sl_json_str(json, f->file, f->file_len);
            sl_json_key(json, "line");
            sl_json_u64(json, f->line);
        }
        sl_json_close(json, '}');
    }
    if (s->stacks.gap || s->timeline.gap) {
        sl_json_open(json, '{');
        sl_json_text(json, "name", SL_STACKS_GAP_NAME);
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
    sl_json_close(json, '}');
}

/* Number of the frame that a stack names. */
static uint32_t
frame_of(const speedscope *s, uint32_t node)
{
    return node == SL_STACKS_GAP
               ? sl_profile_function_count(s->profile)
               : sl_profile_node_at(s->profile, node)->function;
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
    const uint32_t *nodes = s->layout.nodes;
    uint32_t first = s->layout.starts[thread];
    uint32_t end = s->layout.starts[thread + 1];
    uint64_t sum = 0;

    put_head(json, "sampled", name);
    sl_json_key(json, "samples");
    sl_json_open(json, '[');
    for (uint32_t at = first; at < end; at++) {
        uint32_t depth;
        if (value_of(s, nodes[at], what) == 0)
            continue;
        const uint32_t *frames = sl_stacks_at(&s->stacks, nodes[at], &depth);
        sl_json_open(json, '[');
        for (uint32_t d = 0; d < depth; d++)
            sl_json_u64(json, frame_of(s, frames[d]));
        sl_json_close(json, ']');
    }
    sl_json_close(json, ']');
    sl_json_key(json, "weights");
    sl_json_open(json, '[');
    for (uint32_t at = first; at < end; at++) {
        uint64_t value = value_of(s, nodes[at], what);
        if (value == 0)
            continue;
        sl_json_u64(json, value);
        sum += value;
    }
    sl_json_close(json, ']');
    sl_json_key(json, "endValue");
    sl_json_u64(json, sum);
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

/* Closes what is open beyond `same` frames. */
static void
put_closed(speedscope *s, const uint32_t *open, uint32_t *depth, uint32_t same,
           uint64_t at)
{
    for (; *depth > same; --*depth)
        put_event(&s->json, "C", frame_of(s, open[*depth - 1]), at);
}

/* The main lane in the order of time: from one stretch to the next, what the
 * two stacks do not share is closed and opened. */
static void
put_timeline(speedscope *s, uint32_t *open)
{
    const sl_profile *profile = s->profile;
    uint32_t depth = 0;
    uint64_t at = 0;

    put_head(&s->json, "evented", "request in time order");
    sl_json_key(&s->json, "events");
    sl_json_open(&s->json, '[');
    for (uint32_t i = 0; i < sl_profile_stretch_count(profile); i++) {
        const sl_profile_stretch *one = sl_profile_stretch_at(profile, i);
        uint32_t wanted, same = 0;
        if (one->lane != 0)
            break;
        const uint32_t *next = sl_stacks_at(&s->timeline, one->node, &wanted);
        while (same < depth && same < wanted && open[same] == next[same])
            same++;
        put_closed(s, open, &depth, same, one->from_ns);
        for (; depth < wanted; depth++) {
            open[depth] = next[depth];
            put_event(&s->json, "O", frame_of(s, open[depth]), one->from_ns);
        }
        at = one->to_ns;
    }
    put_closed(s, open, &depth, 0, at);
    sl_json_close(&s->json, ']');
    sl_json_key(&s->json, "endValue");
    sl_json_u64(&s->json, at);
    sl_json_close(&s->json, '}');
}

static void
put_profiles(speedscope *s)
{
    char room[32];

    sl_json_key(&s->json, "profiles");
    sl_json_open(&s->json, '[');
    for (uint32_t t = 0; t < s->layout.threads; t++)
        put_thread(s, t, sl_layout_thread_name(&s->layout, s->profile, t, room),
                   METRIC_WALL);
    if (s->cpu != NULL)
        put_thread(s, 0, "request, CPU only", METRIC_CPU);
    if (sl_profile_stretch_count(s->profile) > 0) {
        size_t levels = (size_t)sl_profile_node_count(s->profile) +
                        SL_STACKS_HEAD + SL_STACKS_TAIL + 1;
        uint32_t *open = malloc(levels * sizeof(*open));
        if (open == NULL)
            s->json.out->status = SL_ENOMEM;
        else
            put_timeline(s, open);
        free(open);
    }
    sl_json_close(&s->json, ']');
}

/* CPU time by node; free() it. */
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

void
sl_exporter_speedscope(const sl_profile *profile, sl_buf *out)
{
    bool seen = sl_profile_line_count(profile) > 0;
    speedscope s = { .profile = profile,
                     .cpu = seen ? cpu_times(profile) : NULL,
                     .json = { .out = out } };
    sl_status status = sl_labels_init(&s.labels, profile);

    if (status == SL_OK)
        status = sl_layout_init(&s.layout, profile);
    if (status == SL_OK)
        status = sl_stacks_init(&s.stacks, profile, false);
    if (status == SL_OK)
        status = sl_stacks_init(&s.timeline, profile, true);
    if (status == SL_OK && seen && s.cpu == NULL)
        status = SL_ENOMEM;
    if (status == SL_OK) {
        sl_json_open(&s.json, '{');
        sl_json_text(&s.json, "$schema",
                     "https://www.speedscope.app/file-format-schema.json");
        sl_json_text(&s.json, "exporter", "slowlens");
        put_frames(&s);
        put_profiles(&s);
        sl_json_close(&s.json, '}');
    } else {
        out->status = status;
    }
    free(s.cpu);
    sl_stacks_free(&s.stacks);
    sl_stacks_free(&s.timeline);
    sl_layout_free(&s.layout);
    sl_labels_free(&s.labels);
}
