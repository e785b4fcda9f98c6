/* Layers: what the request asked others for, by its spans; where a profile has
 * none, by the names of known functions. */
#include "findings_layers.h"

#include <stdlib.h>
#include <string.h>

#define NONE SL_FINDING_NONE

/* The same query so many times from one place, in one request, is one too many
 * each time. */
#define ALIKE_LEAST 10u
#define HTTP_LEAST  5u
/* So long is slow, where it is a fifth of the request. */
#define SLOW_LEAST_NS 100000000u
/* Lines of one function that are looked at for what they fetch. */
#define LINES_MAX 32u

typedef struct {
    uint32_t function, line, node;
    uint64_t ns, calls;
} share;

static int
by_line(const void *a, const void *b)
{
    const share *x = a, *y = b;
    if (x->function != y->function)
        return x->function < y->function ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* Number + 1 of the span of a kind that took most; 0: there is none. */
static uint32_t
heaviest(const sl_outline *o, const char *kind)
{
    uint32_t best = 0;

    for (uint32_t i = 0; i < o->span_count; i++) {
        if (sl_findings_is_kind(&o->spans[i], kind) &&
            (best == 0 || o->spans[i].total_ns > o->spans[best - 1].total_ns))
            best = i + 1;
    }
    return best;
}

/* What a layer took, and from which line of own code most. */
static sl_status
by_names(sl_findings_work *w, int layer, sl_finding_rule rule)
{
    const sl_outline *o = w->o;
    sl_finding f = { .rule = rule, .node = NONE, .own = NONE };
    uint32_t count = 0;

    for (uint32_t i = 1; (w->layers >> layer & 1) != 0 && i < o->count; i++)
        count += w->places[i].layer == layer;
    share *rows = count == 0 ? NULL : malloc(count * sizeof(*rows));
    if (rows == NULL)
        return count == 0 ? SL_OK : SL_ENOMEM;
    count = 0;
    for (uint32_t i = 1; i < o->count; i++) {
        const sl_findings_place *at = &w->places[i];
        if (at->layer != layer || sl_outline_pseudo(o, i) == SL_PSEUDO_GC ||
            sl_outline_pseudo(o, i) == SL_PSEUDO_LOOP)
            continue;
        bool begins = w->places[o->nodes[i].parent].layer != layer;
        share one = { NONE, 0, i, o->nodes[i].self_ns,
                      begins ? o->nodes[i].calls : 0 };
        if (at->own != NONE) {
            one.function = o->nodes[at->own].function;
            one.line = at->from != NONE ? o->nodes[at->from].line : 0;
        }
        f.ns += one.ns;
        f.count += one.calls;
        rows[count++] = one;
    }
    if (count > 0)
        qsort(rows, count, sizeof(*rows), by_line);
    uint64_t most = 0, sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum = i > 0 && by_line(&rows[i - 1], &rows[i]) == 0 ? sum : 0;
        sum += rows[i].ns;
        if (sum >= most && (rows[i].function != NONE || most == 0)) {
            most = sum;
            f.node = rows[i].node;
        }
    }
    free(rows);
    if (!w->exact)
        f.count = 0;
    bool worth = f.ns >= w->wall / 5 ||
                 (layer == SL_LAYER_DATABASE && f.count / w->requests >= 30);
    if (!worth || f.ns == 0)
        return SL_OK;
    f.score = f.ns;
    if (f.node != NONE)
        sl_findings_locate(w, f.node, &f);
    if (f.node != NONE && f.own == NONE) {
        f.by = f.node;
        while (f.by != 0 && w->places[f.by].layer == layer)
            f.by = o->nodes[f.by].parent;
    }
    if (layer == SL_LAYER_TEMPLATE)
        f.span = heaviest(w->o, "template");
    sl_findings_add(w, f);
    return SL_OK;
}

/* ---- by spans ---- */

/* Spans that are told as one: alike, and asked for at one place. */
typedef struct {
    uint32_t span;
    uint32_t function, line; /* of own code */
} asked;

typedef struct {
    const sl_outline *o;
    asked one;
} ordered;

static int
by_text(const void *a, const void *b)
{
    const ordered *x = a, *y = b;
    const sl_outline_span *s = &x->o->spans[x->one.span];
    const sl_outline_span *t = &y->o->spans[y->one.span];
    int texts = strcmp(s->text, t->text);

    if (texts != 0)
        return texts;
    if (x->one.function != y->one.function)
        return x->one.function < y->one.function ? -1 : 1;
    return x->one.line < y->one.line ? -1 : x->one.line > y->one.line;
}

