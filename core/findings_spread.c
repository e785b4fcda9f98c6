/* Time by function of own code, and by what that called. */
#include "findings_spread.h"

#include "slowlens/alloc.h"

#include <stdlib.h>
#include <string.h>

#define NONE SL_FINDING_NONE
/* A caller with less than this part of the time is not counted as one. */
#define CALLER_PART 50u
/* How far up a function is looked for above itself. */
#define RECURSION_MAX 16u

typedef struct {
    uint64_t ns;
    uint32_t node; /* with most of it: only what entry_of fills */
} sum;

typedef struct {
    uint32_t own;   /* node of the function of own code that it is charged to */
    uint32_t entry; /* node of what that called to get here; NONE: nothing */
} charge;

/* What is asked of the function of each node, as bits of one byte. */
enum {
    NOBODYS = 1, /* nobody's work, or not the request's */
    PSEUDO = 2,  /* no function at all */
    PART = 4     /* runs in the middle of another one */
};

typedef struct {
    const sl_findings_work *w;
    uint32_t strand, functions;
    charge *charges;  /* by node; own NONE: it is nobody's */
    uint64_t *of_own; /* by node: what is charged to it as own */
    uint64_t *of_entry;
    sum *own, *entry; /* by function */
    uint8_t *traits;  /* by function */
} spread;

static charge
charge_of(const spread *s, uint32_t i)
{
    const sl_findings_work *w = s->w;
    const sl_outline *o = w->o;
    charge at = { w->places[i].own, w->places[i].entry };

    if (at.entry != NONE &&
        (s->traits[o->nodes[at.entry].function] & PSEUDO) != 0)
        at.entry = NONE;
    while (at.own != NONE && at.own != 0 &&
           (s->traits[o->nodes[at.own].function] & PART) != 0) {
        const sl_function *part = sl_outline_function(o, at.own);
        uint32_t up = w->places[o->nodes[at.own].parent].own;
        const sl_function *whole =
            up == NONE ? NULL : sl_outline_function(o, up);
        if (whole == NULL || whole->name_len >= part->name_len ||
            memcmp(whole->name, part->name, whole->name_len) != 0)
            break;
        at = (charge){ up, NONE };
    }
    return at;
}

/* Nobody's work, or not the request's: also a thread before and after what it
 * was there for. */
static bool
is_nobodys(sl_pseudo pseudo)
{
    return pseudo == SL_PSEUDO_GC || pseudo == SL_PSEUDO_LOOP ||
           pseudo == SL_PSEUDO_IDLE || pseudo == SL_PSEUDO_OWN_COST ||
           pseudo == SL_PSEUDO_THREAD || pseudo == SL_PSEUDO_TASK ||
           pseudo == SL_PSEUDO_QUEUED;
}

static void
find_traits(spread *s)
{
    const sl_outline *o = s->w->o;

    for (uint32_t f = 0; f < s->functions; f++) {
        const sl_function *one = &o->functions[f];
        s->traits[f] =
            (uint8_t)((is_nobodys((sl_pseudo)o->pseudo[f]) ? NOBODYS : 0) |
                      (one->kind == SL_KIND_PSEUDO ? PSEUDO : 0) |
                      (sl_findings_whole_name(one) < one->name_len ? PART : 0));
    }
}

static void
add_up(spread *s)
{
    const sl_outline_node *nodes = s->w->o->nodes;

    for (uint32_t i = 0; i < s->w->o->count; i++) {
        charge at = { NONE, NONE };
        if (s->w->places[i].strand == s->strand &&
            (s->traits[nodes[i].function] & NOBODYS) == 0)
            at = charge_of(s, i);
        s->charges[i] = at;
        if (at.own == NONE)
            continue;
        uint64_t ns = nodes[i].self_ns;
        s->own[nodes[at.own].function].ns += ns;
        s->of_own[at.own] += ns;
        if (at.entry == NONE)
            continue;
        s->entry[nodes[at.entry].function].ns += ns;
        s->of_entry[at.entry] += ns;
    }
}

/* The node of a function that most is charged to, the first of equals; NONE:
 * nothing is. */
