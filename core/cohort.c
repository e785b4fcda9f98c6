/* What some requests do differently: shares of the gap, and who is named. */
#include "cohort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Named from this lower bound of its share on. */
#define NAMED_LOW .15
/* A place of the tree must exceed its expectation by this: 1 / (1 - expected)
 * would name the outermost wrapper, of which nearly all time is expected. */
#define NODE_EXCESS .2
/* A place below it that explains so much of the same is told instead. */
#define NODE_BELOW .8
/* A wait is told before functions if it explains so much of the best one's. */
#define WAIT_LEAST .75
/* What is new must explain this much, and be new beyond this doubt. */
#define NEW_SHARE .15
#define NEW_P     .01

typedef struct {
    uint64_t wall;
    uint32_t request;
} placed;

static int
by_wall(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    if (x->wall != y->wall)
        return x->wall < y->wall ? -1 : 1;
    return x->request < y->request ? -1 : x->request > y->request;
}

sl_status
sl_cohort_split(const uint64_t *wall_ns, uint32_t requests, uint8_t *group)
{
    placed *order = malloc(((size_t)requests + 1) * sizeof(*order));
    uint32_t slow = requests / 10 < 10 ? 10 : requests / 10;

    if (order == NULL)
        return SL_ENOMEM;
    if (slow > requests / 5)
        slow = requests / 5;
    for (uint32_t i = 0; i < requests; i++)
        order[i] = (placed){ wall_ns[i], i };
    qsort(order, requests, sizeof(*order), by_wall);
    for (uint32_t i = 0; i < requests; i++) {
        uint8_t in = SL_COHORT_REST;
        if (i >= requests - slow)
            in = SL_COHORT_SLOW;
        else if (i >= requests / 4 && i < requests - requests / 4)
            in = SL_COHORT_USUAL;
        group[order[i].request] = in;
    }
    free(order);
    return SL_OK;
}

double
sl_cohort_fisher(uint32_t a, uint32_t b, uint32_t slow, uint32_t usual)
{
    uint32_t has = a + b;
    uint32_t first = has > usual ? has - usual : 0;
    uint32_t last = has < slow ? has : slow;
    double weight = 1, all = 0, tail = 0;

    /* Weights of the hypergeometric distribution, each from the one before;
     * brought down whenever they grow beyond what a double adds up well. */
    for (uint32_t x = first; x <= last; x++) {
        all += weight;
        if (x >= a)
            tail += weight;
        if (x == last)
            break;
        weight *= (double)(slow - x) * (double)(has - x) /
                  ((double)(x + 1) * ((double)usual - has + x + 1));
        if (all > 1e200) {
            all /= 1e200;
            tail /= 1e200;
            weight /= 1e200;
        }
    }
    return all > 0 ? tail / all : 1;
}

bool
sl_cohort_is_more(uint32_t a, uint32_t b, uint32_t slow, uint32_t usual,
                  uint32_t tried)
{
    if (a < 4 || (double)a * usual < 2 * (double)b * slow)
        return false;
    return sl_cohort_fisher(a, b, slow, usual) * tried < .01;
}

sl_cohort_gap
sl_cohort_measure(const sl_cohort *c)
{
    sl_cohort_gap gap = { 0 };
    double squares[2] = { 0, 0 };

    for (uint32_t i = 0; i < c->requests; i++) {
        if (c->group[i] == SL_COHORT_SLOW) {
            gap.slow++;
            gap.slow_ns += (double)c->wall_ns[i];
        } else if (c->group[i] == SL_COHORT_USUAL) {
            gap.usual++;
            gap.usual_ns += (double)c->wall_ns[i];
        }
    }
    gap.slow_ns /= gap.slow > 0 ? gap.slow : 1;
    gap.usual_ns /= gap.usual > 0 ? gap.usual : 1;
    gap.enough = c->by_wall ? c->requests >= SL_COHORT_LEAST
                            : gap.slow >= SL_COHORT_LEAST_GROUP &&
                                  gap.usual >= SL_COHORT_LEAST_GROUP &&
                                  gap.slow + gap.usual >= SL_COHORT_LEAST;
    for (uint32_t i = 0; i < c->requests; i++) {
        double wall = (double)c->wall_ns[i];
        if (c->group[i] == SL_COHORT_SLOW)
            squares[1] += (wall - gap.slow_ns) * (wall - gap.slow_ns);
        else if (c->group[i] == SL_COHORT_USUAL)
            squares[0] += (wall - gap.usual_ns) * (wall - gap.usual_ns);
    }
    if (gap.slow > 1 && gap.usual > 1) {
        double error = sqrt(squares[1] / gap.slow / (gap.slow - 1) +
                            squares[0] / gap.usual / (gap.usual - 1));
        double over = fabs(gap.slow_ns - gap.usual_ns);
        gap.apart = over > 2.6 * error && over > gap.usual_ns / 20;
    }
    return gap;
}

/* ---- one feature ---- */