/* All spans of a kind by text and place; free() it. *count 0 and NULL: none. */
static ordered *
order_spans(const sl_findings_work *w, const char *kind, uint32_t *count)
{
    const sl_outline *o = w->o;

    *count = 0;
    for (uint32_t i = 0; i < o->span_count; i++)
        *count += sl_findings_is_kind(&o->spans[i], kind);
    ordered *rows = *count == 0 ? NULL : malloc(*count * sizeof(*rows));
    uint32_t at = 0;
    for (uint32_t i = 0; rows != NULL && i < o->span_count; i++) {
        if (!sl_findings_is_kind(&o->spans[i], kind))
            continue;
        sl_finding f = { .node = NONE };
        sl_findings_locate_span(w, i, &f);
        rows[at++] = (ordered){
            o, { i, f.own != NONE ? o->nodes[f.own].function : NONE, f.line }
        };
    }
    if (rows != NULL)
        qsort(rows, *count, sizeof(*rows), by_text);
    return rows;
}

static void
add_slow_query(sl_findings_work *w)
{
    const sl_outline *o = w->o;
    uint32_t slow = NONE;

    for (uint32_t i = 0; i < o->span_count; i++) {
        const sl_outline_span *span = &o->spans[i];
        if (sl_findings_is_kind(span, "db") &&
            span->longest_ns >= SLOW_LEAST_NS &&
            span->longest_ns >= w->wall / w->requests / 5 &&
            (slow == NONE || span->longest_ns > o->spans[slow].longest_ns))
            slow = i;
    }
    if (slow == NONE)
        return;
    sl_finding f = { .rule = SL_FINDING_SLOW_QUERY,
                     .ns = o->spans[slow].longest_ns,
                     .score = 2,
                     .extra = true,
                     .measured = true };
    sl_findings_locate_span(w, slow, &f);
    sl_findings_add(w, f);
}

/* ---- rows that are fetched later ---- */

/* By function of own code: what its queries took, and the fetching of all. */
typedef struct {
    uint64_t asked, fetched;
} of_function;

/* Of a function that asks for several things (a helper of many): the fetching
 * of one, by what its query took. Without any such time the first has all. */
static uint64_t
fetched_for(of_function *of, uint64_t took)
{
    uint64_t all = of->fetched;

    if (of->asked != 0)
        return (uint64_t)((double)all * (double)took / (double)of->asked);
    of->fetched = 0;
    return all;
}

/* Adds what `from` took to the fetching of the function of own code there. */
static void
add_fetched(const sl_findings_work *w, uint32_t own, uint64_t ns,
            of_function *fetched)
{
    if (own != NONE)
        fetched[w->o->nodes[own].function].fetched += ns;
}

/* Spans `from` to `end` are of one node, of own code: time of the lines that
 * ask, beyond that of the queries. */
static void
add_line(const sl_findings_work *w, uint32_t from, uint32_t end,
         of_function *fetched)
{
    const sl_outline *o = w->o;
    uint32_t lines[LINES_MAX], count = 0, node = o->spans[from].node;
    uint64_t queried = 0, took = 0;

    for (uint32_t i = from; i < end; i++) {
        uint32_t known = 0;
        while (known < count && lines[known] != o->spans[i].line)
            known++;
        if (sl_findings_is_kind(&o->spans[i], "db") && known == count &&
            count < LINES_MAX)
            lines[count++] = o->spans[i].line;
        queried += o->spans[i].outer_ns;
    }
    for (uint32_t i = sl_outline_lines_of(o, node);
         i < o->line_count && o->lines[i].node == node; i++) {
        for (uint32_t k = 0; k < count; k++) {
            if (o->lines[i].line == lines[k])
                took += o->lines[i].wall_ns;
        }
    }
    if (took > queried)
        add_fetched(w, node, took - queried, fetched);
}

/* What fetching took that no span has, by function. It is known by the name of
 * what fetches; in samples, which do not see functions of C, by the line that
 * both asks and fetches. free() it. */
