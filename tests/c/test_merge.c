#define _GNU_SOURCE
#include "suites.h"

#include "decoded.h"
#include "fault.h"
#include "sample.h"
#include "union.h"

#include "slowlens/merge.h"

#include <stdio.h>
#include <string.h>

static sl_profile *
sample(void)
{
    sl_bytes blob;

    ck_assert_int_eq(sample_blob(&blob, NULL), SL_OK);
    return decoded(&blob);
}

START_TEST(the_sum_of_three_is_three_times_one)
{
    sl_profile *one = sample();
    const sl_profile *const three[] = { one, one, one };
    sl_meta meta = { "merged", 6, NULL, 0, 3 };
    sl_bytes blob;

    ck_assert_int_eq(sl_merge(three, 3, &meta, 1, 0, &blob), SL_OK);
    sl_profile *sum = decoded(&blob);
    ck_assert_uint_eq(sl_profile_node_count(sum), sl_profile_node_count(one));
    for (uint32_t i = 0; i < sl_profile_node_count(one); i++) {
        const sl_profile_node *a = sl_profile_node_at(one, i);
        const sl_profile_node *b = sl_profile_node_at(sum, i);
        ck_assert_uint_eq(b->parent, a->parent);
        ck_assert_uint_eq(b->calls, a->calls * 3);
        ck_assert_uint_eq(b->resumes, a->resumes * 3);
        ck_assert_uint_eq(b->self_ns, a->self_ns * 3);
        ck_assert_uint_eq(b->total_ns, a->total_ns * 3);
        ck_assert_str_eq(sl_profile_function(sum, b->function)->name,
                         sl_profile_function(one, a->function)->name);
    }
    ck_assert_uint_eq(sl_profile_line_count(sum), sl_profile_line_count(one));
    for (uint32_t i = 0; i < sl_profile_line_count(one); i++) {
        ck_assert_uint_eq(sl_profile_line_at(sum, i)->wall_ns,
                          sl_profile_line_at(one, i)->wall_ns * 3);
        ck_assert_uint_eq(sl_profile_line_at(sum, i)->cpu_ns,
                          sl_profile_line_at(one, i)->cpu_ns * 3);
    }
    ck_assert_uint_eq(sl_profile_stretch_count(sum), 0);
    ck_assert_int_eq((int)sl_profile_meta_find(sum, "merged")->number, 3);
    sl_profile_free(sum);
    sl_profile_free(one);
}
END_TEST

START_TEST(nothing_grows_from_one_to_itself)
{
    sl_profile *one = sample();
    sl_bytes blob;

    ck_assert_int_eq(sl_growth(one, one, NULL, 0, 0, &blob), SL_OK);
    sl_profile *none = decoded(&blob);
    ck_assert_uint_eq(sl_profile_node_at(none, 0)->total_ns, 0);
    sl_profile_free(none);

    ck_assert_int_eq(sl_report_diff(one, one, 0, &blob), SL_OK);
    const char *text = (const char *)blob.data;
    ck_assert_ptr_nonnull(strstr(text, "\"name\":\"deepcopy\""));
    ck_assert_ptr_nonnull(
        strstr(text, "\"before\":{\"calls\":3,\"resumes\":0,\"self_ns\":21,"
                     "\"total_ns\":21},\"after\":{\"calls\":3,"
                     "\"resumes\":0,\"self_ns\":21,\"total_ns\":21}"));
    sl_bytes_free(&blob);
    sl_profile_free(one);
}
END_TEST

START_TEST(nothing_to_merge_is_an_error)
{
    sl_bytes blob;
    ck_assert_int_eq(sl_merge(NULL, 0, NULL, 0, 0, &blob), SL_ERANGE);
}
END_TEST

START_TEST(an_aggregate_knows_the_worst)
{
    sl_profile *one = sample();
    const sl_profile *both[] = { one, one };
    sl_bytes three = { 0 }, out = { 0 };
    char text[64];

    ck_assert_int_eq(sl_merge(both, 2, NULL, 0, 0, &three), SL_OK);
    sl_profile *twice = decoded(&three); /* each node twice as long */
    const sl_profile *const all[] = { one, twice, one };
    uint64_t wall = sl_profile_node_at(one, 0)->total_ns;

    ck_assert_int_eq(sl_report_aggregate(all, 3, 0, &out), SL_OK);
    snprintf(text, sizeof(text), "\"total_ns\":%llu,\"p95_ns\":%llu,",
             (unsigned long long)wall * 4, (unsigned long long)wall * 2);
    ck_assert_ptr_nonnull(memmem(out.data, out.size, text, strlen(text)));
    static const char worst[] = "\"worst\":1,\"present\":3";
    ck_assert_ptr_nonnull(memmem(out.data, out.size, worst, sizeof(worst) - 1));
    ck_assert_ptr_nonnull(memmem(out.data, out.size, "{\"count\":3", 10));
    sl_bytes_free(&out);
    ck_assert_int_eq(sl_report_aggregate(NULL, 0, 0, &out), SL_ERANGE);
    sl_profile_free(twice);
    sl_profile_free(one);
}
END_TEST

