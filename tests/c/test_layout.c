#include "suites.h"

#include "layout.h"
#include "made.h"

START_TEST(children_follow_one_another_and_strands_stand_apart)
{
    made m = { MADE({ { 0, "[request]", 1, 10, 0 },
                      { 1, "app.a", 1, 20, 0 },
                      { 2, "app.b", 1, 30, 0 },
                      { 1, "[task]", 1, 1, 0 },
                      { 2, "app.c", 1, 70, 0 },
                      { 1, "app.d", 1, 5, 0 } }) };
    sl_profile *p = made_profile(&m);
    sl_layout layout;
    char room[32];
    ck_assert_int_eq(sl_layout_init(&layout, p), SL_OK);
    ck_assert_uint_eq(layout.threads, 2);
    ck_assert_uint_eq(layout.places[2].start_ns, 0);
    ck_assert_uint_eq(layout.places[5].start_ns, 50);
    ck_assert_uint_eq(layout.places[4].thread, 1);
    ck_assert_uint_eq(layout.places[4].depth, 1);
    ck_assert_uint_eq(layout.starts[0], 0);
    ck_assert_uint_eq(layout.starts[1], 4);
    ck_assert_uint_eq(layout.starts[2], 6);
    ck_assert_uint_eq(layout.nodes[3], 5);
    ck_assert_uint_eq(layout.nodes[4], 3);
    ck_assert_str_eq(sl_layout_thread_name(&layout, p, 0, room), "request");
    ck_assert_str_eq(sl_layout_thread_name(&layout, p, 1, room), "[task] 1");
    sl_layout_free(&layout);
    sl_profile_free(p);
}
END_TEST

Suite *
layout_suite(void)
{
    const TTest *const tests[] = {
        children_follow_one_another_and_strands_stand_apart, NULL
    };
    return suite_of("layout", tests);
}
