/* How often the cohorts' rule names the right cause: routes made by chance.
 *
 *   cohort_rates [ROUTES [REQUESTS]]    a table: cause, right, top three, wrong
 *
 * A route has 50 to 400 functions in a tree, most of them light. Each request
 * takes for each function its usual time, times a lognormal of its own (sigma
 * .1 to .6) and one of the request (8 %); some of the light ones do not always
 * run; now and then one takes much longer (Pareto, 1.5). All is seen by samples
 * of 1 ms; wall time and kinds of waiting are exact. A request is 60 ms at the
 * median, a cause adds about two thirds of that to one in ten (host: all of one
 * host's are 1.8 times as long).
 */
#include "cohort.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTIONS_MAX 400
#define MS            1e6

enum { RUN_QUEUE, GIL, GC, LOOP, LOCK, CLIENT, WAITS };
static const char *const wait_names[WAITS] = { "run queue", "gil",  "gc",
                                               "loop",      "lock", "client" };
enum {
    EXTRA,
    QUERY,
    LOCKED,
    COLLECTOR,
    CACHE,
    HOST,
    TENANT,
    CPU,
    BUSY,
    COLD,
    EXTRA_AND_QUERY,
    LOCK_AND_GC,
    GIL_FIGHT,
    TEMPLATE,
    SLOW_CLIENT,
    NOTHING,
    CAUSES
};
static const char *const cause_names[CAUSES] = {
    "extra call", "slow query", "lock",          "gc",
    "cache miss", "host",       "tenant",        "cpu",
    "loop",       "cold start", "extra + query", "lock + gc",
    "gil",        "template",   "slow client",   "none"
};

static uint64_t state = 88172645463325252u;

static double
uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

static double
gauss(void)
{
    return sqrt(-2 * log(uniform() + 1e-300)) *
           cos(6.283185307179586 * uniform());
}

static uint32_t
below(uint32_t n)
{
    return (uint32_t)(uniform() * n) % n;
}

static double
poisson(double mean)
{
    if (mean > 50)
        return floor(fmax(0, mean + sqrt(mean) * gauss()) + .5);
    double limit = exp(-mean), product = uniform();
    int k = 0;
    while (product > limit && k < 1000) {
        product *= uniform();
        k++;
    }
    return k;
}

typedef struct {
    uint32_t functions, requests, parent[FUNCTIONS_MAX];
    double base[FUNCTIONS_MAX], sigma[FUNCTIONS_MAX], runs[FUNCTIONS_MAX];
    uint32_t guilty, other, tree; /* functions; the subtree's root */
    double *self;                 /* request x function, ns */
    double *wait;                 /* request x wait, ns */
    uint8_t *tagged;              /* 1: host or tenant */
    uint64_t *wall;
} route;

static int
is_below(const route *r, uint32_t f, uint32_t root)
{
    while (f > root)
        f = r->parent[f];
    return f == root;
}

static void
route_make(route *r, uint32_t requests)
{
    double sum = 0;

    r->requests = requests;
    r->functions = 50 + below(FUNCTIONS_MAX - 50);
    for (uint32_t f = 0; f < r->functions; f++) {
        r->parent[f] = f == 0           ? 0
                       : uniform() < .6 ? f - 1 - below(f < 8 ? f : 8)
                                        : below(f);
        r->base[f] = pow(uniform() + 1e-4, -.9); /* few are heavy */
        r->sigma[f] = .1 + .5 * uniform();
        sum += r->base[f];
    }
    for (uint32_t f = 0; f < r->functions; f++) {
        r->base[f] *= 60 * MS / sum;
        r->runs[f] =
            r->base[f] < MS && uniform() < .15 ? .2 + .7 * uniform() : 1;
    }
    r->guilty = 1 + below(r->functions - 1);
    r->runs[r->guilty] = 1;
    do
        r->other = 1 + below(r->functions - 1);
    while (r->other == r->guilty);
    /* A subtree of several functions, and a twentieth to a third of the time.
     */
    r->tree = 0;
    for (int tries = 0; tries < 3000 && r->tree == 0; tries++) {
        uint32_t root = 1 + below(r->functions - 1), size = 0;
        double share = 0;
        for (uint32_t f = root; f < r->functions; f++) {
            if (is_below(r, f, root)) {
                size++;
                share += r->base[f];
            }
        }
        if (size >= 3 && size <= r->functions / 3 && share < 20 * MS &&
            share > 3 * MS)
            r->tree = root;
    }
    r->self = calloc((size_t)requests * r->functions, sizeof(double));
    r->wait = calloc((size_t)requests * WAITS, sizeof(double));
    r->tagged = calloc(requests, 1);
    r->wall = calloc(requests, sizeof(uint64_t));
}

static void
route_free(route *r)
{
    free(r->self);
    free(r->wait);
    free(r->tagged);
    free(r->wall);
}

static double
added(void)
{
    return 40 * MS * exp(.25 * gauss());
}

