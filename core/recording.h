/* recording.h - the inside of a recording, for its two files: recording.c
 * records, blob_write.c encodes. */
#ifndef SL_CORE_RECORDING_H
#define SL_CORE_RECORDING_H

#include "marks.h"
#include "tree.h"

/* The part of its limits that is kept back for sl_recording_sample_on. */
#define SL_SPARE_PART 8

struct sl_recording {
    sl_alloc alloc;
    sl_arena *arena;
    sl_tree tree;
    sl_strand main;
    sl_strand *strands; /* the others, newest first */
    uint32_t strand_count;
    sl_clock_kind clock;
    uint64_t start_ticks;
    uint64_t start_ns;
    uint64_t stop_ticks;
    uint64_t stop_ns;
    uint64_t await_ticks;
    uint64_t idle_ticks;
    uint64_t loop_ticks;
    bool suspended;
    bool stopped;
    bool sampled;           /* fed by sl_strand_sample: calls are samples */
    uint32_t first_sampled; /* function, see sl_recording_first_sampled */
    uint64_t sampled_from;  /* ticks, where events came before; else 0 */
    size_t max_bytes;
    uint32_t max_nodes;
    bool summed; /* sl_recording_number has been here */
    uint64_t samples;
    sl_marks marks;
};

/* The recording that `tree` is in. */
static inline sl_recording *
sl_recording_of(const sl_tree *tree)
{
    return (sl_recording *)((char *)(uintptr_t)tree -
                            offsetof(sl_recording, tree));
}

/* Charges what no sample came for to where each strand was seen last. */
void sl_recording_settle(sl_recording *recording);

/* Gives each node its number in preorder (sl_node.number) and makes the
 * samples of a node those of its whole subtree. The recording is stopped.
 * SL_ENOMEM: nothing has changed. */
sl_status sl_recording_number(sl_recording *recording);

/* Nanoseconds per tick, from the recording's own two ends. */
double sl_recording_scale(const sl_recording *recording);

#endif /* SL_CORE_RECORDING_H */