static uint32_t
most_charged(const spread *s, const uint64_t *charged, uint32_t function)
{
    const sl_outline_node *nodes = s->w->o->nodes;
    uint32_t best = NONE;

    for (uint32_t i = 0; i < s->w->o->count; i++) {
        if (nodes[i].function == function && charged[i] > 0 &&
            (best == NONE || charged[i] > charged[best]))
            best = i;
    }
    return best;
}

static uint32_t
largest(const sum *sums, uint32_t count)
{
    uint32_t best = 0;

    for (uint32_t f = 1; f < count; f++) {
        if (sums[f].ns > sums[best].ns)
            best = f;
    }
    return best;
}

/* The function that `own` called for two thirds of its time, if one was, and
 * its time: of a view that sleeps for half of it and computes for the rest,
 * neither is what took all of that. */
static uint32_t
entry_of(spread *s, uint32_t own, uint64_t *ns)
{
    const sl_outline *o = s->w->o;
    uint64_t least = s->own[own].ns / 3 * 2;

    memset(s->entry, 0, s->functions * sizeof(*s->entry));
    for (uint32_t i = 0; i < o->count; i++) {
        const charge *at = &s->charges[i];
        if (at->own == NONE || at->entry == NONE ||
            o->nodes[at->own].function != own)
            continue;
        sum *entry = &s->entry[o->nodes[at->entry].function];
        entry->ns += o->nodes[i].self_ns;
        if (entry->ns == o->nodes[i].self_ns ||
            s->of_entry[at->entry] > s->of_entry[entry->node])
            entry->node = at->entry;
    }
    uint32_t best = largest(s->entry, s->functions);
    *ns = s->entry[best].ns;
    return *ns > least ? s->entry[best].node : NONE;
}

/* ---- who called it ---- */

typedef struct {
    uint32_t function, line;
} caller;

