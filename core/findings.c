/* What explains the time of one profile, in order. */
#include "findings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE SL_FINDING_NONE

/* Fewer samples say nothing. */
#define SAMPLES_LEAST 5u
/* Times that such a call must be made from one line, from one caller. */
#define REPEATS_LEAST 10u
#define REPEATS_FAN   5u
/* A step on the event loop that others notice. */
#define STEP_LEAST_NS 50000000u

/* ---- what is known ---- */

const sl_finding_info *
sl_finding_at(sl_finding_rule rule)
{
    static const sl_finding_info table[SL_FINDING_COUNT] = {
#define XX(rule, word, title, advice) { word, title, advice },
        SL_FINDING_MAP(XX)
#undef XX
    };
    return (unsigned)rule < SL_FINDING_COUNT ? &table[rule] : NULL;
}

enum { LAYER_NONE, LAYER_DATABASE, LAYER_TEMPLATE, LAYERS };

/* Functions where a layer begins, by the end of their file and by name. What
 * runs below them is the layer's, up to code of the project. */
static const struct {
    const char *file, *name;
    int layer;
} known_layers[] = {
    { "django/db/backends/utils.py", "CursorWrapper.execute", LAYER_DATABASE },
    { "django/db/backends/utils.py", "CursorWrapper.executemany",
      LAYER_DATABASE },
    { "django/db/backends/utils.py", "CursorDebugWrapper.execute",
      LAYER_DATABASE },
    { "django/db/models/sql/compiler.py", "SQLCompiler.execute_sql",
      LAYER_DATABASE },
    { "django/db/models/sql/compiler.py", "cursor_iter", LAYER_DATABASE },
    { "sqlalchemy/engine/base.py", "Connection.execute", LAYER_DATABASE },
    { "psycopg/cursor.py", "Cursor.execute", LAYER_DATABASE },
    { "pymysql/cursors.py", "Cursor.execute", LAYER_DATABASE },
    { "asyncpg/connection.py", "Connection._execute", LAYER_DATABASE },
    { "", "sqlite3.Cursor.execute", LAYER_DATABASE },
    { "", "sqlite3.Connection.execute", LAYER_DATABASE },
    { "", "sqlite3.Cursor.fetchall", LAYER_DATABASE },
    { "", "sqlite3.Cursor.fetchmany", LAYER_DATABASE },
    { "", "Cursor.execute", LAYER_DATABASE },
    { "django/template/base.py", "Template.render", LAYER_TEMPLATE },
    { "django/template/base.py", "Template.compile_nodelist", LAYER_TEMPLATE },
    { "django/template/loader.py", "render_to_string", LAYER_TEMPLATE },
    { "jinja2/environment.py", "Template.render", LAYER_TEMPLATE },
    { "jinja2/environment.py", "Template.render_async", LAYER_TEMPLATE },
    { "jinja2/environment.py", "Environment.compile", LAYER_TEMPLATE },
    { "mako/template.py", "Template.render", LAYER_TEMPLATE },
};

static int
layer_of(const sl_function *f)
{
    if (f->origin == SL_ORIGIN_PROJECT)
        return LAYER_NONE;
    for (size_t i = 0; i < sizeof(known_layers) / sizeof(*known_layers); i++) {
        size_t end = strlen(known_layers[i].file);
        if (!sl_outline_text_is(f->name, f->name_len, known_layers[i].name))
            continue;
        if (end == 0
                ? f->kind == SL_KIND_C
                : f->file_len >= end && memcmp(f->file + f->file_len - end,
                                               known_layers[i].file, end) == 0)
            return known_layers[i].layer;
    }
    return LAYER_NONE;
}

/* ---- the work ---- */

/* By node: the frame of own code it runs for, the child of that on the way to
 * it, and the layer it is in. */
typedef struct {
    uint32_t own, from;
    uint32_t strand; /* 0: the request itself */
    uint8_t layer;
} place;

typedef struct {
    const sl_outline *o;
    const sl_hotpath *path;
    sl_findings *out;
    place *places;
    uint64_t wall;
    bool exact;
} work;

/* By function: the layer that begins there; free() it. */
static uint8_t *
layers_of(const sl_outline *o)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < o->count; i++) {
        if (o->nodes[i].function >= count)
            count = o->nodes[i].function + 1;
    }
    uint8_t *layers = malloc(count);
    for (uint32_t i = 0; layers != NULL && i < count; i++)
        layers[i] = (uint8_t)layer_of(&o->functions[i]);
    return layers;
}

