/* Whose each node is, what layer it is in, and the list of findings. */
#include "findings_places.h"

#include "slowlens/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE SL_FINDING_NONE

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

/* Functions where a layer begins, by the end of their file and by name. What
 * runs below them is the layer's, up to code of the project. Those that fetch:
 * SQLite and server-side cursors look for the rows only then. */
static const sl_outline_known known_layers[] = {
#define ONE SL_OUTLINE_KNOWN
    ONE("django/db/backends/utils.py", "CursorWrapper.execute",
        SL_LAYER_DATABASE),
    ONE("django/db/backends/utils.py", "CursorWrapper.executemany",
        SL_LAYER_DATABASE),
    ONE("django/db/backends/utils.py", "CursorDebugWrapper.execute",
        SL_LAYER_DATABASE),
    ONE("django/db/models/sql/compiler.py", "SQLCompiler.execute_sql",
        SL_LAYER_DATABASE),
    ONE("django/db/models/sql/compiler.py", "cursor_iter", SL_LAYER_FETCH),
    ONE("sqlalchemy/engine/base.py", "Connection.execute", SL_LAYER_DATABASE),
    ONE("psycopg/cursor.py", "Cursor.execute", SL_LAYER_DATABASE),
    ONE("pymysql/cursors.py", "Cursor.execute", SL_LAYER_DATABASE),
    ONE("asyncpg/connection.py", "Connection._execute", SL_LAYER_DATABASE),
    ONE("", "sqlite3.Cursor.execute", SL_LAYER_DATABASE),
    ONE("", "sqlite3.Connection.execute", SL_LAYER_DATABASE),
    ONE("", "sqlite3.Cursor.fetchall", SL_LAYER_FETCH),
    ONE("", "sqlite3.Cursor.fetchmany", SL_LAYER_FETCH),
    ONE("", "sqlite3.Cursor.fetchone", SL_LAYER_FETCH),
    ONE("", "Cursor.execute", SL_LAYER_DATABASE),
    ONE("django/template/base.py", "Template.render", SL_LAYER_TEMPLATE),
    ONE("django/template/base.py", "Template.compile_nodelist",
        SL_LAYER_TEMPLATE),
    ONE("django/template/loader.py", "render_to_string", SL_LAYER_TEMPLATE),
    ONE("jinja2/environment.py", "Template.render", SL_LAYER_TEMPLATE),
    ONE("jinja2/environment.py", "Template.render_async", SL_LAYER_TEMPLATE),
    ONE("jinja2/environment.py", "Environment.compile", SL_LAYER_TEMPLATE),
    ONE("mako/template.py", "Template.render", SL_LAYER_TEMPLATE),
#undef ONE
};

/* What is asked of the function of each node, in one byte: the layer that
 * begins there, and these. */
enum { LAYER = 0x0F, OWN = 0x10, STRAND = 0x20, HANDS_ON = 0x40 };

/* By function; free() it. */
static uint8_t *
traits_of(const sl_outline *o)
{
    uint32_t count = o->function_count;
    uint8_t *layers = malloc(count);
    bool told = false; /* of the database, spans tell, and better */
    for (uint32_t i = 0; i < o->span_count; i++)
        told = told || sl_findings_is_kind(&o->spans[i], "db");
    for (uint32_t i = 0; layers != NULL && i < count; i++) {
        layers[i] = (uint8_t)sl_outline_known_as(
            &o->functions[i], known_layers,
            sizeof(known_layers) / sizeof(*known_layers), SL_LAYER_NONE);
        if (told && layers[i] == SL_LAYER_DATABASE)
            layers[i] = SL_LAYER_NONE;
        else if (!told && layers[i] == SL_LAYER_FETCH)
            layers[i] = SL_LAYER_DATABASE;
        if (o->functions[i].origin == SL_ORIGIN_PROJECT)
            layers[i] |= OWN;
        else if (sl_hotpath_hands_on(&o->functions[i]))
            layers[i] |= HANDS_ON;
        if (o->pseudo[i] == SL_PSEUDO_TASK || o->pseudo[i] == SL_PSEUDO_THREAD)
            layers[i] |= STRAND;
    }
    return layers;
}

/* Where in a path the files of an ORM are. */
static const char *const orms[] = {
    "/django/db/", "/sqlalchemy/", "/tortoise/",
    "/peewee.py",  "/playhouse/",  "/pony/orm/"
};

