/* Time of each line of one function. */
#include "report_put.h"

#include "slowlens/report.h"

#include <stdlib.h>

typedef struct {
    uint32_t line;
    uint32_t node; /* the call's, and where its subtree ends; else 0 */
    uint32_t end;
    uint64_t self_ns, cpu_ns, gil_ns, called_ns, calls, hits;
} line_row;

typedef struct {
    line_row *rows;
    size_t count, capacity;
} line_table;

/* One row more; rows of one line are added up later. NULL: no memory. */
static line_row *
line_add(line_table *table, uint32_t line)
{
    if (table->count == table->capacity) {
        size_t capacity = table->capacity == 0 ? 32 : table->capacity * 2;
        line_row *grown = realloc(table->rows, capacity * sizeof(*grown));
        if (grown == NULL)
            return NULL;
        table->rows = grown;
        table->capacity = capacity;
    }
    table->rows[table->count] = (line_row){ .line = line };
    return &table->rows[table->count++];
}

/* What the function called from its lines. */
static bool
add_calls(const sl_profile *profile, uint32_t function, line_table *table)
{
    for (uint32_t i = 1; i < sl_profile_node_count(profile); i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        if (sl_profile_node_at(profile, node->parent)->function != function ||
            sl_profile_is_strand(profile, i))
            continue;
        line_row *row = line_add(table, node->line);
        if (row == NULL)
            return false;
        row->calls = node->calls;
        row->called_ns = node->total_ns;
        row->node = i;
        row->end = i + node->size;
    }
    return true;
}

/* Rows `from` to `to`, all of one node, make up `self_ns` together. */
static bool
add_node(const sl_profile *profile, uint32_t from, uint32_t to,
         uint64_t self_ns, line_table *table)
{
    uint64_t seen = 0;

    for (uint32_t i = from; i < to; i++)
        seen += sl_profile_line_at(profile, i)->wall_ns;
    if (seen == 0) {
        line_row *row = self_ns == 0 ? NULL : line_add(table, 0);
        if (row != NULL)
            row->self_ns = self_ns;
        return row != NULL || self_ns == 0;
    }
    double scale = (double)self_ns / (double)seen;
    for (uint32_t i = from; i < to; i++) {
        const sl_profile_line *line = sl_profile_line_at(profile, i);
        line_row *row = line_add(table, line->line);
        if (row == NULL)
            return false;
        row->self_ns = (uint64_t)((double)line->wall_ns * scale);
        row->cpu_ns = (uint64_t)((double)line->cpu_ns * scale);
        row->gil_ns = (uint64_t)((double)line->gil_ns * scale);
    }
    return true;
}

/* Samples tell the lines; where events told how long (each node's self time),
 * samples only divide that. */
static bool
add_self(const sl_profile *profile, uint32_t function, line_table *table)
{
    bool sampled = sl_profile_is_sampled(profile);
    uint32_t at = 0, count = sl_profile_line_count(profile);

    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        uint64_t seen = 0;
        uint32_t from = at;
        while (at < count && sl_profile_line_at(profile, at)->node == i)
            seen += sl_profile_line_at(profile, at++)->wall_ns;
        if (node->function == function &&
            !add_node(profile, from, at, sampled ? seen : node->self_ns, table))
            return false;
    }
    return true;
}

/* What events told of the function's lines: `any`, if they did. What passed in
 * it beside them is on line 0. */
static bool
add_hits(const sl_profile *profile, uint32_t function, line_table *table,
         bool *any)
{
    uint64_t beside = sl_profile_function_sum(profile, function)->self_ns;

    *any = false;
    for (uint32_t i = 0; i < sl_profile_hit_count(profile); i++) {
        const sl_profile_hit *hit = sl_profile_hit_at(profile, i);
        if (sl_profile_node_at(profile, hit->node)->function != function)
            continue;
        line_row *row = line_add(table, hit->line);
        if (row == NULL)
            return false;
        row->self_ns = hit->self_ns;
        row->hits = hit->hits;
        beside -= hit->self_ns < beside ? hit->self_ns : beside;
        *any = true;
    }
    line_row *row = *any && beside > 0 ? line_add(table, 0) : NULL;
    if (row != NULL)
        row->self_ns = beside;
    return row != NULL || !*any || beside == 0;
}

/* Rows of one line as one; recursion through one line counts once, and so do
 * the samples of it. */
static void
add_up(line_table *table, bool sampled)
{
    size_t kept = 0;

    for (size_t i = 0; i < table->count; i++) {
        const line_row row = table->rows[i];
        if (kept == 0 || table->rows[kept - 1].line != row.line) {
            table->rows[kept++] = row;
            continue;
        }
        line_row *last = &table->rows[kept - 1];
        bool outer = row.node >= last->end;
        last->self_ns += row.self_ns;
        last->cpu_ns += row.cpu_ns;
        last->gil_ns += row.gil_ns;
        last->hits += row.hits;
        if (outer || !sampled)
            last->calls += row.calls;
        if (outer) {
            last->called_ns += row.called_ns;
            last->end = row.end;
        }
    }
    table->count = kept;
}

static int
row_compare(const void *a, const void *b)
{
    const line_row *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

sl_status
sl_report_lines(const sl_profile *profile, uint32_t function, sl_bytes *out)
{
    line_table table = { 0 };
    sl_buf buf;
    sl_json json = { .out = &buf };

    if (function >= sl_profile_function_count(profile))
        return SL_ERANGE;
    const sl_function *f = sl_profile_function(profile, function);
    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    bool counted, fine = add_hits(profile, function, &table, &counted);
    if (!fine || (!counted && !add_self(profile, function, &table)) ||
        !add_calls(profile, function, &table))
        buf.status = SL_ENOMEM;
    if (table.count > 1)
        qsort(table.rows, table.count, sizeof(line_row), row_compare);
    add_up(&table, sl_profile_is_sampled(profile));

    sl_json_open(&json, '{');
    sl_json_number(&json, "function", function);
    sl_json_key(&json, "name");
    sl_json_str(&json, f->name, f->name_len);
    sl_json_key(&json, "file");
    sl_json_str(&json, f->file, f->file_len);
    sl_json_number(&json, "line", f->line);
    sl_json_number(&json, "wall_ns", sl_profile_node_at(profile, 0)->total_ns);
    sl_json_key(&json, "rows");
    sl_json_open(&json, '[');
    for (size_t i = 0; i < table.count; i++) {
        const line_row *row = &table.rows[i];
        sl_json_open(&json, '{');
        sl_json_number(&json, "line", row->line);
        sl_json_number(&json, "self_ns", row->self_ns);
        sl_json_number(&json, "cpu_ns", row->cpu_ns);
        sl_json_number(&json, "gil_ns", row->gil_ns);
        sl_json_number(&json, "called_ns", row->called_ns);
        sl_json_number(&json, "calls", row->calls);
        if (counted)
            sl_json_number(&json, "hits", row->hits);
        sl_json_close(&json, '}');
    }
    sl_json_close(&json, ']');
    sl_json_close(&json, '}');
    free(table.rows);
    return sl_buf_finish(&buf, out);
}
