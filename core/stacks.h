/* stacks.h - whole stacks, for formats that write one for each sample.
 *
 *   [request] > view > walk > walk > ... 49,744 frames ... > walk > walk >
 * visit
 *   `------ SL_STACKS_HEAD ------'  `-- SL_STACKS_GAP --'  `-- SL_STACKS_TAIL
 * --'
 *
 * Stacks that are deep on the average would make such a file as long as the
 * square of the profile: then the middle of each that is deeper than head and
 * tail together is left out. No time is: it stands at the innermost frame.
 */
#ifndef SL_CORE_STACKS_H
#define SL_CORE_STACKS_H

#include "slowlens/profile.h"

#define SL_STACKS_HEAD 64u
#define SL_STACKS_TAIL 192u
/* Stands for the frames that are left out; its name everywhere. */
#define SL_STACKS_GAP      UINT32_MAX
#define SL_STACKS_GAP_NAME "[...]"

typedef struct {
    const sl_profile *profile;
    bool whole;       /* no stack is cut */
    bool gap;         /* one is */
    uint32_t *heads;  /* by node: the node of its stack at the head's end */
    uint32_t *frames; /* room for one stack */
} sl_stacks;

/* Stacks of the profile's nodes, or (`timeline`) of its stretches. Fine to
 * free in any state, zeroed ones included. SL_ENOMEM. */
sl_status sl_stacks_init(sl_stacks *stacks, const sl_profile *profile,
                         bool timeline);
void sl_stacks_free(sl_stacks *stacks);

/* The stack of a node, outermost first: nodes, or SL_STACKS_GAP. Borrowed
 * until the next call. */
const uint32_t *sl_stacks_at(sl_stacks *stacks, uint32_t node, uint32_t *count);

#endif /* SL_CORE_STACKS_H */
