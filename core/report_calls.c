/* Functions and who called whom: callers and callees of one, or a graph. */
#include "calls.h"
#include "report_put.h"

#include "slowlens/report.h"

#include <stdlib.h>

typedef struct {
    const sl_profile *profile;
    sl_calls calls;
    bool *shown;       /* functions */
    uint32_t function; /* or SL_REPORT_ALL */
    uint64_t least, least_pair;
} job;

static bool
pair_shown(const job *j, const sl_call *pair)
{
    if (j->function != SL_REPORT_ALL)
        return pair->caller == j->function || pair->callee == j->function;
    return pair->total_ns >= j->least_pair &&
           j->calls.functions[pair->caller].total_ns >= j->least &&
           j->calls.functions[pair->callee].total_ns >= j->least;
}

static void
choose(job *j)
{
    for (uint32_t i = 0; i < j->calls.function_count; i++)
        j->shown[i] =
            i == j->function || (j->function == SL_REPORT_ALL &&
                                 j->calls.functions[i].total_ns >= j->least &&
                                 j->calls.functions[i].calls > 0);
    for (uint32_t i = 0; i < j->calls.pair_count; i++) {
        const sl_call *pair = &j->calls.pairs[i];
        if (pair_shown(j, pair))
            j->shown[pair->caller] = j->shown[pair->callee] = true;
    }
}

static void
put_job(sl_json *json, const job *j)
{
    sl_json_open(json, '{');
    sl_json_number(json, "wall_ns",
                   sl_profile_node_at(j->profile, 0)->total_ns);
    sl_json_key(json, "functions");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < j->calls.function_count; i++) {
        const sl_call *sum = &j->calls.functions[i];
        if (!j->shown[i])
            continue;
        sl_put_function_open(json, sl_profile_function(j->profile, i), i);
        sl_json_number(json, "calls", sum->calls);
        sl_json_number(json, "self_ns", sum->self_ns);
        sl_json_number(json, "total_ns", sum->total_ns);
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
    sl_json_key(json, "pairs");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < j->calls.pair_count; i++) {
        const sl_call *pair = &j->calls.pairs[i];
        if (!pair_shown(j, pair))
            continue;
        sl_json_open(json, '{');
        sl_json_number(json, "caller", pair->caller);
        sl_json_number(json, "callee", pair->callee);
        sl_json_number(json, "calls", pair->calls);
        sl_json_number(json, "total_ns", pair->total_ns);
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
    sl_json_close(json, '}');
}

sl_status
sl_report_calls(const sl_profile *profile, uint32_t function, uint32_t permille,
                sl_bytes *out)
{
    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns;
    job j = { .profile = profile,
              .function = function,
              .least = wall / 1000 * permille,
              .least_pair = wall / 5000 * permille };
    sl_buf buf;
    sl_json json = { .out = &buf };

    if (function != SL_REPORT_ALL &&
        function >= sl_profile_function_count(profile))
        return SL_ERANGE;
    sl_status status = sl_calls_sum(profile, false, &j.calls);
    if (status < 0)
        return status;
    j.shown = calloc((size_t)j.calls.function_count + 1, sizeof(bool));
    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    if (j.shown == NULL) {
        buf.status = SL_ENOMEM;
    } else {
        choose(&j);
        put_job(&json, &j);
    }
    free(j.shown);
    sl_calls_free(&j.calls);
    return sl_buf_finish(&buf, out);
}
