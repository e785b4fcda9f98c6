/* Any bytes as a blob's content: the reader refuses them or makes a profile
 * whose numbers agree and whose sums do not overflow. The frame around the
 * content is zstd's to fuzz. */
#include "fuzz.h"

#include "blob.h"

static void
check_tree(const sl_profile *profile)
{
    uint32_t count = sl_profile_node_count(profile);
    uint64_t self = 0, calls = 0;

    demand(sl_profile_node_at(profile, 0)->size == count);
    for (uint32_t i = 0; i < count; i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        const sl_profile_node *parent =
            sl_profile_node_at(profile, node->parent);
        self += node->self_ns;
        calls += node->calls + node->resumes;
        demand(node->self_ns <= node->total_ns);
        demand(node->function < sl_profile_function_count(profile));
        if (i == 0)
            continue;
        demand(node->parent < i && node->depth == parent->depth + 1);
        demand(i + node->size <= node->parent + parent->size);
        demand(sl_profile_is_strand(profile, i) ||
               node->total_ns <= parent->total_ns);
    }
    demand(self <= SL_BLOB_MAX_SUM && calls <= SL_BLOB_MAX_SUM);
}

static void
check_rows(const sl_profile *profile)
{
    uint32_t count = sl_profile_node_count(profile);

    for (uint32_t i = 0; i < sl_profile_line_count(profile); i++) {
        const sl_profile_line *line = sl_profile_line_at(profile, i);
        demand(line->node < count);
        demand(line->cpu_ns + line->gil_ns <= line->wall_ns);
    }
    for (uint32_t i = 0; i < sl_profile_stretch_count(profile); i++) {
        const sl_profile_stretch *one = sl_profile_stretch_at(profile, i);
        demand(one->node < count && one->from_ns <= one->to_ns);
        demand(one->to_ns <= SL_BLOB_MAX_SUM);
    }
    for (uint32_t i = 0; i < sl_profile_counter_count(profile); i++) {
        const sl_profile_counter *row = sl_profile_counter_at(profile, i);
        demand(row->node < count && row->metric < SL_METRIC_COUNT);
        demand(sl_profile_counter_of(profile, (sl_metric)row->metric,
                                     row->node) == row->value);
    }
    for (uint32_t i = 0; i < sl_profile_function_count(profile); i++) {
        const sl_function *f = sl_profile_function(profile, i);
        demand(f->name_len <= SL_BLOB_MAX_NAME && f->name[f->name_len] == '\0');
        demand(f->file_len <= SL_BLOB_MAX_NAME && f->file[f->file_len] == '\0');
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sl_profile *profile = fuzz_decode(data, size);

    if (profile == NULL)
        return 0;
    check_tree(profile);
    check_rows(profile);
    sl_profile_free(profile);
    return 0;
}
