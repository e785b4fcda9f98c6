/* Time of sampled strands that no sample has told about yet. */
#include "pending.h"

void
sl_sampled_mark(sl_recording *recording, const sl_node *node, uint32_t line,
                const sl_times *times, bool main)
{
    uint64_t wall = times->wall;
    uint64_t cpu = times->cpu < wall ? times->cpu : wall;
    uint64_t gil = times->gil < wall - cpu ? times->gil : wall - cpu;
    sl_cell *cell = sl_cells_at(&recording->marks, node, line);

    if (cell != NULL) {
        cell->sums[SL_MARK_WALL] += wall;
        cell->sums[SL_MARK_CPU] += cpu;
        cell->sums[SL_MARK_GIL] += gil;
    }
    if (main) {
        recording->seen.wall += wall;
        recording->seen.cpu += cpu;
        recording->seen.gil += gil;
    }
}

static void
charge(sl_recording *recording, sl_place at, const sl_times *times, bool main)
{
    at.node->self += times->wall;
    if (at.node->function == SL_PSEUDO_GC)
        recording->gc_ticks += times->wall;
    sl_sampled_mark(recording, at.node, at.line, times, main);
}

void
sl_sampled_charge(sl_strand *strand, sl_node *node, uint32_t line,
                  const sl_times *times)
{
    charge(sl_recording_of(strand->tree), (sl_place){ node, line }, times,
           strand->lane == 0);
}

void
sl_pending_add(sl_strand *strand, const sl_times *passed)
{
    sl_times_add(&strand->pending, passed);
}

/* `part` of `whole` of a time. */
static uint64_t
part_of(uint64_t time, uint64_t part, uint64_t whole)
{
    return (uint64_t)((double)time * ((double)part / (double)whole));
}

sl_times
sl_pending_late(sl_strand *strand)
{
    sl_times *all = &strand->pending, late = { 0 };

    if (strand->vouch == 0 || all->wall <= strand->vouch)
        return late;
    /* The sample says where the strand is now, so it speaks for the newest
     * part. When in all this time the CPU was used nobody saw: as evenly as can
     * be. */
    late.wall = all->wall - strand->vouch;
    late.cpu = part_of(all->cpu, late.wall, all->wall);
    late.gil = part_of(all->gil, late.wall, all->wall);
    late.cpu = late.cpu < all->cpu ? late.cpu : all->cpu;
    late.gil = late.gil < all->gil ? late.gil : all->gil;
    sl_times_take(all, &late);
    return late;
}

void
sl_late_charge(sl_strand *strand, sl_node *under, const sl_times *late,
               uint64_t to)
{
    sl_tree *tree = strand->tree;

    if (late->wall == 0)
        return;
    sl_node *node = sl_tree_child(
        tree, under, sl_pseudo_key(SL_PSEUDO_UNSEEN_LATE), 0, SL_KIND_PSEUDO);
    if (node == NULL) /* no room: the time is told all the same, elsewhere */
        node = sl_tree_fold_wait(strand, SL_PSEUDO_UNSEEN_LATE);
    node->calls++;
    sl_recording_of(tree)->late++;
    sl_sampled_charge(strand, node, 0, late);
    /* On the timeline it stands before what the sample saw, where nothing else
     * was put yet. */
    if ((int64_t)(to - strand->last) <= 0)
        return;
    sl_stretches_add(&sl_recording_of(tree)->stretches,
                     &(sl_stretch){ .node = node,
                                    .from = strand->last,
                                    .to = to,
                                    .lane = strand->lane });
    strand->last = to;
}

/* Where work is told that no sample met: its function, below `base`; or that,
 * if it is not known or there is no room. */
static sl_node *
work_node(sl_recording *recording, sl_node *base, const void *work)
{
    sl_node *node = work == NULL ? NULL
                                 : sl_tree_child(&recording->tree, base, work,
                                                 0, SL_KIND_PYTHON);

    return node != NULL ? node : base;
}

void
sl_pending_charge(sl_strand *strand)
{
    const sl_path *path = strand->path;
    sl_place place = strand->seen;

    strand->carried = (sl_times){ 0 };
    if (strand->pending.wall == 0)
        return;
    sl_times late = sl_pending_late(strand);
    sl_late_charge(strand, strand->base, &late, strand->last);
    /* No sample came to say where it went: to where the last one was, or where
     * it waited. */
    if (place.node == NULL && path != NULL && path->depth > 0)
        place = (sl_place){ path->nodes[path->depth - 1], path->line };
    if (place.node == NULL)
        place.node = work_node(sl_recording_of(strand->tree), strand->base,
                               strand->work);
    sl_sampled_charge(strand, place.node, place.line, &strand->pending);
    strand->pending = (sl_times){ 0 };
}

/* ---- work that is like other work ---- */

/* Kinds of work that a request may hand over; those beyond share nothing. */
#define OWED_MAX 64

/* Where the strand's work owes, made if need be; NULL: no room. */
static sl_owed *
owed_of(sl_strand *strand)
{
    sl_recording *recording = sl_recording_of(strand->tree);
    sl_owed *at = strand->owed != NULL ? strand->owed : recording->owed;
    void *mem;

    while (at != NULL &&
           (at->alike != strand->alike || at->base != strand->base))
        at = at->next;
    if (at == NULL && recording->owed_count < OWED_MAX &&
        sl_arena_take(recording->arena, sizeof(*at), &mem) == SL_OK) {
        at = mem;
        *at = (sl_owed){ .next = recording->owed,
                         .base = strand->base,
                         .alike = strand->alike,
                         .work = strand->work };
        recording->owed = at;
        recording->owed_count++;
    }
    if (at == NULL) /* it is not looked for again */
        strand->alike = 0;
    return strand->owed = at;
}

sl_place *
sl_pending_seen(sl_strand *strand)
{
    sl_owed *owed = strand->alike == 0 ? NULL : owed_of(strand);

    return owed != NULL ? &owed->seen : &strand->seen;
}

void
sl_pending_owe(sl_strand *strand, uint64_t now)
{
    sl_owed *owed = strand->alike == 0 || strand->pending.wall == 0
                        ? NULL
                        : owed_of(strand);

    if (owed == NULL)
        return;
    /* What is too long for a sample is for nobody's. */
    sl_times late = sl_pending_late(strand);
    sl_late_charge(strand, strand->base, &late, now - strand->pending.wall);
    sl_times_add(&owed->times, &strand->pending);
    strand->pending = (sl_times){ 0 };
}

void
sl_pending_collect(sl_strand *strand)
{
    sl_owed *owed = strand->alike == 0 ? NULL : owed_of(strand);

    if (owed == NULL)
        return;
    sl_pending_add(strand, &owed->times);
    owed->times = (sl_times){ 0 };
}

static void
owed_charge_all(sl_recording *recording)
{
    for (sl_owed *owed = recording->owed; owed != NULL; owed = owed->next) {
        if (owed->times.wall == 0)
            continue;
        sl_place at = owed->seen;
        if (at.node == NULL)
            at.node = work_node(recording, owed->base, owed->work);
        charge(recording, at, &owed->times, false);
        owed->times = (sl_times){ 0 };
    }
}

void
sl_pending_charge_all(sl_recording *recording)
{
    sl_pending_charge(&recording->main);
    for (sl_strand *s = recording->strands; s != NULL; s = s->next)
        sl_pending_charge(s);
    owed_charge_all(recording);
}
