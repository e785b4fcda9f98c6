#include "suites.h"

#include "fault.h"

#include "histogram.h"

#include <math.h>
#include <string.h>

static sl_arena *
new_arena(void)
{
    sl_arena *arena;
    ck_assert_int_eq(sl_arena_new(&arena, NULL, 0, 1 << 20), SL_OK);
    return arena;
}

static uint64_t
random_ns(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *state ^ *state >> 29;
    return x >> (*state >> 58);
}

START_TEST(buckets_are_those_of_the_specification)
{
    uint64_t state = 1;

    /* OpenTelemetry: index = ceil(log2(value) * 2^scale) - 1. */
    for (int i = 0; i < 200000; i++) {
        uint64_t ns = random_ns(&state);
        if (ns < 2 || ns > UINT64_C(1) << 52)
            continue;
        long double index = ceill(log2l((long double)ns) * 16) - 1;
        ck_assert_uint_eq(sl_histogram_bucket(ns), (uint32_t)index + 1);
    }
    ck_assert_uint_eq(sl_histogram_bucket(0), 0);
    ck_assert_uint_eq(sl_histogram_bucket(1), 0);
    ck_assert_uint_eq(sl_histogram_bucket(UINT64_MAX),
                      SL_HISTOGRAM_BUCKETS - 1);
    for (unsigned e = 1; e < 64; e++) { /* bounds are inclusive above */
        ck_assert_uint_eq(sl_histogram_bucket(UINT64_C(1) << e), e * 16);
        if (e > 4)
            ck_assert_uint_eq(sl_histogram_bucket((UINT64_C(1) << e) + 1),
                              e * 16 + 1);
    }
}
END_TEST

START_TEST(a_middle_is_near_all_of_its_bucket)
{
    uint64_t state = 2;

    for (int i = 0; i < 100000; i++) {
        uint64_t ns = random_ns(&state);
        if (ns < 1000)
            continue;
        uint32_t bucket = sl_histogram_bucket(ns);
        double middle = (double)sl_histogram_middle(bucket);
        ck_assert_double_le(fabs(middle / (double)ns - 1), .0222);
        ck_assert_uint_eq(sl_histogram_bucket(sl_histogram_middle(bucket)),
                          bucket);
    }
}
END_TEST

START_TEST(quantiles_are_near_the_exact_ones)
{
    enum { N = 10000 };
    static uint64_t all[N];
    sl_arena *arena = new_arena();
    sl_histogram h = { 0 };

    for (int i = 0; i < N; i++)
        all[i] = (uint64_t)(1e6 * exp((double)i / N * 6)); /* rising */
    for (int i = 0; i < N; i++) /* each once, in another order */
        sl_histogram_add(&h, arena, all[i * 7919 % N]);
    for (int p = 1; p < 100; p++) {
        double want = (double)all[(p * N + 99) / 100 - 1];
        double got = (double)sl_histogram_quantile(&h, p / 100.);
        ck_assert_double_le(fabs(got / want - 1), .0222);
    }
    ck_assert_uint_eq(sl_histogram_quantile(&h, 1), all[N - 1]);
    ck_assert_uint_eq(h.max_ns, all[N - 1]);
    sl_arena_free(arena);
}
END_TEST

START_TEST(few_times_have_sane_quantiles)
{
    sl_arena *arena = new_arena();
    sl_histogram h = { 0 };

    ck_assert_uint_eq(sl_histogram_quantile(&h, .5), 0);
    sl_histogram_add(&h, arena, 1000000);
    for (int p = 0; p <= 100; p++) /* never above the greatest */
        ck_assert_uint_le(sl_histogram_quantile(&h, p / 100.), 1000000);
    sl_histogram_add(&h, arena, 0);
    ck_assert_uint_le(sl_histogram_quantile(&h, .5), 1);
    ck_assert_uint_ge(sl_histogram_quantile(&h, .51), 970000);
    sl_arena_free(arena);
}
END_TEST

static void
same(const sl_histogram *a, const sl_histogram *b)
{
    ck_assert_uint_eq(a->count, b->count);
    ck_assert_uint_eq(a->sum_ns, b->sum_ns);
    ck_assert_uint_eq(a->max_ns, b->max_ns);
    for (uint32_t i = 0; i < SL_HISTOGRAM_BUCKETS; i++) {
        uint64_t x = i - a->first < a->width ? a->buckets[i - a->first] : 0;
        uint64_t y = i - b->first < b->width ? b->buckets[i - b->first] : 0;
        ck_assert_uint_eq(x, y);
    }
}

