/* What recording by events cost: see cost.h. */
#include "cost.h"

#include <string.h>

/* No hook takes a millisecond: more in a file is nonsense. */
#define COST_MAX ((int64_t)1000000000)

static bool
is_key(const sl_meta *item, const char *key)
{
    return item->key_len == strlen(key) &&
           memcmp(item->key, key, item->key_len) == 0;
}

static bool
is_text(const sl_meta *item, const char *text)
{
    return item->text != NULL && item->text_len == strlen(text) &&
           memcmp(item->text, text, item->text_len) == 0;
}

bool
sl_cost_read(const sl_meta *meta, size_t count, sl_cost *out)
{
    const struct {
        const char *key;
        uint64_t *cost;
    } keys[] = {
        { "cost_python_ps", &out->python },
        { "cost_python_caller_ps", &out->python_caller },
        { "cost_c_ps", &out->c },
        { "cost_c_caller_ps", &out->c_caller },
        { "cost_site_ps", &out->site },
        { "cost_line_ps", &out->line },
    };
    bool any = false, by_events = false;

    *out = (sl_cost){ 0 };
    for (size_t i = 0; i < count; i++) {
        const sl_meta *item = &meta[i];
        if (is_key(item, "mode"))
            by_events = is_text(item, "deterministic");
        else if (is_key(item, "c_mode"))
            out->all_sites = is_text(item, "all");
        for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
            if (item->text != NULL || !is_key(item, keys[k].key) ||
                item->number <= 0 || item->number > COST_MAX)
                continue;
            *keys[k].cost = (uint64_t)item->number;
            any = true;
        }
    }
    return any && by_events;
}

void
sl_cost_add(const sl_cost *cost, const sl_cost_calls *calls, double *own,
            double *callers)
{
    double count = (double)calls->calls;

    if (calls->kind == SL_KIND_C) {
        *own += count * (double)cost->c / 1000;
        *callers += count * (double)cost->c_caller / 1000;
    } else if (calls->kind == SL_KIND_PYTHON) {
        double all = count + (double)calls->resumes;
        *own += all * (double)cost->python / 1000;
        *callers += all * (double)cost->python_caller / 1000;
        if (calls->site || cost->all_sites)
            *callers += count * (double)cost->site / 1000;
    }
}