START_TEST(preorder_visits_every_node_once)
{
    sl_profile *one = sample();
    sl_union u = { .with_lines = true };
    uint32_t depth = 0, seen = 0;

    ck_assert_int_eq(sl_union_add(&u, one, 0, NULL, NULL), SL_OK);
    ck_assert_int_eq(sl_union_add(&u, one, 1, NULL, NULL), SL_OK);
    for (uint32_t i = 0; i != SL_UNION_END; i = sl_union_next(&u, i, &depth)) {
        ck_assert_uint_eq(depth, sl_profile_node_at(one, seen)->depth);
        ck_assert_uint_eq(u.nodes[i].side[0].self_ns,
                          u.nodes[i].side[1].self_ns);
        seen++;
    }
    ck_assert_uint_eq(seen, sl_profile_node_count(one));
    sl_union_free(&u);
    sl_union_free(&u);
    sl_profile_free(one);
}
END_TEST

/* ---- what was asked of others ---- */

static sl_profile *
asking(uint32_t queries)
{
    sl_recording *r;
    sl_bytes blob;

    ck_assert_int_eq(sample_asking(&r, queries, NULL), SL_OK);
    ck_assert_int_eq(
        sl_recording_encode(r, NULL, 0, sample_describe, NULL, 0, &blob),
        SL_OK);
    sl_recording_free(r);
    return decoded(&blob);
}

static const sl_profile_span *
span_of(const sl_profile *p, const char *text)
{
    for (uint32_t i = 0; i < sl_profile_span_count(p); i++) {
        const sl_profile_span *span = sl_profile_span_at(p, i);
        if (strcmp(span->text, text) == 0)
            return span;
    }
    return NULL;
}

START_TEST(a_sum_has_what_each_asked)
{
    sl_profile *few = asking(3), *many = asking(20);
    const sl_profile *const all[] = { few, many, many };
    sl_meta meta = { "merged", 6, NULL, 0, 3 };
    sl_bytes blob;

    ck_assert_int_eq(sl_merge(all, 3, &meta, 1, 0, &blob), SL_OK);
    sl_profile *sum = decoded(&blob);
    ck_assert_uint_eq(sl_profile_span_count(sum), 4);
    const sl_profile_span *query = span_of(sum, SAMPLE_QUERY);
    ck_assert_uint_eq(query->count, 43);
    ck_assert_uint_eq(query->total_ns, 43 * 50);
    ck_assert_uint_eq(query->outer_ns, 43 * 50);
    ck_assert_uint_eq(query->longest_ns, 50);
    ck_assert_uint_eq(query->first_count, 0); /* of which of them? */
    ck_assert_uint_eq(query->line, 12);
    ck_assert_str_eq(query->where, "list.html:7");
    const sl_profile_node *node = sl_profile_node_at(sum, query->node);
    ck_assert_str_eq(sl_profile_function(sum, node->function)->name, "view");
    query = span_of(sum, "UPDATE visit SET n = ?");
    ck_assert_uint_eq(query->count, 3);
    ck_assert_uint_eq(query->total_ns, 1200);
    node = sl_profile_node_at(sum, query->node);
    ck_assert_str_eq(sl_profile_function(sum, node->function)->name,
                     "deepcopy");
    const sl_profile_span *part = span_of(sum, "list.html");
    ck_assert_uint_eq(part->outer_ns, 0); /* it is within another */
    ck_assert_uint_gt(part->total_ns, 43 * 50);
    sl_profile_free(sum);
    sl_profile_free(many);
    sl_profile_free(few);
}
END_TEST

/* A query of each of fifty requests is no N+1; ten of each are. */
START_TEST(a_sum_tells_of_one_request)
{
    for (uint32_t queries = 1; queries <= 10; queries += 9) {
        sl_profile *one = asking(queries);
        const sl_profile *all[50];
        sl_meta meta = { "merged", 6, NULL, 0, 50 };
        sl_bytes blob;

        for (int i = 0; i < 50; i++)
            all[i] = one;
        ck_assert_int_eq(sl_merge(all, 50, &meta, 1, 0, &blob), SL_OK);
        sl_profile *sum = decoded(&blob);
        const sl_meta *words = sl_profile_summary_find(sum, "findings");
        bool told = words != NULL && strstr(words->text, "n+1") != NULL;
        ck_assert_int_eq(told, queries == 10);
        sl_profile_free(sum);
        sl_profile_free(one);
    }
}
END_TEST

