/* What explains the time of one profile, in order. */
#include "findings.h"
#include "findings_asked.h"
#include "findings_held.h"
#include "findings_layers.h"
#include "findings_spread.h"
#include "findings_work.h"

#include <stdlib.h>
#include <string.h>

#define NONE SL_FINDING_NONE

/* Times that such a call must be made from one line, from one caller. */
#define REPEATS_LEAST 10u
#define REPEATS_FAN   5u

/* ---- waits that are nobody's work ---- */

/* Self time of a pseudo function in the request itself, and the node that has
 * most of it. */
static uint64_t
pseudo_time(const sl_findings_work *w, sl_pseudo pseudo, uint32_t *node)
{
    const sl_outline *o = w->o;
    uint64_t sum = 0, most = 0;

    *node = NONE;
    for (uint32_t i = 1; sl_findings_has(w, pseudo) && i < o->count; i++) {
        if (sl_outline_pseudo(o, i) != pseudo || w->places[i].strand != 0)
            continue;
        sum += o->nodes[i].self_ns;
        if (o->nodes[i].self_ns >= most) {
            most = o->nodes[i].self_ns;
            *node = i;
        }
    }
    return sum;
}

/* What a counter has in nodes from `from` up to `end`, and the one with most.
 */
static uint64_t
counter_time(const sl_findings_work *w, sl_metric metric, uint32_t from,
             uint32_t end, uint32_t strand, uint32_t *node)
{
    const sl_outline *o = w->o;
    uint64_t sum = 0, most = 0;

    *node = NONE;
    for (uint32_t i = 0; i < o->counter_count; i++) {
        const sl_outline_counter *row = &o->counters[i];
        if (row->metric != (uint32_t)metric || row->node < from ||
            row->node >= end || w->places[row->node].strand != strand)
            continue;
        sum += row->value;
        if (row->value > most) {
            most = row->value;
            *node = row->node;
        }
    }
    return sum;
}

static uint64_t
gil_time(const sl_findings_work *w, uint32_t from, uint32_t end,
         uint32_t strand, uint32_t *node)
{
    const sl_outline *o = w->o;
    uint64_t sum = 0, most = 0;

    *node = NONE;
    for (uint32_t i = 0; i < o->line_count; i++) {
        const sl_outline_line *row = &o->lines[i];
        if (row->node < from || row->node >= end ||
            w->places[row->node].strand != strand)
            continue;
        sum += row->gil_ns;
        if (row->gil_ns > most) {
            most = row->gil_ns;
            *node = row->node;
        }
    }
    return sum;
}

/* One of the waits that no function is to blame for, from a tenth of the time
 * on. It comes before a function that explains a third more: who waits that
 * long finds nothing to mend in the function. */
static void
add_wait(sl_findings_work *w, sl_finding_rule rule, uint64_t ns, uint32_t node)
{
    sl_finding f = { .rule = rule, .ns = ns, .node = node, .own = NONE };

    if (ns < w->wall / 10 || ns == 0)
        return;
    f.score = ns >= w->wall / 5 * 2 ? ns + ns / 3 : ns;
    if (node == NONE && w->path->count > 0)
        node = w->path->steps[w->path->count - 1].node;
    if (node != NONE && rule != SL_FINDING_CLIENT)
        sl_findings_locate(w, node, &f);
    sl_findings_add(w, f);
}

static uint64_t
larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Whether the path goes on from the wait for the loop, `node`, into the
 * request's own task that held it: what that did is the answer. */
static bool
held_up_by_itself(const sl_findings_work *w, uint32_t node)
{
    for (uint32_t s = 0; s < w->path->count && node != NONE; s++) {
        if (w->path->steps[s].instead == node)
            return true;
    }
    return false;
}

/* What the thread that the path leaves for, since the request waited for it,
 * waited for a CPU and for the GIL: the request could not go on either. */
static void
starved_beside(const sl_findings_work *w, uint64_t *run_queue, uint64_t *gil)
{
    const sl_hotpath *path = w->path;
    const sl_outline *o = w->o;
    uint32_t node, count = o->count, s = path->count;

    *run_queue = *gil = 0;
    while (s > 0 &&
           sl_outline_pseudo(o, path->steps[s - 1].node) != SL_PSEUDO_THREAD)
        s--;
    if (s == 0)
        return;
    uint32_t strand = path->steps[s - 1].node;
    uint64_t ns = path->steps[s - 1].ns, all = o->nodes[strand].total_ns;
    *run_queue = sl_findings_part(
        counter_time(w, SL_METRIC_RUN_QUEUE, 0, count, strand, &node), ns, all);
    if (!sl_findings_at_once(ns, all))
        *gil = gil_time(w, 0, count, strand, &node);
}