START_TEST(parts_add_up_to_the_whole)
{
    sl_arena *arena = new_arena();
    sl_histogram whole = { 0 }, parts[7] = { 0 }, sum = { 0 }, read = { 0 };
    uint64_t state = 3;

    for (int i = 0; i < 5000; i++) {
        uint64_t ns = random_ns(&state);
        sl_histogram_add(&whole, arena, ns);
        sl_histogram_add(&parts[i % 7], arena, ns);
    }
    for (int i = 0; i < 7; i++) {
        sl_buf buf;
        ck_assert_int_eq(sl_histogram_merge(&sum, arena, &parts[i]), SL_OK);
        sl_buf_init(&buf, NULL, 0);
        sl_histogram_put(&parts[i], &buf);
        sl_reader reader = { buf.data, buf.data + buf.size };
        ck_assert_int_eq(sl_histogram_get(&reader, arena, &read), SL_OK);
        ck_assert_ptr_eq(reader.pos, reader.end);
        sl_buf_free(&buf);
    }
    same(&whole, &sum);
    same(&whole, &read);
    sl_arena_free(arena);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    sl_arena *arena = new_arena();
    sl_histogram h = { 0 }, got = { 0 };
    uint64_t state = 4;
    sl_buf buf;

    for (int i = 0; i < 300; i++)
        sl_histogram_add(&h, arena, random_ns(&state));
    sl_buf_init(&buf, NULL, 0);
    sl_histogram_put(&h, &buf);
    for (size_t cut = 0; cut < buf.size; cut++) {
        sl_reader reader = { buf.data, buf.data + cut };
        ck_assert_int_eq(sl_histogram_get(&reader, arena, &got), SL_ECORRUPT);
        ck_assert_ptr_eq(reader.pos, buf.data);
        ck_assert_uint_eq(got.count, 0);
        ck_assert_uint_eq(got.width, 0);
    }
    sl_buf_free(&buf);
    sl_arena_free(arena);
}
END_TEST

START_TEST(what_does_not_agree_is_refused)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {
        { "\x01\x02\x02\x01\x10\x02", 6 },     /* more in it than counted */
        { "\x02\x04\x02\x01\x10\x01", 6 },     /* less */
        { "\x01\x02\x02\x01\x20\x01", 6 },     /* greatest in another bucket */
        { "\x00\x05\x00\x00", 4 },             /* a sum of nothing */
        { "\x01\x02\x02\x01\x81\x08\x01", 7 }, /* no such bucket */
        { "\x00\x00\x00\x01\x00\x00", 6 },     /* an empty bucket */
    };
    static const uint8_t good[] = "\x01\x02\x02\x01\x10\x01";
    sl_arena *arena = new_arena();
    sl_histogram h = { 0 };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const uint8_t *at = (const uint8_t *)bad[i].bytes;
        sl_reader reader = { at, at + bad[i].size };
        ck_assert_int_eq(sl_histogram_get(&reader, arena, &h), SL_ECORRUPT);
        ck_assert_ptr_eq(reader.pos, at);
        ck_assert_uint_eq(h.count, 0);
    }
    sl_reader reader = { good, good + 6 };
    ck_assert_int_eq(sl_histogram_get(&reader, arena, &h), SL_OK);
    ck_assert_uint_eq(h.max_ns, 2);
    sl_arena_free(arena);
}
END_TEST

START_TEST(no_memory_changes_nothing)
{
    sl_histogram h = { 0 };
    fault f;
    sl_arena *arena;

    fault_init(&f, 1); /* one chunk of 4 KiB */
    ck_assert_int_eq(sl_arena_new(&arena, &f.alloc, 0, 1 << 20), SL_OK);
    uint64_t counted = 0;
    for (int e = 0; e < 64; e++) {
        uint64_t ns = UINT64_C(1) << e;
        sl_histogram before = h;
        sl_status status = sl_histogram_add(&h, arena, ns);
        counted += status == SL_OK;
        if (status < 0) {
            ck_assert_int_eq(status, SL_ENOMEM);
            ck_assert_mem_eq(&before, &h, sizeof(h));
        }
    }
    ck_assert_uint_eq(h.count, counted);
    ck_assert_uint_lt(counted, 64);
    sl_arena_free(arena);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

Suite *
histogram_suite(void)
{
    const TTest *const tests[] = { buckets_are_those_of_the_specification,
                                   a_middle_is_near_all_of_its_bucket,
                                   quantiles_are_near_the_exact_ones,
                                   few_times_have_sane_quantiles,
                                   parts_add_up_to_the_whole,
                                   every_truncation_is_refused,
                                   what_does_not_agree_is_refused,
                                   no_memory_changes_nothing,
                                   NULL };
    return suite_of("histogram", tests);
}
