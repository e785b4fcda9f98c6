/* slowlens/report.h - a decoded profile as JSON and text for its readers. Files
 * for other tools: slowlens/export.h.
 *
 * Every function writes one document into *out (yours: sl_bytes_free), reads
 * the profile only and may run in any thread. They return SL_OK, SL_ENOMEM,
 * SL_ERANGE (no such node) or SL_ELIMIT. Arrays are always present. Times
 * are whole nanoseconds.
 */
#ifndef SL_REPORT_H
#define SL_REPORT_H

#include "slowlens/bytes.h"
#include "slowlens/profile.h"

/* FUNCTION below is
 *   {"id":3, "name":"Shop.view", "file":"/app/shop.py", "line":12,
 *    "kind":"python"|"c"|"pseudo"|"span",
 *    "origin":"project"|"library"|"stdlib"|"builtin"|"none"}
 */

/* {"meta":{key: number|string, ...}, "summary":{key: number|string, ...}} -
 * all there is in META and in SUMMARY; the rest need not be decoded. */
sl_status sl_report_meta(const sl_profile *profile, sl_bytes *out);

/* {"meta":{...}, "nodes":N, "functions":N, "calls":N (Python),
 *  "c_calls":N, "resumes":N, "strands":N, "wall_ns":N,
 *  "self_ns":{"project":N,"library":N,"stdlib":N,"builtin":N,"await":N,
 *             "loop":N,"idle":N,"gc":N,"other":N},    of the main strand
 *  "seen":{"wall_ns":N,"cpu_ns":N,"gil_ns":N},  as samples saw all strands
 *  "metrics":{key: N}, the whole of each counter (slowlens/metric.h)
 *  "shared_ns":N (what shares are of: wall_ns without what recording cost),
 *  "hot_path":[{"node":N,"function":FUNCTION,"call_line":N,
 *               "line":N (with most of its own samples, or where it begins),
 *               "total_ns":N,"calls":N}],
 *  "hot_text":"views.detail > copy.deepcopy 76%",
 *  "headline":"76 % in copy.deepcopy, called by views.detail at
 * app/views.py:9.",
 *  "findings":[{"rule":WORD,"title":str,"text":sentence,"advice":sentence,
 *               "fingerprint":str,"ns":N,"count":N (0: not counted),
 *               "node":N, "function":FUNCTION (both: if the tree has it),
 *               "file":str, "line":N (both: if own code asked for it)}],
 *  "heaviest":[{"function":FUNCTION,"calls":N,"self_ns":N,"total_ns":N}]}
 * `findings`: what explains the time, most first (slowlens/finding.h); the
 * fingerprint is the same for the same rule and functions in every run.
 * Calls are calls: that a generator went on stands in `resumes`. In a sampled
 * profile they are samples, and a function has each of them once.
 * `hot_path` are nodes from the root down, 500 at most, each the heaviest child
 * of the one before, as long as one child takes most of what there is (where it
 * awaited tasks or threads, on into those; `total_ns` is then the part of the
 * wait that they explain); `hot_text`
 * keeps the project's own frames of it and what they called last; `heaviest`
 * are the five functions with the most self time.
 * At a `glance` there are no "findings", whose search takes longer than all the
 * rest of a large tree, and "headline" is the sentence of whoever wrote the
 * blob: missing where he wrote none. */
sl_status sl_report_summary(const sl_profile *profile, bool glance,
                            sl_bytes *out);

typedef struct {
    uint32_t node;  /* whose children */
    uint32_t depth; /* levels below it; at least 1 */
    bool hot;       /* and the hot path from it, whole */
    uint32_t limit; /* rows at most; 0 means 2,000 */
} sl_report_tree_options;

/* {"node":N, "wall_ns":N, "truncated":bool (the limit was reached),
 *  "functions":[FUNCTION], (those the rows name)
 *  "hot":[node, ...],
 *  "rows":[{"node":N,"parent":N,"function":id,"call_line":N,"calls":N,
 *           "resumes":N,"self_ns":N,"total_ns":N,"cpu_ns":N,"gil_ns":N,
 *           "seen_ns":N,"children":N,
 *           "strand":bool}]}
 * A row never stands before its parent; the children of one parent stand
 * together, heaviest first. `seen_ns` is the part of the self time that
 * samples tell about, `cpu_ns` and `gil_ns` are parts of it, and the rest of
 * it was blocked. Children a row has but that are not among the
 * rows are to be asked for. When `node` is 0 its own row comes first. */
sl_status sl_report_tree(const sl_profile *profile,
                         const sl_report_tree_options *options, sl_bytes *out);