static int
by_caller(const void *a, const void *b)
{
    const caller *x = a, *y = b;
    if (x->function != y->function)
        return x->function < y->function ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* Where in own code node `i` was called. */
static caller
caller_of(const sl_findings_work *w, uint32_t i)
{
    const sl_outline *o = w->o;
    const sl_findings_place *at = &w->places[o->nodes[i].parent];

    return (caller){ at->own == NONE ? NONE : o->nodes[at->own].function,
                     at->from == NONE ? o->nodes[i].line
                                      : o->nodes[at->from].line };
}

static bool
is_below_itself(const sl_findings_work *w, uint32_t i)
{
    const sl_outline *o = w->o;
    uint32_t up = i;

    for (uint32_t k = 0; k < RECURSION_MAX && up != 0; k++) {
        up = w->places[o->nodes[up].parent].own;
        if (up == NONE)
            return false;
        if (o->nodes[up].function == o->nodes[i].function)
            return true;
    }
    return false;
}

/* Counts the places and the calls of a function: as one of own code, or as
 * what such a one called. */
static sl_status
find_callers(const spread *s, uint32_t function, bool as_entry, sl_finding *f)
{
    const sl_outline *o = s->w->o;
    const uint64_t *charged = as_entry ? s->of_entry : s->of_own;
    uint64_t least = f->ns / CALLER_PART;
    uint32_t count = 0;
    caller *rows = malloc((size_t)o->count * sizeof(*rows));

    if (rows == NULL)
        return SL_ENOMEM;
    for (uint32_t i = 1; i < o->count; i++) {
        if (o->nodes[i].function != function ||
            s->w->places[i].strand != s->strand ||
            (as_entry && charged[i] == 0))
            continue;
        f->count += o->nodes[i].calls;
        if (!as_entry && is_below_itself(s->w, i))
            f->recursive = true;
        else if (o->nodes[i].total_ns > 0 && o->nodes[i].total_ns >= least)
            rows[count++] = caller_of(s->w, i);
    }
    if (count > 0)
        qsort(rows, count, sizeof(*rows), by_caller);
    for (uint32_t i = 0; i < count; i++)
        f->places += i == 0 || by_caller(&rows[i - 1], &rows[i]) != 0;
    free(rows);
    if (!s->w->exact || f->recursive)
        f->count = 0;
    return SL_OK;
}

/* Time charged to the finding that another finding explains better. */
static uint64_t
explained(const spread *s, uint32_t function, bool as_entry)
{
    const sl_outline *o = s->w->o;
    uint64_t ns = 0;

#define IS_ITS(i)                                                              \
    ((as_entry ? s->charges[i].entry : s->charges[i].own) != NONE &&           \
     o->nodes[as_entry ? s->charges[i].entry : s->charges[i].own].function ==  \
         function)
    for (uint32_t i = 0; i < o->counter_count; i++) {
        const sl_outline_counter *row = &o->counters[i];
        if (row->metric == SL_METRIC_RUN_QUEUE && IS_ITS(row->node))
            ns += row->value;
    }
    for (uint32_t i = 0; i < o->line_count; i++)
        ns += IS_ITS(o->lines[i].node) ? o->lines[i].gil_ns : 0;
    for (uint32_t i = 0; i < o->span_count; i++) {
        const sl_outline_span *span = &o->spans[i];
        if (IS_ITS(span->node) &&
            s->w->places[span->node].layer != SL_LAYER_ORM &&
            sl_findings_is_asked(span))
            ns += span->outer_ns;
    }
    bool layers = s->w->layers != 1u << SL_LAYER_NONE;
    for (uint32_t i = 0; layers && i < o->count; i++) {
        if (s->w->places[i].layer != SL_LAYER_NONE && IS_ITS(i))
            ns += o->nodes[i].self_ns;
    }
#undef IS_ITS
    return ns;
}

static sl_status
choose(spread *s, sl_finding *out)
{
    const sl_outline *o = s->w->o;
    uint32_t own = largest(s->own, s->functions);
    uint32_t entry = largest(s->entry, s->functions);
    /* What many call is the answer where it is much more than any of them. */
    bool scattered = s->entry[entry].ns / 4 * 3 > s->own[own].ns;
    uint32_t function = scattered ? entry : own;

    *out = (sl_finding){ .rule = SL_FINDING_HOT,
                         .ns = scattered ? s->entry[entry].ns : s->own[own].ns,
                         .node = NONE,
                         .own = NONE };
    if (out->ns == 0)
        return SL_OK;
    uint64_t other = explained(s, function, scattered);
    out->score = out->ns > other ? out->ns - other : 0;
    out->work = out->ns;
    out->scattered = scattered;
    out->node = most_charged(s, scattered ? s->of_entry : s->of_own, function);
    sl_status status = find_callers(s, function, scattered, out);
    uint64_t ns = out->ns;
    uint32_t called = scattered ? out->node : entry_of(s, own, &ns);
    if (called != NONE) {
        out->ns = out->work = ns;
        out->score = out->score < ns ? out->score : ns;
        out->itself = false;
        out->node = called;
        out->own = s->charges[called].own;
        if (out->own == NONE)
            out->own = s->w->places[called].own;
        const sl_findings_place *at = &s->w->places[called];
        out->beside = out->own != NONE && at->own == out->own &&
                      at->strand != s->w->places[out->own].strand;
        out->line =
            out->beside ? o->nodes[at->from].line : o->nodes[called].line;
    } else {
        uint64_t within = 0;
        for (uint32_t f = 0; f < s->functions; f++)
            within += s->entry[f].ns;
        out->itself = within <= out->ns / 2;
        out->own = out->node;
    }
    if (out->line == 0)
        out->line = sl_findings_line(o, out->own);
    return status;
}

sl_status
sl_findings_spread(const sl_findings_work *w, uint32_t strand, sl_finding *out)
{
    const sl_outline *o = w->o;
    spread s = { .w = w, .strand = strand, .functions = w->o->function_count };
    sl_status status = SL_ENOMEM;

    *out = (sl_finding){ .rule = SL_FINDING_HOT, .node = NONE, .own = NONE };
    size_t charges = o->count * sizeof(*s.charges);
    size_t times = (size_t)o->count * 2 * sizeof(*s.of_own);
    s.charges = sl_alloc_filled(malloc(charges), charges);
    s.of_own = sl_alloc_filled(calloc(1, times), times);
    s.own = calloc((size_t)s.functions * 2, sizeof(*s.own));
    s.traits = malloc(s.functions);
    if (s.charges != NULL && s.of_own != NULL && s.own != NULL &&
        s.traits != NULL) {
        s.of_entry = s.of_own + o->count;
        s.entry = s.own + s.functions;
        find_traits(&s);
        add_up(&s);
        status = choose(&s, out);
    }
    free(s.charges);
    free(s.of_own);
    free(s.own);
    free(s.traits);
    return status;
}
