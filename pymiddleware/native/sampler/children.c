/* Child work: other threads and tasks that run in a request's context. */
#include "sampler/children.h"
#include "look/contexts.h"
#include "look/memory.h"
#include "sampler/clocks.h"
#include "sampler/look.h"
#include "sampler/strands.h"

#include <string.h>

/* Threads that are not in a section of their own; what each ran last. */
typedef struct {
    sl_py_slot seen; /* seen.sampled: the request it worked for, or NULL */
    uintptr_t ts;
    uintptr_t context, vars; /* as last looked up... */
    sl_py_sampled *found;    /* ...with this result */
    uint64_t serial;         /* of the round it was met in */
} other;

#define OTHERS_MAX   256
#define OTHERS_EVERY 16 /* ticks, where no request is asynchronous */
#define LIVE_MAX     1024
#define MOVED        (-16)

static other others[OTHERS_MAX];
static int others_count;
static uint64_t others_serial;
static sl_py_sampled *live[LIVE_MAX]; /* sampled, not finished */
static int live_count;

static bool
live_has(const sl_py_sampled *sampled)
{
    for (int i = 0; i < live_count; i++) {
        if (live[i] == sampled)
            return true;
    }
    return false;
}

/* How the request of a context is found; set once, at import. */
static const PyObject *variable;
static const PyTypeObject *handle_type;
static size_t handle_offset;

void
sl_py_children_find_by(const PyObject *v, const PyTypeObject *handle,
                       size_t offset)
{
    variable = v;
    handle_type = handle;
    handle_offset = offset;
}

const PyObject *
sl_py_children_variable(void)
{
    return variable;
}

/* The live recording whose handle the context variable holds in `vars`. */
static sl_py_sampled *
sampled_of(uintptr_t vars)
{
    uintptr_t value = sl_py_context_find(vars, (uintptr_t)variable,
                                         sl_py_sampler.variable_hash);
    PyObject head;
    sl_py_sampled *found;

    if (!sl_py_memory_copy(value, sizeof(head), &head) ||
        head.ob_type != handle_type ||
        !sl_py_memory_copy(value + handle_offset, sizeof(found), &found) ||
        !live_has(found))
        return NULL;
    return found;
}

/* Whether the thread has neither left its context since the copy `state` was
 * made nor gone through another: its stack was read in between. */
static bool
same_context(uintptr_t ts, const char *state)
{
    uintptr_t context;
    uint64_t version;

    return sl_py_memory_copy(ts + sl_py_sampler.layout.ts_context,
                             sizeof(context), &context) &&
           sl_py_memory_copy(ts + sl_py_sampler.layout.ts_context_ver,
                             sizeof(version), &version) &&
           memcmp(&context, state + sl_py_sampler.layout.ts_context,
                  sizeof(context)) == 0 &&
           memcmp(&version, state + sl_py_sampler.layout.ts_context_ver,
                  sizeof(version)) == 0;
}

/* The stack of a thread in the context of the copy `state`: how many frames,
 * MOVED: the thread has left that context; below 0: as sl_py_frames_walk. */
static int
other_walk(const other *o, const char *state)
{
    int count = SL_PY_WALK_TORN;

    for (int try = 0; try < SL_PY_TRIES && sl_py_look_goes_on(count); try++) {
        sl_py_sampler.counts.retried += try > 0;
        count = sl_py_stack_read(o->seen.ts, SL_PY_NO_ANCHOR, NULL);
        if (!same_context(o->ts, state))
            return MOVED;
    }
    return count;
}

/* false: as sl_py_slot_look. */
static bool
other_sample(other *o, sl_py_sampled *sampled, uintptr_t context,
             const char *state)
{
    sl_py_slot *s = &o->seen;
    sl_times passed;
    uint64_t now;
    bool first = s->sampled != sampled;

    if (first) {
        s->sampled = sampled;
        s->cpu_ns = sl_py_cpu_of(s->tid);
        s->wall_ns = sl_clock_monotonic_ns();
        s->ticks = sl_clock_ticks(sampled->clock);
        s->waited = false;
        s->born_ns = sl_recording_start_ns(sampled->core);
    }
    s->planned_ns = sl_py_sampler.current_ns;
    if (sl_py_sampler.live_following == 0)
        s->planned_ns *= OTHERS_EVERY;
    int count = other_walk(o, state);
    if (count < 0 && sl_py_lock_learnt > 0) { /* or it is another context's */
        if (first)
            s->sampled = NULL; /* it still is */
        return count == MOVED;
    }
    sl_py_slot_measure(s, &passed, &now, sl_py_cpu_of(s->tid), false);
    if (first && sampled->clock == SL_CLOCK_MONOTONIC) {
        /* It began at some time since the tick before. */
        passed = (sl_times){ .wall = sl_py_sampler.current_ns / 2,
                             .cpu = sl_py_sampler.current_ns / 2 };
    }
    sl_py_child *child = sl_py_child_of_context(sampled, context);
    sl_strand *strand = child == NULL ? NULL
                                      : sl_py_child_open(sampled, child, s->ts,
                                                         now - passed.wall);
    if (strand == NULL)
        return true;
    sl_strand_vouch(strand, s->vouch_ticks);
    uint32_t frames = count > 0 ? sl_py_stack_fill(sl_py_stack_cut(count)) : 0;
    if (frames == 0) { /* or a task on its way in or out */
        sl_py_sampler.counts.moved += count == MOVED;
        sl_py_sampler.counts.rejected += count < 0 && count != MOVED;
        sl_py_look_in_vain(sampled, strand,
                           count == MOVED ? SL_PSEUDO_UNSEEN_MOVED
                           : count < 0    ? sl_py_unseen_why(count)
                                          : SL_PSEUDO_UNSEEN_SHIM,
                           &passed, now);
        return true;
    }
    frames = sl_py_callee_add(count, frames);
    sl_strand_sample(strand, sl_py_sampler.stack, frames, SL_PSEUDO_ROOT,
                     &passed, now);
    sl_py_sampler.counts.samples++;
    return true;
}