static bool
find_waits(sl_findings_work *w)
{
    uint32_t node, count = w->o->count;
    uint64_t ns, run_queue, gil;

    starved_beside(w, &run_queue, &gil);

    ns = pseudo_time(w, SL_PSEUDO_LOOP, &node);
    bool own_step = held_up_by_itself(w, node);
    if (!own_step)
        add_wait(w, SL_FINDING_LOOP,
                 larger(ns, sl_outline_number(w->o, "loop_ns")), node);
    ns = pseudo_time(w, SL_PSEUDO_GC, &node);
    add_wait(w, SL_FINDING_GC, larger(ns, sl_outline_number(w->o, "gc_ns")),
             node);
    ns = pseudo_time(w, SL_PSEUDO_IDLE, &node);
    uint32_t other;
    ns += counter_time(w, SL_METRIC_CLIENT, 0, count, 0, &other);
    add_wait(w, SL_FINDING_CLIENT,
             larger(ns, sl_outline_number(w->o, "idle_ns")), node);
    ns = counter_time(w, SL_METRIC_RUN_QUEUE, 0, count, 0, &node);
    add_wait(w, SL_FINDING_RUN_QUEUE,
             larger(ns, sl_outline_number(w->o, "run_queue_ns")) + run_queue,
             node);
    ns = gil_time(w, 0, count, 0, &node);
    add_wait(w, SL_FINDING_GIL,
             larger(ns, sl_outline_number(w->o, "gil_wait_ns")) + gil, node);
    return sl_findings_held(w,
                            own_step ? sl_outline_number(w->o, "held_ns") : 0);
}

/* ---- functions ---- */

/* The kind of wait that most of a subtree was, or HOT. */
static sl_finding_rule
kind_of_wait(const sl_findings_work *w, uint32_t node)
{
    static const struct {
        sl_metric metric;
        sl_finding_rule rule;
    } kinds[] = { { SL_METRIC_LOCK, SL_FINDING_LOCK },
                  { SL_METRIC_SOCKET, SL_FINDING_SOCKET },
                  { SL_METRIC_DISK, SL_FINDING_DISK },
                  { SL_METRIC_SLEEP, SL_FINDING_SLEEP },
                  { SL_METRIC_POLL, SL_FINDING_POLL },
                  { SL_METRIC_CHILD, SL_FINDING_CHILD } };
    const sl_outline *o = w->o;
    uint32_t end = node + o->nodes[node].size, most, at;
    uint64_t half = o->nodes[node].total_ns, awaited = 0;

    /* What came on top because the loop was busy is told apart. */
    for (at = node; at < end; at++) {
        if (sl_outline_pseudo(o, at) == SL_PSEUDO_LOOP &&
            w->places[at].strand == w->places[node].strand)
            half -= o->nodes[at].self_ns < half ? o->nodes[at].self_ns : half;
    }
    half /= 2;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
        if (counter_time(w, kinds[k].metric, node, end, w->places[node].strand,
                         &most) > half)
            return kinds[k].rule;
    }
    for (at = node; sl_findings_has(w, SL_PSEUDO_AWAIT) && at < end; at++) {
        if (sl_outline_pseudo(o, at) == SL_PSEUDO_AWAIT &&
            w->places[at].strand == w->places[node].strand)
            awaited += o->nodes[at].self_ns;
    }
    const sl_function *f = sl_outline_function(o, node);
    if (awaited > half && sl_outline_pseudo(o, node) == SL_PSEUDO_AWAIT)
        f = sl_outline_function(o, o->nodes[node].parent);
    if (sl_outline_is_sleep(f, awaited > half))
        return SL_FINDING_SLEEP;
    return awaited > half ? SL_FINDING_AWAIT : SL_FINDING_HOT;
}

/* Time in the subtree of `node`, `ns` of the request's, that other findings
 * explain better; *starved of it: waiting for a CPU or the GIL. */
