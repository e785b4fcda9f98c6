/* calls.h - a profile as functions and who called whom: what the formats
 * that know no tree (pstats, callgrind, DOT) are written from.
 *
 * Recursion: a total counts only where the same function (or the same pair)
 * is not already open above, so nothing exceeds the whole.
 */
#ifndef SL_CORE_CALLS_H
#define SL_CORE_CALLS_H

#include "slowlens/alloc.h"
#include "slowlens/profile.h"

/* One function, or one caller-callee pair. */
typedef struct {
    uint32_t caller; /* of a pair */
    uint32_t callee;
    uint64_t calls;     /* resumes included */
    uint64_t primitive; /* of these, not from within itself */
    uint64_t self_ns;
    uint64_t total_ns;
} sl_call;

typedef struct {
    sl_call *functions; /* by number; caller unused */
    sl_call *pairs;     /* by callee, then caller */
    uint32_t function_count;
    uint32_t pair_count;
} sl_calls;

/* Sums up a profile. What ran beside the request (strands) hangs under its
 * pseudo function, whose own callers are left out of every total.
 * SL_ENOMEM; then *out is empty. Free it with sl_calls_free. */
sl_status sl_calls_sum(const sl_profile *profile, sl_calls *out);
void sl_calls_free(sl_calls *calls);

#endif /* SL_CORE_CALLS_H */
