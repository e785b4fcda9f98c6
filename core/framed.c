/* Spans as frames. */
#include "framed.h"
#include "label.h"
#include "profile.h"

#include <stdlib.h>
#include <string.h>

/* Of the node's time, in percent. */
#define COVER_LEAST 90u

/* A row of spans that becomes a frame. */
typedef struct {
    const sl_profile_span *span;
    uint32_t order;    /* among the frames, by node */
    uint32_t function; /* of the frame, in the new profile */
} frame;

typedef struct {
    const sl_profile *from;
    sl_profile *to;
    frame *frames; /* in the order of nodes */
    uint32_t count;
    uint32_t *places; /* by node: where its own time and its children are */
    uint32_t names;   /* functions of frames */
    sl_buf name;
} framing;

/* Whether a row of spans is all there is of its node. */
static bool
is_frame(const sl_profile *profile, uint32_t i)
{
    uint32_t rows = sl_profile_span_count(profile);
    const sl_profile_span *span = sl_profile_span_at(profile, i);
    const sl_profile_node *node = sl_profile_node_at(profile, span->node);

    if (span->node == 0 || span->text[0] == '\0' ||
        (i > 0 && sl_profile_span_at(profile, i - 1)->node == span->node) ||
        (i + 1 < rows &&
         sl_profile_span_at(profile, i + 1)->node == span->node))
        return false;
    return node->total_ns > 0 &&
           span->total_ns >= node->total_ns / 100 * COVER_LEAST;
}

static int
by_text(const void *a, const void *b)
{
    const frame *x = a, *y = b;
    int order = strcmp(x->span->kind, y->span->kind);
    if (order == 0)
        order = strcmp(x->span->text, y->span->text);
    if (order == 0)
        order = x->order < y->order ? -1 : 1;
    return order;
}

static int
by_node(const void *a, const void *b)
{
    const frame *x = a, *y = b;
    return x->order < y->order ? -1 : 1;
}

/* Finds the frames, and which of them are one function. */
static void
framing_find(framing *f)
{
    uint32_t known = sl_profile_function_count(f->from);

    for (uint32_t i = 0; i < sl_profile_span_count(f->from); i++) {
        if (!is_frame(f->from, i))
            continue;
        f->frames[f->count] = (frame){ .span = sl_profile_span_at(f->from, i),
                                       .order = f->count };
        f->count++;
    }
    if (f->count == 0)
        return;
    qsort(f->frames, f->count, sizeof(*f->frames), by_text);
    for (uint32_t i = 0; i < f->count; i++) {
        const frame *last = i > 0 ? &f->frames[i - 1] : NULL;
        f->names += last == NULL ||
                    strcmp(last->span->kind, f->frames[i].span->kind) != 0 ||
                    strcmp(last->span->text, f->frames[i].span->text) != 0;
        f->frames[i].function = known + f->names - 1;
    }
    qsort(f->frames, f->count, sizeof(*f->frames), by_node);
}

static void *
take(framing *f, size_t count, size_t size)
{
    void *mem = NULL;
    if (sl_arena_take(f->to->arena, (count + 1) * size, &mem) < 0)
        return NULL;
    memset(mem, 0, (count + 1) * size);
    return mem;
}

/* "db: SELECT id FROM author WHERE id = ?" */
static bool
name_frame(framing *f, const frame *one)
{
    sl_function *function = &f->to->functions[one->function];
    void *mem;

    if (function->name != NULL)
        return true;
    f->name.size = 0;
    sl_label_text(&f->name, one->span->kind, strlen(one->span->kind),
                  SL_LABEL_MAX);
    sl_buf_put_str(&f->name, ": ");
    sl_label_text(&f->name, one->span->text, strlen(one->span->text),
                  SL_LABEL_MAX);
    if (f->name.status < 0 ||
        sl_arena_take(f->to->arena, f->name.size + 1, &mem) < 0)
        return false;
    memcpy(mem, f->name.data, f->name.size);
    ((char *)mem)[f->name.size] = '\0';
    *function = (sl_function){ .name = mem,
                               .name_len = f->name.size,
                               .file = "",
                               .kind = SL_KIND_PSEUDO,
                               .origin = SL_ORIGIN_NONE };
    f->to->pseudo[one->function] = SL_PSEUDO_COUNT;
    return true;
}