static uint64_t
explained(const sl_findings_work *w, uint32_t node, uint64_t ns,
          uint64_t *starved)
{
    const sl_outline *o = w->o;
    uint32_t end = node + o->nodes[node].size, most;
    uint32_t strand = w->places[node].strand;
    *starved = sl_findings_part(
        counter_time(w, SL_METRIC_RUN_QUEUE, node, end, strand, &most), ns,
        o->nodes[node].total_ns);
    if (!sl_findings_at_once(ns, o->nodes[node].total_ns))
        *starved += gil_time(w, node, end, strand, &most);
    uint64_t sum = sl_findings_spans_in(w, node, end, strand);

    bool better = w->layers != 1u << SL_LAYER_NONE ||
                  sl_findings_has(w, SL_PSEUDO_GC) ||
                  sl_findings_has(w, SL_PSEUDO_LOOP);
    for (uint32_t i = node; better && i < end; i++) {
        sl_pseudo pseudo = sl_outline_pseudo(o, i);
        if (w->places[i].strand == strand &&
            (pseudo == SL_PSEUDO_GC || pseudo == SL_PSEUDO_LOOP ||
             w->places[i].layer != SL_LAYER_NONE))
            sum += o->nodes[i].self_ns;
    }
    return *starved + sl_findings_part(sum, ns, o->nodes[node].total_ns);
}

/* Where the path goes into an import, below own code if there is any: of a
 * module's top level no function says what it is for. NONE: it does not, or
 * what is told already is most of something else. */
static uint32_t
import_on(const sl_findings_work *w, uint32_t culprit, uint32_t own)
{
    const sl_hotpath *path = w->path;

    for (uint32_t s = own == UINT32_MAX ? 0 : own + 1; s < path->count; s++) {
        const sl_function *f = sl_outline_function(w->o, path->steps[s].node);
        if (f->origin == SL_ORIGIN_STDLIB &&
            sl_outline_text_is(f->name, f->name_len, "_find_and_load"))
            return path->steps[s].ns / 2 * 3 >= path->steps[culprit].ns ? s
                                                                        : NONE;
    }
    return NONE;
}

/* The library that asked for what begins at a step of the path; NONE: none. */
static uint32_t
library_above(const sl_findings_work *w, uint32_t step)
{
    while (step-- > 0) {
        uint32_t node = w->path->steps[step].node;
        if (sl_outline_function(w->o, node)->origin == SL_ORIGIN_LIBRARY)
            return step;
    }
    return NONE;
}

/* The time of a step of the path, below step `own` of own code; UINT32_MAX:
 * none of it is. */
static sl_finding
at_step(const sl_findings_work *w, uint32_t culprit, uint32_t own)
{
    const sl_outline *o = w->o;
    const sl_hotpath *path = w->path;
    uint32_t node = path->steps[culprit].node;
    sl_finding f = { .rule = kind_of_wait(w, node),
                     .ns = path->steps[culprit].ns,
                     .node = node,
                     .own = NONE,
                     .itself = o->nodes[node].self_ns >=
                               o->nodes[node].total_ns / 2 };

    if (own != UINT32_MAX) {
        /* The frame of own code on the path, and the line it was left at. */
        f.own = path->steps[own].node;
        if (own + 1 < path->count && own != culprit) {
            uint32_t next = path->steps[own + 1].node;
            for (uint32_t s = own + 1; s <= culprit; s++)
                f.beside |= sl_outline_is_strand(o, path->steps[s].node);
            if (!sl_outline_is_strand(o, next))
                f.line = o->nodes[next].line;
        }
        if (f.line == 0)
            f.line = sl_findings_line(o, f.own);
    }
    uint64_t starved = 0, other = explained(w, node, f.ns, &starved);
    f.score = f.ns > other ? f.ns - other : 0;
    f.work = f.ns > other - starved ? f.ns - (other - starved) : 1;
    if (w->exact && culprit != own && o->nodes[node].calls >= REPEATS_LEAST)
        f.count = o->nodes[node].calls;
    /* A wait that is told as a layer is that layer's. */
    if (f.score == 0)
        f.rule = SL_FINDING_HOT;
    /* A wait below no function says nothing, nor does a thread that ran what it
     * was given: whatever else is known does. */
    if (f.score > 1 && (sl_hotpath_runs_jobs(sl_outline_function(o, node)) ||
                        (sl_outline_pseudo(o, node) == SL_PSEUDO_AWAIT &&
                         sl_outline_function(o, o->nodes[node].parent)->kind ==
                             SL_KIND_PSEUDO)))
        f.score = 1;
    return f;
}

/* Where the path ends in little, as in a library that is many small functions:
 * the last step that most of the time went through, if that is a library's.
 * Own code there is told better by what it called. */
