/* profile.h - the inside of a decoded profile; blob_read.c fills it. */
#ifndef SL_CORE_PROFILE_H
#define SL_CORE_PROFILE_H

#include "arena.h"

#include "slowlens/profile.h"

struct sl_profile {
    sl_arena *arena;
    sl_meta *meta;
    size_t meta_count;
    sl_function *functions;
    sl_profile_sum *sums;
    uint32_t function_count;
    sl_profile_node *nodes;
    uint32_t node_count;
    sl_profile_line *lines;
    uint32_t line_count;
    sl_profile_stretch *stretches;
    uint32_t stretch_count;
    uint64_t quantum; /* of TREE, for the sections behind it */
};

/* An empty profile in an arena of its own. SL_ENOMEM, SL_ELIMIT. */
sl_status sl_profile_new(sl_profile **out, size_t max_bytes,
                         const sl_alloc *alloc);

/* Fills size, depth, total_ns and the sums from parent, self_ns and the
 * rest. SL_ENOMEM, SL_ELIMIT. */
sl_status sl_profile_derive(sl_profile *profile);

/* Decodes a blob's content, the zstd frame taken off: what the fuzzer feeds.
 * As sl_profile_decode else. */
sl_status sl_profile_decode_content(sl_profile **out, const void *content,
                                    size_t size, size_t max_bytes,
                                    const sl_alloc *alloc);

/* Whether it stands for work beside the request, by its name. */
bool sl_function_is_strand(const sl_function *function);

#endif /* SL_CORE_PROFILE_H */
