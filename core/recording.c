/* One request while it runs: its strands enter, leave, wait; its totals. */
#include "pending.h"
#include "recording_data.h"

#define MAX_BYTES ((size_t)8 << 20)
#define MAX_NODES 100000u
/* The part of the bytes that spans may take besides, and the least of it. */
#define SPANS_PART  8
#define SPANS_BYTES ((size_t)64 << 10)
/* Small requests are the rule: one block of this size holds 900 nodes. */
#define BLOCK_BYTES ((size_t)64 << 10)
/* What whoever hands out memory may put before it, see native/run/budget.c. */
#define HEAD_BYTES  ((size_t)128)
#define CHUNK_BYTES (BLOCK_BYTES - HEAD_BYTES)
/* One whose times are all that is wanted; its tree is a few pseudo functions.
 * And what its spans may take, of which only the sums matter. */
#define SMALL_CHUNK ((size_t)4 << 10)
#define SMALL_BYTES ((size_t)16 << 10)
#define SMALL_SPANS ((size_t)24 << 10)

static size_t
options_max_bytes(const sl_recording_options *options)
{
    if (options->small)
        return SMALL_BYTES;
    return options->max_bytes != 0 ? options->max_bytes : MAX_BYTES;
}

/* The part of a limit that may be used before sl_recording_sample_on. */
static size_t
limit_before(const sl_recording_options *options, size_t limit)
{
    return options->on_full != NULL ? limit - limit / SL_SPARE_PART : limit;
}

static size_t
spans_budget(const sl_recording *recording, const sl_recording_options *options)
{
    if (options->small)
        return SMALL_SPANS;
    size_t bytes = recording->max_bytes / SPANS_PART;
    return bytes > SPANS_BYTES ? bytes : SPANS_BYTES;
}

static sl_status
recording_start(sl_recording *recording, const sl_recording_options *options)
{
    /* Whatever it had is gone, but for its memory. */
    *recording = (sl_recording){
        .alloc = recording->alloc,
        .arena = recording->arena,
        .max_nodes = options->max_nodes != 0 ? options->max_nodes : MAX_NODES,
        .max_bytes = options_max_bytes(options),
        .first_sampled = SL_PSEUDO_COUNT,
        .clock = options->clock,
        .marks = recording->marks,
        .counters = recording->counters,
        .hits = recording->hits,
        .stretches = recording->stretches,
        .spans = recording->spans,
    };
    sl_cells_clear(&recording->marks);
    sl_cells_clear(&recording->counters);
    sl_cells_clear(&recording->hits);
    sl_stretches_clear(&recording->stretches);
    sl_spans_clear(&recording->spans, spans_budget(recording, options));

    sl_status status = sl_tree_init(
        &recording->tree, recording->arena,
        (uint32_t)limit_before(options, recording->max_nodes), options);
    if (status < 0) {
        recording->stopped = true;
        return status;
    }

    recording->start_ns = sl_clock_monotonic_ns();
    recording->start_ticks = sl_clock_ticks(options->clock);
    recording->main = (sl_strand){
        .tree = &recording->tree,
        .cur = recording->tree.root,
        .base = recording->tree.root,
        .last = recording->start_ticks,
    };
    return SL_OK;
}

sl_status
sl_recording_new(sl_recording **out, const sl_recording_options *options,
                 const sl_alloc *alloc)
{
    if (alloc == NULL)
        alloc = &sl_alloc_libc;

    size_t bytes = limit_before(options, options_max_bytes(options));
    sl_recording *recording = alloc->take(alloc->ctx, sizeof(*recording));
    if (recording == NULL)
        return SL_ENOMEM;
    *recording = (sl_recording){ .alloc = *alloc,
                                 .marks.alloc = *alloc,
                                 .counters.alloc = *alloc,
                                 .hits.alloc = *alloc,
                                 .stretches.alloc = *alloc,
                                 .spans.alloc = *alloc,
                                 .stopped = true };

    sl_status status =
        sl_arena_new(&recording->arena, alloc,
                     options->small ? SMALL_CHUNK : CHUNK_BYTES, bytes);
    if (status == SL_OK)
        status = recording_start(recording, options);
    if (status < 0) {
        sl_recording_free(recording);
        return status;
    }
    *out = recording;
    return SL_OK;
}

