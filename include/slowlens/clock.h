/* slowlens/clock.h - what time it is, for the recording side.
 *
 * Ticks are whatever the chosen source counts; only a pair (ticks, ns) at
 * both ends of a recording gives them a unit. So the cheap source (the x86
 * time stamp counter, about 4 ns a read) needs no calibrated frequency.
 */
#ifndef SL_CLOCK_H
#define SL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    SL_CLOCK_MONOTONIC, /* CLOCK_MONOTONIC; a tick is a nanosecond */
    SL_CLOCK_TSC,       /* x86-64 time stamp counter */
} sl_clock_kind;

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t sl_clock_monotonic_ns(void);

/* Nanoseconds of CPU the calling thread has used. About 0.4 us a call. */
uint64_t sl_clock_thread_cpu_ns(void);

/* Seconds since 1970, up to a few milliseconds old: about 10 ns a call. */
uint64_t sl_clock_unix_s(void);

/* Whether the processor says that its counter runs at one rate always. The
 * kernel must trust it too (its clock source must be `tsc`): ask there
 * before choosing SL_CLOCK_TSC. false on anything but x86-64. */
bool sl_clock_has_invariant_tsc(void);

/* The source's count now. SL_CLOCK_TSC reads as MONOTONIC elsewhere than on
 * x86-64. */
uint64_t sl_clock_ticks(sl_clock_kind kind);

#endif /* SL_CLOCK_H */
