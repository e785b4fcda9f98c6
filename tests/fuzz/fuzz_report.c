/* Every report of whatever the reader takes: it ends, and stays within its
 * memory. */
#include "fuzz.h"

#include "slowlens/report.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static sl_status (*const numbered[])(const sl_profile *, uint32_t,
                                         sl_bytes *) = {
        sl_report_functions, sl_report_text,    sl_report_lines,
        sl_report_timeline,  sl_report_repeats, sl_report_spans
    };
    sl_profile *profile = fuzz_decode(data, size);
    sl_bytes out = { 0 };

    if (profile == NULL)
        return 0;
    /* Which node, function and limit is the input's to say as well. */
    uint32_t pick = size > 0 ? data[size / 2] : 0;
    fuzz_done(sl_report_meta(profile, &out), &out);
    fuzz_done(sl_report_summary(profile, false, &out), &out);
    fuzz_done(sl_report_summary(profile, true, &out), &out);
    for (int hot = 0; hot < 2; hot++) {
        sl_report_tree_options options = { .node = pick % sl_profile_node_count(
                                                              profile),
                                           .depth = 3,
                                           .hot = hot,
                                           .limit = pick };
        fuzz_done(sl_report_tree(profile, &options, &out), &out);
    }
    for (size_t i = 0; i < sizeof(numbered) / sizeof(numbered[0]); i++)
        fuzz_done(numbered[i](profile, pick, &out), &out);
    fuzz_done(sl_report_flame(profile, pick % sl_profile_node_count(profile),
                              pick, &out),
              &out);
    fuzz_done(sl_report_calls(profile, pick, 0, &out), &out);
    fuzz_done(sl_report_calls(profile, SL_REPORT_ALL, pick, &out), &out);
    sl_profile_free(profile);
    return 0;
}
