#include "suites.h"

#include "arena.h"
#include "fault.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

START_TEST(take_is_aligned_and_apart)
{
    sl_arena *arena;
    void *a, *b;

    ck_assert_int_eq(sl_arena_new(&arena, NULL, 0, 1 << 20), SL_OK);
    ck_assert_int_eq(sl_arena_take(arena, 1, &a), SL_OK);
    ck_assert_int_eq(sl_arena_take(arena, 9000, &b), SL_OK);
    ck_assert_uint_eq((uintptr_t)a % 16, 0);
    ck_assert_uint_eq((uintptr_t)b % 16, 0);
    memset(a, 1, 1);
    memset(b, 2, 9000);
    ck_assert_int_eq(*(char *)a, 1);
    sl_arena_free(arena);
}
END_TEST

START_TEST(limit_is_kept)
{
    sl_arena *arena;
    void *p = NULL;

    ck_assert_int_eq(sl_arena_new(&arena, NULL, 0, 100), SL_ELIMIT);
    ck_assert_int_eq(sl_arena_new(&arena, NULL, 0, 8192), SL_OK);
    ck_assert_int_eq(sl_arena_take(arena, 100000, &p), SL_ELIMIT);
    ck_assert_int_eq(sl_arena_take(arena, SIZE_MAX, &p), SL_ELIMIT);
    ck_assert_ptr_null(p);
    ck_assert_uint_le(sl_arena_bytes(arena), 8192);
    sl_arena_free(arena);
}
END_TEST

START_TEST(reset_keeps_one_chunk)
{
    fault f;
    sl_arena *arena;
    void *p;

    fault_init(&f, 1000);
    ck_assert_int_eq(sl_arena_new(&arena, &f.alloc, 0, 1 << 20), SL_OK);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(sl_arena_take(arena, 4000, &p), SL_OK);
    ck_assert_int_eq(sl_arena_take(arena, 90000, &p), SL_OK);
    sl_arena_reset(arena, 1 << 20);
    ck_assert_int_eq(f.live, 2);
    long before = f.budget;
    ck_assert_int_eq(sl_arena_take(arena, 4000, &p), SL_OK);
    ck_assert_int_eq(f.budget, before);
    sl_arena_free(arena);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

/* Every allocation in turn fails; nothing crashes and nothing leaks. */
START_TEST(any_allocation_may_fail)
{
    for (long budget = 0;; budget++) {
        fault f;
        sl_arena *arena = NULL;
        void *p;
        fault_init(&f, budget);

        sl_status status = sl_arena_new(&arena, &f.alloc, 0, 1 << 20);
        for (int i = 0; status == SL_OK && i < 4; i++)
            status = sl_arena_take(arena, 5000, &p);
        sl_arena_free(arena);

        ck_assert_int_eq(f.live, 0);
        if (status == SL_OK)
            break;
        ck_assert_int_eq(status, SL_ENOMEM);
        ck_assert_int_lt(budget, 100);
    }
}
END_TEST

/* Advice changes nothing but how fast it is: a block stays the block it was,
 * zeroed where it was, and what could not be had stays nothing. */
START_TEST(large_blocks_stay_what_they_are)
{
    static const size_t sizes[] = { 0, 1, 4 << 20, (9 << 20) + 12345 };

    ck_assert_ptr_null(sl_alloc_filled(NULL, 64 << 20));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        size_t size = sizes[i];
        unsigned char *made = calloc(1, size + 1);
        ck_assert_ptr_eq(sl_alloc_filled(made, size + 1), made);
        for (size_t at = 0; at <= size; at += 1000)
            ck_assert_int_eq(made[at], 0);
        memset(made, 7, size + 1);
        ck_assert_int_eq(made[size], 7);
        sl_alloc_libc.give(NULL, made);
        made = sl_alloc_libc.take(NULL, size + 1);
        memset(made, 8, size + 1);
        ck_assert_int_eq(made[size], 8);
        sl_alloc_libc.give(NULL, made);
    }
}
END_TEST

Suite *
arena_suite(void)
{
    const TTest *const tests[] = { take_is_aligned_and_apart, limit_is_kept,
                                   reset_keeps_one_chunk,
                                   any_allocation_may_fail,
                                   large_blocks_stay_what_they_are, NULL };
    return suite_of("arena", tests);
}
