/* Where most of the time went, as one path. */
#include "hotpath.h"

#include <stdlib.h>
#include <string.h>

/* Ran beside the request, or was not the app's: the client was slow to take
 * a streamed body, or it is ours. */
static bool
is_beside(const sl_outline *o, uint32_t i)
{
    return sl_outline_is_strand(o, i) ||
           sl_outline_pseudo(o, i) == SL_PSEUDO_IDLE ||
           sl_outline_pseudo(o, i) == SL_PSEUDO_OWN_COST;
}

/* By what a node is weighed: all of its time; or, once the path has left for a
 * strand, its work alone, or its work and those waits that no strand explains.
 */
typedef enum { BY_TIME, BY_WORK, BY_WAIT } measure;

typedef struct {
    uint64_t work, wait; /* of the subtree, without the strands below it */
    uint32_t strand;     /* it is in; 0: the request */
    bool awaits_strand;  /* a strand hangs at it: there that was waited for */
    bool own;            /* of a strand: own code is in it */
} fact;

/* The walk, and what it needs once it leaves for a strand. */
typedef struct {
    const sl_outline *o;
    uint32_t own;     /* stretches of the request itself: the first ones */
    uint64_t *waited; /* by own stretch: time in the wait before it */
    uint64_t *beside; /* by strand: its time during the wait */
    fact *facts;      /* by node */
    uint32_t hops;
    uint32_t asked; /* whether to leave, also where it did not */
    uint32_t been[SL_HOTPATH_HOPS];
} walk;

static uint64_t
weigh(const walk *w, measure by, uint32_t i)
{
    if (i == 0 && by == BY_TIME)
        return sl_outline_wall(w->o);
    return by == BY_TIME   ? w->o->nodes[i].total_ns
           : by == BY_WORK ? w->facts[i].work
                           : w->facts[i].wait;
}

/* The heaviest child of `i` (strands aside), or 0 if that is too little to go
 * on to. */
static uint32_t
worth(const walk *w, measure by, uint32_t i)
{
    const sl_outline *o = w->o;
    uint32_t best = 0, end = i + o->nodes[i].size;
    uint64_t most = 0;

    for (uint32_t c = i + 1; c < end; c += o->nodes[c].size) {
        uint64_t one = is_beside(o, c) ? 0 : weigh(w, by, c);
        if (one > 0 && one >= most) {
            best = c;
            most = one;
        }
    }
    return most >= weigh(w, by, i) / 3 && most >= sl_outline_wall(o) / 20 ? best
                                                                          : 0;
}

/* ---- what ran meanwhile ---- */

/* Whether a thread is there to wait for what it is given to do, as that of each
 * connection of aiosqlite is from its request on: nobody waits for that. */
static bool
waits_for_jobs(const sl_function *f)
{
    return f->kind == SL_KIND_C &&
           sl_outline_text_is(f->name, f->name_len, "_queue.SimpleQueue.get");
}

/* What a node's self time counts as: work, a wait, or (false) a wait that a
 * strand explains. */
static bool
counts(const walk *w, uint32_t i, measure by)
{
    const sl_outline *o = w->o;
    sl_pseudo pseudo = sl_outline_pseudo(o, i);

    if (pseudo == SL_PSEUDO_LOOP || pseudo == SL_PSEUDO_IDLE)
        return false;
    if (pseudo != SL_PSEUDO_AWAIT)
        return !waits_for_jobs(sl_outline_function(o, i));
    /* Below no function, for want of room, it says nothing either. */
    uint32_t parent = o->nodes[i].parent;
    return by == BY_WAIT && !w->facts[parent].awaits_strand &&
           o->functions[o->nodes[parent].function].kind != SL_KIND_PSEUDO;
}

static bool
walk_prepare(walk *w)
{
    const sl_outline *o = w->o;

    if (w->facts != NULL)
        return true;
    while (w->own < o->stretch_count && o->stretches[w->own].lane == 0)
        w->own++;
    w->waited = malloc(((size_t)w->own + 1) * sizeof(*w->waited));
    w->beside = malloc((size_t)o->count * sizeof(*w->beside));
    w->facts = calloc(o->count, sizeof(*w->facts));
    if (w->waited == NULL || w->beside == NULL || w->facts == NULL)
        return false;
    for (uint32_t i = 1; i < o->count; i++) {
        uint32_t parent = o->nodes[i].parent;
        bool begins = sl_outline_is_strand(o, i);
        w->facts[i].strand = begins ? i : w->facts[parent].strand;
        w->facts[parent].awaits_strand |= begins;
        w->facts[w->facts[i].strand].own |=
            sl_outline_function(o, i)->origin == SL_ORIGIN_PROJECT;
    }
    for (uint32_t i = o->count; i-- > 0;) {
        fact *mine = &w->facts[i], *above = &w->facts[o->nodes[i].parent];
        mine->work += counts(w, i, BY_WORK) ? o->nodes[i].self_ns : 0;
        mine->wait += counts(w, i, BY_WAIT) ? o->nodes[i].self_ns : 0;
        if (i > 0 && !sl_outline_is_strand(o, i)) {
            above->work += mine->work;
            above->wait += mine->wait;
        }
    }
    return true;
}

