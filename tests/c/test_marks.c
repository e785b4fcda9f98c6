#include "suites.h"

#include "fault.h"
#include "marks.h"

static const char NODE[4096];

START_TEST(times_of_one_place_are_one_mark)
{
    sl_marks marks = { .alloc = sl_alloc_libc };

    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 1000; i++)
            sl_marks_add(&marks, &(sl_mark){ NODE + i, i % 7, 10, 4, 2 });
    }
    ck_assert_uint_eq(marks.mark_count, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        ck_assert_ptr_eq(marks.marks[i].node, NODE + i);
        ck_assert_uint_eq(marks.marks[i].line, i % 7);
        ck_assert_uint_eq(marks.marks[i].wall, 30);
        ck_assert_uint_eq(marks.marks[i].cpu, 12);
        ck_assert_uint_eq(marks.marks[i].gil, 6);
    }
    sl_marks_add(&marks, &(sl_mark){ NODE, 8, 1, 0, 0 });
    ck_assert_uint_eq(marks.mark_count, 1001);
    sl_marks_clear(&marks);
    ck_assert_uint_eq(marks.mark_count, 0);
    sl_marks_add(&marks, &(sl_mark){ NODE, 8, 1, 0, 0 });
    ck_assert_uint_eq(marks.mark_count, 1);
    sl_marks_free(&marks);
    sl_marks_free(&marks);
}
END_TEST

START_TEST(stretches_grow_while_nothing_changes)
{
    sl_marks marks = { .alloc = sl_alloc_libc };

    sl_marks_stretch(&marks, &(sl_stretch){ NODE, 0, 10, 0 });
    sl_marks_stretch(&marks, &(sl_stretch){ NODE, 10, 20, 0 });
    sl_marks_stretch(&marks, &(sl_stretch){ NODE, 21, 30, 0 });
    sl_marks_stretch(&marks, &(sl_stretch){ NODE, 30, 40, 1 });
    sl_marks_stretch(&marks, &(sl_stretch){ NODE + 1, 40, 50, 1 });
    ck_assert_uint_eq(marks.stretch_count, 4);
    ck_assert_uint_eq(marks.stretches[0].to, 20);
    ck_assert_uint_eq(marks.lost, 0);
    sl_marks_free(&marks);
}
END_TEST

START_TEST(a_full_table_counts_what_it_leaves_out)
{
    sl_marks marks = { .alloc = sl_alloc_libc };

    for (uint32_t i = 0; i < 1000000; i++) {
        sl_marks_add(&marks, &(sl_mark){ NODE + i % 4096, i, 1, 0, 0 });
        sl_marks_stretch(&marks, &(sl_stretch){ NODE + i % 2, i, i + 1, 0 });
    }
    ck_assert_uint_gt(marks.mark_count, 10000);
    ck_assert_uint_gt(marks.stretch_count, 10000);
    ck_assert_uint_eq(marks.lost,
                      2000000 - marks.mark_count - marks.stretch_count);
    ck_assert_uint_le(sl_arena_bytes(marks.arena), 8 << 20);
    sl_marks_free(&marks);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    for (long budget = 0; budget < 40; budget++) {
        fault f;
        fault_init(&f, budget);
        sl_marks marks = { .alloc = f.alloc };
        for (uint32_t i = 0; i < 3000; i++) {
            sl_marks_add(&marks, &(sl_mark){ NODE + i, 0, 1, 0, 0 });
            sl_marks_stretch(&marks, &(sl_stretch){ NODE + i, i, i + 1, 0 });
        }
        ck_assert_uint_eq(marks.mark_count + marks.stretch_count + marks.lost,
                          6000);
        bool complete = marks.lost == 0;
        sl_marks_free(&marks);
        ck_assert_int_eq(f.live, 0);
        if (complete)
            return;
    }
    ck_abort_msg("never enough");
}
END_TEST

Suite *
marks_suite(void)
{
    const TTest *const tests[] = { times_of_one_place_are_one_mark,
                                   stretches_grow_while_nothing_changes,
                                   a_full_table_counts_what_it_leaves_out,
                                   any_allocation_may_fail, NULL };
    return suite_of("marks", tests);
}
