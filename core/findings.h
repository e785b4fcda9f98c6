/* findings.h - what explains the time of one profile: the ONE place that makes
 * its headline and its findings, whoever tells them (viewer, log, terminal,
 * CI).
 *
 *   wall time = waits that are nobody's work (event loop, CPU, GIL, client,
 *               collector)  +  layers (database, templates)  +  functions
 *
 * Whichever explains most comes first and is the headline. A wait for which the
 * profile knows what was waited for is told as that: the task behind an await,
 * the job behind a lock, the function that slept. Each finding names the line
 * of the project's own code, where one was on the stack.
 *
 * Linear in nodes, lines and counters but for one sort of what a layer took.
 */
#ifndef SL_CORE_FINDINGS_H
#define SL_CORE_FINDINGS_H

#include "buf.h"
#include "hotpath.h"
#include "outline.h"

#include "slowlens/finding.h"

#define SL_FINDINGS_MAX 16u
#define SL_FINDING_NONE UINT32_MAX

typedef struct {
    sl_finding_rule rule;
    uint64_t ns;    /* of the wall time, that it explains */
    uint64_t score; /* what puts it in order */
    uint64_t count; /* calls, queries; 0: not counted */
    uint32_t node;  /* what took it; SL_FINDING_NONE: nothing of the tree */
    uint32_t own;   /* node of the project's own code that asked for it */
    uint32_t line;  /* there; 0: not known */
    bool beside;    /* a task or thread that own code awaited */
    char fingerprint[17]; /* the same for the same rule and functions */
} sl_finding;

typedef struct {
    sl_finding items[SL_FINDINGS_MAX]; /* what explains most first */
    uint32_t count;
    uint64_t samples; /* behind the shares; UINT64_MAX: they are exact */
} sl_findings;

/* Finds them; `path` is the outline's hot path. SL_ENOMEM. */
sl_status sl_findings_find(const sl_outline *o, const sl_hotpath *path,
                           sl_findings *out);

/* Appends one sentence about a finding, with "file.py:12" of its line. */
void sl_finding_text(const sl_outline *o, const sl_findings *all,
                     const sl_finding *one, sl_buf *out);

/* Appends the headline: the sentence of the first finding, and what waited
 * beside it. */
void sl_findings_headline(const sl_outline *o, const sl_findings *all,
                          sl_buf *out);

/* Appends the words of those worth a mark in a list, joined by commas. */
void sl_findings_words(const sl_findings *all, sl_buf *out);

/* "dir/file.py", the last two parts of a function's file, which is no text that
 * ends with a NUL. */
const char *sl_finding_path(const sl_function *f, size_t *len);

#endif /* SL_CORE_FINDINGS_H */