sl_status
sl_recording_reset(sl_recording *recording, const sl_recording_options *options)
{
    size_t bytes = limit_before(options, options_max_bytes(options));

    sl_arena_reset(recording->arena, bytes);
    if (sl_arena_bytes(recording->arena) > bytes) {
        recording->stopped = true;
        return SL_ELIMIT;
    }
    return recording_start(recording, options);
}

void
sl_recording_free(sl_recording *recording)
{
    if (recording == NULL)
        return;
    sl_arena_free(recording->arena);
    sl_cells_free(&recording->marks);
    sl_cells_free(&recording->counters);
    sl_cells_free(&recording->hits);
    sl_stretches_free(&recording->stretches);
    sl_spans_free(&recording->spans);
    recording->alloc.give(recording->alloc.ctx, recording);
}

sl_strand *
sl_recording_main(sl_recording *recording)
{
    return &recording->main;
}

/* Whether the node is one of a task or a thread beside the request, which knows
 * better than its main strand what it began. */
static bool
is_beside(const sl_node *node)
{
    for (; node != NULL; node = node->parent) {
        if (node->key == sl_pseudo_key(SL_PSEUDO_TASK) ||
            node->key == sl_pseudo_key(SL_PSEUDO_THREAD))
            return true;
    }
    return false;
}

/* Where the work of a strand that begins now hangs. */
static sl_node *
strand_base(sl_recording *recording, sl_pseudo pseudo, sl_node *begun_at)
{
    sl_tree *tree = &recording->tree;
    sl_node *under = recording->main.base;

    /* What found no room, and stands flat, began it: nowhere in particular. */
    if (begun_at != NULL && !sl_tree_is_flat(begun_at))
        under = begun_at;
    /* The awaiting function is most often the one that started the work; a
     * main strand that runs on says nothing about who did. */
    if (recording->suspended && recording->main.awaiting != NULL &&
        !is_beside(begun_at))
        under = recording->main.awaiting;
    sl_node *base =
        sl_tree_child(tree, under, sl_pseudo_key(pseudo), 0, SL_KIND_PSEUDO);
    /* No room: all that begins from now on shares one node below the root. Its
     * time is counted, where it began is not. */
    if (base == NULL)
        base = sl_tree_fold_base(tree, pseudo);
    base->calls++;
    return base;
}

static sl_strand *
strand_new(sl_recording *recording, sl_pseudo pseudo, sl_node *begun_at,
           uint64_t now)
{
    void *mem;

    if (sl_arena_take(recording->arena, sizeof(sl_strand), &mem) < 0) {
        recording->tree.dropped++;
        return NULL;
    }

    sl_strand *strand = mem;
    sl_node *base = strand_base(recording, pseudo, begun_at);
    *strand = (sl_strand){
        .tree = &recording->tree,
        .cur = base,
        .base = base,
        .last = now,
        .lane = ++recording->strand_count,
        .next = recording->strands,
    };
    recording->strands = strand;
    return strand;
}

sl_strand *
sl_recording_strand(sl_recording *recording, sl_pseudo pseudo, uint64_t now)
{
    return strand_new(recording, pseudo, NULL, now);
}

static void
strand_restart(sl_strand *strand, sl_pseudo pseudo, sl_node *begun_at,
               uint64_t now)
{
    sl_recording *recording = sl_recording_of(strand->tree);

    /* What went on without a word, a thread that is gone, left its time. */
    sl_pending_charge(strand);
    strand->base = strand_base(recording, pseudo, begun_at);
    sl_strand_stand(strand, strand->base);
    strand->awaiting = NULL;
    strand->known = false;
    strand->alike = 0;
    strand->work = NULL;
    strand->owed = NULL;
    strand->met.node = strand->seen.node = NULL;
    strand->last = now;
    /* What the last sample saw is of the job before: nothing of it is shared by
     * the first one of this. */
    if (strand->path != NULL)
        strand->path->depth = 0;
}

