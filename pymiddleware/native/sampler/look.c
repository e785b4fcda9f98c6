/* One look at one thread: its stack, CPU, GIL, blocking. */
#define _GNU_SOURCE
#include "sampler/look.h"
#include "look/callees.h"
#include "look/memory.h"
#include "sampler/brake.h"
#include "sampler/clocks.h"
#include "sampler/waits.h"

#include "board/tell.h"

#include <string.h>

/* Off the CPU for less than this part of the time: not worth asking why. */
#define OFF_CPU_PART 10

/* A sample that comes later than this many intervals does not speak for all
 * the time before it. */
#define LATE_TIMES 20

/* ---- what the thread is doing ---- */

bool
sl_py_holds_gil(const sl_py_slot *s)
{
    int locked;
    const void *holder;

    /* Plain loads of the interpreter's own words, which change meanwhile:
     * the answer is of some moment about now, and so is the look. */
    memcpy(&locked, sl_py_sampler.layout.gil + sl_py_sampler.layout.gil_locked,
           sizeof(locked));
    memcpy(&holder, sl_py_sampler.layout.gil + sl_py_sampler.layout.gil_holder,
           sizeof(holder));
    return locked == 1 && holder == s->ts;
}

/* Whether the thread waits for the GIL; what else it waits for is kept. */
static bool
waits_for_gil(sl_py_slot *s)
{
    s->kind = sl_py_wait_kind(s);
    return s->kind == SL_METRIC_GIL;
}

/* Whether the slot's thread, whose CPU clock is `cpu`, has been off the CPU
 * since the slot was last seen. */
static bool
has_not_run(const sl_py_slot *s, uint64_t cpu)
{
    return cpu != 0 && cpu == s->cpu_ns;
}

/* How much of the time that passed a sample of the slot speaks for; 0: all of
 * it. A thread that has not run is where it was, and one that waited for a CPU
 * stood still meanwhile. */
static uint64_t
vouch_ns(const sl_py_slot *s, uint64_t wall, bool ran, uint64_t queue_ns)
{
    uint64_t interval = sl_py_brake_interval(wall - s->born_ns);

    interval = interval > s->planned_ns ? interval : s->planned_ns;
    return ran ? LATE_TIMES * interval + queue_ns : 0;
}

/* Time since the slot was last seen, which it is now. */
void
sl_py_slot_measure(sl_py_slot *s, sl_times *out, uint64_t *now, uint64_t cpu,
                   bool self)
{
    *now = sl_py_slot_measure_at(s, out, sl_clock_monotonic_ns(), cpu, self);
}

uint64_t
sl_py_slot_measure_at(sl_py_slot *s, sl_times *out, uint64_t wall, uint64_t cpu,
                      bool self)
{
    bool waits = false, asked = false;

    SL_PY_NEEDS_LOCK();
    if (wall < s->wall_ns) /* the sampler came in between */
        wall = sl_clock_monotonic_ns();
    uint64_t passed = wall - s->wall_ns;
    uint64_t now = s->sampled->clock == SL_CLOCK_MONOTONIC
                       ? wall
                       : sl_clock_ticks(s->sampled->clock);
    uint64_t on = cpu > s->cpu_ns ? cpu - s->cpu_ns : 0;
    on = on < passed ? on : passed;
    uint64_t off = passed - on;
    /* CPU and waits come in nanoseconds, the recording counts in ticks of
     * its clock: both passed over the same time, which is the scale. */
    out->wall = now > s->ticks ? now - s->ticks : 0;
    double scale = passed == 0 ? 0 : (double)out->wall / (double)passed;
    out->cpu = (uint64_t)((double)on * scale);
    out->gil = 0;
    /* Asking why costs a system call; a thread that was on the CPU nearly
     * all the time is not asked. */
    if (off > passed / OFF_CPU_PART) {
        /* A thread that has not run since is where it was. */
        asked = !self && !sl_py_holds_gil(s);
        if (asked)
            waits =
                has_not_run(s, cpu) && s->asked ? s->waited : waits_for_gil(s);
        /* Running again: it was off for what it was seen waiting for. */
        if (waits || (s->waited && (self || sl_py_holds_gil(s))))
            out->gil = out->wall - out->cpu;
    }
    if (!asked)
        s->kind = SL_METRIC_OFF_CPU;
    uint64_t gil_ns =
        out->gil == 0 || scale == 0 ? 0 : (uint64_t)((double)out->gil / scale);
    bool ran = self || !has_not_run(s, cpu);
    uint64_t queue = sl_py_wait_count(s, off, gil_ns, ran, self);
    s->vouch_ticks = (uint64_t)((double)vouch_ns(s, wall, ran, queue) * scale);
    if (s->strand != NULL)
        sl_strand_vouch(s->strand, s->vouch_ticks);
    s->waited = waits;
    s->asked = asked;
    s->wall_ns = wall;
    s->cpu_ns = cpu != 0 ? cpu : s->cpu_ns;
    s->ticks = now;
    return now;
}

