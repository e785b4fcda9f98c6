#include "layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

sl_status
sl_layout_places(const sl_profile *profile, sl_place **out, uint32_t *threads)
{
    uint32_t count = sl_profile_node_count(profile);
    sl_place *places = malloc((size_t)count * sizeof(*places));
    /* ends[i]: where the next child of node i begins */
    uint64_t *ends = malloc((size_t)count * sizeof(*ends));

    if (places == NULL || ends == NULL) {
        free(places);
        free(ends);
        return SL_ENOMEM;
    }
    *threads = 1;
    for (uint32_t i = 0; i < count; i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        if (i == 0) {
            places[i] = (sl_place){ 0 };
        } else if (sl_profile_is_strand(profile, i)) {
            places[i] = (sl_place){ .thread = (*threads)++ };
        } else {
            const sl_place *parent = &places[node->parent];
            places[i] = (sl_place){ ends[node->parent], parent->thread,
                                    parent->depth + 1 };
            ends[node->parent] += node->total_ns;
        }
        ends[i] = places[i].start_ns;
    }
    free(ends);
    *out = places;
    return SL_OK;
}

const char *
sl_layout_thread_name(const sl_profile *profile, uint32_t first,
                      uint32_t thread, char *room)
{
    if (thread == 0)
        return "request";
    const sl_profile_node *node = sl_profile_node_at(profile, first);
    const sl_function *f = sl_profile_function(profile, node->function);
    snprintf(room, 32, "%.12s %" PRIu32, f->name, thread);
    return room;
}
