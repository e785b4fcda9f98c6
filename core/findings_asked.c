/* How a request asks others. */
#include "findings_asked.h"

#include <stdlib.h>
#include <string.h>

#define NONE SL_FINDING_NONE

/* A template that makes fewer queries, in less than a tenth, is as usual. */
#define RENDERED_LEAST 5u
/* The same query so often from one place is told as n+1. */
#define ALIKE_LEAST 10u

/* ---- queries in templates ---- */

static void
add_rendered(sl_findings_work *w)
{
    const sl_outline *o = w->o;
    sl_finding f = { .rule = SL_FINDING_TEMPLATE_QUERY,
                     .node = NONE,
                     .own = NONE,
                     .extra = true,
                     .measured = true,
                     .score = 2 };
    uint32_t most = NONE;

    for (uint32_t i = 0; i < o->span_count; i++) {
        const sl_outline_span *span = &o->spans[i];
        if (!sl_findings_is_kind(span, "db") ||
            (span->where[0] == 0 && !w->places[span->node].rendering))
            continue;
        f.ns += span->outer_ns;
        f.count += span->count;
        if (most == NONE || span->outer_ns > o->spans[most].outer_ns)
            most = i;
    }
    if (most == NONE ||
        (f.count / w->requests < RENDERED_LEAST && f.ns < w->wall / 10) ||
        f.ns < w->wall / 50)
        return;
    sl_findings_locate_span(w, most, &f);
    sl_findings_add(w, f);
}

/* ---- the same query, more than once ---- */

static int
by_text(const void *a, const void *b)
{
    const sl_outline_span *x = *(const sl_outline_span *const *)a;
    const sl_outline_span *y = *(const sl_outline_span *const *)b;
    int order = strcmp(x->text, y->text);
    return order != 0 ? order : x < y ? -1 : x > y;
}

/* Asks for something: not a statement that changes or that frames others. */
static bool
reads(const sl_outline_span *span)
{
    return strncmp(span->text, "SELECT ", 7) == 0 ||
           strncmp(span->text, "select ", 7) == 0 ||
           strncmp(span->text, "WITH ", 5) == 0;
}

static sl_status
add_same(sl_findings_work *w)
{
    const sl_outline *o = w->o;
    sl_finding best = { .node = NONE };
    const sl_outline_span **rows =
        malloc(((size_t)o->span_count + 1) * sizeof(*rows));
    uint32_t count = 0;

    if (rows == NULL)
        return SL_ENOMEM;
    for (uint32_t i = 0; i < o->span_count; i++) {
        if (sl_findings_is_kind(&o->spans[i], "db") && reads(&o->spans[i]))
            rows[count++] = &o->spans[i];
    }
    if (count > 0)
        qsort(rows, count, sizeof(*rows), by_text);
    for (uint32_t i = 0, end; i < count; i = end) {
        sl_finding f = { .rule = SL_FINDING_SAME_QUERY,
                         .node = NONE,
                         .extra = true,
                         .measured = true,
                         .score = 2 };
        uint32_t most = i;
        for (end = i;
             end < count && strcmp(rows[i]->text, rows[end]->text) == 0;
             end++) {
            f.ns += rows[end]->outer_ns;
            f.count += rows[end]->count;
            if (rows[end]->outer_ns > rows[most]->outer_ns)
                most = end;
        }
        f.places = end - i;
        if (f.count < 2 * w->requests || f.ns < w->wall / 20 ||
            f.count / w->requests >= ALIKE_LEAST || f.ns <= best.ns)
            continue;
        best = f;
        sl_findings_locate_span(w, (uint32_t)(rows[most] - o->spans), &best);
    }
    free(rows);
    if (best.ns > 0)
        sl_findings_add(w, best);
    return SL_OK;
}

/* ---- one after the other ---- */

/* Whether there is anything to add up: an await, or a request to a service. */
static bool
waits_for_others(const sl_findings_work *w)
{
    bool asks = sl_findings_has(w, SL_PSEUDO_AWAIT);

    for (uint32_t i = 0; i < w->o->span_count; i++)
        asks = asks || sl_findings_is_kind(&w->o->spans[i], "http");
    return asks;
}

/* By node, of its subtree in its strand: time awaiting, in requests to services
 * and in queries. */
typedef struct {
    uint64_t awaiting, services, queries;
} waited;

static waited *
find_waited(const sl_findings_work *w)
{
    const sl_outline *o = w->o;
    waited *sums = calloc(o->count, sizeof(*sums));

    if (sums == NULL)
        return NULL;
    for (uint32_t i = 0; i < o->span_count; i++) {
        const sl_outline_span *span = &o->spans[i];
        if (sl_findings_is_kind(span, "http"))
            sums[span->node].services += span->outer_ns;
        else if (sl_findings_is_kind(span, "db"))
            sums[span->node].queries += span->outer_ns;
    }
    for (uint32_t i = o->count; i-- > 1;) { /* children come after parents */
        if (sl_outline_pseudo(o, i) == SL_PSEUDO_AWAIT)
            sums[i].awaiting += o->nodes[i].self_ns;
        if (sl_outline_is_strand(o, i))
            continue;
        waited *parent = &sums[o->nodes[i].parent];
        parent->awaiting += sums[i].awaiting;
        parent->services += sums[i].services;
        parent->queries += sums[i].queries;
    }
    return sums;
}

/* What was spent waiting for others: awaiting, or in requests to services.
 * Queries are not: those of one connection can only come one after the other.
 */
static uint64_t
for_others(const waited *of)
{
    uint64_t ns = of->services > of->awaiting ? of->services : of->awaiting;
    return of->queries > ns / 2 ? 0 : ns;
}

