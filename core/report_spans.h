/* report_spans.h - where own code asked for a span. */
#ifndef SL_CORE_REPORT_SPANS_H
#define SL_CORE_REPORT_SPANS_H

#include "slowlens/profile.h"

/* The function and the line of own code that led to the span; of a profile
 * without own code there, those of its node. */
void sl_spans_own(const sl_profile *profile, const sl_profile_span *span,
                  uint32_t *function, uint32_t *line);

#endif /* SL_CORE_REPORT_SPANS_H */
