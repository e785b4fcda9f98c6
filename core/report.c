/* What the viewer asks of one profile first: its summary, its tree, functions,
 * the order of time. */
#include "findings.h"
#include "profile.h"
#include "rank.h"
#include "report_put.h"
#include "summary.h"

#include "slowlens/report.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 2000u
#define HEAVIEST 5u
#define HOT_MAX  500u /* steps of a hot path that are told */

sl_status
sl_report_meta(const sl_profile *profile, sl_bytes *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };

    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    sl_json_open(&json, '{');
    sl_put_meta(&json, profile);
    sl_put_summary(&json, profile);
    sl_json_close(&json, '}');
    return sl_buf_finish(&buf, out);
}

/* Self time of the main strand, by what it was. */
static void
put_split(sl_json *json, const sl_outline *o)
{
    static const char *const names[SL_SPLITS] = {
        "project", "library", "stdlib", "builtin", "await",
        "loop",    "idle",    "gc",     "unseen",  "other"
    };
    uint64_t split[SL_SPLITS];

    sl_summary_split(o, split);
    sl_json_key(json, "self_ns");
    sl_json_open(json, '{');
    for (int i = 0; i < SL_SPLITS; i++)
        sl_json_number(json, names[i], split[i]);
    sl_json_close(json, '}');
}

/* The first row of LINES at or behind node `i`. */
static uint32_t
first_line(const sl_profile *profile, uint32_t i)
{
    uint32_t low = 0, high = sl_profile_line_count(profile);

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sl_profile_line_at(profile, middle)->node < i)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void
add_seen(const sl_profile_line *line, uint64_t *values)
{
    values[SL_METRIC_SEEN] += line->wall_ns;
    values[SL_METRIC_CPU] += line->cpu_ns;
    values[SL_METRIC_GIL] += line->gil_ns;
}

/* The metrics in one of the parts (1 << sl_metric_where), in the table's
 * order; and the own cost, which stands with the tree once it is read. */
static void
put_metrics_in(sl_json *json, unsigned parts, const uint64_t *values)
{
    for (int i = 0; i < SL_METRIC_COUNT; i++) {
        const sl_metric_info *metric = sl_metric_at((sl_metric)i);
        sl_metric_where where =
            i == SL_METRIC_OWN ? SL_METRIC_IN_TREE : metric->where;
        if ((parts >> where & 1) != 0)
            sl_json_number(json, metric->key, values[i]);
    }
}

static void
put_seen(sl_json *json, const sl_profile *profile)
{
    uint64_t values[SL_METRIC_COUNT] = { 0 };

    for (uint32_t i = 0; i < sl_profile_line_count(profile); i++)
        add_seen(sl_profile_line_at(profile, i), values);
    sl_json_key(json, "seen");
    sl_json_open(json, '{');
    sl_json_number(json, "wall_ns", values[SL_METRIC_SEEN]);
    sl_json_number(json, "cpu_ns", values[SL_METRIC_CPU]);
    sl_json_number(json, "gil_ns", values[SL_METRIC_GIL]);
    sl_json_close(json, '}');
}

/* The whole of each metric that COUNTERS holds. */
static void
put_metrics(sl_json *json, const sl_profile *profile)
{
    uint32_t count = sl_profile_counter_count(profile);
    uint64_t own = 0;

    sl_json_key(json, "metrics");
    sl_json_open(json, '{');
    for (uint32_t i = 0; i < sl_profile_function_count(profile); i++)
        own += sl_profile_function_sum(profile, i)->own_ns;
    if (own > 0)
        sl_json_number(json, sl_metric_at(SL_METRIC_OWN)->key, own);
    for (uint32_t i = 0; i < count;) {
        uint32_t metric = sl_profile_counter_at(profile, i)->metric;
        uint64_t sum = 0;
        for (; i < count && sl_profile_counter_at(profile, i)->metric == metric;
             i++)
            sum += sl_profile_counter_at(profile, i)->value;
        sl_json_number(json, sl_metric_at((sl_metric)metric)->key, sum);
    }
    sl_json_close(json, '}');
}

static uint64_t
meta_count(const sl_profile *profile, const char *key)
{
    const sl_meta *item = sl_profile_meta_find(profile, key);

    return item == NULL || item->text != NULL || item->number < 0
               ? 0
               : (uint64_t)item->number;
}

