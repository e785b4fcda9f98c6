/* histogram.h - times in OpenTelemetry's base-2 exponential buckets.
 *
 * Scale 4: sixteen buckets an octave, each 4.4 % wide, so that a quantile is
 * off by 2.2 % at most. Bucket 0 holds 0 and 1 ns; bucket b holds the times in
 *
 *   ( 2^((b - 1) / 16), 2^(b / 16) ] ns      upper bound inclusive
 *
 * which is OpenTelemetry's index b - 1 (Metrics Data Model, "Exponential
 * Histogram"). Two histograms add up exactly: bucket by bucket, nothing is
 * estimated. Only the buckets between the least and the greatest time have
 * memory, taken from an arena that the caller names.
 */
#ifndef SL_CORE_HISTOGRAM_H
#define SL_CORE_HISTOGRAM_H

#include "arena.h"
#include "buf.h"
#include "varint.h"

#include <stdint.h>

#define SL_HISTOGRAM_SCALE   4
#define SL_HISTOGRAM_BUCKETS 1025u /* 0 and up to 2^64 ns */
/* What a reader accepts, so that sums of what was read fit 64 bits. */
#define SL_HISTOGRAM_COUNT_MAX (UINT64_C(1) << 48)

/* Zeroed: empty. Plain data; its memory is the arena's. */
typedef struct {
    uint64_t count;
    uint64_t sum_ns; /* stops at UINT64_MAX, 584 years */
    uint64_t max_ns;
    uint64_t *buckets; /* bucket `first` and the `width` - 1 after it */
    uint32_t first, width;
} sl_histogram;

/* The bucket of a time, 0 to SL_HISTOGRAM_BUCKETS - 1. Exact: no floating
 * point takes part. */
uint32_t sl_histogram_bucket(uint64_t ns);

/* The middle of a bucket in ns, by the geometric mean of its bounds. */
uint64_t sl_histogram_middle(uint32_t bucket);

/* Counts one time, a few ns where the bucket has memory. SL_ENOMEM, SL_ELIMIT:
 * not counted, nothing changed. For tests: a table counts in two steps. */
sl_status sl_histogram_add(sl_histogram *h, sl_arena *arena, uint64_t ns);

/* The same in two steps: memory for a bucket (SL_ENOMEM, SL_ELIMIT), then the
 * time, which lies in that bucket, without any failure. */
sl_status sl_histogram_reserve(sl_histogram *h, sl_arena *arena,
                               uint32_t bucket);
static inline void
sl_histogram_count(sl_histogram *h, uint32_t bucket, uint64_t ns)
{
    h->buckets[bucket - h->first]++;
    h->count++;
    h->sum_ns = h->sum_ns > UINT64_MAX - ns ? UINT64_MAX : h->sum_ns + ns;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

/* Adds all of `other`. As sl_histogram_add else; SL_ELIMIT also where the two
 * counts do not fit 64 bits. */
sl_status sl_histogram_merge(sl_histogram *h, sl_arena *arena,
                             const sl_histogram *other);

/* The time that a share `q` (0 to 1) of all stayed below or at: the middle of
 * the bucket that holds it, never above the greatest. 0 when empty. */
uint64_t sl_histogram_quantile(const sl_histogram *h, double q);

/* Appends: count, sum, greatest, number of buckets in use; for each of them
 * the number of empty buckets before it (since the last one) and its count. */
void sl_histogram_put(const sl_histogram *h, sl_buf *out);

/* Reads one that sl_histogram_put wrote and adds it to `h`; NULL: only checks
 * it and moves past it. On SL_ECORRUPT, SL_ENOMEM, SL_ELIMIT neither reader
 * nor `h` has changed. */
sl_status sl_histogram_get(sl_reader *reader, sl_arena *arena, sl_histogram *h);

#endif /* SL_CORE_HISTOGRAM_H */
