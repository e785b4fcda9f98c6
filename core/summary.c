/* What a list, a log line and an index want of a profile. */
#include "summary.h"
#include "blob_put.h"
#include "findings.h"
#include "label.h"

#include <string.h>

#define PATH_MAX_STEPS 64u

void
sl_summary_split(const sl_outline *o, uint64_t split[SL_SPLITS])
{
    const bool strands = sl_outline_has_strands(o);

    memset(split, 0, SL_SPLITS * sizeof(*split));
    for (uint32_t i = 0; i < o->count;) {
        const sl_outline_node *node = &o->nodes[i];
        const sl_function *f = &o->functions[node->function];
        if (strands && sl_outline_is_strand(o, i)) {
            i += node->size;
            continue;
        }
        int at = (int)f->origin;
        if (f->origin == SL_ORIGIN_NONE) {
            sl_pseudo pseudo = sl_outline_pseudo(o, i);
            switch (pseudo) {
            case SL_PSEUDO_AWAIT: at = SL_SPLIT_AWAIT; break;
            case SL_PSEUDO_LOOP: at = SL_SPLIT_LOOP; break;
            case SL_PSEUDO_IDLE: at = SL_SPLIT_IDLE; break;
            case SL_PSEUDO_GC: at = SL_SPLIT_GC; break;
            default:
                at = sl_pseudo_is_unseen(pseudo) ? SL_SPLIT_UNSEEN
                                                 : SL_SPLIT_OTHER;
                break;
            }
        }
        split[at] += node->self_ns;
        i++;
    }
}

void
sl_summary_headline(const sl_outline *o, const sl_hotpath *path, sl_buf *out)
{
    sl_findings found;
    sl_status status = sl_findings_find(o, path, &found);

    if (status == SL_OK)
        sl_findings_headline(o, &found, out);
    else
        out->status = status;
}

static sl_meta
text_item(const char *key, const sl_buf *text)
{
    return (sl_meta){ key, strlen(key),
                      text->size > 0 ? (const char *)text->data : "",
                      text->size, 0 };
}

static sl_meta
number_item(const char *key, uint64_t value)
{
    return (sl_meta){ key, strlen(key), NULL, 0,
                      value < INT64_MAX ? (int64_t)value : INT64_MAX };
}

void
sl_summary_put(const sl_outline *o, uint64_t clipped, sl_buf *out)
{
    static const char *const names[SL_SPLITS] = {
        "self_project_ns", "self_library_ns", "self_stdlib_ns",
        "self_builtin_ns", "self_await_ns",   "self_loop_ns",
        "self_idle_ns",    "self_gc_ns",      "self_unseen_ns",
        "self_other_ns"
    };
    uint64_t split[SL_SPLITS];
    sl_buf headline, text, whole, words;
    sl_hotpath path;
    sl_findings found;
    sl_meta items[SL_SPLITS + 5];
    size_t count = 0;
    sl_status status = sl_hotpath_find(o, 0, &path);

    sl_buf_init(&headline, &out->alloc, 0);
    sl_buf_init(&text, &out->alloc, 0);
    sl_buf_init(&whole, &out->alloc, 0);
    sl_buf_init(&words, &out->alloc, 0);
    if (status == SL_OK)
        status = sl_findings_find(o, &path, &found);
    if (status == SL_OK) {
        sl_findings_headline(o, &found, &headline);
        sl_findings_words(&found, &words);
        sl_hotpath_text(o, &path, &text);
        for (uint32_t s = 0; s < path.count && s < PATH_MAX_STEPS; s++) {
            if (s > 0)
                sl_buf_put_u8(&whole, '\n');
            sl_label_name(&whole, sl_outline_function(o, path.steps[s].node),
                          SL_LABEL_MAX);
        }
        status = headline.status < 0 ? headline.status
                 : text.status < 0   ? text.status
                 : whole.status < 0  ? whole.status
                                     : words.status;
    }
    items[count++] = text_item("headline", &headline);
    items[count++] = text_item("hot_text", &text);
    items[count++] = text_item("hot_path", &whole);
    if (words.size > 0)
        items[count++] = text_item("findings", &words);
    sl_summary_split(o, split);
    for (int i = 0; i < SL_SPLITS; i++) {
        if (split[i] > 0)
            items[count++] = number_item(names[i], split[i]);
    }
    if (clipped > 0)
        items[count++] = number_item("clipped", clipped);
    if (status == SL_OK)
        sl_blob_put_items(out, items, count);
    else
        out->status = status;
    sl_hotpath_free(&path);
    sl_buf_free(&headline);
    sl_buf_free(&text);
    sl_buf_free(&whole);
    sl_buf_free(&words);
}
