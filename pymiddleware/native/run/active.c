/* Which request runs here.
 *
 * One context variable carries the request: child tasks, executors that copy
 * the context, asgiref, anyio and greenlets take it along by themselves. It
 * is looked up only when the thread or the version of its context differs
 * from the last event's. */
#include "engine/engine.h"
#include "run/jobs.h"
#include "run/loop.h"
#include "run/stints.h"
#include "sampler/sampler.h"

#define SIDES_MAX 4096u

sl_py_current sl_py_active;

static PyObject *variable;
static sl_py_recording *live; /* doubly linked */
static Py_ssize_t live_count;

int
sl_py_active_init(void)
{
    if (variable == NULL)
        variable = PyContextVar_New("slowlens_request", NULL);
    return variable == NULL ? -1 : 0;
}

PyObject *
sl_py_active_variable(void)
{
    return variable;
}

sl_py_recording *
sl_py_active_recording(void)
{
    PyObject *value = NULL;

    if (PyContextVar_Get(variable, NULL, &value) < 0) {
        PyErr_Clear();
        return NULL;
    }
    if (value == NULL)
        return NULL;
    sl_py_recording *recording = Py_IS_TYPE(value, &sl_py_handle_type)
                                     ? ((sl_py_handle *)value)->recording
                                     : NULL;
    Py_DECREF(value); /* the context still holds it */
    return recording;
}

