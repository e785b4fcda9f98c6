/* What slow requests do differently, on tables made by hand and by chance. How
 * often the rule is right: tests/bench/cohort_rates.c. */
#include "suites.h"

#include "cohort.h"

#include <stdlib.h>
#include <string.h>

#define REQUESTS 300u
#define FEATURES 8u

/* A route of FEATURES functions: feature 7 is the place above all of them. */
typedef struct {
    uint64_t table[FEATURES][REQUESTS];
    uint64_t wall[REQUESTS];
    uint8_t group[REQUESTS], classes[FEATURES];
    uint32_t parents[FEATURES];
    sl_cohort_cell cells[FEATURES * REQUESTS];
    sl_cohort_row rows[FEATURES];
    size_t count;
    uint32_t requests;
} route;

static uint32_t chance = 1;

static uint32_t
below(uint32_t n)
{
    chance = chance * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)chance * n) >> 32);
}

static route *
route_new(uint32_t requests)
{
    route *r = calloc(1, sizeof(*r));

    chance = 7;
    r->requests = requests;
    for (uint32_t f = 0; f < FEATURES; f++) {
        r->classes[f] = f == 7 ? SL_COHORT_NODE : SL_COHORT_FUNCTION;
        r->parents[f] = SL_COHORT_NO_PARENT;
        for (uint32_t q = 0; q < requests && f < 7; q++)
            r->table[f][q] = 1000 * (f + 1) + below(500 * (f + 1));
    }
    return r;
}

static void
route_sum(route *r)
{
    for (uint32_t q = 0; q < r->requests; q++) {
        r->table[7][q] = 0;
        for (uint32_t f = 0; f < 7; f++)
            r->table[7][q] += r->table[f][q];
        r->wall[q] = r->table[7][q] + 100;
    }
}

static void
route_ask(route *r, bool by_wall)
{
    sl_cohort c = { .cells = r->cells,
                    .wall_ns = r->wall,
                    .group = r->group,
                    .requests = r->requests,
                    .by_wall = by_wall,
                    .classes = r->classes,
                    .parents = r->parents,
                    .features = FEATURES };

    for (uint32_t f = 0; f < FEATURES; f++) {
        for (uint32_t q = 0; q < r->requests; q++) {
            if (r->table[f][q] > 0)
                r->cells[c.count++] = (sl_cohort_cell){ q, f, r->table[f][q] };
        }
    }
    if (by_wall)
        ck_assert_int_eq(sl_cohort_split(r->wall, r->requests, r->group),
                         SL_OK);
    ck_assert_int_eq(sl_cohort_rows(&c, r->rows, FEATURES, &r->count), SL_OK);
}

START_TEST(fishers_test)
{
    /* (C(10,8) C(10,2) + C(10,9) C(10,1) + 1) / C(20,10) */
    ck_assert_double_eq_tol(sl_cohort_fisher(8, 2, 10, 10), 2126. / 184756,
                            1e-12);
    ck_assert_double_eq_tol(sl_cohort_fisher(0, 5, 10, 10), 1, 1e-12);
    ck_assert_double_eq_tol(sl_cohort_fisher(0, 0, 0, 0), 1, 1e-12);
    ck_assert_double_lt(sl_cohort_fisher(900, 0, 1000, 1000), 1e-200);
    ck_assert_double_ge(sl_cohort_fisher(900, 0, 1000, 1000), 0);
    ck_assert(sl_cohort_is_more(10, 5, 30, 150, 3));
    ck_assert(!sl_cohort_is_more(3, 0, 30, 150, 3));
    ck_assert(!sl_cohort_is_more(10, 40, 30, 150, 3));
}
END_TEST

START_TEST(a_tenth_is_slow_and_the_middle_half_usual)
{
    uint64_t wall[REQUESTS];
    uint8_t group[REQUESTS];
    uint32_t sizes[3] = { 0, 0, 0 };

    for (uint32_t q = 0; q < REQUESTS; q++)
        wall[q] = 1000 - q;
    ck_assert_int_eq(sl_cohort_split(wall, REQUESTS, group), SL_OK);
    for (uint32_t q = 0; q < REQUESTS; q++)
        sizes[group[q]]++;
    ck_assert_uint_eq(sizes[SL_COHORT_SLOW], 30);
    ck_assert_uint_eq(sizes[SL_COHORT_USUAL], 150);
    ck_assert_uint_eq(group[0], SL_COHORT_SLOW);
    ck_assert_uint_eq(group[REQUESTS - 1], SL_COHORT_REST);
    ck_assert_int_eq(sl_cohort_split(wall, 0, group), SL_OK);
    ck_assert_int_eq(sl_cohort_split(wall, 1, group), SL_OK);
    ck_assert_uint_ne(group[0], SL_COHORT_SLOW);
}
END_TEST

