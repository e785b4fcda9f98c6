#include "profile.h"

#include <string.h>

#define MAX_BYTES ((size_t)1 << 30)

sl_status
sl_profile_new(sl_profile **out, size_t max_bytes, const sl_alloc *alloc)
{
    sl_arena *arena;
    void *mem;
    sl_status status =
        sl_arena_new(&arena, alloc, 0, max_bytes != 0 ? max_bytes : MAX_BYTES);
    if (status < 0)
        return status;
    status = sl_arena_take(arena, sizeof(sl_profile), &mem);
    if (status < 0) {
        sl_arena_free(arena);
        return status;
    }
    *out = mem;
    **out = (sl_profile){ .arena = arena };
    return SL_OK;
}

void
sl_profile_free(sl_profile *profile)
{
    if (profile != NULL)
        sl_arena_free(profile->arena);
}

bool
sl_function_is_strand(const sl_function *f)
{
    return f->kind == SL_KIND_PSEUDO &&
           ((f->name_len == 6 && memcmp(f->name, "[task]", 6) == 0) ||
            (f->name_len == 8 && memcmp(f->name, "[thread]", 8) == 0));
}

bool
sl_profile_is_strand(const sl_profile *profile, uint32_t i)
{
    return i != 0 && sl_function_is_strand(
                         &profile->functions[profile->nodes[i].function]);
}

/* Total of a function: a node counts where no node above it is of the same
 * function. One pass in preorder, `open` holding the end of the outermost
 * activation of each function. */
static sl_status
profile_sum_functions(sl_profile *profile)
{
    void *sums, *open;
    size_t count = profile->function_count;
    sl_status status =
        sl_arena_take(profile->arena, count * sizeof(sl_profile_sum), &sums);
    if (status == SL_OK)
        status = sl_arena_take(profile->arena, count * sizeof(uint32_t), &open);
    if (status < 0)
        return status;
    profile->sums = sums;
    memset(sums, 0, count * sizeof(sl_profile_sum));
    memset(open, 0, count * sizeof(uint32_t));

    for (uint32_t i = 0; i < profile->node_count; i++) {
        const sl_profile_node *node = &profile->nodes[i];
        sl_profile_sum *sum = &profile->sums[node->function];
        uint32_t *end = (uint32_t *)open + node->function;

        sum->calls += node->calls;
        sum->resumes += node->resumes;
        sum->self_ns += node->self_ns;
        sum->nodes++;
        if (i >= *end) {
            sum->total_ns += node->total_ns;
            *end = i + node->size;
        }
    }
    return SL_OK;
}

sl_status
sl_profile_derive(sl_profile *profile)
{
    sl_profile_node *nodes = profile->nodes;

    for (uint32_t i = 0; i < profile->node_count; i++) {
        nodes[i].size = 1;
        nodes[i].total_ns = nodes[i].self_ns;
        nodes[i].depth = i == 0 ? 0 : nodes[nodes[i].parent].depth + 1;
    }
    for (uint32_t i = profile->node_count; i-- > 1;) {
        sl_profile_node *parent = &nodes[nodes[i].parent];
        parent->size += nodes[i].size;
        if (!sl_profile_is_strand(profile, i))
            parent->total_ns += nodes[i].total_ns;
    }
    return profile_sum_functions(profile);
}

size_t
sl_profile_meta_count(const sl_profile *profile)
{
    return profile->meta_count;
}

const sl_meta *
sl_profile_meta(const sl_profile *profile, size_t i)
{
    return &profile->meta[i];
}

const sl_meta *
sl_profile_meta_find(const sl_profile *profile, const char *key)
{
    size_t len = strlen(key);

    for (size_t i = 0; i < profile->meta_count; i++) {
        const sl_meta *item = &profile->meta[i];
        if (item->key_len == len && memcmp(item->key, key, len) == 0)
            return item;
    }
    return NULL;
}

uint32_t
sl_profile_function_count(const sl_profile *profile)
{
    return profile->function_count;
}

const sl_function *
sl_profile_function(const sl_profile *profile, uint32_t i)
{
    return &profile->functions[i];
}

const sl_profile_sum *
sl_profile_function_sum(const sl_profile *profile, uint32_t i)
{
    return &profile->sums[i];
}

uint32_t
sl_profile_node_count(const sl_profile *profile)
{
    return profile->node_count;
}

const sl_profile_node *
sl_profile_node_at(const sl_profile *profile, uint32_t i)
{
    return &profile->nodes[i];
}

uint32_t
sl_profile_line_count(const sl_profile *profile)
{
    return profile->line_count;
}

const sl_profile_line *
sl_profile_line_at(const sl_profile *profile, uint32_t i)
{
    return &profile->lines[i];
}

uint32_t
sl_profile_stretch_count(const sl_profile *profile)
{
    return profile->stretch_count;
}

const sl_profile_stretch *
sl_profile_stretch_at(const sl_profile *profile, uint32_t i)
{
    return &profile->stretches[i];
}

bool
sl_profile_is_sampled(const sl_profile *profile)
{
    const sl_meta *mode = sl_profile_meta_find(profile, "mode");
    return mode != NULL && mode->text != NULL &&
           strcmp(mode->text, "sampling") == 0;
}

size_t
sl_profile_bytes(const sl_profile *profile)
{
    return sl_arena_bytes(profile->arena);
}
