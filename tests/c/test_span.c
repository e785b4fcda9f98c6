#include "suites.h"

#include "fault.h"
#include "sample.h"
#include "spans.h"

#include "slowlens/span.h"

#include <stdio.h>
#include <string.h>

static sl_recording *
started(void)
{
    sl_recording_options options = { 0 };
    sl_recording *r;
    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    return r;
}

static uint32_t
word(sl_recording *r, const char *text)
{
    return sl_span_word(r, text, strlen(text));
}

START_TEST(a_word_is_one_number)
{
    sl_recording *r = started();
    char text[24];
    uint32_t numbers[3000];
    ck_assert_uint_eq(word(r, ""), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3000; i++) {
            snprintf(text, sizeof(text), "SELECT %d", i);
            uint32_t number = word(r, text);
            ck_assert_uint_ne(number, 0);
            if (round == 1)
                ck_assert_uint_eq(number, numbers[i]);
            numbers[i] = number;
        }
    }
    /* Up to a NUL: what comes behind it would not be read. */
    ck_assert_uint_eq(sl_span_word(r, "SELECT 7\0secret", 15), numbers[7]);
    sl_recording_free(r);
}
END_TEST

START_TEST(the_same_one_is_counted_up)
{
    sl_recording *r = started();
    sl_strand *main = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();
    sl_span_sum sum;
    sl_strand_enter(main, VIEW, SL_KIND_PYTHON, t);
    sl_span_words q = { word(r, "db"), word(r, "SELECT ?"), 0 };
    sl_span_words other = { q.kind, word(r, "SELECT b"), word(r, "a.html:3") };
    for (uint64_t i = 1; i <= 100; i++) {
        sl_span span = sl_span_begin(main, sl_strand_node(main), &q, t);
        ck_assert_uint_ne(span, 0);
        /* Inside it another one; they may end in any order. */
        sl_span inner = sl_span_begin(main, sl_strand_node(main), &other, t);
        sl_span_end(r, span, t += i * 10);
        sl_span_end(r, inner, t);
        sl_span_end(r, inner, t + 5); /* once is enough */
    }
    sl_span_begin(main, NULL, &q, t); /* ends with the recording */
    sl_strand_leave(main, VIEW, t += 100);
    sl_recording_stop(r, t);
    ck_assert_uint_eq(sl_span_sums(r), 3);
    sl_span_sum_get(r, 0, &sum);
    ck_assert_str_eq(sum.kind, "db");
    ck_assert_str_eq(sum.text, "SELECT ?");
    ck_assert_str_eq(sum.where, "");
    ck_assert_uint_eq(sum.count, 100);
    ck_assert_uint_eq(sum.total_ns, 50500);
    ck_assert_uint_eq(sum.longest_ns, 1000);
    ck_assert_uint_ge(sum.function, SL_PSEUDO_COUNT);
    sl_span_sum_get(r, 1, &sum);
    ck_assert_str_eq(sum.where, "a.html:3");
    ck_assert_uint_eq(sum.count, 100);
    sl_span_sum_get(r, 2, &sum);
    ck_assert_uint_eq(sum.function, SL_PSEUDO_ROOT);
    ck_assert_uint_eq(sum.count, 1);
    ck_assert_uint_eq(sl_spans_lost(r), 0);
    ck_assert_uint_eq(sl_span_begin(main, NULL, &q, t), 0); /* it is over */

    sl_recording_options options = { 0 };
    ck_assert_int_eq(sl_recording_reset(r, &options), SL_OK);
    ck_assert_uint_eq(sl_span_sums(r), 0);
    ck_assert_uint_eq(word(r, "other"), 1);
    sl_recording_free(r);
}
END_TEST

/* Under samples the node is told by a stack, and nothing is charged. */
START_TEST(a_stack_tells_where)
{
    sl_recording *r = started();
    sl_strand *main = sl_recording_main(r);
    sl_frame stack[] = { { VIEW, 3 }, { DUMPS, 7 } };
    sl_times none = { 0 };
    uint64_t t = sl_clock_monotonic_ns();
    const void *node = sl_strand_place(main, stack, 2);
    ck_assert_ptr_nonnull(node);
    ck_assert_ptr_eq(sl_strand_place(main, stack, 2), node);
    ck_assert_ptr_ne(sl_strand_place(main, stack, 1), node);
    sl_strand_sample(main, stack, 2, false, &none, t);
    ck_assert_ptr_eq(sl_strand_place(main, stack, 2), node);
    sl_recording_stop(r, t + 100);
    sl_recording_totals totals;
    sl_recording_totals_get(r, &totals);
    ck_assert_uint_eq(totals.samples, 1);
    sl_recording_free(r);
}
END_TEST

/* Every allocation fails once: nothing is lost but what is counted, and
 * nothing leaks. */
START_TEST(what_finds_no_room_is_counted)
{
    bool whole = false;
    for (long budget = 0; !whole; budget++) {
        static const char nodes[200];
        fault f;
        fault_init(&f, budget);
        sl_spans spans = { .alloc = f.alloc };
        uint64_t kept = 0;
        for (uint32_t i = 0; i < 200; i++) {
            char text[16];
            int len = snprintf(text, sizeof(text), "%u", i);
            sl_span_words what = { .text = sl_spans_word(&spans, text,
                                                         (size_t)len) };
            kept += what.text != 0;
            kept += sl_spans_begin(&spans, nodes + i, 0, &what, i) != 0;
        }
        ck_assert_uint_eq(kept + spans.lost, 400);
        sl_spans_stop(&spans, 1000);
        whole = spans.lost == 0 && spans.one_count == 200;
        sl_spans_free(&spans);
        ck_assert_int_eq(f.live, 0);
        ck_assert_int_lt(budget, 100);
    }
}
END_TEST

Suite *
span_suite(void)
{
    const TTest *const tests[] = { a_word_is_one_number,
                                   the_same_one_is_counted_up,
                                   a_stack_tells_where,
                                   what_finds_no_room_is_counted, NULL };
    return suite_of("span", tests);
}
