#include "hotpath.h"

#include <stdio.h>
#include <string.h>

#define FRAMES_MAX 4 /* shown, of the project's own */

static bool
is_pseudo(const sl_profile *profile, uint32_t i, const char *name)
{
    uint32_t number = sl_profile_node_at(profile, i)->function;
    const sl_function *f = sl_profile_function(profile, number);
    return f->kind == SL_KIND_PSEUDO && strcmp(f->name, name) == 0;
}

/* Ran beside the request, or was not the app's: the client was slow to take
 * a streamed body. */
static bool
is_beside(const sl_profile *profile, uint32_t i)
{
    return sl_profile_is_strand(profile, i) ||
           is_pseudo(profile, i, "[between chunks]");
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

/* The heaviest child of `i`, or 0 if that is too little to go on to. */
static uint32_t
hotpath_below(const sl_profile *profile, uint32_t i)
{
    uint32_t next = sl_hotpath_heaviest(profile, i);
    if (next == 0)
        return 0;

    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns;
    uint64_t above = sl_profile_node_at(profile, i)->total_ns;
    uint64_t total = sl_profile_node_at(profile, next)->total_ns;
    return total >= above / 3 && total >= wall / 20 && total > 0 ? next : 0;
}

/* Time of a strand's node. */
typedef struct {
    uint32_t node;
    uint64_t ns;
} beside;

enum { BESIDE_MAX = 64 };

static void
beside_add(beside sums[BESIDE_MAX], uint32_t node, uint64_t ns)
{
    for (uint32_t i = 0; i < BESIDE_MAX; i++) {
        if (sums[i].node == node || sums[i].node == 0) {
            sums[i].node = node;
            sums[i].ns += ns;
            return;
        }
    }
}

/* The first of the `count` stretches, in order, that ends after `ns`. */
static uint32_t
stretch_after(const sl_profile *profile, uint32_t count, uint64_t ns)
{
    uint32_t low = 0;

    while (low < count) {
        uint32_t middle = low + (count - low) / 2;
        if (sl_profile_stretch_at(profile, middle)->to_ns <= ns)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

/* What ran beside the request while it was in its node `wait`. */
static void
beside_meanwhile(const sl_profile *profile, uint32_t wait,
                 beside sums[BESIDE_MAX])
{
    uint32_t count = sl_profile_stretch_count(profile), own = 0;

    while (own < count && sl_profile_stretch_at(profile, own)->lane == 0)
        own++;
    for (uint32_t k = own; k < count; k++) {
        const sl_profile_stretch *one = sl_profile_stretch_at(profile, k);
        uint64_t ns = 0;
        for (uint32_t w = stretch_after(profile, own, one->from_ns); w < own;
             w++) {
            const sl_profile_stretch *mine = sl_profile_stretch_at(profile, w);
            uint64_t from =
                mine->from_ns > one->from_ns ? mine->from_ns : one->from_ns;
            uint64_t to = mine->to_ns < one->to_ns ? mine->to_ns : one->to_ns;
            if (mine->from_ns >= one->to_ns)
                break;
            if (mine->node == wait && to > from)
                ns += to - from;
        }
        uint32_t node = one->node;
        while (node != 0 && !sl_profile_is_strand(profile, node))
            node = sl_profile_node_at(profile, node)->parent;
        if (ns > 0 && node != 0)
            beside_add(sums, node, ns);
    }
}

/* The tasks or threads that `i` awaited in its child `wait`, if they say more
 * than that: they took half as long, and there is one way into them. 0: nothing
 * does. */
static uint32_t
hotpath_awaited(const sl_profile *profile, uint32_t i, uint32_t wait)
{
    const sl_profile_node *node = sl_profile_node_at(profile, i);
    beside sums[BESIDE_MAX] = { 0 };
    uint32_t best = 0;

    if (sl_profile_stretch_count(profile) > 0)
        beside_meanwhile(profile, wait, sums);
    for (uint32_t c = i + 1; sums[0].node == 0 && c < i + node->size;
         c += sl_profile_node_at(profile, c)->size) {
        if (sl_profile_is_strand(profile, c))
            beside_add(sums, c, sl_profile_node_at(profile, c)->total_ns);
    }
    for (uint32_t k = 1; k < BESIDE_MAX; k++)
        best = sums[k].ns > sums[best].ns ? k : best;
    uint64_t waited = sl_profile_node_at(profile, wait)->total_ns;
    uint32_t strand = sums[best].node;
    return strand != 0 && sums[best].ns >= waited / 2 &&
                   hotpath_below(profile, strand) != 0
               ? strand
               : 0;
}

uint32_t
sl_hotpath_next(const sl_profile *profile, uint32_t i)
{
    uint32_t next = hotpath_below(profile, i);

    if (next == 0 || !is_pseudo(profile, next, "[await]"))
        return next;
    uint32_t strand = hotpath_awaited(profile, i, next);
    return strand != 0 ? strand : next;
}

uint64_t
sl_hotpath_share(const sl_profile *profile, uint32_t i, uint64_t above,
                 uint32_t next)
{
    uint64_t total = sl_profile_node_at(profile, next)->total_ns;

    if (sl_profile_is_strand(profile, next)) {
        /* It stands for what was awaited meanwhile. */
        uint32_t wait = sl_hotpath_heaviest(profile, i);
        uint64_t waited = sl_profile_node_at(profile, wait)->total_ns;
        total = total < waited ? total : waited;
    }
    return total < above ? total : above;
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
        if (sl_profile_is_strand(profile, i)) {
            callee = 0; /* nobody called it: what it runs comes next */
            continue;
        }
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
    uint64_t wall = sl_profile_node_at(profile, 0)->total_ns, total = wall;
    uint32_t at = 0;
    char share[16];

    for (size_t i = 0; i < count; i++) {
        uint32_t number = sl_profile_node_at(profile, picked[i])->function;
        if (i > 0)
            sl_buf_put_str(out, " > ");
        sl_hotpath_name(sl_profile_function(profile, number), out);
    }
    if (count == 0 || wall == 0)
        return;
    while (at != picked[count - 1]) {
        uint32_t next = sl_hotpath_next(profile, at);
        total = sl_hotpath_share(profile, at, total, next);
        at = next;
    }
    snprintf(share, sizeof(share), " %u%%",
             (unsigned)((double)total * 100.0 / (double)wall + 0.5));
    sl_buf_put_str(out, share);
}