static void
widen(const sl_findings_work *w, uint32_t culprit, sl_finding *out)
{
    uint32_t at = NONE, own = UINT32_MAX;

    if (out->rule != SL_FINDING_HOT || out->ns >= w->wall / 5)
        return;
    for (uint32_t s = 0; s < culprit && w->path->steps[s].ns >= w->wall / 2;
         s++) {
        const sl_function *f =
            sl_outline_function(w->o, w->path->steps[s].node);
        if (f->kind != SL_KIND_PSEUDO)
            at = s;
    }
    for (uint32_t s = 0; at != NONE && s <= at; s++) {
        const sl_function *f =
            sl_outline_function(w->o, w->path->steps[s].node);
        if (f->origin == SL_ORIGIN_PROJECT)
            own = s;
        else if (sl_hotpath_hands_on(f))
            own = UINT32_MAX;
    }
    if (at == NONE || own == at)
        return;
    *out = at_step(w, at, own);
    out->wide = true;
}

/* What the hot path ends in. false: it leads nowhere. */
static bool
on_the_path(const sl_findings_work *w, sl_finding *out)
{
    const sl_outline *o = w->o;
    const sl_hotpath *path = w->path;
    uint32_t culprit = 0, own = 0;

    if (!sl_hotpath_culprit(o, path, &culprit, &own))
        return false;
    uint32_t import = import_on(w, culprit, own);
    if (import != NONE) {
        culprit = import;
        if (own == UINT32_MAX)
            own = library_above(w, import);
    }
    /* A collection that happens to run on top is no work of the function's. */
    if (sl_outline_pseudo(o, path->steps[culprit].node) == SL_PSEUDO_GC) {
        if (own != UINT32_MAX)
            culprit = own;
        else if (culprit > 0)
            culprit--;
    }
    *out = at_step(w, culprit, own);
    widen(w, culprit, out);
    return true;
}

/* Whether it only says who called what took the time. */
static bool
is_vague(const sl_finding *f)
{
    return f->node == f->own && !f->itself;
}

/* Whether `all`, a function's time wherever it was called from, says more than
 * `one`, what the hot path ends in. */
static bool
says_more(const sl_findings_work *w, const sl_finding *all,
          const sl_finding *one)
{
    const sl_outline *o = w->o;

    if (all->score == 0 || all->ns < w->wall / 5)
        return false;
    if (one->ns == 0 || all->ns / 3 * 2 > one->ns)
        return true;
    return is_vague(one) && !is_vague(all) && all->ns / 3 * 5 > one->ns &&
           o->nodes[all->node].function != o->nodes[one->node].function;
}

static sl_status
find_function(sl_findings_work *w, const uint8_t *kinds)
{
    sl_finding one = { .node = NONE, .own = NONE }, all;
    bool leads = on_the_path(w, &one);
    sl_status status = SL_OK;

    if (!leads || one.ns < w->wall / 3 * 2 || is_vague(&one)) {
        status =
            sl_findings_spread(w, leads ? w->places[one.node].strand : 0, &all);
        if (status == SL_OK && says_more(w, &all, &one)) {
            leads = true;
            one = all;
        }
    }
    /* What others tell all of is not told again. */
    if (leads && (w->out->count == 0 || one.work >= w->wall / 10)) {
        sl_findings_as_work(w, kinds, &one);
        sl_findings_add(w, one);
    }
    return status;
}

/* Whether most of a subtree was slept: then to be called again and again is
 * what it is for, and that it slept is told. */
static bool
sleeps(const sl_findings_work *w, uint32_t node)
{
    const sl_outline *o = w->o;
    uint32_t end = node + o->nodes[node].size, most;
    uint64_t slept = 0, waited = counter_time(w, SL_METRIC_SLEEP, node, end,
                                              w->places[node].strand, &most);

    for (uint32_t i = node; i < end; i++) {
        const sl_function *f = sl_outline_function(o, i);
        if (sl_outline_pseudo(o, i) == SL_PSEUDO_AWAIT)
            f = sl_outline_function(o, o->nodes[i].parent);
        if (w->places[i].strand == w->places[node].strand &&
            (sl_outline_is_sleep(f, false) || sl_outline_is_sleep(f, true)))
            slept += o->nodes[i].self_ns;
    }
    return larger(slept, waited) > o->nodes[node].total_ns / 2;
}

