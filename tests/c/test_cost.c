#include "suites.h"

#include "cost.h"
#include "made.h"
#include "sample.h"

#include <string.h>

#define TEXT(key, text)     { key, sizeof(key) - 1, text, sizeof(text) - 1, 0 }
#define NUMBER(key, number) { key, sizeof(key) - 1, NULL, 0, number }

static const sl_meta costs[] = {
    TEXT("mode", "deterministic"),  TEXT("c_mode", "chosen"),
    NUMBER("cost_python_ps", 2000), NUMBER("cost_python_caller_ps", 3000),
    NUMBER("cost_c_ps", 500),       NUMBER("cost_c_caller_ps", 1500),
    NUMBER("cost_site_ps", 1000),
};
#define COSTS (sizeof(costs) / sizeof(costs[0]))

static uint64_t
whole(const sl_profile *p)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < sl_profile_node_count(p); i++)
        sum += sl_profile_node_at(p, i)->self_ns;
    return sum;
}

START_TEST(each_call_costs_its_function_and_its_caller)
{
    made m = { MADE({ { 0, "[request]", 1, 10, 0 },
                      { 1, "app.f", 1, 1000, 0 },
                      { 2, "g", 10, 500, 5 },
                      { 2, "g", 10, 500, 0 },
                      { 2, "C.len", 20, 100, 6 } }),
               .meta = costs, .meta_count = COSTS };
    sl_profile *p = made_profile(&m);
    /* f: itself 2; ten calls with their place (3 + 1), ten without, twenty of C
     * (1.5). */
    ck_assert_uint_eq(sl_profile_node_at(p, 1)->own_ns, 2 + 40 + 30 + 30);
    ck_assert_uint_eq(sl_profile_node_at(p, 1)->self_ns, 1000 - 102);
    ck_assert_uint_eq(sl_profile_node_at(p, 2)->own_ns, 20);
    ck_assert_uint_eq(sl_profile_node_at(p, 3)->own_ns, 20);
    ck_assert_uint_eq(sl_profile_node_at(p, 4)->own_ns, 10);
    ck_assert_uint_eq(sl_profile_function_sum(p, 2)->own_ns, 40);
    ck_assert_uint_eq(sl_profile_function_sum(p, 2)->self_ns, 960);
    ck_assert_uint_eq(sl_profile_counter_of(p, SL_METRIC_OWN, 4), 10);
    /* What was taken off has a node of its own, and times add up. */
    ck_assert_uint_eq(sl_profile_node_count(p), 6);
    const sl_profile_node *last = sl_profile_node_at(p, 5);
    ck_assert_int_eq(sl_profile_pseudo(p, last->function), SL_PSEUDO_OWN_COST);
    ck_assert_uint_eq(last->self_ns, 152);
    ck_assert_uint_eq(last->parent, 0);
    ck_assert_uint_eq(whole(p), 2110);
    ck_assert_uint_eq(sl_profile_node_at(p, 0)->total_ns, 2110);
    sl_profile_free(p);
}
END_TEST

START_TEST(no_more_is_taken_than_there_is)
{
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.f", 1000, 30, 0 },
                      { 2, "[await]", 1000, 5, 0 } }),
               .meta = costs, .meta_count = COSTS };
    sl_profile *p = made_profile(&m);
    ck_assert_uint_eq(sl_profile_node_at(p, 1)->self_ns, 0);
    ck_assert_uint_eq(sl_profile_node_at(p, 1)->own_ns, 30);
    ck_assert_uint_eq(sl_profile_node_at(p, 2)->self_ns, 5);
    ck_assert_uint_eq(whole(p), 35);
    sl_profile_free(p);
}
END_TEST

START_TEST(a_strand_keeps_what_was_its)
{
    made m = { MADE({ { 0, "[request]", 1, 10, 0 },
                      { 1, "app.f", 1, 100, 0 },
                      { 2, "[task]", 1, 0, 0 },
                      { 3, "app.g", 10, 400, 0 } }),
               .meta = costs, .meta_count = COSTS };
    sl_profile *p = made_profile(&m);
    ck_assert_uint_eq(sl_profile_node_at(p, 3)->self_ns, 380);
    ck_assert_uint_eq(sl_profile_node_at(p, 2)->total_ns, 400);
    ck_assert_uint_eq(sl_profile_node_at(p, 0)->total_ns, 110);
    ck_assert_uint_eq(sl_profile_node_at(p, 4)->self_ns, 2);
    sl_profile_free(p);
}
END_TEST

