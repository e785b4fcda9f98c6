#include "suites.h"

#include "sample.h"

#include "slowlens/export.h"
#include "slowlens/report.h"

#include <stdio.h>
#include <string.h>

static sl_profile *profile;

static void
setup(void)
{
    sl_bytes blob = { 0 };
    ck_assert_int_eq(sample_blob(&blob, NULL), SL_OK);
    ck_assert_int_eq(sl_profile_decode(&profile, blob.data, blob.size, 0, NULL),
                     SL_OK);
    sl_bytes_free(&blob);
}

static void
teardown(void)
{
    sl_profile_free(profile);
}

static bool
holds(const sl_bytes *bytes, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i + len <= bytes->size; i++) {
        if (memcmp(bytes->data + i, text, len) == 0)
            return true;
    }
    return false;
}

START_TEST(summary_names_the_hot_path)
{
    sl_bytes out = { 0 };
    ck_assert_int_eq(sl_report_summary(profile, false, &out), SL_OK);
    ck_assert(holds(&out, "\"method\":\"GET\""));
    ck_assert(holds(&out, "\"hot_text\":\"views.view \\u003e copy.deepcopy"));
    ck_assert(holds(&out, "\"calls\":5,\"c_calls\":3"));
    ck_assert(holds(&out, "\"await\":40"));
    sl_bytes_free(&out);
}
END_TEST

START_TEST(a_glance_finds_nothing)
{
    sl_bytes out = { 0 };
    ck_assert_int_eq(sl_report_summary(profile, true, &out), SL_OK);
    ck_assert(!holds(&out, "\"findings\":"));
    ck_assert(holds(&out, "\"headline\":\""));
    ck_assert(holds(&out, "\"heaviest\":["));
    sl_bytes_free(&out);
}
END_TEST

START_TEST(tree_opens_level_by_level)
{
    sl_bytes out = { 0 };
    sl_report_tree_options options = { .node = 0, .depth = 1 };
    ck_assert_int_eq(sl_report_tree(profile, &options, &out), SL_OK);
    ck_assert(holds(&out, "\"node\":1,\"parent\":0"));
    ck_assert(!holds(&out, "\"parent\":1"));
    sl_bytes_free(&out);

    options = (sl_report_tree_options){ .node = 1, .depth = 1 };
    ck_assert_int_eq(sl_report_tree(profile, &options, &out), SL_OK);
    ck_assert(holds(&out, "\"parent\":1"));
    ck_assert(!holds(&out, "\"node\":0,\"parent\""));
    sl_bytes_free(&out);

    options = (sl_report_tree_options){ .node = 0, .depth = 1, .hot = true };
    ck_assert_int_eq(sl_report_tree(profile, &options, &out), SL_OK);
    ck_assert(holds(&out, "\"parent\":1"));
    ck_assert(holds(&out, "\"hot\":[1,"));
    sl_bytes_free(&out);
}
END_TEST

START_TEST(a_limit_is_said)
{
    sl_bytes out = { 0 };
    sl_report_tree_options options = { .node = 0, .depth = 9, .limit = 3 };
    ck_assert_int_eq(sl_report_tree(profile, &options, &out), SL_OK);
    ck_assert(holds(&out, "\"truncated\":true"));
    sl_bytes_free(&out);
}
END_TEST

START_TEST(what_is_not_there_is_refused)
{
    sl_bytes out = { 0 };
    sl_report_tree_options options = { .node = 8, .depth = 1 };
    ck_assert_int_eq(sl_report_tree(profile, &options, &out), SL_ERANGE);
    options = (sl_report_tree_options){ .node = 0, .depth = 0 };
    ck_assert_int_eq(sl_report_tree(profile, &options, &out), SL_ERANGE);
}
END_TEST

START_TEST(functions_go_by_self_time)
{
    sl_bytes out = { 0 };
    /* The two heaviest: on a busy machine the request's own time is one. */
    ck_assert_int_eq(sl_report_functions(profile, 2, &out), SL_OK);
    ck_assert(holds(&out, "deepcopy"));
    ck_assert(!holds(&out, "builtins.len"));
    sl_bytes_free(&out);
}
END_TEST

