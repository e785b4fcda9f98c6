/* profile.h - the inside of a decoded profile; blob_read.c fills it. */
#ifndef SL_CORE_PROFILE_H
#define SL_CORE_PROFILE_H

#include "arena.h"
#include "outline.h"

#include "slowlens/profile.h"

struct sl_profile {
    sl_arena *arena;
    sl_meta *meta;
    size_t meta_count;
    sl_meta *summary;
    size_t summary_count;
    sl_function *functions;
    uint8_t *pseudo; /* by function: sl_pseudo, SL_PSEUDO_COUNT for code */
    sl_profile_sum *sums;
    uint32_t function_count;
    sl_profile_node *nodes;
    uint32_t node_count;
    sl_profile_line *lines;
    uint32_t line_count;
    sl_profile_hit *hits;
    uint32_t hit_count;
    sl_profile_stretch *stretches;
    uint32_t stretch_count;
    sl_profile_counter *counters;
    uint32_t counter_count;
    sl_profile_span *spans;
    uint32_t span_count;
    sl_profile_span_first *firsts;
    uint64_t spans_lost;
    uint64_t quantum; /* of TREE, for the sections behind it */
};

/* An empty profile in an arena of its own. SL_ENOMEM, SL_ELIMIT. */
sl_status sl_profile_new(sl_profile **out, size_t max_bytes,
                         const sl_alloc *alloc);

/* Fills size and total_ns, which are 0 before, depth and the sums from parent,
 * self_ns and the rest. SL_ENOMEM, SL_ELIMIT. */
sl_status sl_profile_derive(sl_profile *profile);

/* The part of it that takes off nothing: from self_ns as it is; size and
 * total_ns are 0 before. */
sl_status sl_profile_add_up(sl_profile *profile);

/* The profile as an outline, which lives as long at most;
 * sl_profile_outline_free gives back what is not the profile's. SL_ENOMEM. */
sl_status sl_profile_outline(const sl_profile *profile, sl_outline *out);
void sl_profile_outline_free(sl_outline *outline);

/* Decodes a blob's content, the zstd frame taken off: what the fuzzer feeds.
 * As sl_profile_decode else. */
sl_status sl_profile_decode_content(sl_profile **out, const void *content,
                                    size_t size, size_t max_bytes,
                                    const sl_alloc *alloc);

#endif /* SL_CORE_PROFILE_H */