/* Places to frames, outermost first and without our own. `places` is
 * innermost first. */
uint32_t
sl_py_stack_fill(int count)
{
    uint32_t used = 0;
    /* A stack deeper than a walk keeps has lost its inner end (frames.c): the
     * innermost place that is left, number 0, is where that begins. It is told
     * as [not seen], and so the first place that is told is the next one. */
    int first = count == SL_PY_WALK_MAX ? 1 : 0;

    SL_PY_NEEDS_LOCK();
    for (int i = count; i-- > first;) {
        if (!sl_py_sampler.places[i].code->own &&
            !sl_py_sampler.places[i].code->shim)
            sl_py_sampler.stack[used++] =
                (sl_frame){ sl_py_sampler.places[i].code,
                            sl_py_sampler.places[i].line };
    }
    return used;
}

/* Frames to sl_py_sampler.places: sl_py_codes_resolve. */
static sl_py_codes_found
places_find(const sl_py_raw_frame *raw, int count, bool alive)
{
    sl_py_codes_found found = sl_py_codes_resolve(
        &sl_py_sampler.layout, raw, count, alive, sl_py_sampler.places);
    sl_py_lock_steps += sl_py_codes_freed();
    sl_py_lock_learnt += sl_py_codes_learnt();
    return found;
}

/* The same for one frame, which is never too many. */
static bool
place_find(const sl_py_raw_frame *raw)
{
    return places_find(raw, 1, false) == SL_PY_CODES_FOUND;
}

uint32_t
sl_py_alive_stack(const sl_py_raw_frame *raw, int count)
{
    SL_PY_NEEDS_LOCK();
    /* A second time, if what was known of these addresses was out of date. Of
     * more than are learnt at once nearly all are known by now: see below. */
    for (int try = 0; try < SL_PY_LOOKS_AGAIN; try++) {
        sl_py_codes_found found = places_find(raw, count, true);
        if (found == SL_PY_CODES_FOUND)
            return sl_py_stack_fill(count);
        if (found == SL_PY_CODES_TORN && try > 0)
            break;
    }
    return 0;
}

bool
sl_py_alive_known(const sl_py_raw_frame *raw, int count)
{
    SL_PY_NEEDS_LOCK();
    if (count <= SL_PY_CODES_NEW ||
        places_find(raw, count, true) != SL_PY_CODES_MORE)
        return true;
    sl_py_lock_yield();
    return false;
}

void
sl_py_alive_learn(const sl_py_raw_frame *raw, int count)
{
    if (count <= SL_PY_CODES_NEW)
        return;
    sl_py_lock();
    for (int try = 0; try < SL_PY_LOOKS_AGAIN && !sl_py_alive_known(raw, count);
         try++)
        continue;
    sl_py_unlock();
}

/* ---- one look ---- */

sl_pseudo
sl_py_unseen_why(int walk)
{
    switch (walk) {
    case SL_PY_WALK_OTHER: return SL_PSEUDO_UNSEEN_GREENLET;
    case SL_PY_WALK_SHIM: return SL_PSEUDO_UNSEEN_SHIM;
    case SL_PY_WALK_DEEP: return SL_PSEUDO_UNSEEN_DEEP;
    default: return SL_PSEUDO_UNSEEN_TORN;
    }
}

void
sl_py_look_in_vain(sl_py_sampled *sampled, sl_strand *strand, sl_pseudo why,
                   const sl_times *passed, uint64_t now)
{
    SL_PY_NEEDS_LOCK();
    sampled->unseen[why - SL_PSEUDO_UNSEEN_TORN]++;
    sl_strand_unseen(strand, why, passed, now);
}