START_TEST(what_grew_of_what_was_asked)
{
    sl_profile *few = asking(3), *many = asking(20);
    sl_bytes blob;

    ck_assert_int_eq(sl_growth(few, many, NULL, 0, 0, &blob), SL_OK);
    sl_profile *more = decoded(&blob);
    const sl_profile_span *query = span_of(more, SAMPLE_QUERY);
    ck_assert_uint_eq(query->count, 17);
    ck_assert_uint_eq(query->total_ns, 17 * 50);
    ck_assert_uint_eq(query->longest_ns, 50);
    ck_assert_uint_eq(query->line, 0); /* lines move */
    ck_assert_str_eq(query->where, "list.html");
    ck_assert_ptr_null(span_of(more, "UPDATE visit SET n = ?")); /* as before */
    sl_profile_free(more);

    ck_assert_int_eq(sl_growth(many, few, NULL, 0, 0, &blob), SL_OK);
    more = decoded(&blob);
    ck_assert_uint_eq(sl_profile_span_count(more), 0);
    sl_profile_free(more);
    sl_profile_free(many);
    sl_profile_free(few);
}
END_TEST

static void
says(const sl_bytes *report, const char *part)
{
    ck_assert_msg(memmem(report->data, report->size, part, strlen(part)) !=
                      NULL,
                  "%s is not in %.*s", part, (int)report->size,
                  (const char *)report->data);
}

START_TEST(reports_put_both_numbers_of_what_was_asked)
{
    sl_profile *few = asking(3), *many = asking(20);
    const sl_profile *const all[] = { few, many, few };
    sl_bytes report;

    ck_assert_int_eq(sl_report_diff(few, many, 0, &report), SL_OK);
    says(&report, "\"kinds\":[");
    says(&report, "{\"kind\":\"db\",\"before\":{\"count\":4,"
                  "\"total_ns\":550,\"outer_ns\":550,\"longest_ns\":400},"
                  "\"after\":{\"count\":21,\"total_ns\":1400,"
                  "\"outer_ns\":1400,\"longest_ns\":400}}");
    says(&report, "{\"kind\":\"db\",\"text\":\"" SAMPLE_QUERY "\","
                  "\"before\":{\"count\":3,\"total_ns\":150,"
                  "\"outer_ns\":150,\"longest_ns\":50},"
                  "\"after\":{\"count\":20,\"total_ns\":1000,"
                  "\"outer_ns\":1000,\"longest_ns\":50}}");
    sl_bytes_free(&report);

    ck_assert_int_eq(sl_report_aggregate(all, 3, 0, &report), SL_OK);
    says(&report, "{\"kind\":\"db\",\"text\":\"" SAMPLE_QUERY "\","
                  "\"count\":26,\"total_ns\":1300,\"outer_ns\":1300,"
                  "\"longest_ns\":50,\"most\":20,\"worst\":1,"
                  "\"present\":3}");
    sl_bytes_free(&report);
    sl_profile_free(many);
    sl_profile_free(few);
}
END_TEST

/* Texts are bounded, and rows: nothing is lost unsaid, whichever runs out. */
START_TEST(a_table_without_room_counts_all_the_same)
{
    sl_profile *few = asking(3);
    uint64_t whole = 0;

    for (uint32_t i = 0; i < sl_profile_span_count(few); i++)
        whole += sl_profile_span_at(few, i)->count;
    for (size_t room = 256; room < 4096; room += 64) {
        sl_union_spans s = { .with_lines = true, .most = 2 };
        uint64_t found = 0;
        if (sl_arena_new(&s.texts, NULL, 128, room) < 0)
            continue;
        for (uint32_t i = 0; i < sl_profile_span_count(few); i++)
            ck_assert_int_eq(
                sl_union_spans_add(&s, sl_profile_span_at(few, i), 5, 1, 2, 0),
                SL_OK);
        for (uint32_t i = 0; i < s.count; i++)
            found += s.rows[i].side[0].count;
        ck_assert_uint_eq(found + s.lost[0], 2 * whole);
        ck_assert(s.full); /* four rows do not fit into two */
        ck_assert_uint_le(s.count, 4);
        sl_arena *texts = s.texts;
        sl_union_spans_free(&s);
        sl_arena_free(texts);
    }
    sl_profile_free(few);
}
END_TEST

Suite *
merge_suite(void)
{
    const TTest *const tests[] = { the_sum_of_three_is_three_times_one,
                                   nothing_grows_from_one_to_itself,
                                   nothing_to_merge_is_an_error,
                                   an_aggregate_knows_the_worst,
                                   preorder_visits_every_node_once,
                                   a_sum_has_what_each_asked,
                                   a_sum_tells_of_one_request,
                                   what_grew_of_what_was_asked,
                                   reports_put_both_numbers_of_what_was_asked,
                                   a_table_without_room_counts_all_the_same,
                                   NULL };
    return suite_of("merge", tests);
}
