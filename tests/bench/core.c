/* What the core's own work costs, in one run: build with -DSL_TESTS=ON, run
 * build/c/tests/bench_core. Prints one JSON object a line. */
#include "numbers.h"

#include "slowlens/sql.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t
random_bits(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double
uniform(void)
{
    return (double)(random_bits() >> 11) / 9007199254740992.0;
}

enum { ROUTES = 200, REQUESTS = 1000000, HOURS = 24, SHAPES = 4096 };

static struct {
    sl_numbers_key key;
    char route[40];
} routes[ROUTES];
static sl_numbers_request requests[SHAPES];
static uint16_t order[SHAPES]; /* routes by Zipf's law */

static void
make_requests(void)
{
    double total = 0, rank;

    for (int i = 0; i < ROUTES; i++) {
        int len = snprintf(routes[i].route, sizeof(routes[i].route),
                           "/api/v1/things-%d/{id}/parts/", i);
        routes[i].key.field[0] =
            (sl_numbers_text){ routes[i].route, (size_t)len };
        routes[i].key.field[1] = (sl_numbers_text){ "GET", 3 };
        routes[i].key.field[2] = (sl_numbers_text){ "3f2a9c1d7b", 10 };
        routes[i].key.field[3] = (sl_numbers_text){ "web-1.example", 13 };
        total += 1. / (i + 1);
    }
    for (int i = 0; i < SHAPES; i++) {
        double normal =
            sqrt(-2 * log(uniform() + 1e-12)) * cos(6.283185307 * uniform());
        requests[i].wall_ns = (uint64_t)(30e6 * exp(normal));
        requests[i].cpu_ns = requests[i].wall_ns / 2;
        for (int s = 0; s < SL_NUMBERS_SUMS; s++)
            requests[i].sums[s] = random_bits() & 0xFFFF;
        rank = uniform() * total;
        order[i] = 0;
        while (rank > 1. / (order[i] + 1) && order[i] < ROUTES - 1)
            rank -= 1. / (++order[i]);
    }
}

static void
bench_numbers(void)
{
    sl_numbers_options minute = { .period_s = 60 };
    sl_numbers_options hour = { .period_s = 3600,
                                .max_rows = 1 << 16,
                                .max_bytes = 256u << 20 };
    sl_numbers_options page = { .period_s = 3600,
                                .apart = 1u << SL_NUMBERS_ROUTE |
                                         1u << SL_NUMBERS_METHOD,
                                .max_rows = 1 << 16,
                                .max_bytes = 256u << 20 };
    sl_bytes hours[HOURS], json;
    sl_numbers *numbers;
    double best = 1e9, start;
    size_t stored = 0;

    for (int run = 0; run < 9; run++) {
        sl_numbers_new(&numbers, &minute, NULL);
        for (int pass = 0; pass < 2; pass++) { /* the second one is timed */
            start = seconds();
            for (int i = 0; i < SHAPES; i++)
                sl_numbers_add(numbers, 0, &routes[order[i]].key, &requests[i]);
        }
        double took = (seconds() - start) / SHAPES * 1e9;
        best = took < best ? took : best;
        sl_numbers_free(numbers);
    }
    printf("{\"what\":\"numbers: add one request\",\"ns\":%.1f}\n", best);

    for (int h = 0; h < HOURS; h++) {
        sl_numbers_new(&numbers, &hour, NULL);
        for (int i = 0; i < REQUESTS / HOURS; i++) {
            int n = (int)(random_bits() % SHAPES),
                m = (int)(random_bits() % SHAPES);
            sl_numbers_add(numbers, (uint64_t)h * 3600, &routes[order[n]].key,
                           &requests[m]);
        }
        sl_numbers_encode(numbers, 1, &hours[h]);
        stored += hours[h].size;
        sl_numbers_free(numbers);
    }
    best = 1e9;
    size_t held = 0;
    for (int run = 0; run < 9; run++) {
        start = seconds();
        sl_numbers_new(&numbers, &page, NULL);
        for (int h = 0; h < HOURS; h++) {
            if (sl_numbers_merge(numbers, hours[h].data, hours[h].size, NULL) <
                0)
                exit(1);
        }
        sl_report_numbers(numbers, 0, &json);
        double took = seconds() - start;
        best = took < best ? took : best;
        held = sl_numbers_bytes(numbers) + json.size;
        if (run < 8)
            sl_bytes_free(&json);
        if (run < 8)
            sl_numbers_free(numbers);
    }
    printf("{\"what\":\"numbers: page of %u routes, %llu requests, %d hours\","
           "\"ms\":%.2f,\"held_mib\":%.2f,\"json_kib\":%.0f,"
           "\"stored_kib\":%.0f}\n",
           (unsigned)ROUTES, (unsigned long long)sl_numbers_count(numbers),
           HOURS, best * 1e3, (double)held / 1048576, (double)json.size / 1024,
           (double)stored / 1024);
    sl_bytes_free(&json);
    sl_numbers_free(numbers);
    for (int h = 0; h < HOURS; h++)
        sl_bytes_free(&hours[h]);
}

static void
bench_shape(void)
{
    static const char sql[] =
        "SELECT \"auth_user\".\"id\", \"auth_user\".\"password\", "
        "\"auth_user\".\"last_login\" FROM \"auth_user\" WHERE "
        "(\"auth_user\".\"id\" = 12345 AND \"auth_user\".\"name\" = 'smith') "
        "ORDER BY 1 LIMIT 21";
    char out[512];
    size_t len = 0;
    double best = 1e9;

    for (int run = 0; run < 9; run++) {
        double start = seconds();
        for (int i = 0; i < 20000; i++)
            len += sl_sql_shape(sql, sizeof(sql) - 1, SL_SQL_POSTGRESQL, out,
                                sizeof(out));
        double took = (seconds() - start) / 20000 * 1e9;
        best = took < best ? took : best;
    }
    printf(
        "{\"what\":\"sql: shape of %u bytes\",\"ns\":%.0f,\"written\":%zu}\n",
        (unsigned)sizeof(sql) - 1, best, len / 9 / 20000);
}

int
main(void)
{
    bench_shape();
    make_requests();
    bench_numbers();
    return 0;
}
