/* What recording by events cost: see cost.h. */
#include "cost.h"

#include <math.h>
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
        { "cost_resume_ps", &out->resume },
        { "cost_resume_caller_ps", &out->resume_caller },
        { "cost_c_ps", &out->c },
        { "cost_c_caller_ps", &out->c_caller },
        { "cost_site_ps", &out->site },
        { "cost_line_ps", &out->line },
        { "cost_node_ps", &out->node },
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
    if (out->resume == 0 && out->resume_caller == 0) {
        out->resume = out->python;
        out->resume_caller = out->python_caller;
    }
    return any && by_events;
}

double
sl_cost_callers(const sl_cost *cost, const sl_cost_calls *calls)
{
    double count = (double)calls->calls;

    switch (calls->kind) {
    case SL_KIND_C: return count * (double)cost->c_caller / 1000;
    case SL_KIND_PYTHON: {
        double call = (double)cost->python_caller;
        if (calls->site || cost->all_sites)
            call += (double)cost->site;
        return (count * call +
                (double)calls->resumes * (double)cost->resume_caller) /
               1000;
    }
    default: return 0;
    }
}

/* ...and what they cost the function itself. */
static double
cost_own(const sl_cost *cost, const sl_cost_calls *calls)
{
    double node =
        calls->calls + calls->resumes > 0 ? (double)cost->node / 1000 : 0;

    switch (calls->kind) {
    case SL_KIND_C: return node + (double)calls->calls * (double)cost->c / 1000;
    case SL_KIND_PYTHON:
        return node + ((double)calls->calls * (double)cost->python +
                       (double)calls->resumes * (double)cost->resume) /
                          1000;
    default: return 0;
    }
}

sl_status
sl_cost_sheet_new(sl_cost_sheet *sheet, const sl_cost *cost, uint32_t count,
                  const sl_alloc *alloc)
{
    *sheet = (sl_cost_sheet){ .alloc = alloc, .cost = *cost };
    sheet->own = alloc->take(alloc->ctx, count * sizeof(*sheet->own));
    sheet->strand = alloc->take(alloc->ctx, count * sizeof(*sheet->strand));
    if (sheet->own == NULL || sheet->strand == NULL)
        return SL_ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        sheet->own[i] = 0;
    return SL_OK;
}

void
sl_cost_sheet_free(sl_cost_sheet *sheet)
{
    if (sheet->own != NULL)
        sheet->alloc->give(sheet->alloc->ctx, sheet->own);
    if (sheet->strand != NULL)
        sheet->alloc->give(sheet->alloc->ctx, sheet->strand);
    *sheet = (sl_cost_sheet){ 0 };
}

void
sl_cost_sheet_node(sl_cost_sheet *sheet, uint32_t i, uint32_t parent,
                   const sl_cost_calls *calls, bool strand)
{
    sheet->strand[i] = i == 0 ? 0 : strand ? i : sheet->strand[parent];
    sheet->own[parent] += sl_cost_callers(&sheet->cost, calls);
    if (calls->kind == SL_KIND_PSEUDO)
        sheet->own[i] = -INFINITY; /* whatever its children add */
    else
        sheet->own[i] += cost_own(&sheet->cost, calls);
}

void
sl_cost_sheet_lines(sl_cost_sheet *sheet, uint32_t i, uint64_t hits)
{
    sheet->own[i] += sl_cost_lines(&sheet->cost, hits);
}

uint64_t
sl_cost_sheet_off(const sl_cost_sheet *sheet, uint32_t i, uint64_t self_ns,
                  uint32_t *to)
{
    *to = sheet->strand[i];
    return sl_cost_off(sheet->own[i], self_ns);
}