void
sl_strand_restart(sl_strand *strand, sl_pseudo pseudo, uint64_t now)
{
    strand_restart(strand, pseudo, NULL, now);
}

const void *
sl_strand_node(const sl_strand *strand)
{
    /* Flat nodes have no children. */
    return strand->flat_depth > 0 || strand->lost_depth > 0 ? NULL
                                                            : strand->cur;
}

sl_strand *
sl_recording_job(sl_recording *recording, sl_pseudo pseudo, const void *under,
                 uint64_t since, uint64_t now)
{
    sl_strand *strand = recording->idle_strands;
    sl_node *begun_at = (sl_node *)(uintptr_t)under;

    if (strand != NULL) {
        recording->idle_strands = strand->idle_next;
        strand_restart(strand, pseudo, begun_at, since);
    } else {
        strand = strand_new(recording, pseudo, begun_at, since);
    }
    if (strand != NULL)
        sl_strand_wait(strand, SL_PSEUDO_QUEUED, now);
    return strand;
}

void
sl_strand_done(sl_strand *strand, uint64_t now)
{
    sl_recording *recording = sl_recording_of(strand->tree);

    /* Fed by samples, sl_strand_end has charged its time: not twice. */
    if (!recording->sampled)
        sl_strand_suspend(strand, now);
    strand->idle_next = recording->idle_strands;
    recording->idle_strands = strand;
}

sl_strand *
sl_recording_nested(sl_recording *recording, sl_strand *starter, uint64_t now)
{
    void *mem;

    if (sl_arena_take(recording->arena, sizeof(sl_strand), &mem) < 0) {
        recording->tree.dropped++;
        return NULL;
    }
    sl_strand *strand = mem;
    *strand = (sl_strand){ .tree = &recording->tree,
                           .cur = starter->cur,
                           .base = starter->cur,
                           .last = now,
                           .lane = starter->lane };
    return strand;
}

void
sl_strand_park(sl_strand *strand, uint64_t now)
{
    sl_strand_tick(strand, now);
    strand->site = 0;
}

/* The twin of sl_strand_wait below, which is of a strand that was suspended:
 * its wait hangs under what awaits, and is the request's. This one's stack is
 * whole, as the greenlet's is that was switched away: the wait is a call of the
 * function on top, and it is the request's also where a nested strand of lane 0
 * stood. */
void
sl_strand_stood(sl_strand *strand, sl_pseudo pseudo, uint64_t until)
{
    sl_recording *recording = sl_recording_of(strand->tree);
    /* Whoever asks read the clock before he came here, and may have been
     * overtaken by an event: then all is charged already. */
    uint64_t passed = until - strand->last;

    if ((int64_t)passed <= 0)
        return;
    /* Folded nodes have no children: see flat_enter in tree.c. */
    bool flat = strand->flat_depth > 0 || strand->lost_depth > 0;
    sl_node *node =
        flat ? NULL
             : sl_tree_child(strand->tree, strand->cur, sl_pseudo_key(pseudo),
                             0, SL_KIND_PSEUDO);
    if (node == NULL)
        node = sl_tree_fold_wait(strand, pseudo);
    node->self += passed;
    node->calls++;
    if (strand->lane == 0 && pseudo == SL_PSEUDO_AWAIT)
        recording->await_ticks += passed;
    if (strand->lane == 0 && pseudo == SL_PSEUDO_LOOP)
        recording->loop_ticks += passed;
    if (recording->stretches.count > 0)
        sl_stretches_add(&recording->stretches,
                         &(sl_stretch){ .node = node,
                                        .from = strand->last,
                                        .to = until,
                                        .lane = strand->lane });
    strand->last = until;
}

void
sl_strand_unpark(sl_strand *strand, uint64_t now)
{
    sl_recording *recording = sl_recording_of(strand->tree);

    if (strand->lane == 0)
        __atomic_store_n(&recording->in_front, strand, __ATOMIC_RELAXED);
    strand->last = now;
}