static bool
work_places(work *w)
{
    const sl_outline *o = w->o;
    uint8_t *layers = layers_of(o);

    w->places = malloc((size_t)o->count * sizeof(*w->places));
    for (uint32_t i = 0; layers != NULL && w->places != NULL && i < o->count;
         i++) {
        const sl_function *f = sl_outline_function(o, i);
        place above = { NONE, NONE, 0, LAYER_NONE };
        if (i > 0)
            above = w->places[o->nodes[i].parent];
        if (sl_outline_is_strand(o, i))
            above.strand = i;
        uint8_t layer = layers[o->nodes[i].function];
        if (f->origin == SL_ORIGIN_PROJECT) {
            above = (place){ i, NONE, above.strand, LAYER_NONE };
        } else {
            if (above.own != NONE && above.from == NONE)
                above.from = i;
            /* A query that a template makes is a query. */
            if (layer == LAYER_DATABASE || above.layer == LAYER_NONE)
                above.layer = layer;
        }
        w->places[i] = above;
    }
    bool fine = layers != NULL && w->places != NULL;
    free(layers);
    return fine;
}

/* The line of own code `own` that samples saw most, or where it begins. */
static uint32_t
line_of_own(const sl_outline *o, uint32_t own)
{
    uint32_t line = 0, low = 0, high = o->line_count;
    uint64_t most = 0;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (o->lines[middle].node < own)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < o->line_count && o->lines[low].node == own; low++) {
        if (o->lines[low].line > 0 && o->lines[low].wall_ns > most) {
            most = o->lines[low].wall_ns;
            line = o->lines[low].line;
        }
    }
    return line > 0 ? line : sl_outline_function(o, own)->line;
}

/* Where in own code node `i` was asked for. */
static void
locate(const work *w, uint32_t i, sl_finding *f)
{
    const place *at = &w->places[i];

    f->own = at->own;
    f->line = 0;
    if (at->own == NONE)
        return;
    if (at->from != NONE)
        f->line = w->o->nodes[at->from].line;
    if (f->line == 0)
        f->line = line_of_own(w->o, at->own);
}

static uint64_t
fnv(uint64_t hash, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * 1099511628211u;
    return (hash ^ 0xFF) * 1099511628211u;
}

const char *
sl_finding_path(const sl_function *f, size_t *len)
{
    size_t from = f->file_len, parts = 0;

    while (from > 0) {
        char c = f->file[from - 1];
        if ((c == '/' || c == '\\') && ++parts == 2)
            break;
        from--;
    }
    *len = f->file_len - from;
    return f->file + from;
}

/* The same in every run of the same program: no line, no number, no path of a
 * machine. */
static void
fingerprint(const sl_outline *o, sl_finding *f)
{
    const char *word = sl_finding_at(f->rule)->word;
    uint64_t hash = fnv(14695981039346656037u, word, strlen(word));
    uint32_t parts[2] = { f->own, f->node };

    for (int p = 0; p < 2; p++) {
        if (parts[p] == NONE)
            continue;
        const sl_function *one = sl_outline_function(o, parts[p]);
        size_t len;
        const char *file = sl_finding_path(one, &len);
        hash = fnv(fnv(hash, file, len), one->name, one->name_len);
    }
    snprintf(f->fingerprint, sizeof(f->fingerprint), "%016" PRIx64, hash);
}

static void
add(work *w, sl_finding f)
{
    sl_findings *out = w->out;
    uint32_t at = out->count;

    if (f.ns > w->wall)
        f.ns = w->wall;
    if (out->count == SL_FINDINGS_MAX)
        return;
    fingerprint(w->o, &f);
    while (at > 0 && out->items[at - 1].score < f.score) {
        out->items[at] = out->items[at - 1];
        at--;
    }
    out->items[at] = f;
    out->count++;
}

/* ---- waits that are nobody's work ---- */

/* Self time of a pseudo function in the request itself, and the node that has
 * most of it. */
