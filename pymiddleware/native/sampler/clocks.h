/* clocks.h - CPU clocks of threads (Linux). Any thread may ask. */
#ifndef SL_PY_CLOCKS_H
#define SL_PY_CLOCKS_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* ns of a clock, 0 where it cannot be read (a thread that is gone). */
uint64_t sl_py_clock_ns(clockid_t clock);

/* ns that a thread of this process has been on a CPU, 0 where it is gone. */
uint64_t sl_py_cpu_of(pid_t tid);

/* The calling thread's id. */
pid_t sl_py_own_tid(void);

/* In the child of a fork: its thread has another. */
void sl_py_own_tid_forget(void);

#endif /* SL_PY_CLOCKS_H */
