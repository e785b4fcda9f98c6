#include "suites.h"

#include "sample.h"

#include <string.h>

static sl_profile *
profile_of(sl_recording *r)
{
    sl_bytes blob = { 0 };
    sl_profile *p = NULL;
    ck_assert_int_eq(
        sl_recording_encode(r, NULL, 0, sample_describe, NULL, 0, &blob),
        SL_OK);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                     SL_OK);
    sl_bytes_free(&blob);
    sl_recording_free(r);
    return p;
}

static uint32_t
number_of(const sl_profile *p, const char *name)
{
    for (uint32_t i = 0; i < sl_profile_function_count(p); i++) {
        if (strcmp(sl_profile_function(p, i)->name, name) == 0)
            return i;
    }
    ck_abort_msg("no function %s", name);
    return 0;
}

START_TEST(recursion_counts_once_in_a_total)
{
    sl_recording *r;
    ck_assert_int_eq(sample_record(&r, NULL), SL_OK);
    sl_profile *p = profile_of(r);
    const sl_profile_sum *copy =
        sl_profile_function_sum(p, number_of(p, "deepcopy"));

    ck_assert_uint_eq(copy->calls, 3);
    ck_assert_uint_eq(copy->nodes, 3);
    ck_assert_uint_eq(copy->self_ns, 5000);
    ck_assert_uint_eq(copy->total_ns, 5000);
    sl_profile_free(p);
    sl_profile_free(NULL);
}
END_TEST

START_TEST(children_never_exceed_their_parent)
{
    sl_recording *r;
    ck_assert_int_eq(sample_record(&r, NULL), SL_OK);
    sl_profile *p = profile_of(r);
    for (uint32_t i = 0; i < sl_profile_node_count(p); i++) {
        const sl_profile_node *node = sl_profile_node_at(p, i);
        uint64_t children = 0;
        for (uint32_t c = i + 1; c < i + node->size;
             c += sl_profile_node_at(p, c)->size) {
            ck_assert_uint_eq(sl_profile_node_at(p, c)->parent, i);
            children += sl_profile_node_at(p, c)->total_ns;
        }
        ck_assert_uint_eq(children + node->self_ns, node->total_ns);
    }
    sl_profile_free(p);
}
END_TEST

START_TEST(strands_are_not_added_to_the_request)
{
    sl_recording_options options = { 0 };
    sl_recording *r;
    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();
    sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t += 10);
    sl_strand *side = sl_recording_strand(r, SL_PSEUDO_THREAD, t);
    sl_strand_enter(side, COPY, SL_KIND_PYTHON, t);
    sl_strand_leave(side, COPY, t + 500);
    sl_strand_leave(s, VIEW, t += 100);
    sl_recording_stop(r, t);
    uint64_t wall = sl_recording_wall_ns(r);
    sl_profile *p = profile_of(r);

    ck_assert_uint_eq(sl_profile_node_at(p, 0)->total_ns, wall);
    bool found = false;
    for (uint32_t i = 0; i < sl_profile_node_count(p); i++) {
        if (sl_profile_is_strand(p, i)) {
            found = true;
            ck_assert_uint_eq(sl_profile_node_at(p, i)->total_ns, 500);
        }
    }
    ck_assert(found);
    ck_assert_uint_gt(sl_profile_bytes(p), 0);
    sl_profile_free(p);
}
END_TEST

Suite *
profile_suite(void)
{
    const TTest *const tests[] = { recursion_counts_once_in_a_total,
                                   children_never_exceed_their_parent,
                                   strands_are_not_added_to_the_request, NULL };
    return suite_of("profile", tests);
}
