#include "suites.h"

#include "fault.h"
#include "functions.h"

static char keys[5000][16];

START_TEST(numbers_count_from_zero)
{
    sl_arena *arena;
    sl_functions table;
    uint32_t id;
    bool added;

    ck_assert_int_eq(sl_arena_new(&arena, NULL, 0, 1 << 22), SL_OK);
    ck_assert_int_eq(sl_functions_init(&table, arena), SL_OK);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 5000; i++) {
            ck_assert_int_eq(sl_functions_id(&table, keys[i], &id, &added),
                             SL_OK);
            ck_assert_uint_eq(id, i);
            ck_assert_int_eq(added, round == 0);
            ck_assert_uint_eq(table.flags[id], round == 0 ? 0 : i % 7);
            table.flags[id] = (uint16_t)(i % 7);
        }
    }
    ck_assert_uint_eq(table.count, 5000);
    sl_arena_free(arena);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    for (long budget = 0;; budget++) {
        fault f;
        sl_arena *arena = NULL;
        sl_functions table;
        uint32_t id, count = 0;
        bool added;
        fault_init(&f, budget);
        sl_status status = sl_arena_new(&arena, &f.alloc, 0, 1 << 22);
        if (status == SL_OK)
            status = sl_functions_init(&table, arena);
        for (; status == SL_OK && count < 5000; count++)
            status = sl_functions_id(&table, keys[count], &id, &added);
        if (status < 0 && count > 0)
            ck_assert_uint_eq(table.count, count - 1);
        sl_arena_free(arena);
        ck_assert_int_eq(f.live, 0);
        if (status == SL_OK)
            break;
        ck_assert_int_eq(status, SL_ENOMEM);
    }
}
END_TEST

Suite *
functions_suite(void)
{
    const TTest *const tests[] = { numbers_count_from_zero,
                                   any_allocation_may_fail, NULL };
    return suite_of("functions", tests);
}
