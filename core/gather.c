/* A tree that the trees of many requests are added to. */
#include "merge.h"
#include "union.h"

#include "slowlens/gather.h"

#include <stdlib.h>

#define MAX_NODES 20000u
/* Bytes of the texts of functions, for each node that there may be. */
#define TEXT_A_NODE 256u
#define TEXT_LEAST  (64u << 10)

struct sl_gather {
    sl_union all;
    uint32_t max_nodes;
    uint64_t count;
};

sl_status
sl_gather_new(sl_gather **out, uint32_t max_nodes)
{
    sl_gather *gather = calloc(1, sizeof(*gather));
    if (gather == NULL)
        return SL_ENOMEM;
    gather->max_nodes = max_nodes != 0 ? max_nodes : MAX_NODES;
    *out = gather;
    return SL_OK;
}

void
sl_gather_free(sl_gather *gather)
{
    if (gather == NULL)
        return;
    sl_union_free(&gather->all);
    free(gather);
}

sl_status
sl_gather_add(sl_gather *gather, const sl_profile *profile, uint32_t weight)
{
    sl_union *all = &gather->all;

    if (all->texts == NULL) {
        size_t limit = (size_t)gather->max_nodes * TEXT_A_NODE + TEXT_LEAST;
        sl_status status = sl_arena_new(&all->texts, NULL, 0, limit);
        if (status < 0)
            return status;
        all->with_lines = true;
        all->node_max = gather->max_nodes;
    }
    all->weight = weight;
    sl_status status = sl_union_add(all, profile, 0, NULL, NULL);
    if (status == SL_OK)
        gather->count++;
    return status;
}

uint64_t
sl_gather_count(const sl_gather *gather)
{
    return gather->count;
}

uint32_t
sl_gather_nodes(const sl_gather *gather)
{
    return gather->all.node_count;
}

size_t
sl_gather_bytes(const sl_gather *gather)
{
    return sizeof(*gather) + sl_union_bytes(&gather->all);
}

bool
sl_gather_is_full(const sl_gather *gather)
{
    return gather->all.full;
}

sl_status
sl_gather_encode(sl_gather *gather, const sl_meta *meta, size_t meta_count,
                 int level, sl_bytes *out)
{
    sl_status status =
        sl_union_encode(&gather->all, meta, meta_count, level, out);
    sl_union_free(&gather->all);
    gather->count = 0;
    return status;
}