static bool
is_orms(const sl_function *f)
{
    for (size_t i = 0; i < sizeof(orms) / sizeof(*orms); i++) {
        size_t len = strlen(orms[i]);
        for (size_t at = 0; at + len <= f->file_len; at++) {
            if (memcmp(f->file + at, orms[i], len) == 0)
                return true;
        }
    }
    return false;
}

/* Marks what belongs to an ORM that asked for something: from where the first
 * of its functions was called, down to own code. false: no memory. */
static bool
find_orm(sl_findings_work *w)
{
    const sl_outline *o = w->o;
    bool found = false, any = false;

    for (uint32_t i = 0; i < o->span_count; i++)
        any = any || sl_findings_is_kind(&o->spans[i], "db");
    if (!any)
        return true;
    bool *an_orms = malloc(o->function_count * sizeof(*an_orms));
    bool *asks = calloc(o->count, sizeof(*asks));
    bool fine = an_orms != NULL && asks != NULL;
    for (uint32_t f = 0; fine && f < o->function_count; f++)
        an_orms[f] = is_orms(&o->functions[f]);
    /* First the outermost of an ORM's functions above each node... */
    for (uint32_t i = 1; fine && i < o->count; i++) {
        uint32_t above = w->places[o->nodes[i].parent].orm;
        if (above == 0 && an_orms[o->nodes[i].function])
            above = i;
        if (sl_outline_function(o, i)->origin == SL_ORIGIN_PROJECT)
            above = 0;
        w->places[i].orm = above;
    }
    for (uint32_t i = 0; fine && i < o->span_count; i++) {
        uint32_t top = w->places[o->spans[i].node].orm;
        if (top != 0 && sl_findings_is_kind(&o->spans[i], "db"))
            asks[top] = found = true;
    }
    /* ...then what is below those that asked. */
    for (uint32_t i = 1; fine && i < o->count; i++) {
        uint32_t above = w->places[o->nodes[i].parent].orm;
        sl_pseudo pseudo = sl_outline_pseudo(o, i);
        if (above == 0 && asks[i])
            above = i;
        if (sl_outline_function(o, i)->origin == SL_ORIGIN_PROJECT ||
            pseudo == SL_PSEUDO_GC || pseudo == SL_PSEUDO_LOOP ||
            sl_outline_is_strand(o, i))
            above = 0;
        w->places[i].orm = above;
        if (above != 0)
            w->places[i].layer = SL_LAYER_ORM;
    }
    w->layers |= found ? 1u << SL_LAYER_ORM : 0;
    free(an_orms);
    free(asks);
    return fine;
}

static void
find_places(sl_findings_work *w, const uint8_t *traits)
{
    const sl_outline_node *nodes = w->o->nodes;
    const sl_findings_place nobodys = { .own = NONE,
                                        .from = NONE,
                                        .entry = NONE };
    uint32_t layers = 0;

    for (uint32_t i = 0; i < w->o->count; i++) {
        sl_findings_place *at = &w->places[i];
        const uint8_t is = traits[nodes[i].function], layer = is & LAYER;
        *at = i == 0 ? nobodys : w->places[nodes[i].parent];
        if ((is & STRAND) != 0 && i > 0) {
            at->strand = i;
            at->entry = NONE;
        }
        at->rendering |= layer == SL_LAYER_TEMPLATE;
        /* What a middleware lets through is not what it asked for. */
        if ((is & HANDS_ON) != 0)
            at->own = at->from = at->entry = NONE;
        if ((is & OWN) != 0) {
            at->own = i;
            at->from = at->entry = NONE;
            at->layer = SL_LAYER_NONE;
        } else {
            if (at->own != NONE && at->entry == NONE && at->strand != i)
                at->entry = i;
            if (at->own != NONE && at->from == NONE)
                at->from = i;
            /* A query that a template makes is a query. */
            if (layer == SL_LAYER_DATABASE || layer == SL_LAYER_FETCH ||
                at->layer == SL_LAYER_NONE)
                at->layer = layer;
        }
        layers |= 1u << at->layer;
    }
    w->layers |= layers;
}

bool
sl_findings_places(sl_findings_work *w)
{
    const sl_outline *o = w->o;

    for (uint32_t f = 0; f < o->function_count; f++) {
        if (o->pseudo[f] != SL_PSEUDO_COUNT)
            w->pseudos |= (uint64_t)1 << o->pseudo[f];
    }
    w->strands = sl_outline_has_strands(o);
    uint8_t *traits = traits_of(o);
    size_t bytes = (size_t)o->count * sizeof(*w->places);
    w->places = sl_alloc_filled(malloc(bytes), bytes);
    bool fine = traits != NULL && w->places != NULL;
    if (fine)
        find_places(w, traits);
    free(traits);
    return fine && find_orm(w);
}

