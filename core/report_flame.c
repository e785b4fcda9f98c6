/* The tree in columns, for whoever lays it out in pictures. */
#include "report_put.h"

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

typedef struct {
    uint32_t *nodes; /* those that are left, in preorder */
    uint32_t *index; /* of a node among them, less the first node */
    uint32_t count;
    uint32_t *functions; /* number + 1 among those that are named; 0: not */
    uint32_t function_count;
} flame;

static void
flame_collect(flame *f, const sl_profile *profile, uint32_t node,
              uint64_t least)
{
    uint32_t end = node + sl_profile_node_at(profile, node)->size;

    for (uint32_t i = node; i < end;) {
        const sl_profile_node *at = sl_profile_node_at(profile, i);
        /* What a child has its parent has too, but for strands beside it. */
        if (i != node && at->total_ns < least) {
            i += at->size;
            continue;
        }
        f->index[i - node] = f->count;
        f->nodes[f->count++] = i++;
        if (f->functions[at->function] == 0)
            f->functions[at->function] = ++f->function_count;
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
cell(const flame *f, const sl_profile *profile, column which, uint32_t i)
{
    uint32_t number = f->nodes[i];
    const sl_profile_node *node = sl_profile_node_at(profile, number);

    switch (which) {
    case COLUMN_NODE: return number;
    case COLUMN_PARENT:
        return i == 0 ? 0 : f->index[node->parent - f->nodes[0]];
    case COLUMN_FUNCTION: return f->functions[node->function] - 1;
    case COLUMN_LINE: return node->line;
    case COLUMN_CALLS: return node->calls + node->resumes;
    case COLUMN_SELF: return node->self_ns;
    case COLUMN_TOTAL: return node->total_ns;
    default: return sl_profile_is_strand(profile, number);
    }
}

static void
put_columns(sl_json *json, const flame *f, const sl_profile *profile)
{
    static const char *const names[COLUMNS] = { "nodes",    "parents",
                                                "function", "call_lines",
                                                "calls",    "self_ns",
                                                "total_ns", "strands" };

    for (int which = 0; which < COLUMNS; which++) {
        sl_json_key(json, names[which]);
        sl_json_open(json, '[');
        for (uint32_t i = 0; i < f->count; i++)
            sl_json_u64(json, cell(f, profile, (column)which, i));
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
    uint64_t least = least_of(profile, node, limit == 0 ? ROWS_DEFAULT : limit);
    flame f = {
        .nodes = malloc(size * sizeof(uint32_t)),
        .index = malloc(size * sizeof(uint32_t)),
        .functions = calloc(functions + 1, sizeof(uint32_t)),
    };
    uint32_t *order = calloc(functions + 1, sizeof(uint32_t));
    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    if (f.nodes == NULL || f.index == NULL || f.functions == NULL ||
        order == NULL) {
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
        put_columns(&json, &f, profile);
        sl_json_close(&json, '}');
    }
    free(f.nodes);
    free(f.index);
    free(f.functions);
    free(order);
    return sl_buf_finish(&buf, out);
}
