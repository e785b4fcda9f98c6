/* findings_text.h - what the sentences of findings are put together from. */
#ifndef SL_CORE_FINDINGS_TEXT_H
#define SL_CORE_FINDINGS_TEXT_H

#include "findings.h"

/* Appends "76 %", "About 80 %" of few samples unless it was `measured`, "Under
 * 1 %" rather than nothing. `first`: a sentence begins with it. */
void sl_findings_put_percent(const sl_outline *o, const sl_findings *all,
                             uint64_t ns, bool measured, bool first,
                             sl_buf *out);

/* Appends the function's name; of a comprehension, that of the function it is
 * part of. */
void sl_findings_put_name(const sl_outline *o, uint32_t node, sl_buf *out);

/* Appends what follows the share: " in copy.deepcopy, called by ...". */
void sl_findings_put_rest(const sl_outline *o, const sl_findings *all,
                          const sl_finding *f, sl_buf *out);

#endif /* SL_CORE_FINDINGS_TEXT_H */
