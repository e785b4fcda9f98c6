/* Format: the DOT language of Graphviz. Functions and who called whom;
 * a node is coloured by its self time, an edge as thick as its time. What
 * took less than half a percent (edges: a tenth) is left out. */
#include "calls.h"
#include "exporters.h"
#include "labels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NODE_PERMILLE 5
#define EDGE_PERMILLE 1

/* A name inside a quoted string: nothing of it ends the string, or is taken
 * for one of DOT's own escapes. */
static void
put_name(sl_buf *out, const sl_labels *labels, uint32_t function)
{
    size_t len;
    const char *name = sl_labels_at(labels, function, &len);

    for (size_t i = 0; i < len; i++) {
        if (name[i] == '"' || name[i] == '\\')
            sl_buf_put_u8(out, '\\');
        sl_buf_put_u8(out, (uint8_t)name[i]);
    }
}

static double
percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part * 100.0 / (double)whole : 0;
}

static void
put_node(sl_buf *out, const sl_labels *labels, const sl_call *sum,
         uint64_t wall)
{
    char line[160];
    double self = percent(sum->self_ns, wall);

    snprintf(line, sizeof(line), "  n%" PRIu32 " [label=\"", sum->callee);
    sl_buf_put_str(out, line);
    put_name(out, labels, sum->callee);
    /* From blue through yellow to red, as gprof2dot's readers know it; dark
     * letters on light ground, so that the colour is not the only word. */
    double hue = self >= 50 ? 0.0 : 0.66 - self / 50 * 0.66;
    snprintf(line, sizeof(line),
             "\\n%.1f %% (%.1f %% self)\\n%" PRIu64
             "x\", fillcolor=\"%.3f 0.35 1.000\"];\n",
             percent(sum->total_ns, wall), self, sum->calls, hue);
    sl_buf_put_str(out, line);
}

static void
put_all(sl_buf *out, const sl_calls *calls, const sl_labels *labels,
        uint64_t wall, uint8_t *shown)
{
    char line[160];

    sl_buf_put_str(out,
                   "digraph slowlens {\n"
                   "  node [shape=box, style=filled, fontname=\"sans-serif\", "
                   "fontsize=10, fillcolor=white];\n"
                   "  edge [fontname=\"sans-serif\", fontsize=9];\n");
    for (uint32_t i = 0; i < calls->function_count; i++) {
        const sl_call *sum = &calls->functions[i];
        if (sum->total_ns < wall / 1000 * NODE_PERMILLE)
            continue;
        shown[i] = 1;
        put_node(out, labels, sum, wall);
        sl_buf_flow(out);
    }
    for (uint32_t i = 0; i < calls->pair_count; i++) {
        const sl_call *pair = &calls->pairs[i];
        if (!shown[pair->caller] || !shown[pair->callee] ||
            pair->total_ns < wall / 1000 * EDGE_PERMILLE)
            continue;
        double share = percent(pair->total_ns, wall);
        snprintf(line, sizeof(line),
                 "  n%" PRIu32 " -> n%" PRIu32 " [label=\"%.1f %%\\n%" PRIu64
                 "x\", penwidth=%.2f];\n",
                 pair->caller, pair->callee, share, pair->calls,
                 0.5 + share / 25);
        sl_buf_put_str(out, line);
        sl_buf_flow(out);
    }
    sl_buf_put_str(out, "}\n");
}

void
sl_exporter_dot(const sl_profile *profile, sl_buf *out)
{
    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns;
    uint8_t *shown = calloc((size_t)sl_profile_function_count(profile) + 1, 1);
    sl_calls calls = { 0 };
    sl_labels labels;
    sl_status status = sl_labels_init(&labels, profile);

    if (status == SL_OK)
        status = sl_calls_sum(profile, false, &calls);
    if (status == SL_OK && shown == NULL)
        status = SL_ENOMEM;
    if (status == SL_OK) {
        sl_buf_put_str(out, "// counts are ");
        sl_buf_put_str(out, sl_export_counts(sl_export_find("dot"), profile));
        sl_buf_put_str(out, "\n");
        put_all(out, &calls, &labels, wall, shown);
    } else
        out->status = status;
    free(shown);
    sl_calls_free(&calls);
    sl_labels_free(&labels);
}