static void
other_forget(other *o)
{
    sl_py_thread_file_close(&o->seen.syscall_file);
    sl_py_thread_file_close(&o->seen.delay_file);
    *o = (other){ 0 };
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
        other_forget(free_one);
        *free_one = (other){ .ts = ts, .seen.ts = (const void *)ts };
    }
    return free_one;
}

/* The thread works for nobody now, or has a slot: what it does until it is met
 * again is none of what it did before. */
static void
other_stops(uintptr_t ts)
{
    for (int i = 0; i < others_count; i++) {
        if (others[i].ts == ts)
            others[i].seen.sampled = NULL;
    }
}

/* One thread state, a copy of which is `state`. false: as sl_py_slot_look. */
static bool
other_look(uintptr_t ts, const char *state)
{
    uintptr_t context, vars;
    unsigned long tid;

    for (int i = 0; i < sl_py_slots_used; i++) {
        if (sl_py_slots[i].sampled != NULL &&
            (uintptr_t)sl_py_slots[i].ts == ts) {
            other_stops(ts); /* a section: its own slot sees to it */
            return true;
        }
    }
    memcpy(&context, state + sl_py_sampler.layout.ts_context, sizeof(context));
    memcpy(&tid, state + sl_py_sampler.layout.ts_native_id, sizeof(tid));
    /* A thread that never had a context of its own has none while it waits for
     * the next job. */
    if (context == 0)
        other_stops(ts);
    other *o = context != 0 ? other_of(ts) : NULL;
    if (o == NULL)
        return true;
    o->serial = others_serial;
    o->seen.tid = (pid_t)tid;
    if (!sl_py_memory_copy(context + sl_py_sampler.layout.context_vars,
                           sizeof(vars), &vars))
        return true;
    if (o->context != context || o->vars != vars) {
        o->found = sampled_of(vars);
        o->context = context;
        o->vars = vars;
    }
    sl_py_sampled *sampled = o->found;
    /* Nothing beside the request: in the request's own context, and in none of
     * its sections, runs who awaits it (the server); and a thread that is about
     * to begin a section gets a slot in a moment. */
    if (sampled == NULL || !live_has(sampled) || sampled->context == context ||
        (uintptr_t)sampled->enters_ts == ts) {
        o->seen.sampled = NULL;
        return true;
    }
    return sampled->copied || other_sample(o, sampled, context, state);
}

void
sl_py_children_look(uint64_t ticks)
{
    static char state[SL_PY_TS_SIZE_MAX]; /* the sampler's thread's own */
    uintptr_t ts;
    int again = 0;

    sl_py_lock();
    bool wanted =
        sl_py_sampler.children && live_count > 0 &&
        sl_py_sampler.layout.ts_size <= sizeof(state) &&
        (sl_py_sampler.live_following > 0 || ticks % OTHERS_EVERY == 0);
    others_serial++;
    memcpy(&ts, sl_py_sampler.layout.threads, sizeof(ts));
    for (int i = 0; wanted && ts != 0 && i < OTHERS_MAX; i++) {
        wanted = sl_py_memory_copy(ts, sl_py_sampler.layout.ts_size, state);
        if (!wanted)
            break;
        if (other_look(ts, state) || ++again > SL_PY_LOOKS_AGAIN) {
            again = 0;
            memcpy(&ts, state + sl_py_sampler.layout.ts_next, sizeof(ts));
        }
        /* One look a turn. */
        sl_py_unlock();
        sl_py_lock();
    }
    sl_py_sampler.counts.threads_left += wanted && ts != 0;
    sl_py_unlock();
}

void
sl_py_children_add(sl_py_sampled *sampled)
{
    SL_PY_NEEDS_LOCK();
    if (live_count == LIVE_MAX) {
        sl_py_sampler.counts.not_followed++;
        return;
    }
    live[live_count++] = sampled;
    sl_py_sampler.live_following += sampled->follows;
}

void
sl_py_children_remove(sl_py_sampled *sampled)
{
    SL_PY_NEEDS_LOCK();
    for (int i = 0; i < live_count; i++) {
        if (live[i] == sampled) {
            live[i] = live[--live_count];
            sl_py_sampler.live_following -= sampled->follows;
            break;
        }
    }
    /* A new recording may get this one's address. */
    for (int i = 0; i < others_count; i++) {
        if (others[i].found == sampled)
            others[i].found = NULL, others[i].context = 0;
        if (others[i].seen.sampled == sampled)
            others[i].seen.sampled = NULL;
    }
}

void
sl_py_children_forget(void)
{
    for (int i = 0; i < others_count; i++)
        other_forget(&others[i]);
    live_count = sl_py_sampler.live_following = others_count = 0;
}
