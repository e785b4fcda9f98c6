/* Findings in words. */
#include "findings_text.h"
#include "label.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NONE SL_FINDING_NONE
/* Fewer samples than these tell a share only roughly. */
#define SAMPLES_FEW 30u
/* Bytes of a query that a sentence shows. */
#define SPAN_TEXT ((size_t)120)
/* How far up it is looked for who uses a function that asks for others. */
#define HELPERS_MAX 3

/* Appends "dir/file.py". */
static void
put_file(sl_buf *out, const sl_function *f)
{
    size_t len;
    const char *file = sl_finding_path(f, &len);
    sl_label_text(out, file, len, SL_LABEL_MAX);
}

static void
put_number(sl_buf *out, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, number);
    sl_buf_put_str(out, text);
}

void
sl_findings_put_percent(const sl_outline *o, const sl_findings *all,
                        uint64_t ns, bool measured, bool first, sl_buf *out)
{
    uint64_t wall = sl_outline_wall(o);
    double part = wall > 0 ? (double)ns * 100.0 / (double)wall : 0;
    bool rough = !measured && all->samples < SAMPLES_FEW;
    char text[40];

    if (part > 0 && part < 1)
        snprintf(text, sizeof(text), "%snder 1 %%", first ? "U" : "u");
    else
        snprintf(text, sizeof(text), "%s%.0f %%",
                 !rough  ? ""
                 : first ? "About "
                         : "about ",
                 rough ? (double)(int)(part / 5 + 0.5) * 5 : part);
    sl_buf_put_str(out, text);
}

/* The function's name; of a comprehension, that of the function it is part of.
 */
void
sl_findings_put_name(const sl_outline *o, uint32_t node, sl_buf *out)
{
    sl_function f = *sl_outline_function(o, node);

    f.name_len = sl_findings_whole_name(&f);
    sl_label_name(out, &f, SL_LABEL_MAX);
}

/* " at dir/file.py:12" */
static void
put_place(const sl_outline *o, uint32_t node, uint32_t line, sl_buf *out)
{
    const sl_function *f = sl_outline_function(o, node);

    if (f->file_len == 0)
        return;
    sl_buf_put_str(out, " at ");
    put_file(out, f);
    if (line == 0)
        line = f->line;
    if (line > 0) {
        sl_buf_put_u8(out, ':');
        put_number(out, line);
    }
}

/* "WORDS own.function at dir/file.py:12" */
static void
put_own(const sl_outline *o, const sl_finding *f, const char *words,
        sl_buf *out)
{
    if (f->own == NONE)
        return;
    sl_buf_put_str(out, words);
    sl_findings_put_name(o, f->own, out);
    put_place(o, f->own, f->line, out);
}

/* As put_own; where nothing of own code asked, what did. */
static void
put_asker(const sl_outline *o, const sl_finding *f, const char *words,
          sl_buf *out)
{
    sl_finding asked = *f;

    if (f->own == NONE && f->by != 0) {
        asked.own = f->by;
        asked.line = 0;
    }
    put_own(o, &asked, words, out);
}

/* Whose wait `node` is where nothing of the project's waits: the library that
 * asked the standard one to sleep or to read, and the line it was left at. */
static uint32_t
who_awaits(const sl_outline *o, uint32_t node, uint32_t *line)
{
    uint32_t parent = o->nodes[node].parent, below = node;

    *line = 0;
    for (uint32_t at = parent; at != 0 && !sl_outline_is_strand(o, at);
         below = at, at = o->nodes[at].parent) {
        if (sl_outline_function(o, at)->origin == SL_ORIGIN_LIBRARY) {
            *line = o->nodes[below].line;
            return at;
        }
    }
    return parent;
}

/* ", called by shop.list at shop/views.py:9": own code that asks through a
 * function of its own, which many others call too. */
static void
put_helped(const sl_outline *o, const sl_finding *f, sl_buf *out)
{
    uint32_t helper = f->own, by = helper;
    bool exact = sl_outline_is_exact(o);

    for (int k = 0; k < HELPERS_MAX && by != NONE && by != 0; k++) {
        uint32_t up = o->nodes[by].parent;
        if (sl_outline_function(o, up)->origin != SL_ORIGIN_PROJECT ||
            (exact ? o->nodes[by].calls < 2 : k > 0))
            break;
        by = up;
    }
    if (by == helper || by == NONE)
        return;
    sl_finding at = { .own = by };
    for (uint32_t c = helper; c != by; c = o->nodes[c].parent)
        at.line = o->nodes[c].line;
    put_own(o, &at, ", called by ", out);
}