static inline void
strand_down(sl_strand *strand, const void *key, sl_kind kind)
{
    sl_node *cur = strand->cur;
    sl_node *child = cur->last;
    uint32_t site = 0;

    strand->awaiting = NULL;
    /* Where the next call is made was told by an event before this one. If that
     * call never came (it raised first), the place is of another node, and says
     * nothing of this one. */
    if (strand->site != 0) {
        site = strand->site_node == cur ? strand->site : 0;
        strand->site = 0;
    }
    /* Nearly every call is one of two: the same child as the last time (a loop
     * over one function), or the one behind it (a loop whose body calls
     * several: children stand in the order of their first calls, as a ring).
     * Neither needs a search. */
    if (child == NULL)
        goto slow;
    if (child->key != key || child->site != site) {
        child = child->next;
        if (child->key != key || child->site != site)
            goto slow;
        cur->last = child;
    }
    child->calls++;
    sl_strand_stand(strand, child);
    return;
slow:
    sl_tree_descend(strand, key, site, kind, false);
}

static inline void
strand_up(sl_strand *strand, const void *key)
{
    strand->site = 0;
    /* Else it leaves from within a folded part, past calls whose end was never
     * told, or it began before the recording. */
    if (__builtin_expect(strand->cur->key == key && strand->lost_depth == 0, 1))
        sl_strand_stand(strand, strand->cur->parent);
    else
        sl_tree_unwind(strand, key);
}

/* `inline`: also for what calls it in other files, where the build optimises
 * over all of them (the header's declaration makes it external none the less).
 */
inline void
sl_strand_enter(sl_strand *strand, const void *key, sl_kind kind, uint64_t now)
{
    sl_strand_tick(strand, now);
    strand_down(strand, key, kind);
}

inline void
sl_strand_resume(sl_strand *strand, const void *key, uint64_t now)
{
    sl_node *child = strand->cur->last;

    sl_strand_tick(strand, now);
    strand->awaiting = NULL;
    strand->site = 0;
    /* At any site: a generator is the same call wherever it goes on. */
    if (child != NULL && child->key == key) {
        child->resumes++;
        sl_strand_stand(strand, child);
    } else {
        sl_tree_descend(strand, key, 0, SL_KIND_PYTHON, true);
    }
}

inline void
sl_strand_leave(sl_strand *strand, const void *key, uint64_t now)
{
    sl_strand_tick(strand, now);
    strand->awaiting = NULL;
    strand_up(strand, key);
}

inline void
sl_strand_leave_top(sl_strand *strand, const void *key, uint64_t now)
{
    if (strand->cur->key == key && strand->lost_depth == 0) {
        sl_strand_tick(strand, now);
        strand->awaiting = NULL;
        strand->site = 0;
        sl_strand_stand(strand, strand->cur->parent);
    } else if (strand->flat_depth > 0 || strand->lost_depth > 0) {
        sl_strand_leave(strand, key, now);
    } else {
        strand->site = 0;
    }
}

void
sl_strand_collect(sl_strand *strand, bool begins, uint64_t now)
{
    sl_recording *recording = sl_recording_of(strand->tree);
    const void *key = sl_pseudo_key(SL_PSEUDO_GC);

    if (begins) {
        sl_strand_enter(strand, key, SL_KIND_PSEUDO, now);
        /* Without room it was folded, or is only a depth: then nobody knows its
         * time apart from others'. */
        bool there = strand->cur->function == SL_PSEUDO_GC;
        recording->collecting = there ? strand->cur : NULL;
        recording->gc_before = strand->cur->self;
        return;
    }
    sl_strand_leave_top(strand, key, now);
    if (recording->collecting != NULL)
        recording->gc_ticks +=
            recording->collecting->self - recording->gc_before;
    recording->collecting = NULL;
}

inline void
sl_strand_yield(sl_strand *strand, const void *key, uint64_t now)
{
    sl_strand_tick(strand, now);
    /* A flat node has no children of its own to hang an await under. */
    /* A coroutine that waits yields through all that await it, the innermost
     * first: the first one is who waits. */
    if (strand->awaiting == NULL && strand->flat_depth == 0)
        strand->awaiting = strand->cur;
    strand_up(strand, key);
}

static inline uint16_t
strand_flags(const sl_strand *strand)
{
    return strand->tree->functions.flags[strand->cur->function];
}

