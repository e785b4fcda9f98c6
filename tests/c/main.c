#include "suites.h"

#include <stdlib.h>

Suite *
suite_of(const char *name, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 120);
    for (; *tests != NULL; tests++)
        tcase_add_test(tc, *tests);
    suite_add_tcase(suite, tc);
    return suite;
}

int
main(void)
{
    SRunner *runner = srunner_create(NULL);
    srunner_add_suite(runner, arena_suite());
    srunner_add_suite(runner, blob_suite());
    srunner_add_suite(runner, board_suite());
    srunner_add_suite(runner, buf_suite());
    srunner_add_suite(runner, clock_suite());
    srunner_add_suite(runner, compress_suite());
    srunner_add_suite(runner, freeze_suite());
    srunner_add_suite(runner, functions_suite());
    srunner_add_suite(runner, gather_suite());
    srunner_add_suite(runner, golden_suite());
    srunner_add_suite(runner, histogram_suite());
    srunner_add_suite(runner, intern_suite());
    srunner_add_suite(runner, journal_suite());
    srunner_add_suite(runner, json_suite());
    srunner_add_suite(runner, cells_suite());
    srunner_add_suite(runner, merge_suite());
    srunner_add_suite(runner, numbers_suite());
    srunner_add_suite(runner, profile_suite());
    srunner_add_suite(runner, recording_suite());
    srunner_add_suite(runner, report_suite());
    srunner_add_suite(runner, sampled_suite());
    srunner_add_suite(runner, rows_suite());
    srunner_add_suite(runner, segment_suite());
    srunner_add_suite(runner, words_suite());
    srunner_add_suite(runner, sql_suite());
    srunner_add_suite(runner, status_suite());
    srunner_add_suite(runner, varint_suite());
    srunner_add_suite(runner, bounds_suite());
    srunner_add_suite(runner, calls_suite());
    srunner_add_suite(runner, cost_suite());
    srunner_add_suite(runner, stretches_suite());
    srunner_add_suite(runner, export_suite());
    srunner_add_suite(runner, cohort_suite());
    srunner_add_suite(runner, findings_suite());
    srunner_add_suite(runner, findings_rules_suite());
    srunner_add_suite(runner, hits_suite());
    srunner_add_suite(runner, hotpath_suite());
    srunner_add_suite(runner, label_suite());
    srunner_add_suite(runner, layout_suite());
    srunner_add_suite(runner, span_suite());
    srunner_add_suite(runner, stacks_suite());
    srunner_add_suite(runner, numbering_suite());
    srunner_add_suite(runner, pending_suite());
    srunner_add_suite(runner, text_suite());
    srunner_add_suite(runner, vocabulary_suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
