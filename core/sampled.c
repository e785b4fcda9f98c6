/* Strands that are fed by samples: each is the difference to the one before,
 * so that one tree serves both engines. */
#include "recording.h"

#include <string.h>

static sl_path *
strand_path(sl_strand *strand)
{
    void *mem;

    if (strand->path == NULL &&
        sl_arena_take(strand->tree->arena, sizeof(sl_path), &mem) == SL_OK) {
        strand->path = mem;
        strand->path->depth = 0;
        strand->path->line = 0;
    }
    return strand->path;
}

/* Node of `frame` below `parent`, called from `line` there. */
static sl_node *
sampled_child(sl_tree *tree, sl_node *parent, const sl_frame *frame,
              uint32_t line)
{
    if (tree->functions.flags[parent->function] >= SL_FUNCTION_NODES_MAX)
        line = 0;
    return sl_tree_child(tree, parent, frame->key, line, SL_KIND_PYTHON);
}

/* Makes `path` the nodes of the stack. Returns the innermost; where there was
 * no room for it, the flat node of its function. */
static sl_node *
strand_descend(sl_strand *strand, sl_path *path, const sl_frame *frames,
               uint32_t count)
{
    sl_node *node = strand->base;
    uint32_t line = 0, depth = 0;
    bool same = true; /* so far, as the sample before */

    if (count > SL_FRAMES_MAX) {
        frames += count - SL_FRAMES_MAX;
        count = SL_FRAMES_MAX;
    }
    for (; depth < count; depth++) {
        const sl_frame *frame = &frames[depth];
        sl_node *known =
            same && depth < path->depth ? path->nodes[depth] : NULL;
        if (known != NULL && known->key == frame->key && known->site == line) {
            node = known;
        } else {
            same = false;
            sl_node *child = sampled_child(strand->tree, node, frame, line);
            if (child == NULL) {
                path->depth = depth;
                return sl_tree_flat(strand->tree, frames[count - 1].key,
                                    SL_KIND_PYTHON);
            }
            path->nodes[depth] = node = child;
        }
        line = frame->line;
    }
    path->depth = depth;
    path->line = line;
    return node;
}

/* Adds the times to the mark of (node, line). The clocks of a thread and of
 * the wall are read one after the other: what does not fit is cut. */
static void
sampled_mark(sl_marks *marks, const sl_node *node, uint32_t line,
             const sl_times *times, bool main)
{
    sl_mark mark = { .node = node,
                     .line = line,
                     .wall = times->wall,
                     .cpu =
                         times->cpu < times->wall ? times->cpu : times->wall };
    uint64_t off = mark.wall - mark.cpu;

    mark.gil = times->gil < off ? times->gil : off;
    sl_marks_add(marks, &mark);
    if (main) {
        marks->wall += mark.wall;
        marks->cpu += mark.cpu;
        marks->gil += mark.gil;
    }
}

static void
sampled_charge(sl_strand *strand, sl_node *node, uint32_t line,
               const sl_times *times)
{
    node->self += times->wall;
    sampled_mark(&sl_recording_of(strand->tree)->marks, node, line, times,
                 strand->lane == 0);
}

static void
strand_owe(sl_strand *strand, const sl_times *passed)
{
    strand->owed.wall += passed->wall;
    strand->owed.cpu += passed->cpu;
    strand->owed.gil += passed->gil;
}

void
sl_strand_sample(sl_strand *strand, const sl_frame *frames, uint32_t count,
                 bool gc, const sl_times *passed, uint64_t now)
{
    sl_recording *recording = sl_recording_of(strand->tree);
    sl_path *path = strand_path(strand);

    recording->sampled = true;
    strand_owe(strand, passed);
    if (path == NULL) { /* no memory: charged when it is settled */
        strand->tree->dropped++;
        strand->last = now;
        return;
    }
    sl_node *node = strand_descend(strand, path, frames, count);
    uint32_t line = path->line;
    if (gc) {
        sl_node *child =
            sl_tree_child(strand->tree, node, sl_pseudo_key(SL_PSEUDO_GC), line,
                          SL_KIND_PSEUDO);
        if (child != NULL) {
            node = child;
            line = 0;
        }
    }
    node->calls++;
    recording->samples++;
    sampled_charge(strand, node, line, &strand->owed);
    strand->owed = (sl_times){ 0 };
    sl_marks_stretch(&recording->marks, &(sl_stretch){ .node = node,
                                                       .from = strand->last,
                                                       .to = now,
                                                       .lane = strand->lane });
    strand->last = now;
}

void
sl_strand_pause(sl_strand *strand, const sl_frame *frames, uint32_t count,
                const sl_times *passed, uint64_t now)
{
    sl_recording *recording = sl_recording_of(strand->tree);

    recording->sampled = true;
    strand_owe(strand, passed);
    strand->deep = NULL;
    if (count > 0) {
        sl_path *path = strand_path(strand);
        if (path != NULL) {
            sl_node *node = strand_descend(strand, path, frames, count);
            /* A flat node has no children to hang an await under. */
            if (path->depth > 0 && node == path->nodes[path->depth - 1])
                strand->deep = node;
        }
    }
    strand->last = now;
    if (strand == &recording->main)
        recording->suspended = true;
}

/* Charges what no sample came for to where the strand was seen last. */
static void
strand_settle(sl_strand *strand)
{
    sl_node *node = strand->base;
    uint32_t line = 0;

    if (strand->owed.wall == 0)
        return;
    if (strand->path != NULL && strand->path->depth > 0) {
        node = strand->path->nodes[strand->path->depth - 1];
        line = strand->path->line;
    }
    sampled_charge(strand, node, line, &strand->owed);
    strand->owed = (sl_times){ 0 };
}

void
sl_recording_settle(sl_recording *recording)
{
    strand_settle(&recording->main);
    for (sl_strand *s = recording->strands; s != NULL; s = s->next)
        strand_settle(s);
}

void
sl_recording_observe(sl_recording *recording, const sl_times *passed,
                     uint64_t now)
{
    const sl_node *node =
        __atomic_load_n(&recording->main.cur, __ATOMIC_RELAXED);

    sampled_mark(&recording->marks, node, 0, passed, true);
    recording->samples++;
    sl_marks_stretch(
        &recording->marks,
        &(sl_stretch){ .node = node, .from = now - passed->wall, .to = now });
}

sl_status
sl_recording_number(sl_recording *recording)
{
    sl_tree *tree = &recording->tree;
    uint32_t depth = 0;
    uint64_t number = 0;

    if (recording->summed)
        return SL_OK;
    sl_node **order = recording->alloc.take(
        recording->alloc.ctx, (size_t)tree->nodes * sizeof(*order));
    if (order == NULL)
        return SL_ENOMEM;
    for (const sl_node *node = tree->root; node != NULL;
         node = sl_tree_next(node, &depth)) {
        /* The writer leaves an unused [truncated] out. */
        bool unused =
            node == tree->truncated && node->calls == 0 && node->self == 0;
        order[number] = (sl_node *)(uintptr_t)node;
        order[number]->number = number;
        number += !unused;
    }
    if (recording->sampled) {
        tree->root->calls--; /* its own: it is no sample */
        for (uint64_t i = number; i-- > 1;) {
            /* What a strand or a wait counts are not its parent's samples. */
            if (order[i]->function >= SL_PSEUDO_COUNT ||
                order[i]->function == SL_PSEUDO_GC)
                order[i]->parent->calls += order[i]->calls;
        }
    }
    recording->alloc.give(recording->alloc.ctx, order);
    recording->summed = true;
    return SL_OK;
}
