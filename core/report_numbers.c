/* A table of numbers for its readers: a row a route with percentiles and what
 * became of it over time; and the buckets themselves. */
#include "numbers.h"
#include "report_put.h"

#include <stdlib.h>
#include <string.h>

static const char *const sum_names[SL_NUMBERS_SUMS] = {
#define XX(name, key) key,
    SL_NUMBERS_MAP(XX)
#undef XX
};

static const char *const field_names[SL_NUMBERS_FIELDS] = { "route", "method",
                                                            "release", "host" };

static int
compare_text(const sl_numbers_text *a, const sl_numbers_text *b)
{
    size_t len = a->len < b->len ? a->len : b->len;
    int order = len > 0 ? memcmp(a->text, b->text, len) : 0;

    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int
compare_keys(const sl_numbers_key *a, const sl_numbers_key *b)
{
    int order = 0;

    for (int i = 0; i < SL_NUMBERS_FIELDS && order == 0; i++)
        order = compare_text(&a->field[i], &b->field[i]);
    return order;
}

static int
by_key_and_time(const void *a, const void *b)
{
    const sl_numbers_row *x = *(const sl_numbers_row *const *)a;
    const sl_numbers_row *y = *(const sl_numbers_row *const *)b;
    int order = compare_keys(&x->key, &y->key);

    return order != 0 ? order
                      : (x->from_s > y->from_s) - (x->from_s < y->from_s);
}

/* Rows of one key, which stand together. */
typedef struct {
    const sl_numbers_row **rows;
    uint32_t count;
    uint64_t wall_ns;
} key_group;

static int
by_wall(const void *a, const void *b)
{
    const key_group *x = a, *y = b;

    if (x->wall_ns != y->wall_ns)
        return x->wall_ns < y->wall_ns ? 1 : -1;
    return compare_keys(&x->rows[0]->key, &y->rows[0]->key);
}

/* Sorted rows of the table and groups of them; both to free(). */
static sl_status
group_rows(const sl_numbers *numbers, const sl_numbers_row ***rows_out,
           key_group **groups_out, uint32_t *group_count)
{
    uint32_t n = sl_numbers_rows(numbers), count = 0;
    const sl_numbers_row **rows = calloc((size_t)n + 1, sizeof(*rows));
    key_group *groups = calloc((size_t)n + 1, sizeof(*groups));

    *rows_out = rows;
    *groups_out = groups;
    *group_count = 0;
    if (rows == NULL || groups == NULL)
        return SL_ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        rows[i] = sl_numbers_row_at(numbers, i);
    qsort(rows, n, sizeof(*rows), by_key_and_time);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || compare_keys(&rows[i - 1]->key, &rows[i]->key) != 0)
            groups[count++] = (key_group){ .rows = rows + i };
        groups[count - 1].count++;
        groups[count - 1].wall_ns += rows[i]->wall.sum_ns;
    }
    qsort(groups, count, sizeof(*groups), by_wall);
    *group_count = count;
    return SL_OK;
}

static void
put_key(sl_json *json, const sl_numbers_key *key)
{
    for (int i = 0; i < SL_NUMBERS_FIELDS; i++) {
        sl_json_key(json, field_names[i]);
        sl_json_str(json, key->field[i].text, key->field[i].len);
    }
}

static void
put_sums(sl_json *json, const uint64_t *sums)
{
    sl_json_key(json, "sums");
    sl_json_open(json, '{');
    for (int i = 0; i < SL_NUMBERS_SUMS; i++) {
        if (sums[i] != 0)
            sl_json_number(json, sum_names[i], sums[i]);
    }
    sl_json_close(json, '}');
}

enum { FROM, COUNT, ERRORS, WALL, P50, P95, SERIES };

static uint64_t
series_value(const sl_numbers_row *row, int what)
{
    switch (what) {
    case FROM: return row->from_s;
    case COUNT: return row->count;
    case ERRORS: return row->errors;
    case WALL: return row->wall.sum_ns;
    case P50: return sl_histogram_quantile(&row->wall, .5);
    default: return sl_histogram_quantile(&row->wall, .95);
    }
}

static void
put_series(sl_json *json, const key_group *group, bool periods)
{
    static const char *const names[SERIES] = { "from_s",  "count",  "errors",
                                               "wall_ns", "p50_ns", "p95_ns" };

    sl_json_key(json, "series");
    sl_json_open(json, '{');
    for (int what = 0; what < SERIES; what++) {
        sl_json_key(json, names[what]);
        sl_json_open(json, '[');
        for (uint32_t i = 0; periods && i < group->count; i++)
            sl_json_u64(json, series_value(group->rows[i], what));
        sl_json_close(json, ']');
    }
    sl_json_close(json, '}');
}

static sl_status
add_rows(const key_group *group, sl_arena *arena, sl_numbers_row *sum)
{
    sl_status status = SL_OK;

    *sum = (sl_numbers_row){ .key = group->rows[0]->key };
    for (uint32_t i = 0; i < group->count && status == SL_OK; i++) {
        const sl_numbers_row *row = group->rows[i];
        sum->count += row->count;
        sum->errors += row->errors;
        for (int s = 0; s < SL_NUMBERS_SUMS; s++)
            sum->sums[s] += row->sums[s];
        status = sl_histogram_merge(&sum->wall, arena, &row->wall);
        if (status == SL_OK)
            status = sl_histogram_merge(&sum->cpu, arena, &row->cpu);
    }
    return status;
}

