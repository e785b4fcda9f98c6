#include "suites.h"

#include "made.h"
#include "stacks.h"

static sl_profile *
chain(uint32_t depth)
{
    static made_node nodes[2000];
    for (uint32_t i = 0; i < depth; i++)
        nodes[i] = (made_node){ i, i == 0 ? "[request]" : "app.f", 1, 1, 0 };
    made m = { .nodes = nodes, .count = depth };
    return made_profile(&m);
}

START_TEST(stacks_that_are_not_very_deep_are_whole)
{
    sl_profile *p = chain(500);
    sl_stacks stacks;
    uint32_t count;
    ck_assert_int_eq(sl_stacks_init(&stacks, p, false), SL_OK);
    const uint32_t *frames = sl_stacks_at(&stacks, 499, &count);
    ck_assert_uint_eq(count, 500);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_uint_eq(frames[i], i);
    ck_assert(!stacks.gap);
    sl_stacks_free(&stacks);
    sl_profile_free(p);
}
END_TEST

START_TEST(very_deep_ones_have_a_gap)
{
    enum { KEPT = SL_STACKS_HEAD + SL_STACKS_TAIL };
    sl_profile *p = chain(2000);
    sl_stacks stacks;
    uint32_t count;
    ck_assert_int_eq(sl_stacks_init(&stacks, p, false), SL_OK);
    ck_assert(stacks.gap);
    const uint32_t *frames = sl_stacks_at(&stacks, 1999, &count);
    ck_assert_uint_eq(count, KEPT + 1);
    ck_assert_uint_eq(frames[SL_STACKS_HEAD - 1], SL_STACKS_HEAD - 1);
    ck_assert_uint_eq(frames[SL_STACKS_HEAD], SL_STACKS_GAP);
    ck_assert_uint_eq(frames[SL_STACKS_HEAD + 1], 2000 - SL_STACKS_TAIL);
    ck_assert_uint_eq(frames[KEPT], 1999);
    frames = sl_stacks_at(&stacks, KEPT - 1, &count);
    ck_assert_uint_eq(count, KEPT);
    ck_assert_uint_eq(frames[KEPT - 1], KEPT - 1);
    sl_stacks_free(&stacks);
    sl_profile_free(p);
}
END_TEST

Suite *
stacks_suite(void)
{
    const TTest *const tests[] = { stacks_that_are_not_very_deep_are_whole,
                                   very_deep_ones_have_a_gap, NULL };
    return suite_of("stacks", tests);
}
