#include "suites.h"

#include "fault.h"
#include "kept.h"
#include "recording_data.h"
#include "sample.h"

#include <stdio.h>
#include <string.h>

static sl_recording *
fresh(void)
{
    sl_recording *r;
    ck_assert_int_eq(sl_recording_new(&r, &(sl_recording_options){ 0 }, NULL),
                     SL_OK);
    return r;
}

static sl_span_what
what_of(sl_recording *r, uint32_t kind, const char *text)
{
    return (sl_span_what){ .kind = kind,
                           .text = sl_span_word(r, text, strlen(text)) };
}

static uint32_t
shape(sl_recording *r, const char *sql)
{
    return sl_span_kept(r, SL_SPAN_SHAPE, SL_SQL_ANY, sql, strlen(sql));
}

static uint64_t
count_of(const sl_recording *r, sl_span_kind kind)
{
    uint64_t count, ns;
    sl_span_total(r, kind, &count, &ns);
    return count;
}

static const sl_span_row *
row_of(const sl_recording *r, const char *text)
{
    for (uint32_t i = 0; i < r->spans.row_count; i++) {
        const sl_span_row *row = &r->spans.rows[i];
        if (strcmp(sl_spans_text(&r->spans, row->what.text).text, text) == 0)
            return row;
    }
    return NULL;
}

START_TEST(the_same_again_is_one_row)
{
    sl_recording *r = fresh();
    uint64_t t = sl_clock_monotonic_ns();
    for (int i = 0; i < 100; i++) {
        char sql[64];
        snprintf(sql, sizeof(sql), "SELECT a FROM b WHERE id = %d", i);
        sl_span_what what = { .kind = SL_SPAN_DB, .text = shape(r, sql) };
        sl_span span = sl_span_begin(r, &what, t);
        ck_assert(span != 0);
        sl_span_end(r, span, t += (uint64_t)i);
        sl_span_end(r, span, t += 1000); /* it is over: nothing */
    }
    ck_assert_uint_eq(r->spans.row_count, 1);
    const sl_span_row *row = row_of(r, "SELECT a FROM b WHERE id = ?");
    ck_assert_ptr_nonnull(row);
    ck_assert_uint_eq(row->count, 100);
    ck_assert_uint_eq(row->total, 4950);
    ck_assert_uint_eq(row->longest, 99);
    ck_assert_uint_eq(row->firsts, SL_SPAN_FIRSTS);
    ck_assert_uint_eq(r->spans.firsts[3].length, 3);
    ck_assert_uint_eq(count_of(r, SL_SPAN_DB), 100);
    sl_recording_free(r);
}
END_TEST

START_TEST(no_parameter_is_in_its_memory)
{
    sl_recording *r = fresh();
    uint64_t t = sl_clock_monotonic_ns();
    static const char url[] = "https://me:passw0rd@api.shop:81/p?k=s3cr3t#x";
    sl_span_what what = {
        .kind = SL_SPAN_DB,
        .text = shape(r, "SELECT 1 FROM u WHERE card = '4111-1111' -- tok3n")
    };
    sl_span_add(r, &what, t, t + 5);
    what.kind = SL_SPAN_HTTP;
    what.text = sl_span_kept(r, SL_SPAN_HOST, SL_SQL_ANY, url, sizeof(url) - 1);
    sl_span_add(r, &what, t, t + 5);
    ck_assert_ptr_nonnull(row_of(r, "api.shop:81"));
    static const char *const secrets[] = { "4111", "tok3n", "passw0rd",
                                           "s3cr3t", "me:" };
    for (uint32_t i = 0; i < r->spans.text_count; i++) {
        for (size_t s = 0; s < sizeof(secrets) / sizeof(secrets[0]); s++)
            ck_assert_ptr_null(strstr(r->spans.texts[i].text, secrets[s]));
    }
    ck_assert_ptr_nonnull(row_of(r, "SELECT ? FROM u WHERE card = ?"));
    sl_recording_free(r);
}
END_TEST

/* A template within another is two, whose time is one's; a query of another
 * strand is beside it. */
START_TEST(what_is_around_another)
{
    sl_recording *r = fresh();
    uint64_t t = sl_clock_monotonic_ns(), count, ns;
    sl_span_what what = what_of(r, SL_SPAN_TEMPLATE, "page.html");
    sl_span outer = sl_span_begin(r, &what, t);
    what = what_of(r, SL_SPAN_TEMPLATE, "part.html");
    sl_span inner = sl_span_begin(r, &what, t + 2);
    what = what_of(r, SL_SPAN_TEMPLATE, "beside.html");
    what.lane = 3;
    sl_span beside = sl_span_begin(r, &what, t + 2);
    sl_span_end(r, outer, t + 10); /* they may end in any order */
    sl_span_end(r, inner, t + 11);
    sl_span_end(r, beside, t + 22);
    sl_span_total(r, SL_SPAN_TEMPLATE, &count, &ns);
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(ns, 30);
    ck_assert_uint_eq(row_of(r, "part.html")->total, 9);
    ck_assert_uint_eq(row_of(r, "part.html")->outer, 0);
    ck_assert_uint_eq(row_of(r, "beside.html")->outer, 20);
    sl_recording_free(r);
}
END_TEST