static uint64_t
pseudo_time(const work *w, sl_pseudo pseudo, uint32_t *node)
{
    const sl_outline *o = w->o;
    uint64_t sum = 0, most = 0;

    *node = NONE;
    for (uint32_t i = 1; i < o->count; i++) {
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
counter_time(const work *w, sl_metric metric, uint32_t from, uint32_t end,
             uint32_t strand, uint32_t *node)
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
gil_time(const work *w, uint32_t from, uint32_t end, uint32_t strand,
         uint32_t *node)
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
add_wait(work *w, sl_finding_rule rule, uint64_t ns, uint32_t node)
{
    sl_finding f = { .rule = rule, .ns = ns, .node = node, .own = NONE };

    if (ns < w->wall / 10 || ns == 0)
        return;
    f.score = ns >= w->wall / 5 * 2 ? ns + ns / 3 : ns;
    if (node == NONE && w->path->count > 0)
        node = w->path->steps[w->path->count - 1].node;
    if (node != NONE && rule != SL_FINDING_CLIENT)
        locate(w, node, &f);
    add(w, f);
}

static uint64_t
larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void
find_waits(work *w)
{
    uint32_t node, count = w->o->count;
    uint64_t ns;

    ns = pseudo_time(w, SL_PSEUDO_LOOP, &node);
    add_wait(w, SL_FINDING_LOOP, larger(ns, sl_outline_number(w->o, "loop_ns")),
             node);
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
             larger(ns, sl_outline_number(w->o, "run_queue_ns")), node);
    ns = gil_time(w, 0, count, 0, &node);
    add_wait(w, SL_FINDING_GIL,
             larger(ns, sl_outline_number(w->o, "gil_wait_ns")), node);
    ns = sl_outline_number(w->o, "step_ns");
    if (ns >= STEP_LEAST_NS && sl_outline_meta(w->o, "merged") == NULL) {
        sl_finding f = {
            .rule = SL_FINDING_HOLDS_LOOP, .ns = ns, .node = NONE, .own = NONE
        };
        /* Whatever it did is a finding of its own: this one comes last. */
        f.score = 1;
        if (w->path->count > 0)
            locate(w, w->path->steps[w->path->count - 1].node, &f);
        add(w, f);
    }
}

/* ---- layers ---- */

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

/* What a layer took, and from which line of own code most. */
static sl_status
find_layer(work *w, int layer, sl_finding_rule rule)
{
    const sl_outline *o = w->o;
    sl_finding f = { .rule = rule, .node = NONE, .own = NONE };
    uint32_t count = 0;

    for (uint32_t i = 1; i < o->count; i++)
        count += w->places[i].layer == layer;
    share *rows = count == 0 ? NULL : malloc(count * sizeof(*rows));
    if (rows == NULL)
        return count == 0 ? SL_OK : SL_ENOMEM;
    count = 0;
    for (uint32_t i = 1; i < o->count; i++) {
        const place *at = &w->places[i];
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
        if (sum >= most && rows[i].function != NONE) {
            most = sum;
            f.node = rows[i].node;
        }
    }
    free(rows);
    if (!w->exact)
        f.count = 0;
    bool worth =
        f.ns >= w->wall / 5 || (layer == LAYER_DATABASE && f.count >= 30);
    if (!worth || f.ns == 0)
        return SL_OK;
    f.score = f.ns;
    if (f.node != NONE)
        locate(w, f.node, &f);
    add(w, f);
    return SL_OK;
}

/* ---- functions ---- */

/* A closure of a library: a decorator's wrapper, of whose kind no name says
 * anything. */
static bool
is_wrapper(const sl_function *f)
{
    static const char mark[] = "<locals>";

    if (f->origin != SL_ORIGIN_LIBRARY && f->origin != SL_ORIGIN_STDLIB)
        return false;
    for (size_t i = 0; i + sizeof(mark) - 1 <= f->name_len; i++) {
        if (memcmp(f->name + i, mark, sizeof(mark) - 1) == 0)
            return true;
    }
    return false;
}

/* Goes on from a wrapper to what it wraps, as far as the path leads. */
static uint32_t
unwrapped(const sl_outline *o, const sl_hotpath *path, uint32_t step)
{
    while (step + 1 < path->count &&
           is_wrapper(sl_outline_function(o, path->steps[step].node)) &&
           o->functions[o->nodes[path->steps[step + 1].node].function].kind !=
               SL_KIND_PSEUDO)
        step++;
    return step;
}

/* The kind of wait that most of a subtree was, or HOT. */
static sl_finding_rule
kind_of_wait(const work *w, uint32_t node)
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
    uint64_t half = o->nodes[node].total_ns / 2, awaited = 0;

    for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
        if (counter_time(w, kinds[k].metric, node, end, w->places[node].strand,
                         &most) > half)
            return kinds[k].rule;
    }
    for (at = node; at < end; at++) {
        if (sl_outline_pseudo(o, at) == SL_PSEUDO_AWAIT &&
            w->places[at].strand == w->places[node].strand)
            awaited += o->nodes[at].self_ns;
    }
    return awaited > half ? SL_FINDING_AWAIT : SL_FINDING_HOT;
}

