#include "made.h"

#include "blob.h"
#include "blob_put.h"
#include "profile.h"
#include "varint.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static uint32_t
function_of(sl_blob_functions *functions, const char *name, bool *known)
{
    const sl_function *all = (const void *)functions->known.data;
    char file[64] = "";
    const char *module = name, *colon = strchr(name, ':');
    int length = (int)strlen(name);
    if (colon != NULL) { /* "dir/module:name" */
        length = (int)(colon - name);
        name = colon + 1;
    }
    sl_function f = { .name = name,
                      .name_len = strlen(name),
                      .kind = SL_KIND_PSEUDO,
                      .origin = SL_ORIGIN_NONE };

    *known = true;
    for (uint32_t i = 0; i < functions->count; i++) {
        if (all[i].name_len == f.name_len &&
            memcmp(name, all[i].name, f.name_len) == 0)
            return i;
    }
    *known = false;
    if (strncmp(name, "C.", 2) == 0 || strncmp(module, "C:", 2) == 0) {
        f.kind = SL_KIND_C;
        f.origin = SL_ORIGIN_BUILTIN;
    } else if (name[0] != '[') {
        bool own = strncmp(name, "app.", 4) == 0;
        snprintf(file, sizeof(file), "/%s/%.*s.py", own ? "app" : "lib",
                 own ? length - 4 : length, own ? module + 4 : module);
        f.kind = SL_KIND_PYTHON;
        f.origin = own                               ? SL_ORIGIN_PROJECT
                   : strncmp(module, "std.", 4) == 0 ? SL_ORIGIN_STDLIB
                                                     : SL_ORIGIN_LIBRARY;
    }
    f.file = file;
    f.file_len = strlen(file);
    f.line = 7;
    ck_assert_int_eq(sl_blob_functions_add(functions, &f), SL_OK);
    return functions->count - 1;
}

static void
put_tree(const made *m, sl_blob_functions *functions, sl_buf *body)
{
    enum { POPS, FUNCTION, CALLS, RESUMES, SELF, LINE, COLUMNS };
    sl_buf columns[COLUMNS];

    for (int c = 0; c < COLUMNS; c++)
        sl_buf_init(&columns[c], NULL, 0);
    for (uint32_t i = 0; i < m->count; i++) {
        const made_node *node = &m->nodes[i];
        bool known;
        uint32_t number = function_of(functions, node->name, &known);
        sl_buf_put_varint(&columns[POPS],
                          i == 0 ? 0 : m->nodes[i - 1].depth + 1 - node->depth);
        sl_buf_put_varint(&columns[FUNCTION], known ? number + 1 : 0);
        sl_buf_put_varint(&columns[CALLS], node->calls);
        sl_buf_put_varint(&columns[RESUMES], 0);
        sl_buf_put_varint(&columns[SELF], node->self_ns);
        sl_buf_put_varint(&columns[LINE], node->line);
    }
    sl_buf_put_varint(body, m->count);
    sl_buf_put_varint(body, 1);
    for (int c = 0; c < COLUMNS; c++) {
        sl_blob_put_column(body, &columns[c]);
        sl_buf_free(&columns[c]);
    }
}

static void
put_lines(const made *m, sl_buf *body)
{
    const sl_profile_line *rows = m->lines;

    sl_buf_put_varint(body, m->line_count);
    for (uint32_t i = 0; i < m->line_count; i++)
        sl_buf_put_varint(body, rows[i].node - (i > 0 ? rows[i - 1].node : 0));
    for (uint32_t i = 0; i < m->line_count; i++)
        sl_buf_put_varint(body, rows[i].line);
    for (uint32_t i = 0; i < m->line_count; i++)
        sl_buf_put_varint(body, rows[i].wall_ns);
    for (uint32_t i = 0; i < m->line_count; i++)
        sl_buf_put_varint(body, rows[i].cpu_ns);
    for (uint32_t i = 0; i < m->line_count; i++)
        sl_buf_put_varint(body, rows[i].gil_ns);
}

static void
put_timeline(const made *m, sl_buf *body)
{
    const made_stretch *rows = m->stretches;

    sl_buf_put_varint(body, m->stretch_count);
    for (uint32_t i = 0; i < m->stretch_count; i++)
        sl_buf_put_varint(body, rows[i].lane - (i > 0 ? rows[i - 1].lane : 0));
    for (uint32_t i = 0; i < m->stretch_count; i++)
        sl_buf_put_varint(body, rows[i].from_ns -
                                    (i > 0 && rows[i].lane == rows[i - 1].lane
                                         ? rows[i - 1].to_ns
                                         : 0));
    for (uint32_t i = 0; i < m->stretch_count; i++)
        sl_buf_put_varint(body, sl_zigzag((int64_t)rows[i].node -
                                          (i > 0 ? rows[i - 1].node : 0)));
    for (uint32_t i = 0; i < m->stretch_count; i++)
        sl_buf_put_varint(body, rows[i].to_ns - rows[i].from_ns);
}

static void
put_counters(const made *m, sl_buf *body)
{
    sl_blob_metric row;

    sl_blob_counters_begin(&row, NULL);
    for (uint32_t i = 0; i < m->counter_count; i++)
        sl_blob_counters_add(&row, m->counters[i].metric, m->counters[i].node,
                             m->counters[i].value);
    ck_assert_uint_eq(sl_blob_counters_end(&row, body), 0);
}

sl_profile *
made_profile(const made *m)
{
    static const sl_meta mode = { "mode", 4, "sampling", 8, 0 };
    sl_blob_functions functions;
    sl_buf content, body, tree, nothing;
    sl_profile *profile;

    sl_buf_init(&content, NULL, 0);
    sl_buf_init(&body, NULL, 0);
    sl_buf_init(&tree, NULL, 0);
    sl_buf_init(&nothing, NULL, 0);
    ck_assert_int_eq(sl_blob_functions_init(&functions, NULL), SL_OK);
    put_tree(m, &functions, &tree);
    sl_blob_put_head(&content, &body, m->sampled ? &mode : m->meta,
                     m->sampled ? 1 : m->meta_count, &nothing, &functions,
                     true);
    sl_blob_put_section(&content, SL_BLOB_TREE, &tree);
    if (m->line_count > 0) {
        put_lines(m, &body);
        sl_blob_put_section(&content, SL_BLOB_LINES, &body);
    }
    if (m->stretch_count > 0) {
        put_timeline(m, &body);
        sl_blob_put_section(&content, SL_BLOB_TIMELINE, &body);
    }
    if (m->counter_count > 0) {
        put_counters(m, &body);
        sl_blob_put_section(&content, SL_BLOB_COUNTERS, &body);
    }
    sl_blob_put_section(&content, SL_BLOB_END, &body);
    ck_assert_int_eq(sl_profile_decode_content(&profile, content.data,
                                               content.size, 0, NULL),
                     SL_OK);
    sl_blob_functions_free(&functions);
    sl_buf_free(&content);
    sl_buf_free(&body);
    sl_buf_free(&tree);
    return profile;
}
