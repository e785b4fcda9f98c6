/* Which request runs here.
 *
 * One context variable carries the request: child tasks, executors that copy
 * the context, asgiref, anyio and greenlets take it along by themselves. It
 * is looked up only when the thread or the version of its context differs
 * from the last event's. */
#include "engine.h"
#include "loop.h"
#include "sampler.h"

#define SIDES_MAX 4096u

sl_py_current sl_py_active;

static PyObject *variable;
static sl_py_profile *live; /* doubly linked */
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

sl_py_profile *
sl_py_active_profile(void)
{
    PyObject *value = NULL;

    if (PyContextVar_Get(variable, NULL, &value) < 0) {
        PyErr_Clear();
        return NULL;
    }
    if (value == NULL)
        return NULL;
    sl_py_profile *profile = Py_IS_TYPE(value, &sl_py_handle_type)
                                 ? ((sl_py_handle *)value)->profile
                                 : NULL;
    Py_DECREF(value); /* the context still holds it */
    return profile;
}

/* Forgets contexts that nobody but us holds: their work is over. */
static void
sides_prune(sl_py_profile *profile)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < profile->side_count; i++) {
        if (Py_REFCNT(profile->sides[i].context) > 1)
            profile->sides[kept++] = profile->sides[i];
        else
            Py_DECREF(profile->sides[i].context);
    }
    profile->side_count = kept;
}

static bool
sides_reserve(sl_py_profile *profile)
{
    if (profile->side_count < profile->side_capacity)
        return true;
    sides_prune(profile);
    if (profile->side_count < profile->side_capacity / 2)
        return true;

    uint32_t capacity = profile->side_capacity * 2;
    if (capacity == 0)
        capacity = 8;
    if (capacity > SIDES_MAX)
        return profile->side_count < profile->side_capacity;
    sl_py_side *sides =
        PyMem_Realloc(profile->sides, capacity * sizeof(*sides));
    if (sides == NULL)
        return false;
    profile->sides = sides;
    profile->side_capacity = capacity;
    return true;
}

/* The strand of a context that is not the main one. */
static sl_strand *
active_side(sl_py_profile *profile, PyThreadState *ts)
{
    uint64_t now = sl_py_now();

    for (uint32_t i = 0; i < profile->side_count; i++) {
        if (profile->sides[i].context != ts->context)
            continue;
        sl_strand *strand = profile->sides[i].strand;
        if (sl_strand_is_empty(strand))
            sl_strand_continue(strand, SL_PSEUDO_AWAIT, now);
        return strand;
    }
    if (!sides_reserve(profile)) {
        profile->lost_strands++;
        return NULL;
    }
    sl_strand *strand = sl_recording_strand(
        profile->recording,
        ts->id == profile->thread ? SL_PSEUDO_TASK : SL_PSEUDO_THREAD, now);
    if (strand == NULL)
        return NULL;
    profile->sides[profile->side_count++] =
        (sl_py_side){ Py_NewRef(ts->context), strand };
    return strand;
}

sl_strand *
sl_py_active_resync(PyThreadState *ts)
{
    sl_strand *strand = NULL;
    sl_py_profile *profile =
        ts->context != NULL ? sl_py_active_profile() : NULL;

    if (profile != NULL && profile->full && profile->running &&
        profile->thread == ts->id)
        sl_py_sampler_take_over(profile);
    if (profile != NULL && !profile->sampled) {
        if (profile->running && profile->thread == ts->id)
            /* Its own context, or one run nested on its stack (an eager
             * task, a copied context): one stack, one strand. */
            strand = sl_recording_main(profile->recording);
        else if (profile->context != ts->context)
            strand = active_side(profile, ts);
        /* else: an outer middleware in the context of the request */
    }
    sl_py_active = (sl_py_current){
        .thread = ts->id,
        .version = ts->context_ver,
        .strand = strand,
        .c_calls = strand != NULL ? profile->c_calls : SL_C_NONE,
    };
    return strand;
}

int
sl_py_section_begin(sl_py_profile *profile, sl_pseudo gap, uintptr_t anchor)
{
    PyThreadState *ts = sl_py_borrow_tstate();
    uint64_t cpu = sl_clock_thread_cpu_ns();
    uint64_t busy = 0;

    if (profile->context == NULL || profile->context != ts->context) {
        PyObject *token =
            PyContextVar_Set(variable, (PyObject *)profile->handle);
        if (token == NULL)
            return -1;
        Py_DECREF(token);
        Py_XSETREF(profile->context, Py_XNewRef(ts->context));
    }
    if (!profile->sampled && sl_py_engine_section_begin(profile) < 0)
        return -1;
    if (gap == SL_PSEUDO_AWAIT)
        busy = sl_py_loop_resumes(profile, sl_clock_monotonic_ns());
    sl_py_sampler_begin(profile, gap, busy, cpu, anchor);
    profile->started = true;
    profile->thread = ts->id;
    profile->running = true;
    profile->cpu_since = cpu;
    sl_py_active_forget();
    return 0;
}

void
sl_py_section_end(sl_py_profile *profile, PyObject *waiting)
{
    if (!profile->running)
        return;
    uint64_t cpu = sl_clock_thread_cpu_ns();
    sl_py_sampler_end(profile, waiting, cpu);
    /* Begun in one thread and ended in another: the clocks differ. */
    if (profile->thread == sl_py_borrow_tstate()->id &&
        cpu > profile->cpu_since)
        profile->cpu_ns += cpu - profile->cpu_since;
    profile->running = false;
    sl_py_active_forget();
    if (!profile->sampled)
        sl_py_engine_section_end(profile);
}

void
sl_py_context_release(sl_py_profile *profile)
{
    if (profile->context != NULL &&
        sl_py_borrow_tstate()->context == profile->context) {
        PyObject *token = PyContextVar_Set(variable, Py_None);
        if (token == NULL)
            PyErr_Clear();
        Py_XDECREF(token);
    }
    Py_CLEAR(profile->context);
}

void
sl_py_active_add(sl_py_profile *profile)
{
    profile->previous = NULL;
    profile->next = live;
    if (live != NULL)
        live->previous = profile;
    live = profile;
    live_count++;
}

void
sl_py_active_remove(sl_py_profile *profile)
{
    if (profile->handle == NULL || profile->handle->profile == NULL)
        return;
    profile->handle->profile = NULL;
    if (profile->previous != NULL)
        profile->previous->next = profile->next;
    else
        live = profile->next;
    if (profile->next != NULL)
        profile->next->previous = profile->previous;
    live_count--;

    sl_py_context_release(profile);
    for (uint32_t i = 0; i < profile->side_count; i++)
        Py_DECREF(profile->sides[i].context);
    PyMem_Free(profile->sides);
    profile->sides = NULL;
    profile->side_count = profile->side_capacity = 0;
    sl_py_active_forget();
}

void
sl_py_active_after_fork(void)
{
    while (live != NULL) {
        sl_py_profile *profile = live;
        profile->fork_lost = true;
        profile->running = false;
        profile->slot = -1;
        profile->finished = true;
        sl_recording_stop(profile->recording, sl_py_now());
        sl_py_active_remove(profile);
    }
    sl_py_active_forget();
}

Py_ssize_t
sl_py_active_count(void)
{
    return live_count;
}
