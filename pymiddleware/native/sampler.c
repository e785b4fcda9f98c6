#define _GNU_SOURCE
#include "sampler.h"
#include "contexts.h"
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLOTS_MAX      256
#define LINGER_TICKS   20
#define BRAKE_TICKS    64
#define SLOWEST_NS     UINT64_C(50000000)
#define RETRIES        3
#define TURN_NS        UINT64_C(100000)
#define STACK_BYTES    ((size_t)512 << 10)
/* Off the CPU for less than this part of the time: not worth asking why. */
#define OFF_CPU_PART   10

/* A thread that runs a request. */
typedef struct {
    sl_py_profile *profile; /* NULL: free; valid while the slot is in use */
    const void *ts;
    uintptr_t anchor;
    pid_t tid;
    pid_t syscall_tid; /* whose file syscall_fd is */
    int syscall_fd;
    bool waited; /* for the GIL, when last seen */
    uint64_t wall_ns, cpu_ns, ticks; /* when last seen */
} slot;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;

/* All of these under the lock. */
static slot slots[SLOTS_MAX];
static int slots_used; /* up to here some may be in use */
static int slots_active;
static sl_py_layout layout;
static const char *method; /* of reading memory; NULL: not ready */
static char why_not[200] = "the sampler has not been tried";
static bool parked, stopping;
static uint64_t interval_ns = 1000000; /* as configured */
static uint64_t current_ns = 1000000;  /* as the brake has it */
static uint32_t limit_ppm = 10000;
static struct {
    uint64_t ticks, late, samples, rejected, retried, moved, no_slot, cpu_ns;
} counts;

/* With the GIL held. */
static bool running; /* the thread exists */
static pthread_t thread;
static bool handlers_set;

/* Only the sampler's, or under the lock. */
static sl_py_raw_frame raw[SL_PY_WALK_MAX];
static sl_py_place places[SL_PY_WALK_MAX];
static sl_frame stack[SL_PY_WALK_MAX];

static uint64_t
clock_ns(clockid_t clock)
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

static pid_t
own_tid(void)
{
    static __thread pid_t tid, pid;
    if (pid != getpid()) {
        pid = getpid();
        tid = (pid_t)syscall(SYS_gettid);
    }
    return tid;
}

/* ---- what the thread is doing ---- */

static bool
holds_gil(const slot *s)
{
    int locked;
    const void *holder;

    memcpy(&locked, layout.gil + layout.gil_locked, sizeof(locked));
    memcpy(&holder, layout.gil + layout.gil_holder, sizeof(holder));
    return locked == 1 && holder == s->ts;
}

/* Whether the thread sleeps in a futex of the GIL, as the kernel tells it. */
static bool
waits_for_gil(slot *s)
{
    char text[128];
    unsigned long number, address;

    if (s->syscall_tid != s->tid) {
        if (s->syscall_fd > 0)
            close(s->syscall_fd);
        snprintf(text, sizeof(text), "/proc/self/task/%d/syscall", (int)s->tid);
        s->syscall_fd = open(text, O_RDONLY | O_CLOEXEC);
        s->syscall_tid = s->tid;
    }
    if (s->syscall_fd <= 0)
        return false;
    ssize_t size = pread(s->syscall_fd, text, sizeof(text) - 1, 0);
    if (size <= 0)
        return false;
    text[size] = '\0';
    if (sscanf(text, "%lu %lx", &number, &address) != 2)
        return false; /* "running" */
    return number == SYS_futex && address - (uintptr_t)layout.gil <
                                      (unsigned long)layout.gil_size;
}

/* Time since the slot was last seen, which it is now. */
static void
slot_measure(slot *s, sl_times *out, uint64_t *now, bool self)
{
    uint64_t wall = sl_clock_monotonic_ns();
    uint64_t cpu = self ? sl_clock_thread_cpu_ns()
                        : clock_ns(thread_clock(s->tid));
    uint64_t passed = wall - s->wall_ns;
    bool waits = false;

    *now = sl_clock_ticks(s->profile->clock);
    uint64_t on = cpu > s->cpu_ns ? cpu - s->cpu_ns : 0;
    on = on < passed ? on : passed;
    uint64_t off = passed - on;
    out->wall = *now > s->ticks ? *now - s->ticks : 0;
    double scale = passed == 0 ? 0 : (double)out->wall / (double)passed;
    out->cpu = (uint64_t)((double)on * scale);
    out->gil = 0;
    if (off > passed / OFF_CPU_PART) {
        if (!self && !holds_gil(s))
            waits = waits_for_gil(s);
        /* Running again: it was off for what it was seen waiting for. */
        if (waits || (s->waited && (self || holds_gil(s))))
            out->gil = out->wall - out->cpu;
    }
    s->waited = waits;
    s->wall_ns = wall;
    s->cpu_ns = cpu != 0 ? cpu : s->cpu_ns;
    s->ticks = *now;
}

