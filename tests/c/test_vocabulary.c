/* The tables of slowlens/vocabulary.h, meta.h and metric.h; rank. */
#include "suites.h"

#include "rank.h"

#include "slowlens/meta.h"
#include "slowlens/vocabulary.h"

#include <stdlib.h>
#include <string.h>

START_TEST(numbers_of_the_file_format_stay)
{
    ck_assert_int_eq(SL_KIND_SPAN, 3);
    ck_assert_int_eq(SL_ORIGIN_NONE, 4);
    ck_assert_int_eq(SL_METRIC_RUN_QUEUE, 5);
    ck_assert_int_eq(SL_METRIC_OWN, 18);
    ck_assert_str_eq(sl_kind_name(SL_KIND_C), "c");
    ck_assert_str_eq(sl_origin_name(SL_ORIGIN_STDLIB), "stdlib");
    ck_assert_str_eq(sl_kind_name((sl_kind)99), "?");
    ck_assert_str_eq(sl_origin_name((sl_origin)-1), "?");
    ck_assert_str_eq(sl_pseudo_name(SL_PSEUDO_COUNT), "?");
}
END_TEST

START_TEST(a_pseudo_function_is_known_by_its_name)
{
    sl_function f = { .kind = SL_KIND_PSEUDO };
    for (int i = 0; i < SL_PSEUDO_COUNT; i++) {
        f.name = sl_pseudo_name((sl_pseudo)i);
        f.name_len = strlen(f.name);
        ck_assert_int_eq(sl_pseudo_of(&f), i);
    }
    f.kind = SL_KIND_PYTHON; /* a function may be called anything */
    ck_assert_int_eq(sl_pseudo_of(&f), SL_PSEUDO_COUNT);
    f = (sl_function){ .kind = SL_KIND_PSEUDO, .name = "[tas", .name_len = 4 };
    ck_assert_int_eq(sl_pseudo_of(&f), SL_PSEUDO_COUNT);
}
END_TEST

static void
check_keys(const sl_meta_info *(*at)(size_t i), size_t least)
{
    size_t count = 0;
    for (; at(count) != NULL; count++) {
        for (size_t i = 0; i < count; i++)
            ck_assert_str_ne(at(i)->key, at(count)->key);
        ck_assert(strlen(at(count)->title) > 0);
        ck_assert_int_eq(at(count)->text[strlen(at(count)->text) - 1], '.');
        ck_assert(at(count)->type == SL_META_NUMBER ||
                  at(count)->unit == SL_UNIT_NONE);
    }
    ck_assert_uint_ge(count, least);
}

START_TEST(each_key_stands_once_with_its_words)
{
    check_keys(sl_meta_at, 40);
    check_keys(sl_summary_at, 10);
    for (int i = 0; i < SL_METRIC_COUNT; i++) {
        const sl_metric_info *one = sl_metric_at((sl_metric)i);
        ck_assert_ptr_nonnull(one->key);
        ck_assert(one->unit == SL_UNIT_NS || one->unit == SL_UNIT_COUNT);
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(one->key, sl_metric_at((sl_metric)k)->key);
        ck_assert_int_eq(one->text[strlen(one->text) - 1], '.');
    }
    ck_assert_ptr_null(sl_metric_at(SL_METRIC_COUNT));
}
END_TEST

START_TEST(the_heaviest_come_first)
{
    sl_ranked list[] = { { 5, 9 }, { 7, 3 }, { 5, 2 }, { UINT64_MAX, 8 } };
    qsort(list, 4, sizeof(*list), sl_ranked_compare);
    ck_assert_uint_eq(list[0].id, 8);
    ck_assert_uint_eq(list[1].id, 3);
    ck_assert_uint_eq(list[2].id, 2);
    ck_assert_uint_eq(list[3].id, 9);
}
END_TEST

Suite *
vocabulary_suite(void)
{
    const TTest *const tests[] = { numbers_of_the_file_format_stay,
                                   a_pseudo_function_is_known_by_its_name,
                                   each_key_stands_once_with_its_words,
                                   the_heaviest_come_first, NULL };
    return suite_of("vocabulary", tests);
}
