/* cohort.h - what some requests of a route do differently from the others.
 *
 *   requests x features -> which features account for the gap of the wall times
 *
 * A feature is a kind of waiting, a function's own time, or all below a place
 * of the tree. Who is chosen by wall time is slow in everything that is heavy,
 * by that choice alone, so no rank test can be asked. Instead, for each slow
 * request r
 *
 *   share_r  = (x_r - mean_usual x) / (W_r - mean_usual W)       cut to [-1, 1]
 *   share    = mean of share_r: one request that is far off does not carry it
 *   expected = what the feature's size and its spread would make of it anyway,
 *              max(mean x / mean W, (IQR x / IQR W)^2), .95 at most
 *   k        = (share - expected) / (1 - expected), and `low`, its lower bound
 *
 * A feature is NAMED when low is beyond a threshold; or when it is new: it ran
 * in slow ones more often than chance gives (Fisher's exact test, times the
 * features tried). Groups that were not chosen by wall time (release, host,
 * tag) are compared by their means instead: share = difference of x /
 * difference of W, expected = mean x / mean W.
 *
 * Requests are the observations, samples are not. Fewer than 60 say nothing.
 */
#ifndef SL_CORE_COHORT_H
#define SL_CORE_COHORT_H

#include "slowlens/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Requests that are needed at least; in a group that was named by its own. */
#define SL_COHORT_LEAST       60u
#define SL_COHORT_LEAST_GROUP 10u

enum { SL_COHORT_REST, SL_COHORT_USUAL, SL_COHORT_SLOW };

/* In the order in which they are told: a wait that is nobody's work explains
 * what functions only suffer. */
typedef enum {
    SL_COHORT_WAIT,
    SL_COHORT_FUNCTION,
    SL_COHORT_NODE
} sl_cohort_class;

typedef struct {
    uint32_t request, feature;
    uint64_t ns;
} sl_cohort_cell;

typedef struct {
    const sl_cohort_cell *cells; /* by feature, then request; each pair once */
    size_t count;
    const uint64_t *wall_ns; /* by request */
    const uint8_t *group;    /* by request: SL_COHORT_... */
    uint32_t requests;
    bool by_wall; /* the slow ones are slow because they were chosen so */
    const uint8_t *classes;  /* by feature */
    const uint32_t *parents; /* by feature: the place above it, of places */
    uint32_t features;
} sl_cohort;

#define SL_COHORT_NO_PARENT UINT32_MAX

typedef struct {
    uint32_t feature;
    bool named;
    bool wraps; /* would be, but a place below it says more */
    uint32_t slow_has,
        usual_has;      /* requests in which it is more than nothing */
    uint32_t over_half; /* slow ones in which it is most of what is too much */
    double slow_ns, usual_ns; /* means */
    double share, expected, k, low;
    double p_new; /* 1: it is no more often in the slow ones */
} sl_cohort_row;

/* The groups by wall time: a tenth (10 at least) is slow, the middle half is
 * usual. SL_ENOMEM. */
sl_status sl_cohort_split(const uint64_t *wall_ns, uint32_t requests,
                          uint8_t *group);

/* Groups' sizes and mean wall times. */
typedef struct {
    uint32_t slow, usual;
    double slow_ns, usual_ns;
    bool enough;
    bool apart; /* the wall times differ by more than chance and a twentieth */
} sl_cohort_gap;
sl_cohort_gap sl_cohort_measure(const sl_cohort *cohort);

/* A row for each feature that has cells, at most `room`; what is told first
 * comes first. Without enough requests nothing is named. SL_ENOMEM. */
sl_status sl_cohort_rows(const sl_cohort *cohort, sl_cohort_row *rows,
                         size_t room, size_t *count);

/* How likely it is that `a` or more of `slow` requests have what a + b of
 * slow + usual have: Fisher's exact test, one-sided. */
double sl_cohort_fisher(uint32_t a, uint32_t b, uint32_t slow, uint32_t usual);

/* Whether a value (of a tag, a host) that `a` of the slow and `b` of the usual
 * requests have is theirs: four slow ones at least, twice as often, and beyond
 * chance for so many values tried. */
bool sl_cohort_is_more(uint32_t a, uint32_t b, uint32_t slow, uint32_t usual,
                       uint32_t tried);

#endif /* SL_CORE_COHORT_H */
