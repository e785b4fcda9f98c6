/* cpu_clock.h - the calling thread's CPU clock, without a system call. */
#ifndef SL_PY_CPU_CLOCK_H
#define SL_PY_CPU_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Finds out, once, whether this system tells that a thread was switched away
 * without being asked; until then, and where it does not, each reading is a
 * system call. Takes a millisecond. */
void sl_py_cpu_clock_init(void);

/* Whether readings are cheap (22 against 500 ns). */
bool sl_py_cpu_clock_cheap(void);

/* ns that the calling thread has been on a CPU. Never falls within a thread.
 * Any thread may ask; not in a signal handler. */
uint64_t sl_py_cpu_clock_ns(void);

/* The same for who has just read sl_clock_monotonic_ns: `wall`, of the calling
 * thread, and not older than its last section's. */
uint64_t sl_py_cpu_clock_at(uint64_t wall);

#endif /* SL_PY_CPU_CLOCK_H */
