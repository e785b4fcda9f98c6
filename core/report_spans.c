/* What a profile asked of others, by kind, text and line of own code. */
#include "report_spans.h"
#include "report_put.h"

#include "slowlens/report.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_DEFAULT 200u
#define FIRSTS_MOST  2000u

/* A row of the profile, or several that are the same for people. */
typedef struct {
    const sl_profile_span *span; /* of the one with most time */
    uint32_t own, line; /* function and line of own code that asked for it */
    uint64_t count, total_ns, outer_ns, longest_ns, most_ns;
} asked;

static int
by_words(const asked *a, const asked *b)
{
    int order = strcmp(a->span->kind, b->span->kind);
    if (order == 0)
        order = strcmp(a->span->text, b->span->text);
    if (order == 0)
        order = strcmp(a->span->where, b->span->where);
    if (order == 0 && a->own != b->own)
        order = a->own < b->own ? -1 : 1;
    if (order == 0 && a->line != b->line)
        order = a->line < b->line ? -1 : 1;
    return order;
}

static int
by_place(const void *a, const void *b)
{
    const asked *x = a, *y = b;
    int order = by_words(x, y);
    if (order == 0)
        order = x->span < y->span ? -1 : x->span > y->span;
    return order;
}

static int
by_time(const void *a, const void *b)
{
    const asked *x = a, *y = b;
    if (x->total_ns != y->total_ns)
        return x->total_ns > y->total_ns ? -1 : 1;
    return by_place(a, b);
}

static bool
is_own(const sl_profile *profile, uint32_t node)
{
    uint32_t function = sl_profile_node_at(profile, node)->function;
    return sl_profile_function(profile, function)->origin == SL_ORIGIN_PROJECT;
}

uint32_t *
sl_spans_entries(const sl_profile *profile)
{
    uint32_t count = sl_profile_node_count(profile);
    uint32_t *entries = malloc((size_t)count * sizeof(*entries));

    for (uint32_t i = 0; entries != NULL && i < count; i++) {
        uint32_t parent = sl_profile_node_at(profile, i)->parent;
        entries[i] = i == 0                    ? UINT32_MAX
                     : is_own(profile, parent) ? i
                                               : entries[parent];
    }
    return entries;
}

void
sl_spans_own(const sl_profile *profile, const uint32_t *entries,
             const sl_profile_span *span, uint32_t *function, uint32_t *line)
{
    uint32_t entry = entries[span->node];

    *function = sl_profile_node_at(profile, span->node)->function;
    *line = span->line;
    if (is_own(profile, span->node) || entry == UINT32_MAX)
        return;
    const sl_profile_node *called = sl_profile_node_at(profile, entry);
    *function = sl_profile_node_at(profile, called->parent)->function;
    *line = called->line;
}

static uint32_t
sum_up(asked *rows, uint32_t count)
{
    uint32_t kept = 0;

    qsort(rows, count, sizeof(*rows), by_place);
    for (uint32_t i = 0; i < count; i++) {
        asked *last = kept > 0 ? &rows[kept - 1] : NULL;
        if (last == NULL || by_words(last, &rows[i]) != 0) {
            rows[kept++] = rows[i];
            continue;
        }
        last->count += rows[i].count;
        last->total_ns += rows[i].total_ns;
        last->outer_ns += rows[i].outer_ns;
        if (rows[i].longest_ns > last->longest_ns)
            last->longest_ns = rows[i].longest_ns;
        if (rows[i].most_ns > last->most_ns) {
            last->most_ns = rows[i].most_ns;
            last->span = rows[i].span;
        }
    }
    qsort(rows, kept, sizeof(*rows), by_time);
    return kept;
}

static int
by_kind(const void *a, const void *b)
{
    const asked *x = a, *y = b;
    return strcmp(x->span->kind, y->span->kind);
}

static void
put_text(sl_json *json, const char *key, const char *text)
{
    sl_json_key(json, key);
    sl_json_str(json, text, strlen(text));
}

