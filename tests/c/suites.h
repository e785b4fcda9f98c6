#ifndef SL_TEST_SUITES_H
#define SL_TEST_SUITES_H

#include <check.h>

Suite *arena_suite(void);
Suite *blob_suite(void);
Suite *board_suite(void);
Suite *buf_suite(void);
Suite *clock_suite(void);
Suite *compress_suite(void);
Suite *freeze_suite(void);
Suite *functions_suite(void);
Suite *gather_suite(void);
Suite *golden_suite(void);
Suite *histogram_suite(void);
Suite *intern_suite(void);
Suite *journal_suite(void);
Suite *json_suite(void);
Suite *cells_suite(void);
Suite *merge_suite(void);
Suite *numbers_suite(void);
Suite *profile_suite(void);
Suite *recording_suite(void);
Suite *report_suite(void);
Suite *sampled_suite(void);
Suite *rows_suite(void);
Suite *segment_suite(void);
Suite *words_suite(void);
Suite *span_suite(void);
Suite *sql_suite(void);
Suite *status_suite(void);
Suite *varint_suite(void);

Suite *bounds_suite(void);
Suite *calls_suite(void);
Suite *cost_suite(void);
Suite *stretches_suite(void);
Suite *export_suite(void);
Suite *cohort_suite(void);
Suite *findings_suite(void);
Suite *findings_rules_suite(void);
Suite *hits_suite(void);
Suite *hotpath_suite(void);
Suite *label_suite(void);
Suite *layout_suite(void);
Suite *numbering_suite(void);
Suite *pending_suite(void);
Suite *stacks_suite(void);
Suite *text_suite(void);
Suite *vocabulary_suite(void);

/* Makes a suite of one case from a NULL-ended list of tests. */
Suite *suite_of(const char *name, const TTest *const *tests);

#endif