/* Where nothing was measured, in samples, and where a file lies. */
START_TEST(nothing_is_taken_without_reason)
{
    sl_meta meta[COSTS];
    made m = { MADE({ { 0, "[request]", 1, 10, 0 },
                      { 1, "app.f", 10, 100, 0 } }),
               .meta = meta, .meta_count = COSTS };

    for (int what = 0; what < 4; what++) {
        memcpy(meta, costs, sizeof(costs));
        m.meta_count = what == 0 ? 2 : COSTS;
        if (what == 1)
            meta[0] = (sl_meta)TEXT("mode", "sampling");
        for (size_t i = 2; i < COSTS && what > 1; i++)
            meta[i].number = what == 2 ? -5 : INT64_MAX;
        sl_profile *p = made_profile(&m);
        ck_assert_uint_eq(sl_profile_node_count(p), 2);
        ck_assert_uint_eq(sl_profile_node_at(p, 1)->self_ns, 100);
        ck_assert_uint_eq(sl_profile_node_at(p, 1)->own_ns, 0);
        sl_profile_free(p);
    }
}
END_TEST

START_TEST(a_resume_has_a_cost_of_its_own)
{
    static const sl_meta meta[] = {
        TEXT("mode", "deterministic"),         NUMBER("cost_python_ps", 2000),
        NUMBER("cost_python_caller_ps", 3000), NUMBER("cost_resume_ps", 1000),
        NUMBER("cost_resume_caller_ps", 500),
    };
    static const sl_cost_calls calls = { SL_KIND_PYTHON, 2, 10, true };
    sl_cost_sheet sheet;
    sl_cost cost;
    uint32_t to;

    for (int known = 0; known < 2; known++) {
        ck_assert(sl_cost_read(meta, known ? 5 : 3, &cost));
        ck_assert_double_eq(sl_cost_callers(&cost, &calls), known ? 11 : 36);
        ck_assert_int_eq(sl_cost_sheet_new(&sheet, &cost, 2, &sl_alloc_libc),
                         SL_OK);
        sl_cost_sheet_node(&sheet, 1, 0, &calls, false);
        ck_assert_uint_eq(sl_cost_sheet_off(&sheet, 1, 100, &to),
                          known ? 14 : 24);
        sl_cost_sheet_free(&sheet);
    }
}
END_TEST

START_TEST(a_node_costs_its_first_call_more)
{
    static const sl_meta meta[] = {
        TEXT("mode", "deterministic"),
        NUMBER("cost_c_ps", 2000),
        NUMBER("cost_node_ps", 30000),
    };
    static const struct {
        sl_cost_calls calls;
        uint64_t off;
    } nodes[] = {
        { { SL_KIND_C, 5, 0, false }, 40 },
        { { SL_KIND_PYTHON, 1, 0, false }, 30 },
        { { SL_KIND_PYTHON, 0, 2, false }, 30 },
        { { SL_KIND_PYTHON, 0, 0, false }, 0 }, /* never entered */
        { { SL_KIND_PSEUDO, 5, 0, false }, 0 },
    };
    sl_cost_sheet sheet;
    sl_cost cost;
    uint32_t to;

    ck_assert(sl_cost_read(meta, 3, &cost));
    ck_assert_int_eq(sl_cost_sheet_new(&sheet, &cost, 6, &sl_alloc_libc),
                     SL_OK);
    for (uint32_t i = 0; i < 5; i++) {
        sl_cost_sheet_node(&sheet, i + 1, 0, &nodes[i].calls, false);
        ck_assert_uint_eq(sl_cost_sheet_off(&sheet, i + 1, 1000, &to),
                          nodes[i].off);
    }
    sl_cost_sheet_free(&sheet);
}
END_TEST

/* The summary that is written is that of what is read. */
START_TEST(both_sides_take_off_the_same)
{
    static const char *const keys[] = { "self_project_ns", "self_stdlib_ns",
                                        "self_builtin_ns" };
    static const sl_origin origins[] = { SL_ORIGIN_PROJECT, SL_ORIGIN_STDLIB,
                                         SL_ORIGIN_BUILTIN };
    sl_recording *r;
    sl_bytes blob;
    sl_profile *p;

    ck_assert_int_eq(sample_record(&r, NULL), SL_OK);
    ck_assert_int_eq(
        sl_recording_encode(r, costs, COSTS, sample_describe, NULL, 0, &blob),
        SL_OK);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                     SL_OK);
    for (int k = 0; k < 3; k++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < sl_profile_node_count(p); i++) {
            const sl_profile_node *node = sl_profile_node_at(p, i);
            if (sl_profile_function(p, node->function)->origin == origins[k])
                sum += node->self_ns;
        }
        const sl_meta *item = sl_profile_summary_find(p, keys[k]);
        ck_assert_uint_eq(item == NULL ? 0 : (uint64_t)item->number, sum);
    }
    ck_assert_uint_gt(
        sl_profile_node_at(p, sl_profile_node_count(p) - 1)->self_ns, 0);
    sl_profile_free(p);
    sl_bytes_free(&blob);
    sl_recording_free(r);
}
END_TEST

Suite *
cost_suite(void)
{
    const TTest *const tests[] = { each_call_costs_its_function_and_its_caller,
                                   no_more_is_taken_than_there_is,
                                   a_strand_keeps_what_was_its,
                                   nothing_is_taken_without_reason,
                                   a_resume_has_a_cost_of_its_own,
                                   a_node_costs_its_first_call_more,
                                   both_sides_take_off_the_same,
                                   NULL };
    return suite_of("cost", tests);
}
