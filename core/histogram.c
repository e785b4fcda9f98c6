/* Base-2 exponential histograms, as OpenTelemetry has them: see histogram.h. */
#include "histogram.h"

#include <string.h>

/* floor(2^(63 + i/32)): the lower bounds of an octave's buckets at the even
 * places, their middles at the odd ones. A time is an integer and all bounds
 * but the first are irrational, so "above the floor" is "above the bound". */
static const uint64_t octave[32] = {
    UINT64_C(0x8000000000000000), UINT64_C(0x82CD8698AC2BA1D7),
    UINT64_C(0x85AAC367CC487B14), UINT64_C(0x88980E8092DA8527),
    UINT64_C(0x8B95C1E3EA8BD6E6), UINT64_C(0x8EA4398B45CD53C0),
    UINT64_C(0x91C3D373AB11C336), UINT64_C(0x94F4EFA8FEF70961),
    UINT64_C(0x9837F0518DB8A96F), UINT64_C(0x9B8D39B9D54E5538),
    UINT64_C(0x9EF5326091A111AD), UINT64_C(0xA27043030C496818),
    UINT64_C(0xA5FED6A9B15138EA), UINT64_C(0xA9A15AB4EA7C0EF8),
    UINT64_C(0xAD583EEA42A14AC6), UINT64_C(0xB123F581D2AC258F),
    UINT64_C(0xB504F333F9DE6484), UINT64_C(0xB8FBAF4762FB9EE9),
    UINT64_C(0xBD08A39F580C36BE), UINT64_C(0xC12C4CCA66709456),
    UINT64_C(0xC5672A115506DADD), UINT64_C(0xC9B9BD866E2F27A2),
    UINT64_C(0xCE248C151F8480E3), UINT64_C(0xD2A81D91F12AE45A),
    UINT64_C(0xD744FCCAD69D6AF4), UINT64_C(0xDBFBB797DAF23755),
    UINT64_C(0xE0CCDEEC2A94E111), UINT64_C(0xE5B906E77C8348A8),
    UINT64_C(0xEAC0C6E7DD24392E), UINT64_C(0xEFE4B99BDCDAF5CB),
    UINT64_C(0xF5257D152486CC2C), UINT64_C(0xFA83B2DB722A033A),
};

#define SUBS (1u << SL_HISTOGRAM_SCALE) /* buckets an octave */
#define STEP (32u / SUBS)               /* places of `octave` a bucket */

uint32_t
sl_histogram_bucket(uint64_t ns)
{
    if (ns <= 1)
        return 0;

    unsigned exponent = 63u - (unsigned)__builtin_clzll(ns);
    uint64_t m = ns << (63u - exponent);
    uint32_t sub = 0;

    if (m == octave[0]) /* a power of two is its lower bucket's last */
        return exponent * SUBS;
    for (uint32_t step = SUBS / 2; step > 0; step /= 2)
        sub += m > octave[(sub + step) * STEP] ? step : 0;
    return exponent * SUBS + sub + 1;
}

uint64_t
sl_histogram_middle(uint32_t bucket)
{
    if (bucket == 0)
        return 1;
    unsigned exponent = (bucket - 1) / SUBS;
    uint64_t m = octave[(bucket - 1) % SUBS * STEP + STEP / 2];
    uint64_t ns = m >> (63u - exponent);

    return ns > 0 ? ns : 1;
}

