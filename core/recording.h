/* recording.h - the inside of a recording, for its two files: recording.c
 * records, blob_write.c encodes. */
#ifndef SL_CORE_RECORDING_H
#define SL_CORE_RECORDING_H

#include "tree.h"

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
    bool suspended;
    bool stopped;
};

/* Nanoseconds per tick, from the recording's own two ends. */
double sl_recording_scale(const sl_recording *recording);

#endif /* SL_CORE_RECORDING_H */