/* Places to frames, outermost first and without our own. `places` is
 * innermost first. */
static uint32_t
stack_fill(int count)
{
    uint32_t used = 0;
    for (int i = count; i-- > 0;) {
        if (!places[i].code->own)
            stack[used++] = (sl_frame){ places[i].code, places[i].line };
    }
    return used;
}

/* ---- one look ---- */

static bool
slot_sample(slot *s)
{
    sl_times passed;
    uint64_t now;
    int count = -1;

    for (int try = 0; try < RETRIES && count < 0; try++) {
        counts.retried += try > 0;
        count = sl_py_frames_walk(&layout, s->ts, s->anchor, raw);
        if (count >= 0 && !sl_py_codes_resolve(&layout, raw, count, places))
            count = -1;
    }
    if (count < 0)
        return false; /* its time goes to the next one */
    bool gc = layout.collecting != NULL && *layout.collecting != 0 &&
              holds_gil(s);
    slot_measure(s, &passed, &now, false);
    sl_strand_sample(sl_recording_main(s->profile->recording), stack,
                     stack_fill(count), gc, &passed, now);
    return true;
}

static void
slot_look(slot *s)
{
    if (s->profile->sampled) {
        if (slot_sample(s)) {
            counts.samples++;
        } else {
            counts.rejected++;
            s->profile->rejected++;
        }
        return;
    }
    sl_times passed;
    uint64_t now;
    slot_measure(s, &passed, &now, false);
    sl_recording_observe(s->profile->recording, &passed, now);
    counts.samples++;
}

/* ---- child work: other threads and tasks of a request ---- */

/* Threads that are not in a section of their own; what each ran last. */
typedef struct {
    slot seen; /* seen.profile: the request it worked for, or NULL */
    uintptr_t ts;
    uintptr_t context, vars; /* as last looked up... */
    sl_py_profile *found;    /* ...with this result */
    uint64_t serial;         /* of the round it was met in */
} other;

#define OTHERS_MAX   256
#define OTHERS_EVERY 16 /* ticks, where no request is asynchronous */
#define LIVE_MAX     1024

static other others[OTHERS_MAX];
static int others_count;
static uint64_t others_serial;
static sl_py_profile *live[LIVE_MAX]; /* sampled, not finished */
static int live_count, live_following;
static int32_t variable_hash;
static bool children; /* contexts can be read here */

static bool
live_has(const sl_py_profile *profile)
{
    for (int i = 0; i < live_count; i++) {
        if (live[i] == profile)
            return true;
    }
    return false;
}

static bool
copy_of(uintptr_t address, size_t size, void *out)
{
    sl_py_piece piece = { (const void *)address, size };
    const void *copy = address == 0 ? NULL : sl_py_memory_read(&piece, 1);
    if (copy != NULL)
        memcpy(out, copy, size);
    return copy != NULL;
}

/* The live profile whose handle the context variable holds in `vars`. */
static sl_py_profile *
profile_of(uintptr_t vars)
{
    sl_py_handle handle;
    uintptr_t value = sl_py_context_find(
        vars, (uintptr_t)sl_py_active_variable(), variable_hash);

    if (!copy_of(value, sizeof(handle), &handle) ||
        ((PyObject *)&handle)->ob_type != &sl_py_handle_type ||
        !live_has(handle.profile))
        return NULL;
    return handle.profile;
}

