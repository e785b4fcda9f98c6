/* What a thread that is off the CPU waits for: see waits.h. */
#define _GNU_SOURCE
#include "sampler/waits.h"
#include "look/memory.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Less is not worth a question. */
#define WORTH_NS UINT64_C(50000)

/* When a slot is first looked at, a wait for a CPU that was counted since so
 * short a time before is taken for a wait of the request. */
#define LATELY_NS UINT64_C(100000000)

static void
thread_file_open(sl_py_thread_file *file, pid_t tid, const char *name)
{
    char path[64];
    struct stat is;

    snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int)tid, name);
    *file = (sl_py_thread_file){ .tid = tid,
                                 .fd = open(path, O_RDONLY | O_CLOEXEC) };
    if (file->fd >= 0 && file->fd <= STDERR_FILENO) {
        /* A daemon has closed its standard streams: those are not ours. */
        int low = file->fd;
        file->fd = fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(low);
    }
    if (file->fd >= 0 && fstat(file->fd, &is) == 0) {
        file->device = is.st_dev;
        file->inode = is.st_ino;
    }
}

/* Reads a small file of the slot's thread through a descriptor that is kept.
 * Returns its length; 0: it cannot be read. */
static size_t
thread_file_read(const sl_py_slot *s, const char *name, sl_py_thread_file *file,
                 char *text, size_t room)
{
    bool refused = file->tid == s->tid && file->fd < 0;

    /* A daemon closes all descriptors, and a file of the application's gets
     * the number of ours: what it is now is compared before it is read. One
     * that could not be opened is not tried again for this thread. */
    if (!refused && (file->tid != s->tid || !sl_py_thread_file_is_open(file))) {
        sl_py_thread_file_close(file);
        thread_file_open(file, s->tid, name);
    }
    ssize_t size = file->fd < 0 ? 0 : pread(file->fd, text, room - 1, 0);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    return (size_t)size;
}

/* The next number of a line of the kernel's, decimal or 0x..., and what follows
 * it; NULL: there is none. Not sscanf: it took a quarter of all instructions of
 * a look. */