size_t
sl_findings_whole_name(const sl_function *f)
{
    static const char *const ends[] = { ".<locals>.<genexpr>",
                                        ".<locals>.<listcomp>",
                                        ".<locals>.<setcomp>",
                                        ".<locals>.<dictcomp>" };
    size_t left = f->name_len, before;

    do { /* there may be one within another */
        before = left;
        for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
            size_t len = strlen(ends[i]);
            if (left > len && memcmp(f->name + left - len, ends[i], len) == 0)
                left -= len;
        }
    } while (left < before);
    return left;
}

uint32_t
sl_findings_line(const sl_outline *o, uint32_t own)
{
    uint32_t line = 0;
    uint64_t most = 0;

    for (uint32_t i = sl_outline_lines_of(o, own);
         i < o->line_count && o->lines[i].node == own; i++) {
        if (o->lines[i].line > 0 && o->lines[i].wall_ns > most) {
            most = o->lines[i].wall_ns;
            line = o->lines[i].line;
        }
    }
    return line > 0 ? line : sl_outline_function(o, own)->line;
}

void
sl_findings_locate(const sl_findings_work *w, uint32_t i, sl_finding *f)
{
    const sl_findings_place *at = &w->places[i];

    f->own = at->own;
    f->line = 0;
    if (at->own == NONE)
        return;
    if (at->from != NONE)
        f->line = w->o->nodes[at->from].line;
    if (f->line == 0)
        f->line = sl_findings_line(w->o, at->own);
}

void
sl_findings_locate_span(const sl_findings_work *w, uint32_t i, sl_finding *f)
{
    const sl_outline_span *span = &w->o->spans[i];
    uint32_t orm = w->places[span->node].orm;

    f->node = span->node;
    f->span = i + 1;
    f->by = 0;
    sl_findings_locate(w, span->node, f);
    if (f->own == span->node && span->line != 0)
        f->line = span->line;
    if (f->own == NONE && orm != 0 &&
        sl_outline_function(w->o, w->o->nodes[orm].parent)->kind !=
            SL_KIND_PSEUDO)
        f->by = w->o->nodes[orm].parent;
}

bool
sl_findings_is_kind(const sl_outline_span *span, const char *kind)
{
    return strcmp(span->kind, kind) == 0;
}

bool
sl_findings_is_asked(const sl_outline_span *span)
{
    return sl_findings_is_kind(span, "db") ||
           sl_findings_is_kind(span, "http") ||
           sl_findings_is_kind(span, "cache");
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

/* The same in every run of the same program, sampled or not: no line, no
 * number, no path of a machine. What a query passed last is told by events
 * alone (a C function): it and who asked say enough. */
static void
fingerprint(const sl_outline *o, sl_finding *f)
{
    const char *word = sl_finding_at(f->rule)->word;
    uint64_t hash = fnv(14695981039346656037u, word, strlen(word));
    bool told = f->span != 0 && f->own != NONE;
    uint32_t parts[2] = { f->own, told ? NONE : f->node };

    for (int p = 0; p < 2; p++) {
        if (parts[p] == NONE)
            continue;
        const sl_function *one = sl_outline_function(o, parts[p]);
        size_t len;
        const char *file = sl_finding_path(one, &len);
        hash = fnv(fnv(hash, file, len), one->name, one->name_len);
    }
    if (f->span != 0) {
        const char *text = o->spans[f->span - 1].text;
        hash = fnv(hash, text, strlen(text));
    }
    snprintf(f->fingerprint, sizeof(f->fingerprint), "%016" PRIx64, hash);
}

void
sl_findings_add(sl_findings_work *w, sl_finding f)
{
    sl_findings *out = w->out;
    uint32_t at = out->count;

    if (f.ns > w->wall)
        f.ns = w->wall;
    if (out->count == SL_FINDINGS_MAX)
        return;
    if (f.work == 0)
        f.work = f.ns;
    if (w->few) {
        uint64_t least = sl_findings_few_score(w) + 1 + f.score / 4;
        f.score = f.score > least ? f.score : least;
        f.extra = false;
        f.measured = true;
    }
    fingerprint(w->o, &f);
    while (at > 0 && out->items[at - 1].score < f.score) {
        out->items[at] = out->items[at - 1];
        at--;
    }
    out->items[at] = f;
    out->count++;
}