/* The strand of a context of this request. */
static sl_strand *
child_strand(sl_py_profile *profile, uintptr_t context, bool same_thread,
             uint64_t now)
{
    for (uint32_t i = 0; i < profile->child_count; i++) {
        if (profile->children[i].context == context)
            return profile->children[i].strand;
    }
    if (profile->child_count == profile->child_capacity) {
        uint32_t capacity =
            profile->child_capacity == 0 ? 8 : profile->child_capacity * 2;
        sl_py_child *grown =
            capacity > 4096
                ? NULL
                : realloc(profile->children, capacity * sizeof(*grown));
        if (grown == NULL) {
            profile->lost_strands++;
            return NULL;
        }
        profile->children = grown;
        profile->child_capacity = capacity;
    }
    sl_strand *strand = sl_recording_strand(
        profile->recording, same_thread ? SL_PSEUDO_TASK : SL_PSEUDO_THREAD,
        now);
    if (strand != NULL)
        profile->children[profile->child_count++] =
            (sl_py_child){ context, strand };
    return strand;
}

/* Frames above the innermost one that runs other contexts. */
static int
cut_stack(int count)
{
    for (int i = 0; i < count; i++) {
        if (places[i].code->begins)
            return i;
    }
    return count;
}

/* Whether the thread has neither left its context since the copy `state` was
 * made nor gone through another: its stack was read in between. */
static bool
same_context(uintptr_t ts, const char *state)
{
    uintptr_t context;
    uint64_t version;

    return copy_of(ts + layout.ts_context, sizeof(context), &context) &&
           copy_of(ts + layout.ts_context_ver, sizeof(version), &version) &&
           memcmp(&context, state + layout.ts_context, sizeof(context)) == 0 &&
           memcmp(&version, state + layout.ts_context_ver, sizeof(version)) ==
               0;
}

/* The stack of a thread in the context of the copy `state`: how many frames,
 * -1: not to be had, -2: the thread has left that context. */
static int
other_walk(const other *o, const char *state)
{
    int count = -1;

    for (int try = 0; try < RETRIES && count < 0; try++) {
        counts.retried += try > 0;
        count =
            sl_py_frames_walk(&layout, o->seen.ts, SL_PY_NO_ANCHOR, raw);
        if (count >= 0 && !sl_py_codes_resolve(&layout, raw, count, places))
            count = -1;
        if (!same_context(o->ts, state))
            return -2;
    }
    return count;
}

static void
other_sample(other *o, sl_py_profile *profile, uintptr_t context,
             const char *state)
{
    slot *s = &o->seen;
    sl_times passed;
    uint64_t now;
    bool first = s->profile != profile;

    if (first) {
        s->profile = profile;
        s->cpu_ns = clock_ns(thread_clock(s->tid));
        s->wall_ns = s->ticks = sl_clock_monotonic_ns();
        s->waited = false;
    }
    int count = other_walk(o, state);
    if (count < 0) {
        counts.moved += count == -2;
        counts.rejected += count == -1;
        profile->rejected += count == -1;
        return; /* its time goes to the next one */
    }
    slot_measure(s, &passed, &now, false);
    if (first) { /* it began at some time since the tick before */
        passed = (sl_times){ .wall = current_ns / 2, .cpu = current_ns / 2 };
    }
    sl_strand *strand = child_strand(
        profile, context, profile->thread_ts == s->ts, now - passed.wall);
    uint32_t frames = stack_fill(cut_stack(count));
    if (strand == NULL || frames == 0)
        return;
    sl_strand_sample(strand, stack, frames, false, &passed, now);
    counts.samples++;
}

static other *
other_of(uintptr_t ts)
{
    other *free_one = NULL;

    for (int i = 0; i < others_count; i++) {
        if (others[i].ts == ts)
            return &others[i];
        if (free_one == NULL && others[i].serial + 1 < others_serial)
            free_one = &others[i];
    }
    if (free_one == NULL && others_count < OTHERS_MAX)
        free_one = &others[others_count++];
    if (free_one != NULL) {
        if (free_one->seen.syscall_fd > 0)
            close(free_one->seen.syscall_fd);
        *free_one = (other){ .ts = ts, .seen.ts = (const void *)ts };
    }
    return free_one;
}

