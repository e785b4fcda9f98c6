/* Any bytes as a blob's content: the reader refuses them or makes a profile
 * whose numbers agree, and every report and export of it ends. The frame
 * around the content is zstd's to fuzz. */
#include "profile.h"

#include "slowlens/export.h"
#include "slowlens/merge.h"
#include "slowlens/report.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
demand(bool truth)
{
    if (!truth)
        abort();
}

static void
check_tree(const sl_profile *profile)
{
    uint32_t count = sl_profile_node_count(profile);

    demand(sl_profile_node_at(profile, 0)->size == count);
    for (uint32_t i = 1; i < count; i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        const sl_profile_node *parent =
            sl_profile_node_at(profile, node->parent);
        demand(node->parent < i);
        demand(i + node->size <= node->parent + parent->size);
        demand(node->self_ns <= node->total_ns);
        demand(sl_profile_is_strand(profile, i) ||
               node->total_ns <= parent->total_ns);
        demand(node->function < sl_profile_function_count(profile));
    }
    for (uint32_t i = 0; i < sl_profile_line_count(profile); i++) {
        const sl_profile_line *line = sl_profile_line_at(profile, i);
        demand(line->node < count);
        demand(line->cpu_ns + line->gil_ns <= line->wall_ns);
    }
    for (uint32_t i = 0; i < sl_profile_stretch_count(profile); i++) {
        const sl_profile_stretch *one = sl_profile_stretch_at(profile, i);
        demand(one->node < count && one->from_ns <= one->to_ns);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static sl_status (*const numbered[])(
        const sl_profile *, uint32_t,
        sl_bytes *) = { sl_report_functions, sl_report_text, sl_report_lines,
                        sl_report_timeline, sl_report_repeats };
    static sl_status (*const twice_numbered[])(
        const sl_profile *, uint32_t, uint32_t,
        sl_bytes *) = { sl_report_flame, sl_report_calls };
    sl_profile *profile;
    sl_bytes out = { 0 };
    sl_report_tree_options options = { .depth = 3, .hot = true, .limit = 50 };

    if (sl_profile_decode_content(&profile, data, size, 16 << 20, NULL) < 0)
        return 0;
    check_tree(profile);
    if (sl_report_summary(profile, &out) == SL_OK)
        sl_bytes_free(&out);
    for (size_t i = 0; sl_export_at(i) != NULL; i++) {
        if (sl_export_bytes(profile, sl_export_at(i), 0, &out) == SL_OK)
            sl_bytes_free(&out);
    }
    if (sl_report_tree(profile, &options, &out) == SL_OK)
        sl_bytes_free(&out);
    for (size_t i = 0; i < sizeof(numbered) / sizeof(numbered[0]); i++) {
        if (numbered[i](profile, 0, &out) == SL_OK)
            sl_bytes_free(&out);
    }
    for (size_t i = 0; i < 2; i++) {
        for (uint32_t limit = 0; limit < 6; limit += 5) {
            if (twice_numbered[i](profile, 0, limit, &out) == SL_OK)
                sl_bytes_free(&out);
        }
    }
    const sl_profile *const both[] = { profile, profile };
    if (sl_report_calls(profile, SL_REPORT_ALL, 5, &out) == SL_OK)
        sl_bytes_free(&out);
    if (sl_report_aggregate(both, 2, 1, &out) == SL_OK)
        sl_bytes_free(&out);
    sl_profile_free(profile);
    return 0;
}
