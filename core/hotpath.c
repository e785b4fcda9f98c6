#include "hotpath.h"

#include <stdio.h>
#include <string.h>

#define FRAMES_MAX 4 /* shown, of the project's own */

/* Ran beside the request, or was not the app's: the client was slow to take
 * a streamed body. */
static bool
is_beside(const sl_profile *profile, uint32_t i)
{
    uint32_t number = sl_profile_node_at(profile, i)->function;
    const sl_function *f = sl_profile_function(profile, number);
    return sl_profile_is_strand(profile, i) ||
           (f->kind == SL_KIND_PSEUDO &&
            strcmp(f->name, "[between chunks]") == 0);
}

uint32_t
sl_hotpath_heaviest(const sl_profile *profile, uint32_t i)
{
    const sl_profile_node *node = sl_profile_node_at(profile, i);
    uint32_t best = 0;
    uint64_t most = 0;

    for (uint32_t c = i + 1; c < i + node->size;) {
        const sl_profile_node *child = sl_profile_node_at(profile, c);
        if (!is_beside(profile, c) && child->total_ns >= most) {
            best = c;
            most = child->total_ns;
        }
        c += child->size;
    }
    return best;
}

uint32_t
sl_hotpath_next(const sl_profile *profile, uint32_t i)
{
    uint32_t next = sl_hotpath_heaviest(profile, i);
    if (next == 0)
        return 0;

    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns;
    uint64_t above = sl_profile_node_at(profile, i)->total_ns;
    uint64_t total = sl_profile_node_at(profile, next)->total_ns;
    return total >= above / 3 && total >= wall / 20 && total > 0 ? next : 0;
}

void
sl_hotpath_name(const sl_function *f, sl_buf *out)
{
    const char *start = f->file, *end = f->file + f->file_len;

    if (f->kind != SL_KIND_PYTHON || f->file_len == 0 || f->file[0] == '<') {
        sl_buf_put(out, f->name, f->name_len);
        return;
    }
    if (f->file_len > 3 && memcmp(end - 3, ".py", 3) == 0)
        end -= 3;
    if (end - start > 9 && memcmp(end - 9, "/__init__", 9) == 0)
        end -= 9;
    for (const char *at = start; at < end; at++) {
        if (*at == '/' || *at == '\\')
            start = at + 1;
    }
    sl_buf_put(out, start, (size_t)(end - start));
    sl_buf_put_u8(out, '.');
    sl_buf_put(out, f->name, f->name_len);
}

/* Picks the frames to show: the last FRAMES_MAX of the project, each once in
 * a row, then what the last one called. Without any, the deepest frame. */
static size_t
hotpath_pick(const sl_profile *profile, uint32_t *picked)
{
    uint64_t half = sl_profile_node_at(profile, 0)->total_ns / 2;
    uint32_t last = 0, callee = 0;
    size_t count = 0;

    for (uint32_t i = sl_hotpath_next(profile, 0); i != 0;
         i = sl_hotpath_next(profile, i)) {
        uint32_t number = sl_profile_node_at(profile, i)->function;
        const sl_function *f = sl_profile_function(profile, number);
        if (last == 0 || sl_profile_node_at(profile, i)->total_ns >= half)
            last = i;
        if (f->origin != SL_ORIGIN_PROJECT) {
            if (callee == 0)
                callee = i;
            continue;
        }
        callee = 0;
        if (count > 0 &&
            sl_profile_node_at(profile, picked[count - 1])->function == number)
            count--;
        if (count == FRAMES_MAX) {
            memmove(picked, picked + 1, (FRAMES_MAX - 1) * sizeof(*picked));
            count--;
        }
        picked[count++] = i;
    }
    if (count == 0 && last != 0)
        picked[count++] = last;
    else if (callee != 0)
        picked[count++] = callee;
    return count;
}

void
sl_hotpath_text(const sl_profile *profile, sl_buf *out)
{
    uint32_t picked[FRAMES_MAX + 1];
    size_t count = hotpath_pick(profile, picked);
    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns;
    char share[16];

    for (size_t i = 0; i < count; i++) {
        uint32_t number = sl_profile_node_at(profile, picked[i])->function;
        if (i > 0)
            sl_buf_put_str(out, " > ");
        sl_hotpath_name(sl_profile_function(profile, number), out);
    }
    if (count == 0 || wall == 0)
        return;
    uint64_t total = sl_profile_node_at(profile, picked[count - 1])->total_ns;
    snprintf(share, sizeof(share), " %u%%",
             (unsigned)((double)total * 100.0 / (double)wall + 0.5));
    sl_buf_put_str(out, share);
}