/* One thread state, a copy of which is `state`. */
static void
other_look(uintptr_t ts, const char *state)
{
    uintptr_t context, vars;
    unsigned long tid;

    for (int i = 0; i < slots_used; i++) {
        if (slots[i].profile != NULL && (uintptr_t)slots[i].ts == ts)
            return; /* a section: its own slot sees to it */
    }
    memcpy(&context, state + layout.ts_context, sizeof(context));
    memcpy(&tid, state + layout.ts_native_id, sizeof(tid));
    other *o = context != 0 ? other_of(ts) : NULL;
    if (o == NULL)
        return;
    o->serial = others_serial;
    o->seen.tid = (pid_t)tid;
    if (!copy_of(context + layout.context_vars, sizeof(vars), &vars))
        return;
    if (o->context != context || o->vars != vars) {
        o->found = profile_of(vars);
        o->context = context;
        o->vars = vars;
    }
    sl_py_profile *profile = o->found;
    /* In the request's own context outside its sections: who awaits it. */
    if (profile == NULL || !live_has(profile) ||
        (uintptr_t)profile->context == context) {
        o->seen.profile = NULL;
        return;
    }
    other_sample(o, profile, context, state);
}

static void
look_at_others(uint64_t ticks)
{
    static char state[4096];
    uintptr_t ts;

    if (!children || live_count == 0 || layout.ts_size > sizeof(state) ||
        (live_following == 0 && ticks % OTHERS_EVERY != 0))
        return;
    others_serial++;
    memcpy(&ts, layout.threads, sizeof(ts));
    for (int i = 0; ts != 0 && i < OTHERS_MAX; i++) {
        if (!copy_of(ts, layout.ts_size, state))
            return;
        other_look(ts, state);
        memcpy(&ts, state + layout.ts_next, sizeof(ts));
    }
}

void
sl_py_sampler_add(sl_py_profile *profile)
{
    pthread_mutex_lock(&lock);
    if (live_count < LIVE_MAX) {
        live[live_count++] = profile;
        live_following += profile->follows;
    }
    pthread_mutex_unlock(&lock);
}

void
sl_py_sampler_remove(sl_py_profile *profile)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < live_count; i++) {
        if (live[i] == profile) {
            live[i] = live[--live_count];
            live_following -= profile->follows;
            break;
        }
    }
    /* A new profile may get this one's address. */
    for (int i = 0; i < others_count; i++) {
        if (others[i].found == profile)
            others[i].found = NULL, others[i].context = 0;
        if (others[i].seen.profile == profile)
            others[i].seen.profile = NULL;
    }
    free(profile->children);
    profile->children = NULL;
    profile->child_count = profile->child_capacity = 0;
    pthread_mutex_unlock(&lock);
}

/* ---- the thread ---- */

static void
tick(uint64_t ticks)
{
    pthread_mutex_lock(&lock);
    look_at_others(ticks);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < SLOTS_MAX; i++) {
        pthread_mutex_lock(&lock);
        bool last = i >= slots_used;
        if (!last && slots[i].profile != NULL)
            slot_look(&slots[i]);
        pthread_mutex_unlock(&lock);
        if (last)
            break;
    }
}

/* Takes fewer samples while they cost more than they may. */
static void
brake(uint64_t *cpu_before, uint64_t *wall_before)
{
    uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t wall = sl_clock_monotonic_ns();
    uint64_t used = cpu - *cpu_before, passed = wall - *wall_before;

    counts.cpu_ns += used;
    if (limit_ppm != 0 && passed > 0) {
        double share = (double)used / (double)passed * 1e6;
        if (share > limit_ppm)
            current_ns = current_ns + current_ns / 4;
        else if (share < limit_ppm / 2.0)
            current_ns -= current_ns / 8;
    } else {
        current_ns = interval_ns;
    }
    current_ns = current_ns < interval_ns ? interval_ns : current_ns;
    current_ns = current_ns > SLOWEST_NS && SLOWEST_NS > interval_ns
                     ? SLOWEST_NS
                     : current_ns;
    *cpu_before = cpu;
    *wall_before = wall;
}

/* Sleeps until a slot is in use. false: the thread is to end. */
static bool
park(int idle_ticks, bool *slept)
{
    bool go_on;

    *slept = false;
    pthread_mutex_lock(&lock);
    while (!stopping && slots_active == 0 && live_following == 0 &&
           idle_ticks >= LINGER_TICKS) {
        parked = *slept = true;
        pthread_cond_wait(&wanted, &lock);
        parked = false;
    }
    go_on = !stopping;
    pthread_mutex_unlock(&lock);
    return go_on;
}