static bool
put_functions(framing *f)
{
    uint32_t known = sl_profile_function_count(f->from);
    uint32_t count = known + f->names;

    f->to->functions = take(f, count, sizeof(sl_function));
    f->to->pseudo = take(f, count, sizeof(uint8_t));
    if (f->to->functions == NULL || f->to->pseudo == NULL)
        return false;
    memcpy(f->to->functions, f->from->functions, known * sizeof(sl_function));
    memcpy(f->to->pseudo, f->from->pseudo, known);
    for (uint32_t i = 0; i < f->count; i++) {
        if (!name_frame(f, &f->frames[i]))
            return false;
    }
    f->to->function_count = count;
    return true;
}

/* Each frame behind its node, whose own time and children are the frame's from
 * here on. */
static bool
put_nodes(framing *f)
{
    uint32_t count = sl_profile_node_count(f->from), put = 0, next = 0;
    bool sampled = sl_profile_is_sampled(f->from);
    sl_profile_node *nodes =
        take(f, (size_t)count + f->count, sizeof(sl_profile_node));

    f->to->nodes = nodes;
    if (nodes == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const sl_profile_node *old = sl_profile_node_at(f->from, i);
        sl_profile_node *node = &nodes[put];
        *node = *old;
        node->parent = i == 0 ? 0 : f->places[old->parent];
        node->size = 0;
        node->total_ns = 0;
        f->places[i] = put++;
        if (next == f->count || f->frames[next].span->node != i)
            continue;
        nodes[put] = (sl_profile_node){
            .parent = put - 1,
            .function = f->frames[next].function,
            .line = f->frames[next].span->line,
            .calls = sampled ? old->calls : f->frames[next].span->count,
            .self_ns = old->self_ns,
        };
        node->self_ns = 0;
        f->places[i] = put++;
        next++;
    }
    f->to->node_count = put;
    return true;
}

/* Lines and stretches of a node are its frame's: a line is none of it. */
static bool
put_seen(framing *f)
{
    uint32_t lines = f->from->line_count, stretches = f->from->stretch_count;

    f->to->lines = take(f, lines, sizeof(sl_profile_line));
    f->to->stretches = take(f, stretches, sizeof(sl_profile_stretch));
    if (f->to->lines == NULL || f->to->stretches == NULL)
        return false;
    for (uint32_t i = 0; i < lines; i++) {
        sl_profile_line line = f->from->lines[i];
        uint32_t node = f->places[line.node];
        if (f->to->nodes[node].function >= f->from->function_count)
            line.line = 0;
        line.node = node;
        f->to->lines[i] = line;
    }
    for (uint32_t i = 0; i < stretches; i++) {
        f->to->stretches[i] = f->from->stretches[i];
        f->to->stretches[i].node = f->places[f->from->stretches[i].node];
    }
    f->to->line_count = lines;
    f->to->stretch_count = stretches;
    return true;
}

static bool
framing_put(framing *f)
{
    f->to->meta = f->from->meta;
    f->to->meta_count = f->from->meta_count;
    f->to->summary = f->from->summary;
    f->to->summary_count = f->from->summary_count;
    f->to->quantum = f->from->quantum;
    return put_functions(f) && put_nodes(f) && put_seen(f) &&
           sl_profile_add_up(f->to) == SL_OK;
}

sl_status
sl_profile_framed(const sl_profile *profile, sl_profile **out)
{
    size_t nodes = sl_profile_node_count(profile);
    size_t rows = sl_profile_span_count(profile);
    framing f = { .from = profile };

    *out = NULL;
    if (rows == 0)
        return SL_OK;
    f.frames = malloc(rows * sizeof(*f.frames));
    f.places = malloc(nodes * sizeof(*f.places));
    sl_buf_init(&f.name, NULL, 0);
    sl_status status = f.frames == NULL || f.places == NULL ? SL_ENOMEM : SL_OK;
    if (status == SL_OK)
        framing_find(&f);
    if (status == SL_OK && f.count > 0) {
        status = sl_profile_new(&f.to, SIZE_MAX / 4, NULL);
        if (status == SL_OK && !framing_put(&f))
            status = SL_ENOMEM;
        if (status == SL_OK)
            *out = f.to;
        else
            sl_profile_free(f.to);
    }
    sl_buf_free(&f.name);
    free(f.frames);
    free(f.places);
    return status;
}