START_TEST(a_word_is_one_number)
{
    sl_recording *r = fresh();
    char text[24];
    uint32_t numbers[1500];
    ck_assert_uint_eq(sl_span_word(r, "", 0), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1500; i++) {
            int len = snprintf(text, sizeof(text), "SELECT %d", i);
            uint32_t number = sl_span_word(r, text, (size_t)len);
            ck_assert_uint_ne(number, 0);
            if (round == 1)
                ck_assert_uint_eq(number, numbers[i]);
            numbers[i] = number;
        }
    }
    /* Up to a NUL: what comes behind it would not be read. */
    ck_assert_uint_eq(sl_span_word(r, "SELECT 7\0secret", 15), numbers[7]);
    /* A shape that is known as a word is that word. */
    ck_assert_uint_eq(shape(r, "SELECT x /* y */"),
                      sl_span_word(r, "SELECT x", 8));
    ck_assert_str_eq(sl_spans_text(&r->spans, sl_span_word(r,
                                                           "a\n\xFF"
                                                           "b",
                                                           4))
                         .text,
                     "a \xEF\xBF\xBD"
                     "b");
    ck_assert_uint_eq(sl_spans_lost(r), 0);
    sl_recording_free(r);
}
END_TEST

START_TEST(rows_are_told)
{
    sl_recording *r = fresh();
    sl_strand *main = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();
    sl_span_sum sum;
    sl_strand_enter(main, VIEW, SL_KIND_PYTHON, t);
    sl_span_what what = what_of(r, SL_SPAN_DB, "SELECT b");
    what.node = sl_strand_here(main);
    what.where = sl_span_word(r, "a.html:3", 8);
    ck_assert_ptr_eq(sl_strand_key(main), VIEW);
    sl_span_end(r, sl_span_begin(r, &what, t), t + 10);
    what.where = what.text = 0;
    what.node = NULL;
    sl_span_end(r, sl_span_begin(r, &what, t), t + 20);
    sl_strand_leave(main, VIEW, t += 100);
    sl_recording_stop(r, t);
    ck_assert_uint_eq(sl_span_sums(r), 2);
    sl_span_sum_get(r, 0, &sum);
    ck_assert_str_eq(sum.kind, "db");
    ck_assert_str_eq(sum.text, "SELECT b");
    ck_assert_str_eq(sum.where, "a.html:3");
    ck_assert_uint_ge(sum.function, SL_PSEUDO_COUNT);
    ck_assert_uint_eq(sum.total_ns, 10);
    sl_span_sum_get(r, 1, &sum);
    ck_assert_str_eq(sum.text, "");
    ck_assert_uint_eq(sum.function, SL_PSEUDO_ROOT);
    ck_assert_uint_eq(sum.longest_ns, 20);
    sl_recording_free(r);
}
END_TEST

START_TEST(kinds_have_words)
{
    sl_recording *r = fresh();
    ck_assert_uint_eq(sl_span_kind_here(r, "cache", 5), SL_SPAN_CACHE);
    uint32_t kind = sl_span_kind_here(r, "payment", 7);
    ck_assert_uint_ge(kind, SL_SPAN_KIND_COUNT);
    ck_assert_uint_eq(sl_span_kind_here(r, "payment", 7), kind);
    ck_assert_uint_ne(sl_span_kind_here(r, "shipping", 8), kind);
    ck_assert_str_eq(sl_spans_kind_text(&r->spans, kind).text, "payment");
    ck_assert_str_eq(sl_span_kind_word(SL_SPAN_DB), "db");
    ck_assert_str_eq(sl_span_kind_word(SL_SPAN_KIND_COUNT), "?");
    sl_recording_free(r);
}
END_TEST