/* struct sched_attr of Linux' include/uapi/linux/sched/types.h, as far as its
 * first version goes; libc has no wrapper for the two calls. */
typedef struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
} scheduling;

/* Asks for short turns: a thread that asks for less runs sooner (EEVDF, Linux
 * 6.12 and later). Elsewhere nothing changes. */
static void
ask_for_short_turns(void)
{
    scheduling now = { 0 };

    if (syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) != 0)
        return;
    now.size = sizeof(now);
    now.runtime = TURN_NS;
    syscall(SYS_sched_setattr, 0, &now, 0);
}

static void *
sampler_run(void *unused)
{
    uint64_t next = sl_clock_monotonic_ns(), wall = next, cpu = 0;
    int idle = 0;
    bool slept;

    (void)unused;
    prctl(PR_SET_TIMERSLACK, 1UL);
    pthread_setname_np(pthread_self(), "slowlens-sample");
    ask_for_short_turns();
    for (uint32_t n = 1; park(idle, &slept); n++) {
        uint64_t now = sl_clock_monotonic_ns();
        if (slept) {
            next = wall = now;
            idle = 0;
        }
        next += current_ns;
        if (next < now) {
            counts.late += (now - next) / current_ns + 1;
            next = now + current_ns;
        }
        struct timespec at = { (time_t)(next / 1000000000u),
                               (long)(next % 1000000000u) };
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) ==
               EINTR)
            continue;
        idle = slots_active + live_following > 0 ? 0 : idle + 1;
        tick(n);
        counts.ticks++;
        if (n % BRAKE_TICKS == 0)
            brake(&cpu, &wall);
    }
    return NULL;
}

/* ---- fork ---- */

static void
fork_prepare(void)
{
    pthread_mutex_lock(&lock);
}

static void
fork_parent(void)
{
    pthread_mutex_unlock(&lock);
}

static void
fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&wanted, NULL);
    running = parked = stopping = false;
}

void
sl_py_sampler_after_fork(void)
{
    for (int i = 0; i < SLOTS_MAX; i++) {
        if (slots[i].syscall_fd > 0)
            close(slots[i].syscall_fd);
        slots[i] = (slot){ 0 };
    }
    slots_used = slots_active = 0;
    live_count = live_following = others_count = 0;
    memset(&counts, 0, sizeof(counts));
    current_ns = interval_ns;
    /* The parent's window on memory is shared with it: make our own. */
    if (method != NULL && (method = sl_py_memory_init()) == NULL)
        snprintf(why_not, sizeof(why_not),
                 "no way to read memory after a fork");
}

/* With the GIL and the lock held: starts the thread if there is none. */
static bool
sampler_start(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    if (running)
        return true;
    if (!handlers_set) {
        if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0)
            return false;
        handlers_set = true;
    }
    stopping = false;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    running = pthread_create(&thread, &attributes, sampler_run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return running;
}

void
sl_py_sampler_stop(void)
{
    if (!running)
        return;
    pthread_mutex_lock(&lock);
    stopping = true;
    pthread_cond_signal(&wanted);
    pthread_mutex_unlock(&lock);
    Py_BEGIN_ALLOW_THREADS pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS running = false;
}

/* ---- a request's sections ---- */

static slot *
slot_take(void)
{
    for (int i = 0; i < SLOTS_MAX; i++) {
        if (slots[i].profile == NULL) {
            if (i >= slots_used)
                slots_used = i + 1;
            return &slots[i];
        }
    }
    return NULL;
}

static void
slot_begin(slot *s, sl_py_profile *profile, uint64_t now)
{
    s->profile = profile;
    s->ts = profile->thread_ts = sl_py_borrow_tstate();
    s->anchor = profile->sampled ? sl_py_layout_anchor(&layout) : 0;
    s->tid = own_tid();
    s->waited = false;
    s->cpu_ns = sl_clock_thread_cpu_ns();
    s->wall_ns = sl_clock_monotonic_ns();
    s->ticks = now;
    profile->slot = (int)(s - slots);
    slots_active++;
}

