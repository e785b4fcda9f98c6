/* What kept the event loop. */
#include "findings_held.h"

#include <stdlib.h>

#define NONE SL_FINDING_NONE

/* A step on the event loop that others notice. */
#define STEP_LEAST_NS 50000000u

/* Whether others could run meanwhile. */
static bool
is_break(const sl_outline *o, uint32_t i)
{
    sl_pseudo pseudo = sl_outline_pseudo(o, i);
    return pseudo == SL_PSEUDO_AWAIT || pseudo == SL_PSEUDO_LOOP ||
           pseudo == SL_PSEUDO_IDLE || pseudo == SL_PSEUDO_QUEUED;
}

/* Of a strand of the request's own: whether it ran on the request's loop, in
 * no thread, and its steps and their work. */
typedef struct {
    bool on_loop;
    uint64_t work, steps;
} own_task;

static own_task *
own_tasks(const sl_findings_work *w)
{
    const sl_outline *o = w->o;
    own_task *tasks = calloc(o->count, sizeof(*tasks));

    for (uint32_t i = 1; tasks != NULL && i < o->count; i++) {
        uint32_t strand = w->places[i].strand;
        own_task *mine = &tasks[strand];
        if (strand == i) {
            uint32_t above = w->places[o->nodes[i].parent].strand;
            mine->on_loop = sl_outline_pseudo(o, i) == SL_PSEUDO_TASK &&
                            (above == 0 || tasks[above].on_loop);
            mine->steps = o->nodes[i].calls > 0 ? o->nodes[i].calls : 1;
        }
        if (is_break(o, i))
            mine->steps += o->nodes[i].calls > 0 ? o->nodes[i].calls : 1;
        else
            mine->work += o->nodes[i].self_ns;
    }
    return tasks;
}

/* By the order of time: stretches of one task that follow upon each other. */
static uint64_t
held_in_order(const sl_findings_work *w, const own_task *tasks, uint32_t *task)
{
    const sl_outline *o = w->o;
    uint64_t most = 0, run = 0;

    for (uint32_t i = 0; i < o->stretch_count; i++) {
        const sl_outline_stretch *row = &o->stretches[i];
        uint32_t strand = w->places[row->node].strand;
        bool goes_on = i > 0 && row[-1].lane == row->lane &&
                       row[-1].to_ns == row->from_ns &&
                       w->places[row[-1].node].strand == strand;
        if (is_break(o, row->node) || !goes_on)
            run = 0;
        if (!is_break(o, row->node))
            run += row->to_ns - row->from_ns;
        if (run > most && strand != 0 && tasks[strand].on_loop) {
            most = run;
            *task = strand;
        }
    }
    return most;
}

/* The longest that a task of the request's own kept the event loop without a
 * break, at least, and that [task]; 0: none did, or it is not known. Where
 * nothing tells the order of time it is what each of the task's steps took on
 * average. false: no memory. */
static bool
held_by_task(const sl_findings_work *w, uint32_t *task, uint64_t *ns)
{
    const sl_outline *o = w->o;

    *task = 0;
    *ns = 0;
    if (!sl_findings_has(w, SL_PSEUDO_TASK))
        return true;
    own_task *tasks = own_tasks(w);
    if (tasks == NULL)
        return false;
    if (o->stretch_count > 0)
        *ns = held_in_order(w, tasks, task);
    for (uint32_t i = 1; w->exact && o->stretch_count == 0 && i < o->count;
         i++) {
        if (!tasks[i].on_loop || tasks[i].work / tasks[i].steps <= *ns)
            continue;
        *ns = tasks[i].work / tasks[i].steps;
        *task = i;
    }
    free(tasks);
    return true;
}

/* What had most of the work of strand `strand` (0: of the request itself),
 * going down from its beginning. false: no memory. */
static bool
busiest(const sl_findings_work *w, uint32_t strand, uint32_t *node)
{
    const sl_outline *o = w->o;
    uint64_t *work = calloc(o->count, sizeof(*work));

    *node = strand;
    if (work == NULL)
        return false;
    for (uint32_t i = o->count; i-- > 0;) {
        uint32_t parent = o->nodes[i].parent;
        work[i] += is_break(o, i) ? 0 : o->nodes[i].self_ns;
        if (i > 0 && w->places[i].strand == w->places[parent].strand)
            work[parent] += work[i];
    }
    for (uint32_t at = UINT32_MAX; at != *node;) {
        uint32_t best = at = *node, end = at + o->nodes[at].size;
        uint64_t most = 0;
        for (uint32_t c = at + 1; c < end; c += o->nodes[c].size) {
            if (w->places[c].strand == strand && work[c] > most) {
                most = work[c];
                best = c;
            }
        }
        if (most > 0 && most >= work[at] / 3)
            *node = best;
    }
    free(work);
    return true;
}

/* The path's last step; where it leaves for a thread, which keeps no event
 * loop, what the request itself did most. */
static bool
last_on_loop(const sl_findings_work *w, uint32_t *node)
{
    const sl_hotpath *path = w->path;

    *node = NONE;
    for (uint32_t s = 0; s < path->count; s++) {
        *node = path->steps[s].node;
        if (sl_outline_pseudo(w->o, *node) == SL_PSEUDO_THREAD)
            return busiest(w, 0, node);
    }
    return true;
}

bool
sl_findings_held(sl_findings_work *w, uint64_t held)
{
    uint64_t ns = sl_outline_number(w->o, "step_ns"), tasks = 0;
    uint32_t task = 0, node;

    /* Without a step of its own it was on no event loop. */
    if (ns == 0 || sl_outline_meta(w->o, "merged") != NULL)
        return true;
    if (w->wall >= STEP_LEAST_NS && !held_by_task(w, &task, &tasks))
        return false;
    ns = held > ns ? held : ns;
    bool fine = tasks > ns ? busiest(w, task, &node) : last_on_loop(w, &node);
    ns = tasks > ns ? tasks : ns;
    if (!fine || ns < STEP_LEAST_NS)
        return fine;
    /* Whatever it did is a finding of its own: this one comes last. */
    sl_finding f = { .rule = SL_FINDING_HOLDS_LOOP,
                     .ns = ns,
                     .score = 1,
                     .node = NONE,
                     .own = NONE,
                     .extra = true };
    if (node != NONE && node != 0)
        sl_findings_locate(w, node, &f);
    sl_findings_add(w, f);
    return true;
}
