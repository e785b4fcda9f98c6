/* layout.h - a tree laid out in time and in threads, for formats that want
 * begin and end.
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

typedef struct {
    sl_place *places; /* by node */
    uint32_t *nodes;  /* all nodes, thread by thread, each in preorder */
    uint32_t *starts; /* by thread: its first of `nodes`; one more at the end */
    uint32_t threads;
} sl_layout;

/* Fine to free in any state, zeroed ones included. SL_ENOMEM. */
sl_status sl_layout_init(sl_layout *layout, const sl_profile *profile);
void sl_layout_free(sl_layout *layout);

/* Name of a thread: "request", "[task] 3". `room` of 32. */
const char *sl_layout_thread_name(const sl_layout *layout,
                                  const sl_profile *profile, uint32_t thread,
                                  char *room);

#endif /* SL_CORE_LAYOUT_H */
