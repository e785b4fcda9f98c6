/* Its own JSON, not an export: exports may change, golden files may not. */
#include "dump.h"

#include "json.h"

#include <string.h>

static void
put_row(sl_json *json, const uint64_t *values, int count)
{
    sl_json_open(json, '[');
    for (int i = 0; i < count; i++)
        sl_json_u64(json, values[i]);
    sl_json_close(json, ']');
    sl_buf_put_u8(json->out, '\n');
}

static void
open_list(sl_json *json, const char *key)
{
    sl_json_key(json, key);
    sl_json_open(json, '[');
    sl_buf_put_u8(json->out, '\n');
}

static void
put_meta(sl_json *json, const sl_profile *profile)
{
    open_list(json, "meta");
    for (size_t i = 0; i < sl_profile_meta_count(profile); i++) {
        const sl_meta *item = sl_profile_meta(profile, i);
        sl_json_open(json, '[');
        sl_json_str(json, item->key, item->key_len);
        if (item->text != NULL)
            sl_json_str(json, item->text, item->text_len);
        else
            sl_json_i64(json, item->number);
        sl_json_close(json, ']');
        sl_buf_put_u8(json->out, '\n');
    }
    sl_json_close(json, ']');
}

static void
put_summary(sl_json *json, const sl_profile *profile)
{
    open_list(json, "summary");
    for (size_t i = 0; i < sl_profile_summary_count(profile); i++) {
        const sl_meta *item = sl_profile_summary(profile, i);
        sl_json_open(json, '[');
        sl_json_str(json, item->key, item->key_len);
        if (item->text != NULL)
            sl_json_str(json, item->text, item->text_len);
        else
            sl_json_i64(json, item->number);
        sl_json_close(json, ']');
        sl_buf_put_u8(json->out, '\n');
    }
    sl_json_close(json, ']');
}

static void
put_counters(sl_json *json, const sl_profile *profile)
{
    open_list(json, "counters");
    for (uint32_t i = 0; i < sl_profile_counter_count(profile); i++) {
        const sl_profile_counter *row = sl_profile_counter_at(profile, i);
        put_row(json, (uint64_t[]){ row->metric, row->node, row->value }, 3);
    }
    sl_json_close(json, ']');
}

static void
put_functions(sl_json *json, const sl_profile *profile)
{
    open_list(json, "functions");
    for (uint32_t i = 0; i < sl_profile_function_count(profile); i++) {
        const sl_function *f = sl_profile_function(profile, i);
        sl_json_open(json, '[');
        sl_json_str(json, f->name, f->name_len);
        sl_json_str(json, f->file, f->file_len);
        sl_json_u64(json, f->line);
        sl_json_u64(json, f->kind);
        sl_json_u64(json, f->origin);
        sl_json_close(json, ']');
        sl_buf_put_u8(json->out, '\n');
    }
    sl_json_close(json, ']');
}

static void
put_spans(sl_json *json, const sl_profile *profile)
{
    open_list(json, "spans");
    for (uint32_t i = 0; i < sl_profile_span_count(profile); i++) {
        const sl_profile_span *s = sl_profile_span_at(profile, i);
        sl_json_open(json, '[');
        sl_json_str(json, s->kind, strlen(s->kind));
        sl_json_str(json, s->text, strlen(s->text));
        sl_json_str(json, s->where, strlen(s->where));
        const uint64_t numbers[] = { s->node,      s->line,     s->lane,
                                     s->count,     s->total_ns, s->outer_ns,
                                     s->longest_ns };
        for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++)
            sl_json_u64(json, numbers[n]);
        for (uint32_t n = 0; n < s->first_count; n++) {
            sl_json_u64(json, s->firsts[n].from_ns);
            sl_json_u64(json, s->firsts[n].length_ns);
            sl_json_str(json, s->firsts[n].detail, strlen(s->firsts[n].detail));
        }
        sl_json_close(json, ']');
        sl_buf_put_u8(json->out, '\n');
    }
    sl_json_close(json, ']');
    sl_json_number(json, "spans_lost", sl_profile_spans_lost(profile));
}

sl_status
dump_profile(const sl_profile *profile, sl_bytes *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };

    sl_buf_init(&buf, NULL, 0);
    sl_json_open(&json, '{');
    put_meta(&json, profile);
    put_functions(&json, profile);
    open_list(&json, "nodes");
    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++) {
        const sl_profile_node *n = sl_profile_node_at(profile, i);
        put_row(&json,
                (uint64_t[]){ n->parent, n->function, n->line, n->calls,
                              n->resumes, n->self_ns, n->total_ns },
                7);
    }
    sl_json_close(&json, ']');
    open_list(&json, "lines");
    for (uint32_t i = 0; i < sl_profile_line_count(profile); i++) {
        const sl_profile_line *l = sl_profile_line_at(profile, i);
        put_row(
            &json,
            (uint64_t[]){ l->node, l->line, l->wall_ns, l->cpu_ns, l->gil_ns },
            5);
    }
    sl_json_close(&json, ']');
    open_list(&json, "timeline");
    for (uint32_t i = 0; i < sl_profile_stretch_count(profile); i++) {
        const sl_profile_stretch *s = sl_profile_stretch_at(profile, i);
        put_row(&json, (uint64_t[]){ s->lane, s->node, s->from_ns, s->to_ns },
                4);
    }
    sl_json_close(&json, ']');
    /* What the first version did not know is not in its files. */
    if (sl_profile_summary_count(profile) > 0)
        put_summary(&json, profile);
    if (sl_profile_counter_count(profile) > 0)
        put_counters(&json, profile);
    if (sl_profile_span_count(profile) > 0)
        put_spans(&json, profile);
    sl_json_close(&json, '}');
    sl_buf_put_u8(&buf, '\n');
    return sl_buf_finish(&buf, out);
}