static void
walk_free(walk *w)
{
    free(w->waited);
    free(w->beside);
    free(w->facts);
}

/* Whether a strand that took `ns` is the answer rather than `best`, so far. Of
 * waits that are about as long it is the one in own code: a server's task that
 * waits for the client to go away ends with the answer, too. */
static bool
is_rather(const walk *w, measure by, uint32_t strand, uint64_t ns,
          uint32_t best, uint64_t most)
{
    bool own = w->facts[strand].own;

    if (best == 0 || by != BY_WAIT || own == w->facts[best].own)
        return ns > most;
    return own ? ns > most / 10 * 9 : ns / 10 * 9 > most;
}

static bool
has_been(const walk *w, uint32_t strand)
{
    for (uint32_t k = 0; k < w->hops; k++) {
        if (w->been[k] == strand)
            return true;
    }
    return false;
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
longest_meanwhile(walk *w, measure by, uint32_t wait, uint64_t *longest)
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
        if (counts(w, row->node, by))
            w->beside[w->facts[row->node].strand] +=
                waited_between(w, wait, row->from_ns, row->to_ns);
    }
    *longest = 0;
    for (uint32_t i = w->own; i < o->stretch_count; i++) {
        uint32_t strand = w->facts[o->stretches[i].node].strand;
        if (strand != 0 && w->beside[strand] > 0 && strand != best &&
            !has_been(w, strand) &&
            is_rather(w, by, strand, w->beside[strand], best, *longest)) {
            best = strand;
            *longest = w->beside[strand];
        }
    }
    return best;
}

/* The longest strand below `i`, however deep it was begun, where nothing tells
 * the order of time. */
static uint32_t
longest_below(const walk *w, measure by, uint32_t i, uint64_t *longest)
{
    uint32_t best = 0, end = i + w->o->nodes[i].size;

    *longest = 0;
    for (uint32_t c = i + 1; c < end; c++) {
        uint64_t ns = sl_outline_is_strand(w->o, c) ? weigh(w, by, c) : 0;
        if (ns > 0 && !has_been(w, c) &&
            is_rather(w, by, c, ns, best, *longest)) {
            best = c;
            *longest = ns;
        }
    }
    return best;
}

/* Whether the node is a wait for the end of a thread, say, or of a job. Whoever
 * is woken then waits once more, for the GIL that the job has or for a CPU, and
 * often for longer: ThreadPoolExecutor.submit for the thread to have begun. */
static bool
waits_for_lock(const sl_outline *o, uint32_t i)
{
    static const sl_outline_named known[] = {
        { "threading.py", "Condition.wait" },
        { "threading.py", "Thread.join" },
        { "threading.py", "Thread._wait_for_tstate_lock" },
    };
    uint64_t half = o->nodes[i].total_ns / 2;
    uint64_t lock = sl_outline_counted(o, SL_METRIC_LOCK, i);
    bool waiter = lock > 0;

    if (lock > half)
        return true;
    for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++)
        waiter |= sl_outline_function_is(sl_outline_function(o, i),
                                         known[k].file, known[k].name);
    if (!waiter)
        return false;
    uint64_t starved = sl_outline_counted(o, SL_METRIC_RUN_QUEUE, i);
    for (uint32_t k = sl_outline_lines_of(o, i);
         k < o->line_count && o->lines[k].node == i; k++)
        starved += o->lines[k].gil_ns;
    return lock + starved > half;
}

/* Whether the function waits for what another task does, whoever calls it. */
static bool
waits_for_task(const sl_function *f)
{
    static const sl_outline_named known[] = {
        { "asyncio/locks.py", "Event.wait" },
        { "asyncio/locks.py", "Condition.wait" },
        { "asyncio/queues.py", "Queue.get" },
        { "asyncio/queues.py", "Queue.join" },
        { "asyncio/tasks.py", "_wait" },
        { "asyncio/tasks.py", "wait_for" },
        { "asyncio/taskgroups.py", "TaskGroup.__aexit__" },
        { "asyncio/taskgroups.py", "TaskGroup._aexit" },
    };

    return sl_outline_function_is_any(f, known,
                                      sizeof(known) / sizeof(*known));
}

/* The task or thread that `i` awaited in its child `wait`, by one measure: it
 * took so long, and there is one way into it. 0: there is none. */
static uint32_t
awaited_by(walk *w, measure by, uint32_t i, uint32_t wait, uint64_t least)
{
    const sl_outline *o = w->o;
    uint64_t ns = 0;
    uint32_t strand = 0;

    if (w->own < o->stretch_count)
        strand = longest_meanwhile(w, by, wait, &ns);
    /* What events told has no order in time: there, of the jobs handed on, the
     * longest may hang elsewhere than where it was waited for. */
    if (strand == 0 || (ns < least && sl_outline_is_exact(o)))
        strand = longest_below(w, by, i, &ns);
    bool nameless = waits_for_lock(o, wait) ||
                    waits_for_task(sl_outline_function(o, i)) ||
                    sl_outline_function(o, i)->origin == SL_ORIGIN_PROJECT;
    if ((strand == 0 || ns < least) && sl_outline_is_exact(o) && nameless) {
        uint32_t other = longest_below(w, by, 0, &ns);
        strand = other != w->facts[wait].strand ? other : 0;
    }
    return strand != 0 && ns >= least && worth(w, by, strand) != 0 ? strand : 0;
}