static uint64_t
add_up_to_max(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Makes memory for the buckets `low` to `high`. A histogram that grows at
 * least doubles, towards where it grows: what it leaves behind in the arena is
 * less than what it has. */
static sl_status
reserve(sl_histogram *h, sl_arena *arena, uint32_t low, uint32_t high)
{
    uint32_t from = low, to = high + 1;
    void *mem;

    if (h->width > 0) {
        uint32_t end = h->first + h->width;
        if (low >= h->first && high < end)
            return SL_OK;
        from = low < h->first ? low : h->first;
        to = high >= end ? high + 1 : end;
        uint32_t more =
            2 * h->width > to - from ? 2 * h->width - (to - from) : 0;
        if (low < h->first)
            from -= more < from ? more : from;
        else
            to += more;
    } else if (low == high) { /* the first time of all: an octave around it */
        from = low > SUBS / 2 ? low - SUBS / 2 : 0;
        to = from + SUBS;
    }
    to = to < SL_HISTOGRAM_BUCKETS ? to : SL_HISTOGRAM_BUCKETS;

    size_t width = to - from;
    sl_status status = sl_arena_take(arena, width * sizeof(uint64_t), &mem);
    if (status < 0)
        return status;
    memset(mem, 0, width * sizeof(uint64_t));
    if (h->width > 0)
        memcpy((uint64_t *)mem + (h->first - from), h->buckets,
               h->width * sizeof(uint64_t));
    h->buckets = mem;
    h->first = from;
    h->width = (uint32_t)width;
    return SL_OK;
}

sl_status
sl_histogram_reserve(sl_histogram *h, sl_arena *arena, uint32_t bucket)
{
    return bucket - h->first < h->width ? SL_OK
                                        : reserve(h, arena, bucket, bucket);
}

sl_status
sl_histogram_add(sl_histogram *h, sl_arena *arena, uint64_t ns)
{
    uint32_t bucket = sl_histogram_bucket(ns);
    sl_status status = sl_histogram_reserve(h, arena, bucket);

    if (status == SL_OK)
        sl_histogram_count(h, bucket, ns);
    return status;
}

sl_status
sl_histogram_merge(sl_histogram *h, sl_arena *arena, const sl_histogram *other)
{
    uint32_t low = 0, high = other->width;

    while (low < high && other->buckets[low] == 0)
        low++;
    while (high > low && other->buckets[high - 1] == 0)
        high--;
    if (low == high)
        return SL_OK;
    if (other->count > UINT64_MAX - h->count)
        return SL_ELIMIT;
    sl_status status =
        reserve(h, arena, other->first + low, other->first + high - 1);
    if (status < 0)
        return status;
    uint64_t *to = h->buckets + (other->first + low - h->first);
    for (uint32_t i = low; i < high; i++)
        *to++ += other->buckets[i];
    h->count += other->count;
    h->sum_ns = add_up_to_max(h->sum_ns, other->sum_ns);
    if (other->max_ns > h->max_ns)
        h->max_ns = other->max_ns;
    return SL_OK;
}

uint64_t
sl_histogram_quantile(const sl_histogram *h, double q)
{
    uint64_t seen = 0, rank;

    if (h->count == 0)
        return 0;
    q = q > 0 ? q : 0;
    /* Nearest rank: the first that at least q * count are at or below. */
    double exact = q * (double)h->count;
    rank = exact >= (double)h->count ? h->count : (uint64_t)exact;
    rank += rank < h->count && (double)rank < exact;
    rank += rank == 0;
    for (uint32_t i = 0; i < h->width; i++) {
        seen += h->buckets[i];
        if (seen >= rank) {
            uint64_t ns = sl_histogram_middle(h->first + i);
            return ns < h->max_ns ? ns : h->max_ns;
        }
    }
    return h->max_ns;
}

void
sl_histogram_put(const sl_histogram *h, sl_buf *out)
{
    uint32_t used = 0, next = 0;

    for (uint32_t i = 0; i < h->width; i++)
        used += h->buckets[i] > 0;
    sl_buf_put_varint(out, h->count);
    sl_buf_put_varint(out, h->sum_ns);
    sl_buf_put_varint(out, h->max_ns);
    sl_buf_put_varint(out, used);
    for (uint32_t i = 0; i < h->width; i++) {
        if (h->buckets[i] == 0)
            continue;
        sl_buf_put_varint(out, h->first + i - next);
        sl_buf_put_varint(out, h->buckets[i]);
        next = h->first + i + 1;
    }
}

/* Reads `used` buckets that hold `count` in all; with `h`, which has room for
 * them, adds them up. *low and *high become the outermost of them. */
static sl_status
get_buckets(sl_reader *at, uint64_t used, uint64_t count, sl_histogram *h,
            uint32_t *low, uint32_t *high)
{
    uint64_t left = count, gap, one, next = 0;

    for (uint64_t i = 0; i < used; i++) {
        if (sl_varint_get_max(at, SL_HISTOGRAM_BUCKETS - 1 - next, &gap) < 0 ||
            sl_varint_get_max(at, left, &one) < 0 || one == 0)
            return SL_ECORRUPT;
        left -= one;
        next += gap;
        if (i == 0)
            *low = (uint32_t)next;
        *high = (uint32_t)next;
        if (h != NULL)
            h->buckets[next - h->first] += one;
        if (++next == SL_HISTOGRAM_BUCKETS && i + 1 < used)
            return SL_ECORRUPT;
    }
    return left == 0 ? SL_OK : SL_ECORRUPT;
}

sl_status
sl_histogram_get(sl_reader *reader, sl_arena *arena, sl_histogram *h)
{
    sl_reader at = *reader, buckets;
    uint64_t count, sum, max, used;
    uint32_t low = 0, high = 0;

    if (sl_varint_get_max(&at, SL_HISTOGRAM_COUNT_MAX, &count) < 0 ||
        sl_varint_get(&at, &sum) < 0 || sl_varint_get(&at, &max) < 0 ||
        sl_varint_get_max(&at, SL_HISTOGRAM_BUCKETS, &used) < 0)
        return SL_ECORRUPT;
    buckets = at;
    if (get_buckets(&at, used, count, NULL, &low, &high) < 0)
        return SL_ECORRUPT;
    /* The greatest time is in the last bucket. */
    if (count > 0 ? sl_histogram_bucket(max) != high : max != 0 || sum != 0)
        return SL_ECORRUPT;
    if (h != NULL && count > UINT64_MAX - h->count)
        return SL_ELIMIT;
    if (h != NULL && count > 0) {
        sl_status status = reserve(h, arena, low, high);
        if (status < 0)
            return status;
        get_buckets(&buckets, used, count, h, &low, &high);
        h->count += count;
        h->sum_ns = add_up_to_max(h->sum_ns, sum);
        h->max_ns = max > h->max_ns ? max : h->max_ns;
    }
    *reader = at;
    return SL_OK;
}
