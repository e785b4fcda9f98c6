/* report_spans.h - where own code asked for a span. */
#ifndef SL_CORE_REPORT_SPANS_H
#define SL_CORE_REPORT_SPANS_H

#include "slowlens/profile.h"

/* By node: itself or the one above it that own code called, UINT32_MAX: no own
 * code did. free() it; NULL: no memory. */
uint32_t *sl_spans_entries(const sl_profile *profile);

/* The function and the line of own code that led to the span; of a profile
 * without own code there, those of its node. `entries` is what the above gave:
 * a walk up for each span would be more than linear in a file of many. */
void sl_spans_own(const sl_profile *profile, const uint32_t *entries,
                  const sl_profile_span *span, uint32_t *function,
                  uint32_t *line);

#endif /* SL_CORE_REPORT_SPANS_H */
