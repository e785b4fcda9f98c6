/* Numbers of each route, over the rows that are there. */
#include "json.h"
#include "rows_data.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t group; /* route and method */
    uint64_t wall;
    uint32_t row;
} taken;

static int
compare(const void *a, const void *b)
{
    const taken *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->wall != y->wall)
        return x->wall < y->wall ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* Medians of each part of the time that the route's rows span, oldest first.
 * `all` is by wall time. */
static void
put_trend(const sl_rows *rows, const taken *all, size_t count, sl_json *json)
{
    const uint64_t *started = rows->wide[SL_ROW_started];
    uint64_t first = UINT64_MAX, last = 0, median[SL_ROWS_TREND] = { 0 };
    size_t sizes[SL_ROWS_TREND] = { 0 }, seen[SL_ROWS_TREND] = { 0 };

    for (size_t i = 0; i < count; i++) {
        uint64_t at = started[all[i].row];
        first = at < first ? at : first;
        last = at > last ? at : last;
    }
    uint64_t step = (last - first) / SL_ROWS_TREND + 1;
    for (size_t i = 0; i < count; i++)
        sizes[(started[all[i].row] - first) / step]++;
    for (size_t i = 0; i < count; i++) {
        uint64_t part = (started[all[i].row] - first) / step;
        if (seen[part]++ == sizes[part] / 2)
            median[part] = all[i].wall;
    }
    sl_json_key(json, "trend");
    sl_json_open(json, '[');
    for (int part = 0; part < SL_ROWS_TREND; part++)
        sl_json_u64(json, median[part]);
    sl_json_close(json, ']');
}

static uint64_t
rank(const taken *all, size_t count, unsigned percent)
{
    size_t at = count * percent / 100;
    return all[at < count ? at : count - 1].wall;
}

static void
put_route(const sl_rows *rows, const taken *all, size_t count, sl_json *json)
{
    const uint32_t *status = rows->narrow[SL_ROW_status - SL_ROW_WIDE_COUNT];
    uint32_t worst = all[count - 1].row;
    uint64_t total = 0, errors = 0;
    char id[SL_ID_TEXT];
    size_t size;

    for (size_t i = 0; i < count; i++) {
        total += all[i].wall;
        errors += status[all[i].row] >= 500;
    }
    sl_json_open(json, '{');
    const char *text = rows_text(rows, worst, SL_ROW_route, &size);
    sl_json_key(json, "route");
    sl_json_str(json, text, size);
    text = rows_text(rows, worst, SL_ROW_method, &size);
    sl_json_key(json, "method");
    sl_json_str(json, text, size);
    sl_json_number(json, "count", count);
    sl_json_number(json, "errors", errors);
    sl_json_number(json, "p50", rank(all, count, 50));
    sl_json_number(json, "p95", rank(all, count, 95));
    sl_json_number(json, "p99", rank(all, count, 99));
    sl_json_number(json, "max", all[count - 1].wall);
    sl_json_number(json, "total", total);
    sl_id_text(rows->ids[worst], id);
    sl_json_key(json, "worst");
    sl_json_str(json, id, SL_ID_TEXT);
    put_trend(rows, all, count, json);
    sl_json_close(json, '}');
}

static size_t
choose(const sl_rows *rows, const sl_row_text *wanted, taken *all)
{
    const uint32_t *route = rows->narrow[SL_ROW_route - SL_ROW_WIDE_COUNT];
    const uint32_t *method = rows->narrow[SL_ROW_method - SL_ROW_WIDE_COUNT];
    uint32_t number = 0;
    size_t count = 0;

    if (wanted->text != NULL &&
        !sl_words_find(&rows->words[ROWS_TEXT(SL_ROW_route)], wanted->text,
                       wanted->size, &number))
        return 0;
    for (uint32_t row = 0; row < rows->count; row++) {
        if (rows->states[row] == ROW_SHOWN &&
            (wanted->text == NULL || route[row] == number))
            all[count++] = (taken){ (uint64_t)route[row] << 32 | method[row],
                                    rows->wide[SL_ROW_wall_ns][row], row };
    }
    return count;
}

sl_status
sl_rows_routes(const sl_rows *rows, const sl_row_text *route, sl_bytes *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };

    taken *all = rows->alloc.take(rows->alloc.ctx,
                                  ((size_t)rows->count + 1) * sizeof(*all));
    if (all == NULL)
        return SL_ENOMEM;
    size_t count = choose(rows, route, all), end;
    qsort(all, count, sizeof(*all), compare);
    sl_buf_init(&buf, &rows->alloc, 0);
    sl_json_open(&json, '[');
    for (size_t at = 0; at < count; at = end) {
        for (end = at; end < count && all[end].group == all[at].group;)
            end++;
        put_route(rows, all + at, end - at, &json);
    }
    sl_json_close(&json, ']');
    rows->alloc.give(rows->alloc.ctx, all);
    return sl_buf_finish(&buf, out);
}
