/* What several profiles asked of others, by kind and text. */
#include "report_asked.h"
#include "report_put.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 500u

typedef struct {
    uint64_t count, total_ns, outer_ns, longest_ns;
} asked_sum;

/* A row of spans of one profile; equal ones of all profiles make a group. */
typedef struct {
    const sl_profile_span *span;
    size_t profile;
} asked;

typedef struct {
    size_t from;       /* its first row */
    uint64_t weight;   /* what puts it in order */
    asked_sum side[2]; /* of a difference; else the first is all */
    uint64_t most;     /* count, of one profile... */
    size_t worst;      /* ...this one */
    size_t present;    /* profiles that have it */
} asked_group;

static int
by_text(const void *a, const void *b)
{
    const asked *x = a, *y = b;
    int order = strcmp(x->span->kind, y->span->kind);

    if (order == 0)
        order = strcmp(x->span->text, y->span->text);
    if (order == 0 && x->profile != y->profile)
        order = x->profile < y->profile ? -1 : 1;
    return order;
}

static bool
is_alike(const asked *a, const asked *b, bool texts)
{
    return strcmp(a->span->kind, b->span->kind) == 0 &&
           (!texts || strcmp(a->span->text, b->span->text) == 0);
}

static int
by_weight(const void *a, const void *b)
{
    const asked_group *x = a, *y = b;

    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* All rows by kind, text and profile; NULL: no memory. */
static asked *
asked_rows(const sl_profile *const *profiles, size_t count, size_t *rows)
{
    size_t all = 0, at = 0;

    for (size_t p = 0; p < count; p++)
        all += sl_profile_span_count(profiles[p]);
    asked *found = malloc((all + 1) * sizeof(*found));
    if (found == NULL)
        return NULL;
    for (size_t p = 0; p < count; p++) {
        for (uint32_t i = 0; i < sl_profile_span_count(profiles[p]); i++)
            found[at++] = (asked){ sl_profile_span_at(profiles[p], i), p };
    }
    qsort(found, all, sizeof(*found), by_text);
    *rows = all;
    return found;
}

static uint64_t
plus(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

static void
sum_add(asked_sum *to, const sl_profile_span *span)
{
    to->count = plus(to->count, span->count);
    to->total_ns = plus(to->total_ns, span->total_ns);
    to->outer_ns = plus(to->outer_ns, span->outer_ns);
    if (span->longest_ns > to->longest_ns)
        to->longest_ns = span->longest_ns;
}

static uint64_t
apart(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* Groups of rows that have the kind, and the text if `texts`. `sides`: the
 * profiles are before and after. NULL: no memory. */
static asked_group *
asked_groups(const asked *rows, size_t row_count, bool texts, bool sides,
             size_t *count)
{
    asked_group *groups = malloc((row_count + 1) * sizeof(*groups));

    *count = 0;
    for (size_t i = 0; groups != NULL && i < row_count;) {
        asked_group *g = &groups[(*count)++];
        *g = (asked_group){ .from = i };
        while (i < row_count && is_alike(&rows[g->from], &rows[i], texts)) {
            size_t profile = rows[i].profile;
            uint64_t own = 0;
            for (; i < row_count && rows[i].profile == profile &&
                   is_alike(&rows[g->from], &rows[i], texts);
                 i++) {
                sum_add(&g->side[sides ? profile : 0], rows[i].span);
                own = plus(own, rows[i].span->count);
            }
            g->present++;
            if (own > g->most) {
                g->most = own;
                g->worst = profile;
            }
        }
        g->weight = sides ? apart(g->side[0].total_ns, g->side[1].total_ns)
                          : g->side[0].total_ns;
    }
    if (groups != NULL)
        qsort(groups, *count, sizeof(*groups), by_weight);
    return groups;
}

static void
put_sum(sl_json *json, const asked_sum *sum)
{
    sl_json_number(json, "count", sum->count);
    sl_json_number(json, "total_ns", sum->total_ns);
    sl_json_number(json, "outer_ns", sum->outer_ns);
    sl_json_number(json, "longest_ns", sum->longest_ns);
}

static void
put_sides(sl_json *json, const asked_group *group)
{
    for (int i = 0; i < 2; i++) {
        sl_json_key(json, i == 0 ? "before" : "after");
        sl_json_open(json, '{');
        put_sum(json, &group->side[i]);
        sl_json_close(json, '}');
    }
}

static void
put_words(sl_json *json, const sl_profile_span *span, bool texts)
{
    sl_json_text(json, "kind", span->kind);
    if (texts)
        sl_json_text(json, "text", span->text);
}

sl_status
sl_put_asked_diff(sl_json *json, const sl_profile *const both[2])
{
    size_t rows = 0;
    asked *found = asked_rows(both, 2, &rows);
    sl_status status = found == NULL ? SL_ENOMEM : SL_OK;

    for (int texts = 0; texts < 2 && status == SL_OK; texts++) {
        size_t count;
        asked_group *groups =
            asked_groups(found, rows, texts != 0, true, &count);
        if (groups == NULL) {
            status = SL_ENOMEM;
            break;
        }
        sl_json_key(json, texts ? "spans" : "kinds");
        sl_json_open(json, '[');
        for (size_t i = 0; i < count && i < ROWS_MAX; i++) {
            sl_json_open(json, '{');
            put_words(json, found[groups[i].from].span, texts != 0);
            put_sides(json, &groups[i]);
            sl_json_close(json, '}');
        }
        sl_json_close(json, ']');
        free(groups);
    }
    free(found);
    return status;
}

sl_status
sl_put_asked_spread(sl_json *json, const sl_profile *const *profiles,
                    size_t count)
{
    size_t rows = 0, group_count = 0;
    asked *found = asked_rows(profiles, count, &rows);
    asked_group *groups =
        found == NULL ? NULL
                      : asked_groups(found, rows, true, false, &group_count);

    if (groups != NULL) {
        sl_json_key(json, "spans");
        sl_json_open(json, '[');
        for (size_t i = 0; i < group_count && i < ROWS_MAX; i++) {
            const asked_group *g = &groups[i];
            sl_json_open(json, '{');
            put_words(json, found[g->from].span, true);
            put_sum(json, &g->side[0]);
            sl_json_number(json, "most", g->most);
            sl_json_number(json, "worst", g->worst);
            sl_json_number(json, "present", g->present);
            sl_json_close(json, '}');
        }
        sl_json_close(json, ']');
    }
    free(found);
    if (groups == NULL)
        return SL_ENOMEM;
    free(groups);
    return SL_OK;
}
