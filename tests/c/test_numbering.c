#include "suites.h"

#include "fault.h"
#include "numbering.h"
#include "sample.h"

/* Each node's number is its place in preorder. */
static void
check_numbers(const sl_recording *r)
{
    uint32_t depth = 0;
    uint64_t place = 0;

    for (const sl_node *n = r->tree.root; n != NULL;
         n = sl_tree_next(n, &depth)) {
        ck_assert_uint_eq(n->number, place);
        place += !sl_tree_is_unused(&r->tree, n);
    }
    ck_assert_uint_gt(place, 1);
}

START_TEST(numbers_are_places_in_preorder)
{
    sl_recording *r = NULL;

    ck_assert_int_eq(sample_record(&r, NULL), SL_OK);
    ck_assert_int_eq(sl_recording_number(r), SL_OK);
    check_numbers(r);
    sl_recording_free(r);
}
END_TEST

static const sl_node *
node_of(const sl_recording *r, const void *key)
{
    uint32_t depth = 0;
    const sl_node *n = r->tree.root;

    while (n != NULL && n->key != key)
        n = sl_tree_next(n, &depth);
    ck_assert_ptr_nonnull(n);
    return n;
}

START_TEST(samples_of_a_node_are_those_of_its_subtree)
{
    const sl_frame deep[] = { { VIEW, 3 }, { COPY, 7 } };
    sl_recording *r = NULL;

    ck_assert_int_eq(sl_recording_new(&r, &(sl_recording_options){ 0 }, NULL),
                     SL_OK);
    uint64_t now = r->start_ticks;
    for (uint32_t i = 0; i < 5; i++) {
        now += 10;
        sl_strand_sample(sl_recording_main(r), deep, i < 3 ? 2 : 1,
                         SL_PSEUDO_ROOT, &(sl_times){ 10, 0, 0 }, now);
    }
    sl_recording_stop(r, now);
    /* Twice is once. */
    ck_assert_int_eq(sl_recording_number(r), SL_OK);
    ck_assert_int_eq(sl_recording_number(r), SL_OK);
    check_numbers(r);
    ck_assert_uint_eq(r->tree.root->calls, 5);
    ck_assert_uint_eq(node_of(r, VIEW)->calls, 5);
    ck_assert_uint_eq(node_of(r, COPY)->calls, 3);
    sl_recording_free(r);
}
END_TEST

START_TEST(no_memory_changes_nothing)
{
    fault f;
    sl_recording *r = NULL;

    fault_init(&f, 1000);
    ck_assert_int_eq(sample_record(&r, &f.alloc), SL_OK);
    f.budget = 0;
    ck_assert_int_eq(sl_recording_number(r), SL_ENOMEM);
    f.budget = 1000;
    ck_assert_int_eq(sl_recording_number(r), SL_OK);
    check_numbers(r);
    sl_recording_free(r);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

Suite *
numbering_suite(void)
{
    const TTest *const tests[] = {
        numbers_are_places_in_preorder,
        samples_of_a_node_are_those_of_its_subtree,
        no_memory_changes_nothing,
        NULL,
    };
    return suite_of("numbering", tests);
}
