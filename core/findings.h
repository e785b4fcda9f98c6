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
 * Linear in nodes, lines, counters and spans but for sorts of what a layer
 * took.
 */
#ifndef SL_CORE_FINDINGS_H
#define SL_CORE_FINDINGS_H

#include "buf.h"
#include "findings_places.h"

/* Fewer samples say nothing. */
#define SL_FINDINGS_SAMPLES_LEAST 5u

/* Finds them; `path` is the outline's hot path. SL_ENOMEM. */
sl_status sl_findings_find(const sl_outline *o, const sl_hotpath *path,
                           sl_findings *out);

/* Appends one sentence about a finding, with "file.py:12" of its line. */
void sl_finding_text(const sl_outline *o, const sl_findings *all,
                     const sl_finding *one, sl_buf *out);

/* Appends what people do about it, in a sentence or two: by what took the time,
 * and how often. */
void sl_finding_advice(const sl_outline *o, const sl_finding *one, sl_buf *out);

/* Appends the headline: the sentence of the first finding, and what waited
 * beside it. */
void sl_findings_headline(const sl_outline *o, const sl_findings *all,
                          sl_buf *out);

/* Appends the words of those worth a mark in a list, joined by commas. */
void sl_findings_words(const sl_findings *all, sl_buf *out);

#endif /* SL_CORE_FINDINGS_H */