/* Samples are no calls: of a sampled profile it is how many there are, as in a
 * list, and not each function's added up. */
static void
put_counts(sl_json *json, const sl_profile *profile, const sl_outline *o)
{
    bool sampled = sl_profile_is_sampled(profile);
    uint64_t calls = sampled ? meta_count(profile, "samples") : 0;
    uint64_t c_calls = 0, resumes = 0, strands = 0;

    for (uint32_t i = 0; !sampled && i < sl_profile_function_count(profile);
         i++) {
        const sl_profile_sum *sum = sl_profile_function_sum(profile, i);
        switch (sl_profile_function(profile, i)->kind) {
        case SL_KIND_PYTHON:
            calls += sum->calls;
            resumes += sum->resumes;
            break;
        case SL_KIND_C: c_calls += sum->calls; break;
        default: break;
        }
    }
    bool some = sl_outline_has_strands(o);
    for (uint32_t i = 0; some && i < o->count; i++)
        strands += sl_outline_is_strand(o, i) ? o->nodes[i].calls : 0;
    sl_json_number(json, "nodes", sl_profile_node_count(profile));
    sl_json_number(json, "functions", sl_profile_function_count(profile));
    sl_json_number(json, "calls", calls);
    sl_json_number(json, "c_calls", c_calls);
    sl_json_number(json, "resumes", resumes);
    sl_json_number(json, "strands", strands);
    sl_json_number(json, "wall_ns", sl_profile_node_at(profile, 0)->total_ns);
}

static void
put_finding(sl_json *json, const sl_outline *o, const sl_findings *all,
            const sl_finding *one, sl_buf *text)
{
    const sl_finding_info *info = sl_finding_at(one->rule);
    uint32_t place = one->own != SL_FINDING_NONE ? one->own : one->node;

    text->size = 0;
    sl_finding_text(o, all, one, text);
    sl_json_open(json, '{');
    sl_json_text(json, "rule", info->word);
    sl_json_text(json, "title", info->title);
    sl_json_key(json, "text");
    sl_json_str(json, (const char *)text->data, text->size);
    text->size = 0;
    sl_finding_advice(o, one, text);
    sl_json_key(json, "advice");
    sl_json_str(json, (const char *)text->data, text->size);
    sl_json_text(json, "fingerprint", one->fingerprint);
    sl_json_number(json, "ns", one->ns);
    sl_json_number(json, "count", one->count);
    if (one->node != SL_FINDING_NONE) {
        const sl_outline_node *node = &o->nodes[one->node];
        sl_json_number(json, "node", one->node);
        sl_json_key(json, "function");
        sl_put_function(json, &o->functions[node->function], node->function);
    }
    if (place != SL_FINDING_NONE) {
        const sl_function *f = sl_outline_function(o, place);
        sl_json_key(json, "file");
        sl_json_str(json, f->file, f->file_len);
        sl_json_number(json, "line", one->line != 0 ? one->line : f->line);
    }
    sl_json_close(json, '}');
}

/* The headline, and each finding. */
static void
put_findings(sl_json *json, const sl_outline *o, const sl_hotpath *path)
{
    sl_findings found;
    sl_buf text;
    sl_status status = sl_findings_find(o, path, &found);

    sl_buf_init(&text, NULL, SL_REPORT_MAX);
    if (status == SL_OK)
        sl_findings_headline(o, &found, &text);
    sl_json_key(json, "headline");
    sl_json_str(json, (const char *)text.data, text.size);
    sl_json_key(json, "findings");
    sl_json_open(json, '[');
    for (uint32_t i = 0; status == SL_OK && i < found.count; i++)
        put_finding(json, o, &found, &found.items[i], &text);
    sl_json_close(json, ']');
    if (status < 0 || text.status < 0)
        json->out->status = SL_ENOMEM;
    sl_buf_free(&text);
}

