/* Which request runs here.
 *
 * One context variable carries the request: child tasks, executors that copy
 * the context, asgiref, anyio and greenlets take it along by themselves. It
 * is looked up only when the thread or the version of its context differs
 * from the last event's. */
#include "run/active.h"
#include "engine/current.h"
#include "engine/engine.h"
#include "look/own_stack.h"
#include "run/live.h"
#include "run/stints.h"
#include "sampler/sampler.h"

#define SIDES_MAX 4096u

/* Forgets contexts that are gone: their work is over. */
static void
sides_prune(sl_py_recording *recording)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < recording->side_count; i++) {
        sl_py_side *side = &recording->sides[i];
        if (sl_py_weak_lives(side->context))
            recording->sides[kept++] = *side;
        else
            Py_DECREF(side->context); /* a weak reference: runs no code */
    }
    recording->side_count = kept;
}

static bool
sides_reserve(sl_py_recording *recording)
{
    if (recording->side_count < recording->side_capacity)
        return true;
    sides_prune(recording);
    if (recording->side_count < recording->side_capacity / 2)
        return true;

    uint32_t capacity = recording->side_capacity * 2;
    if (capacity == 0)
        capacity = 8;
    if (capacity > SIDES_MAX)
        return recording->side_count < recording->side_capacity;
    sl_py_side *sides =
        PyMem_Realloc(recording->sides, capacity * sizeof(*sides));
    if (sides == NULL)
        return false;
    recording->sides = sides;
    recording->side_capacity = capacity;
    return true;
}

/* A strand for a context that was not there. NULL: no room (counted). */
static sl_strand *
side_new(sl_py_recording *recording, PyThreadState *ts, uint64_t now)
{
    PyObject *weak = sl_py_weak_new(ts->context);
    if (weak == NULL || recording->finished || !sides_reserve(recording)) {
        recording->lost_strands++;
        Py_XDECREF(weak);
        return NULL;
    }
    sl_strand *strand = sl_recording_strand(
        recording->core,
        ts->id == recording->thread ? SL_PSEUDO_TASK : SL_PSEUDO_THREAD, now);
    if (strand == NULL) {
        Py_DECREF(weak);
        return NULL;
    }
    recording->sides[recording->side_count++] =
        (sl_py_side){ weak, strand, strand };
    return strand;
}

/* The strand of a context that is not the main one. */
static sl_strand *
active_side(sl_py_recording *recording, PyThreadState *ts)
{
    uint64_t now = sl_py_now();

    for (uint32_t i = 0; i < recording->side_count; i++) {
        if (!sl_py_weak_is(recording->sides[i].context, ts->context))
            continue;
        sl_strand *strand = recording->sides[i].strand;
        if (sl_strand_is_empty(strand))
            sl_py_sampler_continue(strand, now);
        return strand;
    }
    return side_new(recording, ts, now);
}

sl_strand *
sl_py_active_task(sl_py_recording *recording)
{
    return active_side(recording, sl_py_borrow_tstate());
}

sl_py_side *
sl_py_active_own_side(sl_py_recording *recording)
{
    PyThreadState *ts = sl_py_borrow_tstate();

    for (uint32_t i = 0; i < recording->side_count; i++) {
        if (sl_py_weak_is(recording->sides[i].context, ts->context))
            return &recording->sides[i];
    }
    return NULL;
}

void
sl_py_active_waited(sl_py_recording *recording, PyObject *coroutine,
                    uint64_t since, uint64_t now)
{
    sl_py_raw_frame frames[SL_PY_WALK_MAX];
    const void *keys[SL_PY_WALK_MAX];
    sl_py_side *side = sl_py_active_own_side(recording);
    sl_strand *strand = side != NULL
                            ? side->strand
                            : side_new(recording, sl_py_borrow_tstate(), since);
    int count = strand == NULL ? 0 : sl_py_own_awaits(coroutine, frames);

    if (strand == NULL || recording->finished)
        return;
    /* Innermost first, as a stack is. */
    for (int i = 0; i < count; i++)
        keys[i] = (const void *)frames[count - 1 - i].code;
    sl_py_sampler_waited_in(strand, keys, (uint32_t)count, since, now);
}

/* Whether the main strand runs in this thread now. */
static bool
active_runs(const sl_py_recording *recording, const PyThreadState *ts)
{
    return recording->running && recording->thread == ts->id &&
           !recording->section.away;
}

/* The recording is full: it goes on by samples, if it can. */
static void
active_take_over(sl_py_recording *recording)
{
    recording->traced.full = false;
    sl_py_account_by(recording->account, SL_PY_BY_SAMPLES);
    if (!sl_py_sampler_take_over(&recording->sampled)) {
        sl_py_account_by(recording->account, SL_PY_BY_EVENTS);
        return;
    }
    sl_py_engine_release(&recording->traced);
    sl_py_engine_section_end(&recording->traced);
}

/* Whose code runs in the calling thread: BORROWED, or NULL. *strand: where its
 * events go; NULL: nowhere, it is sampled. */
static sl_py_recording *
active_find(PyThreadState *ts, sl_strand **strand)
{
    sl_py_recording *recording =
        ts->context != NULL ? sl_py_live_recording() : NULL;
    const sl_py_stint *stint = sl_py_stint_here(ts->id);

    *strand = NULL;
    /* What the context names goes before the stack that it runs on; a context
     * that names nothing (of a pool's thread, an empty one) does not. */
    if (recording == NULL && stint != NULL)
        recording = stint->recording;
    if (recording == NULL)
        return NULL;
    /* What is called from here may end the request and let go of it. */
    Py_INCREF((PyObject *)recording);
    if (recording->traced.full && active_runs(recording, ts))
        active_take_over(recording);
    bool here = stint != NULL && stint->recording == recording;
    if (recording->sampled.by_samples)
        *strand = NULL;
    else if (active_runs(recording, ts))
        /* Its own context, or one run nested on its stack (an eager task, a
         * copied context, a greenlet): one stack, one strand. */
        *strand = recording->section.strand;
    else if (here)
        *strand = stint->strand;
    else if (recording->context != ts->context)
        *strand = active_side(recording, ts);
    bool ours = !recording->finished &&
                /* else: an outer middleware in the context of the request */
                (here || recording->context != ts->context ||
                 active_runs(recording, ts));
    if (!ours)
        *strand = NULL;
    Py_DECREF((PyObject *)recording);
    return ours ? recording : NULL;
}

sl_py_recording *
sl_py_active_owner(sl_strand **strand)
{
    return active_find(sl_py_borrow_tstate(), strand);
}

static sl_strand *
active_resync(PyThreadState *ts)
{
    sl_strand *strand;
    sl_py_recording *recording = active_find(ts, &strand);

    sl_py_active = (sl_py_current){
        .thread = ts->id,
        .version = ts->context_ver,
        .strand = strand,
        .owner = recording,
        .c_calls = strand != NULL ? recording->traced.c_calls : SL_C_NONE,
        .lines = strand != NULL && recording->traced.lines,
    };
    return strand;
}

sl_py_recording *
sl_py_active_owner_known(PyThreadState *ts, sl_strand **strand)
{
    if (sl_py_active.thread != ts->id ||
        sl_py_active.version != ts->context_ver)
        active_resync(ts);
    else if (sl_py_active.paused)
        return active_find(ts, strand);
    *strand = sl_py_active.strand;
    return sl_py_active.owner;
}

void
sl_py_active_init(void)
{
    sl_py_active_resync = active_resync;
}
