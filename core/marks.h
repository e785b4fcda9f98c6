/* marks.h - what a sampler saw of a recording: lines, kinds of time, order.
 *
 *   mark     (node, line) -> wall, cpu, gil      where and how time passed
 *   stretch  lane: [from, to) in one node        when it passed
 *
 * It has an arena of its own: a sampler may fill it while the thread it looks
 * at is busy in the recording's tree. Nodes are only addresses here. Full or
 * out of memory, it takes no more and counts what it left out.
 */
#ifndef SL_CORE_MARKS_H
#define SL_CORE_MARKS_H

#include "arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const void *node;
    uint32_t line;
    uint64_t wall; /* ticks, like all times here */
    uint64_t cpu;  /* of these */
    uint64_t gil;  /* of these, waiting for the GIL */
} sl_mark;

typedef struct {
    const void *node;
    uint64_t from, to;
    uint32_t lane; /* 0: the main strand */
} sl_stretch;

typedef struct {
    sl_alloc alloc;
    sl_arena *arena; /* NULL until needed */
    sl_mark *marks;
    uint32_t *slots; /* number + 1; 0: free */
    uint32_t mark_count, mark_capacity;
    sl_stretch *stretches;
    uint32_t stretch_count, stretch_capacity;
    uint64_t wall, cpu, gil; /* sums over the marks of lane 0 */
    uint64_t lost;           /* marks and stretches that found no room */
} sl_marks;

/* Zeroed but for `alloc` is empty. _clear forgets all, keeping one block;
 * _free gives everything back and may be called in any state. */
void sl_marks_clear(sl_marks *marks);
void sl_marks_free(sl_marks *marks);

/* Adds the times of `add` to the mark of (add->node, add->line). */
void sl_marks_add(sl_marks *marks, const sl_mark *add);

/* Says that `lane` was in `node` from `from` to `to`. Goes on the stretch
 * before if it is the same node and no time lies between. Stretches of one
 * lane come in the order of time. */
void sl_marks_stretch(sl_marks *marks, const sl_stretch *add);

/* The nodes of the marks have other addresses now. */
void sl_marks_reslot(sl_marks *marks);

#endif /* SL_CORE_MARKS_H */
