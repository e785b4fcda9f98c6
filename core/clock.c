/* The clocks: monotonic, of a thread, and the time stamp counter. */
#include "slowlens/clock.h"

#include <time.h>

#if defined(__x86_64__)
#    include <cpuid.h>
#    include <x86intrin.h>
#endif

uint64_t
sl_clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
sl_clock_thread_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
sl_clock_unix_s(void)
{
    struct timespec now;
#ifdef CLOCK_REALTIME_COARSE /* Linux: no reading of the hardware */
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
#else
    clock_gettime(CLOCK_REALTIME, &now);
#endif
    return (uint64_t)now.tv_sec;
}

bool
sl_clock_has_invariant_tsc(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    /* Intel SDM vol. 3, 18.17.4: leaf 80000007H, EDX bit 8. */
    return __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & (1u << 8)) != 0;
#else
    return false;
#endif
}

uint64_t
sl_clock_ticks(sl_clock_kind kind)
{
#if defined(__x86_64__)
    if (kind == SL_CLOCK_TSC)
        return __rdtsc();
#else
    (void)kind;
#endif
    return sl_clock_monotonic_ns();
}
