/* slowlens/merge.h - several profiles as one, and how two differ.
 *
 *   sl_merge       what all took together: an ordinary blob, to be read,
 *                  reported and exported like one (the mean of a route is its
 *                  numbers divided by how many were merged)
 *   sl_growth      what `after` took and `before` did not: an ordinary blob
 *                  too. A difference has two signs and the formats know one:
 *                  exchange the two to see what became less
 *   sl_report_diff both numbers of everything, for the viewer and scripts
 *   sl_report_aggregate  how each node spread over the profiles of a route
 *   sl_report_cohort     what its slow ones do differently from the usual ones
 *
 * All read the profiles only and may run in any thread.
 */
#ifndef SL_MERGE_H
#define SL_MERGE_H

#include "slowlens/bytes.h"
#include "slowlens/profile.h"

/* Writes the sum of `count` profiles as a blob with `meta` in it. Functions
 * are the same when name, file, line and kind are; nodes when their paths and
 * call lines are; spans when node, line, kind, text and line of a template are.
 * Times in order (TIMELINE, the first spans') have no sum and are left out.
 * SL_ERANGE (no profile, or too much metadata), SL_ENOMEM, SL_ELIMIT,
 * SL_ECOMPRESS. */
sl_status sl_merge(const sl_profile *const *profiles, size_t count,
                   const sl_meta *meta, size_t meta_count, int level,
                   sl_bytes *out);

/* Writes what `after` has more than `before`, node by node and span by span, as
 * a blob. Lines are not compared: they move from release to release. As
 * sl_merge else. */
sl_status sl_growth(const sl_profile *before, const sl_profile *after,
                    const sl_meta *meta, size_t meta_count, int level,
                    sl_bytes *out);

/* {"before_ns":N, "after_ns":N,   (wall)
 *  "functions":[{"name":S,"file":S,"line":N,"kind":S,"origin":S,
 *    "before":SUM,"after":SUM}],
 *  "rows":[{"node":N,"parent":N,"function":N,"depth":N,"strand":bool,
 *    "before":SUM,"after":SUM}],
 *  "kinds":[{"kind":S,"before":ASKED,"after":ASKED}],
 *  "spans":[{"kind":S,"text":S,"before":ASKED,"after":ASKED}]}
 * SUM is {"calls":N,"resumes":N,"self_ns":N,"total_ns":N}; calls are samples
 * in sampled profiles. ASKED is {"count":N,"total_ns":N,"outer_ns":N,
 * "longest_ns":N}, counted in both modes; kinds and texts (of queries: their
 * shapes) stand by the size of the change of their time, 500 at most.
 * `functions` stand by the size of the change of their self time, and a row's
 * `function` is an index into them. Rows are in preorder; those whose total is
 * below `permille` of the longer wall time on both sides are left out with
 * all below them. SL_ENOMEM, SL_ELIMIT. */
sl_status sl_report_diff(const sl_profile *before, const sl_profile *after,
                         uint32_t permille, sl_bytes *out);

/* {"count":N (profiles), "total_ns":N (wall of all),
 *  "functions":[FUNCTION], (slowlens/report.h)
 *  "rows":[{"node":N,"parent":N,"function":id,"depth":N,"call_line":N,
 *    "calls":N,"resumes":N,"self_ns":N,"total_ns":N,   (sums; `count` for
 *                                                      the mean)
 *    "p95_ns":N,"max_ns":N,                (of a profile's total)
 *    "worst":N (index of the profile with that maximum),
 *    "present":N (profiles with time there)}],
 *  "spans":[{"kind":S,"text":S,"count":N,"total_ns":N,"outer_ns":N,
 *    "longest_ns":N,"most":N (count, of the profile "worst"),"worst":N,
 *    "present":N (profiles that asked it)}]} those with most time first, 500
 * Rows are in preorder; those below `permille` of total_ns are left out with
 * all below them, and none stand after the 20,000th. SL_ERANGE (no profile),
 * SL_ENOMEM, SL_ELIMIT. */
sl_status sl_report_aggregate(const sl_profile *const *profiles, size_t count,
                              uint32_t permille, sl_bytes *out);

/* What some profiles of a route do differently: `group` says of each whether it
 * is left out (0), one of the usual (1) or of the slow ones (2), and `by_wall`
 * whether its wall time said so; NULL: by wall time, the slowest tenth against
 * the middle half.
 * {"count":N, "slow":N, "usual":N, "slow_ns":N, "usual_ns":N, (means of wall)
 *  "by_wall":bool, "enough":bool (false: too few, nothing is named),
 *  "answer":sentence (counts that are far apart before times),
 *  "counts":[{"kind":str ("": bytes of the response), "shape":str ("": all of
 *    the kind), "text":sentence, "slow":number, "usual":number (means),
 *    "slow_over":N, "usual_over":N (requests that have so many, or so few),
 *    "p":number, "worst":N (index of the profile with most),
 *    "file":str, "line":N (where own code asks for it)}], (exact in both
 *    modes, from twenty requests on)
 *  "named":[ROW], (what accounts for the gap, first what is told first)
 *  "largest":[ROW], (three more, that do not)
 *  "tags":[{"key":"tag.user"|"host"|"release", "value":str, "slow":N,
 *           "usual":N, "p":number, "text":str}]} those that slow ones have more
 * ROW is {"what":"wait"|"function"|"node", "name":str, "text":sentence,
 *  "function":FUNCTION, "file":str, "line":N, (not of waits; where own code
 *                                             asked for it)
 *  "worst":N (index of the profile with most of it),
 *  "share":number, "expected":number, "low":number, (core/cohort.h)
 *  "p_new":number (1: no more often), "slow_ns":N, "usual_ns":N (means),
 *  "slow_has":N, "usual_has":N, "over_half":N}
 * SL_ERANGE (no profile, or more than 2,000), SL_ENOMEM, SL_ELIMIT. */
sl_status sl_report_cohort(const sl_profile *const *profiles, size_t count,
                           const uint8_t *group, bool by_wall, sl_bytes *out);

#endif /* SL_MERGE_H */