/* The request's own task that held the event loop while the request waited for
 * it in the child of `i`: its work took so long, and there is one way into it.
 * 0: another request did, or who is not known. */
static uint32_t
held_by_own(const walk *w, uint32_t i, uint64_t least)
{
    const sl_outline *o = w->o;
    const sl_meta *id = sl_outline_meta(o, "id");
    const sl_meta *holder = sl_outline_meta(o, "held_id");
    uint32_t best = 0;
    uint64_t most = 0;

    if (id == NULL || holder == NULL || id->text == NULL ||
        holder->text == NULL || id->text_len != holder->text_len ||
        memcmp(id->text, holder->text, id->text_len) != 0)
        return 0;
    for (uint32_t s = 1; s < o->count; s++) {
        uint64_t work = w->facts[s].work;
        if (sl_outline_pseudo(o, s) != SL_PSEUDO_TASK || has_been(w, s))
            continue;
        /* Of equals, the one that hangs where it was waited for. */
        if (work > most || (work == most && o->nodes[s].parent == i)) {
            most = work;
            best = s;
        }
    }
    return best != 0 && most >= least && worth(w, BY_WORK, best) != 0 ? best
                                                                      : 0;
}

/* Whether most of a strand's work was to sleep, holding its thread. */
static bool
sleeps(const walk *w, uint32_t strand)
{
    const sl_outline *o = w->o;
    uint64_t slept = 0;

    for (uint32_t i = strand; i < strand + o->nodes[strand].size; i++) {
        if (w->facts[i].strand == strand &&
            sl_outline_is_sleep(sl_outline_function(o, i), false))
            slept += o->nodes[i].self_ns;
    }
    return slept > w->facts[strand].work / 2;
}

/* Where the path goes on after a wait. Work that filled it is what was waited
 * for, also where tasks of a library pass it on; else the wait of another. */
static bool
awaited(walk *w, uint32_t i, uint32_t wait, uint32_t *strand, measure *by)
{
    uint64_t ns = w->o->nodes[wait].total_ns;

    *strand = 0;
    if (w->hops == SL_HOTPATH_HOPS || w->asked++ >= SL_HOTPATH_ASKS)
        return true;
    if (!walk_prepare(w))
        return false;
    bool loop = sl_outline_pseudo(w->o, wait) == SL_PSEUDO_LOOP;
    *by = BY_WORK;
    *strand = loop ? held_by_own(w, i, ns / 2)
                   : awaited_by(w, BY_WORK, i, wait, ns / 2);
    if (*strand == 0 && !loop) {
        *by = BY_WAIT;
        *strand = awaited_by(w, BY_WAIT, i, wait, ns / 2);
    } else if (!loop && sleeps(w, *strand)) {
        /* A sleep is no work: of two waits, the one that ended last. Who only
         * passes it on waited about as long. */
        uint32_t other = awaited_by(w, BY_WAIT, i, wait, ns / 2);
        if (other != 0 &&
            w->facts[other].wait > w->facts[*strand].wait / 10 * 11) {
            *by = BY_WAIT;
            *strand = other;
        }
    }
    if (*strand != 0)
        w->been[w->hops++] = *strand;
    return true;
}

/* ---- the path ---- */

static bool
path_add(sl_hotpath *path, uint32_t node, uint64_t ns, uint32_t instead)
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
    path->steps[path->count++] = (sl_hotpath_step){ node, ns, instead };
    return true;
}

sl_status
sl_hotpath_find(const sl_outline *o, uint32_t from, sl_hotpath *out)
{
    walk w = { .o = o };
    uint64_t ns = weigh(&w, BY_TIME, from);
    measure by = BY_TIME;
    bool fine = true;

    *out = (sl_hotpath){ 0 };
    for (uint32_t i = from, next; fine && (next = worth(&w, by, i)) != 0;
         i = next) {
        uint64_t total = weigh(&w, by, next);
        uint64_t before = total < ns ? total : ns;
        uint32_t strand = 0, instead = 0;
        measure after = by;
        if (sl_outline_pseudo(o, next) == SL_PSEUDO_AWAIT ||
            sl_outline_pseudo(o, next) == SL_PSEUDO_LOOP ||
            waits_for_lock(o, next))
            fine = awaited(&w, i, next, &strand, &after);
        if (strand != 0) {
            /* It stands for what was awaited meanwhile. */
            by = after;
            if (weigh(&w, by, strand) < total)
                total = weigh(&w, by, strand);
            instead = next;
            next = strand;
        }
        ns = total < ns ? total : ns;
        /* Own code that waits itself is the place where it was waited. */
        if (instead != 0 &&
            sl_outline_function(o, instead)->origin == SL_ORIGIN_PROJECT)
            fine = fine && path_add(out, instead, before, 0);
        fine = fine && path_add(out, next, ns, instead);
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
