#include "suites.h"

#include "cells.h"
#include "fault.h"
#include "sample.h"

#include "slowlens/merge.h"

static const char NODE[4096];

START_TEST(numbers_of_one_key_are_one_cell)
{
    sl_cells cells = { .alloc = sl_alloc_libc };

    ck_assert_ptr_null(sl_cells_find(&cells, NODE, 1));
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 1000; i++) {
            sl_cell *cell = sl_cells_at(&cells, NODE + i, i % 7);
            cell->sums[SL_MARK_WALL] += 10;
            cell->sums[SL_MARK_GIL] += 2;
        }
    }
    ck_assert_uint_eq(cells.count, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        ck_assert_ptr_eq(cells.rows[i].node, NODE + i);
        ck_assert_uint_eq(cells.rows[i].key, i % 7);
        ck_assert_uint_eq(cells.rows[i].sums[SL_MARK_WALL], 30);
        ck_assert_uint_eq(cells.rows[i].sums[SL_MARK_CPU], 0);
        ck_assert_uint_eq(cells.rows[i].sums[SL_MARK_GIL], 6);
        ck_assert_ptr_eq(sl_cells_find(&cells, NODE + i, i % 7),
                         &cells.rows[i]);
    }
    ck_assert_ptr_null(sl_cells_find(&cells, NODE, 8));
    (void)sl_cells_at(&cells, NODE, 8);
    ck_assert_uint_eq(cells.count, 1001);
    sl_cells_free(&cells);
    sl_cells_free(&cells);
}
END_TEST

static int
by_key(const void *a, const void *b)
{
    const sl_cell *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

START_TEST(sorted_rows_are_still_found)
{
    sl_cells cells = { .alloc = sl_alloc_libc };

    for (uint32_t key = 500; key > 0; key--)
        sl_cells_at(&cells, NODE, key)->sums[SL_COUNTER_VALUE] = key;
    sl_cells_sort(&cells, by_key);
    for (uint32_t key = 1; key <= 500; key++) {
        ck_assert_uint_eq(cells.rows[key - 1].key, key);
        ck_assert_uint_eq(
            sl_cells_at(&cells, NODE, key)->sums[SL_COUNTER_VALUE], key);
    }
    ck_assert_uint_eq(cells.count, 500);
    sl_cells_free(&cells);
}
END_TEST

/* A recording that is used again keeps what a usual request takes, not what
 * the largest one took. */
START_TEST(what_is_cleared_keeps_little)
{
    fault f;
    fault_init(&f, 1000);
    sl_cells cells = { .alloc = f.alloc };

    for (uint32_t i = 0; i < 100; i++)
        (void)sl_cells_at(&cells, NODE, i);
    size_t before = sl_cells_bytes(&cells);
    sl_cells_clear(&cells);
    ck_assert_uint_eq(sl_cells_bytes(&cells), before);
    ck_assert_ptr_null(sl_cells_find(&cells, NODE, 5));
    for (uint32_t i = 0; i < 10000; i++)
        (void)sl_cells_at(&cells, NODE, i);
    sl_cells_clear(&cells);
    ck_assert_uint_eq(sl_cells_bytes(&cells), 0);
    ck_assert_int_eq(f.live, 0);
    ck_assert_uint_eq(sl_cells_at(&cells, NODE, 8)->sums[0], 0);
    sl_cells_free(&cells);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

START_TEST(a_full_table_counts_what_it_leaves_out)
{
    sl_cells cells = { .alloc = sl_alloc_libc };
    uint64_t none = 0;

    for (uint32_t i = 0; i < 1000000; i++)
        none += sl_cells_at(&cells, NODE + i % 4096, i) == NULL;
    ck_assert_uint_gt(cells.count, 10000);
    ck_assert_uint_eq(none, 1000000 - cells.count);
    ck_assert_uint_eq(cells.lost, none);
    ck_assert_uint_le(sl_cells_bytes(&cells), 8 << 20);
    sl_cells_free(&cells);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    for (long budget = 0; budget < 40; budget++) {
        fault f;
        fault_init(&f, budget);
        sl_cells cells = { .alloc = f.alloc };
        for (uint32_t i = 0; i < 3000; i++)
            (void)sl_cells_at(&cells, NODE + i, 0);
        ck_assert_uint_eq(cells.count + cells.lost, 3000);
        bool complete = cells.lost == 0;
        sl_cells_free(&cells);
        ck_assert_int_eq(f.live, 0);
        if (complete)
            return;
    }
    ck_abort_msg("never enough");
}
END_TEST

/* Rows that are another's (a frozen recording's) may grow and are left alone.
 */
START_TEST(borrowed_rows_are_not_given_back)
{
    fault f;
    fault_init(&f, 1000);
    sl_cells cells = { .alloc = f.alloc };

    for (uint32_t i = 0; i < 64; i++)
        sl_cells_at(&cells, NODE, i)->sums[0] = i;
    sl_cells copy = cells;
    copy.borrowed = true;
    sl_cells_at(&copy, NODE, 64)->sums[0] = 64;
    ck_assert_uint_eq(copy.count, 65);
    ck_assert_uint_eq(sl_cells_find(&copy, NODE, 63)->sums[0], 63);
    sl_cells_free(&copy);
    ck_assert_uint_eq(sl_cells_find(&cells, NODE, 63)->sums[0], 63);
    copy = cells;
    copy.borrowed = true;
    sl_cells_free(&copy);
    ck_assert_uint_eq(sl_cells_find(&cells, NODE, 63)->sums[0], 63);
    sl_cells_free(&cells);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

/* By way of a blob, twice encoded, and of a merge. */
START_TEST(counters_arrive)
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
cells_suite(void)
{
    const TTest *const tests[] = { numbers_of_one_key_are_one_cell,
                                   sorted_rows_are_still_found,
                                   what_is_cleared_keeps_little,
                                   a_full_table_counts_what_it_leaves_out,
                                   any_allocation_may_fail,
                                   borrowed_rows_are_not_given_back,
                                   counters_arrive,
                                   NULL };
    return suite_of("cells", tests);
}
