/* union_spans.h - what several profiles asked of others, as one table.
 *
 *   (node, line, kind, text, where) -> count and times, by side
 *
 * When each was is not kept, nor in which strand: of several profiles neither
 * means anything. A table that is bounded counts what finds no room for its
 * texts in a row of its kind, what finds no room for a row in one of its kind
 * at the root, and what finds neither in `lost`. */
#ifndef SL_CORE_UNION_SPANS_H
#define SL_CORE_UNION_SPANS_H

#include "arena.h"
#include "intern.h"

#include "slowlens/profile.h"

typedef struct {
    uint64_t count, total_ns, outer_ns, longest_ns;
} sl_union_span_sum;

/* Equal texts are one pointer. */
typedef struct {
    uint32_t node, line;
    const char *kind, *text, *where; /* NUL-terminated */
    sl_union_span_sum side[2];
} sl_union_span;

typedef struct {
    bool with_lines; /* else lines, also those of templates, are left out */
    uint32_t most;   /* rows; 0: as many as a blob may have */
    sl_arena *texts; /* borrowed, bounded; NULL: one of its own, which is not */
    sl_arena *own;
    sl_intern *words;
    uint64_t seed; /* of the slots; 0 at first */
    sl_union_span *rows;
    uint32_t count, capacity;
    uint32_t *slots; /* number + 1; 0: free */
    uint32_t mask;
    uint64_t lost[2]; /* by side */
    bool full;        /* something found no room */
} sl_union_spans;

/* Adds a span of a profile, `weight` times, at `node` and `line` here. The
 * table begins zeroed but for its first three members. SL_ENOMEM. */
sl_status sl_union_spans_add(sl_union_spans *s, const sl_profile_span *span,
                             uint32_t node, uint32_t line, uint64_t weight,
                             int side);

/* Sorts rows by node, then by their texts. No more can be added. */
void sl_union_spans_sort(sl_union_spans *s);

/* Bytes of memory that it holds, but for `texts`. */
size_t sl_union_spans_bytes(const sl_union_spans *s);

/* In any state; `texts` must still be there. */
void sl_union_spans_free(sl_union_spans *s);

/* a + b, or the largest number there is: profiles may hold up to 2^62 each. */
static inline uint64_t
sl_union_plus(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

/* `weight` times; 0 is once. */
static inline uint64_t
sl_union_times(uint64_t value, uint64_t weight)
{
    if (weight <= 1)
        return value;
    return value > UINT64_MAX / weight ? UINT64_MAX : value * weight;
}

#endif /* SL_CORE_UNION_SPANS_H */
