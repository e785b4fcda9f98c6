/* Where most of the time went, as one path. */
#include "hotpath.h"
#include "label.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_MAX 4 /* shown, of the project's own */

/* Ran beside the request, or was not the app's: the client was slow to take
 * a streamed body, or it is ours. */
static bool
is_beside(const sl_outline *o, uint32_t i)
{
    return sl_outline_is_strand(o, i) ||
           sl_outline_pseudo(o, i) == SL_PSEUDO_IDLE ||
           sl_outline_pseudo(o, i) == SL_PSEUDO_OWN_COST;
}

/* The heaviest child of `i` (strands aside), or 0: there is none. */
static uint32_t
heaviest(const sl_outline *o, uint32_t i)
{
    uint32_t best = 0, end = i + o->nodes[i].size;
    uint64_t most = 0;

    for (uint32_t c = i + 1; c < end; c += o->nodes[c].size) {
        if (!is_beside(o, c) && o->nodes[c].total_ns >= most) {
            best = c;
            most = o->nodes[c].total_ns;
        }
    }
    return best;
}

/* The heaviest child of `i`, or 0 if that is too little to go on to. */
static uint32_t
worth(const sl_outline *o, uint32_t i)
{
    uint32_t next = heaviest(o, i);
    uint64_t wall = o->nodes[0].total_ns, above = o->nodes[i].total_ns;
    uint64_t total = o->nodes[next].total_ns;

    return next != 0 && total >= above / 3 && total >= wall / 20 && total > 0
               ? next
               : 0;
}

/* ---- what ran meanwhile ---- */

/* The walk, and what it needs once it leaves for a strand. */
typedef struct {
    const sl_outline *o;
    uint32_t own;     /* stretches of the request itself: the first ones */
    uint64_t *waited; /* by own stretch: time in the wait before it */
    uint32_t *strand; /* by node: the strand it is in; 0: the request */
    uint64_t *beside; /* by strand: its time during the wait */
    uint32_t longest; /* of all strands; 0: there is none */
    uint32_t hops;
    uint32_t been[SL_HOTPATH_HOPS];
} walk;

static bool
walk_prepare(walk *w)
{
    const sl_outline *o = w->o;

    if (w->strand != NULL)
        return true;
    while (w->own < o->stretch_count && o->stretches[w->own].lane == 0)
        w->own++;
    w->waited = malloc(((size_t)w->own + 1) * sizeof(*w->waited));
    w->beside = malloc((size_t)o->count * sizeof(*w->beside));
    w->strand = malloc((size_t)o->count * sizeof(*w->strand));
    if (w->waited == NULL || w->beside == NULL || w->strand == NULL)
        return false;
    for (uint32_t i = 0; i < o->count; i++) {
        bool begins = sl_outline_is_strand(o, i);
        w->strand[i] = i == 0 ? 0 : begins ? i : w->strand[o->nodes[i].parent];
        if (begins && (w->longest == 0 ||
                       o->nodes[i].total_ns > o->nodes[w->longest].total_ns))
            w->longest = i;
    }
    return true;
}

static void
walk_free(walk *w)
{
    free(w->waited);
    free(w->beside);
    free(w->strand);
}

/* The first own stretch that ends after `ns` (`begins`: that begins at or
 * after it). */
