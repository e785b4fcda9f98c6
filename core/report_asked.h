/* report_asked.h - what several profiles asked of others, beside each other. */
#ifndef SL_CORE_REPORT_ASKED_H
#define SL_CORE_REPORT_ASKED_H

#include "json.h"

#include "slowlens/profile.h"

/* "kinds" and "spans" of sl_report_diff: `both` is before and after.
 * SL_ENOMEM. */
sl_status sl_put_asked_diff(sl_json *json, const sl_profile *const both[2]);

/* "spans" of sl_report_aggregate. SL_ENOMEM. */
sl_status sl_put_asked_spread(sl_json *json, const sl_profile *const *profiles,
                              size_t count);

#endif /* SL_CORE_REPORT_ASKED_H */
