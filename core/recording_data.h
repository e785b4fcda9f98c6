/* recording_data.h - the inside of a recording: data alone.
 *
 *   recording.c   enter, leave, wait: what events feed
 *   sampled.c     what samples feed; pending.c: time that none told about
 *   numbering.c   its nodes in order, once it is stopped; blob_write.c: a blob
 *
 * They share this struct and do not call each other, but for the lower ones
 * (pending, numbering). The rules about threads: slowlens/recording.h. */
#ifndef SL_CORE_RECORDING_DATA_H
#define SL_CORE_RECORDING_DATA_H

#include "hits.h"
#include "spans.h"
#include "stretches.h"
#include "tree.h"

/* The part of its limits that is kept back for sl_recording_sample_on. */
#define SL_SPARE_PART 8

/* What work of one kind owes: see pending.h. */
typedef struct sl_owed sl_owed;
struct sl_owed {
    sl_owed *next;
    sl_node *base; /* where the work hangs */
    uint64_t alike;
    const void *work; /* its function, or NULL */
    sl_times times;
    sl_place seen; /* where a planned sample met one last, or no node */
};

struct sl_recording {
    sl_alloc alloc;
    sl_arena *arena;
    sl_tree tree;
    sl_strand main;
    sl_strand *strands;      /* the others, newest first */
    sl_strand *idle_strands; /* of these, whose job is done */
    /* The nested strand (sl_recording_nested) that runs now in place of the
     * main one; NULL: that one does. */
    const sl_strand *in_front;
    uint32_t strand_count;
    sl_clock_kind clock;
    uint64_t start_ticks;
    uint64_t start_ns;
    uint64_t stop_ticks;
    uint64_t stop_ns;
    uint64_t await_ticks;
    uint64_t idle_ticks;
    uint64_t loop_ticks;
    uint64_t gc_ticks;         /* of all [gc] nodes so far */
    const sl_node *collecting; /* the one on top, in one strand at most */
    uint64_t gc_before;        /* its own time when it was entered */
    bool suspended;
    bool stopped;
    bool sampled;           /* fed by sl_strand_sample: calls are samples */
    uint32_t first_sampled; /* function, see sl_recording_first_sampled */
    uint64_t sampled_from;  /* ticks, where events came before; else 0 */
    size_t max_bytes;
    uint32_t max_nodes;
    bool summed; /* sl_recording_number has been here */
    uint64_t samples;
    uint64_t late;     /* gaps too long for the sample that ended them */
    sl_cells marks;    /* what samples saw of lines */
    sl_cells counters; /* metrics of nodes */
    sl_cells hits;     /* empty but where lines are told by events */
    sl_owed *owed; /* see pending.h */
    uint32_t owed_count;
    sl_stretches stretches;
    sl_times seen; /* sums over the marks of lane 0 */
    sl_spans spans;
    uint64_t waited[SL_METRIC_COUNT]; /* ns of the main strand, by kind */
    const sl_node *observed;          /* by the last look, or NULL */
};

/* The recording that `tree` is in. */
static inline sl_recording *
sl_recording_of(const sl_tree *tree)
{
    return (sl_recording *)((char *)(uintptr_t)tree -
                            offsetof(sl_recording, tree));
}

/* Adds to a metric of a node that COUNTERS holds. */
static inline void
sl_recording_add(sl_recording *recording, const sl_node *node, sl_metric metric,
                 uint64_t value)
{
    sl_cell *cell =
        value == 0 ? NULL
                   : sl_cells_at(&recording->counters, node, (uint32_t)metric);
    if (cell != NULL)
        cell->sums[SL_COUNTER_VALUE] += value;
}

/* Nanoseconds per tick, from the recording's own two ends. */
static inline double
sl_recording_scale(const sl_recording *recording)
{
    uint64_t ticks = recording->stop_ticks - recording->start_ticks;
    uint64_t ns = recording->stop_ns - recording->start_ns;

    if (recording->clock == SL_CLOCK_MONOTONIC || ticks == 0)
        return 1.0;
    return (double)ns / (double)ticks;
}

#endif /* SL_CORE_RECORDING_DATA_H */