START_TEST(what_is_open_ends_with_the_recording)
{
    sl_recording *r = fresh();
    uint64_t t = sl_clock_monotonic_ns();
    sl_span_what what = what_of(r, SL_SPAN_HTTP, "api");
    sl_span span = sl_span_begin(r, &what, t);
    sl_recording_stop(r, t + 50);
    ck_assert_uint_eq(row_of(r, "api")->count, 1);
    ck_assert_uint_eq(row_of(r, "api")->total, 50);
    sl_span_end(r, span, t + 90);
    ck_assert(sl_span_begin(r, &what, t) == 0);
    ck_assert_uint_eq(row_of(r, "api")->total, 50);

    /* A handle is not another recording's, either. */
    ck_assert_int_eq(sl_recording_reset(r, &(sl_recording_options){ 0 }),
                     SL_OK);
    ck_assert_uint_eq(r->spans.row_count, 0);
    ck_assert_uint_eq(count_of(r, SL_SPAN_HTTP), 0);
    what = what_of(r, SL_SPAN_HTTP, "api");
    sl_span again = sl_span_begin(r, &what, t);
    ck_assert(again != span);
    sl_span_end(r, span, t + 5);
    ck_assert_uint_eq(count_of(r, SL_SPAN_HTTP), 0);
    sl_span_end(r, again, t + 5);
    ck_assert_uint_eq(count_of(r, SL_SPAN_HTTP), 1);
    sl_recording_free(r);
}
END_TEST

/* More of everything than there is room for: nothing is lost uncounted. */
START_TEST(a_full_one_counts)
{
    sl_recording *r = fresh();
    uint64_t t = sl_clock_monotonic_ns();
    char text[32];
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "key %d", i);
        sl_span_what what = what_of(r, SL_SPAN_CACHE, text);
        what.site = (uint32_t)i;
        sl_span_add(r, &what, t, t + 1);
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < r->spans.row_count; i++)
        sum += r->spans.rows[i].count;
    /* Texts are lost, too. */
    ck_assert_uint_le(20000 - sum, sl_spans_lost(r));
    ck_assert_uint_eq(count_of(r, SL_SPAN_CACHE), 20000);
    ck_assert_uint_le(sl_arena_bytes(r->spans.arena), (1u << 20));

    sl_span first = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        sl_span_what what = what_of(r, SL_SPAN_TASK, "t");
        what.lane = i;
        sl_span span = sl_span_begin(r, &what, t);
        first = i == 0 ? span : first;
    }
    sl_span_end(r, first, t + 1);
    sl_recording_stop(r, t + 2);
    ck_assert_uint_eq(count_of(r, SL_SPAN_TASK), 5000);
    sl_recording_free(r);
}
END_TEST

START_TEST(without_memory_they_are_counted)
{
    for (long budget = 0; budget < 40; budget++) {
        fault f;
        sl_recording *r;
        fault_init(&f, budget);
        sl_recording_options options = { 0 };
        if (sl_recording_new(&r, &options, &f.alloc) == SL_OK) {
            uint64_t t = sl_clock_monotonic_ns();
            char text[16];
            for (int i = 0; i < 500; i++) {
                snprintf(text, sizeof(text), "t%d", i);
                sl_span_what what = what_of(r, SL_SPAN_DB, text);
                sl_span span = sl_span_begin(r, &what, t);
                sl_span_end(r, span, t + 1);
            }
            ck_assert_uint_eq(count_of(r, SL_SPAN_DB), 500);
            sl_recording_free(r);
        }
        ck_assert_int_eq(f.live, 0);
    }
}
END_TEST

/* A stack's node is the one that its samples count at; nothing is charged. */
START_TEST(a_stack_has_a_place)
{
    sl_recording *r = fresh();
    sl_strand *main = sl_recording_main(r);
    const sl_frame frames[] = { { VIEW, 12 }, { DUMPS, 3 } };
    const void *node = sl_strand_place(main, frames, 2);
    ck_assert_ptr_eq(sl_strand_place(main, frames, 2), node);
    ck_assert_ptr_ne(sl_strand_place(main, frames, 1), node);
    uint32_t nodes = r->tree.nodes;
    uint64_t t = sl_clock_monotonic_ns();
    sl_strand_sample(main, frames, 2, SL_PSEUDO_ROOT, &(sl_times){ .wall = 10 },
                     t);
    ck_assert_uint_eq(r->tree.nodes, nodes);
    ck_assert_uint_eq(((const sl_node *)node)->calls, 1);
    sl_recording_free(r);
}
END_TEST

static uint32_t
shape_by(sl_recording *r, sl_span_memo *memo, const char *sql)
{
    return sl_span_kept_by(r, memo, SL_SPAN_SHAPE, SL_SQL_ANY, 0, sql,
                           strlen(sql));
}

