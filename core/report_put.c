/* What several reports put into their JSON. */
#include "report_put.h"

void
sl_put_function_open(sl_json *json, const sl_function *f, uint32_t id)
{
    sl_json_open(json, '{');
    sl_json_number(json, "id", id);
    sl_json_key(json, "name");
    sl_json_str(json, f->name, f->name_len);
    sl_json_key(json, "file");
    sl_json_str(json, f->file, f->file_len);
    sl_json_number(json, "line", f->line);
    sl_json_text(json, "kind", sl_kind_name(f->kind));
    sl_json_text(json, "origin", sl_origin_name(f->origin));
}

void
sl_put_function(sl_json *json, const sl_function *f, uint32_t id)
{
    sl_put_function_open(json, f, id);
    sl_json_close(json, '}');
}

static void
put_item(sl_json *json, const sl_meta *item)
{
    sl_json_key_n(json, item->key, item->key_len);
    if (item->text != NULL)
        sl_json_str(json, item->text, item->text_len);
    else
        sl_json_i64(json, item->number);
}

void
sl_put_meta(sl_json *json, const sl_profile *profile)
{
    sl_json_key(json, "meta");
    sl_json_open(json, '{');
    for (size_t i = 0; i < sl_profile_meta_count(profile); i++)
        put_item(json, sl_profile_meta(profile, i));
    sl_json_close(json, '}');
}

void
sl_put_summary(sl_json *json, const sl_profile *profile)
{
    sl_json_key(json, "summary");
    sl_json_open(json, '{');
    for (size_t i = 0; i < sl_profile_summary_count(profile); i++)
        put_item(json, sl_profile_summary(profile, i));
    sl_json_close(json, '}');
}