static of_function *
find_fetched(const sl_findings_work *w, const ordered *rows, uint32_t count)
{
    const sl_outline *o = w->o;
    uint32_t functions = 0;

    for (uint32_t i = 0; i < o->count; i++) {
        if (o->nodes[i].function >= functions)
            functions = o->nodes[i].function + 1;
    }
    of_function *fetched = calloc(functions, sizeof(*fetched));
    for (uint32_t i = 0; fetched != NULL && i < count; i++) {
        if (rows[i].one.function != NONE)
            fetched[rows[i].one.function].asked +=
                o->spans[rows[i].one.span].outer_ns;
    }
    for (uint32_t i = 0; fetched != NULL && i < o->count; i++) {
        if (w->places[i].layer == SL_LAYER_FETCH) /* of no ORM */
            add_fetched(w, w->places[i].own, o->nodes[i].self_ns, fetched);
    }
    for (uint32_t i = 0, end; fetched != NULL && i < o->span_count; i = end) {
        for (end = i;
             end < o->span_count && o->spans[end].node == o->spans[i].node;)
            end++;
        if (w->places[o->spans[i].node].own == o->spans[i].node)
            add_line(w, i, end, fetched);
    }
    return fetched;
}

/* By node of an ORM. What it asks for on its way to a query (what its database
 * can do, say) is asked for deeper than the query: of several below one node,
 * the shallowest are what the ORM's work there is for. */
typedef struct {
    uint32_t depth;
    uint32_t
        shallowest; /* depth of a span at or below it; NONE: there is none */
    double asked;   /* by the spans at that depth there */
    double work;    /* of it, and of what is below it without a span */
    uint64_t all, spans; /* where it was entered: its time, and its queries' */
    double weights;      /* there: of its spans */
    double upward; /* what its ORM's work there and above weighs for a span at
                      it, by what that took */
} of_orm;

static void
add_asked(of_orm *to, uint32_t depth, double took)
{
    if (depth < to->shallowest) {
        to->shallowest = depth;
        to->asked = 0;
    }
    if (depth == to->shallowest)
        to->asked += took;
}

/* Of several, all of which may have taken no time at all. */
static double
asked_by(const sl_outline_span *span)
{
    return (double)span->outer_ns + 1e-3;
}

/* How much of its ORM's work is for a span. */
static double
weight_in_orm(const sl_findings_work *w, const of_orm *orm,
              const sl_outline_span *span)
{
    return w->places[span->node].orm == 0
               ? 0
               : orm[span->node].upward * asked_by(span);
}

static of_orm *
find_orm_time(const sl_findings_work *w)
{
    const sl_outline *o = w->o;
    of_orm *orm = calloc(o->count, sizeof(*orm));

    for (uint32_t i = 0; orm != NULL && i < o->count; i++) {
        orm[i].depth = i == 0 ? 0 : orm[o->nodes[i].parent].depth + 1;
        orm[i].shallowest = NONE;
        if (w->places[i].orm != 0)
            orm[w->places[i].orm].all += o->nodes[i].self_ns;
    }
    for (uint32_t i = 0; orm != NULL && i < o->span_count; i++) {
        const sl_outline_span *span = &o->spans[i];
        if (!sl_findings_is_kind(span, "db"))
            continue;
        of_orm *at = &orm[span->node];
        orm[w->places[span->node].orm].spans += span->outer_ns;
        add_asked(at, at->depth, asked_by(span));
        at->work -= (double)span->outer_ns;
    }
    for (uint32_t i = o->count; orm != NULL && i-- > 1;) {
        uint32_t parent = o->nodes[i].parent;
        bool within = w->places[i].orm != 0 && w->places[i].orm != i;
        if (w->places[i].orm != 0)
            orm[i].work += (double)o->nodes[i].self_ns;
        if (within && orm[i].shallowest == NONE)
            orm[parent].work += orm[i].work;
        else if (within)
            add_asked(&orm[parent], orm[i].shallowest, orm[i].asked);
    }
    /* The shallowest span below a node never lies deeper than that below its
     * child: those that have the same follow each other on the way up. */
    for (uint32_t i = 1; orm != NULL && i < o->count; i++) {
        uint32_t parent = o->nodes[i].parent;
        if (w->places[i].orm == 0)
            continue;
        if (orm[i].work > 0 && orm[i].asked > 0)
            orm[i].upward = orm[i].work / orm[i].asked;
        if (w->places[i].orm != i &&
            orm[parent].shallowest == orm[i].shallowest)
            orm[i].upward += orm[parent].upward;
    }
    for (uint32_t i = 0; orm != NULL && i < o->span_count; i++) {
        if (sl_findings_is_kind(&o->spans[i], "db"))
            orm[w->places[o->spans[i].node].orm].weights +=
                weight_in_orm(w, orm, &o->spans[i]);
    }
    return orm;
}

/* The part of its ORM's time that belongs to a span. */
static uint64_t
share_of_orm(const sl_findings_work *w, const of_orm *orm,
             const sl_outline_span *span)
{
    uint32_t top = w->places[span->node].orm;

    if (top == 0 || orm[top].all <= orm[top].spans || orm[top].weights <= 0)
        return 0;
    return (uint64_t)((double)(orm[top].all - orm[top].spans) *
                      weight_in_orm(w, orm, span) / orm[top].weights);
}