/* What one recording's query was kept as is what another's is. */
START_TEST(a_memo_changes_nothing)
{
    sl_recording *a = fresh(), *b = fresh(), *plain = fresh();
    sl_span_memo *memo = sl_span_memo_new(NULL);
    char sql[64];
    /* Twice as many as it holds: places are given up and taken again. */
    for (int turn = 0; turn < 2; turn++) {
        for (uint32_t i = 0; i < 2 * SL_SPAN_MEMO; i++) {
            sl_recording *r = i % 2 ? a : b;
            snprintf(sql, sizeof(sql), "SELECT c%u FROM t WHERE id = %u", i, i);
            sl_span_text told =
                sl_spans_text(&r->spans, shape_by(r, memo, sql));
            sl_span_text own = sl_spans_text(&plain->spans, shape(plain, sql));
            ck_assert_str_eq(told.text, own.text);
            ck_assert_uint_eq(told.len, own.len);
        }
    }
    const char *two = "SELECT \"x\" FROM t";
    uint32_t shapes = shape_by(a, memo, two);
    uint32_t names =
        sl_span_kept_by(a, memo, SL_SPAN_NAMES, SL_SQL_ANY, 0, two,
                        strlen(two));
    uint32_t known = sl_span_kept_by(a, memo, SL_SPAN_SHAPE, SL_SQL_POSTGRESQL,
                                     0, two, strlen(two));
    ck_assert_str_eq(sl_spans_text(&a->spans, names).text, "SELECT t");
    ck_assert_str_eq(sl_spans_text(&a->spans, known).text, two);
    ck_assert_str_ne(sl_spans_text(&a->spans, shapes).text, two);
    sl_recording_free(a);
    sl_recording_free(b);
    sl_recording_free(plain);
    sl_span_memo_free(memo);
}
END_TEST

/* A text is the same by its caller's hash and by its letters; where it has one,
 * others' hashes, lengths and dialects are others. */
START_TEST(a_hash_that_the_caller_has)
{
    sl_recording *r = fresh();
    sl_span_memo *memo = sl_span_memo_new(NULL);
    const char *sql = "SELECT 1 FROM a", *other = "SELECT 2 FROM b";
    size_t len = strlen(sql);
    uint32_t read = shape_by(r, memo, sql);
    for (int turn = 0; turn < 2; turn++)
        ck_assert_uint_eq(sl_span_kept_by(r, memo, SL_SPAN_SHAPE, SL_SQL_ANY,
                                          77, sql, len),
                          read);
    uint32_t by_hash = sl_span_kept_by(r, memo, SL_SPAN_SHAPE, SL_SQL_ANY, 78,
                                       other, len);
    ck_assert_str_eq(sl_spans_text(&r->spans, by_hash).text, "SELECT ? FROM b");
    uint32_t names = sl_span_kept_by(r, memo, SL_SPAN_NAMES, SL_SQL_ANY, 77,
                                     sql, len);
    ck_assert_str_eq(sl_spans_text(&r->spans, names).text, "SELECT a");
    ck_assert_uint_ne(sl_kept_key_of(1, 77, 15), sl_kept_key_of(1, 77, 16));
    ck_assert_uint_ne(sl_kept_key_of(1, 77, 15), sl_kept_key_of(2, 77, 15));
    sl_recording_free(r);
    sl_span_memo_free(memo);
}
END_TEST

/* Without memory a text is read as if there were none. */
START_TEST(a_memo_without_memory)
{
    for (long budget = 0; budget < 3; budget++) {
        fault f;
        sl_recording *r = fresh();
        fault_init(&f, budget);
        sl_span_memo *memo = sl_span_memo_new(&f.alloc);
        for (int turn = 0; turn < 2; turn++) {
            uint32_t kept = shape_by(r, memo, "SELECT 1");
            ck_assert_str_eq(sl_spans_text(&r->spans, kept).text, "SELECT ?");
        }
        sl_span_memo_free(memo);
        sl_recording_free(r);
        ck_assert_int_eq(f.live, 0);
    }
}
END_TEST

/* The same but for two letters that a weak hash of words takes for one
 * another: a bit at the top of one word, and half as far up in the next. */
START_TEST(texts_that_differ_in_few_letters)
{
    char one[80], two[80];
    memset(one, 'x', sizeof(one));
    for (uint64_t seed = 1; seed < 65; seed++) {
        one[7] = one[39] = one[35] = 'p';
        memcpy(two, one, sizeof(two));
        two[7] = two[35] = '0';
        ck_assert_uint_ne(sl_kept_key(seed, one, 71),
                          sl_kept_key(seed, two, 71));
        two[39] = '0';
        ck_assert_uint_ne(sl_kept_key(seed, one, 71),
                          sl_kept_key(seed, two, 71));
    }
}
END_TEST

Suite *
span_suite(void)
{
    const TTest *const tests[] = { the_same_again_is_one_row,
                                   no_parameter_is_in_its_memory,
                                   what_is_around_another,
                                   a_word_is_one_number,
                                   rows_are_told,
                                   kinds_have_words,
                                   what_is_open_ends_with_the_recording,
                                   a_full_one_counts,
                                   without_memory_they_are_counted,
                                   a_stack_has_a_place,
                                   a_memo_changes_nothing,
                                   a_memo_without_memory,
                                   a_hash_that_the_caller_has,
                                   texts_that_differ_in_few_letters,
                                   NULL };
    return suite_of("span", tests);
}