START_TEST(text_is_indented_heaviest_first)
{
    sl_bytes out = { 0 };
    ck_assert_int_eq(sl_report_text(profile, 0, &out), SL_OK);
    ck_assert(holds(&out, "[request]\n"));
    ck_assert(holds(&out, "      copy.deepcopy\n"));
    sl_bytes_free(&out);
}
END_TEST

START_TEST(exports_hold_the_tree)
{
    sl_bytes out = { 0 };
    ck_assert_int_eq(
        sl_export_bytes(profile, sl_export_find("collapsed"), 0, &out), SL_OK);
    ck_assert(holds(&out, "[request];views.view;copy.deepcopy;copy.deepcopy "));
    sl_bytes_free(&out);
    ck_assert_int_eq(
        sl_export_bytes(profile, sl_export_find("speedscope"), 0, &out), SL_OK);
    ck_assert(holds(&out, "file-format-schema.json"));
    sl_bytes_free(&out);
    ck_assert_int_eq(
        sl_export_bytes(profile, sl_export_find("pstats"), 0, &out), SL_OK);
    ck_assert_uint_eq(out.data[0], '{');
    sl_bytes_free(&out);
    ck_assert_int_eq(
        sl_export_bytes(profile, sl_export_find("callgrind"), 0, &out), SL_OK);
    ck_assert(holds(&out, "# callgrind format\n"));
    sl_bytes_free(&out);
}
END_TEST

START_TEST(columns_are_the_tree)
{
    sl_bytes out = { 0 };
    ck_assert_int_eq(sl_report_flame(profile, 0, 0, &out), SL_OK);
    ck_assert(holds(&out, "\"truncated\":false,\"least_ns\":0"));
    ck_assert(holds(&out, "\"nodes\":[0,1,2,3,4,5,6,7]"));
    ck_assert(holds(&out, "\"parents\":[0,0,1,"));
    sl_bytes_free(&out);

    /* A subtree counts from its own root. */
    ck_assert_int_eq(sl_report_flame(profile, 1, 0, &out), SL_OK);
    ck_assert(holds(&out, "\"nodes\":[1,2,"));
    ck_assert(holds(&out, "\"parents\":[0,0,"));
    sl_bytes_free(&out);

    ck_assert_int_eq(sl_report_flame(profile, 0, 3, &out), SL_OK);
    ck_assert(holds(&out, "\"truncated\":true"));
    ck_assert(holds(&out, "\"nodes\":[0,1,"));
    sl_bytes_free(&out);
    ck_assert_int_eq(sl_report_flame(profile, 8, 0, &out), SL_ERANGE);
}
END_TEST

START_TEST(callers_and_callees_of_one)
{
    sl_bytes out = { 0 };
    uint32_t view = sl_profile_node_at(profile, 1)->function;
    char caller[32], callee[32];

    snprintf(caller, sizeof(caller), "\"caller\":%u,", (unsigned)view);
    snprintf(callee, sizeof(callee), "\"callee\":%u,", (unsigned)view);
    ck_assert_int_eq(sl_report_calls(profile, view, 0, &out), SL_OK);
    ck_assert(holds(&out, caller));
    ck_assert(holds(&out, callee));
    ck_assert(holds(&out, "\"name\":\"view\""));
    sl_bytes_free(&out);

    ck_assert_int_eq(sl_report_calls(profile, SL_REPORT_ALL, 1000, &out),
                     SL_OK);
    ck_assert(holds(&out, "[request]"));
    ck_assert(!holds(&out, "builtins.len"));
    sl_bytes_free(&out);
    ck_assert_int_eq(sl_report_calls(profile, 99, 0, &out), SL_ERANGE);
}
END_TEST

/* request > view > dumps (40 times) > deepcopy (once each) */
static sl_profile *
looping(void)
{
    sl_recording_options options = { 0 };
    sl_recording *recording;
    sl_bytes blob = { 0 };
    sl_profile *made;

    ck_assert_int_eq(sl_recording_new(&recording, &options, NULL), SL_OK);
    sl_strand *strand = sl_recording_main(recording);
    uint64_t t = sl_clock_monotonic_ns();
    sl_strand_enter(strand, VIEW, SL_KIND_PYTHON, t += 10);
    for (int i = 0; i < 40; i++) {
        sl_strand_enter(strand, DUMPS, SL_KIND_PYTHON, t += 1);
        sl_strand_enter(strand, COPY, SL_KIND_PYTHON, t += 1);
        sl_strand_leave(strand, COPY, t += 7);
        sl_strand_leave(strand, DUMPS, t += 1);
    }
    sl_strand_leave(strand, VIEW, t += 1);
    sl_recording_stop(recording, t + 1);
    ck_assert_int_eq(sl_recording_encode(recording, NULL, 0, sample_describe,
                                         NULL, 0, &blob),
                     SL_OK);
    sl_recording_free(recording);
    ck_assert_int_eq(sl_profile_decode(&made, blob.data, blob.size, 0, NULL),
                     SL_OK);
    sl_bytes_free(&blob);
    return made;
}

