#include "suites.h"

#include "calls.h"
#include "made.h"

static const made_node recursion[] = {
    { 0, "[request]", 1, 10, 0 }, { 1, "app.f", 1, 20, 3 },
    { 2, "app.f", 2, 30, 4 },     { 3, "g", 5, 40, 5 },
    { 2, "g", 7, 50, 6 },
};

static const sl_call *
pair_of(const sl_calls *calls, uint32_t caller, uint32_t callee, uint32_t line)
{
    for (uint32_t i = 0; i < calls->pair_count; i++) {
        const sl_call *pair = &calls->pairs[i];
        if (pair->caller == caller && pair->callee == callee &&
            pair->line == line)
            return pair;
    }
    ck_abort_msg("no pair %u > %u at %u", caller, callee, line);
    return NULL;
}

START_TEST(recursion_counts_once)
{
    made m = { .nodes = recursion, .count = 5 };
    sl_profile *p = made_profile(&m);
    sl_calls calls;
    ck_assert_int_eq(sl_calls_sum(p, false, &calls), SL_OK);
    ck_assert_uint_eq(calls.functions[1].callee, 1);
    ck_assert_uint_eq(calls.functions[1].calls, 3);
    ck_assert_uint_eq(calls.functions[1].primitive, 1);
    ck_assert_uint_eq(calls.functions[1].total_ns, 140);
    ck_assert_uint_eq(calls.functions[1].self_ns, 50);
    ck_assert_uint_eq(pair_of(&calls, 1, 1, 0)->total_ns, 0);
    ck_assert_uint_eq(pair_of(&calls, 1, 2, 0)->calls, 12);
    ck_assert_uint_eq(pair_of(&calls, 1, 2, 0)->total_ns, 90);
    sl_calls_free(&calls);
    sl_profile_free(p);
}
END_TEST

START_TEST(lines_are_told_apart_when_asked)
{
    made m = { .nodes = recursion, .count = 5 };
    sl_profile *p = made_profile(&m);
    sl_calls calls;
    ck_assert_int_eq(sl_calls_sum(p, true, &calls), SL_OK);
    ck_assert_uint_eq(pair_of(&calls, 1, 2, 5)->calls, 5);
    ck_assert_uint_eq(pair_of(&calls, 1, 2, 6)->calls, 7);
    sl_calls_free(&calls);
    sl_profile_free(p);
}
END_TEST

/* Node f has the samples of its subtree, g's among them: one sample of a
 * stack of three f is one of f. */
START_TEST(a_sample_of_a_recursive_function_is_one)
{
    made m = { MADE({ { 0, "[request]", 9, 0, 0 },
                      { 1, "app.f", 9, 0, 3 },
                      { 2, "app.f", 9, 0, 3 },
                      { 3, "app.f", 9, 90, 3 } }),
               .sampled = true };
    sl_profile *p = made_profile(&m);
    sl_calls calls;
    ck_assert_int_eq(sl_calls_sum(p, false, &calls), SL_OK);
    ck_assert_uint_eq(calls.functions[1].calls, 9);
    ck_assert_uint_eq(sl_profile_function_sum(p, 1)->calls, 9);
    sl_calls_free(&calls);
    sl_profile_free(p);
}
END_TEST

Suite *
calls_suite(void)
{
    const TTest *const tests[] = { recursion_counts_once,
                                   lines_are_told_apart_when_asked,
                                   a_sample_of_a_recursive_function_is_one,
                                   NULL };
    return suite_of("calls", tests);
}
