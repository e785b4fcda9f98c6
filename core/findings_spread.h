/* findings_spread.h - what a function took wherever it was called from: what
 * no single path tells.
 *
 * The self time of each node is the own function's that it runs for (the
 * nearest frame of the project above it; of a comprehension, the function that
 * it stands in), and of what that function called to get there. So recursion
 * is one function, and so is a helper with twenty callers:
 *
 *   view > title > slug 9 %          97 % in shop.slug itself at shop.py:12,
 *        > link  > slug 8 %          called from 12 places
 *        > ...
 */
#ifndef SL_CORE_FINDINGS_SPREAD_H
#define SL_CORE_FINDINGS_SPREAD_H

#include "findings_places.h"

/* The function that explains most of a strand; out->ns 0: there is none.
 * Linear in nodes, lines, counters and spans, but for a sort of its callers.
 * SL_ENOMEM. */
sl_status sl_findings_spread(const sl_findings_work *w, uint32_t strand,
                             sl_finding *out);

#endif /* SL_CORE_FINDINGS_SPREAD_H */