bool
sl_strand_chosen(const sl_strand *strand)
{
    return (strand_flags(strand) & SL_FUNCTION_CHOSEN) != 0;
}

void
sl_strand_site(sl_strand *strand, uint32_t site)
{
    uint16_t flags = strand_flags(strand);
    /* A function that has very many nodes already (recursion from many places)
     * would have a node more for each line: it keeps one for all. */
    if ((flags & SL_FUNCTION_CHOSEN) == 0 || flags >= SL_FUNCTION_NODES_MAX)
        return;
    strand->site = site;
    strand->site_node = strand->cur;
}

const void *
sl_strand_without_site(const sl_strand *strand)
{
    return strand->site == 0 && sl_strand_chosen(strand) ? strand->cur->key
                                                         : NULL;
}

void
sl_strand_suspend(sl_strand *strand, uint64_t now)
{
    sl_strand_tick(strand, now);
    /* The section is over, so whatever is still open here has ended without an
     * event: it began before events were on, or its end was not told. The next
     * section must not hang below it. */
    if (strand->cur != strand->base) {
        strand->tree->mended++;
        sl_strand_stand(strand, strand->base);
        strand->flat_depth = 0;
        strand->lost_depth = 0;
    }
    strand->site = 0;
    sl_recording *recording = sl_recording_of(strand->tree);
    if (strand == &recording->main)
        recording->suspended = true;
}

void
sl_strand_wait(sl_strand *strand, sl_pseudo pseudo, uint64_t until)
{
    sl_recording *recording = sl_recording_of(strand->tree);
    sl_node *under = strand->base;
    uint64_t passed = until - strand->last;

    if ((int64_t)passed <= 0)
        return;
    /* Between two messages (idle) nobody awaits, whoever did last. */
    if (pseudo != SL_PSEUDO_IDLE && strand->awaiting != NULL)
        under = strand->awaiting;
    sl_node *node = sl_tree_child(strand->tree, under, sl_pseudo_key(pseudo), 0,
                                  SL_KIND_PSEUDO);
    if (node == NULL)
        node = sl_tree_fold_wait(strand, pseudo);
    node->self += passed;
    node->calls++;
    if (recording->stretches.count > 0 || recording->sampled)
        sl_stretches_add(&recording->stretches,
                         &(sl_stretch){ .node = node,
                                        .from = strand->last,
                                        .to = until,
                                        .lane = strand->lane });
    strand->last = until;
    if (strand != &recording->main)
        return;
    if (pseudo == SL_PSEUDO_AWAIT)
        recording->await_ticks += passed;
    else if (pseudo == SL_PSEUDO_LOOP)
        recording->loop_ticks += passed;
    else if (pseudo == SL_PSEUDO_IDLE)
        recording->idle_ticks += passed;
}

void
sl_strand_wait_in(sl_strand *strand, const void *const *keys, uint32_t count,
                  sl_pseudo pseudo, uint64_t since, uint64_t until)
{
    sl_recording *recording = sl_recording_of(strand->tree);
    sl_tree *tree = strand->tree;
    sl_node *node = strand->base;
    uint64_t from = since > strand->last ? since : strand->last;
    uint64_t passed = until - from;

    if ((int64_t)passed <= 0)
        return;
    for (uint32_t i = 0; i < count && node != NULL; i++)
        node = sl_tree_child(tree, node, keys[i], 0, SL_KIND_PYTHON);
    if (node != NULL)
        node =
            sl_tree_child(tree, node, sl_pseudo_key(pseudo), 0, SL_KIND_PSEUDO);
    if (node == NULL)
        node = sl_tree_fold_wait(strand, pseudo);
    node->self += passed;
    node->calls++;
    if (recording->stretches.count > 0)
        sl_stretches_add(&recording->stretches,
                         &(sl_stretch){ .node = node,
                                        .from = from,
                                        .to = until,
                                        .lane = strand->lane });
    strand->last = until;
}

void
sl_strand_continue(sl_strand *strand, sl_pseudo pseudo, uint64_t now)
{
    sl_recording *recording = sl_recording_of(strand->tree);

    sl_strand_wait(strand, pseudo, now);
    strand->awaiting = NULL;
    if (strand == &recording->main) {
        recording->suspended = false;
        __atomic_store_n(&recording->in_front, NULL, __ATOMIC_RELAXED);
    }
}