static void
put_hot_path(sl_json *json, const sl_profile *profile, const sl_outline *o,
             bool glance)
{
    const sl_meta *said = sl_profile_summary_find(profile, "headline");
    sl_hotpath path;
    sl_buf text;
    sl_status status = sl_hotpath_find(o, 0, &path);

    sl_json_key(json, "hot_path");
    sl_json_open(json, '[');
    for (uint32_t s = 0; s < path.count && s < HOT_MAX; s++) {
        const sl_profile_node *node =
            sl_profile_node_at(profile, path.steps[s].node);
        sl_json_open(json, '{');
        sl_json_number(json, "node", path.steps[s].node);
        sl_json_key(json, "function");
        sl_put_function(json, sl_profile_function(profile, node->function),
                        node->function);
        sl_json_number(json, "call_line", node->line);
        sl_json_number(json, "line", sl_findings_line(o, path.steps[s].node));
        sl_json_number(json, "total_ns", path.steps[s].ns);
        sl_json_number(json, "calls", node->calls);
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');

    sl_buf_init(&text, NULL, SL_REPORT_MAX);
    sl_hotpath_text(o, &path, &text);
    sl_json_key(json, "hot_text");
    sl_json_str(json, (const char *)text.data, text.size);
    if (status < 0 || text.status < 0)
        json->out->status = SL_ENOMEM;
    else if (!glance)
        put_findings(json, o, &path);
    else if (said != NULL && said->text != NULL)
        sl_json_text(json, "headline", said->text);
    sl_buf_free(&text);
    sl_hotpath_free(&path);
}

/* All functions that took part, most self time first; free() it. */
static sl_ranked *
rank_functions(const sl_profile *profile, uint32_t *count)
{
    uint32_t n = sl_profile_function_count(profile);
    sl_ranked *list = malloc(((size_t)n + 1) * sizeof(*list));

    *count = 0;
    for (uint32_t i = 0; list != NULL && i < n; i++) {
        const sl_profile_sum *sum = sl_profile_function_sum(profile, i);
        if (sum->nodes > 0)
            list[(*count)++] = (sl_ranked){ sum->self_ns, i };
    }
    if (list != NULL)
        qsort(list, *count, sizeof(*list), sl_ranked_compare);
    return list;
}

static void
put_function_row(sl_json *json, const sl_profile *profile, uint32_t id)
{
    const sl_profile_sum *sum = sl_profile_function_sum(profile, id);
    const uint64_t values[SL_METRIC_COUNT] = {
        [SL_METRIC_CALLS] = sum->calls,
        [SL_METRIC_RESUMES] = sum->resumes,
        [SL_METRIC_SELF] = sum->self_ns,
        [SL_METRIC_OWN] = sum->own_ns,
    };

    sl_json_open(json, '{');
    sl_json_key(json, "function");
    sl_put_function(json, sl_profile_function(profile, id), id);
    put_metrics_in(json, 1u << SL_METRIC_IN_TREE, values);
    sl_json_number(json, "total_ns", sum->total_ns);
    sl_json_number(json, "nodes", sum->nodes);
    sl_json_close(json, '}');
}

static void
put_functions(sl_json *json, const sl_profile *profile, const char *key,
              uint32_t limit)
{
    uint32_t count;
    sl_ranked *list = rank_functions(profile, &count);

    if (list == NULL)
        json->out->status = SL_ENOMEM;
    sl_json_key(json, key);
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < count && (limit == 0 || i < limit); i++)
        put_function_row(json, profile, list[i].id);
    sl_json_close(json, ']');
    free(list);
}

sl_status
sl_report_summary(const sl_profile *profile, bool glance, sl_bytes *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };

    sl_outline outline;
    sl_status status = sl_profile_outline(profile, &outline);
    if (status < 0)
        return status;
    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    sl_json_open(&json, '{');
    sl_put_meta(&json, profile);
    put_counts(&json, profile, &outline);
    put_split(&json, &outline);
    put_seen(&json, profile);
    put_metrics(&json, profile);
    sl_json_number(&json, "shared_ns", sl_outline_wall(&outline));
    put_hot_path(&json, profile, &outline, glance);
    put_functions(&json, profile, "heaviest", HEAVIEST);
    sl_json_close(&json, '}');
    sl_profile_outline_free(&outline);
    return sl_buf_finish(&buf, out);
}

sl_status
sl_report_functions(const sl_profile *profile, uint32_t limit, sl_bytes *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };

    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    sl_json_open(&json, '{');
    sl_json_number(&json, "wall_ns", sl_profile_node_at(profile, 0)->total_ns);
    put_functions(&json, profile, "rows", limit);
    sl_json_close(&json, '}');
    return sl_buf_finish(&buf, out);
}

/* A tree document at work: `rows` is the queue of what to write, and what
 * has been written, in one. */
