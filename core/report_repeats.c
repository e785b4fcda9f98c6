/* Calls that are made again and again from one place: what a loop around a
 * query, a request or a template looks like. */
#include "report_put.h"
#include "report_spans.h"

#include "slowlens/report.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_DEFAULT 50u
/* A call is repeated when one call of its caller makes so many... */
#define FAN_OUT 5u
/* ...and the whole request at least these. */
#define CALLS_LEAST 10u

typedef struct {
    uint32_t caller, callee, line, node; /* node: the heaviest such call */
    uint64_t calls, total_ns, most_ns;
    const sl_profile_span *span; /* what was asked for; NULL: it is a call */
} repeat;

static int
by_place(const void *a, const void *b)
{
    const repeat *x = a, *y = b;
    if (x->caller != y->caller)
        return x->caller < y->caller ? -1 : 1;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->callee != y->callee)
        return x->callee < y->callee ? -1 : 1;
    return x->span == NULL || y->span == NULL
               ? 0
               : strcmp(x->span->text, y->span->text);
}

static int
by_time(const void *a, const void *b)
{
    const repeat *x = a, *y = b;
    if (x->total_ns != y->total_ns)
        return x->total_ns < y->total_ns ? 1 : -1;
    return by_place(a, b);
}

static bool
is_pseudo(const sl_profile *profile, const sl_profile_node *node)
{
    return sl_profile_function(profile, node->function)->kind == SL_KIND_PSEUDO;
}

/* Repeated calls of the tree. Below such a call everything is repeated: what
 * counts is where it begins, so callees are looked at with the number of
 * their own caller's calls. */
static uint32_t
collect(const sl_profile *profile, repeat *found)
{
    uint32_t count = 0;

    for (uint32_t i = 1; i < sl_profile_node_count(profile); i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        const sl_profile_node *parent =
            sl_profile_node_at(profile, node->parent);
        uint64_t outer = parent->calls > 0 ? parent->calls : 1;
        /* Strands and waits are no calls, the collector calls from no line;
         * recursion repeats nothing. */
        if (node->calls < outer * FAN_OUT || is_pseudo(profile, node) ||
            is_pseudo(profile, parent) || node->function == parent->function)
            continue;
        found[count++] =
            (repeat){ parent->function, node->function, node->line,     i,
                      node->calls,      node->total_ns, node->total_ns, NULL };
    }
    return count;
}

/* What samples count are not calls; what was asked of others is counted in
 * both modes. */
static uint32_t
collect_spans(const sl_profile *profile, const uint32_t *entries, repeat *found)
{
    uint32_t count = sl_profile_span_count(profile);

    for (uint32_t i = 0; i < count; i++) {
        const sl_profile_span *span = sl_profile_span_at(profile, i);
        repeat *row = &found[i];
        *row = (repeat){
            .callee = sl_profile_node_at(profile, span->node)->function,
            .node = span->node,
            .calls = span->count,
            .total_ns = span->total_ns,
            .most_ns = span->total_ns,
            .span = span,
        };
        sl_spans_own(profile, entries, span, &row->caller, &row->line);
    }
    return count;
}

/* Sums up what stands at the same place. Returns how many are left. */
static uint32_t
sum_up(repeat *found, uint32_t count)
{
    uint32_t kept = 0;

    qsort(found, count, sizeof(*found), by_place);
    for (uint32_t i = 0; i < count; i++) {
        repeat *last = kept > 0 ? &found[kept - 1] : NULL;
        if (last == NULL || by_place(last, &found[i]) != 0) {
            found[kept++] = found[i];
            continue;
        }
        last->calls += found[i].calls;
        last->total_ns += found[i].total_ns;
        if (found[i].most_ns > last->most_ns) {
            last->most_ns = found[i].most_ns;
            last->node = found[i].node;
        }
    }
    qsort(found, kept, sizeof(*found), by_time);
    return kept;
}

static void
put_repeats(sl_json *json, const sl_profile *profile, const repeat *found,
            uint32_t count, uint32_t limit)
{
    uint32_t put = 0;

    sl_json_open(json, '{');
    sl_json_number(json, "wall_ns", sl_profile_node_at(profile, 0)->total_ns);
    sl_json_key(json, "exact");
    sl_json_bool(json, !sl_profile_is_sampled(profile));
    sl_json_key(json, "rows");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < count && put < limit; i++) {
        const repeat *row = &found[i];
        if (row->calls < CALLS_LEAST)
            continue;
        put++;
        sl_json_open(json, '{');
        sl_json_number(json, "node", row->node);
        sl_json_key(json, "function");
        sl_put_function(json, sl_profile_function(profile, row->callee),
                        row->callee);
        sl_json_key(json, "caller");
        sl_put_function(json, sl_profile_function(profile, row->caller),
                        row->caller);
        sl_json_number(json, "call_line", row->line);
        if (row->span != NULL) {
            sl_json_key(json, "text");
            sl_json_str(json, row->span->text, strlen(row->span->text));
        }
        sl_json_number(json, "calls", row->calls);
        sl_json_number(json, "total_ns", row->total_ns);
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
    sl_json_close(json, '}');
}

sl_status
sl_report_repeats(const sl_profile *profile, uint32_t limit, sl_bytes *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };
    repeat *found = malloc(((size_t)sl_profile_node_count(profile) +
                            sl_profile_span_count(profile) + 1) *
                           sizeof(*found));
    uint32_t *entries = sl_spans_entries(profile);

    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    if (found == NULL || entries == NULL) {
        buf.status = SL_ENOMEM;
    } else {
        uint32_t count = sl_profile_is_sampled(profile)
                             ? collect_spans(profile, entries, found)
                             : collect(profile, found);
        count = sum_up(found, count);
        put_repeats(&json, profile, found, count,
                    limit == 0 ? ROWS_DEFAULT : limit);
    }
    free(found);
    free(entries);
    return sl_buf_finish(&buf, out);
}
