/* The thread that a process began with, and its end. */
#ifdef __linux__
#    define _GNU_SOURCE
#endif
#include "compat/leader.h"

#include <pthread.h>
#include <unistd.h>
#ifdef __linux__
#    include <sys/syscall.h>
#endif

/* Of the first thread alone, whose destructor tells of its end. */
static pthread_key_t key;

/* Written before the process has a second thread. */
static bool may_end;
static bool ended; /* atomic: by the first thread, read by ours */

/* Of the thread that forks, and so of its copy: each its own, as several fork
 * at once. */
static __thread bool is_leader;

static void
before_fork(void)
{
#ifdef __linux__
    is_leader = syscall(SYS_gettid) == getpid();
#else
    is_leader = pthread_main_np() != 0;
#endif
}

static void
in_child(void)
{
    /* A child's child, forked by its first thread, ends as that one does. */
    may_end = may_end || !is_leader;
    __atomic_store_n(&ended, false, __ATOMIC_RELAXED);
    if (may_end)
        pthread_setspecific(key, &may_end);
}

static void
at_end(void *unused)
{
    (void)unused;
    __atomic_store_n(&ended, true, __ATOMIC_RELAXED);
}

bool
sl_py_leader_set_up(void)
{
    static bool done;

    if (!done)
        done = pthread_key_create(&key, at_end) == 0 &&
               pthread_atfork(before_fork, NULL, in_child) == 0;
    return done;
}

bool
sl_py_leader_may_end(void)
{
    return may_end;
}

bool
sl_py_leader_ended(void)
{
    return __atomic_load_n(&ended, __ATOMIC_RELAXED);
}
