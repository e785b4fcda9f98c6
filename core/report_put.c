#include "report_put.h"

#include <string.h>

void
sl_put_number(sl_json *json, const char *key, uint64_t value)
{
    sl_json_key(json, key);
    sl_json_u64(json, value);
}

void
sl_put_function_open(sl_json *json, const sl_function *f, uint32_t id)
{
    static const char *const kinds[] = { "python", "c", "pseudo", "span" };
    static const char *const origins[] = { "project", "library", "stdlib",
                                           "builtin", "none" };

    sl_json_open(json, '{');
    sl_put_number(json, "id", id);
    sl_json_key(json, "name");
    sl_json_str(json, f->name, f->name_len);
    sl_json_key(json, "file");
    sl_json_str(json, f->file, f->file_len);
    sl_put_number(json, "line", f->line);
    sl_json_key(json, "kind");
    sl_json_str(json, kinds[f->kind], strlen(kinds[f->kind]));
    sl_json_key(json, "origin");
    sl_json_str(json, origins[f->origin], strlen(origins[f->origin]));
}

void
sl_put_function(sl_json *json, const sl_function *f, uint32_t id)
{
    sl_put_function_open(json, f, id);
    sl_json_close(json, '}');
}