static uint32_t
own_after(const walk *w, uint64_t ns, bool begins)
{
    const sl_outline_stretch *rows = w->o->stretches;
    uint32_t low = 0, high = w->own;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (begins ? rows[middle].from_ns < ns : rows[middle].to_ns <= ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* How long the request was in its node `wait` from `from` to `to`. */
static uint64_t
waited_between(const walk *w, uint32_t wait, uint64_t from, uint64_t to)
{
    const sl_outline_stretch *rows = w->o->stretches;
    uint32_t first = own_after(w, from, false);
    uint32_t end = own_after(w, to, true);

    if (first >= end)
        return 0;
    uint64_t ns = w->waited[end] - w->waited[first];
    if (rows[first].node == wait && rows[first].from_ns < from)
        ns -= from - rows[first].from_ns;
    if (rows[end - 1].node == wait && rows[end - 1].to_ns > to)
        ns -= rows[end - 1].to_ns - to;
    return ns;
}

/* The strand that ran longest while the request was in its node `wait`, by
 * the order of time; 0: none. */
static uint32_t
longest_meanwhile(walk *w, uint32_t wait, uint64_t *longest)
{
    const sl_outline *o = w->o;
    uint64_t sum = 0;
    uint32_t best = 0;

    for (uint32_t i = 0; i < w->own; i++) {
        const sl_outline_stretch *row = &o->stretches[i];
        w->waited[i] = sum;
        sum += row->node == wait ? row->to_ns - row->from_ns : 0;
    }
    w->waited[w->own] = sum;
    memset(w->beside, 0, (size_t)o->count * sizeof(*w->beside));
    for (uint32_t i = w->own; i < o->stretch_count; i++) {
        const sl_outline_stretch *row = &o->stretches[i];
        w->beside[w->strand[row->node]] +=
            waited_between(w, wait, row->from_ns, row->to_ns);
    }
    *longest = 0;
    for (uint32_t i = w->own; i < o->stretch_count; i++) {
        uint32_t strand = w->strand[o->stretches[i].node];
        if (strand != 0 && w->beside[strand] > *longest) {
            best = strand;
            *longest = w->beside[strand];
        }
    }
    return best;
}

/* The longest strand below `i`, where nothing tells the order of time. */
static uint32_t
longest_below(const sl_outline *o, uint32_t i, uint64_t *longest)
{
    uint32_t best = 0, end = i + o->nodes[i].size;

    *longest = 0;
    for (uint32_t c = i + 1; c < end; c += o->nodes[c].size) {
        if (sl_outline_is_strand(o, c) && o->nodes[c].total_ns > *longest) {
            best = c;
            *longest = o->nodes[c].total_ns;
        }
    }
    return best;
}

/* Whether most of the node's own time was a wait for a lock: for the end of a
 * thread, say, or of a job. */
static bool
waits_for_lock(const sl_outline *o, uint32_t i)
{
    uint32_t low = 0, high = o->counter_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const sl_outline_counter *row = &o->counters[middle];
        if (row->metric < SL_METRIC_LOCK ||
            (row->metric == SL_METRIC_LOCK && row->node < i))
            low = middle + 1;
        else
            high = middle;
    }
    return low < o->counter_count &&
           o->counters[low].metric == SL_METRIC_LOCK &&
           o->counters[low].node == i &&
           o->counters[low].value > o->nodes[i].total_ns / 2;
}

/* The tasks or threads that `i` awaited in its child `wait`, if they say more
 * than that: they took half as long, and there is one way into them. 0: nothing
 * does. false: no memory. */
static bool
awaited(walk *w, uint32_t i, uint32_t wait, uint32_t *strand)
{
    const sl_outline *o = w->o;
    uint64_t ns = 0;

    *strand = 0;
    if (w->hops == SL_HOTPATH_HOPS)
        return true;
    if (!walk_prepare(w))
        return false;
    uint64_t half = o->nodes[wait].total_ns / 2;
    if (w->own < o->stretch_count)
        *strand = longest_meanwhile(w, wait, &ns);
    /* What events told has no order in time: there, of the jobs handed on, the
     * longest may hang elsewhere than where it was waited for. */
    if (*strand == 0 || (ns < half && sl_outline_is_exact(o)))
        *strand = longest_below(o, i, &ns);
    bool nameless =
        waits_for_lock(o, wait) ||
        o->functions[o->nodes[i].function].origin == SL_ORIGIN_PROJECT;
    if ((*strand == 0 || ns < half) && sl_outline_is_exact(o) && nameless &&
        w->longest != w->strand[wait]) {
        *strand = w->longest;
        ns = *strand != 0 ? o->nodes[*strand].total_ns : 0;
    }
    if (*strand == 0 || ns < half || worth(o, *strand) == 0) {
        *strand = 0;
        return true;
    }
    for (uint32_t k = 0; k < w->hops; k++) {
        if (w->been[k] == *strand) { /* only a made-up file comes back */
            *strand = 0;
            return true;
        }
    }
    w->been[w->hops++] = *strand;
    return true;
}

/* ---- the path ---- */

static bool
path_add(sl_hotpath *path, uint32_t node, uint64_t ns)
{
    if (path->count == path->capacity) {
        uint32_t capacity = path->capacity == 0 ? 64 : path->capacity * 2;
        sl_hotpath_step *grown =
            realloc(path->steps, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        path->steps = grown;
        path->capacity = capacity;
    }
    path->steps[path->count++] = (sl_hotpath_step){ node, ns };
    return true;
}

sl_status
sl_hotpath_find(const sl_outline *o, uint32_t from, sl_hotpath *out)
{
    walk w = { .o = o };
    uint64_t ns = o->nodes[from].total_ns;
    bool fine = true;

    *out = (sl_hotpath){ 0 };
    for (uint32_t i = from, next; fine && (next = worth(o, i)) != 0; i = next) {
        uint64_t total = o->nodes[next].total_ns;
        uint32_t strand = 0;
        if (sl_outline_pseudo(o, next) == SL_PSEUDO_AWAIT ||
            waits_for_lock(o, next))
            fine = awaited(&w, i, next, &strand);
        if (strand != 0) {
            /* It stands for what was awaited meanwhile. */
            if (o->nodes[strand].total_ns < total)
                total = o->nodes[strand].total_ns;
            next = strand;
        }
        ns = total < ns ? total : ns;
        fine = fine && path_add(out, next, ns);
    }
    walk_free(&w);
    return fine ? SL_OK : SL_ENOMEM;
}

void
sl_hotpath_free(sl_hotpath *path)
{
    free(path->steps);
    *path = (sl_hotpath){ 0 };
}

/* A function of a library that only passes on, of whose callee no name of its
 * own says anything: a closure (a decorator's wrapper), or the step through
 * which a template does whatever it does. */
static bool
passes_on(const sl_function *f)
{
    static const char mark[] = "<locals>";
    static const struct {
        const char *file, *name;
    } funnels[] = {
        { "jinja2/environment.py", "Environment.getattr" },
        { "jinja2/environment.py", "Environment.getitem" },
        { "jinja2/environment.py", "Environment.call_filter" },
        { "jinja2/environment.py", "Environment.call_test" },
        { "jinja2/environment.py", "Environment._filter_test_common" },
        { "jinja2/runtime.py", "Context.call" },
        { "jinja2/async_utils.py", "auto_await" },
    };

    if (f->origin != SL_ORIGIN_LIBRARY && f->origin != SL_ORIGIN_STDLIB)
        return false;
    for (size_t i = 0; i + sizeof(mark) - 1 <= f->name_len; i++) {
        if (memcmp(f->name + i, mark, sizeof(mark) - 1) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof(funnels) / sizeof(*funnels); i++) {
        size_t end = strlen(funnels[i].file);
        if (sl_outline_text_is(f->name, f->name_len, funnels[i].name) &&
            f->file_len >= end &&
            memcmp(f->file + f->file_len - end, funnels[i].file, end) == 0)
            return true;
    }
    return false;
}

/* Goes on from what passes on to what it called, as far as the path leads. */
static uint32_t
passed_on(const sl_outline *o, const sl_hotpath *path, uint32_t step)
{
    while (step + 1 < path->count &&
           passes_on(sl_outline_function(o, path->steps[step].node)) &&
           o->functions[o->nodes[path->steps[step + 1].node].function].kind !=
               SL_KIND_PSEUDO)
        step++;
    return step;
}

/* Of a wait that ends a path without a frame of the project's: the step of the
 * library that asked for it; else `last` itself. */
static uint32_t
waits_in(const sl_outline *o, const sl_hotpath *path, uint32_t last)
{
    if (sl_outline_pseudo(o, path->steps[last].node) != SL_PSEUDO_AWAIT)
        return last;
    for (uint32_t s = last; s-- > 0;) {
        if (sl_outline_is_strand(o, path->steps[s].node))
            break;
        if (sl_outline_function(o, path->steps[s].node)->origin ==
            SL_ORIGIN_LIBRARY)
            return s;
    }
    return last;
}

/* Picks the steps to show: the last FRAMES_MAX of the project, each once in
 * a row, then what the last one called. Without any, the deepest frame. */
static size_t
pick(const sl_outline *o, const sl_hotpath *path, uint32_t *picked)
{
    enum { NONE = -1 };
    uint64_t half = o->nodes[0].total_ns / 2;
    int64_t last = NONE, callee = NONE;
    size_t count = 0;

    for (uint32_t s = 0; s < path->count; s++) {
        uint32_t i = path->steps[s].node, number = o->nodes[i].function;
        if (sl_outline_is_strand(o, i)) {
            callee = NONE; /* nobody called it: what it runs comes next */
            continue;
        }
        if (last == NONE || o->nodes[i].total_ns >= half)
            last = s;
        if (o->functions[number].origin != SL_ORIGIN_PROJECT) {
            if (callee == NONE)
                callee = s;
            continue;
        }
        callee = NONE;
        if (count > 0 &&
            o->nodes[path->steps[picked[count - 1]].node].function == number)
            count--;
        if (count == FRAMES_MAX) {
            memmove(picked, picked + 1, (FRAMES_MAX - 1) * sizeof(*picked));
            count--;
        }
        picked[count++] = s;
    }
    if (count == 0 && last != NONE) {
        uint32_t who = waits_in(o, path, (uint32_t)last);
        if (who != (uint32_t)last)
            picked[count++] = who;
        picked[count++] = (uint32_t)last;
    } else if (callee != NONE)
        picked[count++] = passed_on(o, path, (uint32_t)callee);
    return count;
}

void
sl_hotpath_text(const sl_outline *o, const sl_hotpath *path, sl_buf *out)
{
    uint32_t picked[FRAMES_MAX + 1];
    size_t count = pick(o, path, picked);
    uint64_t wall = o->nodes[0].total_ns;
    char share[16];

    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            sl_buf_put_str(out, " > ");
        sl_label_name(out, sl_outline_function(o, path->steps[picked[i]].node),
                      SL_LABEL_MAX);
    }
    if (count == 0 || wall == 0)
        return;
    snprintf(share, sizeof(share), " %u%%",
             (unsigned)((double)path->steps[picked[count - 1]].ns * 100.0 /
                            (double)wall +
                        0.5));
    sl_buf_put_str(out, share);
}

bool
sl_hotpath_culprit(const sl_outline *o, const sl_hotpath *path,
                   uint32_t *culprit, uint32_t *own)
{
    *own = UINT32_MAX;
    if (path->count == 0)
        return false;
    *culprit = path->count - 1;
    for (uint32_t s = path->count; s-- > 0;) {
        const sl_function *f = sl_outline_function(o, path->steps[s].node);
        if (f->origin != SL_ORIGIN_PROJECT)
            continue;
        *own = s;
        *culprit = s + 1 < path->count ? s + 1 : s;
        /* Of what was waited for, what ran there. */
        for (uint32_t next = s + 1; next + 1 < path->count; next++) {
            if (sl_outline_is_strand(o, path->steps[next].node))
                *culprit = next + 1;
        }
        break;
    }
    *culprit = passed_on(o, path, *culprit);
    return true;
}
