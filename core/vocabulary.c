/* The words of slowlens/vocabulary.h. */
#include "slowlens/vocabulary.h"

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