void
sl_strand_charge(sl_strand *strand, uint64_t now)
{
    sl_strand_tick(strand, now);
}

void
sl_strand_line(sl_strand *strand, const void *key, uint32_t line, uint64_t now)
{
    sl_cells *hits = &sl_recording_of(strand->tree)->hits;

    if (strand->cur->key != key || line == 0)
        return;
    sl_strand_line_pass(strand, now);
    sl_strand_tick(strand, now);
    sl_hits_begin(hits, strand->cur, line);
}

void
sl_strand_line_pass(sl_strand *strand, uint64_t now)
{
    uint64_t passed = now - strand->last;

    if ((int64_t)passed > 0)
        sl_hits_pass(&sl_recording_of(strand->tree)->hits, strand->cur, passed);
}

void
sl_strand_count(sl_strand *strand, sl_metric metric, uint64_t value)
{
    const sl_node *node = __atomic_load_n(&strand->cur, __ATOMIC_RELAXED);

    /* Fed by samples, `cur` stays at the base: where it is, the last sample
     * knows. */
    if (strand->known && strand->path != NULL)
        node = strand->path->charged;
    sl_recording_add(sl_recording_of(strand->tree), node, metric, value);
}

uint32_t
sl_strand_function(const sl_strand *strand)
{
    return strand->cur->function;
}

bool
sl_strand_is_empty(const sl_strand *strand)
{
    return strand->cur == strand->base && strand->lost_depth == 0;
}

void
sl_recording_stop(sl_recording *recording, uint64_t now)
{
    if (recording->stopped)
        return;
    if (recording->sampled)
        sl_pending_charge_all(recording);
    if (recording->in_front != NULL &&
        recording->in_front != &recording->main) {
        /* It ends in a nested strand: that one's time is not the main one's. */
        sl_strand_tick((sl_strand *)(uintptr_t)recording->in_front, now);
        recording->main.last = recording->in_front->last;
    }
    sl_strand_tick(&recording->main, now);
    sl_spans_stop(&recording->spans, recording->main.last);
    recording->stop_ticks = recording->main.last;
    recording->stop_ns = sl_clock_monotonic_ns();
    recording->stopped = true;
}

const void *
sl_recording_key(const sl_recording *recording, uint32_t id)
{
    const sl_functions *functions = &recording->tree.functions;
    return id < functions->count ? functions->keys[id] : NULL;
}

uint64_t
sl_recording_start_ns(const sl_recording *recording)
{
    return recording->start_ns;
}

uint64_t
sl_recording_wall_ns(const sl_recording *recording)
{
    if (!recording->stopped)
        return sl_clock_monotonic_ns() - recording->start_ns;
    /* Of the clock that all nodes were charged by, so that their sum is the
     * whole, to the nanosecond. */
    double ticks = (double)(recording->stop_ticks - recording->start_ticks);
    return (uint64_t)(ticks * sl_recording_scale(recording) + 0.5);
}

void
sl_recording_waits_get(const sl_recording *recording, sl_recording_waits *out)
{
    double scale = sl_recording_scale(recording);

    *out = (sl_recording_waits){
        .wall_ns = sl_recording_wall_ns(recording),
        .await_ns = (uint64_t)((double)recording->await_ticks * scale),
        .loop_ns = (uint64_t)((double)recording->loop_ticks * scale),
        .idle_ns = (uint64_t)((double)recording->idle_ticks * scale),
        .gil_ns = (uint64_t)((double)recording->seen.gil * scale),
        .run_queue_ns = recording->waited[SL_METRIC_RUN_QUEUE],
        .gc_ns = (uint64_t)((double)recording->gc_ticks * scale),
    };
}

void
sl_recording_suspended(const sl_recording *recording, uint64_t *await_ns,
                       uint64_t *loop_ns)
{
    uint64_t ticks = sl_clock_ticks(recording->clock);
    double passed = (double)(ticks - recording->start_ticks);
    double scale =
        passed > 0
            ? (double)(sl_clock_monotonic_ns() - recording->start_ns) / passed
            : 0;

    *await_ns = (uint64_t)((double)recording->await_ticks * scale);
    *loop_ns = (uint64_t)((double)recording->loop_ticks * scale);
}

