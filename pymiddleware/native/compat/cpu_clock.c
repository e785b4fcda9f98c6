/* The calling thread's CPU clock, without a system call.
 *
 * Linux gives each thread a `struct rseq` (restartable sequences), which glibc
 * registers since 2.35. Whoever stores the address of a descriptor in its
 * `rseq_cs` asks the kernel to look, whenever the thread was switched away,
 * migrated or signalled, whether it stands inside the descriptor's range of
 * instructions; it does not stand in ours, which nobody runs, and the kernel
 * then clears the word. So: the word is still there - the thread has been on
 * its CPU ever since, and its CPU clock has gone on as the wall clock did. It
 * is gone - the clock is read, and the word put there again.
 *
 * What this rests on is checked once, at start: a kernel that did not clear
 * the word at a blocking call would make waiting look like computing. What a
 * hypervisor takes away is not told; so nothing is reckoned for longer than
 * TRUSTED_NS. tcmalloc uses the word, too: then it is not ours, and the clock
 * is read.
 *
 * Layout and rules: Linux' include/uapi/linux/rseq.h and kernel/rseq.c; where
 * it is found: glibc's manual, "Restartable Sequences". */
#define _GNU_SOURCE
#include "compat/cpu_clock.h"
#include "slowlens/clock.h"

#include <stddef.h>

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#    include <dlfcn.h>
#    include <pthread.h>
#    include <time.h>

#    define TRUSTED_NS UINT64_C(4000000)

/* The kernel ends a process whose descriptor does not point right behind this
 * word, which glibc registered with. */
#    if defined(__x86_64__)
#        define SIGNATURE 0x53053053u
#    else
#        define SIGNATURE 0xd428bc00u
#    endif

struct descriptor {
    uint32_t version, flags;
    uint64_t start_ip, post_commit_offset, abort_ip;
} __attribute__((aligned(32)));

struct area { /* the first fields of struct rseq */
    uint32_t cpu_id_start, cpu_id;
    uint64_t rseq_cs;
    uint32_t flags;
};

static const struct {
    uint32_t word[2];
} signature __attribute__((aligned(16))) = { { SIGNATURE, 0 } };

/* The range is a byte of `signature`: data, which no thread stands in. */
static struct descriptor nowhere;
static ptrdiff_t offset;
static bool cheap;

static __thread struct {
    uint64_t cpu, wall; /* both clocks when the word was put there */
    uint64_t given; /* what was answered last */
} since;

static volatile uint64_t *
word(void)
{
    char *self;
#    if defined(__x86_64__)
    __asm__("mov %%fs:0, %0" : "=r"(self));
#    else
    __asm__("mrs %0, tpidr_el0" : "=r"(self));
#    endif
    return &((struct area *)(void *)(self + offset))->rseq_cs;
}

/* Whether the thread has been on its CPU since. */
static bool
undisturbed(void)
{
    return *word() == (uint64_t)(uintptr_t)&nowhere;
}

static void
read_both(void)
{
    /* First: what comes in between shows the next time. */
    *word() = (uint64_t)(uintptr_t)&nowhere;
    since.wall = sl_clock_monotonic_ns();
    since.cpu = sl_clock_thread_cpu_ns();
}

/* A thread that slept is seen to have been away, and one that did not is not
 * always. */
static bool
tells(void)
{
    struct timespec short_one = { 0, 200000 };
    int stayed = 0;

    for (int i = 0; i < 3; i++) {
        read_both();
        for (int n = 0; n < 100 && stayed == i; n++) {
            read_both();
            stayed += undisturbed();
        }
        clock_nanosleep(CLOCK_MONOTONIC, 0, &short_one, NULL);
        if (undisturbed())
            return false;
    }
    return stayed == 3;
}

static void
forget(void)
{
    since.cpu = since.wall = since.given = 0;
    *word() = 0;
}

void
sl_py_cpu_clock_init(void)
{
    /* Looked up, not linked: a wheel runs with older C libraries, too. */
    const ptrdiff_t *at = dlsym(RTLD_DEFAULT, "__rseq_offset");
    const unsigned *size = dlsym(RTLD_DEFAULT, "__rseq_size");

    if (cheap || at == NULL || size == NULL || *size == 0)
        return;
    offset = *at;
    nowhere.start_ip = (uint64_t)(uintptr_t)&signature.word[0];
    nowhere.post_commit_offset = 1;
    nowhere.abort_ip = (uint64_t)(uintptr_t)&signature.word[1];
    /* A child's clock begins anew. */
    cheap = pthread_atfork(NULL, NULL, forget) == 0 && tells();
    *word() = 0;
}

bool
sl_py_cpu_clock_cheap(void)
{
    return cheap;
}

uint64_t
sl_py_cpu_clock_at(uint64_t wall)
{
    if (!cheap)
        return sl_clock_thread_cpu_ns();
    uint64_t passed = wall - since.wall; /* before it: far too much */
    /* Asked after the clock was read: a switch before that is seen. */
    if (passed > TRUSTED_NS || !undisturbed()) {
        read_both();
        passed = 0;
    }
    if (since.cpu + passed > since.given)
        since.given = since.cpu + passed;
    return since.given;
}

uint64_t
sl_py_cpu_clock_ns(void)
{
    return sl_py_cpu_clock_at(cheap ? sl_clock_monotonic_ns() : 0);
}

#else

void
sl_py_cpu_clock_init(void)
{
}

bool
sl_py_cpu_clock_cheap(void)
{
    return false;
}

uint64_t
sl_py_cpu_clock_ns(void)
{
    return sl_clock_thread_cpu_ns();
}

uint64_t
sl_py_cpu_clock_at(uint64_t wall)
{
    (void)wall;
    return sl_clock_thread_cpu_ns();
}

#endif
