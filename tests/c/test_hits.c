#include "suites.h"

#include "hits.h"
#include "sample.h"

#include "slowlens/report.h"

#include <string.h>

static int
by_line(const void *a, const void *b)
{
    const sl_cell *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

START_TEST(a_node_is_on_the_line_it_began_last)
{
    sl_cells hits = { .alloc = sl_alloc_libc };
    char f = 0, g = 0;

    sl_hits_pass(&hits, &f, 1); /* on none */
    sl_hits_begin(&hits, &f, 10);
    sl_hits_pass(&hits, &f, 2);
    sl_hits_pass(&hits, &g, 50); /* nobody follows it */
    sl_hits_begin(&hits, &f, 11);
    sl_hits_pass(&hits, &f, 3);
    sl_hits_begin(&hits, &f, 10);
    sl_hits_pass(&hits, &f, 4);
    for (uint32_t line = 100; line < 1000; line++)
        sl_hits_begin(&hits, &g, line);
    sl_hits_sort(&hits, by_line);
    ck_assert_uint_eq(hits.count, 902);
    ck_assert_uint_eq(hits.rows[0].key, 10);
    ck_assert_uint_eq(hits.rows[0].sums[SL_HIT_COUNT], 2);
    ck_assert_uint_eq(hits.rows[0].sums[SL_HIT_TICKS], 6);
    ck_assert_uint_eq(hits.rows[1].key, 11);
    ck_assert_uint_eq(hits.rows[1].sums[SL_HIT_TICKS], 3);
    ck_assert_uint_eq(hits.lost, 0);
    sl_cells_clear(&hits);
    ck_assert_uint_eq(hits.count, 0);
    sl_cells_free(&hits);
}
END_TEST

static void
run_lines(sl_recording *r)
{
    sl_strand *s = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();

    sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t += 10);
    sl_strand_line(s, VIEW, 3, t += 5);
    for (int i = 0; i < 3; i++) {
        sl_strand_line(s, VIEW, 4, t += 100);
        sl_strand_line_pass(s, t += 20);
        sl_strand_enter(s, COPY, SL_KIND_PYTHON, t);
        sl_strand_line(s, VIEW, 99, t += 500); /* not where it is */
        sl_strand_leave(s, COPY, t += 500);
    }
    sl_strand_line_pass(s, t += 7);
    sl_strand_leave(s, VIEW, t);
    sl_recording_stop(r, t + 1);
}

START_TEST(lines_are_written_and_read)
{
    static const sl_meta mode = { "mode", 4, "deterministic", 13, 0 };
    sl_recording_options options = { 0 };
    sl_recording *r;
    sl_bytes blob, report;
    sl_profile *p;

    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    run_lines(r);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(
            sl_recording_encode(r, &mode, 1, sample_describe, NULL, 0, &blob),
            SL_OK);
        ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                         SL_OK);
        ck_assert_uint_eq(sl_profile_hit_count(p), 2);
        const sl_profile_hit *three = sl_profile_hit_at(p, 0);
        const sl_profile_hit *four = sl_profile_hit_at(p, 1);
        ck_assert_uint_eq(three->node, 1);
        ck_assert_uint_eq(three->line, 3);
        ck_assert_uint_eq(three->hits, 1);
        ck_assert_uint_eq(three->self_ns, 100);
        ck_assert_uint_eq(four->line, 4);
        ck_assert_uint_eq(four->hits, 3);
        ck_assert_uint_eq(four->self_ns, 3 * 20 + 2 * 100 + 7);
        ck_assert_int_eq(
            sl_report_lines(p, sl_profile_node_at(p, 1)->function, &report),
            SL_OK);
        const char *text = (const char *)report.data;
        ck_assert_ptr_nonnull(strstr(text, "\"line\":0,\"self_ns\":5,"));
        ck_assert_ptr_nonnull(strstr(text, "\"line\":3,\"self_ns\":100,"));
        ck_assert_ptr_nonnull(strstr(text, "\"hits\":3}"));
        sl_bytes_free(&report);
        sl_profile_free(p);
        sl_bytes_free(&blob);
    }
    sl_recording_free(r);
}
END_TEST

Suite *
hits_suite(void)
{
    const TTest *const tests[] = { a_node_is_on_the_line_it_began_last,
                                   lines_are_written_and_read, NULL };
    return suite_of("hits", tests);
}
