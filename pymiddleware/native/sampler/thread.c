/* The sampler's thread: ticks, what they may cost, fork. */
#define _GNU_SOURCE
#include "sampler/thread.h"
#include "look/memory.h"
#include "sampler/brake.h"
#include "sampler/children.h"
#include "sampler/clocks.h"
#include "sampler/look.h"
#include "sampler/strands.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINGER_TICKS 20
#define BRAKE_TICKS  16
#define TURN_NS      UINT64_C(100000)
#define STACK_BYTES  ((size_t)512 << 10)
#define JOIN_LOOK_US 200

/* Guarded by the lock. */
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;
static bool parked, stopping;
static bool dozing; /* until the next old request is due... */
static bool woken;  /* ...but a new one came */

/* Guarded by the GIL. */
static bool running;  /* the thread exists... */
static pid_t process; /* ...in this process */
static pthread_t thread;
static bool joined;    /* somebody waits for its end: once, or never back */
static uint32_t joins; /* so far */
static bool handlers_set;

/* ---- the thread ---- */

/* Ticks come a little early, too. */
static uint64_t
grace(void)
{
    return sl_py_sampler.interval_ns / 2;
}

/* Anything below `limit`. In step with something that the application does in a
 * beat of its own, looks would meet the same part of it each time: so ticks
 * come up to half an interval behind their place on the grid, and old requests
 * are looked at after half to one and a half times what is planned.
 * (Marsaglia's xorshift) */
static uint64_t
any_below(uint64_t limit)
{
    static uint64_t random = 88172645463325252u;

    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return limit == 0 ? 0 : random % limit;
}

/* Looks at the slot if it is time to, in the tick of that number, which began
 * at `start`. false: it is to be looked at once more (sl_py_slot_look). */
static bool
look_if_due(sl_py_slot *s, uint32_t ticks, uint64_t start)
{
    sl_py_sampled *sampled = s->sampled;

    if (sampled->looked != ticks && start >= sampled->due_ns) {
        sampled->looked = ticks;
        sampled->planned_ns = sl_py_brake_interval(start - s->born_ns);
        /* The youngest are looked at in each tick. */
        uint64_t some = sampled->planned_ns > sl_py_sampler.interval_ns
                            ? sampled->planned_ns
                            : 0;
        sampled->due_ns =
            start + sampled->planned_ns - grace() - some / 2 + any_below(some);
    }
    bool due = sampled->looked == ticks;
    if (!due && !s->aside)
        return true;
    if (sampled->by_samples && s->strand != NULL)
        sl_strand_aside(s->strand, !due);
    s->aside = false;
    bool done = sl_py_slot_look(s);
    s->aside = !done && !due;
    s->planned_ns = sampled->planned_ns;
    return done;
}

/* Looks at the slot in a hold of the lock, if it is due, and says in *same_cpu
 * and *next what it is to the tick. false: the slots end before it. *again: it
 * is to be looked at once more. */
static bool
slot_visit(int i, uint32_t ticks, uint64_t start, bool *same_cpu,
           uint64_t *next, bool *again)
{
    int cpu = sched_getcpu();

    *again = false;
    sl_py_lock();
    sl_py_slot *s = i < sl_py_slots_used ? &sl_py_slots[i] : NULL;
    if (s != NULL && s->sampled != NULL) {
        /* One that is copied is due at the next tick. */
        if (!s->sampled->copied)
            *again = !look_if_due(s, ticks, start);
        *same_cpu |= s->cpu == cpu;
        if (!s->sampled->copied && s->sampled->due_ns + grace() < *next)
            *next = s->sampled->due_ns + grace();
    }
    sl_py_unlock();
    return s != NULL;
}

/* Looks at whoever is due. Returns when the next one is; UINT64_MAX: nobody is
 * looked at. */
static uint64_t
tick(uint32_t ticks)
{
    uint64_t next = UINT64_MAX, start = sl_clock_monotonic_ns();
    bool same_cpu = false, again = false;
    int looks = 0;

    sl_py_lock();
    woken = false; /* who comes from here on may be passed over */
    sl_py_unlock();
    sl_py_children_look(ticks);
    for (int i = 0; i < SL_PY_SLOTS_MAX; i += !again) {
        if (!slot_visit(i, ticks, start, &same_cpu, &next, &again))
            break;
        looks = again ? looks + 1 : 0;
        again = again && looks <= SL_PY_LOOKS_AGAIN;
    }
    sl_py_lock();
    sl_py_brake_ticked(same_cpu);
    sl_py_unlock();
    return next;
}

/* What a tick is to know. */
typedef struct {
    bool slept;           /* before it, for want of work */
    bool busy;            /* there is work */
    uint64_t interval_ns; /* to the next one... */
    uint64_t least_ns;    /* ...but for somebody who is due before */
} turn;

static bool
work_is_there(void)
{
    return sl_py_slots_active > 0 || sl_py_sampler.live_following > 0;
}

/* Sleeps until a slot is in use. false: the thread is to end. */
static bool
park(int idle_ticks, turn *t)
{
    sl_py_lock();
    t->slept = false;
    while (!stopping && !work_is_there() && idle_ticks >= LINGER_TICKS) {
        parked = t->slept = true;
        sl_py_lock_wait(&wanted);
        parked = false;
    }
    if (t->slept)
        sl_py_brake_count();
    t->busy = work_is_there();
    t->interval_ns = sl_py_sampler.current_ns;
    t->least_ns = sl_py_sampler.interval_ns;
    bool go_on = !stopping;
    sl_py_unlock();
    return go_on;
}

