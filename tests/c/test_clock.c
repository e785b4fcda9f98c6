#include "suites.h"

#include "slowlens/clock.h"

START_TEST(clocks_go_forward)
{
    for (int kind = SL_CLOCK_MONOTONIC; kind <= SL_CLOCK_TSC; kind++) {
        uint64_t first = sl_clock_ticks((sl_clock_kind)kind);
        uint64_t cpu = sl_clock_thread_cpu_ns();
        while (sl_clock_thread_cpu_ns() < cpu + 1000000)
            ;
        ck_assert_uint_gt(sl_clock_ticks((sl_clock_kind)kind), first);
    }
}
END_TEST

START_TEST(monotonic_ticks_are_nanoseconds)
{
    uint64_t a = sl_clock_monotonic_ns();
    uint64_t b = sl_clock_ticks(SL_CLOCK_MONOTONIC);
    uint64_t c = sl_clock_monotonic_ns();
    ck_assert_uint_le(a, b);
    ck_assert_uint_le(b, c);
    (void)sl_clock_has_invariant_tsc();
}
END_TEST

Suite *
clock_suite(void)
{
    const TTest *const tests[] = { clocks_go_forward,
                                   monotonic_ticks_are_nanoseconds, NULL };
    return suite_of("clock", tests);
}