void
sl_recording_totals_get(const sl_recording *recording, sl_recording_totals *out)
{
    const sl_tree *tree = &recording->tree;
    double scale = sl_recording_scale(recording);
    uint64_t gc_ticks = 0;
    uint32_t depth = 0, from_depth = 0;
    bool samples = false; /* here, counts are samples */

    *out = (sl_recording_totals){
        .wall_ns = sl_recording_wall_ns(recording),
        .await_ns = (uint64_t)((double)recording->await_ticks * scale),
        .loop_ns = (uint64_t)((double)recording->loop_ticks * scale),
        .idle_ns = (uint64_t)((double)recording->idle_ticks * scale),
        .nodes = tree->nodes,
        .functions = tree->functions.count,
        .strands = recording->strand_count + 1,
        .sampled_from_ns = recording->sampled_from == 0
                               ? 0
                               : (uint64_t)((double)(recording->sampled_from -
                                                     recording->start_ticks) *
                                            scale),
        .mended = tree->mended,
        .dropped = tree->dropped,
        .samples = recording->samples,
        .late = recording->late,
        .seen_ns = (uint64_t)((double)recording->seen.wall * scale),
        .seen_cpu_ns = (uint64_t)((double)recording->seen.cpu * scale),
        .gil_ns = (uint64_t)((double)recording->seen.gil * scale),
        .bytes = sizeof(*recording) + sl_arena_bytes(recording->arena),
    };
    for (int i = 0; i < SL_METRIC_COUNT; i++)
        out->waited_ns[i] = recording->waited[i];
    if (recording->spans.arena != NULL)
        out->bytes += sl_arena_bytes(recording->spans.arena);
    out->bytes += sl_cells_bytes(&recording->marks) +
                  sl_cells_bytes(&recording->counters) +
                  sl_cells_bytes(&recording->hits) +
                  recording->stretches.capacity * sizeof(sl_stretch);
    if (tree->root == NULL)
        return;
    for (const sl_node *node = tree->root; node != NULL;
         node = sl_tree_next(node, &depth)) {
        uint16_t flags = tree->functions.flags[node->function];
        /* A recording that went on by samples (sl_recording_sample_on) has its
         * calls outside of the node [sampled], and samples below it. Depth
         * first: what is deeper than that node and comes after it is below it.
         */
        if (recording->sampled && node == recording->main.base) {
            samples = true;
            from_depth = depth;
        } else if (depth <= from_depth) {
            samples = false;
        }
        if (samples && node->function != SL_PSEUDO_GC)
            continue;
        if (flags & SL_FUNCTION_C)
            out->c_events += node->calls;
        else if (node->function >= SL_PSEUDO_COUNT) {
            out->events += node->calls;
            out->resumes += node->resumes;
        } else if (node->function == SL_PSEUDO_GC)
            gc_ticks += node->self;
    }
    out->gc_ns = (uint64_t)((double)gc_ticks * scale);
    out->truncated = !sl_tree_is_unused(tree, tree->truncated) ||
                     tree->truncated_beside != NULL || tree->folded ||
                     tree->dropped > 0;
}

void
sl_recording_resolve_sites(sl_recording *recording,
                           uint32_t (*line)(void *ctx, uint32_t id,
                                            uint32_t site),
                           void *ctx)
{
    uint32_t depth = 0;

    for (const sl_node *node = recording->tree.root; node != NULL;
         node = sl_tree_next(node, &depth)) {
        if (node->site != 0)
            ((sl_node *)node)->site =
                line(ctx, node->parent->function, node->site);
    }
    for (uint32_t i = 0; i < recording->spans.row_count; i++) {
        sl_span_what *what = &recording->spans.rows[i].what;
        if (what->site != 0)
            what->site =
                what->node == NULL
                    ? 0
                    : line(ctx, ((const sl_node *)what->node)->function,
                           what->site);
    }
}