static void
count_tick(uint64_t late, uint32_t n)
{
    sl_py_lock();
    sl_py_sampler.counts.ticks++;
    sl_py_sampler.counts.late += late;
    if (n % BRAKE_TICKS == 0)
        sl_py_brake_count();
    sl_py_unlock();
}

/* Sleeps until `at`; if that is long, not past the moment when somebody else
 * is to be looked at. */
static void
sleep_until(uint64_t at, bool long_one)
{
    struct timespec until = { (time_t)(at / 1000000000u),
                              (long)(at % 1000000000u) };

    if (!long_one) {
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) ==
               EINTR)
            continue;
        return;
    }
    sl_py_lock();
    if (!stopping && !woken) {
        dozing = true;
        sl_py_lock_wait_until(&wanted, &until);
        dozing = false;
    }
    sl_py_unlock();
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

/* The place on the clock's grid whose tick, so far behind it, comes next. */
static uint64_t
place_next(uint64_t now, uint64_t every, uint64_t behind)
{
    uint64_t place = now - now % every;

    return place + behind > now ? place : place + every;
}

static void *
sampler_run(void *unused)
{
    uint64_t next = sl_clock_monotonic_ns(), due = UINT64_MAX;
    int idle = 0;
    turn t;

    (void)unused;
    /* Else the kernel may wake it up to 50 microseconds late, to save power. */
    prctl(PR_SET_TIMERSLACK, 1UL);
    pthread_setname_np(pthread_self(), "slowlens-sample");
    ask_for_short_turns();
    sl_py_lock();
    sl_py_brake_begin();
    sl_py_unlock();
    for (uint32_t n = 1; park(idle, &t); n++) {
        /* Ticks keep to a grid, so that being late once does not shift all
         * that follow. After a sleep it is the clock's own: if it began with
         * who woke us, what requests begin with would always be met at the
         * same place. After a gap of an interval and more the grid begins anew:
         * looks in quick succession to catch up would count one moment many
         * times. */
        uint64_t now = sl_clock_monotonic_ns(), late = 0;
        uint64_t behind = any_below(t.least_ns / 2);
        if (t.slept) {
            next = place_next(now, t.least_ns, behind);
            due = UINT64_MAX;
            idle = 0;
        } else {
            next += t.interval_ns;
        }
        /* Nobody is due for longer than an interval (old requests are looked
         * at less often): then one sleep, from which a new request wakes it. */
        bool long_one = due != UINT64_MAX && due > next + t.interval_ns;
        if (long_one || due < next)
            next = due;
        if (!long_one && next + behind < now) {
            late = (now - next) / t.interval_ns + 1;
            next = now + t.least_ns;
        }
        sleep_until(next + behind, long_one);
        now = sl_clock_monotonic_ns();
        if (long_one && now < next) { /* woken: somebody goes on */
            next = place_next(now, t.least_ns, behind);
            sleep_until(next + behind, false);
        }
        idle = t.busy ? 0 : idle + 1;
        due = tick(n);
        count_tick(late, n);
    }
    return NULL;
}

/* ---- fork ---- */

void
sl_py_thread_after_fork(void)
{
    running = joined = parked = stopping = dozing = woken = false;
    sl_py_own_tid_forget();
    sl_py_slots_forget();
    sl_py_children_forget();
    sl_py_strands_forget();
    memset(&sl_py_sampler.counts, 0, sizeof(sl_py_sampler.counts));
    sl_py_brake_reset();
    /* The parent's window on memory is shared with it: make our own. */
    if (sl_py_sampler.method != NULL &&
        (sl_py_sampler.method = sl_py_memory_init()) == NULL)
        snprintf(sl_py_sampler.why_not, sizeof(sl_py_sampler.why_not),
                 "no way to read memory after a fork");
}

/* Runs in every forked child, also of a C fork that calls no hooks of Python
 * (uWSGI): the parent waited until the lock was nobody's. */
static void
fork_child(void)
{
    sl_py_lock_fork_child();
    sl_py_lock_wanted_init(&wanted);
    sl_py_thread_after_fork();
}

bool
sl_py_thread_set_up(void)
{
    if (!handlers_set)
        sl_py_lock_wanted_init(&wanted);
    if (!handlers_set)
        handlers_set =
            pthread_atfork(sl_py_lock, sl_py_unlock, fork_child) == 0;
    return handlers_set;
}

static bool
thread_start(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    stopping = false;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    /* No signal of the application's is handled on a thread that it does not
     * know of. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    running = pthread_create(&thread, &attributes, sampler_run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    process = getpid();
    return running;
}

bool
sl_py_thread_needed(void)
{
    SL_PY_NEEDS_LOCK();
    if (!sl_py_sampler_ready() || (!running && !thread_start()))
        return false;
    woken = true;
    if (parked || dozing)
        sl_py_lock_wake(&wanted);
    return true;
}

bool
sl_py_thread_idle(void)
{
    return parked || !running;
}

bool
sl_py_thread_lives(void)
{
    return running && process == getpid();
}

bool
sl_py_thread_stop(void)
{
    if (!running)
        return false;
    sl_py_lock();
    stopping = true;
    pthread_cond_signal(&wanted);
    sl_py_unlock();
    /* Until somebody has joined it, it counts as running: nobody starts the
     * next one in its place. */
    if (joined) { /* by another thread, that forks as this one does */
        uint32_t one = joins;
        while (joined && joins == one) {
            Py_BEGIN_ALLOW_THREADS usleep(JOIN_LOOK_US);
            Py_END_ALLOW_THREADS
        }
        return true;
    }
    joined = true;
    Py_BEGIN_ALLOW_THREADS pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS joined = running = false;
    joins++;
    return true;
}
