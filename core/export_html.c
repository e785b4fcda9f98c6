/* One file that any browser opens, offline: no script, nothing loaded. */
#include "exporters.h"
#include "label.h"
#include "profile.h"
#include "rank.h"
#include "summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTIONS_MAX 100u
#define ROWS_MAX      20000u
#define NESTED_MAX    120u /* browsers end deeper elements by themselves */

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
    "'none'; style-src 'unsafe-inline'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>slowlens profile</title>\n<style>\n"
    ":root{color-scheme:light dark}\n"
    "body{font:14px/1.4 system-ui,sans-serif;margin:1.5rem;max-width:90rem}\n"
    "table{border-collapse:collapse}td,th{padding:.1rem .7rem .1rem 0;"
    "text-align:left;vertical-align:top}\n"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:"
    "nowrap}\n"
    "details{margin-left:1.1rem}details.leaf>summary{list-style:none;"
    "padding-left:1.05rem}\n"
    "summary{cursor:pointer;white-space:nowrap}summary:hover{background:"
    "color-mix(in srgb,currentColor 8%,transparent)}\n"
    ".t{display:inline-block;min-width:16rem;font-variant-numeric:"
    "tabular-nums}.o{opacity:.6}.p{font-weight:600}\n"
    "</style></head><body>\n";

/* At most SL_LABEL_MAX bytes of a text. */
static void
put_escaped(sl_buf *out, const char *text, size_t len)
{
    sl_buf clean;

    sl_buf_init(&clean, NULL, 0);
    sl_label_text(&clean, text, len, SL_LABEL_MAX);
    for (size_t i = 0; i < clean.size; i++) {
        switch (clean.data[i]) {
        case '<': sl_buf_put_str(out, "&lt;"); break;
        case '>': sl_buf_put_str(out, "&gt;"); break;
        case '&': sl_buf_put_str(out, "&amp;"); break;
        case '"': sl_buf_put_str(out, "&quot;"); break;
        default: sl_buf_put_u8(out, clean.data[i]);
        }
    }
    if (clean.status < 0)
        out->status = clean.status;
    sl_buf_free(&clean);
}

static void
put_meta(sl_buf *out, const sl_profile *profile, const char *key)
{
    const sl_meta *item = sl_profile_meta_find(profile, key);
    char number[32];

    if (item == NULL)
        return;
    if (item->text != NULL) {
        put_escaped(out, item->text, item->text_len);
    } else {
        snprintf(number, sizeof(number), "%" PRId64, item->number);
        sl_buf_put_str(out, number);
    }
    sl_buf_put_u8(out, ' ');
}

static void
put_name(sl_buf *out, const sl_function *f, sl_buf *scratch)
{
    char line[32];

    scratch->size = 0;
    sl_label_name(scratch, f, SL_LABEL_MAX);
    sl_buf_put_str(out, f->origin == SL_ORIGIN_PROJECT ? "<span class=p>"
                                                       : "<span>");
    put_escaped(out, (const char *)scratch->data, scratch->size);
    sl_buf_put_str(out, "</span>");
    if (f->file_len > 0) {
        sl_buf_put_str(out, " <span class=o>");
        put_escaped(out, f->file, f->file_len);
        snprintf(line, sizeof(line), ":%" PRIu32 "</span>", f->line);
        sl_buf_put_str(out, line);
    }
}

static double
percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part * 100.0 / (double)whole : 0;
}

/* The sentence that names the culprit. */
static void
put_headline(sl_buf *out, const sl_profile *profile)
{
    sl_outline outline;
    sl_hotpath path = { 0 };
    sl_buf text;
    sl_status status = sl_profile_outline(profile, &outline);

    sl_buf_init(&text, NULL, 0);
    if (status == SL_OK)
        status = sl_hotpath_find(&outline, 0, &path);
    if (status == SL_OK) {
        sl_summary_headline(&outline, &path, &text);
        status = text.status;
    }
    if (status == SL_OK)
        put_escaped(out, (const char *)text.data, text.size);
    else
        out->status = status;
    sl_buf_free(&text);
    sl_hotpath_free(&path);
    sl_profile_outline_free(&outline);
}

