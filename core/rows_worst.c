/* The worst rows of each route. */
#include "json.h"
#include "rows_data.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t group; /* route and method */
    uint64_t rank;
    uint32_t row;
} candidate;

static int
compare(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank > y->rank ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static void
put_row(const sl_rows *rows, const candidate *one, const char *list,
        sl_json *json)
{
    size_t method_size, route_size;
    const char *method = rows_text(rows, one->row, SL_ROW_method, &method_size);
    const char *route = rows_text(rows, one->row, SL_ROW_route, &route_size);
    char id[SL_ID_TEXT];
    sl_buf key;

    sl_buf_init(&key, &rows->alloc, 0);
    sl_buf_put(&key, method, method_size);
    sl_buf_put_u8(&key, ' ');
    sl_buf_put(&key, route, route_size);
    sl_json_open(json, '[');
    sl_json_str(json, (const char *)key.data, key.size);
    sl_json_str(json, list, strlen(list));
    sl_json_u64(json, one->rank);
    sl_json_u64(json, rows->narrow[SL_ROW_bytes - SL_ROW_WIDE_COUNT][one->row]);
    sl_id_text(rows->ids[one->row], id);
    sl_json_str(json, id, SL_ID_TEXT);
    sl_json_close(json, ']');
    if (key.status < 0)
        json->out->status = key.status;
    sl_buf_free(&key);
}

/* The first `per_route` of each group of `all`, which is put in order. */
static void
put_list(const sl_rows *rows, candidate *all, size_t count, const char *list,
         uint32_t per_route, sl_json *json)
{
    uint32_t rank = 0;

    qsort(all, count, sizeof(*all), compare);
    for (size_t i = 0; i < count; i++) {
        rank = i > 0 && all[i].group == all[i - 1].group ? rank + 1 : 0;
        if (rank < per_route)
            put_row(rows, &all[i], list, json);
    }
}

static size_t
choose(const sl_rows *rows, bool errors, candidate *all)
{
    const uint32_t *status = rows->narrow[SL_ROW_status - SL_ROW_WIDE_COUNT];
    const uint32_t *route = rows->narrow[SL_ROW_route - SL_ROW_WIDE_COUNT];
    const uint32_t *method = rows->narrow[SL_ROW_method - SL_ROW_WIDE_COUNT];
    const uint64_t *rank = rows->wide[errors ? SL_ROW_started : SL_ROW_wall_ns];
    size_t count = 0;

    for (uint32_t row = 0; row < rows->count; row++) {
        if (rows->states[row] == ROW_SHOWN && (!errors || status[row] >= 500))
            all[count++] =
                (candidate){ (uint64_t)route[row] << 32 | method[row],
                             rank[row], row };
    }
    return count;
}

sl_status
sl_rows_worst(const sl_rows *rows, uint32_t per_route, sl_bytes *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };

    candidate *all = rows->alloc.take(rows->alloc.ctx,
                                      ((size_t)rows->count + 1) * sizeof(*all));
    if (all == NULL)
        return SL_ENOMEM;
    sl_buf_init(&buf, &rows->alloc, 0);
    sl_json_open(&json, '[');
    for (int errors = 0; errors < 2; errors++) {
        size_t count = choose(rows, errors, all);
        put_list(rows, all, count, errors ? "errors" : "slow", per_route,
                 &json);
    }
    sl_json_close(&json, ']');
    rows->alloc.give(rows->alloc.ctx, all);
    return sl_buf_finish(&buf, out);
}
