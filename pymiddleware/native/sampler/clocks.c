/* CPU clocks of threads, as Linux names them. */
#define _GNU_SOURCE
#include "sampler/clocks.h"
#include "compat/cpu_clock.h"

#include <sys/syscall.h>
#include <unistd.h>

uint64_t
sl_py_clock_ns(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* CPU clock of any thread of this process: MAKE_THREAD_CPUCLOCK and
 * CPUCLOCK_SCHED of Linux' include/linux/posix-timers_types.h. */
static clockid_t
thread_clock(pid_t tid)
{
    return (clockid_t)((~(unsigned)tid << 3) | 6u);
}

static __thread pid_t own_tid;

pid_t
sl_py_own_tid(void)
{
    pid_t tid = own_tid;

    if (tid == 0)
        own_tid = tid = (pid_t)syscall(SYS_gettid);
    return tid;
}

void
sl_py_own_tid_forget(void)
{
    own_tid = 0;
}

uint64_t
sl_py_cpu_of(pid_t tid)
{
    return tid == sl_py_own_tid() ? sl_py_cpu_clock_ns()
                                  : sl_py_clock_ns(thread_clock(tid));
}
