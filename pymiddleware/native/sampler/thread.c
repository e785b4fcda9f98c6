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
#define NAP_NS       UINT64_C(5000000) /* from which nobody wakes it */

/* Guarded by the lock. */
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;
static bool parked, stopping;
static bool dozing; /* until the next old request is due... */
static bool woken;  /* ...but a new one came */
static bool anew;   /* other settings, or a thread that just began */

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
 * come a bit sooner or later, each from the one before it, until they were at
 * any phase of a beat like theirs; and old requests are looked at after half to
 * one and a half times what is planned. (Marsaglia's xorshift) */
static uint64_t
any_below(uint64_t limit)
{
    static uint64_t random = 88172645463325252u;

    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return limit == 0 ? 0 : random % limit;
}

/* Whether the request is due in a tick that began at `start`, if `planned` lies
 * between two looks at it. */
static bool
is_due(const sl_py_sampled *sampled, uint64_t start, uint64_t planned)
{
    /* The youngest are looked at in each tick; and what was planned by other
     * settings may be far. */
    return start >= sampled->due_ns || planned <= sl_py_sampler.interval_ns ||
           sampled->due_ns - start > 2 * planned;
}

/* Looks at the slot if it is time to, in the tick of that number, which began
 * at `start`. false: it is to be looked at once more (sl_py_slot_look). */
static bool
look_if_due(sl_py_slot *s, uint32_t ticks, uint64_t start)
{
    sl_py_sampled *sampled = s->sampled;
    /* It may have begun since the tick did. */
    uint64_t planned =
        sl_py_brake_interval(start > s->born_ns ? start - s->born_ns : 0);
    uint64_t some = planned > sl_py_sampler.interval_ns ? planned : 0;

    /* One that was never looked at is, in the first tick that it meets: but
     * where looks are far apart that says how it begins, and no more. The
     * first that speaks for the rest comes at any time, as all others do. */
    if (sampled->due_ns == 0 && some != 0) {
        sampled->due_ns = s->wall_ns + any_below(planned);
        sampled->planned_ns = planned;
        s->aside = true;
    }
    if (sampled->looked != ticks && is_due(sampled, start, planned)) {
        sampled->looked = ticks;
        sampled->planned_ns = planned;
        sampled->due_ns =
            start + planned - grace() - some / 2 + any_below(some);
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

/* What a tick finds. */
typedef struct {
    uint32_t number;
    uint64_t start;
    int cpu;       /* that it runs on */
    bool same_cpu; /* as somebody who is looked at */
    uint64_t next; /* when the next one is due */
} visit;

/* Looks at the slot in a hold of the lock, if it is due. false: the slots end
 * before it. *again: it is to be looked at once more. */
static bool
slot_visit(int i, visit *r, bool *again)
{
    *again = false;
    sl_py_lock();
    sl_py_slot *s = i < sl_py_slots_used ? &sl_py_slots[i] : NULL;
    if (s != NULL && s->sampled != NULL) {
        /* One that is copied is due at the next tick. */
        if (!s->sampled->copied)
            *again = !look_if_due(s, r->number, r->start);
        r->same_cpu |= s->cpu == r->cpu;
        if (!s->sampled->copied && s->sampled->due_ns + grace() < r->next)
            r->next = s->sampled->due_ns + grace();
    }
    sl_py_unlock();
    return s != NULL;
}

/* Looks at whoever is due. Returns when the next one is; UINT64_MAX: nobody is
 * looked at. */
static uint64_t
tick(uint32_t ticks)
{
    visit r = { .number = ticks,
                .start = sl_clock_monotonic_ns(),
                .cpu = sched_getcpu(),
                .next = UINT64_MAX };
    bool again = false;
    int looks = 0;

    sl_py_lock();
    woken = false; /* who comes from here on may be passed over */
    sl_py_unlock();
    sl_py_children_look(ticks);
    for (int i = 0; i < SL_PY_SLOTS_MAX; i += !again) {
        if (!slot_visit(i, &r, &again))
            break;
        looks = again ? looks + 1 : 0;
        again = again && looks <= SL_PY_LOOKS_AGAIN;
    }
    sl_py_lock();
    sl_py_brake_ticked(r.same_cpu);
    sl_py_unlock();
    return r.next;
}

/* What a tick is to know. */
typedef struct {
    bool anew;            /* it is the first, at all or after a sleep for want
                             of work, or by other settings */
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
    bool slept = false;

    sl_py_lock();
    while (!stopping && !work_is_there() && idle_ticks >= LINGER_TICKS) {
        parked = slept = true;
        sl_py_lock_wait(&wanted);
        parked = false;
    }
    if (slept)
        sl_py_brake_count();
    t->anew = slept || anew;
    anew = false;
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

/* Sleeps until `at`; if that is for want of somebody who is due, not past the
 * moment when somebody is to be looked at. false: the thread is to end, or
 * settings are others. */
static bool
sleep_until(uint64_t at, uint64_t now, bool long_one)
{
    struct timespec until = { (time_t)(at / 1000000000u),
                              (long)(at % 1000000000u) };

    if (!long_one && at < now + NAP_NS) {
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) ==
               EINTR)
            continue;
        return true;
    }
    sl_py_lock();
    dozing = long_one;
    while (!stopping && !anew && !(long_one && woken) &&
           sl_clock_monotonic_ns() < at)
        sl_py_lock_wait_until(&wanted, &until);
    dozing = false;
    bool go_on = !stopping && !anew;
    sl_py_unlock();
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

/* Where ticks begin anew: not in step with who woke us, or what requests begin
 * with would always be met at the same place. */
static uint64_t
any_time(uint64_t now, uint64_t every)
{
    return now + any_below(every);
}

/* The next interval: one, but for a quarter of the least that there are. */
static uint64_t
about(const turn *t)
{
    return t->interval_ns - t->least_ns / 4 + any_below(t->least_ns / 2);
}

static void *
sampler_run(void *unused)
{
    uint64_t next = 0, due = UINT64_MAX;
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
        /* Ticks keep to their times, so that being late once does not shift all
         * that follow. Where one is missed they begin anew: looks in quick
         * succession to catch up would count one moment many times. */
        uint64_t now = sl_clock_monotonic_ns(), late = 0;
        if (t.anew) {
            next = any_time(now, t.least_ns);
            due = UINT64_MAX;
            idle = 0;
        } else {
            next += about(&t);
        }
        /* Nobody is due for longer than an interval (old requests are looked
         * at less often): then one sleep, from which a new request wakes it. */
        bool long_one = due != UINT64_MAX && due > next + t.interval_ns;
        if (long_one || due < next)
            next = due;
        if (!long_one && next < now) {
            late = (now - next) / t.interval_ns + 1;
            next = now + t.least_ns;
        }
        bool go_on = sleep_until(next, now, long_one);
        now = sl_clock_monotonic_ns();
        if (go_on && long_one && now < next) { /* woken: somebody goes on */
            next = any_time(now, t.least_ns);
            go_on = sleep_until(next, now, false);
        }
        if (!go_on)
            continue;
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
    anew = true;
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

void
sl_py_thread_configured(void)
{
    SL_PY_NEEDS_LOCK();
    anew = true;
    sl_py_lock_wake(&wanted);
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