/* ", which calls itself", ", called from 12 places", ", 40 times" */
static void
put_calls(const sl_finding *f, sl_buf *out)
{
    if (f->recursive)
        sl_buf_put_str(out, ", which calls itself");
    if (f->places > 1) {
        sl_buf_put_str(out, ", called from ");
        put_number(out, f->places);
        sl_buf_put_str(out, " places");
    }
    if (f->count > 1) {
        sl_buf_put_str(out, ", ");
        put_number(out, f->count);
        sl_buf_put_str(out, " times");
    }
}

/* The child of `i` with most time, of all but one function, and what that
 * function has of it in all. */
static uint32_t
heaviest_child(const sl_outline *o, uint32_t i, uint32_t but, uint64_t *ns)
{
    uint32_t best = NONE, end = i + o->nodes[i].size;

    *ns = 0;
    for (uint32_t c = i + 1; c < end; c += o->nodes[c].size) {
        const sl_function *f = sl_outline_function(o, c);
        if (f->kind != SL_KIND_PSEUDO && o->nodes[c].function != but &&
            (best == NONE || o->nodes[c].total_ns > o->nodes[best].total_ns))
            best = c;
    }
    for (uint32_t c = i + 1; best != NONE && c < end; c += o->nodes[c].size) {
        if (o->nodes[c].function == o->nodes[best].function)
            *ns += o->nodes[c].total_ns;
    }
    return best;
}

/* ": most json.loads (30 %), then shop.price (25 %)" */
static void
put_called(const sl_outline *o, const sl_finding *f, sl_buf *out)
{
    uint64_t wall = sl_outline_wall(o), ns;
    uint32_t but = NONE;
    char text[32];

    for (int k = 0; k < 2; k++) {
        uint32_t child = heaviest_child(o, f->node, but, &ns);
        if (child == NONE || ns < o->nodes[f->node].total_ns / 6)
            return;
        sl_buf_put_str(out, k == 0 ? ": most " : ", then ");
        sl_findings_put_name(o, child, out);
        snprintf(text, sizeof(text), " (%.0f %%)",
                 (double)ns * 100.0 / (double)wall);
        sl_buf_put_str(out, text);
        but = o->nodes[child].function;
    }
}

static bool
is_named(const sl_outline *o, uint32_t node, const char *name)
{
    const sl_function *f = sl_outline_function(o, node);
    return sl_outline_text_is(f->name, f->name_len, name);
}

/* " importing shop/prices.py, asked for by shop.view at shop/views.py:12": what
 * a module does when it is imported is found where it is asked for. */
static bool
put_import(const sl_outline *o, const sl_finding *f, sl_buf *out)
{
    uint32_t module = f->node, by = f->own;

    if (by != NONE && is_named(o, by, "<module>"))
        module = by;
    if (is_named(o, module, "_find_and_load")) {
        uint32_t end = module + o->nodes[module].size;
        while (module < end && !is_named(o, module, "<module>"))
            module++;
        if (module == end)
            return false;
    } else if (!is_named(o, module, "<module>")) {
        return false;
    } else {
        for (by = o->nodes[module].parent;
             by != 0 &&
             (o->functions[o->nodes[by].function].origin != SL_ORIGIN_PROJECT ||
              is_named(o, by, "<module>"));)
            by = o->nodes[by].parent;
        if (by == 0)
            return false;
    }
    sl_buf_put_str(out, " importing ");
    put_file(out, sl_outline_function(o, module));
    if (by == NONE)
        return true;
    sl_finding asked = { .own = by };
    asked.line = by == f->own ? f->line : sl_findings_line(o, by);
    put_own(o, &asked, ", asked for by ", out);
    return true;
}

