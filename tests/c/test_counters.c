#include "suites.h"

#include "counters.h"
#include "fault.h"
#include "sample.h"

#include "slowlens/merge.h"

START_TEST(a_node_has_a_sum_of_each_metric)
{
    static const char nodes[500][8];
    sl_counters counters = { .alloc = sl_alloc_libc };
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 500; i++) {
            sl_counters_add(&counters, nodes[i], SL_METRIC_LOCK, (uint64_t)i);
            sl_counters_add(&counters, nodes[i], SL_METRIC_DISK, 1);
        }
    }
    ck_assert_uint_eq(counters.count, 999); /* 0 is nothing */
    for (uint32_t i = 0; i < counters.count; i++) {
        const sl_counter *row = &counters.rows[i];
        size_t at = (size_t)((const char(*)[8])row->node - nodes);
        ck_assert_uint_eq(row->value,
                          row->metric == SL_METRIC_LOCK ? 3 * at : 3);
    }
    sl_counters_clear(&counters);
    sl_counters_add(&counters, nodes[7], SL_METRIC_LOCK, 5);
    ck_assert_uint_eq(counters.count, 1);
    sl_counters_free(&counters);
}
END_TEST

START_TEST(what_finds_no_room_is_counted)
{
    fault f;
    fault_init(&f, 0);
    sl_counters counters = { .alloc = f.alloc };
    sl_counters_add(&counters, &f, SL_METRIC_LOCK, 5);
    ck_assert_uint_eq(counters.lost, 1);
    ck_assert_uint_eq(counters.count, 0);
    sl_counters_free(&counters);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

/* By way of a blob, twice encoded, and of a merge. */
START_TEST(they_arrive)
{
    sl_recording_options options = { 0 };
    sl_recording *r;
    sl_bytes blob;
    sl_profile *p, *sum;
    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    sl_strand *main = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();
    sl_strand_count(main, SL_METRIC_SOCKET, 40);
    sl_strand_enter(main, VIEW, SL_KIND_PYTHON, t += 10);
    sl_strand_count(main, SL_METRIC_SOCKET, 2);
    sl_strand_count(main, SL_METRIC_LOCK, 7);
    sl_strand_leave(main, VIEW, t += 10);
    sl_recording_stop(r, t);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(
            sl_recording_encode(r, NULL, 0, sample_describe, NULL, 0, &blob),
            SL_OK);
        ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                         SL_OK);
        sl_bytes_free(&blob);
        ck_assert_uint_eq(sl_profile_counter_count(p), 3);
        ck_assert_uint_eq(sl_profile_counter_of(p, SL_METRIC_SOCKET, 0), 40);
        ck_assert_uint_eq(sl_profile_counter_of(p, SL_METRIC_SOCKET, 1), 2);
        ck_assert_uint_eq(sl_profile_counter_of(p, SL_METRIC_LOCK, 1), 7);
        ck_assert_uint_eq(sl_profile_counter_of(p, SL_METRIC_LOCK, 0), 0);
        if (i == 0)
            sl_profile_free(p);
    }
    sl_recording_free(r);
    const sl_profile *const both[] = { p, p };
    ck_assert_int_eq(sl_merge(both, 2, NULL, 0, 0, &blob), SL_OK);
    ck_assert_int_eq(sl_profile_decode(&sum, blob.data, blob.size, 0, NULL),
                     SL_OK);
    sl_bytes_free(&blob);
    ck_assert_uint_eq(sl_profile_counter_of(sum, SL_METRIC_SOCKET, 0), 80);
    ck_assert_uint_eq(sl_profile_counter_of(sum, SL_METRIC_LOCK, 1), 14);
    sl_profile_free(sum);
    sl_profile_free(p);
}
END_TEST

Suite *
counters_suite(void)
{
    const TTest *const tests[] = { a_node_has_a_sum_of_each_metric,
                                   what_finds_no_room_is_counted, they_arrive,
                                   NULL };
    return suite_of("counters", tests);
}
