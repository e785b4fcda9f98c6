/* calls.h - a profile as functions and who called whom: what the formats
 * that know no tree (pstats, callgrind, DOT) are written from.
 *
 * Recursion: a total counts only where the same function (or the same pair)
 * is not already open above, so nothing exceeds the whole. The samples of a
 * sampled profile likewise: a node has those of its whole subtree.
 */
#ifndef SL_CORE_CALLS_H
#define SL_CORE_CALLS_H

#include "slowlens/alloc.h"
#include "slowlens/profile.h"

/* One function, or one caller-callee pair. */
typedef struct {
    uint32_t caller; /* of a pair */
    uint32_t callee;
    uint32_t line;      /* of a pair, where lines are told apart; else 0 */
    uint64_t calls;     /* resumes are none */
    uint64_t primitive; /* of these, not from within itself */
    uint64_t self_ns;
    uint64_t total_ns;
} sl_call;

typedef struct {
    sl_call *functions; /* by number; caller unused */
    sl_call *pairs;     /* by callee, then caller, then line */
    uint32_t function_count;
    uint32_t pair_count;
} sl_calls;

/* Sums up a profile; `by_line`: calls from another line are another pair. What
 * ran beside the request (strands) hangs under its pseudo function, whose own
 * callers are left out of every total.
 * SL_ENOMEM; then *out is empty. Free it with sl_calls_free. */
sl_status sl_calls_sum(const sl_profile *profile, bool by_line, sl_calls *out);
void sl_calls_free(sl_calls *calls);

#endif /* SL_CORE_CALLS_H */