static void
put_function(const sl_outline *o, const sl_finding *f, sl_buf *out)
{
    static const char *const verbs[SL_FINDING_COUNT] = {
        [SL_FINDING_LOCK] = " waiting for a lock in ",
        [SL_FINDING_SOCKET] = " waiting for a socket in ",
        [SL_FINDING_DISK] = " waiting for a disk in ",
        [SL_FINDING_SLEEP] = " sleeping in ",
        [SL_FINDING_POLL] = " waiting for several sockets or files in ",
        [SL_FINDING_CHILD] = " waiting for a process in ",
        [SL_FINDING_AWAIT] = " awaiting in ",
    };
    static const char *const kinds[SL_FINDING_COUNT] = {
        [SL_FINDING_JSON] = " in JSON: ",
        [SL_FINDING_COPY] = " in deep copies: ",
        [SL_FINDING_REGEX] = " compiling regular expressions: ",
        [SL_FINDING_TEMPLATE_COMPILE] = " compiling templates: ",
        [SL_FINDING_LOGGING] = " logging: ",
        [SL_FINDING_PASSWORD] = " hashing a password: ",
        [SL_FINDING_COMPRESS] = " compressing: ",
        [SL_FINDING_SERIALIZE] = " in serializers: ",
        [SL_FINDING_CONNECT] = " connecting: ",
        [SL_FINDING_TRACEBACK] = " showing an exception: ",
        [SL_FINDING_MIGRATION] = " changing the database's schema: ",
    };
    const char *verb = verbs[f->rule] != NULL               ? verbs[f->rule]
                       : f->extra && kinds[f->rule] != NULL ? kinds[f->rule]
                                                            : " in ";

    if (put_import(o, f, out))
        return;
    sl_buf_put_str(out, verb);
    if (f->node == f->own || sl_outline_pseudo(o, f->node) == SL_PSEUDO_AWAIT) {
        uint32_t at = f->own, line = f->line;
        if (at == NONE)
            at = who_awaits(o, f->node, &line);
        sl_findings_put_name(o, at, out);
        if (f->rule == SL_FINDING_HOT && f->node == f->own)
            sl_buf_put_str(out, !f->itself ? " and what it calls"
                                : sl_outline_is_exact(o)
                                    ? " itself"
                                    : " itself (or C code that it calls)");
        put_place(o, at, line, out);
        put_calls(f, out);
        if (f->rule == SL_FINDING_HOT && f->node == f->own && !f->itself)
            put_called(o, f, out);
        return;
    }
    sl_findings_put_name(o, f->node, out);
    if (f->own == NONE)
        put_place(o, f->node, 0, out);
    if (f->scattered && f->places > 1) {
        put_calls(f, out);
        put_own(o, f, ", most by ", out);
        return;
    }
    put_own(o, f, f->beside ? ", awaited by " : ", called by ", out);
    if (!f->beside)
        put_calls(f, out);
    if (f->wide)
        put_called(o, f, out);
}

static void
put_loop(const sl_outline *o, const sl_finding *f, sl_buf *out)
{
    const sl_meta *by = sl_outline_meta(o, "held_by");
    char text[48];

    sl_buf_put_str(out, " waiting for the event loop, which was busy with ");
    if (by != NULL && by->text != NULL && by->text_len > 0) {
        sl_label_text(out, by->text, by->text_len, SL_LABEL_MAX);
        snprintf(text, sizeof(text), " (%.0f ms in a row)",
                 (double)sl_outline_number(o, "held_ns") / 1e6);
        sl_buf_put_str(out, text);
    } else {
        sl_buf_put_str(out, "something else");
    }
    put_own(o, f, "; meanwhile it was in ", out);
}

/* " (SELECT title FROM book WHERE author = ?)", and where in a template. */
static void
put_span(const sl_outline *o, const sl_finding *f, sl_buf *out)
{
    if (f->span == 0)
        return;
    const sl_outline_span *span = &o->spans[f->span - 1];
    if (span->text[0] != 0) {
        sl_buf_put_str(out, " (");
        sl_label_text(out, span->text, strlen(span->text), SPAN_TEXT);
        sl_buf_put_u8(out, ')');
    }
    if (span->where[0] != 0) {
        sl_buf_put_str(out, " in ");
        sl_label_text(out, span->where, strlen(span->where), SL_LABEL_MAX);
    }
}