void
sl_py_sampler_begin(sl_py_profile *profile, sl_pseudo gap)
{
    sl_strand *strand = sl_recording_main(profile->recording);
    bool ready = method != NULL && why_not[0] == '\0';

    pthread_mutex_lock(&lock);
    uint64_t now = sl_clock_ticks(profile->clock);
    profile->slot = -1;
    profile->unseen_since = now;
    if (profile->started)
        sl_strand_continue(strand, gap, now);
    else
        sl_strand_charge(strand, now);
    if (ready && sampler_start()) {
        slot *s = slot_take();
        if (s != NULL)
            slot_begin(s, profile, now);
        else
            counts.no_slot++;
        if (parked)
            pthread_cond_signal(&wanted);
    }
    pthread_mutex_unlock(&lock);
}

/* The stack that waits, into `stack`; innermost last. */
static uint32_t
waiting_stack(PyObject *waiting)
{
    int count = waiting == NULL
                    ? 0
                    : sl_py_layout_await_chain(&layout, waiting, raw);
    if (!sl_py_codes_resolve(&layout, raw, count, places))
        return 0;
    return stack_fill(count);
}

void
sl_py_sampler_end(sl_py_profile *profile, PyObject *waiting)
{
    sl_strand *strand = sl_recording_main(profile->recording);
    sl_times passed = { 0 };
    uint64_t now;

    pthread_mutex_lock(&lock);
    slot *s = profile->slot >= 0 ? &slots[profile->slot] : NULL;
    if (s != NULL && s->profile == profile) {
        /* Ended by another thread than it began in: whose CPU clock is it? */
        bool self = s->tid == own_tid();
        slot_measure(s, &passed, &now, self);
        s->profile = NULL;
        slots_active--;
        while (slots_used > 0 && slots[slots_used - 1].profile == NULL)
            slots_used--;
    } else {
        now = sl_clock_ticks(profile->clock);
        passed.wall = now > profile->unseen_since ? now - profile->unseen_since
                                                  : 0;
    }
    profile->slot = -1;
    if (profile->sampled)
        sl_strand_pause(strand, stack, waiting_stack(waiting), &passed, now);
    else
        sl_strand_suspend(strand, now);
    pthread_mutex_unlock(&lock);
}

/* ---- set-up ---- */

void
sl_py_sampler_configure(uint64_t interval, uint32_t limit)
{
    pthread_mutex_lock(&lock);
    interval_ns = current_ns = interval;
    limit_ppm = limit;
    pthread_mutex_unlock(&lock);
}

const char *
sl_py_sampler_why_not(void)
{
    return why_not[0] != '\0' ? why_not : NULL;
}

/* Compares one place with the frame that Python shows. */
static bool
test_frame(PyFrameObject *frame, const sl_py_place *place)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    const char *name = PyUnicode_AsUTF8(code->co_qualname);
    const char *file = PyUnicode_AsUTF8(code->co_filename);
    bool same = name != NULL && file != NULL &&
                strcmp(name, place->code->name) == 0 &&
                strcmp(file, place->code->file) == 0 &&
                place->line == (uint32_t)PyFrame_GetLineNumber(frame);
    PyErr_Clear();
    Py_DECREF(code);
    return same;
}

/* Why the stack that is read is not the one Python shows; NULL: it is. */
static const char *
test_stack(void)
{
    int count =
        sl_py_frames_walk(&layout, sl_py_borrow_tstate(), 0, raw), at = 0;
    const char *wrong = NULL;

    if (count < 0)
        return "frames are not where this interpreter's headers say";
    if (!sl_py_codes_resolve(&layout, raw, count, places))
        return "code objects are not what this interpreter's headers say";
    if (!holds_gil(&(slot){ .ts = sl_py_borrow_tstate() }))
        return "the GIL is not where this interpreter's headers say";
    PyFrameObject *frame =
        (PyFrameObject *)Py_XNewRef((PyObject *)PyEval_GetFrame());
    while (frame != NULL) {
        while (at < count && strcmp(places[at].code->file,
                                    "<interpreter trampoline>") == 0)
            at++;
        if (at == count || !test_frame(frame, &places[at++]))
            wrong = "frames read from outside differ from those Python shows";
        PyFrameObject *back = wrong == NULL ? PyFrame_GetBack(frame) : NULL;
        Py_DECREF(frame);
        frame = back;
    }
    return wrong == NULL && at != count ? "more frames than Python shows"
                                        : wrong;
}

