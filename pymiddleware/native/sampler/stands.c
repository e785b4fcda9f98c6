/* From the calling thread's frames to a node.
 *
 * Code that asks a database a hundred times does so from one place: the same
 * functions called from the same instructions. So what a stack came to is
 * kept by a hash of all its instructions, and the next one costs the walk
 * alone (a few ns a frame). */
#include "sampler/stands.h"
#include "look/own_stack.h"
#include "sampler/look.h"
#include "sampler/slots.h"
#include "sampler/strands.h"

#define KNOWN 1024u /* a power of 2 */

typedef struct {
    uint64_t hash;
    uint64_t serial; /* of the recording; 0: free */
    const sl_strand *strand;
    const void *node;
    uint32_t line;
} known_stack;

static known_stack known[KNOWN];

/* The thread's slot that was opened last for the recording. */
static sl_py_slot *
own_slot(const sl_py_sampled *sampled, const void *ts)
{
    sl_py_slot *found = NULL;

    for (int i = 0; i < sl_py_slots_used; i++) {
        sl_py_slot *s = &sl_py_slots[i];
        if (s->sampled == sampled && s->ts == ts &&
            (found == NULL || s->serial > found->serial))
            found = s;
    }
    return found;
}

/* The frames above the slot's anchor into sl_py_sampler.raw, with their hash.
 * -1: there is something about this stack that only the long way tells. */
static int
walk(const sl_py_slot *slot, uintptr_t frame, uint64_t *hash)
{
    sl_py_raw_frame *raw = sl_py_sampler.raw;
    int below = slot->below_count;
    int count = sl_py_own_walk(frame, below > 0 ? 0 : slot->anchor,
                               raw, SL_PY_WALK_MAX, hash);

    while (count >= 0 && below-- > 0) {
        int more =
            sl_py_own_walk(slot->below[below], below > 0 ? 0 : slot->anchor,
                           raw + count, SL_PY_WALK_MAX - count, hash);
        if (more > 0)
            sl_py_own_forget_line(raw + count);
        count = more < 0 ? -1 : count + more;
    }
    return count;
}

/* Line of the innermost of `used` frames in sl_py_sampler.stack. */
static uint32_t
line_of(uint32_t used)
{
    return used > 0 ? sl_py_sampler.stack[used - 1].line : 0;
}

static const void *
slot_stands(const sl_py_sampled *sampled, const sl_py_slot *slot,
            uintptr_t frame, uint32_t *line)
{
    uint64_t hash = sampled->serial;
    int count = walk(slot, frame, &hash);
    known_stack *at = &known[hash % KNOWN];

    if (count >= 0 && at->hash == hash && at->serial == sampled->serial &&
        at->strand == slot->strand) {
        *line = at->line;
        return at->node;
    }
    if (count < 0) { /* very deep, or a greenlet that was not told of */
        sl_py_parts parts = { .below = slot->below,
                              .count = slot->below_count };
        int read = SL_PY_WALK_MORE;
        for (int try = 0; try < SL_PY_LOOKS_AGAIN && read == SL_PY_WALK_MORE;
             try++) {
            if (try > 0)
                sl_py_lock_yield();
            read = sl_py_stack_read(slot->ts, slot->anchor, &parts);
        }
        uint32_t used = read > 0 ? sl_py_stack_fill(read) : 0;
        *line = line_of(used);
        return sl_strand_place(slot->strand, sl_py_sampler.stack, used);
    }
    /* The lock was given up: the frames are told anew, and are the same. */
    for (int try = 0; try < SL_PY_LOOKS_AGAIN &&
                      !sl_py_alive_known(sl_py_sampler.raw, count);
         try++) {
        hash = sampled->serial;
        if ((count = walk(slot, frame, &hash)) < 0)
            return sl_strand_place(slot->strand, sl_py_sampler.stack, 0);
    }
    uint32_t used = sl_py_alive_stack(sl_py_sampler.raw, count);
    const void *node = sl_strand_place(slot->strand, sl_py_sampler.stack, used);
    *line = line_of(used);
    if (used == 0 && count > 0) /* not to be read now: the next may be */
        return node;
    *at = (known_stack){ hash, sampled->serial, slot->strand, node, *line };
    return node;
}

/* Work in a context of the request that no slot looks at: the frames above the
 * innermost one that runs other contexts, as sampler/children.c has it. */
static const void *
child_stands(sl_py_sampled *sampled, PyThreadState *ts, uintptr_t frame,
             sl_strand **strand, uint32_t *line)
{
    uint64_t hash = 0;
    sl_py_child *child =
        sl_py_child_of_context(sampled, (uintptr_t)ts->context);

    *strand = child == NULL ? NULL
                            : sl_py_child_open(sampled, child, ts,
                                               sl_clock_ticks(sampled->clock));
    if (*strand == NULL)
        return NULL;
    int count;
    int tries = 0;
    do {
        count = sl_py_own_walk(frame, SL_PY_NO_ANCHOR, sl_py_sampler.raw,
                               SL_PY_WALK_MAX, &hash);
    } while (++tries < SL_PY_LOOKS_AGAIN &&
             !sl_py_alive_known(sl_py_sampler.raw, count));
    uint32_t used = count > 0 ? sl_py_alive_stack(sl_py_sampler.raw, count) : 0;
    if (used > 0)
        used = sl_py_stack_fill(sl_py_stack_cut(count));
    *line = line_of(used);
    return sl_strand_place(*strand, sl_py_sampler.stack, used);
}

const void *
sl_py_sampler_stands(sl_py_sampled *sampled, PyThreadState *ts, uintptr_t frame,
                     bool main, sl_strand **strand, uint32_t *line)
{
    const void *node;

    *line = 0;
    sl_py_lock();
    const sl_py_slot *slot = own_slot(sampled, ts);
    if (slot != NULL) {
        *strand = slot->strand;
        node = slot_stands(sampled, slot, frame, line);
    } else if (sampled->timed) { /* there is a tree of times alone */
        *strand = sl_recording_main(sampled->core);
        node = sl_strand_node(*strand);
    } else if (main) { /* there are more threads than slots */
        *strand = sl_recording_main(sampled->core);
        node = sl_strand_place(*strand, NULL, 0);
    } else {
        node = child_stands(sampled, ts, frame, strand, line);
    }
    sl_py_unlock_drop();
    return node;
}