static void
put_summary(sl_buf *out, const sl_profile *profile)
{
    static const char *const times[][2] = {
        { "cpu_ns", "CPU" },
        { "gil_wait_ns", "waiting for the GIL" },
        { "blocked_ns", "blocked" },
        { "waiting_ns", "waiting" },
        { "await_ns", "awaiting" },
        { "loop_ns", "waiting for the event loop" },
        { "gc_ns", "garbage collection" },
        { "headers_ns", "headers sent after" },
        { "body_ns", "body sent after" },
    };
    char line[96];

    sl_buf_put_str(out, "<h1>");
    put_meta(out, profile, "method");
    put_meta(out, profile, "path");
    put_meta(out, profile, "status");
    snprintf(line, sizeof(line), "%.1f ms</h1>\n<p>",
             (double)sl_profile_node_at(profile, 0)->total_ns / 1e6);
    sl_buf_put_str(out, line);
    put_headline(out, profile);
    sl_buf_put_str(out, "</p>\n<table>");
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        const sl_meta *item = sl_profile_meta_find(profile, times[i][0]);
        if (item == NULL || item->text != NULL)
            continue;
        snprintf(line, sizeof(line), "<tr><td>%s<td class=n>%.1f ms</tr>\n",
                 times[i][1], (double)item->number / 1e6);
        sl_buf_put_str(out, line);
    }
    sl_buf_put_str(out, "</table>\n");
}

static void
put_functions(sl_buf *out, const sl_profile *profile, sl_buf *scratch)
{
    uint32_t count = sl_profile_function_count(profile);
    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns;
    sl_ranked *list = malloc(((size_t)count + 1) * sizeof(*list));
    char line[160];

    if (list == NULL) {
        out->status = SL_ENOMEM;
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        list[i] =
            (sl_ranked){ sl_profile_function_sum(profile, i)->self_ns, i };
    qsort(list, count, sizeof(*list), sl_ranked_compare);
    sl_buf_put_str(out, "<h2>Functions by self time</h2>\n<table><tr>"
                        "<th class=n>self<th class=n>self ms<th class=n>total "
                        "ms<th class=n>");
    sl_buf_put_str(out, sl_profile_is_sampled(profile) ? "samples" : "calls");
    sl_buf_put_str(out, "<th>function</tr>\n");
    for (uint32_t i = 0; i < count && i < FUNCTIONS_MAX; i++) {
        const sl_profile_sum *sum =
            sl_profile_function_sum(profile, list[i].id);
        snprintf(line, sizeof(line),
                 "<tr><td class=n>%.1f %%<td class=n>%.3f<td class=n>%.3f<td "
                 "class=n>%" PRIu64 "<td>",
                 percent(sum->self_ns, wall), (double)sum->self_ns / 1e6,
                 (double)sum->total_ns / 1e6, sum->calls);
        sl_buf_put_str(out, line);
        put_name(out, sl_profile_function(profile, list[i].id), scratch);
        sl_buf_put_str(out, "</tr>\n");
    }
    sl_buf_put_str(out, "</table>\n");
    free(list);
}

/* Nodes above a thousandth of the time, in the order of the tree; closing
 * tags follow from the depth of the row before. */
static void
put_tree(sl_buf *out, const sl_profile *profile, sl_buf *scratch)
{
    uint32_t count = sl_profile_node_count(profile), rows = 0, open = 0;
    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns;
    char line[160];

    sl_buf_put_str(out, "<h2>Call tree</h2>\n");
    for (uint32_t i = 0; i < count;) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        if ((node->total_ns < wall / 1000 && i != 0) || rows == ROWS_MAX) {
            i += node->size;
            continue;
        }
        uint32_t depth = node->depth < NESTED_MAX ? node->depth : NESTED_MAX;
        for (; open > depth; open--)
            sl_buf_put_str(out, "</details>\n");
        snprintf(line, sizeof(line),
                 "<details%s%s><summary><span class=t>%.1f %% %.3f ms, self "
                 "%.3f, %" PRIu64 "x</span> ",
                 node->total_ns >= wall / 20 ? " open" : "",
                 node->size == 1 ? " class=leaf" : "",
                 percent(node->total_ns, wall), (double)node->total_ns / 1e6,
                 (double)node->self_ns / 1e6, node->calls);
        sl_buf_put_str(out, line);
        put_name(out, sl_profile_function(profile, node->function), scratch);
        sl_buf_put_str(out, "</summary>\n");
        sl_buf_flow(out);
        open = depth + 1;
        rows++;
        i++;
    }
    for (; open > 0; open--)
        sl_buf_put_str(out, "</details>\n");
    snprintf(line, sizeof(line),
             "<p class=o>%" PRIu32 " of %" PRIu32
             " nodes: what took less than a thousandth is left out.</p>\n",
             rows, count);
    sl_buf_put_str(out, line);
}

void
sl_exporter_html(const sl_profile *profile, sl_buf *out)
{
    sl_buf scratch;

    sl_buf_init(&scratch, NULL, 0);
    sl_buf_put_str(out, head);
    put_summary(out, profile);
    put_functions(out, profile, &scratch);
    put_tree(out, profile, &scratch);
    sl_buf_put_str(out, "</body></html>\n");
    if (scratch.status < 0)
        out->status = scratch.status;
    sl_buf_free(&scratch);
}