static const char *
number_read(const char *at, uint64_t *out)
{
    uint64_t value = 0, base = 10;

    while (*at == ' ')
        at++;
    bool negative = *at == '-';
    at += negative;
    if (at[0] == '0' && at[1] == 'x') {
        base = 16;
        at += 2;
    }
    const char *first = at;
    for (;; at++) {
        uint64_t digit = *at >= '0' && *at <= '9'   ? (uint64_t)(*at - '0')
                         : *at >= 'a' && *at <= 'f' ? (uint64_t)(*at - 'a') + 10
                                                    : base;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    *out = negative ? 0 - value : value;
    return at > first ? at : NULL;
}

/* What a descriptor of this process is. */
static int
descriptor_kind(unsigned long fd)
{
    struct stat is;

    if (fstat((int)fd, &is) != 0)
        return SL_METRIC_OFF_CPU;
    if (S_ISSOCK(is.st_mode))
        return SL_METRIC_SOCKET;
    if (S_ISREG(is.st_mode) || S_ISDIR(is.st_mode) || S_ISBLK(is.st_mode))
        return SL_METRIC_DISK;
    return SL_METRIC_POLL; /* pipes, events, terminals */
}

/* poll of one is a wait for that one; of none, a sleep. */
static int
poll_kind(unsigned long where, unsigned long count)
{
    struct pollfd one;

    if (count == 0)
        return SL_METRIC_SLEEP;
    if (count == 1 && sl_py_memory_copy(where, sizeof(one), &one))
        return descriptor_kind((unsigned long)one.fd);
    return SL_METRIC_POLL;
}

/* Numbers of one architecture are missing on another: each is asked for. */
static int
syscall_kind(long number, unsigned long a, unsigned long b)
{
    switch (number) {
    /* The GIL's mutexes and conditions lie within one structure of the
     * interpreter's. Any other address is somebody's lock. */
    case SYS_futex:
        return a - (uintptr_t)sl_py_sampler.layout.gil <
                       (unsigned long)sl_py_sampler.layout.gil_size
                   ? SL_METRIC_GIL
                   : SL_METRIC_LOCK;
    case SYS_nanosleep:
    case SYS_clock_nanosleep: return SL_METRIC_SLEEP;
    case SYS_flock: return SL_METRIC_LOCK;
    case SYS_wait4:
    case SYS_waitid: return SL_METRIC_CHILD;
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_connect:
    case SYS_accept:
    case SYS_accept4: return SL_METRIC_SOCKET;
    case SYS_read:
    case SYS_readv:
    case SYS_write:
    case SYS_writev: return descriptor_kind(a);
    case SYS_pread64:
    case SYS_pwrite64:
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_openat:
    case -1: return SL_METRIC_DISK; /* -1: no call, so a page of memory */
    case SYS_ppoll: return poll_kind(a, b);
    case SYS_epoll_pwait: return SL_METRIC_POLL;
    case SYS_pselect6: return a == 0 ? SL_METRIC_SLEEP : SL_METRIC_POLL;
#ifdef SYS_poll
    case SYS_poll: return poll_kind(a, b);
#endif
#ifdef SYS_select
    case SYS_select: return a == 0 ? SL_METRIC_SLEEP : SL_METRIC_POLL;
#endif
#ifdef SYS_epoll_wait
    case SYS_epoll_wait: return SL_METRIC_POLL;
#endif
    default: return SL_METRIC_OFF_CPU;
    }
}

int
sl_py_wait_kind(sl_py_slot *s)
{
    char text[160];
    const char *at;
    uint64_t number, a = 0, b = 0;

    SL_PY_NEEDS_LOCK();
    if (thread_file_read(s, "syscall", &s->syscall_file, text, sizeof(text)) ==
        0)
        return SL_METRIC_OFF_CPU;
    if ((at = number_read(text, &number)) == NULL)
        return SL_PY_RUNNABLE; /* "running" */
    if ((at = number_read(at, &a)) != NULL)
        number_read(at, &b);
    return syscall_kind((long)number, (unsigned long)a, (unsigned long)b);
}

/* How long the thread has waited for a CPU in its life, as of the last time it
 * got one. false: the kernel does not tell. */
static bool
delay_read(sl_py_slot *s, uint64_t *ns)
{
    char text[96];
    const char *at;
    uint64_t ran, waited;

    if (thread_file_read(s, "schedstat", &s->delay_file, text, sizeof(text)) ==
            0 ||
        (at = number_read(text, &ran)) == NULL ||
        number_read(at, &waited) == NULL || ran == 0)
        return false;
    *ns = waited;
    return true;
}

/* The first look is where counting begins. How much of what passed before it
 * was a wait for a CPU: no more than the thread has waited since it was last
 * asked, in another request; where that is not known, a thread that sleeps in
 * no call was ready all the time. */
static uint64_t
delay_begin(sl_py_slot *s)
{
    bool ready = s->pending_kind == SL_PY_RUNNABLE ||
                 s->pending_kind == SL_METRIC_OFF_CPU;
    uint64_t at = sl_clock_monotonic_ns(), before = s->delay_ns;
    bool known = s->delay_at_ns != 0 && s->delay_file.tid == s->tid;
    bool lately = known && at - s->delay_at_ns < s->pending_ns + LATELY_NS;

    s->delay_known = delay_read(s, &s->delay_ns);
    s->delay_at_ns = s->delay_known ? at : 0;
    if (!s->delay_known || !(ready || lately))
        return 0;
    if (!known || s->delay_ns < before)
        return ready ? s->pending_ns : 0;
    return s->delay_ns - before;
}

uint64_t
sl_py_wait_count(sl_py_slot *s, uint64_t off_ns, uint64_t gil_ns, bool ran,
                 bool self)
{
    uint64_t now, queue;

    if (s->strand == NULL)
        return 0;
    /* What it does now that it has run says nothing about why it had not. */
    if (s->kind != SL_METRIC_OFF_CPU && (!ran || s->pending_ns == 0))
        s->pending_kind = s->kind;
    s->pending_ns += off_ns;
    s->pending_gil_ns += gil_ns;
    /* Over before anybody looked, and nothing to tell: asking the kernel would
     * cost more than the whole section. */
    if (self && !s->delay_known && s->pending_ns < WORTH_NS)
        return 0;
    if (!s->delay_known) {
        queue = delay_begin(s);
    } else if (!ran || s->pending_ns < WORTH_NS || !delay_read(s, &now)) {
        return 0;
    } else {
        queue = now > s->delay_ns ? now - s->delay_ns : 0;
        s->delay_ns = now;
        s->delay_at_ns = sl_clock_monotonic_ns();
    }
    queue = queue < s->pending_ns ? queue : s->pending_ns;
    uint64_t rest = s->pending_ns - queue;
    rest = rest > s->pending_gil_ns ? rest - s->pending_gil_ns : 0;
    sl_strand_waited(s->strand, SL_METRIC_RUN_QUEUE, queue);
    if (s->pending_kind == SL_PY_RUNNABLE ||
        s->pending_kind == SL_METRIC_OFF_CPU) {
        /* It may wait for a CPU right now: the kernel tells when it gets one.
         */
        s->pending_ns -= queue;
    } else {
        if (s->pending_kind != SL_METRIC_GIL)
            sl_strand_waited(s->strand, (sl_metric)s->pending_kind, rest);
        s->pending_ns = 0;
    }
    s->pending_gil_ns = 0;
    s->pending_kind = SL_METRIC_OFF_CPU;
    return queue;
}
