#include "suites.h"

#include "fault.h"
#include "stretches.h"

static const char NODE[4096];

START_TEST(stretches_grow_while_nothing_changes)
{
    sl_stretches all = { .alloc = sl_alloc_libc };

    sl_stretches_add(&all, &(sl_stretch){ NODE, 0, 10, 0 });
    sl_stretches_add(&all, &(sl_stretch){ NODE, 10, 20, 0 });
    sl_stretches_add(&all, &(sl_stretch){ NODE, 21, 30, 0 });
    sl_stretches_add(&all, &(sl_stretch){ NODE, 30, 40, 1 });
    sl_stretches_add(&all, &(sl_stretch){ NODE + 1, 40, 50, 1 });
    ck_assert_uint_eq(all.count, 4);
    ck_assert_uint_eq(all.rows[0].to, 20);
    ck_assert_uint_eq(all.lost, 0);
    sl_stretches_free(&all);
    sl_stretches_free(&all);
}
END_TEST

START_TEST(what_finds_no_room_is_counted)
{
    sl_stretches all = { .alloc = sl_alloc_libc };

    for (uint32_t i = 0; i < 1000000; i++)
        sl_stretches_add(&all, &(sl_stretch){ NODE + i % 2, i, i + 1, 0 });
    ck_assert_uint_gt(all.count, 10000);
    ck_assert_uint_eq(all.lost, 1000000 - all.count);
    ck_assert_uint_le(all.capacity * sizeof(sl_stretch), 8 << 20);
    sl_stretches_clear(&all);
    ck_assert_uint_eq(all.capacity, 0); /* it was far more than is usual */
    sl_stretches_free(&all);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    for (long budget = 0; budget < 40; budget++) {
        fault f;
        fault_init(&f, budget);
        sl_stretches all = { .alloc = f.alloc };
        for (uint32_t i = 0; i < 3000; i++)
            sl_stretches_add(&all, &(sl_stretch){ NODE + i, i, i + 1, 0 });
        ck_assert_uint_eq(all.count + all.lost, 3000);
        bool complete = all.lost == 0;
        sl_stretches_free(&all);
        ck_assert_int_eq(f.live, 0);
        if (complete)
            return;
    }
    ck_abort_msg("never enough");
}
END_TEST

Suite *
stretches_suite(void)
{
    const TTest *const tests[] = { stretches_grow_while_nothing_changes,
                                   what_finds_no_room_is_counted,
                                   any_allocation_may_fail, NULL };
    return suite_of("stretches", tests);
}
