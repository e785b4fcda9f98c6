#define _GNU_SOURCE
#include "suites.h"

#include "decoded.h"
#include "fault.h"
#include "sample.h"
#include "union.h"

#include "slowlens/merge.h"

#include <stdio.h>
#include <string.h>

static sl_profile *
sample(void)
{
    sl_bytes blob;

    ck_assert_int_eq(sample_blob(&blob, NULL), SL_OK);
    return decoded(&blob);
}

START_TEST(the_sum_of_three_is_three_times_one)
{
    sl_profile *one = sample();
    const sl_profile *const three[] = { one, one, one };
    sl_meta meta = { "merged", 6, NULL, 0, 3 };
    sl_bytes blob;

    ck_assert_int_eq(sl_merge(three, 3, &meta, 1, 0, &blob), SL_OK);
    sl_profile *sum = decoded(&blob);
    ck_assert_uint_eq(sl_profile_node_count(sum), sl_profile_node_count(one));
    for (uint32_t i = 0; i < sl_profile_node_count(one); i++) {
        const sl_profile_node *a = sl_profile_node_at(one, i);
        const sl_profile_node *b = sl_profile_node_at(sum, i);
        ck_assert_uint_eq(b->parent, a->parent);
        ck_assert_uint_eq(b->calls, a->calls * 3);
        ck_assert_uint_eq(b->resumes, a->resumes * 3);
        ck_assert_uint_eq(b->self_ns, a->self_ns * 3);
        ck_assert_uint_eq(b->total_ns, a->total_ns * 3);
        ck_assert_str_eq(sl_profile_function(sum, b->function)->name,
                         sl_profile_function(one, a->function)->name);
    }
    ck_assert_uint_eq(sl_profile_line_count(sum), sl_profile_line_count(one));
    for (uint32_t i = 0; i < sl_profile_line_count(one); i++) {
        ck_assert_uint_eq(sl_profile_line_at(sum, i)->wall_ns,
                          sl_profile_line_at(one, i)->wall_ns * 3);
        ck_assert_uint_eq(sl_profile_line_at(sum, i)->cpu_ns,
                          sl_profile_line_at(one, i)->cpu_ns * 3);
    }
    ck_assert_uint_eq(sl_profile_stretch_count(sum), 0);
    ck_assert_int_eq((int)sl_profile_meta_find(sum, "merged")->number, 3);
    sl_profile_free(sum);
    sl_profile_free(one);
}
END_TEST

START_TEST(nothing_grows_from_one_to_itself)
{
    sl_profile *one = sample();
    sl_bytes blob;

    ck_assert_int_eq(sl_growth(one, one, NULL, 0, 0, &blob), SL_OK);
    sl_profile *none = decoded(&blob);
    ck_assert_uint_eq(sl_profile_node_at(none, 0)->total_ns, 0);
    sl_profile_free(none);

    ck_assert_int_eq(sl_report_diff(one, one, 0, &blob), SL_OK);
    const char *text = (const char *)blob.data;
    ck_assert_ptr_nonnull(strstr(text, "\"name\":\"deepcopy\""));
    ck_assert_ptr_nonnull(
        strstr(text, "\"before\":{\"calls\":3,\"resumes\":0,\"self_ns\":21,"
                     "\"total_ns\":21},\"after\":{\"calls\":3,"
                     "\"resumes\":0,\"self_ns\":21,\"total_ns\":21}"));
    sl_bytes_free(&blob);
    sl_profile_free(one);
}
END_TEST

START_TEST(nothing_to_merge_is_an_error)
{
    sl_bytes blob;
    ck_assert_int_eq(sl_merge(NULL, 0, NULL, 0, 0, &blob), SL_ERANGE);
}
END_TEST

START_TEST(an_aggregate_knows_the_worst)
{
    sl_profile *one = sample();
    const sl_profile *both[] = { one, one };
    sl_bytes three = { 0 }, out = { 0 };
    char text[64];

    ck_assert_int_eq(sl_merge(both, 2, NULL, 0, 0, &three), SL_OK);
    sl_profile *twice = decoded(&three); /* each node twice as long */
    const sl_profile *const all[] = { one, twice, one };
    uint64_t wall = sl_profile_node_at(one, 0)->total_ns;

    ck_assert_int_eq(sl_report_aggregate(all, 3, 0, &out), SL_OK);
    snprintf(text, sizeof(text), "\"total_ns\":%llu,\"p95_ns\":%llu,",
             (unsigned long long)wall * 4, (unsigned long long)wall * 2);
    ck_assert_ptr_nonnull(memmem(out.data, out.size, text, strlen(text)));
    static const char worst[] = "\"worst\":1,\"present\":3";
    ck_assert_ptr_nonnull(memmem(out.data, out.size, worst, sizeof(worst) - 1));
    ck_assert_ptr_nonnull(memmem(out.data, out.size, "{\"count\":3", 10));
    sl_bytes_free(&out);
    ck_assert_int_eq(sl_report_aggregate(NULL, 0, 0, &out), SL_ERANGE);
    sl_profile_free(twice);
    sl_profile_free(one);
}
END_TEST

START_TEST(preorder_visits_every_node_once)
{
    sl_profile *one = sample();
    sl_union u = { .with_lines = true };
    uint32_t depth = 0, seen = 0;

    ck_assert_int_eq(sl_union_add(&u, one, 0, NULL, NULL), SL_OK);
    ck_assert_int_eq(sl_union_add(&u, one, 1, NULL, NULL), SL_OK);
    for (uint32_t i = 0; i != SL_UNION_END; i = sl_union_next(&u, i, &depth)) {
        ck_assert_uint_eq(depth, sl_profile_node_at(one, seen)->depth);
        ck_assert_uint_eq(u.nodes[i].side[0].self_ns,
                          u.nodes[i].side[1].self_ns);
        seen++;
    }
    ck_assert_uint_eq(seen, sl_profile_node_count(one));
    sl_union_free(&u);
    sl_union_free(&u);
    sl_profile_free(one);
}
END_TEST

Suite *
merge_suite(void)
{
    const TTest *const tests[] = {
        the_sum_of_three_is_three_times_one, nothing_grows_from_one_to_itself,
        nothing_to_merge_is_an_error,        an_aggregate_knows_the_worst,
        preorder_visits_every_node_once,     NULL
    };
    return suite_of("merge", tests);
}