typedef struct {
    const sl_profile *profile;
    sl_ranked *rows;
    uint32_t *levels; /* how many levels below each row still to open */
    uint8_t *named;   /* by function: is among the rows */
    sl_hotpath hot;   /* the nodes below the tree's own that are always open */
    uint32_t count;
    uint32_t limit;
    bool truncated;
} tree_job;

static uint32_t
count_children(const sl_profile *profile, uint32_t i)
{
    const sl_profile_node *node = sl_profile_node_at(profile, i);
    uint32_t count = 0;

    for (uint32_t c = i + 1; c < i + node->size;
         c += sl_profile_node_at(profile, c)->size)
        count++;
    return count;
}

/* Appends the children of node `i`, heaviest first, as far as they fit. */
static void
tree_open(tree_job *job, uint32_t i, uint32_t levels)
{
    uint32_t count = count_children(job->profile, i);
    uint32_t end = i + sl_profile_node_at(job->profile, i)->size;
    sl_ranked *list = malloc(((size_t)count + 1) * sizeof(*list));

    if (list == NULL) {
        job->truncated = true;
        return;
    }
    count = 0;
    for (uint32_t c = i + 1; c < end;) {
        const sl_profile_node *child = sl_profile_node_at(job->profile, c);
        list[count++] = (sl_ranked){ child->total_ns, c };
        c += child->size;
    }
    qsort(list, count, sizeof(*list), sl_ranked_compare);
    for (uint32_t c = 0; c < count; c++) {
        if (job->count == job->limit) {
            job->truncated = true;
            break;
        }
        job->levels[job->count] = levels;
        job->rows[job->count++] = list[c];
    }
    free(list);
}

static void
put_tree_row(sl_json *json, const sl_profile *profile, uint32_t i)
{
    const sl_profile_node *node = sl_profile_node_at(profile, i);
    uint64_t values[SL_METRIC_COUNT] = {
        [SL_METRIC_CALLS] = node->calls,
        [SL_METRIC_RESUMES] = node->resumes,
        [SL_METRIC_SELF] = node->self_ns,
        [SL_METRIC_OWN] = node->own_ns,
    };

    for (uint32_t line = first_line(profile, i);
         line < sl_profile_line_count(profile) &&
         sl_profile_line_at(profile, line)->node == i;
         line++)
        add_seen(sl_profile_line_at(profile, line), values);
    sl_json_open(json, '{');
    sl_json_number(json, "node", i);
    sl_json_number(json, "parent", node->parent);
    sl_json_number(json, "function", node->function);
    sl_json_number(json, "call_line", node->line);
    sl_json_number(json, "total_ns", node->total_ns);
    put_metrics_in(json, 1u << SL_METRIC_IN_TREE | 1u << SL_METRIC_IN_LINES,
                   values);
    sl_json_number(json, "children", count_children(profile, i));
    sl_json_key(json, "strand");
    sl_json_bool(json, sl_profile_is_strand(profile, i));
    sl_json_close(json, '}');
}

/* Marks the nodes of the hot path from the tree's node, as far as it goes down:
 * a strand that hangs elsewhere is not below it. */
static sl_status
tree_hot(tree_job *job, uint32_t from)
{
    sl_outline outline;
    sl_status status = sl_profile_outline(job->profile, &outline);

    if (status == SL_OK)
        status = sl_hotpath_find(&outline, from, &job->hot);
    uint32_t last = from, kept = 0;
    while (kept < job->hot.count &&
           outline.nodes[job->hot.steps[kept].node].parent == last)
        last = job->hot.steps[kept++].node;
    job->hot.count = kept;
    sl_profile_outline_free(&outline);
    return status;
}

static void
tree_fill(tree_job *job, const sl_report_tree_options *options)
{
    uint32_t hot = options->node, next = 0;

    if (options->node == 0) {
        job->rows[job->count] = (sl_ranked){ 0, 0 };
        job->levels[job->count++] = options->depth;
    } else {
        tree_open(job, options->node, options->depth - 1);
        hot = next < job->hot.count ? job->hot.steps[next++].node : UINT32_MAX;
    }
    for (uint32_t at = 0; at < job->count; at++) {
        uint32_t node = job->rows[at].id, levels = job->levels[at];
        job->named[sl_profile_node_at(job->profile, node)->function] = 1;
        if (options->hot && node == hot) {
            hot = next < job->hot.count ? job->hot.steps[next++].node
                                        : UINT32_MAX;
            tree_open(job, node, levels > 0 ? levels - 1 : 0);
        } else if (levels > 0) {
            tree_open(job, node, levels - 1);
        }
    }
}