/* A thread state as a torn read may give it: the frame on its stack has a
 * caller at the end of the address space. It must be refused, not followed. */
static const char *
test_torn(void)
{
    static uintptr_t state[512], frame[64], cframe[64];
    uintptr_t wild = UINTPTR_MAX - 7, code = (uintptr_t)frame;
    uintptr_t at = (uintptr_t)frame, top = at + sizeof(frame);
    char *ts = (char *)state;

    if (layout.ts_size > sizeof(state) || layout.frame_size > sizeof(frame) ||
        layout.cframe_frame > sizeof(cframe) - sizeof(at))
        return "a thread state larger than any known one";
    memcpy((char *)frame + layout.frame_previous, &wild, sizeof(wild));
    memcpy((char *)frame + layout.frame_code, &code, sizeof(code));
    memcpy(ts + layout.ts_chunk, &at, sizeof(at));
    memcpy(ts + layout.ts_top, &top, sizeof(top));
    if (layout.via_cframe) {
        memcpy((char *)cframe + layout.cframe_frame, &at, sizeof(at));
        at = (uintptr_t)cframe;
        memcpy(ts + layout.ts_cframe, &at, sizeof(at));
    } else {
        memcpy(ts + layout.ts_frame, &at, sizeof(at));
    }
    return sl_py_frames_walk(&layout, ts, 0, raw) >= 0
               ? "a torn stack is taken for a whole one"
               : NULL;
}

/* Whether a variable is found in the calling thread's context. */
static bool
test_context(void)
{
    PyObject *variable = sl_py_active_variable();
    PyObject *token = PyContextVar_Set(variable, variable);
    uintptr_t vars;

    variable_hash = sl_py_context_hash((int64_t)PyObject_Hash(variable));
    PyObject *context = sl_py_borrow_tstate()->context;
    bool found =
        token != NULL && context != NULL &&
        copy_of((uintptr_t)context + layout.context_vars, sizeof(vars),
                &vars) &&
        sl_py_context_find(vars, (uintptr_t)variable, variable_hash) ==
            (uintptr_t)variable;
    if (token != NULL && PyContextVar_Reset(variable, token) < 0)
        found = false;
    PyErr_Clear();
    Py_XDECREF(token);
    return found;
}

const char *
sl_py_sampler_test(const char *own_files)
{
    const char *wrong = NULL;

    pthread_mutex_lock(&lock);
    sl_py_layout_get(&layout);
    if (!sl_py_codes_init(own_files))
        wrong = "out of memory";
    else if (method == NULL && (method = sl_py_memory_init()) == NULL)
        wrong = "this system lets no thread read the memory of its own process";
    else if ((wrong = test_torn()) == NULL &&
             (wrong = test_stack()) == NULL)
        sl_py_layout_trust(&layout);
    children = wrong == NULL && test_context();
    snprintf(why_not, sizeof(why_not), "%s", wrong != NULL ? wrong : "");
    pthread_mutex_unlock(&lock);
    return sl_py_sampler_why_not();
}

int
sl_py_sampler_info(PyObject *dict)
{
    pthread_mutex_lock(&lock);
    PyObject *info = Py_BuildValue(
        "{s:O,s:z,s:z,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:O}",
        "children", children ? Py_True : Py_False, "why_not",
        sl_py_sampler_why_not(), "memory", method, "interval_ns",
        (unsigned long long)interval_ns, "current_ns",
        (unsigned long long)current_ns, "ticks",
        (unsigned long long)counts.ticks, "late",
        (unsigned long long)counts.late, "samples",
        (unsigned long long)counts.samples, "rejected",
        (unsigned long long)counts.rejected, "retried",
        (unsigned long long)counts.retried, "moved",
        (unsigned long long)counts.moved, "no_slot",
        (unsigned long long)counts.no_slot, "cpu_ns",
        (unsigned long long)counts.cpu_ns, "parked",
        parked || !running ? Py_True : Py_False);
    pthread_mutex_unlock(&lock);
    int result =
        info == NULL ? -1 : PyDict_SetItemString(dict, "sampler", info);
    Py_XDECREF(info);
    return result;
}
