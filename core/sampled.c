/* Strands that are fed by samples: each is the difference to the one before,
 * so that one tree serves both engines. */
#include "pending.h"

#include <string.h>

/* Samples have charged something. Whoever asks which functions they brought
 * (sl_recording_first_sampled) may do so in another thread. */
static void
samples_feed(sl_recording *recording)
{
    __atomic_store_n(&recording->sampled, true, __ATOMIC_RELEASE);
}

/* The strand's path with room for `depth` nodes. A request has few strands of
 * deep stacks and may have thousands of shallow ones. NULL: no memory. */
static sl_path *
strand_path(sl_strand *strand, uint32_t depth)
{
    enum { SHALLOW = 24 };
    sl_path *path = strand->path;
    /* Two sizes only: the old array stays behind in the arena, which gives
     * nothing back before the request's end. */
    uint32_t room = depth > SHALLOW ? SL_FRAMES_MAX : SHALLOW;
    void *mem;

    if (path != NULL && depth <= path->room)
        return path;
    if (sl_arena_take(strand->tree->arena,
                      sizeof(*path) + room * sizeof(*path->nodes), &mem) < 0)
        return NULL;
    sl_path *grown = mem;
    *grown = path != NULL ? *path : (sl_path){ 0 };
    grown->room = room;
    for (uint32_t i = 0; i < grown->depth; i++)
        grown->nodes[i] = path->nodes[i];
    return strand->path = grown;
}

