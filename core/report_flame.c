/* The tree in columns, for whoever lays it out in pictures. */
#include "report_put.h"

#include "slowlens/alloc.h"
#include "slowlens/report.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_DEFAULT 200000u

/* Totals are counted by their four leading bits: 8 buckets for each power of
 * two. */
#define BUCKETS (64 * 8)

static unsigned
bucket_of(uint64_t ns)
{
    if (ns < 8)
        return (unsigned)ns;
    unsigned top = 63 - (unsigned)__builtin_clzll(ns);
    return (top - 2) * 8 + (unsigned)(ns >> (top - 3) & 7);
}

/* The least total of bucket `at`. */
static uint64_t
bucket_least(unsigned at)
{
    if (at < 8)
        return at;
    return (uint64_t)(8 + at % 8) << (at / 8 - 1);
}

/* The least total with which at most `limit` nodes of a subtree are left. */
static uint64_t
least_of(const sl_profile *profile, uint32_t node, uint32_t limit)
{
    uint32_t counts[BUCKETS] = { 0 }, left = limit;
    uint32_t end = node + sl_profile_node_at(profile, node)->size;

    if (end - node <= limit)
        return 0;
    for (uint32_t i = node; i < end; i++)
        counts[bucket_of(sl_profile_node_at(profile, i)->total_ns)]++;
    unsigned at = BUCKETS;
    while (at > 0 && counts[at - 1] <= left)
        left -= counts[--at];
    return bucket_least(at);
}

/* A node that is left, with all that is told of it: a column is read down these
 * rows, not across a whole tree. */
typedef struct {
    uint32_t node, parent, function, line;
    uint64_t calls, self_ns, total_ns;
    bool strand;
} flame_row;

typedef struct {
    flame_row *rows; /* in preorder */
    uint32_t count;
    uint32_t *functions; /* number + 1 among those that are named; 0: not */
    uint32_t function_count;
} flame;

static void
flame_collect(flame *f, const sl_profile *profile, uint32_t node,
              uint64_t least)
{
    uint32_t end = node + sl_profile_node_at(profile, node)->size, up = 0;

    for (uint32_t i = node; i < end;) {
        const sl_profile_node *at = sl_profile_node_at(profile, i);
        /* What a child has its parent has too, but for strands beside it. */
        if (i != node && at->total_ns < least) {
            i += at->size;
            continue;
        }
        /* Up from the row before: each is left for good but once. */
        while (i != node && f->rows[up].node != at->parent)
            up = f->rows[up].parent;
        if (f->functions[at->function] == 0)
            f->functions[at->function] = ++f->function_count;
        f->rows[f->count] =
            (flame_row){ .node = i,
                         .parent = up,
                         .function = f->functions[at->function] - 1,
                         .line = at->line,
                         .calls = at->calls + at->resumes,
                         .self_ns = at->self_ns,
                         .total_ns = at->total_ns,
                         .strand = sl_profile_is_strand(profile, i) };
        up = f->count++;
        i++;
    }
}

static void
put_named(sl_json *json, const flame *f, const sl_profile *profile,
          uint32_t *order)
{
    for (uint32_t i = 0; i < sl_profile_function_count(profile); i++) {
        if (f->functions[i] != 0)
            order[f->functions[i] - 1] = i;
    }
    sl_json_key(json, "functions");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < f->function_count; i++)
        sl_put_function(json, sl_profile_function(profile, order[i]), order[i]);
    sl_json_close(json, ']');
}

typedef enum {
    COLUMN_NODE,
    COLUMN_PARENT,
    COLUMN_FUNCTION,
    COLUMN_LINE,
    COLUMN_CALLS,
    COLUMN_SELF,
    COLUMN_TOTAL,
    COLUMN_STRAND,
    COLUMNS
} column;

static uint64_t
cell(const flame_row *row, column which)
{
    switch (which) {
    case COLUMN_NODE: return row->node;
    case COLUMN_PARENT: return row->parent;
    case COLUMN_FUNCTION: return row->function;
    case COLUMN_LINE: return row->line;
    case COLUMN_CALLS: return row->calls;
    case COLUMN_SELF: return row->self_ns;
    case COLUMN_TOTAL: return row->total_ns;
    default: return row->strand;
    }
}

static void
put_columns(sl_json *json, const flame *f)
{
    static const char *const names[COLUMNS] = { "nodes",    "parents",
                                                "function", "call_lines",
                                                "calls",    "self_ns",
                                                "total_ns", "strands" };

    for (int which = 0; which < COLUMNS; which++) {
        sl_json_key(json, names[which]);
        sl_json_open(json, '[');
        for (uint32_t i = 0; i < f->count; i++)
            sl_json_u64(json, cell(&f->rows[i], (column)which));
        sl_json_close(json, ']');
    }
}

sl_status
sl_report_flame(const sl_profile *profile, uint32_t node, uint32_t limit,
                sl_bytes *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };

    if (node >= sl_profile_node_count(profile))
        return SL_ERANGE;
    uint32_t size = sl_profile_node_at(profile, node)->size;
    size_t functions = sl_profile_function_count(profile);
    if (limit == 0)
        limit = ROWS_DEFAULT;
    uint64_t least = least_of(profile, node, limit);
    /* The first one is there in any case. */
    size_t rows = (size_t)(size < limit ? size : limit) + 1;
    size_t bytes = rows * sizeof(flame_row);
    flame f = {
        .rows = sl_alloc_filled(malloc(bytes), bytes),
        .functions = calloc(functions + 1, sizeof(uint32_t)),
    };
    uint32_t *order = calloc(functions + 1, sizeof(uint32_t));
    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    if (f.rows == NULL || f.functions == NULL || order == NULL) {
        buf.status = SL_ENOMEM;
    } else {
        flame_collect(&f, profile, node, least);
        sl_json_open(&json, '{');
        sl_json_number(&json, "node", node);
        sl_json_number(&json, "wall_ns",
                       sl_profile_node_at(profile, 0)->total_ns);
        sl_json_key(&json, "truncated");
        sl_json_bool(&json, f.count < size);
        sl_json_number(&json, "least_ns", least);
        put_named(&json, &f, profile, order);
        put_columns(&json, &f);
        sl_json_close(&json, '}');
    }
    free(f.rows);
    free(f.functions);
    free(order);
    return sl_buf_finish(&buf, out);
}