/* Wait of a kind; the function that was on top has the time, too. */
static void
waits(route *r, uint32_t q, int kind, uint32_t function, double ns)
{
    r->wait[(size_t)q * WAITS + (size_t)kind] += ns;
    r->self[(size_t)q * r->functions + function] += ns;
}

/* All functions wait in proportion. */
static void
stretched(route *r, uint32_t q, int kind, double times)
{
    double *self = &r->self[(size_t)q * r->functions];
    for (uint32_t f = 0; f < r->functions; f++) {
        if (kind >= 0)
            r->wait[(size_t)q * WAITS + (size_t)kind] += self[f] * (times - 1);
        self[f] *= times;
    }
}

static void
subtree(route *r, uint32_t q, double ns)
{
    double *self = &r->self[(size_t)q * r->functions], sum = 0;
    for (uint32_t f = r->tree; f < r->functions; f++)
        sum += is_below(r, f, r->tree) ? self[f] : 0;
    for (uint32_t f = r->tree; f < r->functions && sum > 0; f++)
        self[f] *= is_below(r, f, r->tree) ? 1 + ns / sum : 1;
}

static void
cause_apply(route *r, uint32_t q, int cause)
{
    double *self = &r->self[(size_t)q * r->functions];
    bool hit = uniform() < .1;

    if (cause == EXTRA || cause == EXTRA_AND_QUERY)
        self[r->guilty] = 0; /* it is the call that comes on top */
    if (cause == HOST) {
        r->tagged[q] = uniform() < .15;
        if (r->tagged[q])
            stretched(r, q, -1, 1.8);
        return;
    }
    if (cause == COLD) {
        if (q < r->requests / 33)
            self[r->guilty] += 200 * MS * exp(.2 * gauss());
        else
            self[r->guilty] = 0;
        return;
    }
    if (!hit)
        return;
    switch (cause) {
    case EXTRA: self[r->guilty] = added(); break;
    case QUERY: self[r->guilty] += added(); break;
    case LOCKED: waits(r, q, LOCK, r->guilty, added()); break;
    case COLLECTOR: waits(r, q, GC, below(r->functions), added()); break;
    case CACHE:
    case TEMPLATE: subtree(r, q, added()); break;
    case TENANT:
        r->tagged[q] = 1;
        self[r->guilty] += added();
        break;
    case CPU: stretched(r, q, RUN_QUEUE, 1.8); break;
    case GIL_FIGHT: stretched(r, q, GIL, 1.8); break;
    case BUSY: waits(r, q, LOOP, r->guilty, added()); break;
    case EXTRA_AND_QUERY:
        self[r->guilty] = added() / 2;
        self[r->other] += added() / 2;
        break;
    case LOCK_AND_GC:
        waits(r, q, LOCK, r->guilty, added() / 2);
        waits(r, q, GC, below(r->functions), added() / 2);
        break;
    case SLOW_CLIENT: r->wait[(size_t)q * WAITS + CLIENT] += added(); break;
    default: break;
    }
}

static void
route_run(route *r, int cause)
{
    for (uint32_t q = 0; q < r->requests; q++) {
        double *self = &r->self[(size_t)q * r->functions],
               *wait = &r->wait[(size_t)q * WAITS];
        double common = exp(.08 * gauss()), wall = 0;
        for (uint32_t f = 0; f < r->functions; f++) {
            if (uniform() < r->runs[f])
                self[f] = r->base[f] * common * exp(r->sigma[f] * gauss());
        }
        if (uniform() < .05)
            self[below(r->functions)] +=
                2 * MS * pow(uniform() + 1e-3, -1 / 1.5);
        for (int k = 0; k < WAITS; k++) /* a little of each, always */
            waits(r, q, k, below(r->functions), .2 * MS * exp(gauss()));
        cause_apply(r, q, cause);
        for (uint32_t f = 0; f < r->functions; f++) {
            wall += self[f];
            self[f] = poisson(self[f] / MS) * MS;
        }
        wall += wait[CLIENT]; /* of no function */
        r->wall[q] = (uint64_t)wall;
    }
}

typedef struct {
    sl_cohort_cell *cells;
    size_t count;
    uint8_t classes[2 * FUNCTIONS_MAX + WAITS];
    uint32_t parents[2 * FUNCTIONS_MAX + WAITS];
} table;

static void
cells_make(const route *r, table *t)
{
    uint32_t n = r->functions;
    double *totals = calloc((size_t)r->requests * n, sizeof(double));

    t->cells =
        malloc((size_t)r->requests * (2 * n + WAITS) * sizeof(*t->cells));
    t->count = 0;
    memcpy(totals, r->self, (size_t)r->requests * n * sizeof(double));
    for (uint32_t q = 0; q < r->requests; q++)
        for (uint32_t f = n; f-- > 1;)
            totals[(size_t)q * n + r->parent[f]] += totals[(size_t)q * n + f];
    for (uint32_t feature = 0; feature < 2 * n + WAITS; feature++) {
        t->classes[feature] = feature < WAITS       ? SL_COHORT_WAIT
                              : feature < WAITS + n ? SL_COHORT_FUNCTION
                                                    : SL_COHORT_NODE;
        uint32_t f = feature - WAITS - n;
        t->parents[feature] = feature <= WAITS + n ? SL_COHORT_NO_PARENT
                                                   : WAITS + n + r->parent[f];
        for (uint32_t q = 0; q < r->requests; q++) {
            double ns = feature < WAITS ? r->wait[(size_t)q * WAITS + feature]
                        : feature < WAITS + n
                            ? r->self[(size_t)q * n + feature - WAITS]
                            : totals[(size_t)q * n + feature - WAITS - n];
            if (ns > 0)
                t->cells[t->count++] =
                    (sl_cohort_cell){ q, feature, (uint64_t)ns };
        }
    }
    free(totals);
}