static void
put_tree(sl_json *json, const tree_job *job,
         const sl_report_tree_options *options)
{
    const sl_profile *profile = job->profile;

    sl_json_open(json, '{');
    sl_json_number(json, "node", options->node);
    sl_json_number(json, "wall_ns", sl_profile_node_at(profile, 0)->total_ns);
    sl_json_key(json, "truncated");
    sl_json_bool(json, job->truncated);
    sl_json_key(json, "functions");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < sl_profile_function_count(profile); i++) {
        if (job->named[i])
            sl_put_function(json, sl_profile_function(profile, i), i);
    }
    sl_json_close(json, ']');
    sl_json_key(json, "hot");
    sl_json_open(json, '[');
    for (uint32_t s = 0; s < job->hot.count; s++)
        sl_json_u64(json, job->hot.steps[s].node);
    sl_json_close(json, ']');
    sl_json_key(json, "rows");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < job->count; i++)
        put_tree_row(json, profile, job->rows[i].id);
    sl_json_close(json, ']');
    sl_json_close(json, '}');
}

sl_status
sl_report_tree(const sl_profile *profile, const sl_report_tree_options *options,
               sl_bytes *out)
{
    if (options->node >= sl_profile_node_count(profile) || options->depth == 0)
        return SL_ERANGE;

    tree_job job = { .profile = profile,
                     .limit = options->limit != 0 ? options->limit : ROWS_MAX };
    if (job.limit > sl_profile_node_count(profile))
        job.limit = sl_profile_node_count(profile);
    job.rows = malloc(((size_t)job.limit + 1) * sizeof(*job.rows));
    job.levels = malloc(((size_t)job.limit + 1) * sizeof(*job.levels));
    job.named = calloc((size_t)sl_profile_function_count(profile) + 1, 1);

    sl_buf buf;
    sl_json json = { .out = &buf };
    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    if (options->hot)
        buf.status = tree_hot(&job, options->node);
    if (buf.status == SL_OK && job.rows != NULL && job.levels != NULL &&
        job.named != NULL) {
        tree_fill(&job, options);
        put_tree(&json, &job, options);
    } else {
        buf.status = SL_ENOMEM;
    }
    free(job.rows);
    free(job.levels);
    free(job.named);
    sl_hotpath_free(&job.hot);
    return sl_buf_finish(&buf, out);
}

sl_status
sl_report_timeline(const sl_profile *profile, uint32_t limit, sl_bytes *out)
{
    uint32_t count = sl_profile_stretch_count(profile);
    uint8_t *named = calloc((size_t)sl_profile_function_count(profile) + 1, 1);
    sl_buf buf;
    sl_json json = { .out = &buf };

    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    if (named == NULL)
        buf.status = SL_ENOMEM;
    count = limit != 0 && limit < count ? limit : count;
    sl_json_open(&json, '{');
    sl_json_number(&json, "wall_ns", sl_profile_node_at(profile, 0)->total_ns);
    sl_json_key(&json, "rows");
    sl_json_open(&json, '[');
    for (uint32_t i = 0; named != NULL && i < count; i++) {
        const sl_profile_stretch *one = sl_profile_stretch_at(profile, i);
        const sl_profile_node *node = sl_profile_node_at(profile, one->node);
        named[node->function] = 1;
        sl_json_open(&json, '{');
        sl_json_number(&json, "node", one->node);
        sl_json_number(&json, "lane", one->lane);
        sl_json_number(&json, "from_ns", one->from_ns);
        sl_json_number(&json, "to_ns", one->to_ns);
        sl_json_number(&json, "function", node->function);
        sl_json_number(&json, "depth", node->depth);
        sl_json_close(&json, '}');
    }
    sl_json_close(&json, ']');
    sl_json_key(&json, "functions");
    sl_json_open(&json, '[');
    for (uint32_t i = 0;
         named != NULL && i < sl_profile_function_count(profile); i++) {
        if (named[i])
            sl_put_function(&json, sl_profile_function(profile, i), i);
    }
    sl_json_close(&json, ']');
    sl_json_close(&json, '}');
    free(named);
    return sl_buf_finish(&buf, out);
}
