/* Time of sampled strands that no sample has told about yet. */
#include "pending.h"

void
sl_sampled_mark(sl_marks *marks, const sl_node *node, uint32_t line,
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

void
sl_sampled_charge(sl_strand *strand, sl_node *node, uint32_t line,
                  const sl_times *times)
{
    node->self += times->wall;
    if (node->function == SL_PSEUDO_GC)
        sl_recording_of(strand->tree)->gc_ticks += times->wall;
    sl_sampled_mark(&sl_recording_of(strand->tree)->marks, node, line, times,
                    strand->lane == 0);
}

void
sl_pending_add(sl_strand *strand, const sl_times *passed)
{
    strand->pending.wall += passed->wall;
    strand->pending.cpu += passed->cpu;
    strand->pending.gil += passed->gil;
}

void
sl_pending_charge(sl_strand *strand)
{
    sl_node *node = strand->base;
    uint32_t line = 0;

    if (strand->pending.wall == 0)
        return;
    if (strand->path != NULL && strand->path->depth > 0) {
        node = strand->path->nodes[strand->path->depth - 1];
        line = strand->path->line;
    }
    sl_sampled_charge(strand, node, line, &strand->pending);
    strand->pending = (sl_times){ 0 };
}

void
sl_pending_charge_all(sl_recording *recording)
{
    sl_pending_charge(&recording->main);
    for (sl_strand *s = recording->strands; s != NULL; s = s->next)
        sl_pending_charge(s);
}
