/* Two profiles (a length of two bytes, then the one, then the other): what is
 * merged or subtracted can be read again, and nothing of it is lost unsaid. */
#include "fuzz.h"

#include "slowlens/gather.h"
#include "slowlens/merge.h"

static uint64_t
calls_of(const sl_profile *profile)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++)
        sum += sl_profile_node_at(profile, i)->calls;
    return sum;
}

static uint64_t
asked_of(const sl_profile *profile)
{
    uint64_t sum = sl_profile_spans_lost(profile);
    for (uint32_t i = 0; i < sl_profile_span_count(profile); i++)
        sum += sl_profile_span_at(profile, i)->count;
    return sum;
}

/* The blob decodes; gives its profile. */
static sl_profile *
read_back(sl_status status, sl_bytes *blob)
{
    sl_profile *profile, *meta;

    demand(status == SL_OK);
    demand(sl_profile_decode(&profile, blob->data, blob->size, 0, NULL) ==
           SL_OK);
    demand(sl_profile_decode_meta(&meta, blob->data, blob->size, NULL) ==
           SL_OK);
    demand(sl_profile_summary_find(meta, "headline") != NULL);
    sl_profile_free(meta);
    sl_bytes_free(blob);
    return profile;
}

static void
check_merge(const sl_profile *a, const sl_profile *b)
{
    const sl_profile *const both[] = { a, b };
    sl_bytes blob = { 0 };
    sl_profile *merged =
        read_back(sl_merge(both, 2, NULL, 0, 1, &blob), &blob);

    if (sl_profile_summary_find(merged, "clipped") == NULL) {
        demand(calls_of(merged) == calls_of(a) + calls_of(b));
        demand(asked_of(merged) == asked_of(a) + asked_of(b));
    } else {
        demand(calls_of(merged) <= calls_of(a) + calls_of(b));
        demand(asked_of(merged) <= asked_of(a) + asked_of(b));
    }
    sl_profile_free(merged);
    sl_profile_free(read_back(sl_growth(a, b, NULL, 0, 1, &blob), &blob));
    fuzz_done(sl_report_diff(a, b, 1, &blob), &blob);
    fuzz_done(sl_report_aggregate(both, 2, 1, &blob), &blob);
}

/* In very little room, all the time of both is there. */
static void
check_gather(const sl_profile *a, const sl_profile *b)
{
    sl_gather *gather;
    sl_bytes blob = { 0 };

    demand(sl_gather_new(&gather, 4) == SL_OK);
    demand(sl_gather_add(gather, a, 1) == SL_OK);
    demand(sl_gather_add(gather, b, 3) == SL_OK);
    demand(sl_gather_nodes(gather) <= 8);
    sl_profile_free(
        read_back(sl_gather_encode(gather, NULL, 0, 1, &blob), &blob));
    sl_gather_free(gather);
}

/* So many that something may be named. */
static void
check_cohort(const sl_profile *a, const sl_profile *b)
{
    enum { MANY = 64 };
    const sl_profile *many[MANY];
    uint8_t group[MANY];
    sl_bytes report = { 0 };

    for (int i = 0; i < MANY; i++) {
        many[i] = i % 8 == 0 ? b : a;
        group[i] = (uint8_t)(i % 4 == 0 ? 2 : 1);
    }
    fuzz_done(sl_report_cohort(many, MANY, NULL, true, &report), &report);
    fuzz_done(sl_report_cohort(many, MANY, group, false, &report), &report);
    fuzz_done(sl_report_cohort(many, 1, NULL, true, &report), &report);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t first = (size_t)data[0] | (size_t)data[1] << 8;
    data += 2;
    size -= 2;
    first = first < size ? first : size;
    sl_profile *a = fuzz_decode(data, first);
    sl_profile *b = fuzz_decode(data + first, size - first);
    /* One profile is merged with itself. */
    if (a != NULL || b != NULL) {
        check_merge(a != NULL ? a : b, b != NULL ? b : a);
        check_gather(a != NULL ? a : b, b != NULL ? b : a);
        check_cohort(a != NULL ? a : b, b != NULL ? b : a);
    }
    sl_profile_free(a);
    sl_profile_free(b);
    return 0;
}
