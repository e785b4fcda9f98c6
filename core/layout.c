/* A tree laid out in time and in threads. */
#include "layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Nodes by their thread: counted, then each to its place. */
static sl_status
layout_threads(sl_layout *layout, uint32_t count)
{
    layout->starts = calloc((size_t)layout->threads + 2, sizeof(uint32_t));
    layout->nodes = malloc((size_t)count * sizeof(uint32_t));
    if (layout->starts == NULL || layout->nodes == NULL)
        return SL_ENOMEM;
    /* Shifted by two, so that filling leaves each start where it belongs. */
    uint32_t *next = layout->starts + 1;
    for (uint32_t i = 0; i < count; i++) {
        if (layout->places[i].thread + 1 < layout->threads)
            next[layout->places[i].thread + 1]++;
    }
    for (uint32_t t = 1; t < layout->threads; t++)
        next[t] += next[t - 1];
    for (uint32_t i = 0; i < count; i++)
        layout->nodes[next[layout->places[i].thread]++] = i;
    return SL_OK;
}

sl_status
sl_layout_init(sl_layout *layout, const sl_profile *profile)
{
    uint32_t count = sl_profile_node_count(profile);
    /* ends[i]: where the next child of node i begins */
    uint64_t *ends = malloc((size_t)count * sizeof(*ends));
    sl_place *places = malloc((size_t)count * sizeof(*places));

    *layout = (sl_layout){ .places = places, .threads = 1 };
    if (places == NULL || ends == NULL) {
        free(ends);
        return SL_ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        if (i == 0) {
            places[i] = (sl_place){ 0 };
        } else if (sl_profile_is_strand(profile, i)) {
            places[i] = (sl_place){ .thread = layout->threads++ };
        } else {
            const sl_place *parent = &places[node->parent];
            places[i] = (sl_place){ ends[node->parent], parent->thread,
                                    parent->depth + 1 };
            ends[node->parent] += node->total_ns;
        }
        ends[i] = places[i].start_ns;
    }
    free(ends);
    return layout_threads(layout, count);
}

void
sl_layout_free(sl_layout *layout)
{
    free(layout->places);
    free(layout->nodes);
    free(layout->starts);
    *layout = (sl_layout){ 0 };
}

const char *
sl_layout_thread_name(const sl_layout *layout, const sl_profile *profile,
                      uint32_t thread, char *room)
{
    if (thread == 0)
        return "request";
    uint32_t first = layout->nodes[layout->starts[thread]];
    const sl_profile_node *node = sl_profile_node_at(profile, first);
    const sl_function *f = sl_profile_function(profile, node->function);
    snprintf(room, 32, "%.12s %" PRIu32, f->name, thread);
    return room;
}
