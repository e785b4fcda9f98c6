#include "suites.h"

#include "fault.h"
#include "intern.h"

#include <stdio.h>
#include <string.h>

START_TEST(same_string_same_id)
{
    sl_arena *arena;
    sl_intern *table;
    uint32_t a, b, c, d;

    ck_assert_int_eq(sl_arena_new(&arena, NULL, 0, 1 << 20), SL_OK);
    ck_assert_int_eq(sl_intern_new(&table, arena, NULL), SL_OK);
    ck_assert_int_eq(sl_intern_id(table, "view", 4, &a), SL_OK);
    ck_assert_int_eq(sl_intern_id(table, "", 0, &b), SL_OK);
    ck_assert_int_eq(sl_intern_id(table, "view", 4, &c), SL_OK);
    ck_assert_int_eq(sl_intern_id(table, "vi\0w", 4, &d), SL_OK);
    ck_assert_uint_eq(a, 0);
    ck_assert_uint_eq(b, 1);
    ck_assert_uint_eq(c, 0);
    ck_assert_uint_eq(d, 2);
    ck_assert_uint_eq(sl_intern_count(table), 3);
    sl_intern_free(table);
    sl_intern_free(NULL);
    sl_arena_free(arena);
}
END_TEST

static void
append(void *ctx, const char *str, size_t len)
{
    strncat(ctx, str, len);
}

START_TEST(each_goes_by_id)
{
    sl_arena *arena;
    sl_intern *table;
    uint32_t id;
    char all[16] = "";

    ck_assert_int_eq(sl_arena_new(&arena, NULL, 0, 1 << 20), SL_OK);
    ck_assert_int_eq(sl_intern_new(&table, arena, NULL), SL_OK);
    for (const char *at = "cabacab"; *at != '\0'; at++)
        ck_assert_int_eq(sl_intern_id(table, at, 1, &id), SL_OK);
    sl_intern_each(table, append, all);
    ck_assert_str_eq(all, "cab");
    sl_intern_free(table);
    sl_arena_free(arena);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    for (long budget = 0;; budget++) {
        fault f;
        sl_arena *arena = NULL;
        sl_intern *table = NULL;
        fault_init(&f, budget);

        sl_status status = sl_arena_new(&arena, &f.alloc, 0, 1 << 20);
        if (status == SL_OK)
            status = sl_intern_new(&table, arena, &f.alloc);
        for (int i = 0; status == SL_OK && i < 2000; i++) {
            char name[16];
            uint32_t id;
            int len = snprintf(name, sizeof(name), "f%d", i);
            status = sl_intern_id(table, name, (size_t)len, &id);
        }
        sl_intern_free(table);
        sl_arena_free(arena);

        ck_assert_int_eq(f.live, 0);
        if (status == SL_OK)
            break;
        ck_assert_int_eq(status, SL_ENOMEM);
    }
}
END_TEST

Suite *
intern_suite(void)
{
    const TTest *const tests[] = { same_string_same_id, each_goes_by_id,
                                   any_allocation_may_fail, NULL };
    return suite_of("intern", tests);
}