/* The same for a stack, which is cut to what is kept of it. */
static sl_path *
strand_path_of(sl_strand *strand, const sl_frame **frames, uint32_t *count)
{
    if (*count > SL_FRAMES_MAX) {
        /* The inner frames are kept: they say what it did; the outer ones are
         * the server's, the same in each sample. */
        *frames += *count - SL_FRAMES_MAX;
        *count = SL_FRAMES_MAX;
    }
    return strand_path(strand, *count);
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

/* Makes `path` the nodes of the stack, as far as there is room for them.
 * Returns the innermost; where there was none for it, the flat node of its
 * function. Its line is the last frame's in both cases. */
static sl_node *
strand_descend(sl_strand *strand, sl_path *path, const sl_frame *frames,
               uint32_t count)
{
    sl_node *node = strand->base;
    uint32_t line = 0, depth = 0, shared = 0;
    bool same = true; /* so far, as the sample before */

    for (; depth < count; depth++) {
        /* Most of a stack is what it was a millisecond ago: as long as frames
         * and the lines they call from are the same, the nodes are, and nothing
         * is searched. From the first that differs on, each level is looked up.
         */
        const sl_frame *frame = &frames[depth];
        sl_node *known =
            same && depth < path->depth ? path->nodes[depth] : NULL;
        if (known != NULL && known->key == frame->key && known->site == line) {
            node = known;
            shared = depth + 1;
        } else {
            same = false;
            sl_node *child = sampled_child(strand->tree, node, frame, line);
            if (child == NULL) {
                path->depth = depth;
                path->line = line;
                path->shared = shared;
                return sl_tree_flat(strand, frames[count - 1].key,
                                    SL_KIND_PYTHON);
            }
            path->nodes[depth] = node = child;
        }
        line = frame->line;
    }
    path->depth = depth;
    path->line = line;
    path->shared = shared;
    return node;
}

/* On the timeline it was at `node` up to `to`. */
static void
look_stretch(sl_strand *strand, const sl_node *node, uint64_t to)
{
    sl_stretches_add(&sl_recording_of(strand->tree)->stretches,
                     &(sl_stretch){ .node = node,
                                    .from = strand->last,
                                    .to = to,
                                    .lane = strand->lane });
    strand->last = to;
}

/* Leaves pending what passed in this section; the rest is carried. */
static void
look_begin(sl_strand *strand)
{
    sl_times_take(&strand->pending, &strand->carried);
}

/* Charges `times` to where this look is, or half of it to `before` (no node:
 * nothing). When the strand went from there to here nobody saw; if all were
 * this look's, what a request begins with would be told too small, what it ends
 * with too large. */
static void
look_share(sl_strand *strand, sl_place before, sl_times *times)
{
    sl_path *path = strand->path;

    if (before.node != NULL &&
        (before.node != path->charged || before.line != path->charged_line)) {
        sl_times half = { times->wall / 2, times->cpu / 2, times->gil / 2 };
        sl_sampled_charge(strand, before.node, before.line, &half);
        sl_times_take(times, &half);
    }
    sl_sampled_charge(strand, path->charged, path->charged_line, times);
    *times = (sl_times){ 0 };
}

/* One look more, at where the path says; `vain`: which is nowhere. `before`:
 * where it was before, as far as what passed in this section goes. `first`: no
 * planned look was in this section. */
static void
look_count(sl_strand *strand, sl_place before, bool vain, bool first,
           uint64_t now)
{
    sl_node *node = strand->path->charged;
    sl_place here = { node, strand->path->charged_line };
    sl_place *seen = sl_pending_seen(strand);

    node->calls++;
    if (strand->met.node != NULL && before.node == strand->met.node &&
        before.node != node && (int64_t)(now - strand->last) > 0)
        look_stretch(strand, before.node,
                     strand->last + (now - strand->last) / 2);
    look_share(strand, before, &strand->pending);
    if (!vain && !strand->aside) {
        strand->pending = strand->carried;
        strand->carried = (sl_times){ 0 };
        /* The next ones speak for what passed here since: else long work would
         * be told what short work beside it owes. */
        if (first)
            sl_pending_collect(strand);
        look_share(strand, *seen, &strand->pending);
        *seen = here;
    }
    strand->pending = strand->carried;
    strand->met = vain ? (sl_place){ 0 } : here;
    strand->beside = strand->aside;
    strand->aside = false;
    look_stretch(strand, node, now);
}

void
sl_strand_sample(sl_strand *strand, const sl_frame *frames, uint32_t count,
                 sl_pseudo top, const sl_times *passed, uint64_t now)
{
    sl_recording *recording = sl_recording_of(strand->tree);

    samples_feed(recording);
    sl_pending_add(strand, passed);
    sl_path *path = strand_path_of(strand, &frames, &count);
    if (path == NULL) { /* no memory: charged as pending time */
        strand->tree->dropped++;
        strand->last = now;
        return;
    }
    look_begin(strand);
    /* Before the descent, which writes the path. */
    const sl_node *stood = strand->known ? path->charged : NULL;
    bool first = !strand->known || strand->beside;
    sl_place before = { 0 };
    if (strand->known)
        before = strand->met;
    else if (!strand->aside)
        before = *sl_pending_seen(strand);
    sl_node *node = strand_descend(strand, path, frames, count);
    uint32_t line = count > 0 ? frames[count - 1].line : 0;
    strand->known = true;
    if (top != SL_PSEUDO_ROOT) {
        sl_node *child = sl_tree_child(strand->tree, node, sl_pseudo_key(top),
                                       line, SL_KIND_PSEUDO);
        if (child != NULL) {
            node = child;
            line = 0;
        }
    }
    path->charged = node;
    path->charged_line = line;
    /* Nobody looked for longer than was planned, and it is elsewhere now: that
     * part was spent neither here nor there for sure. It goes to the last node
     * that both stacks share. */
    bool vain = top != SL_PSEUDO_ROOT && top != SL_PSEUDO_GC;
    sl_times late = { 0 };
    if (node != stood) {
        late = sl_pending_late(strand);
        sl_late_charge(strand,
                       path->shared > 0 ? path->nodes[path->shared - 1]
                                        : strand->base,
                       &late, now - strand->pending.wall);
    }
    if (vain || late.wall != 0) /* there is something between the two */
        before.node = NULL;
    recording->samples++;
    look_count(strand, before, vain, first, now);
}

void
sl_strand_unseen(sl_strand *strand, sl_pseudo why, const sl_times *passed,
                 uint64_t now)
{
    sl_tree *tree = strand->tree;

    samples_feed(sl_recording_of(tree));
    sl_pending_add(strand, passed);
    sl_path *path = strand_path(strand, 0);
    if (path == NULL) { /* no memory: charged as pending time */
        tree->dropped++;
        strand->last = now;
        return;
    }
    look_begin(strand);
    sl_node *node = sl_tree_child(tree, strand->base, sl_pseudo_key(why), 0,
                                  SL_KIND_PSEUDO);
    /* What it waited for meanwhile is told later, and is of this node. */
    path->charged = node != NULL ? node : sl_tree_fold_wait(strand, why);
    path->charged_line = 0;
    strand->known = true;
    /* To no neighbour. */
    look_count(strand, (sl_place){ 0 }, true, false, now);
}

void
sl_strand_unlooked(sl_strand *strand, sl_pseudo why, uint64_t now)
{
    uint64_t passed = now - strand->last;

    if ((int64_t)passed > 0)
        sl_strand_unseen(strand, why, &(sl_times){ .wall = passed }, now);
}

void
sl_strand_aside(sl_strand *strand, bool aside)
{
    strand->aside = aside;
}

void
sl_strand_works(sl_strand *strand, uint64_t alike, const void *key)
{
    strand->alike = alike;
    strand->work = key;
    strand->owed = NULL;
}

void
sl_strand_vouch(sl_strand *strand, uint64_t ticks)
{
    strand->vouch = ticks;
}

const void *
sl_strand_place(sl_strand *strand, const sl_frame *frames, uint32_t count)
{
    sl_path *path = strand_path_of(strand, &frames, &count);

    if (path == NULL) {
        strand->tree->dropped++;
        return strand->base;
    }
    return strand_descend(strand, path, frames, count);
}

bool
sl_strand_again(sl_strand *strand, const sl_times *passed, uint64_t now)
{
    /* Its thread has not run since: it stands where it stood, and its stack
     * need not be read. Not after a pause, when nobody has seen it yet. */
    if (!strand->known)
        return false;
    sl_pending_add(strand, passed);
    look_begin(strand);
    sl_recording_of(strand->tree)->samples++;
    look_count(strand, strand->met, strand->met.node == NULL, strand->beside,
               now);
    return true;
}

void
sl_strand_pause(sl_strand *strand, const sl_frame *frames, uint32_t count,
                const sl_times *passed, uint64_t now)
{
    sl_recording *recording = sl_recording_of(strand->tree);

    samples_feed(recording);
    sl_pending_add(strand, passed);
    /* Before the path is another one. */
    sl_pending_owe(strand, now);
    strand->carried = strand->pending;
    strand->aside = false;
    strand->met = (sl_place){ 0 };
    strand->awaiting = NULL;
    strand->known = false;
    if (count > 0) {
        sl_path *path = strand_path_of(strand, &frames, &count);
        if (path != NULL) {
            sl_node *node = strand_descend(strand, path, frames, count);
            /* A flat node has no children to hang an await under. */
            if (path->depth > 0 && node == path->nodes[path->depth - 1])
                strand->awaiting = node;
        }
    }
    strand->last = now;
    if (strand == &recording->main)
        recording->suspended = true;
}

void
sl_strand_end(sl_strand *strand, const sl_times *passed, uint64_t now)
{
    sl_strand_pause(strand, NULL, 0, passed, now);
    sl_pending_charge(strand);
}

sl_status
sl_recording_sample_on(sl_recording *recording, uint64_t now)
{
    sl_strand *main = &recording->main;

    if (recording->sampled || recording->stopped)
        return SL_ESTATE;
    sl_arena_limit(recording->arena, recording->max_bytes);
    /* A part of bytes and nodes was kept back from the events (limit_before in
     * recording.c), or there would be no room for samples now. */
    /* What was folded meanwhile is not taken from what was kept back. */
    recording->tree.max_nodes =
        recording->tree.nodes + recording->max_nodes / SL_SPARE_PART;
    recording->tree.on_function = NULL;
    /* Functions with a number from here on are the samples': their names are
     * read from memory of other threads, not from objects that are held. */
    uint32_t functions = recording->tree.functions.count;
    sl_node *node =
        sl_tree_child(&recording->tree, recording->tree.root,
                      sl_pseudo_key(SL_PSEUDO_SAMPLED), 0, SL_KIND_PSEUDO);
    if (node == NULL)
        return SL_ELIMIT;
    if (!recording->suspended)
        sl_strand_tick(main, now);
    main->base = node;
    sl_strand_stand(main, node);
    main->site = 0;
    main->flat_depth = 0;
    main->lost_depth = 0;
    recording->sampled_from = now;
    recording->first_sampled = functions;
    samples_feed(recording); /* last: who sees it finds the other */
    return SL_OK;
}

uint32_t
sl_recording_first_sampled(const sl_recording *recording)
{
    return __atomic_load_n(&recording->sampled, __ATOMIC_ACQUIRE)
               ? recording->first_sampled
               : UINT32_MAX;
}

/* Ticks of `one` that are of the main strand and not before `from`. */
static uint64_t
stretch_since(const sl_stretch *one, uint64_t from)
{
    if (one->lane != 0 || one->to <= from)
        return 0;
    return one->to - (one->from > from ? one->from : from);
}

uint32_t
sl_recording_seen(const sl_recording *recording, uint64_t from,
                  uint32_t *functions, uint32_t max)
{
    enum { NODES = 32, LOOK_BACK = 1024 };
    const sl_stretches *stretches = &recording->stretches;
    struct {
        const sl_node *node;
        uint64_t ticks;
    } sums[NODES] = { 0 };
    uint32_t used = 0, best = 0, count = 0;

    for (uint32_t back = 0; back < LOOK_BACK && back < stretches->count;
         back++) {
        const sl_stretch *one = &stretches->rows[stretches->count - 1 - back];
        uint64_t ticks = stretch_since(one, from);
        uint32_t at = 0;
        if (one->to <= from)
            break;
        /* Few nodes hold most of the last second; those past NODES are not
         * among them, or there is no answer worth giving. */
        while (at < used && sums[at].node != one->node)
            at++;
        if (ticks == 0 || at == NODES)
            continue;
        used = at == used ? used + 1 : used;
        sums[at].node = one->node;
        sums[at].ticks += ticks;
        if (sums[at].ticks > sums[best].ticks)
            best = at;
    }
    for (const sl_node *node = sums[best].node; node != NULL && count < max;
         node = node->parent) {
        if (node->function >= SL_PSEUDO_COUNT)
            functions[count++] = node->function;
    }
    return count;
}

void
sl_strand_waited(sl_strand *strand, sl_metric kind, uint64_t ns)
{
    sl_recording *recording = sl_recording_of(strand->tree);
    const sl_node *node = recording->observed;

    if (ns == 0)
        return;
    if (recording->sampled)
        node = strand->known ? strand->path->charged : NULL;
    if (node != NULL)
        sl_recording_add(recording, node, kind, ns);
    if (strand->lane == 0)
        recording->waited[kind] += ns;
}

void
sl_recording_observe(sl_recording *recording, const sl_times *passed,
                     const sl_frame *top, uint64_t now)
{
    const sl_strand *strand =
        __atomic_load_n(&recording->in_front, __ATOMIC_RELAXED);
    const sl_node *node = __atomic_load_n(
        strand != NULL ? &strand->cur : &recording->main.cur, __ATOMIC_RELAXED);

    recording->observed = node;
    /* It may have moved on since its frame was read. */
    uint32_t line = top != NULL && node->key == top->key ? top->line : 0;
    sl_sampled_mark(recording, node, line, passed, true);
    recording->samples++;
    sl_stretches_add(
        &recording->stretches,
        &(sl_stretch){ .node = node, .from = now - passed->wall, .to = now });
}