/* Whether what is told is the cause, or a part of it. */
static bool
is_right(const route *r, int cause, uint32_t feature)
{
    uint32_t f = feature >= WAITS + r->functions
                     ? feature - WAITS - r->functions
                     : feature - WAITS;
    bool node = feature >= WAITS + r->functions;

    switch (cause) {
    case EXTRA:
    case QUERY:
    case TENANT:
    case COLD: return feature >= WAITS && f == r->guilty;
    case EXTRA_AND_QUERY:
        return feature >= WAITS && (f == r->guilty || f == r->other);
    case LOCKED: return feature == LOCK || (feature >= WAITS && f == r->guilty);
    case COLLECTOR: return feature == GC;
    case CACHE:
    case TEMPLATE:
        return feature >= WAITS &&
               (is_below(r, f, r->tree) || (node && r->parent[r->tree] == f));
    case CPU: return feature == RUN_QUEUE;
    case BUSY: return feature == LOOP;
    case LOCK_AND_GC: return feature == LOCK || feature == GC;
    case GIL_FIGHT: return feature == GIL;
    case SLOW_CLIENT: return feature == CLIENT;
    default: return false;
    }
}

int
main(int argc, char **argv)
{
    uint32_t routes = argc > 1 ? (uint32_t)atoi(argv[1]) : 100;
    uint32_t requests = argc > 2 ? (uint32_t)atoi(argv[2]) : 300;

    printf("%-14s %6s %6s %6s %6s\n", "cause", "first", "top 3", "wrong",
           "none");
    for (int cause = 0; cause < CAUSES; cause++) {
        uint32_t first = 0, three = 0, wrong = 0, silent = 0;
        state = 88172645463325252u + (uint64_t)cause * 7919;
        for (uint32_t i = 0; i < routes; i++) {
            route r = { 0 };
            table t = { 0 };
            size_t count = 0;
            route_make(&r, requests);
            route_run(&r, cause);
            cells_make(&r, &t);
            uint8_t *group = calloc(requests, 1);
            sl_cohort_row *rows =
                calloc(2 * FUNCTIONS_MAX + WAITS, sizeof(*rows));
            sl_cohort_split(r.wall, requests, group);
            sl_cohort c = { t.cells,   t.count,   r.wall,
                            group,     requests,  true,
                            t.classes, t.parents, 2 * r.functions + WAITS };
            sl_cohort_rows(&c, rows, 2 * FUNCTIONS_MAX + WAITS, &count);
            uint32_t slow = 0, usual = 0, a = 0, b = 0;
            for (uint32_t q = 0; q < requests; q++) {
                slow += group[q] == SL_COHORT_SLOW;
                usual += group[q] == SL_COHORT_USUAL;
                a += group[q] == SL_COHORT_SLOW && r.tagged[q];
                b += group[q] == SL_COHORT_USUAL && r.tagged[q];
            }
            bool named = count > 0 && rows[0].named;
            bool tag =
                sl_cohort_is_more(a, b, slow, usual, 3) && cause != TENANT;
            bool right = named ? is_right(&r, cause, rows[0].feature)
                               : cause == HOST && tag;
            bool any = right;
            for (size_t k = 0; k < 3 && k < count && rows[k].named; k++)
                any = any || is_right(&r, cause, rows[k].feature);
            if (getenv("COHORT_TELL") != NULL &&
                (cause < NOTHING ? !right : named))
                printf("  %s: named %d feature %u share %.2f expected %.2f low "
                       "%.2f new %.1e has %u of %u, %u of %u; of %u functions, "
                       "guilty %u tree %u\n",
                       cause_names[cause], named, rows[0].feature,
                       rows[0].share, rows[0].expected, rows[0].low,
                       rows[0].p_new, rows[0].slow_has, slow, rows[0].usual_has,
                       usual, r.functions, WAITS + r.guilty,
                       WAITS + r.functions + r.tree);
            first += right;
            three += any;
            wrong += named && !right;
            silent += !named && !tag;
            free(group);
            free(rows);
            free(t.cells);
            route_free(&r);
        }
        printf("%-14s %6.2f %6.2f %6.2f %6.2f\n", cause_names[cause],
               (double)first / routes, (double)three / routes,
               (double)wrong / routes, (double)silent / routes);
    }
    (void)wait_names;
    return 0;
}