/* Calls made again and again from one line of own code, the heaviest. */
static void
find_repeats(sl_findings_work *w)
{
    const sl_outline *o = w->o;
    uint32_t best = NONE;

    if (!w->exact)
        return;
    for (uint32_t i = 1; i < o->count; i++) {
        const sl_outline_node *node = &o->nodes[i];
        if (node->total_ns < w->wall / 5) {
            i += w->strands ? 0 : node->size - 1; /* nor is what is below */
            continue;
        }
        const sl_outline_node *parent = &o->nodes[node->parent];
        uint64_t outer = parent->calls > 0 ? parent->calls : 1;
        if (o->functions[parent->function].origin != SL_ORIGIN_PROJECT ||
            o->functions[node->function].kind == SL_KIND_PSEUDO ||
            node->function == parent->function || node->calls < REPEATS_LEAST ||
            node->calls / REPEATS_FAN < outer)
            continue;
        if ((best == NONE || node->total_ns > o->nodes[best].total_ns) &&
            !sleeps(w, i))
            best = i;
    }
    if (best == NONE)
        return;
    sl_finding f = { .rule = SL_FINDING_REPEATS,
                     .ns = o->nodes[best].total_ns,
                     .count = o->nodes[best].calls,
                     .node = best,
                     .own = o->nodes[best].parent,
                     .line = o->nodes[best].line };
    if (f.line == 0)
        f.line = sl_findings_line(o, f.own);
    f.score = 2; /* the same time as the function's, told once more */
    f.extra = true;
    sl_findings_add(w, f);
}

/* Sampled, and what was measured otherwise is not most of it. */
static bool
too_few(sl_findings_work *w)
{
    const sl_outline *o = w->o;
    uint64_t measured = sl_outline_number(o, "await_ns") +
                        sl_outline_number(o, "loop_ns") +
                        sl_outline_number(o, "idle_ns");

    w->out->samples = UINT64_MAX;
    if (w->exact || sl_outline_meta(o, "samples") == NULL ||
        measured >= w->wall / 2)
        return false;
    w->out->samples = sl_outline_number(o, "samples");
    return w->out->samples < SL_FINDINGS_SAMPLES_LEAST;
}

/* What no sample could place is no function's: from half of the time on there
 * is nothing to be said of the rest. */
static bool
is_unseen(sl_findings_work *w)
{
    const sl_outline *o = w->o;
    uint64_t most = 0;
    bool any = false;

    for (int p = 0; p < SL_PSEUDO_COUNT; p++)
        any |= sl_pseudo_is_unseen((sl_pseudo)p) &&
               sl_findings_has(w, (sl_pseudo)p);
    for (uint32_t i = 1; any && i < o->count; i++) {
        if (!sl_pseudo_is_unseen(sl_outline_pseudo(o, i)) ||
            w->places[i].strand != 0)
            continue;
        w->out->unseen += o->nodes[i].self_ns;
        if (o->nodes[i].self_ns > most) {
            most = o->nodes[i].self_ns;
            w->out->unseen_node = i;
        }
    }
    return w->out->unseen > w->wall / 2;
}

sl_status
sl_findings_find(const sl_outline *o, const sl_hotpath *path, sl_findings *out)
{
    sl_findings_work w = { .o = o,
                           .path = path,
                           .out = out,
                           .wall = sl_outline_wall(o),
                           .requests = sl_outline_requests(o),
                           .exact = sl_outline_is_exact(o) };

    memset(out, 0, sizeof(*out));
    out->below = NONE;
    for (uint32_t s = 0; s < path->count; s++) {
        uint32_t node = path->steps[s].node;
        if (path->steps[s].ns >= sl_outline_wall(o) / 2 &&
            sl_outline_function(o, node)->kind != SL_KIND_PSEUDO)
            out->below = node;
    }
    if (w.wall == 0)
        return SL_OK;
    if (!sl_findings_places(&w)) {
        free(w.places);
        return SL_ENOMEM;
    }
    bool unseen = is_unseen(&w), few = too_few(&w) || unseen;
    sl_status status = find_waits(&w) ? SL_OK : SL_ENOMEM;
    if (status < 0) {
        free(w.places);
        return status;
    }
    if (few) {
        /* Spans are counted and measured, whatever samples saw. */
        w.few = true;
        status = sl_findings_layers(&w);
        if (status == SL_OK)
            status = sl_findings_asked(&w);
        w.few = false;
        sl_findings_add(&w, (sl_finding){ .rule = SL_FINDING_FEW,
                                          .count = out->samples,
                                          .ns = unseen ? out->unseen : 0,
                                          .score = sl_findings_few_score(&w),
                                          .node = NONE,
                                          .own = NONE });
    } else {
        uint8_t *kinds = sl_findings_kinds(&w);
        status = kinds != NULL ? sl_findings_layers(&w) : SL_ENOMEM;
        if (status == SL_OK)
            status = find_function(&w, kinds);
        if (status == SL_OK)
            status = sl_findings_asked(&w);
        if (status == SL_OK)
            sl_findings_work_add(&w, kinds);
        find_repeats(&w);
        free(kinds);
    }
    free(w.places);
    return status;
}
