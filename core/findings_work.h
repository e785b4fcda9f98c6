/* findings_work.h - the rules about what a function does, whoever calls it:
 * JSON, copies, imports, passwords, tracebacks.
 *
 * Known by file and name (the table stands in findings_work.c). What runs below
 * such a function is its work, up to code of the project; of an import, also
 * that code.
 */
#ifndef SL_CORE_FINDINGS_WORK_H
#define SL_CORE_FINDINGS_WORK_H

#include "findings_places.h"

/* What each node does, as sl_finding_rule, SL_FINDING_HOT: nothing known;
 * free() it. NULL: no memory. */
uint8_t *sl_findings_kinds(sl_findings_work *w);

/* Where most of what a finding about a function tells is work of one kind, it
 * is told as that. */
void sl_findings_as_work(const sl_findings_work *w, const uint8_t *kinds,
                         sl_finding *f);

/* Adds the kinds that no finding tells yet. */
void sl_findings_work_add(sl_findings_work *w, const uint8_t *kinds);

#endif /* SL_CORE_FINDINGS_WORK_H */