void
sl_py_look_without_room(sl_py_sampled *sampled, sl_strand *strand, uint64_t now)
{
    SL_PY_NEEDS_LOCK();
    sampled->unseen[SL_PSEUDO_UNSEEN_ROOM - SL_PSEUDO_UNSEEN_TORN]++;
    sl_strand_unlooked(strand, SL_PSEUDO_UNSEEN_ROOM, now);
}

int
sl_py_stack_read(const void *ts, uintptr_t anchor, sl_py_parts *parts)
{
    SL_PY_NEEDS_LOCK();
    sl_py_codes_before();
    int count = sl_py_frames_walk(&sl_py_sampler.layout, ts, anchor, parts,
                                  sl_py_sampler.raw);
    if (count < 0)
        return count;
    switch (places_find(sl_py_sampler.raw, count, false)) {
    case SL_PY_CODES_FOUND: return count;
    case SL_PY_CODES_MORE: return SL_PY_WALK_MORE;
    default: return SL_PY_WALK_TORN;
    }
}

bool
sl_py_look_goes_on(int count)
{
    return count < 0 && sl_py_lock_learnt == 0;
}

int
sl_py_stack_cut(int count)
{
    for (int i = 0; i < count; i++) {
        if (sl_py_sampler.places[i].code->begins)
            return i;
    }
    return count;
}

/* Where the request itself was seen goes on the board, too: with a stack of
 * `depth` frames, or (0) where it was before. */
static void
slot_tell(const sl_py_slot *s, uint32_t depth)
{
    if (s->strand != sl_recording_main(s->sampled->core))
        return;
    if (depth > 0)
        sl_py_tell(s->sampled->entry, sl_py_sampler.stack, depth, s->wall_ns);
    else
        sl_py_tell_again(s->sampled->entry, s->wall_ns);
}

static uint64_t
context_version(const sl_py_slot *s)
{
    uint64_t version = 0;

    sl_py_memory_copy((uintptr_t)s->ts + sl_py_sampler.layout.ts_context_ver,
                      sizeof(version), &version);
    return version;
}

/* The slot's stack; below 0: there is none. */
static int
slot_walk(sl_py_slot *s)
{
    sl_py_parts parts = { .below = s->below, .count = s->below_count };

    if (s->below_count == 0 && s->anchor != SL_PY_NO_ANCHOR)
        return sl_py_stack_read(s->ts, s->anchor, NULL);
    /* A stack without an anchor, or in parts (greenlets), may be somebody
     * else's by now. It is ours if the thread is in the context of the last
     * event, before the walk and after it; while contexts change on it, if
     * it begins at the frame that was believed then. */
    bool before = context_version(s) == s->version;
    int count = sl_py_stack_read(s->ts, s->anchor, &parts);
    if (count < 0)
        return count;
    if (before && context_version(s) == s->version)
        s->bottom = parts.bottom;
    else if (s->bottom == 0 || s->bottom != parts.bottom)
        return SL_PY_WALK_OTHER;
    return count;
}

uint32_t
sl_py_callee_add(int count, uint32_t depth)
{
    const sl_py_code *caller = sl_py_sampler.places[0].code;

    SL_PY_NEEDS_LOCK();
    if (count == SL_PY_WALK_MAX || caller->own || caller->shim)
        return depth;
    const sl_py_code *callee = sl_py_callee(
        &sl_py_sampler.layout, sl_py_frames_innermost(), &sl_py_sampler.raw[0]);
    if (callee != NULL)
        sl_py_sampler.stack[depth++] = (sl_frame){ callee, 0 };
    return depth;
}

/* The same for a job that is nothing but a C function: who runs jobs calls it,
 * at the anchor. An event loop calls Context.run there, which is no job: a task
 * is on its way in or out. */
static uint32_t
callee_alone(const sl_py_slot *s)
{
    sl_py_codes_before();
    if (!sl_py_frames_top(&sl_py_sampler.layout, s->ts,
                          &sl_py_sampler.raw[0]) ||
        sl_py_frames_innermost() != s->anchor ||
        !place_find(sl_py_sampler.raw) ||
        sl_py_callee_add(1, 0) == 0)
        return 0;
    const sl_py_code *callee = sl_py_sampler.stack[0].key;
    return strcmp(callee->name, "_contextvars.Context.run") == 0 ? 0 : 1;
}