static void
put_number_of(sl_buf *out, uint64_t count, const char *one, const char *more)
{
    put_number(out, count);
    sl_buf_put_str(out, count == 1 ? one : more);
}

/* " of 50 requests", where several were added up. */
static void
put_requests(const sl_outline *o, sl_buf *out)
{
    uint64_t requests = sl_outline_requests(o);

    if (requests == 1)
        return;
    sl_buf_put_str(out, " of ");
    put_number(out, requests);
    sl_buf_put_str(out, " requests");
}

/* Whether the ORM before the database had a good part of the time. */
static bool
is_orms(const sl_finding *f)
{
    return f->inner > 0 && f->inner < f->ns / 5 * 4;
}

static void
put_orm(const sl_finding *f, const char *words, sl_buf *out)
{
    if (is_orms(f))
        sl_buf_put_str(out, words);
}

static void
put_inner(const sl_outline *o, const sl_findings *all, const sl_finding *f,
          sl_buf *out)
{
    if (!is_orms(f))
        return;
    sl_buf_put_str(out, "; the database itself took ");
    sl_findings_put_percent(o, all, f->inner, f->measured, false, out);
}

static void
put_database(const sl_outline *o, const sl_findings *all, const sl_finding *f,
             sl_buf *out)
{
    sl_buf_put_str(out, " in the database");
    put_orm(f, ", ORM included", out);
    if (f->span != 0) {
        sl_buf_put_str(out, ": ");
        put_number_of(out, f->count, " query", " queries");
        put_requests(o, out);
    } else if (f->count > 1) {
        sl_buf_put_str(out, " (");
        put_number_of(out, f->count, " call", " calls");
        sl_buf_put_u8(out, ')');
    }
    put_asker(o, f, ", most from ", out);
    put_span(o, f, out);
    put_inner(o, all, f, out);
}

/* " in one query", or which of those told as alike. */
static void
put_one_query(const sl_findings *all, const sl_finding *f, sl_buf *out)
{
    uint64_t alike = 0;

    for (uint32_t i = 0; i < all->count; i++) {
        const sl_finding *one = &all->items[i];
        if (one->rule == SL_FINDING_N_PLUS_1 && one->span == f->span)
            alike = one->count;
    }
    sl_buf_put_str(out, " in one query");
    if (alike > 1) {
        sl_buf_put_str(out, " of the ");
        put_number(out, alike);
        sl_buf_put_str(out, " alike");
    }
}

static void
put_layer(const sl_outline *o, const sl_findings *all, const sl_finding *f,
          sl_buf *out)
{
    switch (f->rule) {
    case SL_FINDING_TEMPLATE:
        sl_buf_put_str(out, " rendering templates");
        put_span(o, f, out);
        put_asker(o, f, ", called by ", out);
        return;
    case SL_FINDING_DATABASE: put_database(o, all, f, out); return;
    case SL_FINDING_N_PLUS_1:
        sl_buf_put_str(out, " in ");
        put_number(out, f->count);
        sl_buf_put_str(out, " queries that are alike");
        put_requests(o, out);
        put_orm(f, ", ORM included", out);
        break;
    case SL_FINDING_SLOW_QUERY: put_one_query(all, f, out); break;
    case SL_FINDING_SAME_QUERY:
        sl_buf_put_str(out, " in the same query, asked ");
        put_number_of(out, f->count, " time", " times");
        put_requests(o, out);
        break;
    case SL_FINDING_TEMPLATE_QUERY:
        sl_buf_put_str(out, " in ");
        put_number_of(out, f->count, " query", " queries");
        sl_buf_put_str(out, " that templates make, most of it");
        break;
    case SL_FINDING_CACHE:
    case SL_FINDING_CACHE_GETS:
        sl_buf_put_str(out, " in ");
        put_number_of(out, f->count, " operation", " operations");
        sl_buf_put_str(out, " on the cache");
        put_requests(o, out);
        break;
    case SL_FINDING_HTTP_REPEATS:
        sl_buf_put_str(out, " in ");
        put_number_of(out, f->count, " HTTP request", " HTTP requests");
        sl_buf_put_str(out, " to one service");
        put_requests(o, out);
        break;
    default:
        sl_buf_put_str(out, " in ");
        put_number_of(out, f->count, " HTTP request", " HTTP requests");
    }
    put_span(o, f, out);
    put_asker(o, f, ", from ", out);
    put_helped(o, f, out);
    put_inner(o, all, f, out);
}

