/* layout.h - a tree laid out in time, for formats that want begin and end.
 *
 *   request  |---------------------------|
 *   view     |-----------------|             children of one parent stand one
 *   dumps    |-----|                         after the other from its begin,
 *   copy           |-------|                 its own time comes last
 *
 * A thread is the request itself (0) or one strand that ran beside it: a
 * strand's tree begins at 0 in a thread of its own.
 */
#ifndef SL_CORE_LAYOUT_H
#define SL_CORE_LAYOUT_H

#include "slowlens/profile.h"

typedef struct {
    uint64_t start_ns;
    uint32_t thread;
    uint32_t depth; /* in its thread */
} sl_place;

/* The place of each node, and how many threads there are; free() *out.
 * SL_ENOMEM. */
sl_status sl_layout_places(const sl_profile *profile, sl_place **out,
                           uint32_t *threads);

/* Name of a thread by its first node: "request", "[task] 3". `room` of 32. */
const char *sl_layout_thread_name(const sl_profile *profile, uint32_t first,
                                  uint32_t thread, char *room);

#endif /* SL_CORE_LAYOUT_H */