START_TEST(what_is_new_is_named_and_no_wrapper)
{
    route *r = route_new(REQUESTS);
    memset(r->table[0], 0, sizeof(r->table[0]));
    for (uint32_t q = 0; q < REQUESTS; q += 10)
        r->table[0][q] = 20000 + below(5000);
    route_sum(r);
    route_ask(r, true);
    ck_assert(r->rows[0].named);
    ck_assert_uint_eq(r->rows[0].feature, 0);
    ck_assert_double_gt(r->rows[0].share, .8);
    ck_assert_double_lt(r->rows[0].expected, .01);
    ck_assert_double_lt(r->rows[0].p_new, 1e-10);
    ck_assert_uint_eq(r->rows[0].slow_has, 30);
    ck_assert_uint_eq(r->rows[0].usual_has, 0);
    ck_assert(!r->rows[1].named); /* heavy ones, and the place above */
    free(r);
}
END_TEST

START_TEST(a_wait_comes_before_who_suffered_it)
{
    route *r = route_new(REQUESTS);
    r->classes[6] = SL_COHORT_WAIT;
    memset(r->table[6], 0, sizeof(r->table[6]));
    for (uint32_t q = 0; q < REQUESTS; q += 9)
        r->table[0][q] += 20000;
    route_sum(r);
    for (uint32_t q = 0; q < REQUESTS; q += 9)
        r->table[6][q] = 19000;
    route_ask(r, true);
    ck_assert(r->rows[0].named && r->rows[1].named);
    ck_assert_uint_eq(r->rows[0].feature, 6);
    ck_assert_uint_eq(r->rows[1].feature, 0);
    free(r);
}
END_TEST

START_TEST(of_places_the_deepest)
{
    route *r = route_new(REQUESTS);
    r->classes[0] = r->classes[1] = SL_COHORT_NODE; /* 7 > 1 > 0 */
    r->parents[0] = 1;
    r->parents[1] = 7;
    for (uint32_t q = 0; q < REQUESTS; q += 10)
        r->table[0][q] += 20000;
    for (uint32_t q = 0; q < REQUESTS; q++)
        r->table[1][q] = r->table[0][q] + 500;
    route_sum(r);
    route_ask(r, true);
    ck_assert(r->rows[0].named);
    ck_assert_uint_eq(r->rows[0].feature, 0);
    ck_assert(!r->rows[1].named);
    free(r);
}
END_TEST

START_TEST(nothing_is_named_without_a_cause)
{
    route *r = route_new(REQUESTS);
    route_sum(r);
    route_ask(r, true);
    for (size_t i = 0; i < r->count; i++)
        ck_assert(!r->rows[i].named);
    free(r);
}
END_TEST

START_TEST(few_or_equal_requests_say_nothing)
{
    for (uint32_t requests = 0; requests < SL_COHORT_LEAST; requests++) {
        route *r = route_new(requests);
        for (uint32_t q = 0; q < requests; q += 10)
            r->table[0][q] = 90000;
        route_sum(r);
        route_ask(r, true);
        ck_assert(r->count == 0 || !r->rows[0].named);
        free(r);
    }
    route *r = route_new(REQUESTS);
    for (uint32_t f = 0; f < 7; f++)
        for (uint32_t q = 0; q < REQUESTS; q++)
            r->table[f][q] = 1000; /* all are tied */
    route_sum(r);
    route_ask(r, true);
    ck_assert(r->count == 0 || !r->rows[0].named);
    free(r);
}
END_TEST

START_TEST(groups_that_were_named)
{
    route *r = route_new(REQUESTS);
    for (uint32_t q = 0; q < REQUESTS; q++) {
        r->group[q] = q % 3 == 0 ? SL_COHORT_SLOW : SL_COHORT_USUAL;
        r->table[2][q] += q % 3 == 0 ? 5000 : 0;
    }
    route_sum(r);
    route_ask(r, false);
    ck_assert(r->rows[0].named);
    ck_assert_uint_eq(r->rows[0].feature, 2);
    ck_assert_double_eq_tol(r->rows[0].share, 1, .1);
    for (uint32_t q = 0; q < REQUESTS; q++)
        r->group[q] = q % 2 == 0 ? SL_COHORT_SLOW : SL_COHORT_USUAL;
    route_ask(r, false);
    ck_assert(!r->rows[0].named); /* no such groups */
    free(r);
}
END_TEST

Suite *
cohort_suite(void)
{
    const TTest *const tests[] = { fishers_test,
                                   a_tenth_is_slow_and_the_middle_half_usual,
                                   what_is_new_is_named_and_no_wrapper,
                                   a_wait_comes_before_who_suffered_it,
                                   of_places_the_deepest,
                                   nothing_is_named_without_a_cause,
                                   few_or_equal_requests_say_nothing,
                                   groups_that_were_named,
                                   NULL };
    return suite_of("cohort", tests);
}
