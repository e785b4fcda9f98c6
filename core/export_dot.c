/* Format: the DOT language of Graphviz. Functions and who called whom;
 * a node is coloured by its self time, an edge as thick as its time. What
 * took less than half a percent (edges: a tenth) is left out. */
#include "buf.h"
#include "calls.h"
#include "hotpath.h"

#include "slowlens/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORT_MAX    ((size_t)1 << 30)
#define NODE_PERMILLE 5
#define EDGE_PERMILLE 1

/* A name inside a quoted string: nothing of it ends the string, or is taken
 * for one of DOT's own escapes. */
static void
put_name(sl_buf *out, const sl_function *f)
{
    sl_buf name;

    sl_buf_init(&name, NULL, EXPORT_MAX);
    sl_hotpath_name(f, &name);
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (c == '"' || c == '\\')
            sl_buf_put_u8(out, '\\');
        sl_buf_put_u8(out, c < 0x20 || c == 0x7F ? '?' : c);
    }
    if (name.status < 0)
        out->status = name.status;
    sl_buf_free(&name);
}

static double
percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part * 100.0 / (double)whole : 0;
}

static void
put_node(sl_buf *out, const sl_profile *profile, const sl_call *sum,
         uint64_t wall)
{
    char line[160];
    double self = percent(sum->self_ns, wall);

    snprintf(line, sizeof(line), "  n%" PRIu32 " [label=\"", sum->callee);
    sl_buf_put_str(out, line);
    put_name(out, sl_profile_function(profile, sum->callee));
    /* From blue through yellow to red, as gprof2dot's readers know it; dark
     * letters on light ground, so that the colour is not the only word. */
    double hue = self >= 50 ? 0.0 : 0.66 - self / 50 * 0.66;
    snprintf(line, sizeof(line),
             "\\n%.1f %% (%.1f %% self)\\n%" PRIu64
             "x\", fillcolor=\"%.3f 0.35 1.000\"];\n",
             percent(sum->total_ns, wall), self, sum->calls, hue);
    sl_buf_put_str(out, line);
}

sl_status
sl_export_dot(const sl_profile *profile, sl_bytes *out)
{
    sl_calls calls;
    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns;
    sl_buf buf;
    char line[160];
    sl_status status = sl_calls_sum(profile, &calls);
    if (status < 0)
        return status;

    uint8_t *shown = calloc((size_t)calls.function_count + 1, 1);
    sl_buf_init(&buf, NULL, EXPORT_MAX);
    if (shown == NULL)
        buf.status = SL_ENOMEM;
    sl_buf_put_str(&buf,
                   "digraph slowlens {\n"
                   "  node [shape=box, style=filled, fontname=\"sans-serif\", "
                   "fontsize=10, fillcolor=white];\n"
                   "  edge [fontname=\"sans-serif\", fontsize=9];\n");
    for (uint32_t i = 0; shown != NULL && i < calls.function_count; i++) {
        const sl_call *sum = &calls.functions[i];
        if (sum->total_ns < wall / 1000 * NODE_PERMILLE)
            continue;
        shown[i] = 1;
        put_node(&buf, profile, sum, wall);
    }
    for (uint32_t i = 0; shown != NULL && i < calls.pair_count; i++) {
        const sl_call *pair = &calls.pairs[i];
        if (!shown[pair->caller] || !shown[pair->callee] ||
            pair->total_ns < wall / 1000 * EDGE_PERMILLE)
            continue;
        double share = percent(pair->total_ns, wall);
        snprintf(line, sizeof(line),
                 "  n%" PRIu32 " -> n%" PRIu32 " [label=\"%.1f %%\\n%" PRIu64
                 "x\", penwidth=%.2f];\n",
                 pair->caller, pair->callee, share, pair->calls,
                 0.5 + share / 25);
        sl_buf_put_str(&buf, line);
    }
    sl_buf_put_str(&buf, "}\n");
    free(shown);
    sl_calls_free(&calls);
    return sl_buf_finish(&buf, out);
}