/* What a look at a slot comes to. */
typedef enum { SAMPLED, IN_VAIN, AGAIN } sampled_how;

static sampled_how
slot_sample(sl_py_slot *s)
{
    sl_strand *strand = s->strand;
    /* Before the walk: what ran in between shows the next time. */
    uint64_t cpu = sl_py_cpu_of(s->tid);
    sl_times passed;
    uint64_t now;
    int count = SL_PY_WALK_TORN;

    /* Not a nanosecond of CPU since the last look: it stands where it stood.
     * Most looks at a server's requests, which wait, end here, at the price
     * of a clock. */
    if (has_not_run(s, cpu) && s->walked) {
        sl_py_slot_measure(s, &passed, &now, cpu, false);
        sl_strand_again(strand, &passed, now);
        slot_tell(s, 0);
        return SAMPLED;
    }
    /* The thread runs while it is read. A stack that changed under the
     * reader does not end at the anchor, or goes through memory that is no
     * frame. */
    for (int try = 0; try < SL_PY_TRIES && sl_py_look_goes_on(count); try++) {
        sl_py_sampler.counts.retried += try > 0;
        count = slot_walk(s);
    }
    s->walked = false;
    if (count < 0 && sl_py_lock_learnt > 0)
        return AGAIN;
    /* A task on its way in or out: its step is told by the next look, or when
     * it ends, and within what that may speak for. */
    uint32_t alone = 0;
    if (count == 0 && strand != sl_recording_main(s->sampled->core) &&
        (alone = callee_alone(s)) == 0)
        return SAMPLED;
    /* The flag says that somebody collects; who holds the GIL meanwhile is
     * that somebody. */
    bool gc = sl_py_sampler.layout.collecting != NULL &&
              *sl_py_sampler.layout.collecting != 0 && sl_py_holds_gil(s);
    sl_py_slot_measure(s, &passed, &now, cpu, false);
    if (count < 0) {
        sl_py_look_in_vain(s->sampled, strand, sl_py_unseen_why(count), &passed,
                           now);
        return IN_VAIN;
    }
    uint32_t depth = alone > 0 ? alone : sl_py_stack_fill(count);
    uint32_t of_python = depth;
    if (!gc && count > 0)
        depth = sl_py_callee_add(count, depth);
    sl_strand_sample(strand, sl_py_sampler.stack, depth,
                     count == SL_PY_WALK_MAX ? SL_PSEUDO_UNSEEN_DEEP
                     : gc                    ? SL_PSEUDO_GC
                                             : SL_PSEUDO_ROOT,
                     &passed, now);
    slot_tell(s, of_python);
    s->walked = true;
    return SAMPLED;
}

/* The innermost frame of a thread that is fed by events: they say which
 * function it is in, but not on which line. */
static bool
slot_top(const sl_py_slot *s, sl_frame *top)
{
    sl_py_raw_frame raw;

    sl_py_codes_before();
    if (!sl_py_frames_top(&sl_py_sampler.layout, s->ts, &raw) ||
        !place_find(&raw))
        return false;
    *top = (sl_frame){ (const void *)raw.code, sl_py_sampler.places[0].line };
    return true;
}

bool
sl_py_slot_look(sl_py_slot *s)
{
    SL_PY_NEEDS_LOCK();
    sl_py_entry_beat(s->sampled->entry, s->wall_ns);
    if (s->sampled->by_samples) {
        sampled_how how = slot_sample(s);
        sl_py_sampler.counts.samples += how == SAMPLED;
        sl_py_sampler.counts.rejected += how == IN_VAIN;
        return how != AGAIN;
    }
    sl_times passed;
    uint64_t now;
    sl_frame top;
    bool seen = slot_top(s, &top);
    sl_py_slot_measure(s, &passed, &now, sl_py_cpu_of(s->tid), false);
    sl_recording_observe(s->sampled->core, &passed, seen ? &top : NULL, now);
    sl_py_sampler.counts.samples++;
    return true;
}