/* What a node took; of too few samples, what was measured of it. */
static uint64_t
time_of(const sl_findings_work *w, const waited *sums, uint32_t i)
{
    uint64_t ns = sums[i].services > sums[i].awaiting ? sums[i].services
                                                      : sums[i].awaiting;

    return w->few ? ns + sums[i].queries : w->o->nodes[i].total_ns;
}

/* Sleeps on its own, or hands the request on: what it waits for is not asked
 * for here. */
static bool
is_no_asking(const sl_function *f)
{
    static const char *const ends[] = { "call_next", "get_response", "__call__",
                                        "sleep", "app" };

    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        size_t len = strlen(ends[i]);
        if (f->name_len >= len &&
            memcmp(f->name + f->name_len - len, ends[i], len) == 0)
            return true;
    }
    return f->kind == SL_KIND_PSEUDO;
}

/* A function of own code that waits for several, at several lines. */
static sl_status
add_sequence(sl_findings_work *w)
{
    const sl_outline *o = w->o;
    waited *sums = NULL;
    uint64_t least = w->wall / 10;
    sl_finding best = {
        .rule = SL_FINDING_SEQUENTIAL, .node = NONE, .extra = true, .score = 2
    };

    if (!waits_for_others(w))
        return SL_OK;
    sums = find_waited(w);
    if (sums == NULL)
        return SL_ENOMEM;
    for (uint32_t i = 1; i < o->count; i++) {
        if (time_of(w, sums, i) < w->wall / 10 * 3 ||
            sl_outline_function(o, i)->origin != SL_ORIGIN_PROJECT)
            continue;
        uint32_t end = i + o->nodes[i].size, most = NONE, line = 0, asked = 0;
        uint64_t ns = 0, longest = 0;
        for (uint32_t c = i + 1; c < end; c += o->nodes[c].size) {
            uint64_t took = time_of(w, sums, c);
            if (took < least || sl_outline_is_strand(o, c) ||
                is_no_asking(sl_outline_function(o, c)))
                continue;
            uint64_t waits = for_others(&sums[c]);
            if (waits < least || waits < took / 5 * 4)
                continue;
            asked += asked == 0 || o->nodes[c].line != line;
            line = o->nodes[c].line;
            ns += waits;
            if (most == NONE || took > longest) {
                longest = took;
                most = c;
            }
        }
        if (asked < 2 || ns <= best.ns)
            continue;
        best.ns = ns;
        best.places = asked;
        best.node = most;
        best.own = i;
        best.line = o->nodes[most].line;
    }
    free(sums);
    if (best.ns > 0)
        sl_findings_add(w, best);
    return SL_OK;
}

/* ---- a pool that is full ---- */

static int
by_begin(const void *a, const void *b)
{
    const sl_outline_stretch *x = a, *y = b;
    return x->from_ns != y->from_ns ? (x->from_ns < y->from_ns ? -1 : 1) : 0;
}

/* How long at least one of the jobs that node `i` is of waited; jobs wait at
 * once, and their sum is nobody's. Where nothing tells the order of time, each
 * on average. false: no memory. */
static bool
queued_ns(const sl_findings_work *w, uint32_t i, uint64_t *ns)
{
    const sl_outline *o = w->o;
    uint32_t count = 0, k = 0;
    uint64_t sum = 0, until = 0;

    for (uint32_t s = 0; s < o->stretch_count; s++)
        count += o->stretches[s].node == i;
    if (count < 2)
        return true;
    sl_outline_stretch *rows = malloc(count * sizeof(*rows));
    if (rows == NULL)
        return false;
    for (uint32_t s = 0; s < o->stretch_count; s++) {
        if (o->stretches[s].node == i)
            rows[k++] = o->stretches[s];
    }
    qsort(rows, count, sizeof(*rows), by_begin);
    for (k = 0; k < count; k++) {
        uint64_t from = rows[k].from_ns > until ? rows[k].from_ns : until;
        sum += rows[k].to_ns > from ? rows[k].to_ns - from : 0;
        until = rows[k].to_ns > until ? rows[k].to_ns : until;
    }
    free(rows);
    *ns = sum > *ns ? sum : *ns;
    return true;
}

static bool
add_queued(sl_findings_work *w)
{
    const sl_outline *o = w->o;
    sl_finding f = { .rule = SL_FINDING_QUEUED, .node = NONE, .own = NONE };

    for (uint32_t i = 1; sl_findings_has(w, SL_PSEUDO_QUEUED) && i < o->count;
         i++) {
        if (sl_outline_pseudo(o, i) != SL_PSEUDO_QUEUED)
            continue;
        uint64_t jobs = o->nodes[i].calls / w->requests;
        uint64_t ns = o->nodes[i].self_ns / (jobs > 1 ? jobs : 1);
        /* Of several at once, the longest. */
        if (ns > f.ns) {
            f.ns = ns;
            f.node = i;
            f.count = o->nodes[i].calls;
        }
    }
    if (f.node == NONE)
        return true;
    if (f.count > 1 && !queued_ns(w, f.node, &f.ns))
        return false;
    if (f.ns < w->wall / 5)
        return true;
    /* On a machine full of others a thread begins late, too: that is told, and
     * what it did comes first. */
    f.score = f.ns >= w->wall / 5 * 4 ? f.ns + f.ns / 3 : 2;
    f.extra = f.score == 2;
    sl_findings_locate(w, f.node, &f);
    sl_findings_add(w, f);
    return true;
}

sl_status
sl_findings_asked(sl_findings_work *w)
{
    sl_status status = add_same(w);

    add_rendered(w);
    if (status == SL_OK)
        status = add_sequence(w);
    if (status == SL_OK && !add_queued(w))
        status = SL_ENOMEM;
    return status;
}
