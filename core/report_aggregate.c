/* Many profiles of one route as one tree: what each node took in the mean, in
 * the worst twentieth, and in which profile it was worst. */
#include "report_asked.h"
#include "report_put.h"
#include "union.h"

#include "slowlens/merge.h"

#include <stdlib.h>

#define ROWS_MAX 20000u

typedef struct {
    uint32_t *nodes, *depths; /* rows: nodes of the union, in preorder */
    uint32_t count;
    uint64_t *totals; /* by row, then profile */
} aggregate;

/* Rows whose total is at least `least`, none below one that is left out. */
static uint32_t
choose(const sl_union *u, uint64_t least, uint32_t *nodes, uint32_t *depths)
{
    uint32_t depth = 0, hidden = UINT32_MAX, count = 0;

    for (uint32_t i = 0; i != SL_UNION_END && count < ROWS_MAX;
         i = sl_union_next(u, i, &depth)) {
        if (depth > hidden)
            continue;
        hidden = UINT32_MAX;
        if (i != 0 && u->nodes[i].side[0].total_ns < least) {
            hidden = depth;
            continue;
        }
        if (nodes != NULL) {
            nodes[count] = i;
            depths[count] = depth;
        }
        count++;
    }
    return count;
}

/* What each profile has at each row: maps[p] says which node of the union each
 * of its nodes is. */
static sl_status
fill(aggregate *a, const sl_union *u, const sl_profile *const *profiles,
     size_t count, uint32_t *const *maps)
{
    uint32_t *row_of = malloc(((size_t)u->node_count + 1) * sizeof(*row_of));

    if (row_of == NULL)
        return SL_ENOMEM;
    for (uint32_t i = 0; i < u->node_count; i++)
        row_of[i] = UINT32_MAX;
    for (uint32_t row = 0; row < a->count; row++)
        row_of[a->nodes[row]] = row;
    for (size_t p = 0; p < count; p++) {
        for (uint32_t i = 0; i < sl_profile_node_count(profiles[p]); i++) {
            uint32_t row = row_of[maps[p][i]];
            if (row == UINT32_MAX)
                continue;
            uint64_t *total = &a->totals[(size_t)row * count + p];
            *total = sl_union_plus(
                *total, sl_profile_node_at(profiles[p], i)->total_ns);
        }
    }
    free(row_of);
    return SL_OK;
}

static int
by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void
put_row(sl_json *json, const sl_union *u, const aggregate *a, uint32_t row,
        size_t count)
{
    const sl_union_node *node = &u->nodes[a->nodes[row]];
    uint64_t *totals = a->totals + (size_t)row * count;
    size_t worst = 0, present = 0;

    for (size_t p = 0; p < count; p++) {
        present += totals[p] > 0;
        if (totals[p] > totals[worst])
            worst = p;
    }
    qsort(totals, count, sizeof(*totals), by_number);
    sl_json_open(json, '{');
    sl_json_number(json, "node", a->nodes[row]);
    sl_json_number(json, "parent", node->parent);
    sl_json_number(json, "function", node->function);
    sl_json_number(json, "depth", a->depths[row]);
    sl_json_number(json, "call_line", node->line);
    sl_json_number(json, "calls", node->side[0].calls);
    sl_json_number(json, "resumes", node->side[0].resumes);
    sl_json_number(json, "self_ns", node->side[0].self_ns);
    sl_json_number(json, "total_ns", node->side[0].total_ns);
    sl_json_number(json, "p95_ns", totals[(count * 95 + 99) / 100 - 1]);
    sl_json_number(json, "max_ns", totals[count - 1]);
    sl_json_number(json, "worst", worst);
    sl_json_number(json, "present", present);
    sl_json_close(json, '}');
}

static sl_status
put_all(sl_json *json, const sl_union *u, const aggregate *a,
        const sl_profile *const *profiles, size_t count)
{
    sl_json_open(json, '{');
    sl_json_number(json, "count", count);
    sl_json_number(json, "total_ns", u->nodes[0].side[0].total_ns);
    sl_json_key(json, "functions");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < u->function_count; i++)
        sl_put_function(json, &u->functions[i], i);
    sl_json_close(json, ']');
    sl_json_key(json, "rows");
    sl_json_open(json, '[');
    for (uint32_t row = 0; row < a->count; row++)
        put_row(json, u, a, row, count);
    sl_json_close(json, ']');
    sl_status status = sl_put_asked_spread(json, profiles, count);
    sl_json_close(json, '}');
    return status;
}

static void
free_all(aggregate *a, uint32_t **maps, size_t count)
{
    for (size_t p = 0; maps != NULL && p < count; p++)
        free(maps[p]);
    free(maps);
    free(a->nodes);
    free(a->depths);
    free(a->totals);
}

sl_status
sl_report_aggregate(const sl_profile *const *profiles, size_t count,
                    uint32_t permille, sl_bytes *out)
{
    sl_union u = { .with_lines = true };
    aggregate a = { 0 };
    uint32_t **maps = count == 0 ? NULL : calloc(count, sizeof(*maps));
    sl_buf buf;
    sl_json json = { .out = &buf };

    if (count == 0)
        return SL_ERANGE;
    sl_status status = maps == NULL ? SL_ENOMEM : SL_OK;
    for (size_t p = 0; p < count && status == SL_OK; p++)
        status = sl_union_add(&u, profiles[p], 0, NULL, &maps[p]);
    if (status == SL_OK) {
        uint64_t least = u.nodes[0].side[0].total_ns / 1000 * permille;
        a.count = choose(&u, least, NULL, NULL);
        a.nodes = calloc(a.count, sizeof(uint32_t));
        a.depths = calloc(a.count, sizeof(uint32_t));
        a.totals = calloc((size_t)a.count * count, sizeof(uint64_t));
        if (a.nodes == NULL || a.depths == NULL || a.totals == NULL) {
            status = SL_ENOMEM;
        } else {
            choose(&u, least, a.nodes, a.depths);
            status = fill(&a, &u, profiles, count, maps);
        }
    }
    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    buf.status = status;
    if (status == SL_OK) {
        status = put_all(&json, &u, &a, profiles, count);
        if (status < 0)
            buf.status = status;
    }
    free_all(&a, maps, count);
    sl_union_free(&u);
    return sl_buf_finish(&buf, out);
}