static void
put_group(sl_json *json, const key_group *group, sl_arena *arena, bool periods)
{
    static const struct {
        const char *name;
        double q;
    } walls[] = {
        { "p50_ns", .5 }, { "p90_ns", .9 }, { "p95_ns", .95 }, { "p99_ns", .99 }
    };
    sl_numbers_row sum;
    sl_status status = add_rows(group, arena, &sum);

    if (status < 0)
        json->out->status = status;
    sl_json_open(json, '{');
    put_key(json, &sum.key);
    sl_json_number(json, "count", sum.count);
    sl_json_number(json, "errors", sum.errors);
    sl_json_number(json, "wall_ns", sum.wall.sum_ns);
    sl_json_number(json, "cpu_ns", sum.cpu.sum_ns);
    for (size_t i = 0; i < sizeof(walls) / sizeof(walls[0]); i++)
        sl_json_number(json, walls[i].name,
                       sl_histogram_quantile(&sum.wall, walls[i].q));
    sl_json_number(json, "max_ns", sum.wall.max_ns);
    sl_json_number(json, "cpu_p50_ns", sl_histogram_quantile(&sum.cpu, .5));
    sl_json_number(json, "cpu_p95_ns", sl_histogram_quantile(&sum.cpu, .95));
    put_sums(json, sum.sums);
    put_series(json, group, periods);
    sl_json_close(json, '}');
}

static void
put_total(sl_json *json, const sl_numbers *numbers)
{
    uint64_t errors = 0, wall = 0, cpu = 0;

    for (uint32_t i = 0; i < sl_numbers_rows(numbers); i++) {
        const sl_numbers_row *row = sl_numbers_row_at(numbers, i);
        errors += row->errors;
        wall += row->wall.sum_ns;
        cpu += row->cpu.sum_ns;
    }
    sl_json_number(json, "count", sl_numbers_count(numbers));
    sl_json_number(json, "errors", errors);
    sl_json_number(json, "lost", sl_numbers_lost(numbers));
    sl_json_number(json, "wall_ns", wall);
    sl_json_number(json, "cpu_ns", cpu);
}

sl_status
sl_report_numbers(const sl_numbers *numbers, uint32_t limit, sl_bytes *out)
{
    const sl_numbers_row **rows;
    key_group *groups;
    uint32_t count;
    sl_arena *arena = NULL;
    sl_buf buf;
    sl_json json = { .out = &buf };

    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    buf.status = group_rows(numbers, &rows, &groups, &count);
    if (buf.status == SL_OK)
        buf.status = sl_arena_new(&arena, NULL, 0, SL_REPORT_MAX);
    sl_json_open(&json, '{');
    put_total(&json, numbers);
    sl_json_key(&json, "rows");
    sl_json_open(&json, '[');
    for (uint32_t i = 0;
         buf.status == SL_OK && i < count && (limit == 0 || i < limit); i++) {
        put_group(&json, &groups[i], arena, sl_numbers_has_periods(numbers));
        sl_arena_reset(arena, SL_REPORT_MAX);
    }
    sl_json_close(&json, ']');
    sl_json_close(&json, '}');
    sl_arena_free(arena);
    free(groups);
    free(rows);
    return sl_buf_finish(&buf, out);
}

static void
put_buckets(sl_json *json, const char *key, const sl_histogram *h)
{
    uint32_t low = 0, high = h->width;

    while (low < high && h->buckets[low] == 0)
        low++;
    while (high > low && h->buckets[high - 1] == 0)
        high--;
    sl_json_key(json, key);
    sl_json_open(json, '{');
    sl_json_key(json, "first");
    sl_json_i64(json, (int64_t)h->first + low - 1);
    sl_json_key(json, "counts");
    sl_json_open(json, '[');
    for (uint32_t i = low; i < high; i++)
        sl_json_u64(json, h->buckets[i]);
    sl_json_close(json, ']');
    sl_json_close(json, '}');
}

sl_status
sl_report_histograms(const sl_numbers *numbers, sl_bytes *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };

    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    sl_json_open(&json, '{');
    sl_json_number(&json, "scale", SL_HISTOGRAM_SCALE);
    sl_json_key(&json, "rows");
    sl_json_open(&json, '[');
    for (uint32_t i = 0; i < sl_numbers_rows(numbers); i++) {
        const sl_numbers_row *row = sl_numbers_row_at(numbers, i);
        sl_json_open(&json, '{');
        sl_json_number(&json, "from_s", row->from_s);
        put_key(&json, &row->key);
        sl_json_number(&json, "count", row->count);
        put_buckets(&json, "wall", &row->wall);
        put_buckets(&json, "cpu", &row->cpu);
        sl_json_close(&json, '}');
    }
    sl_json_close(&json, ']');
    sl_json_close(&json, '}');
    return sl_buf_finish(&buf, out);
}