/* Time in the subtree of `node` that other findings explain better. */
static uint64_t
explained(const work *w, uint32_t node)
{
    const sl_outline *o = w->o;
    uint32_t end = node + o->nodes[node].size, most;
    uint32_t strand = w->places[node].strand;
    uint64_t sum =
        counter_time(w, SL_METRIC_RUN_QUEUE, node, end, strand, &most) +
        gil_time(w, node, end, strand, &most);

    for (uint32_t i = node; i < end; i++) {
        sl_pseudo pseudo = sl_outline_pseudo(o, i);
        if (w->places[i].strand == strand &&
            (pseudo == SL_PSEUDO_GC || pseudo == SL_PSEUDO_LOOP ||
             w->places[i].layer != LAYER_NONE))
            sum += o->nodes[i].self_ns;
    }
    return sum;
}

static void
find_function(work *w)
{
    const sl_outline *o = w->o;
    const sl_hotpath *path = w->path;
    uint32_t culprit = 0, own = 0;

    if (!sl_hotpath_culprit(o, path, &culprit, &own))
        return;
    culprit = unwrapped(o, path, culprit);
    uint32_t node = path->steps[culprit].node;
    /* A collection that happens to run on top is no work of the function's. */
    if (own != UINT32_MAX && sl_outline_pseudo(o, node) == SL_PSEUDO_GC) {
        culprit = own;
        node = path->steps[own].node;
    }
    sl_finding f = { .rule = kind_of_wait(w, node),
                     .ns = path->steps[culprit].ns,
                     .node = node,
                     .own = NONE };
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
            f.line = line_of_own(o, f.own);
    }
    uint64_t other = explained(w, node);
    f.score = f.ns > other ? f.ns - other : 0;
    if (w->exact && culprit != own && o->nodes[node].calls >= REPEATS_LEAST)
        f.count = o->nodes[node].calls;
    /* A wait that is told as a layer is that layer's. */
    if (f.score == 0)
        f.rule = SL_FINDING_HOT;
    add(w, f);
}

/* Calls made again and again from one line of own code, the heaviest. */
static void
find_repeats(work *w)
{
    const sl_outline *o = w->o;
    uint32_t best = NONE;

    if (!w->exact)
        return;
    for (uint32_t i = 1; i < o->count; i++) {
        const sl_outline_node *node = &o->nodes[i];
        const sl_outline_node *parent = &o->nodes[node->parent];
        uint64_t outer = parent->calls > 0 ? parent->calls : 1;
        if (o->functions[parent->function].origin != SL_ORIGIN_PROJECT ||
            o->functions[node->function].kind == SL_KIND_PSEUDO ||
            node->function == parent->function || node->calls < REPEATS_LEAST ||
            node->calls / REPEATS_FAN < outer || node->total_ns < w->wall / 5)
            continue;
        if (best == NONE || node->total_ns > o->nodes[best].total_ns)
            best = i;
    }
    if (best == NONE)
        return;
    sl_finding f = { .rule = SL_FINDING_REPEATS,
                     .ns = o->nodes[best].total_ns,
                     .count = o->nodes[best].calls,
                     .node = best };
    locate(w, best, &f);
    f.score = 2; /* the same time as the function's, told once more */
    add(w, f);
}

/* Sampled, and what was measured otherwise is not most of it. */
static bool
too_few(work *w)
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
    return w->out->samples < SAMPLES_LEAST;
}

sl_status
sl_findings_find(const sl_outline *o, const sl_hotpath *path, sl_findings *out)
{
    work w = { .o = o,
               .path = path,
               .out = out,
               .wall = o->nodes[0].total_ns,
               .exact = sl_outline_is_exact(o) };

    memset(out, 0, sizeof(*out));
    if (w.wall == 0)
        return SL_OK;
    if (!work_places(&w)) {
        free(w.places);
        return SL_ENOMEM;
    }
    sl_status status = SL_OK;
    bool few = too_few(&w);
    find_waits(&w);
    if (few) {
        add(&w, (sl_finding){ .rule = SL_FINDING_FEW,
                              .count = out->samples,
                              .score = w.wall / 5 * 2,
                              .node = NONE,
                              .own = NONE });
    } else {
        status = find_layer(&w, LAYER_DATABASE, SL_FINDING_DATABASE);
        if (status == SL_OK)
            status = find_layer(&w, LAYER_TEMPLATE, SL_FINDING_TEMPLATE);
        find_function(&w);
        find_repeats(&w);
    }
    free(w.places);
    return status;
}