void
sl_findings_put_rest(const sl_outline *o, const sl_findings *all,
                     const sl_finding *f, sl_buf *out)
{
    char text[64];

    switch (f->rule) {
    case SL_FINDING_LOOP: put_loop(o, f, out); break;
    case SL_FINDING_RUN_QUEUE:
        sl_buf_put_str(out, " waiting for a CPU, which others had or a quota "
                            "withheld");
        put_own(o, f, "; meanwhile it was in ", out);
        break;
    case SL_FINDING_GIL:
        sl_buf_put_str(out, " waiting for the GIL, which other threads of the "
                            "process held");
        put_own(o, f, "; meanwhile it was in ", out);
        break;
    case SL_FINDING_CLIENT:
        sl_buf_put_str(out, " waiting for the client, which took its time");
        break;
    case SL_FINDING_GC:
        sl_buf_put_str(out, " in the garbage collector");
        put_own(o, f, ", mostly while in ", out);
        break;
    case SL_FINDING_DATABASE:
    case SL_FINDING_N_PLUS_1:
    case SL_FINDING_SLOW_QUERY:
    case SL_FINDING_HTTP:
    case SL_FINDING_SAME_QUERY:
    case SL_FINDING_TEMPLATE_QUERY:
    case SL_FINDING_CACHE:
    case SL_FINDING_CACHE_GETS:
    case SL_FINDING_HTTP_REPEATS:
    case SL_FINDING_TEMPLATE: put_layer(o, all, f, out); break;
    case SL_FINDING_SEQUENTIAL:
        sl_buf_put_str(out, " waiting for ");
        put_number(out, f->places);
        sl_buf_put_str(out, " things one after the other, most for ");
        sl_findings_put_name(o, f->node, out);
        put_own(o, f, ", in ", out);
        break;
    case SL_FINDING_QUEUED:
        sl_buf_put_str(out, " waiting until a thread of the pool was free");
        if (f->count > 1) {
            snprintf(text, sizeof(text),
                     " (%" PRIu64 " jobs, %.0f ms together)", f->count,
                     (double)o->nodes[f->node].self_ns / 1e6);
            sl_buf_put_str(out, text);
        }
        put_own(o, f, ", for work of ", out);
        break;
    case SL_FINDING_REPEATS:
        sl_buf_put_str(out, " in ");
        put_number(out, f->count);
        sl_buf_put_str(out, " calls of ");
        sl_findings_put_name(o, f->node, out);
        put_own(o, f, " from ", out);
        break;
    default: put_function(o, f, out);
    }
}

void
sl_finding_text(const sl_outline *o, const sl_findings *all,
                const sl_finding *one, sl_buf *out)
{
    char text[64];

    if (one->rule == SL_FINDING_FEW && one->ns > 0) {
        sl_buf_put_str(out, "For ");
        sl_findings_put_percent(o, all, one->ns, false, false, out);
        sl_buf_put_str(out, " of the time no sample could say where this "
                            "request was: most of it is ");
        sl_findings_put_name(o, all->unseen_node, out);
        sl_buf_put_u8(out, '.');
        return;
    }
    if (one->rule == SL_FINDING_FEW) {
        sl_buf_put_str(out, "Not enough samples (");
        put_number(out, one->count);
        sl_buf_put_str(out, all->items[0].rule == SL_FINDING_FEW
                                ? ") to say where the time of this request "
                                  "went."
                                : ") to say where the rest of its time "
                                  "went.");
        return;
    }
    if (one->rule == SL_FINDING_HOLDS_LOOP) {
        snprintf(text, sizeof(text), "It kept the event loop for %.0f ms",
                 (double)one->ns / 1e6);
        sl_buf_put_str(out, text);
        sl_buf_put_str(out, " without a break");
        put_own(o, one, ", most in ", out);
        sl_buf_put_u8(out, '.');
        return;
    }
    sl_findings_put_percent(o, all, one->ns, one->measured, true, out);
    sl_findings_put_rest(o, all, one, out);
    sl_buf_put_u8(out, '.');
}