/* {"wall_ns":N, "rows":[{"function":FUNCTION,"calls":N,"resumes":N,
 *  "self_ns":N,"own_ns":N,"total_ns":N,"nodes":N}]} most self time first;
 * `limit` 0: all. `own_ns` is what recording cost it, and not in the others. */
sl_status sl_report_functions(const sl_profile *profile, uint32_t limit,
                              sl_bytes *out);

/* {"function":id, "name":str, "file":str, "line":N (of the definition),
 *  "wall_ns":N (of the request),
 *  "rows":[{"line":N (0: not known),"self_ns":N,"cpu_ns":N,"gil_ns":N,
 *           "called_ns":N,"calls":N,"hits":N}]} in the order of the lines.
 * `self_ns` and its parts come from samples, which divide what events told;
 * `hits` is there where events told each line that was begun, and `self_ns` is
 * exact then. `called_ns` is what was called from the line, recursion counted
 * once. SL_ERANGE: no such function. */
sl_status sl_report_lines(const sl_profile *profile, uint32_t function,
                          sl_bytes *out);

/* {"wall_ns":N, "rows":[{"node":N,"lane":N,"from_ns":N,"to_ns":N,
 *  "function":id,"depth":N}], "functions":[FUNCTION]} in the order of lane
 * and time: which node was innermost when. `limit` 0: all. */
sl_status sl_report_timeline(const sl_profile *profile, uint32_t limit,
                             sl_bytes *out);

/* The subtree of `node` in columns, for pictures of it:
 * {"node":N, "wall_ns":N (of the request), "truncated":bool, "least_ns":N,
 *  "functions":[FUNCTION],
 *  "nodes":[N], "parents":[index into these columns; the first: 0],
 *  "function":[index into functions], "call_lines":[N], "calls":[N, resumes
 *  included], "self_ns":[N], "total_ns":[N], "strands":[0|1]}
 * in preorder. With more nodes than `limit` (0: 200,000) those whose total is
 * below `least_ns` are left out with all below them: ask for a deeper node to
 * see more. SL_ERANGE: no such node. */
sl_status sl_report_flame(const sl_profile *profile, uint32_t node,
                          uint32_t limit, sl_bytes *out);

#define SL_REPORT_ALL UINT32_MAX

/* Functions, and who called whom:
 * {"wall_ns":N, "functions":[FUNCTION with "calls","self_ns","total_ns"],
 *  "pairs":[{"caller":id,"callee":id,"calls":N,"total_ns":N}]}
 * Of one `function`: all its callers and callees. Of SL_REPORT_ALL: functions
 * above `permille` of the wall time and the pairs among them above a fifth of
 * that. Recursion counts once. SL_ERANGE: no such function. */
sl_status sl_report_calls(const sl_profile *profile, uint32_t function,
                          uint32_t permille, sl_bytes *out);

/* Calls made many times from one line, most time first; `limit` 0: 50.
 * {"wall_ns":N, "exact":bool (false: sampled, so no calls were counted, but
 *                              what was asked of others: rows with "text"),
 *  "rows":[{"node":N (the heaviest), "function":FUNCTION, "caller":FUNCTION,
 *           "call_line":N,"calls":N,"total_ns":N,
 *           "text":S (of a span: what was asked for, at that line of own code,
 *                     by `function`)}]}
 * A call counts as repeated where each call of its caller makes 5 of it, and
 * the request 10. */
sl_status sl_report_repeats(const sl_profile *profile, uint32_t limit,
                            sl_bytes *out);

/* What was asked of others, and named pieces of work (slowlens/span.h), most
 * time first; `limit` 0: 200 rows. Spans that own code asked for at one line,
 * of one kind, text and place beside it, are one row.
 * {"wall_ns":N, "lost":N (spans that are in no row), "count":N (rows, all),
 *  "kinds":[{"kind":S,"count":N,"total_ns":N}], (without those within others
 *                                                of the kind)
 *  "rows":[{"kind":S,"text":S,"where":S,"count":N,"total_ns":N,"outer_ns":N,
 *    "longest_ns":N,"node":N (the heaviest),"lane":N,
 *    "function":FUNCTION,"line":N (of own code that asked for it),
 *    "in":FUNCTION (where it was asked)}],
 *  "firsts":[{"kind":S,"text":S,"node":N,"lane":N,"from_ns":N,"length_ns":N,
 *    "detail":S}]} at most 2,000, when the first ones of each row were. */
sl_status sl_report_spans(const sl_profile *profile, uint32_t limit,
                          sl_bytes *out);

/* The tree as indented text for people: nodes above `permille` of the wall
 * time (0: all), heaviest first, and what they asked of others. Not JSON. */
sl_status sl_report_text(const sl_profile *profile, uint32_t permille,
                         sl_bytes *out);

#endif /* SL_REPORT_H */
