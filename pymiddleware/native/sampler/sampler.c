#define _GNU_SOURCE
#include "engine/engine.h"
#include "look/memory.h"
#include "sampler/state.h"
#include "run/tasks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINGER_TICKS 20
#define BRAKE_TICKS  64
#define SLOWEST_NS   UINT64_C(50000000)
#define TURN_NS      UINT64_C(100000)
#define STACK_BYTES  ((size_t)512 << 10)

sl_py_sampler_state sl_py_sampler = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .why_not = "the sampler has not been tried",
    .interval_ns = 1000000,
    .current_ns = 1000000,
    .limit_ppm = 10000,
};

/* Under the lock. */
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;
static bool parked, stopping;

/* With the GIL held. */
static bool running; /* the thread exists */
static pthread_t thread;
static bool handlers_set;

/* ---- the thread ---- */

static void
tick(uint64_t ticks)
{
    pthread_mutex_lock(&sl_py_sampler.lock);
    sl_py_children_look(ticks);
    pthread_mutex_unlock(&sl_py_sampler.lock);
    for (int i = 0; i < SL_PY_SLOTS_MAX; i++) {
        pthread_mutex_lock(&sl_py_sampler.lock);
        bool last = i >= sl_py_sampler.slots_used;
        if (!last && sl_py_sampler.slots[i].recording != NULL)
            sl_py_slot_look(&sl_py_sampler.slots[i]);
        pthread_mutex_unlock(&sl_py_sampler.lock);
        if (last)
            break;
    }
}

/* Takes fewer samples while they cost more than they may. */
static void
brake(uint64_t *cpu_before, uint64_t *wall_before)
{
    uint64_t cpu = sl_py_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t wall = sl_clock_monotonic_ns();
    uint64_t used = cpu - *cpu_before, passed = wall - *wall_before;

    sl_py_sampler.counts.cpu_ns += used;
    if (sl_py_sampler.limit_ppm != 0 && passed > 0) {
        double share = (double)used / (double)passed * 1e6;
        if (share > sl_py_sampler.limit_ppm)
            sl_py_sampler.current_ns =
                sl_py_sampler.current_ns + sl_py_sampler.current_ns / 4;
        else if (share < sl_py_sampler.limit_ppm / 2.0)
            sl_py_sampler.current_ns -= sl_py_sampler.current_ns / 8;
    } else {
        sl_py_sampler.current_ns = sl_py_sampler.interval_ns;
    }
    sl_py_sampler.current_ns =
        sl_py_sampler.current_ns < sl_py_sampler.interval_ns
            ? sl_py_sampler.interval_ns
            : sl_py_sampler.current_ns;
    sl_py_sampler.current_ns = sl_py_sampler.current_ns > SLOWEST_NS &&
                                       SLOWEST_NS > sl_py_sampler.interval_ns
                                   ? SLOWEST_NS
                                   : sl_py_sampler.current_ns;
    *cpu_before = cpu;
    *wall_before = wall;
}

/* Sleeps until a slot is in use. false: the thread is to end. */
static bool
park(int idle_ticks, bool *slept)
{
    bool go_on;

    *slept = false;
    pthread_mutex_lock(&sl_py_sampler.lock);
    while (!stopping && sl_py_sampler.slots_active == 0 &&
           sl_py_sampler.live_following == 0 && idle_ticks >= LINGER_TICKS) {
        parked = *slept = true;
        pthread_cond_wait(&wanted, &sl_py_sampler.lock);
        parked = false;
    }
    go_on = !stopping;
    pthread_mutex_unlock(&sl_py_sampler.lock);
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
        next += sl_py_sampler.current_ns;
        if (next < now) {
            sl_py_sampler.counts.late +=
                (now - next) / sl_py_sampler.current_ns + 1;
            next = now + sl_py_sampler.current_ns;
        }
        struct timespec at = { (time_t)(next / 1000000000u),
                               (long)(next % 1000000000u) };
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) ==
               EINTR)
            continue;
        idle = sl_py_sampler.slots_active + sl_py_sampler.live_following > 0
                   ? 0
                   : idle + 1;
        tick(n);
        sl_py_sampler.counts.ticks++;
        if (n % BRAKE_TICKS == 0)
            brake(&cpu, &wall);
    }
    return NULL;
}

/* ---- fork ---- */

static void
fork_prepare(void)
{
    pthread_mutex_lock(&sl_py_sampler.lock);
}

static void
fork_parent(void)
{
    pthread_mutex_unlock(&sl_py_sampler.lock);
}

static void
fork_child(void)
{
    pthread_mutex_init(&sl_py_sampler.lock, NULL);
    pthread_cond_init(&wanted, NULL);
    running = parked = stopping = false;
}