/* A kind of spans: all of it, and those that are alike, where there are so many
 * from one place in one request. */
static sl_status
by_spans(sl_findings_work *w, const char *kind, sl_finding_rule rule,
         sl_finding_rule alike_rule, uint32_t alike_least)
{
    const sl_outline *o = w->o;
    sl_finding all = { .rule = rule, .node = NONE, .own = NONE };
    sl_finding alike = { .rule = alike_rule, .node = NONE };
    uint32_t count = 0, first = 0;
    ordered *rows = order_spans(w, kind, &count);
    uint64_t most = 0, ns = 0, inner = 0, spans = 0, times = 0;
    of_function *fetched = NULL;
    of_orm *orm = NULL;

    if (rows == NULL)
        return count == 0 ? SL_OK : SL_ENOMEM;
    if (rule == SL_FINDING_DATABASE && !w->few) {
        fetched = find_fetched(w, rows, count);
        orm = find_orm_time(w);
        if (fetched == NULL || orm == NULL) {
            free(rows);
            free(fetched);
            free(orm);
            return SL_ENOMEM;
        }
    }
    all.measured = true;
    for (uint32_t i = 0; i < count; i++) {
        const sl_outline_span *span = &o->spans[rows[i].one.span];
        if (i == 0 || by_text(&rows[i - 1], &rows[i]) != 0) {
            ns = inner = spans = times = 0;
            first = i;
        }
        uint64_t took = span->outer_ns;
        if (fetched != NULL && rows[i].one.function != NONE)
            took += fetched_for(&fetched[rows[i].one.function], took);
        inner += took;
        all.inner += took;
        if (orm != NULL)
            took += share_of_orm(w, orm, span);
        ns += took;
        spans += span->outer_ns;
        times += span->count;
        all.measured = all.measured && took == span->outer_ns;
        all.ns += took;
        all.count += span->count;
        if (ns >= most) {
            most = ns;
            sl_findings_locate_span(w, rows[first].one.span, &all);
        }
        if (times / w->requests >= alike_least && times > alike.count) {
            alike.count = times;
            alike.ns = ns;
            alike.inner = inner;
            alike.measured = ns == spans;
            sl_findings_locate_span(w, rows[first].one.span, &alike);
        }
    }
    free(rows);
    free(fetched);
    free(orm);
    all.score = all.ns;
    /* Of the others only what takes time is worth a word. */
    if (alike.count > 0 &&
        (rule == SL_FINDING_DATABASE || alike.ns >= w->wall / 20)) {
        /* Where it is most of the queries' time, it is the answer. */
        bool answer =
            alike.ns >= all.ns / 2 && (w->few || all.ns >= w->wall / 5);
        alike.score = answer ? all.ns + 1 : 3;
        alike.extra = !answer;
        sl_findings_add(w, alike);
    }
    if (all.ns >= w->wall / 5 ||
        (rule == SL_FINDING_DATABASE && all.count / w->requests >= 30))
        sl_findings_add(w, all);
    return SL_OK;
}

uint64_t
sl_findings_spans_in(const sl_findings_work *w, uint32_t from, uint32_t end,
                     uint32_t strand)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < w->o->span_count; i++) {
        const sl_outline_span *span = &w->o->spans[i];
        if (span->node >= from && span->node < end &&
            w->places[span->node].strand == strand &&
            w->places[span->node].layer != SL_LAYER_ORM &&
            sl_findings_is_asked(span))
            sum += span->outer_ns;
    }
    return sum;
}

sl_status
sl_findings_layers(sl_findings_work *w)
{
    sl_status status =
        w->few || heaviest(w->o, "db") != 0
            ? by_spans(w, "db", SL_FINDING_DATABASE, SL_FINDING_N_PLUS_1,
                       ALIKE_LEAST)
            : by_names(w, SL_LAYER_DATABASE, SL_FINDING_DATABASE);

    if (status == SL_OK)
        status = by_spans(w, "http", SL_FINDING_HTTP, SL_FINDING_HTTP_REPEATS,
                          HTTP_LEAST);
    if (status == SL_OK)
        status = by_spans(w, "cache", SL_FINDING_CACHE, SL_FINDING_CACHE_GETS,
                          ALIKE_LEAST);
    if (status == SL_OK && !w->few)
        status = by_names(w, SL_LAYER_TEMPLATE, SL_FINDING_TEMPLATE);
    add_slow_query(w);
    return status;
}