/* Forgets contexts that nobody but us holds: their work is over. */
static void
sides_prune(sl_py_recording *recording)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < recording->side_count; i++) {
        if (Py_REFCNT(recording->sides[i].context) > 1)
            recording->sides[kept++] = recording->sides[i];
        else
            Py_DECREF(recording->sides[i].context);
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

/* The strand of a context that is not the main one. */
static sl_strand *
active_side(sl_py_recording *recording, PyThreadState *ts)
{
    uint64_t now = sl_py_now();

    for (uint32_t i = 0; i < recording->side_count; i++) {
        if (recording->sides[i].context != ts->context)
            continue;
        sl_strand *strand = recording->sides[i].strand;
        if (sl_strand_is_empty(strand))
            sl_strand_continue(strand, SL_PSEUDO_AWAIT, now);
        return strand;
    }
    if (!sides_reserve(recording)) {
        recording->lost_strands++;
        return NULL;
    }
    sl_strand *strand = sl_recording_strand(
        recording->core,
        ts->id == recording->thread ? SL_PSEUDO_TASK : SL_PSEUDO_THREAD, now);
    if (strand == NULL)
        return NULL;
    recording->sides[recording->side_count++] =
        (sl_py_side){ Py_NewRef(ts->context), strand };
    return strand;
}

/* Whose code runs in the calling thread: BORROWED, or NULL. *strand: where its
 * events go; NULL: nowhere, it is sampled. */
static sl_py_recording *
active_find(PyThreadState *ts, sl_strand **strand)
{
    sl_py_recording *recording =
        ts->context != NULL ? sl_py_active_recording() : NULL;
    const sl_py_stint *stint = sl_py_stint_here(ts->id);

    *strand = NULL;
    /* What the context names goes before the stack that it runs on; a context
     * that names nothing (of a pool's thread, an empty one) does not. */
    if (recording == NULL && stint != NULL)
        recording = stint->recording;
    if (recording == NULL)
        return NULL;
    if (recording->full && recording->running && recording->thread == ts->id)
        sl_py_sampler_take_over(recording);
    bool here = stint != NULL && stint->recording == recording;
    if (recording->running && recording->thread == ts->id)
        /* Its own context, or one run nested on its stack (an eager task, a
         * copied context): one stack, one strand. */
        *strand = sl_recording_main(recording->core);
    else if (here)
        *strand = stint->strand;
    else if (recording->context == ts->context)
        return NULL; /* an outer middleware in the context of the request */
    else if (!recording->sampled)
        *strand = active_side(recording, ts);
    if (recording->sampled)
        *strand = NULL;
    return recording;
}

sl_py_recording *
sl_py_active_owner(sl_strand **strand)
{
    return active_find(sl_py_borrow_tstate(), strand);
}

sl_strand *
sl_py_active_resync(PyThreadState *ts)
{
    sl_strand *strand;
    sl_py_recording *recording = active_find(ts, &strand);

    sl_py_active = (sl_py_current){
        .thread = ts->id,
        .version = ts->context_ver,
        .strand = strand,
        .c_calls = strand != NULL ? recording->c_calls : SL_C_NONE,
    };
    return strand;
}

int
sl_py_section_begin(sl_py_recording *recording, sl_pseudo gap, uintptr_t anchor)
{
    PyThreadState *ts = sl_py_borrow_tstate();
    uint64_t cpu = sl_clock_thread_cpu_ns();
    uint64_t busy = 0;

    if (recording->context == NULL || recording->context != ts->context) {
        PyObject *token =
            PyContextVar_Set(variable, (PyObject *)recording->handle);
        if (token == NULL)
            return -1;
        Py_DECREF(token);
        Py_XSETREF(recording->context, Py_XNewRef(ts->context));
    }
    if (!recording->sampled && sl_py_engine_section_begin(recording) < 0)
        return -1;
    if (gap == SL_PSEUDO_AWAIT)
        busy = sl_py_loop_resumes(recording, sl_clock_monotonic_ns());
    sl_py_sampler_begin(recording, gap, busy, cpu, anchor);
    recording->started = true;
    recording->thread = ts->id;
    recording->running = true;
    recording->cpu_since = cpu;
    sl_py_stint_push(&recording->section, recording,
                     sl_recording_main(recording->core));
    sl_py_active_forget();
    return 0;
}

void
sl_py_section_end(sl_py_recording *recording, PyObject *waiting)
{
    if (!recording->running)
        return;
    uint64_t cpu = sl_clock_thread_cpu_ns();
    sl_py_sampler_end(recording, waiting, cpu);
    /* Begun in one thread and ended in another: the clocks differ. */
    if (recording->thread == sl_py_borrow_tstate()->id &&
        cpu > recording->cpu_since)
        recording->cpu_ns += cpu - recording->cpu_since;
    recording->running = false;
    sl_py_stint_drop(&recording->section);
    sl_py_active_forget();
    if (!recording->sampled)
        sl_py_engine_section_end(recording);
}

void
sl_py_context_release(sl_py_recording *recording)
{
    if (recording->context != NULL &&
        sl_py_borrow_tstate()->context == recording->context) {
        PyObject *token = PyContextVar_Set(variable, Py_None);
        if (token == NULL)
            PyErr_Clear();
        Py_XDECREF(token);
    }
    Py_CLEAR(recording->context);
}

void
sl_py_active_add(sl_py_recording *recording)
{
    recording->previous = NULL;
    recording->next = live;
    if (live != NULL)
        live->previous = recording;
    live = recording;
    live_count++;
}

void
sl_py_active_remove(sl_py_recording *recording)
{
    if (recording->handle == NULL || recording->handle->recording == NULL)
        return;
    recording->handle->recording = NULL;
    sl_py_stint_drop(&recording->section);
    if (recording->previous != NULL)
        recording->previous->next = recording->next;
    else
        live = recording->next;
    if (recording->next != NULL)
        recording->next->previous = recording->previous;
    live_count--;

    sl_py_context_release(recording);
    for (uint32_t i = 0; i < recording->side_count; i++)
        Py_DECREF(recording->sides[i].context);
    PyMem_Free(recording->sides);
    recording->sides = NULL;
    recording->side_count = recording->side_capacity = 0;
    sl_py_active_forget();
}

void
sl_py_active_after_fork(void)
{
    while (live != NULL) {
        sl_py_recording *recording = live;
        recording->fork_lost = true;
        recording->running = false;
        recording->slot = -1;
        recording->finished = true;
        sl_recording_stop(recording->core, sl_py_now());
        sl_py_active_remove(recording);
    }
    sl_py_active_forget();
}

Py_ssize_t
sl_py_active_count(void)
{
    return live_count;
}
