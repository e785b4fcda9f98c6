/* Everything a profile holds, as plain JSON:
 * {"format":"slowlens-json","version":1,"meta":{...},"summary":{...},
 *  "functions":[[name,file,line,kind,origin]],
 *  "nodes":[[parent,function,call_line,calls,resumes,self_ns,total_ns]],
 *  "lines":[[node,line,wall_ns,cpu_ns,gil_ns]],
 *  "timeline":[[lane,node,from_ns,to_ns]],
 *  "counters":[[metric,node,value]],
 *  "spans":[[node,line,lane,kind,text,where,count,total_ns,outer_ns,longest_ns,
 *            [[from_ns,length_ns,detail]]]], "spans_lost":N}
 * Nodes stand in preorder; what spans are: slowlens/span.h */
#include "exporters.h"
#include "report_put.h"

#include <string.h>

static void
put_row(sl_json *json, const uint64_t *values, int count)
{
    sl_json_open(json, '[');
    for (int i = 0; i < count; i++)
        sl_json_u64(json, values[i]);
    sl_json_close(json, ']');
}

static void
put_functions(sl_json *json, const sl_profile *profile)
{
    sl_json_key(json, "functions");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < sl_profile_function_count(profile); i++) {
        const sl_function *f = sl_profile_function(profile, i);
        sl_json_open(json, '[');
        sl_json_str(json, f->name, f->name_len);
        sl_json_str(json, f->file, f->file_len);
        sl_json_u64(json, f->line);
        sl_json_str(json, sl_kind_name(f->kind), strlen(sl_kind_name(f->kind)));
        sl_json_str(json, sl_origin_name(f->origin),
                    strlen(sl_origin_name(f->origin)));
        sl_json_close(json, ']');
    }
    sl_json_close(json, ']');
}

static void
put_counters(sl_json *json, const sl_profile *profile)
{
    sl_json_key(json, "counters");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < sl_profile_counter_count(profile); i++) {
        const sl_profile_counter *c = sl_profile_counter_at(profile, i);
        const char *key = sl_metric_at((sl_metric)c->metric)->key;
        sl_json_open(json, '[');
        sl_json_str(json, key, strlen(key));
        sl_json_u64(json, c->node);
        sl_json_u64(json, c->value);
        sl_json_close(json, ']');
    }
    sl_json_close(json, ']');
}

static void
put_span_text(sl_json *json, const char *text)
{
    sl_json_str(json, text, strlen(text));
}

static void
put_spans(sl_json *json, const sl_profile *profile)
{
    sl_json_key(json, "spans");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < sl_profile_span_count(profile); i++) {
        const sl_profile_span *span = sl_profile_span_at(profile, i);
        sl_json_open(json, '[');
        sl_json_u64(json, span->node);
        sl_json_u64(json, span->line);
        sl_json_u64(json, span->lane);
        put_span_text(json, span->kind);
        put_span_text(json, span->text);
        put_span_text(json, span->where);
        sl_json_u64(json, span->count);
        sl_json_u64(json, span->total_ns);
        sl_json_u64(json, span->outer_ns);
        sl_json_u64(json, span->longest_ns);
        sl_json_open(json, '[');
        for (uint32_t n = 0; n < span->first_count; n++) {
            sl_json_open(json, '[');
            sl_json_u64(json, span->firsts[n].from_ns);
            sl_json_u64(json, span->firsts[n].length_ns);
            put_span_text(json, span->firsts[n].detail);
            sl_json_close(json, ']');
        }
        sl_json_close(json, ']');
        sl_json_close(json, ']');
    }
    sl_json_close(json, ']');
    sl_json_number(json, "spans_lost", sl_profile_spans_lost(profile));
}

void
sl_exporter_json(const sl_profile *profile, sl_buf *out)
{
    sl_json json = { .out = out };

    sl_json_open(&json, '{');
    sl_json_key(&json, "format");
    sl_json_str(&json, "slowlens-json", 13);
    sl_json_key(&json, "version");
    sl_json_u64(&json, 1);
    sl_put_meta(&json, profile);
    sl_put_summary(&json, profile);
    const char *counts = sl_export_counts(sl_export_find("json"), profile);
    sl_json_key(&json, "counts");
    sl_json_str(&json, counts, strlen(counts));
    put_functions(&json, profile);
    sl_json_key(&json, "nodes");
    sl_json_open(&json, '[');
    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++) {
        const sl_profile_node *n = sl_profile_node_at(profile, i);
        put_row(&json,
                (uint64_t[]){ n->parent, n->function, n->line, n->calls,
                              n->resumes, n->self_ns, n->total_ns },
                7);
    }
    sl_json_close(&json, ']');
    sl_json_key(&json, "lines");
    sl_json_open(&json, '[');
    for (uint32_t i = 0; i < sl_profile_line_count(profile); i++) {
        const sl_profile_line *l = sl_profile_line_at(profile, i);
        put_row(
            &json,
            (uint64_t[]){ l->node, l->line, l->wall_ns, l->cpu_ns, l->gil_ns },
            5);
    }
    sl_json_close(&json, ']');
    sl_json_key(&json, "timeline");
    sl_json_open(&json, '[');
    for (uint32_t i = 0; i < sl_profile_stretch_count(profile); i++) {
        const sl_profile_stretch *s = sl_profile_stretch_at(profile, i);
        put_row(&json, (uint64_t[]){ s->lane, s->node, s->from_ns, s->to_ns },
                4);
    }
    sl_json_close(&json, ']');
    put_counters(&json, profile);
    put_spans(&json, profile);
    sl_json_close(&json, '}');
}
