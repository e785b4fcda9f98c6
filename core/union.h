/* union.h - several profiles as one tree, for merging and comparing them.
 *
 * Functions are the same when name, file and kind are; where lines matter
 * (merging what one release recorded), their lines and call lines too. Texts
 * are borrowed: the profiles must outlive the union. One that grows for long
 * (slowlens/gather.h) copies them into `texts`, and has no more than node_max
 * nodes, and as many for what found no room: [truncated] below whatever has.
 */
#ifndef SL_CORE_UNION_H
#define SL_CORE_UNION_H

#include "union_spans.h"

#include "slowlens/profile.h"

typedef struct {
    uint64_t calls, resumes, self_ns, total_ns;
} sl_union_sum;

typedef struct {
    uint32_t parent; /* of node 0: 0 */
    uint32_t function;
    uint32_t line;
    uint32_t first, last, next; /* children and sibling; 0: none */
    bool folded;                /* holds what found no room below its parent */
    sl_union_sum side[2];
} sl_union_node;

typedef struct {
    uint32_t node, line;
    uint64_t wall_ns, cpu_ns, gil_ns;
} sl_union_line;

typedef struct {
    bool with_lines;
    sl_arena *texts;    /* of functions; NULL: borrowed */
    uint32_t node_max;  /* 0: as many as there are */
    uint32_t truncated; /* number of [truncated], where node_max is not 0 */
    uint64_t weight;    /* each number counts so often; 0: once */
    size_t row_room;    /* lines and counters until equal ones are added up */
    bool full;          /* something found no room */
    uint64_t seed; /* of the tables; 0 at first */
    sl_union_node *nodes;
    uint32_t node_count, node_capacity;
    uint32_t *node_slots; /* number + 1; 0: free */
    uint32_t node_mask;
    sl_function *functions;
    uint32_t function_count, function_capacity;
    uint32_t *function_slots;
    uint32_t function_mask;
    sl_union_line *lines;
    size_t line_count, line_capacity;
    sl_profile_counter *counters;
    size_t counter_count, counter_capacity;
    sl_union_spans spans;
} sl_union;

/* Adds the profile's numbers to `side` (0 or 1) of the union, which begins
 * zeroed but for with_lines. *functions and *nodes (may be NULL): for each
 * function or node of the profile its number here; free() them.
 * SL_ENOMEM; then the union may only be freed. */
sl_status sl_union_add(sl_union *u, const sl_profile *profile, int side,
                       uint32_t **functions, uint32_t **nodes);

/* Adds up equal rows of lines and of counters, and sorts both: by node and line,
 * by metric and node. */
void sl_union_compact(sl_union *u);

static inline void
sl_union_sum_add(sl_union_sum *to, const sl_union_sum *from)
{
    to->calls = sl_union_plus(to->calls, from->calls);
    to->resumes = sl_union_plus(to->resumes, from->resumes);
    to->self_ns = sl_union_plus(to->self_ns, from->self_ns);
    to->total_ns = sl_union_plus(to->total_ns, from->total_ns);
}

void sl_union_free(sl_union *u);

/* Bytes of memory that it holds. */
size_t sl_union_bytes(const sl_union *u);

/* The node after `i` in preorder, SL_UNION_END after the last; *depth moves
 * along. */
#define SL_UNION_END UINT32_MAX
uint32_t sl_union_next(const sl_union *u, uint32_t i, uint32_t *depth);

#endif /* SL_CORE_UNION_H */