/* Sums of each kind; the rows are put in another order. */
static void
put_kinds(sl_json *json, asked *rows, uint32_t count)
{
    qsort(rows, count, sizeof(*rows), by_kind);
    sl_json_key(json, "kinds");
    sl_json_open(json, '[');
    for (uint32_t i = 0, next; i < count; i = next) {
        uint64_t spans = 0, ns = 0;
        for (next = i; next < count && by_kind(&rows[i], &rows[next]) == 0;
             next++) {
            spans += rows[next].count;
            ns += rows[next].outer_ns;
        }
        sl_json_open(json, '{');
        put_text(json, "kind", rows[i].span->kind);
        sl_json_number(json, "count", spans);
        sl_json_number(json, "total_ns", ns);
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
}

static void
put_row(sl_json *json, const sl_profile *profile, const asked *row)
{
    uint32_t function = sl_profile_node_at(profile, row->span->node)->function;

    sl_json_open(json, '{');
    put_text(json, "kind", row->span->kind);
    put_text(json, "text", row->span->text);
    put_text(json, "where", row->span->where);
    sl_json_number(json, "count", row->count);
    sl_json_number(json, "total_ns", row->total_ns);
    sl_json_number(json, "outer_ns", row->outer_ns);
    sl_json_number(json, "longest_ns", row->longest_ns);
    sl_json_number(json, "node", row->span->node);
    sl_json_number(json, "lane", row->span->lane);
    sl_json_key(json, "function");
    sl_put_function(json, sl_profile_function(profile, row->own), row->own);
    sl_json_number(json, "line", row->line);
    sl_json_key(json, "in");
    sl_put_function(json, sl_profile_function(profile, function), function);
    sl_json_close(json, '}');
}

static void
put_firsts(sl_json *json, const sl_profile *profile)
{
    uint32_t put = 0;

    sl_json_key(json, "firsts");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < sl_profile_span_count(profile); i++) {
        const sl_profile_span *span = sl_profile_span_at(profile, i);
        for (uint32_t n = 0; n < span->first_count && put < FIRSTS_MOST;
             n++, put++) {
            sl_json_open(json, '{');
            put_text(json, "kind", span->kind);
            put_text(json, "text", span->text);
            sl_json_number(json, "node", span->node);
            sl_json_number(json, "lane", span->lane);
            sl_json_number(json, "from_ns", span->firsts[n].from_ns);
            sl_json_number(json, "length_ns", span->firsts[n].length_ns);
            put_text(json, "detail", span->firsts[n].detail);
            sl_json_close(json, '}');
        }
    }
    sl_json_close(json, ']');
}

sl_status
sl_report_spans(const sl_profile *profile, uint32_t limit, sl_bytes *out)
{
    uint32_t count = sl_profile_span_count(profile);
    asked *rows = malloc(((size_t)count + 1) * sizeof(*rows));
    sl_buf buf;
    sl_json json = { .out = &buf };

    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    uint32_t *entries = sl_spans_entries(profile);
    if (rows == NULL || entries == NULL) {
        free(rows);
        free(entries);
        buf.status = SL_ENOMEM;
        return sl_buf_finish(&buf, out);
    }
    for (uint32_t i = 0; i < count; i++) {
        const sl_profile_span *span = sl_profile_span_at(profile, i);
        rows[i] = (asked){ .span = span,
                           .count = span->count,
                           .total_ns = span->total_ns,
                           .outer_ns = span->outer_ns,
                           .longest_ns = span->longest_ns,
                           .most_ns = span->total_ns };
        sl_spans_own(profile, entries, span, &rows[i].own, &rows[i].line);
    }
    free(entries);
    sl_json_open(&json, '{');
    sl_json_number(&json, "wall_ns", sl_profile_node_at(profile, 0)->total_ns);
    sl_json_number(&json, "lost", sl_profile_spans_lost(profile));
    put_kinds(&json, rows, count);
    count = sum_up(rows, count);
    sl_json_number(&json, "count", count);
    sl_json_key(&json, "rows");
    sl_json_open(&json, '[');
    for (uint32_t i = 0; i < count && i < (limit == 0 ? ROWS_DEFAULT : limit);
         i++)
        put_row(&json, profile, &rows[i]);
    sl_json_close(&json, ']');
    put_firsts(&json, profile);
    sl_json_close(&json, '}');
    free(rows);
    return sl_buf_finish(&buf, out);
}
