/* The sampler's lock, and the references that wait for its end. */
#include "sampler/lock.h"

#include "slowlens/clock.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#ifndef NDEBUG
static __thread bool held;
#    define HELD(value) (held = (value))
#else
#    define HELD(value) ((void)0)
#endif

/* Guarded by the lock. */
uint32_t sl_py_lock_steps, sl_py_lock_learnt;
static sl_py_lock_facts facts;
static bool measured;
static uint64_t since; /* CPU clock of who holds it, if measured */
static void *to_wake;  /* when it is given back, or NULL */

static void
hold_begins(void)
{
    HELD(true);
    if (measured)
        since = sl_clock_thread_cpu_ns();
}

static void
hold_ends(void)
{
    HELD(false);
    if (sl_py_lock_steps > facts.steps)
        facts.steps = sl_py_lock_steps;
    if (sl_py_lock_learnt > facts.learnt)
        facts.learnt = sl_py_lock_learnt;
    sl_py_lock_steps = sl_py_lock_learnt = 0;
    if (!measured)
        return;
    uint64_t held_ns = sl_clock_thread_cpu_ns() - since;
    facts.held_ns = held_ns > facts.held_ns ? held_ns : facts.held_ns;
}

/* Guarded by the GIL: only who holds it puts something here. */
static PyObject **dropped;
static size_t dropped_count, dropped_room;

void
sl_py_lock(void)
{
    pthread_mutex_lock(&mutex);
    hold_begins();
}

void
sl_py_unlock(void)
{
    void *who = to_wake;

    to_wake = NULL;
    hold_ends();
    pthread_mutex_unlock(&mutex);
    /* Now, not before: who is woken wants the lock at once, and if that is
     * still held has had its turn when it is free. */
    if (who != NULL)
        pthread_cond_signal(who);
}

void
sl_py_lock_wake(void *wanted)
{
    SL_PY_NEEDS_LOCK();
    to_wake = wanted;
}

void
sl_py_lock_yield(void)
{
    sl_py_unlock();
    sl_py_lock();
}

sl_py_lock_facts
sl_py_lock_told(void)
{
    sl_py_lock();
    sl_py_lock_facts told = facts;
    sl_py_unlock();
    return told;
}

void
sl_py_lock_measure(bool on)
{
    sl_py_lock();
    facts = (sl_py_lock_facts){ 0 };
    measured = on;
    since = on ? sl_clock_thread_cpu_ns() : 0;
    sl_py_unlock();
}

bool
sl_py_locked(void)
{
#ifndef NDEBUG
    return held;
#else
    return true;
#endif
}

void
sl_py_drop_later(PyObject *object)
{
    SL_PY_NEEDS_LOCK();
    if (object == NULL)
        return;
    if (dropped_count == dropped_room) {
        size_t room = dropped_room == 0 ? 64 : dropped_room * 2;
        PyObject **grown = realloc(dropped, room * sizeof(*grown));
        if (grown == NULL)
            return; /* leaked: better than a finalizer under the lock */
        dropped = grown;
        dropped_room = room;
    }
    dropped[dropped_count++] = object;
}

void
sl_py_unlock_drop(void)
{
    sl_py_unlock();
    /* What runs now may come back here: each is taken out before it goes. */
    while (dropped_count > 0) {
        PyObject *object = dropped[--dropped_count];
        Py_DECREF(object);
    }
}

void
sl_py_lock_fork_child(void)
{
    pthread_mutex_init(&mutex, NULL);
    sl_py_lock_steps = sl_py_lock_learnt = 0;
    to_wake = NULL;
    HELD(false);
}

void
sl_py_lock_wait(void *wanted)
{
    hold_ends();
    pthread_cond_wait(wanted, &mutex);
    hold_begins();
}

void
sl_py_lock_wait_until(void *wanted, const struct timespec *until)
{
    hold_ends();
    pthread_cond_timedwait(wanted, &mutex, until);
    hold_begins();
}

void
sl_py_lock_wanted_init(void *wanted)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(wanted, &attributes);
    pthread_condattr_destroy(&attributes);
}