void
sl_py_sampler_after_fork(void)
{
    for (int i = 0; i < SL_PY_SLOTS_MAX; i++) {
        if (sl_py_sampler.slots[i].syscall_fd > 0)
            close(sl_py_sampler.slots[i].syscall_fd);
        sl_py_sampler.slots[i] = (sl_py_slot){ 0 };
    }
    sl_py_sampler.slots_used = sl_py_sampler.slots_active = 0;
    sl_py_children_forget();
    memset(&sl_py_sampler.counts, 0, sizeof(sl_py_sampler.counts));
    sl_py_sampler.current_ns = sl_py_sampler.interval_ns;
    /* The parent's window on memory is shared with it: make our own. */
    if (sl_py_sampler.method != NULL &&
        (sl_py_sampler.method = sl_py_memory_init()) == NULL)
        snprintf(sl_py_sampler.why_not, sizeof(sl_py_sampler.why_not),
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
    pthread_mutex_lock(&sl_py_sampler.lock);
    stopping = true;
    pthread_cond_signal(&wanted);
    pthread_mutex_unlock(&sl_py_sampler.lock);
    Py_BEGIN_ALLOW_THREADS pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS running = false;
}

/* ---- a request's sections ---- */

static sl_py_slot *
slot_take(void)
{
    for (int i = 0; i < SL_PY_SLOTS_MAX; i++) {
        if (sl_py_sampler.slots[i].recording == NULL) {
            if (i >= sl_py_sampler.slots_used)
                sl_py_sampler.slots_used = i + 1;
            return &sl_py_sampler.slots[i];
        }
    }
    return NULL;
}

bool
sl_py_sampler_ready(void)
{
    return sl_py_sampler.method != NULL && sl_py_sampler.why_not[0] == '\0';
}

sl_py_slot *
sl_py_slot_open(sl_py_recording *recording, sl_strand *strand, uint64_t now,
                uint64_t cpu, uintptr_t anchor)
{
    static uint64_t serial;
    sl_py_slot *s;

    if (!sl_py_sampler_ready() || !sampler_start())
        return NULL;
    s = slot_take();
    if (s != NULL) {
        s->recording = recording;
        s->strand = strand;
        s->serial = ++serial;
        s->ts = sl_py_borrow_tstate();
        s->anchor =
            anchor != 0 ? anchor : sl_py_layout_anchor(&sl_py_sampler.layout);
        s->tid = sl_py_own_tid();
        s->waited = s->asked = s->walked = false;
        s->cpu_ns = cpu;
        s->wall_ns = sl_clock_monotonic_ns();
        s->ticks = now;
        sl_py_sampler.slots_active++;
    } else {
        sl_py_sampler.counts.no_slot++;
    }
    if (parked)
        pthread_cond_signal(&wanted);
    return s;
}

void
sl_py_slot_close(sl_py_slot *s)
{
    s->recording = NULL;
    sl_py_sampler.slots_active--;
    while (sl_py_sampler.slots_used > 0 &&
           sl_py_sampler.slots[sl_py_sampler.slots_used - 1].recording == NULL)
        sl_py_sampler.slots_used--;
}

/* When the last `busy` ns before `now` began; the section before ended
 * turn.ended ns and recording->suspended_at ticks ago or so. */
static uint64_t
busy_since(const sl_py_recording *recording, uint64_t busy, uint64_t now)
{
    uint64_t ns = sl_clock_monotonic_ns() - recording->turn.ended;
    uint64_t ticks = now - recording->suspended_at;

    if (busy >= ns)
        return recording->suspended_at;
    return now - (uint64_t)((double)ticks * (double)busy / (double)ns);
}

void
sl_py_sampler_begin(sl_py_recording *recording, sl_pseudo gap, uint64_t busy,
                    uint64_t cpu, uintptr_t anchor)
{
    sl_strand *strand = sl_recording_main(recording->core);

    pthread_mutex_lock(&sl_py_sampler.lock);
    uint64_t now = sl_clock_ticks(recording->clock);
    recording->slot = -1;
    recording->unseen_since = now;
    if (busy > 0) {
        sl_strand_wait(strand, gap, busy_since(recording, busy, now));
        gap = SL_PSEUDO_LOOP;
    }
    if (recording->started)
        sl_strand_continue(strand, gap, now);
    else
        sl_strand_charge(strand, now);
    sl_py_slot *s = sl_py_slot_open(recording, strand, now, cpu, anchor);
    recording->thread_ts = sl_py_borrow_tstate();
    if (s != NULL)
        recording->slot = (int)(s - sl_py_sampler.slots);
    pthread_mutex_unlock(&sl_py_sampler.lock);
}

uint32_t
sl_py_waiting_stack(PyObject *waiting)
{
    int count = waiting == NULL
                    ? 0
                    : sl_py_layout_await_chain(&sl_py_sampler.layout, waiting,
                                               sl_py_sampler.raw);
    /* A second time, if what was known of these addresses was out of date. */
    for (int try = 0; try < 2; try++) {
        if (sl_py_codes_resolve(&sl_py_sampler.layout, sl_py_sampler.raw, count,
                                true, sl_py_sampler.places))
            return sl_py_stack_fill(count);
    }
    return 0;
}

void
sl_py_sampler_end(sl_py_recording *recording, PyObject *waiting, uint64_t cpu)
{
    sl_strand *strand = sl_recording_main(recording->core);
    sl_times passed = { 0 };
    uint64_t now;

    pthread_mutex_lock(&sl_py_sampler.lock);
    sl_py_slot *s =
        recording->slot >= 0 ? &sl_py_sampler.slots[recording->slot] : NULL;
    if (s != NULL && s->recording == recording) {
        /* Ended by another thread than it began in: whose CPU clock is it? */
        bool self = s->tid == sl_py_own_tid();
        if (!self)
            cpu = sl_py_clock_ns(sl_py_thread_clock(s->tid));
        sl_py_slot_measure(s, &passed, &now, cpu, self);
        sl_py_slot_close(s);
    } else {
        now = sl_clock_ticks(recording->clock);
        passed.wall =
            now > recording->unseen_since ? now - recording->unseen_since : 0;
    }
    recording->slot = -1;
    recording->interval_ns = sl_py_sampler.current_ns;
    recording->suspended_at = now;
    if (recording->sampled)
        sl_strand_pause(strand, sl_py_sampler.stack,
                        sl_py_waiting_stack(waiting), &passed, now);
    else
        sl_strand_suspend(strand, now);
    pthread_mutex_unlock(&sl_py_sampler.lock);
}

uintptr_t
sl_py_sampler_anchor(void)
{
    return sl_py_sampler_ready() ? sl_py_layout_anchor(&sl_py_sampler.layout)
                                 : 0;
}

void
sl_py_sampler_take_over(sl_py_recording *recording)
{
    sl_times passed;
    uint64_t now = sl_clock_ticks(recording->clock);

    recording->full = false;
    pthread_mutex_lock(&sl_py_sampler.lock);
    bool done = sl_py_sampler_ready() && recording->slot >= 0;
    if (done) {
        sl_py_slot *s = &sl_py_sampler.slots[recording->slot];
        sl_py_slot_measure(s, &passed, &now, sl_clock_thread_cpu_ns(), true);
        s->walked = false;
        sl_recording_observe(recording->core, &passed, now);
        done = sl_recording_sample_on(recording->core, now) == SL_OK;
        recording->sampled = done;
    }
    pthread_mutex_unlock(&sl_py_sampler.lock);
    if (!done)
        return;
    sl_py_sampler_add(recording);
    sl_py_engine_release(recording);
    sl_py_engine_section_end(recording);
}

uint32_t
sl_py_sampler_seen(const sl_py_recording *recording, uint32_t *functions,
                   uint32_t max)
{
    pthread_mutex_lock(&sl_py_sampler.lock);
    uint32_t count = sl_recording_seen(recording->core,
                                       recording->unseen_since, functions, max);
    pthread_mutex_unlock(&sl_py_sampler.lock);
    return count;
}

/* ---- set-up ---- */

void
sl_py_sampler_configure(uint64_t interval, uint32_t limit)
{
    pthread_mutex_lock(&sl_py_sampler.lock);
    sl_py_sampler.interval_ns = sl_py_sampler.current_ns = interval;
    sl_py_sampler.limit_ppm = limit;
    pthread_mutex_unlock(&sl_py_sampler.lock);
}

const char *
sl_py_sampler_why_not(void)
{
    return sl_py_sampler.why_not[0] != '\0' ? sl_py_sampler.why_not : NULL;
}

int
sl_py_sampler_info(PyObject *dict)
{
    pthread_mutex_lock(&sl_py_sampler.lock);
    PyObject *info = Py_BuildValue(
        "{s:O,s:O,s:z,s:z,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:O}",
        "children", sl_py_sampler.children ? Py_True : Py_False, "tasks",
        sl_py_tasks_watched() ? Py_True : Py_False, "why_not",
        sl_py_sampler_why_not(), "memory", sl_py_sampler.method, "interval_ns",
        (unsigned long long)sl_py_sampler.interval_ns, "current_ns",
        (unsigned long long)sl_py_sampler.current_ns, "ticks",
        (unsigned long long)sl_py_sampler.counts.ticks, "late",
        (unsigned long long)sl_py_sampler.counts.late, "samples",
        (unsigned long long)sl_py_sampler.counts.samples, "rejected",
        (unsigned long long)sl_py_sampler.counts.rejected, "retried",
        (unsigned long long)sl_py_sampler.counts.retried, "moved",
        (unsigned long long)sl_py_sampler.counts.moved, "no_slot",
        (unsigned long long)sl_py_sampler.counts.no_slot, "cpu_ns",
        (unsigned long long)sl_py_sampler.counts.cpu_ns, "parked",
        parked || !running ? Py_True : Py_False);
    pthread_mutex_unlock(&sl_py_sampler.lock);
    int result =
        info == NULL ? -1 : PyDict_SetItemString(dict, "sampler", info);
    Py_XDECREF(info);
    return result;
}