typedef struct {
    const sl_cohort *c;
    sl_cohort_gap gap;
    uint32_t *slow;  /* the slow requests, in their order */
    double *column;  /* scratch, by request */
    double iqr_wall; /* squared */
    uint32_t tried;
} measure;

static int
by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The interquartile range, squared, of `seen` numbers and as many zeros that
 * there are `all`; sorts the numbers. */
static double
spread(double *numbers, size_t seen, size_t all)
{
    double quartile[2];

    qsort(numbers, seen, sizeof(*numbers), by_number);
    for (int q = 0; q < 2; q++) {
        size_t at = (all - 1) * (q == 0 ? 1 : 3) / 4, zeros = all - seen;
        quartile[q] = at < zeros ? 0 : numbers[at - zeros];
    }
    return (quartile[1] - quartile[0]) * (quartile[1] - quartile[0]);
}

static double
cut(double share)
{
    return share > 1 ? 1 : share < -1 ? -1 : share;
}

/* Chosen by wall time: the mean of the shares, and its standard error. */
static double
share_by_wall(measure *m, const sl_cohort_cell *cells, size_t count,
              sl_cohort_row *row)
{
    const sl_cohort *c = m->c;
    double sum = 0, squares = 0;
    size_t at = 0;

    for (uint32_t s = 0; s < m->gap.slow; s++) {
        uint32_t request = m->slow[s];
        while (at < count && cells[at].request < request)
            at++;
        double x = at < count && cells[at].request == request
                       ? (double)cells[at].ns
                       : 0;
        double over = (double)c->wall_ns[request] - m->gap.usual_ns;
        double share = over > 0 ? cut((x - row->usual_ns) / over) : 0;
        sum += share;
        squares += share * share;
        row->over_half += share > .5;
    }
    row->share = sum / m->gap.slow;
    double variance = squares / m->gap.slow - row->share * row->share;
    return variance > 0 ? sqrt(variance / (m->gap.slow - 1)) : 0;
}

/* Chosen by something else: the difference of the means. */
static double
share_of_means(measure *m, const sl_cohort_cell *cells, size_t count,
               sl_cohort_row *row)
{
    double gap = m->gap.slow_ns - m->gap.usual_ns, squares[2] = { 0, 0 };
    double slow = row->slow_ns, usual = row->usual_ns;
    size_t seen[2] = { 0, 0 };

    for (size_t i = 0; i < count; i++) {
        uint8_t in = m->c->group[cells[i].request];
        if (in == SL_COHORT_REST)
            continue;
        double mean = in == SL_COHORT_SLOW ? slow : usual;
        double off = (double)cells[i].ns - mean;
        squares[in == SL_COHORT_SLOW] += off * off;
        seen[in == SL_COHORT_SLOW]++;
        row->over_half += in == SL_COHORT_SLOW && gap > 0 &&
                          (double)cells[i].ns - usual > gap / 2;
    }
    squares[1] += (double)(m->gap.slow - seen[1]) * slow * slow;
    squares[0] += (double)(m->gap.usual - seen[0]) * usual * usual;
    row->share = cut((slow - usual) / gap);
    return sqrt(squares[1] / m->gap.slow / (m->gap.slow - 1) +
                squares[0] / m->gap.usual / (m->gap.usual - 1)) /
           fabs(gap);
}

static void
measure_feature(measure *m, const sl_cohort_cell *cells, size_t count,
                sl_cohort_row *row)
{
    const sl_cohort *c = m->c;
    sl_cohort_class class = (sl_cohort_class)c->classes[row->feature];

    for (size_t i = 0; i < count; i++) {
        uint8_t in = c->group[cells[i].request];
        if (in == SL_COHORT_SLOW) {
            row->slow_ns += (double)cells[i].ns;
            row->slow_has += cells[i].ns > 0;
        } else if (in == SL_COHORT_USUAL) {
            row->usual_ns += (double)cells[i].ns;
            row->usual_has += cells[i].ns > 0;
        }
        m->column[i] = (double)cells[i].ns;
    }
    row->slow_ns /= m->gap.slow;
    row->usual_ns /= m->gap.usual;
    row->p_new = 1;
    double error = c->by_wall ? share_by_wall(m, cells, count, row)
                              : share_of_means(m, cells, count, row);

    row->expected = row->usual_ns / m->gap.usual_ns;
    if (row->expected > .95)
        row->expected = .95;
    /* Sorting costs most: only for what can be named at all. */
    if (c->by_wall && row->share > .1 && m->iqr_wall > 0) {
        double part = spread(m->column, count, c->requests) / m->iqr_wall;
        if (part > row->expected)
            row->expected = part > .95 ? .95 : part;
    }
    double left = 1 - row->expected;
    row->k = (row->share - row->expected) / left;
    row->low = row->k - 1.96 * error / left;
    if (row->share > .1 && class != SL_COHORT_WAIT &&
        row->slow_has + row->usual_has < m->gap.slow + m->gap.usual)
        row->p_new = sl_cohort_fisher(row->slow_has, row->usual_has,
                                      m->gap.slow, m->gap.usual);
}

