/* report_counts.h - what some requests of a route ask for more often: counts,
 * which are exact in both modes, before any time.
 *
 * For each kind (queries, HTTP requests, templates...), each text of one (the
 * shape of a query), and the bytes of the response: how many a request has. A
 * row is one of which slow requests have more than nine of ten usual ones do,
 * more often than chance gives (sl_cohort_is_more), and more on the average;
 * where groups were not chosen by wall time, fewer is told as well. Times need
 * sixty requests; a constant count is certain from twenty on.
 */
#ifndef SL_CORE_REPORT_COUNTS_H
#define SL_CORE_REPORT_COUNTS_H

#include "json.h"

#include "slowlens/profile.h"

#define SL_COUNTS_MAX 8u

typedef struct {
    const char *kind; /* of the profiles; "" : bytes of the response */
    const char *text; /* "": all of the kind */
    bool more;        /* else the first side has fewer */
    double slow, usual;             /* means */
    uint32_t slow_over, usual_over; /* requests that have (so) many */
    double p;
    uint32_t worst; /* the profile that has most */
} sl_counts_row;

typedef struct {
    sl_counts_row rows[SL_COUNTS_MAX]; /* what is told first comes first */
    uint32_t count;
    uint32_t slow, usual; /* requests */
} sl_counts;

/* `group` says of each profile 0, SL_COHORT_USUAL or SL_COHORT_SLOW.
 * SL_ENOMEM. */
sl_status sl_counts_find(const sl_profile *const *profiles, uint32_t count,
                         const uint8_t *group, bool by_wall, sl_counts *out);

/* Whether the first row is so much that it is told before any time: twice as
 * many, and five more. */
bool sl_counts_lead(const sl_counts *counts);

/* "The slow ones make 1500 queries where the usual ones make 10 (150 times as
 * many): SELECT ... at shop/views.py:12." */
void sl_counts_put_text(sl_buf *out, const sl_counts *counts, uint32_t row,
                        const sl_profile *const *profiles, bool by_wall);

/* "counts":[...], as merge.h has it. */
void sl_counts_put(sl_json *json, const sl_counts *counts,
                   const sl_profile *const *profiles, bool by_wall);

#endif /* SL_CORE_REPORT_COUNTS_H */