START_TEST(a_loop_is_a_repeat_and_what_it_calls_is_not)
{
    sl_bytes out = { 0 };
    sl_profile *made = looping();

    ck_assert_int_eq(sl_report_repeats(made, 0, &out), SL_OK);
    ck_assert(holds(&out, "\"exact\":true"));
    ck_assert(holds(&out, "\"calls\":40,\"total_ns\":360}]"));
    ck_assert(holds(&out, "{\"node\":2,"));
    sl_bytes_free(&out);
    sl_profile_free(made);

    ck_assert_int_eq(sl_report_repeats(profile, 0, &out), SL_OK);
    ck_assert(holds(&out, "\"rows\":[]"));
    sl_bytes_free(&out);
}
END_TEST

/* VIEW awaits for a second, while `tasks` tasks, one beside the other, each
 * spend `each` ms in COPY. */
static void
summary_of_tasks(int tasks, uint64_t each, sl_bytes *out)
{
    sl_recording_options options = { 0 };
    sl_recording *r = NULL;
    sl_profile *p = NULL;
    sl_bytes blob = { 0 };

    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();
    sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t += 10);
    sl_strand_yield(s, VIEW, t += 10);
    sl_strand_suspend(s, t);
    for (int i = 0; i < tasks; i++) {
        sl_strand *task = sl_recording_strand(r, SL_PSEUDO_TASK, t);
        sl_strand_enter(task, COPY, SL_KIND_PYTHON, t);
        sl_strand_leave(task, COPY, t + each * 1000000);
    }
    sl_strand_continue(s, SL_PSEUDO_AWAIT, t += 1000000000);
    sl_recording_stop(r, t);
    ck_assert_int_eq(
        sl_recording_encode(r, NULL, 0, sample_describe, NULL, 0, &blob),
        SL_OK);
    sl_recording_free(r);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                     SL_OK);
    ck_assert_int_eq(sl_report_summary(p, false, out), SL_OK);
    sl_profile_free(p);
    sl_bytes_free(&blob);
}

START_TEST(the_hot_path_goes_on_in_what_was_awaited)
{
    sl_bytes out = { 0 };

    summary_of_tasks(1, 800, &out);
    ck_assert(holds(&out, "views.view \\u003e copy.deepcopy 80%"));
    sl_bytes_free(&out);
    /* Beside one another: not 400 % of the request. */
    summary_of_tasks(4, 1000, &out);
    ck_assert(holds(&out, "views.view \\u003e copy.deepcopy 100%"));
    sl_bytes_free(&out);
    /* Not what was waited for. */
    summary_of_tasks(1, 300, &out);
    ck_assert(holds(&out, "\"hot_text\":\"views.view \\u003e [await]"));
    sl_bytes_free(&out);
}
END_TEST

Suite *
report_suite(void)
{
    Suite *suite = suite_create("report");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, summary_names_the_hot_path);
    tcase_add_test(tc, a_glance_finds_nothing);
    tcase_add_test(tc, the_hot_path_goes_on_in_what_was_awaited);
    tcase_add_test(tc, tree_opens_level_by_level);
    tcase_add_test(tc, a_limit_is_said);
    tcase_add_test(tc, what_is_not_there_is_refused);
    tcase_add_test(tc, functions_go_by_self_time);
    tcase_add_test(tc, text_is_indented_heaviest_first);
    tcase_add_test(tc, exports_hold_the_tree);
    tcase_add_test(tc, columns_are_the_tree);
    tcase_add_test(tc, callers_and_callees_of_one);
    tcase_add_test(tc, a_loop_is_a_repeat_and_what_it_calls_is_not);
    suite_add_tcase(suite, tc);
    return suite;
}
