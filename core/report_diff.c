/* Two profiles beside each other. */
#include "report_asked.h"
#include "report_put.h"
#include "union.h"

#include "slowlens/merge.h"

#include <stdlib.h>

typedef struct {
    uint32_t id;
    uint64_t change; /* of self time, without its sign */
    sl_union_sum side[2];
} function_row;

static void
put_sides(sl_json *json, const sl_union_sum side[2])
{
    for (int i = 0; i < 2; i++) {
        sl_json_key(json, i == 0 ? "before" : "after");
        sl_json_open(json, '{');
        sl_json_number(json, "calls", side[i].calls);
        sl_json_number(json, "resumes", side[i].resumes);
        sl_json_number(json, "self_ns", side[i].self_ns);
        sl_json_number(json, "total_ns", side[i].total_ns);
        sl_json_close(json, '}');
    }
}

static int
row_compare(const void *a, const void *b)
{
    const function_row *x = a, *y = b;
    if (x->change != y->change)
        return x->change < y->change ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The sums of a profile's functions, onto those of the union. */
static void
add_sums(function_row *rows, const sl_profile *profile, int side,
         const uint32_t *numbers)
{
    for (uint32_t i = 0; i < sl_profile_function_count(profile); i++) {
        const sl_profile_sum *from = sl_profile_function_sum(profile, i);
        sl_union_sum_add(&rows[numbers[i]].side[side],
                         &(sl_union_sum){ from->calls, from->resumes,
                                          from->self_ns, from->total_ns });
    }
}

static void
put_functions(sl_json *json, const sl_union *u, function_row *rows,
              uint32_t *index)
{
    for (uint32_t i = 0; i < u->function_count; i++) {
        uint64_t a = rows[i].side[0].self_ns, b = rows[i].side[1].self_ns;
        rows[i].id = i;
        rows[i].change = a > b ? a - b : b - a;
    }
    qsort(rows, u->function_count, sizeof(*rows), row_compare);
    sl_json_key(json, "functions");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < u->function_count; i++) {
        const sl_function *f = &u->functions[rows[i].id];
        index[rows[i].id] = i;
        sl_put_function_open(json, f, i);
        put_sides(json, rows[i].side);
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
}

static void
put_rows(sl_json *json, const sl_union *u, const uint32_t *index,
         uint64_t least)
{
    uint32_t depth = 0, hidden = UINT32_MAX;

    sl_json_key(json, "rows");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i != SL_UNION_END; i = sl_union_next(u, i, &depth)) {
        const sl_union_node *node = &u->nodes[i];
        if (depth > hidden)
            continue;
        hidden = UINT32_MAX;
        if (i != 0 && node->side[0].total_ns < least &&
            node->side[1].total_ns < least) {
            hidden = depth;
            continue;
        }
        sl_json_open(json, '{');
        sl_json_number(json, "node", i);
        sl_json_number(json, "parent", node->parent);
        sl_json_number(json, "function", index[node->function]);
        sl_json_number(json, "depth", depth);
        sl_json_key(json, "strand");
        sl_pseudo pseudo = sl_pseudo_of(&u->functions[node->function]);
        sl_json_bool(json,
                     pseudo == SL_PSEUDO_TASK || pseudo == SL_PSEUDO_THREAD);
        put_sides(json, node->side);
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
}

sl_status
sl_report_diff(const sl_profile *before, const sl_profile *after,
               uint32_t permille, sl_bytes *out)
{
    uint64_t wall[2] = { sl_profile_node_at(before, 0)->total_ns,
                         sl_profile_node_at(after, 0)->total_ns };
    uint64_t longer = wall[0] > wall[1] ? wall[0] : wall[1];
    uint32_t *numbers[2] = { NULL, NULL }, *index = NULL;
    function_row *rows = NULL;
    sl_union u = { 0 };
    sl_buf buf;
    sl_json json = { .out = &buf };

    sl_status status = sl_union_add(&u, before, 0, &numbers[0], NULL);
    if (status == SL_OK)
        status = sl_union_add(&u, after, 1, &numbers[1], NULL);
    if (status == SL_OK) {
        rows = calloc((size_t)u.function_count + 1, sizeof(*rows));
        index = calloc((size_t)u.function_count + 1, sizeof(*index));
        if (rows == NULL || index == NULL)
            status = SL_ENOMEM;
    }
    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    buf.status = status;
    if (status == SL_OK) {
        add_sums(rows, before, 0, numbers[0]);
        add_sums(rows, after, 1, numbers[1]);
        sl_json_open(&json, '{');
        sl_json_number(&json, "before_ns", wall[0]);
        sl_json_number(&json, "after_ns", wall[1]);
        put_functions(&json, &u, rows, index);
        put_rows(&json, &u, index, longer / 1000 * permille);
        status = sl_put_asked_diff(
            &json, (const sl_profile *const[]){ before, after });
        if (status < 0)
            buf.status = status;
        sl_json_close(&json, '}');
    }
    free(numbers[0]);
    free(numbers[1]);
    free(rows);
    free(index);
    sl_union_free(&u);
    return sl_buf_finish(&buf, out);
}
