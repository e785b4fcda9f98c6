/* The words of slowlens/vocabulary.h, and the tables of metrics and keys. */
#include "slowlens/vocabulary.h"
#include "slowlens/meta.h"
#include "slowlens/metric.h"

#include <string.h>

static const char *const kind_names[] = {
#define XX(name, number, word) [number] = word,
    SL_KIND_MAP(XX)
#undef XX
};

static const char *const origin_names[] = {
#define XX(name, number, word) [number] = word,
    SL_ORIGIN_MAP(XX)
#undef XX
};

static const char *const pseudo_names[] = {
#define XX(name, text) [SL_PSEUDO_##name] = text,
    SL_PSEUDO_MAP(XX)
#undef XX
};

const char *
sl_kind_name(sl_kind kind)
{
    return (unsigned)kind < SL_KIND_COUNT ? kind_names[kind] : "?";
}

const char *
sl_origin_name(sl_origin origin)
{
    return (unsigned)origin < SL_ORIGIN_COUNT ? origin_names[origin] : "?";
}

const char *
sl_pseudo_name(sl_pseudo pseudo)
{
    return (unsigned)pseudo < SL_PSEUDO_COUNT ? pseudo_names[pseudo] : "?";
}

sl_pseudo
sl_pseudo_of(const sl_function *f)
{
    if (f->kind != SL_KIND_PSEUDO)
        return SL_PSEUDO_COUNT;
    for (int i = 0; i < SL_PSEUDO_COUNT; i++) {
        if (strlen(pseudo_names[i]) == f->name_len &&
            memcmp(pseudo_names[i], f->name, f->name_len) == 0)
            return (sl_pseudo)i;
    }
    return SL_PSEUDO_COUNT;
}

static const sl_metric_info metrics[] = {
#define XX(name, number, key, unit, where, title, text)                        \
    [number] = { key, SL_UNIT_##unit, SL_METRIC_IN_##where, title, text },
    SL_METRIC_MAP(XX)
#undef XX
};

#define XX(key, type, unit, title, text)                                       \
    { #key, SL_META_##type, SL_UNIT_##unit, title, text },
static const sl_meta_info meta_keys[] = { SL_META_MAP(XX) };
static const sl_meta_info summary_keys[] = { SL_SUMMARY_MAP(XX) };
#undef XX

const sl_metric_info *
sl_metric_at(sl_metric metric)
{
    return (unsigned)metric < SL_METRIC_COUNT ? &metrics[metric] : NULL;
}

const sl_meta_info *
sl_meta_at(size_t i)
{
    return i < sizeof(meta_keys) / sizeof(meta_keys[0]) ? &meta_keys[i] : NULL;
}

const sl_meta_info *
sl_summary_at(size_t i)
{
    return i < sizeof(summary_keys) / sizeof(summary_keys[0]) ? &summary_keys[i]
                                                              : NULL;
}
