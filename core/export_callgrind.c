/* Format: the callgrind profile format, version 1
 * (valgrind.org/docs/manual/cl-format.html), names compressed by numbers.
 * The cost is nanoseconds of wall time: on the line where it passed, where
 * samples saw that, else on the line of the definition; a call's on the line
 * that made it. A function's calls of itself carry their count and no cost:
 * callgrind_annotate adds up every call it sees. Where it only went on after a
 * yield it was not called: 0, which readers know from callgrind itself. */
#include "calls.h"
#include "exporters.h"
#include "label.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* "KIND=(NUMBER) name": always with our own number first, so that no name
 * can be taken for one; control characters would end the line. len 0: the
 * number alone, which was given its name before (readers refuse it twice). */
static void
put_name(sl_buf *out, const char *kind, uint32_t number, const char *name,
         size_t len)
{
    char head[48];

    snprintf(head, sizeof(head), "%s=(%" PRIu32 ")%s", kind, number,
             len > 0 ? " " : "");
    sl_buf_put_str(out, head);
    sl_label_text(out, name, len, SL_LABEL_WHOLE);
    sl_buf_put_u8(out, '\n');
}

/* fl= and fn= (or cfi=, cfn=) of a function; its number is file number too. */
static void
put_function(sl_buf *out, const sl_profile *profile, uint32_t i, bool callee,
             bool *named)
{
    const sl_function *f = sl_profile_function(profile, i);
    const char *file = f->file_len > 0 ? f->file : "~";
    size_t file_len = f->file_len > 0 ? f->file_len : 1;
    const char *name = f->name_len > 0 ? f->name : "?";
    size_t name_len = f->name_len > 0 ? f->name_len : 1;

    put_name(out, callee ? "cfi" : "fl", i + 1, file, named[i] ? 0 : file_len);
    put_name(out, callee ? "cfn" : "fn", i + 1, name, named[i] ? 0 : name_len);
    named[i] = true;
}

static int
by_caller(const void *a, const void *b)
{
    const sl_call *x = a, *y = b;
    if (x->caller != y->caller)
        return x->caller < y->caller ? -1 : 1;
    if (x->callee != y->callee)
        return x->callee < y->callee ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

static void
put_cost(sl_buf *out, uint32_t line, uint64_t ns)
{
    char text[48];
    snprintf(text, sizeof(text), "%" PRIu32 " %" PRIu64 "\n", line, ns);
    sl_buf_put_str(out, text);
}

/* Self time of a function on one of its lines. */
typedef struct {
    uint32_t function, line;
    uint64_t ns;
} cost;

static int
by_line(const void *a, const void *b)
{
    const cost *x = a, *y = b;
    if (x->function != y->function)
        return x->function < y->function ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* What samples saw on known lines; free() it. NULL: no memory. */
static cost *
collect_costs(const sl_profile *profile, uint32_t *count)
{
    uint32_t rows = sl_profile_line_count(profile);
    cost *costs = malloc(((size_t)rows + 1) * sizeof(*costs));

    *count = 0;
    for (uint32_t i = 0; costs != NULL && i < rows; i++) {
        const sl_profile_line *row = sl_profile_line_at(profile, i);
        if (row->line != 0)
            costs[(*count)++] =
                (cost){ sl_profile_node_at(profile, row->node)->function,
                        row->line, row->wall_ns };
    }
    if (costs != NULL)
        qsort(costs, *count, sizeof(*costs), by_line);
    return costs;
}

/* The self time of a function, line by line, and the rest of it on the line of
 * its definition. */
static void
put_self(sl_buf *out, const sl_profile *profile, const sl_call *sum,
         const cost *costs, uint32_t count, uint32_t *at)
{
    uint64_t left = sum->self_ns;

    while (*at < count && costs[*at].function == sum->callee) {
        cost one = costs[*at];
        while (++*at < count && by_line(&one, &costs[*at]) == 0)
            one.ns += costs[*at].ns;
        one.ns = one.ns < left ? one.ns : left;
        left -= one.ns;
        put_cost(out, one.line, one.ns);
    }
    put_cost(out, sl_profile_function(profile, sum->callee)->line, left);
}

static void
put_calls(sl_buf *out, const sl_profile *profile, const sl_calls *calls,
          uint32_t caller, uint32_t *at, bool *named)
{
    char line[96];

    for (; *at < calls->pair_count && calls->pairs[*at].caller == caller;
         ++*at) {
        const sl_call *pair = &calls->pairs[*at];
        const sl_function *callee = sl_profile_function(profile, pair->callee);
        put_function(out, profile, pair->callee, true, named);
        snprintf(line, sizeof(line), "calls=%" PRIu64 " %" PRIu32 "\n",
                 pair->calls, callee->line);
        sl_buf_put_str(out, line);
        sl_buf_flow(out);
        put_cost(out,
                 pair->line != 0 ? pair->line
                                 : sl_profile_function(profile, caller)->line,
                 pair->total_ns);
    }
}

static void
put_all(sl_buf *out, const sl_profile *profile, sl_calls *calls,
        const cost *costs, uint32_t cost_count, bool *named)
{
    uint32_t pair_at = 0, cost_at = 0;
    uint64_t sum = 0;
    char line[96];

    for (uint32_t i = 0; i < calls->function_count; i++)
        sum += calls->functions[i].self_ns;
    qsort(calls->pairs, calls->pair_count, sizeof(sl_call), by_caller);
    sl_buf_put_str(out, "# callgrind format\n# counts are ");
    sl_buf_put_str(out, sl_export_counts(sl_export_find("callgrind"), profile));
    sl_buf_put_str(out, "\nversion: 1\n"
                        "creator: slowlens\npositions: line\n"
                        "event: ns : nanoseconds of wall time\nevents: ns\n");
    snprintf(line, sizeof(line), "summary: %" PRIu64 "\n", sum);
    sl_buf_put_str(out, line);
    for (uint32_t i = 0; i < calls->function_count; i++) {
        sl_buf_put_u8(out, '\n');
        put_function(out, profile, i, false, named);
        put_self(out, profile, &calls->functions[i], costs, cost_count,
                 &cost_at);
        put_calls(out, profile, calls, i, &pair_at, named);
        sl_buf_flow(out);
    }
}

void
sl_exporter_callgrind(const sl_profile *profile, sl_buf *out)
{
    sl_calls calls;
    uint32_t cost_count;
    sl_status status = sl_calls_sum(profile, true, &calls);

    if (status < 0) {
        out->status = status;
        return;
    }
    bool *named = calloc((size_t)calls.function_count + 1, sizeof(bool));
    cost *costs = collect_costs(profile, &cost_count);
    if (named == NULL || costs == NULL)
        out->status = SL_ENOMEM;
    else
        put_all(out, profile, &calls, costs, cost_count, named);
    free(named);
    free(costs);
    sl_calls_free(&calls);
}