static void
name_row(const measure *m, sl_cohort_row *row)
{
    sl_cohort_class class = (sl_cohort_class)m->c->classes[row->feature];

    row->p_new = row->p_new * m->tried > 1 ? 1 : row->p_new * m->tried;
    bool new = row->share > NEW_SHARE && row->p_new < NEW_P;
    row->named =
        (row->low > NAMED_LOW || new) &&
        (class != SL_COHORT_NODE || row->share - row->expected > NODE_EXCESS);
}

/* Of places that lie in one another, the deepest that still explains nearly
 * all. */
static sl_status
drop_wrappers(const sl_cohort *c, sl_cohort_row *rows, size_t count)
{
    uint32_t *row_of = malloc(((size_t)c->features + 1) * sizeof(*row_of));

    if (row_of == NULL)
        return SL_ENOMEM;
    memset(row_of, 0xFF, (size_t)c->features * sizeof(*row_of));
    for (size_t i = 0; i < count; i++)
        row_of[rows[i].feature] = (uint32_t)i;
    for (size_t i = 0; i < count; i++) {
        uint32_t above = c->parents[rows[i].feature];
        if (c->classes[rows[i].feature] != SL_COHORT_NODE || !rows[i].named ||
            above == SL_COHORT_NO_PARENT || row_of[above] == UINT32_MAX)
            continue;
        sl_cohort_row *wrapper = &rows[row_of[above]];
        if (rows[i].share >= NODE_BELOW * wrapper->share)
            wrapper->wraps = true;
    }
    for (size_t i = 0; i < count; i++)
        rows[i].named = rows[i].named && !rows[i].wraps;
    free(row_of);
    return SL_OK;
}

/* Named first; of these by class, then by what they explain. */
typedef struct {
    sl_cohort_row row;
    uint8_t class;
} ranked;

static int
by_rank(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->row.named != y->row.named)
        return x->row.named ? -1 : 1;
    if (x->row.named && x->class != y->class)
        return x->class < y->class ? -1 : 1;
    if (x->row.k != y->row.k)
        return x->row.k > y->row.k ? -1 : 1;
    return x->row.feature < y->row.feature ? -1 : 1;
}

static sl_status
rank_rows(const sl_cohort *c, sl_cohort_row *rows, size_t count)
{
    ranked *all = malloc((count + 1) * sizeof(*all));
    double best = 0;

    if (all == NULL)
        return SL_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].named &&
            c->classes[rows[i].feature] == SL_COHORT_FUNCTION &&
            rows[i].k > best)
            best = rows[i].k;
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t class = c->classes[rows[i].feature];
        /* A wait that explains less than some function is another matter. */
        if (class == SL_COHORT_WAIT && rows[i].k < WAIT_LEAST * best)
            class = SL_COHORT_FUNCTION;
        all[i] = (ranked){ rows[i], class };
    }
    qsort(all, count, sizeof(*all), by_rank);
    for (size_t i = 0; i < count; i++)
        rows[i] = all[i].row;
    free(all);
    return SL_OK;
}

static sl_status
measure_init(measure *m, const sl_cohort *c)
{
    uint32_t slow = 0;

    *m = (measure){ .c = c, .gap = sl_cohort_measure(c) };
    m->slow = malloc(((size_t)c->requests + 1) * sizeof(*m->slow));
    m->column = malloc(((size_t)c->requests + 1) * sizeof(*m->column));
    if (m->slow == NULL || m->column == NULL)
        return SL_ENOMEM;
    for (uint32_t i = 0; i < c->requests; i++) {
        m->column[i] = (double)c->wall_ns[i];
        if (c->group[i] == SL_COHORT_SLOW)
            m->slow[slow++] = i;
    }
    if (c->requests > 0)
        m->iqr_wall = spread(m->column, c->requests, c->requests);
    return SL_OK;
}

sl_status
sl_cohort_rows(const sl_cohort *c, sl_cohort_row *rows, size_t room,
               size_t *count)
{
    measure m;
    sl_status status = measure_init(&m, c);
    bool fine = m.gap.slow > 1 && m.gap.usual > 1 && m.gap.usual_ns > 0 &&
                m.gap.slow_ns != m.gap.usual_ns;

    *count = 0;
    for (size_t i = 0, end; status == SL_OK && fine && i < c->count; i = end) {
        uint32_t feature = c->cells[i].feature;
        for (end = i; end < c->count && c->cells[end].feature == feature;)
            end++;
        if (*count == room)
            break;
        sl_cohort_row *row = &rows[(*count)++];
        *row = (sl_cohort_row){ .feature = feature };
        measure_feature(&m, &c->cells[i], end - i, row);
        m.tried++;
    }
    for (size_t i = 0; i < *count; i++) {
        if (m.gap.enough && m.gap.apart && m.gap.slow_ns > m.gap.usual_ns)
            name_row(&m, &rows[i]);
    }
    if (status == SL_OK)
        status = drop_wrappers(c, rows, *count);
    if (status == SL_OK)
        status = rank_rows(c, rows, *count);
    free(m.slow);
    free(m.column);
    return status;
}
