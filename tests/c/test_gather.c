#define _GNU_SOURCE
#include "suites.h"

#include "decoded.h"
#include "sample.h"

#include "slowlens/gather.h"
#include "slowlens/merge.h"

#include <string.h>

/* Recorded once, for each recording takes its own time; decoded each time. */
static sl_profile *
sample(void)
{
    static sl_bytes blob;

    if (blob.size == 0)
        ck_assert_int_eq(sample_blob(&blob, NULL), SL_OK);
    return decoded_again(&blob);
}

/* Adds a sample that is gone when the next one comes. */
static void
add_sample(sl_gather *gather, uint32_t weight)
{
    sl_profile *one = sample();

    ck_assert_int_eq(sl_gather_add(gather, one, weight), SL_OK);
    sl_profile_free(one);
}

START_TEST(three_that_are_gone_add_up_as_merged_at_once)
{
    sl_profile *one = sample();
    const sl_profile *const three[] = { one, one, one };
    sl_meta meta = { "merged", 6, NULL, 0, 3 };
    sl_bytes at_once, blob;
    sl_gather *gather;

    ck_assert_int_eq(sl_merge(three, 3, &meta, 1, 0, &at_once), SL_OK);
    sl_profile_free(one);
    ck_assert_int_eq(sl_gather_new(&gather, 0), SL_OK);
    add_sample(gather, 1);
    add_sample(gather, 2); /* speaks for another one */
    ck_assert_uint_eq(sl_gather_count(gather), 2);
    ck_assert(!sl_gather_is_full(gather));
    ck_assert_int_eq(sl_gather_encode(gather, &meta, 1, 0, &blob), SL_OK);
    ck_assert_uint_eq(blob.size, at_once.size);
    ck_assert_mem_eq(blob.data, at_once.data, blob.size);
    sl_bytes_free(&at_once);
    sl_bytes_free(&blob);

    /* It begins anew, and knows nothing of before. */
    ck_assert_uint_eq(sl_gather_count(gather), 0);
    ck_assert_uint_eq(sl_gather_nodes(gather), 0);
    ck_assert_int_eq(sl_gather_encode(gather, NULL, 0, 0, &blob), SL_ERANGE);
    add_sample(gather, 1);
    ck_assert_int_eq(sl_gather_encode(gather, NULL, 0, 0, &blob), SL_OK);
    sl_profile *alone = decoded(&blob);
    sl_profile *whole = sample();
    ck_assert_uint_eq(sl_profile_node_at(alone, 0)->total_ns,
                      sl_profile_node_at(whole, 0)->total_ns);
    sl_profile_free(whole);
    sl_profile_free(alone);
    sl_gather_free(gather);
    sl_gather_free(NULL);
}
END_TEST

START_TEST(what_finds_no_room_loses_no_time)
{
    sl_profile *one = sample();
    uint32_t nodes = sl_profile_node_count(one);
    uint64_t wall = sl_profile_node_at(one, 0)->total_ns;

    for (uint32_t most = 1; most < nodes; most++) {
        sl_gather *gather;
        sl_bytes blob;
        bool said = false;

        ck_assert_int_eq(sl_gather_new(&gather, most), SL_OK);
        add_sample(gather, 1);
        add_sample(gather, 4);
        ck_assert(sl_gather_is_full(gather));
        ck_assert_uint_le(sl_gather_nodes(gather), 2 * most);
        ck_assert_int_eq(sl_gather_encode(gather, NULL, 0, 0, &blob), SL_OK);
        sl_profile *sum = decoded(&blob);
        ck_assert_uint_eq(sl_profile_node_at(sum, 0)->total_ns, 5 * wall);
        for (uint32_t i = 0; i < sl_profile_function_count(sum); i++)
            said = said ||
                   strcmp(sl_profile_function(sum, i)->name, "[truncated]") == 0;
        ck_assert(said);
        sl_profile_free(sum);
        sl_gather_free(gather);
    }
    sl_profile_free(one);
}
END_TEST

START_TEST(a_thousand_take_the_memory_of_a_few)
{
    sl_gather *gather;
    size_t few = 0;

    ck_assert_int_eq(sl_gather_new(&gather, 0), SL_OK);
    for (int i = 0; i < 1000; i++) {
        add_sample(gather, 1);
        if (i == 20)
            few = sl_gather_bytes(gather);
    }
    ck_assert_uint_le(sl_gather_bytes(gather), 2 * few);
    sl_gather_free(gather);
}
END_TEST

Suite *
gather_suite(void)
{
    const TTest *const tests[] = {
        three_that_are_gone_add_up_as_merged_at_once,
        what_finds_no_room_loses_no_time, a_thousand_take_the_memory_of_a_few,
        NULL
    };
    return suite_of("gather", tests);
}
