/* What explains the time of a profile: which comes first, and in which words.
 */
#include "suites.h"

#include "findings.h"
#include "made.h"
#include "profile.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    char headline[600], words[200], texts[2000], path[400];
    sl_findings all;
} told;

static void
copy_text(char *to, size_t size, sl_buf *text)
{
    sl_buf_put_u8(text, 0);
    snprintf(to, size, "%s", (const char *)text->data);
    text->size = 0;
}

static told
tell_spans(const made *m, const sl_outline_span *spans, uint32_t count)
{
    told t = { .headline = "" };
    sl_profile *p = made_profile(m);
    sl_outline outline;
    sl_hotpath path;
    sl_buf buf;

    sl_buf_init(&buf, NULL, 0);
    ck_assert_int_eq(sl_profile_outline(p, &outline), SL_OK);
    const sl_outline_span *own = outline.spans;
    outline.spans = spans;
    outline.span_count = count;
    ck_assert_int_eq(sl_hotpath_find(&outline, 0, &path), SL_OK);
    ck_assert_int_eq(sl_findings_find(&outline, &path, &t.all), SL_OK);
    sl_findings_headline(&outline, &t.all, &buf);
    copy_text(t.headline, sizeof(t.headline), &buf);
    sl_findings_words(&t.all, &buf);
    copy_text(t.words, sizeof(t.words), &buf);
    for (uint32_t i = 0; i < t.all.count; i++) {
        sl_finding_text(&outline, &t.all, &t.all.items[i], &buf);
        sl_buf_put_u8(&buf, '\n');
    }
    copy_text(t.texts, sizeof(t.texts), &buf);
    sl_hotpath_text(&outline, &path, &buf);
    copy_text(t.path, sizeof(t.path), &buf);
    sl_buf_free(&buf);
    sl_hotpath_free(&path);
    outline.spans = own; /* the test's are the test's */
    sl_profile_outline_free(&outline);
    sl_profile_free(p);
    return t;
}

static told
tell(const made *m)
{
    return tell_spans(m, NULL, 0);
}

static sl_meta
number(const char *key, int64_t value)
{
    return (sl_meta){ key, strlen(key), NULL, 0, value };
}

static sl_meta
text(const char *key, const char *value)
{
    return (sl_meta){ key, strlen(key), value, strlen(value), 0 };
}

static const made_node computes[] = { { 0, "[request]", 1, 5, 0 },
                                      { 1, "app.view", 1, 5, 0 },
                                      { 2, "copy", 40, 90, 3 } };

START_TEST(a_function_and_how_often)
{
    made m = { .nodes = computes, .count = 3 };
    told t = tell(&m);
    ck_assert_str_eq(t.headline,
                     "90 % in copy.copy, called by view.app.view at "
                     "app/view.py:3, 40 times.");
    ck_assert_str_eq(t.words, "repeats");
    ck_assert_uint_eq(t.all.items[0].line, 3);
}
END_TEST

START_TEST(who_could_not_compute_says_so_first)
{
    const sl_meta meta[] = { number("run_queue_ns", 70) };
    made m = { .nodes = computes, .count = 3, .meta = meta, .meta_count = 1 };
    told t = tell(&m);
    ck_assert_str_eq(t.headline,
                     "70 % waiting for a CPU, which others had or a quota "
                     "withheld; what it had to do was mostly in copy.copy, "
                     "called by view.app.view at app/view.py:3, 40 times.");
    ck_assert_str_eq(t.words, "run-queue,repeats");

    const sl_meta less[] = { number("run_queue_ns", 30) };
    m.meta = less;
    t = tell(&m);
    ck_assert_str_eq(t.headline,
                     "90 % in copy.copy, called by view.app.view at "
                     "app/view.py:3, 40 times. 30 % of the request it waited "
                     "for a CPU.");
}
END_TEST

START_TEST(the_holder_of_the_loop_is_named)
{
    const sl_meta meta[] = { number("loop_ns", 60), text("held_by", "GET /x"),
                             number("held_ns", 60000000) };
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 35, 0 },
                      { 2, "[loop busy]", 1, 60, 0 } }),
               .meta = meta, .meta_count = 3 };
    told t = tell(&m);
    ck_assert_str_eq(
        t.headline, "60 % waiting for the event loop, which was busy with GET "
                    "/x (60 ms in a row); meanwhile it was in view.app.view at "
                    "app/view.py:7.");
}
END_TEST

/* What a thread does keeps no event loop. */
START_TEST(a_thread_does_not_hold_the_loop)
{
    const sl_meta meta[] = { number("step_ns", 80000000) };
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "[await]", 1, 300000000, 0 },
                      { 2, "app.parse", 1, 80000000, 9 },
                      { 2, "[thread]", 1, 0, 0 },
                      { 3, "app.job", 1, 300000000, 0 } }),
               .meta = meta, .meta_count = 1 };
    told t = tell(&m);
    ck_assert_ptr_nonnull(strstr(t.texts,
                                 "It kept the event loop for 80 ms "
                                 "without a break, most in "
                                 "parse.app.parse at app/parse.py:7."));
}
END_TEST

/* What the request's own task does keeps it from others as well. */
START_TEST(an_own_task_holds_the_loop)
{
    const sl_meta meta[] = { number("step_ns", 1000000) };
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 1000000, 0 },
                      { 2, "[await]", 1, 300000000, 0 },
                      { 2, "[task]", 1, 0, 0 },
                      { 3, "app.work", 1, 300000000, 0 } }),
               .meta = meta, .meta_count = 1 };
    static const char words[] = "It kept the event loop for 300 ms without a "
                                "break, most in work.app.work at "
                                "app/work.py:7.";
    told t = tell(&m);
    ck_assert_ptr_nonnull(strstr(t.texts, words));
    /* In order of time: a break makes two steps of it. */
    const made_stretch whole[] = { { 0, 2, 0, 300000000 },
                                   { 1, 4, 0, 200000000 },
                                   { 1, 4, 200000000, 300000000 } };
    m.stretches = whole;
    m.stretch_count = 3;
    t = tell(&m);
    ck_assert_ptr_nonnull(strstr(t.texts, words));
    const made_stretch broken[] = { { 0, 2, 0, 300000000 },
                                    { 1, 4, 0, 40000000 },
                                    { 1, 4, 50000000, 90000000 } };
    m.stretches = broken;
    t = tell(&m);
    ck_assert_ptr_null(strstr(t.texts, "kept the event loop"));
    made in_thread = { MADE({ { 0, "[request]", 1, 5, 0 },
                              { 1, "app.view", 1, 1000000, 0 },
                              { 2, "[await]", 1, 300000000, 0 },
                              { 2, "[thread]", 1, 0, 0 },
                              { 3, "[task]", 1, 0, 0 },
                              { 4, "app.work", 1, 300000000, 0 } }),
                       .meta = meta, .meta_count = 1 };
    t = tell(&in_thread);
    ck_assert_ptr_null(strstr(t.texts, "kept the event loop"));
}
END_TEST

/* Six jobs for three threads: three of them wait, at once. */
START_TEST(waits_at_once_are_not_added_up)
{
    const made_stretch rows[] = { { 0, 2, 0, 380000000 },
                                  { 1, 4, 0, 180000000 },
                                  { 2, 4, 0, 180000000 },
                                  { 3, 4, 0, 180000000 } };
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.view", 1, 0, 0 },
                      { 2, "[await]", 1, 380000000, 0 },
                      { 2, "[thread]", 6, 0, 0 },
                      { 3, "[queued]", 6, 540000000, 0 },
                      { 3, "app.query", 6, 1140000000, 0 } }),
               .stretches = rows, .stretch_count = 4 };
    told t = tell(&m);
    ck_assert_ptr_nonnull(strstr(t.texts, "47 % waiting until a thread of the "
                                          "pool was free (6 jobs, 540 ms "
                                          "together)"));
    m.stretch_count = 0;
    t = tell(&m);
    ck_assert_ptr_nonnull(strstr(t.texts, "24 % waiting until"));
}
END_TEST

START_TEST(a_wait_is_told_by_its_kind)
{
    const sl_profile_counter waits[] = { { 2, SL_METRIC_SLEEP, 80 } };
    made m = {
        .nodes = computes, .count = 3, .counters = waits, .counter_count = 1
    };
    told t = tell(&m);
    ck_assert_int_eq(t.all.items[0].rule, SL_FINDING_SLEEP);
    ck_assert_str_eq(t.headline,
                     "90 % sleeping in copy.copy, called by view.app.view at "
                     "app/view.py:3, 40 times.");
}
END_TEST

START_TEST(a_wrapper_is_not_the_answer)
{
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.view", 1, 0, 0 },
                      { 2, "wrap.<locals>.inner", 1, 1, 3 },
                      { 3, "query", 1, 99, 0 } }) };
    told t = tell(&m);
    ck_assert_str_eq(t.headline,
                     "99 % in query.query, called by view.app.view at "
                     "app/view.py:3.");
}
END_TEST

START_TEST(what_a_template_passes_through_is_not_the_answer)
{
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.page", 1, 0, 0 },
                      { 2, "jinja2/environment:Environment.getattr", 1, 1, 3 },
                      { 3, "babel/localedata:load", 1, 60, 474 },
                      { 4, "[gc]", 1, 39, 0 } }) };
    told t = tell(&m);
    ck_assert_str_eq(t.headline,
                     "99 % in localedata.load, called by page.app.page at "
                     "app/page.py:3. 39 % of the request was garbage "
                     "collection.");
    /* What it does itself is its own. */
    made own = { MADE(
        { { 0, "[request]", 1, 0, 0 },
          { 1, "app.page", 1, 0, 0 },
          { 2, "jinja2/environment:Environment.getattr", 1, 61, 3 },
          { 3, "[gc]", 1, 39, 0 } }) };
    t = tell(&own);
    ck_assert_ptr_nonnull(
        strstr(t.headline, "environment.Environment.getattr"));
}
END_TEST

START_TEST(a_wait_of_a_library_is_the_librarys)
{
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "stream", 1, 4, 0 },
                      { 2, "std.sleep", 1, 1, 12 },
                      { 3, "[await]", 1, 95, 9 } }) };
    told t = tell(&m);
    ck_assert_str_eq(t.headline,
                     "95 % awaiting in stream.stream at lib/stream.py:12.");
    ck_assert_str_eq(t.path, "stream.stream > [await] 95%");
}
END_TEST

START_TEST(recursion_is_one_function)
{
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "app.walk", 1, 20, 3 },
                      { 3, "app.walk", 2, 30, 4 },
                      { 4, "app.walk", 4, 40, 4 } }) };
    told t = tell(&m);
    ck_assert_str_eq(t.headline, "90 % in walk.app.walk itself at "
                                 "app/walk.py:7, which calls itself.");
}
END_TEST

/* No path has more than a sixth of it. */
static const made_node calls_slug[] = {
    { 0, "[request]", 1, 2, 0 }, { 1, "app.view", 1, 2, 0 },
    { 2, "app.a", 1, 0, 3 },     { 3, "app.slug", 5, 16, 2 },
    { 2, "app.b", 1, 0, 4 },     { 3, "app.slug", 5, 16, 2 },
    { 2, "app.c", 1, 0, 5 },     { 3, "app.slug", 5, 16, 2 },
    { 2, "app.d", 1, 0, 6 },     { 3, "app.slug", 5, 16, 2 },
    { 2, "app.e", 1, 0, 7 },     { 3, "app.slug", 5, 16, 2 },
    { 2, "app.f", 1, 0, 8 },     { 3, "app.slug", 5, 16, 2 },
};

START_TEST(a_helper_of_many_is_one_function)
{
    made m = { .nodes = calls_slug, .count = 14 };
    told t = tell(&m);
    ck_assert_str_eq(t.headline,
                     "96 % in slug.app.slug itself at app/slug.py:7, called "
                     "from 6 places, 30 times.");
}
END_TEST

START_TEST(what_many_call_is_one_function)
{
    made_node nodes[14];
    memcpy(nodes, calls_slug, sizeof(nodes));
    for (int i = 3; i < 14; i += 2)
        nodes[i].name = "copy";
    nodes[9].self_ns = 18;
    made m = { .nodes = nodes, .count = 14 };
    told t = tell(&m);
    ck_assert_str_eq(t.headline,
                     "96 % in copy.copy, called from 6 places, 30 times, most "
                     "by d.app.d at app/d.py:2.");
}
END_TEST

/* A comprehension is a part of the function that it stands in. */
START_TEST(a_part_is_the_whole_functions)
{
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.view", 1, 10, 0 },
                      { 2, "app.sum", 9, 55, 3 },
                      { 3, "app.sum.<locals>.<genexpr>", 90, 35, 4 } }) };
    told t = tell(&m);
    ck_assert_ptr_nonnull(strstr(t.headline, "90 % in sum.app.sum itself at "));
}
END_TEST

START_TEST(nothing_large_stands_out)
{
    made_node nodes[22] = { { 0, "[request]", 1, 0, 0 },
                            { 1, "app.view", 1, 5, 0 } };
    static const char *const names[] = { "app.a", "app.b", "app.c", "app.d",
                                         "app.e", "app.f", "app.g", "app.h",
                                         "app.i", "app.j", "app.k", "app.l",
                                         "app.m", "app.n", "app.o", "app.p",
                                         "app.q", "app.r", "app.s", "app.t" };
    for (int i = 0; i < 20; i++)
        nodes[2 + i] = (made_node){ 1, names[i], 1, 10, 0 };
    made m = { .nodes = nodes, .count = 22 };
    told t = tell(&m);
    ck_assert_str_eq(t.headline, "No function stands out.");
    /* Queries that are alike are counted, however little of it they took. */
    const sl_outline_span spans[] = { { .node = 1,
                                        .line = 7,
                                        .count = 12,
                                        .outer_ns = 2,
                                        .longest_ns = 1,
                                        .kind = "db",
                                        .text = "SELECT ?",
                                        .where = "" } };
    t = tell_spans(&m, spans, 1);
    ck_assert_str_eq(t.headline,
                     "No function stands out. Under 1 % in 12 queries "
                     "that are alike (SELECT ?), from view.app.view at "
                     "app/view.py:7.");
}
END_TEST

/* A library of many small functions: the last of them that most went through,
 * and what that called. */
START_TEST(a_library_is_told_by_what_most_went_through)
{
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "serve", 1, 30, 0 },
                      { 2, "match", 1, 0, 12 },
                      { 3, "populate", 1, 4, 0 },
                      { 4, "fields", 1, 1, 0 },
                      { 5, "a", 1, 15, 0 },
                      { 5, "b", 1, 9, 0 },
                      { 5, "c", 1, 8, 0 },
                      { 5, "d", 1, 8, 0 },
                      { 4, "bodies", 1, 0, 0 },
                      { 5, "e", 1, 9, 0 },
                      { 5, "f", 1, 8, 0 },
                      { 5, "g", 1, 8, 0 } }) };
    told t = tell(&m);
    ck_assert_str_eq(t.headline,
                     "70 % in populate.populate at lib/populate.py:7: most "
                     "fields.fields (41 %), then bodies.bodies (25 %).");
}
END_TEST

START_TEST(an_import_is_told_where_it_is_asked_for)
{
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "_find_and_load", 1, 1, 12 },
                      { 3, "exec_module", 1, 1, 0 },
                      { 4, "<module>", 1, 90, 0 } }) };
    told t = tell(&m);
    ck_assert_str_eq(t.headline, "95 % importing lib/<module>.py, asked for by "
                                 "view.app.view at app/view.py:12.");
    /* A library that imports late; without own code, the library's line. */
    made late = { MADE({ { 0, "[request]", 1, 0, 0 },
                         { 1, "app.view", 1, 5, 0 },
                         { 2, "connect", 1, 5, 12 },
                         { 3, "std.bootstrap:_find_and_load", 1, 1, 30 },
                         { 4, "<module>", 1, 89, 0 } }) };
    t = tell(&late);
    ck_assert_str_eq(t.headline, "90 % importing lib/<module>.py, asked for by "
                                 "view.app.view at app/view.py:12.");
    made foreign = { MADE({ { 0, "[request]", 1, 0, 0 },
                            { 1, "serve", 1, 5, 0 },
                            { 2, "connect", 1, 5, 12 },
                            { 3, "std.bootstrap:_find_and_load", 1, 1, 30 },
                            { 4, "<module>", 1, 89, 0 } }) };
    t = tell(&foreign);
    ck_assert_str_eq(t.headline, "90 % importing lib/<module>.py, asked for by "
                                 "connect.connect at lib/connect.py:30.");
}
END_TEST

/* Two middlewares of a framework hand the request on to tasks, which a thread
 * does the work for: neither task nor wait is the answer. */
START_TEST(work_is_told_whoever_hands_it_on)
{
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.dispatch", 1, 1, 0 },
                      { 2, "receive", 1, 0, 5 },
                      { 3, "[await]", 1, 95, 0 },
                      { 3, "[task]", 2, 0, 0 },
                      { 4, "run", 2, 0, 0 },
                      { 5, "app.dispatch", 1, 1, 0 },
                      { 6, "receive", 1, 0, 5 },
                      { 7, "[await]", 1, 94, 0 },
                      { 4, "[thread]", 1, 0, 0 },
                      { 5, "app.work", 1, 90, 0 } }) };
    told t = tell(&m);
    ck_assert_ptr_nonnull(
        strstr(t.headline, "94 % in work.app.work itself at app/work.py:7."));
}
END_TEST

#define SPAN(n, l, k, t, w, c, total, longest)                                 \
    { .node = n,                                                               \
      .line = l,                                                               \
      .kind = k,                                                               \
      .text = t,                                                               \
      .where = w,                                                              \
      .count = c,                                                              \
      .total_ns = total,                                                       \
      .outer_ns = total,                                                       \
      .longest_ns = longest }

START_TEST(a_wait_below_no_function_says_nothing)
{
    const sl_outline_span spans[] = {
        SPAN(3, 0, "db", "SELECT 1", "", 100, 60, 9),
    };
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "[task]", 1, 0, 0 },
                      { 2, "[await]", 1, 300, 0 },
                      { 2, "app.query", 1, 60, 0 },
                      { 1, "[await]", 1, 100, 0 } }) };
    told t = tell_spans(&m, spans, 1);
    ck_assert_str_eq(t.headline,
                     "60 % in 100 queries that are alike (SELECT 1), from "
                     "query.app.query at app/query.py:7.");
}
END_TEST

START_TEST(what_was_not_seen_is_nobodys)
{
    static const sl_meta sampled[] = { { "mode", 4, "sampling", 8, 0 },
                                       { "samples", 7, NULL, 0, 90 } };
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.view", 1, 20, 0 },
                      { 2, "[not seen] torn", 1, 70, 0 },
                      { 2, "[not seen] sampler late", 1, 10, 0 } }),
               .meta = sampled, .meta_count = 2 };
    told t = tell(&m);
    ck_assert_str_eq(t.headline,
                     "For 80 % of the time no sample could say where this "
                     "request was: most of it is [not seen] torn.");
    ck_assert_str_eq(t.words, "");
    made less = { MADE({ { 0, "[request]", 1, 0, 0 },
                         { 1, "app.view", 1, 70, 0 },
                         { 2, "[not seen] torn", 1, 30, 0 } }),
                  .meta = sampled, .meta_count = 2 };
    t = tell(&less);
    ck_assert_ptr_nonnull(strstr(t.headline, "in view.app.view itself"));
    ck_assert_ptr_nonnull(
        strstr(t.headline, " 30 % of it no sample could place."));
}
END_TEST

START_TEST(few_samples_say_little)
{
    const sl_meta few[] = { text("mode", "sampling"), number("samples", 4) };
    made m = { .nodes = computes, .count = 3, .meta = few, .meta_count = 2 };
    told t = tell(&m);
    ck_assert_str_eq(t.headline, "Not enough samples (4) to say where the time "
                                 "of this request went.");
    const sl_meta more[] = { text("mode", "sampling"), number("samples", 12) };
    m.meta = more;
    t = tell(&m);
    ck_assert_str_eq(t.headline, "About 90 % in copy.copy, called by "
                                 "view.app.view at app/view.py:3.");
    /* Waits are measured, not sampled. */
    const sl_meta waits[] = { text("mode", "sampling"), number("samples", 1),
                              number("loop_ns", 80) };
    m.meta = waits;
    m.meta_count = 3;
    t = tell(&m);
    ck_assert_int_eq(t.all.items[0].rule, SL_FINDING_LOOP);
}
END_TEST

static const made_node asks[] = {
    { 0, "[request]", 1, 0, 0 }, { 1, "app.view", 1, 10, 0 },
    { 2, "query", 1, 60, 9 },    { 2, "render", 1, 10, 12 },
    { 3, "query", 1, 20, 0 },
};

START_TEST(queries_that_are_alike_are_the_answer)
{
    const sl_outline_span spans[] = {
        SPAN(2, 0, "db", "SELECT title WHERE author = ?", "", 100, 55, 1),
        SPAN(4, 0, "db", "SELECT 1", "list.html:3", 1, 9, 9),
        SPAN(3, 0, "template", "list.html", "", 1, 30, 30),
    };
    made m = { .nodes = asks, .count = 5 };
    told t = tell_spans(&m, spans, 3);
    ck_assert_str_eq(t.headline,
                     "55 % in 100 queries that are alike (SELECT title WHERE "
                     "author = ?), from view.app.view at app/view.py:9.");
    ck_assert_str_eq(t.words, "n+1,database");
    ck_assert_ptr_nonnull(strstr(
        t.texts, "64 % in the database: 101 queries, most from view.app.view "
                 "at app/view.py:9 (SELECT title WHERE author = ?).\n"));

    /* As often, but it is not most of what the database took. */
    const sl_outline_span other[] = {
        SPAN(2, 0, "db", "SELECT title WHERE author = ?", "", 100, 9, 1),
        SPAN(4, 0, "db", "SELECT 1", "list.html:3", 1, 55, 55),
    };
    t = tell_spans(&m, other, 2);
    ck_assert_str_eq(t.headline,
                     "64 % in the database: 101 queries, most from "
                     "view.app.view at app/view.py:12 (SELECT 1) in "
                     "list.html:3.");
    ck_assert_str_eq(t.words, "database,n+1,template-query");

    /* One that is slow is one of those. */
    const sl_outline_span one_slow[] = { SPAN(2, 0, "db", "SELECT title", "",
                                              100, 390000000, 300000000) };
    made slow = { MADE({ { 0, "[request]", 1, 5, 0 },
                         { 1, "app.view", 1, 5, 0 },
                         { 2, "execute", 100, 400000000, 9 } }) };
    t = tell_spans(&slow, one_slow, 1);
    ck_assert_ptr_nonnull(strstr(
        t.texts, "75 % in one query of the 100 alike (SELECT title), from "));
}
END_TEST

START_TEST(fetching_is_the_databases)
{
    made m = { MADE(
        { { 0, "[request]", 1, 0, 0 },
          { 1, "app.view", 1, 5, 0 },
          { 2, "app.rows", 50, 5, 9 },
          { 3, "django/db/models/sql/compiler:cursor_iter", 50, 85, 2 } }) };
    const sl_outline_span spans[] = { SPAN(2, 2, "db", "SELECT a", "", 50, 5,
                                           1) };
    told t = tell_spans(&m, spans, 1);
    ck_assert_str_eq(t.headline,
                     "95 % in 50 queries that are alike (SELECT a), from "
                     "rows.app.rows at app/rows.py:2, called by view.app.view "
                     "at app/view.py:9.");
    /* A helper of many: the fetching goes to what its queries took. */
    const sl_outline_span many[] = { SPAN(2, 2, "db", "PRAGMA", "", 6, 1, 1),
                                     SPAN(2, 2, "db", "SELECT b", "", 1, 4,
                                          4) };
    t = tell_spans(&m, many, 2);
    ck_assert_str_eq(t.headline,
                     "95 % in the database: 7 queries, most from rows.app.rows "
                     "at app/rows.py:2 (SELECT b).");
}
END_TEST

/* An ORM takes far longer for a query than the database does. */
START_TEST(what_an_orm_takes_is_the_queries)
{
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "django/db/models/query:QuerySet", 50, 60, 9 },
                      { 3, "django/db/backends/utils:execute", 50, 25, 0 },
                      { 2, "render", 1, 10, 0 } }) };
    const sl_outline_span spans[] = { SPAN(3, 0, "db", "SELECT a", "", 50, 20,
                                           1) };
    told t = tell_spans(&m, spans, 1);
    ck_assert_str_eq(t.headline,
                     "85 % in 50 queries that are alike, ORM included (SELECT "
                     "a), from view.app.view at app/view.py:9; the database "
                     "itself took 20 %.");
    /* Two queries of one set share it by what each took. */
    const sl_outline_span two[] = {
        SPAN(3, 0, "db", "SELECT a", "", 50, 15, 1),
        SPAN(3, 0, "db", "SELECT b", "", 1, 5, 5),
    };
    t = tell_spans(&m, two, 2);
    ck_assert_ptr_nonnull(strstr(t.headline, "63 % in 50 queries"));
    ck_assert_ptr_nonnull(
        strstr(t.texts, "84 % in the database, ORM included: 51 queries"));
    /* What it asks for on its way (what its database can do) is asked for
     * deeper: what was made of rows is the query's, however long that took. */
    made deep = { MADE({ { 0, "[request]", 1, 0, 0 },
                         { 1, "app.view", 1, 5, 0 },
                         { 2, "django/db/models/query:QuerySet", 1, 40, 9 },
                         { 3, "django/db/models/sql:execute_sql", 1, 5, 0 },
                         { 4, "django/db/backends/features:has", 1, 2, 0 },
                         { 5, "django/db/backends/utils:execute", 1, 10, 0 },
                         { 4, "django/db/backends/utils:execute", 1, 3, 0 },
                         { 3, "django/db/models/base:from_db", 9, 25, 0 } }) };
    const sl_outline_span both[] = {
        SPAN(5, 0, "db", "SELECT has", "", 1, 10, 10),
        SPAN(6, 0, "db", "SELECT rows", "", 1, 3, 3),
    };
    t = tell_spans(&deep, both, 2);
    ck_assert_str_eq(t.headline,
                     "94 % in the database, ORM included: 2 queries, most from "
                     "view.app.view at app/view.py:9 (SELECT rows); the "
                     "database itself took 14 %.");
    /* Nothing of the project's asked: the library that did. */
    made foreign = { MADE(
        { { 0, "[request]", 1, 0, 0 },
          { 1, "middleware", 1, 5, 0 },
          { 2, "load_user", 1, 10, 0 },
          { 3, "django/db/models/query:QuerySet", 50, 60, 9 },
          { 4, "django/db/backends/utils:execute", 50, 25, 0 } }) };
    const sl_outline_span its[] = { SPAN(4, 0, "db", "SELECT a", "", 50, 20,
                                         1) };
    t = tell_spans(&foreign, its, 1);
    ck_assert_str_eq(t.headline,
                     "85 % in 50 queries that are alike, ORM included (SELECT "
                     "a), from load_user.load_user at lib/load_user.py:7; the "
                     "database itself took 20 %.");
}
END_TEST

START_TEST(a_slow_query_and_a_slow_service)
{
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.view", 1, 100000000, 0 },
                      { 2, "query", 1, 900000000, 9 } }) };
    const sl_outline_span query[] = { SPAN(2, 0, "db", "SELECT slow", "", 2,
                                           800000000, 700000000) };
    told t = tell_spans(&m, query, 1);
    ck_assert_str_eq(t.words, "database,slow-query,same-query");
    ck_assert_ptr_nonnull(strstr(t.texts, "70 % in one query (SELECT slow), "
                                          "from view.app.view at "
                                          "app/view.py:9.\n"));
    /* Asked for by own code itself: the span knows the line. */
    const sl_outline_span service[] = { SPAN(1, 33, "http", "api.example", "",
                                             1, 900000000, 900000000) };
    t = tell_spans(&m, service, 1);
    ck_assert_str_eq(t.headline, "90 % in 1 HTTP request (api.example), from "
                                 "view.app.view at app/view.py:33.");
    ck_assert_str_eq(t.words, "http");
}
END_TEST

/* Lines and paths move between releases and machines. */
START_TEST(a_fingerprint_knows_no_line)
{
    made m = { .nodes = computes, .count = 3 };
    told one = tell(&m);
    made moved = { MADE({ { 0, "[request]", 1, 50, 0 },
                          { 1, "app.view", 1, 5, 0 },
                          { 2, "copy", 1, 900, 44 } }) };
    told other = tell(&moved);
    ck_assert_str_eq(one.all.items[0].fingerprint,
                     other.all.items[0].fingerprint);
    ck_assert_uint_eq(strlen(one.all.items[0].fingerprint), 16);
    made another = { MADE({ { 0, "[request]", 1, 50, 0 },
                            { 1, "app.view", 1, 5, 0 },
                            { 2, "json", 1, 900, 44 } }) };
    other = tell(&another);
    ck_assert_str_ne(one.all.items[0].fingerprint,
                     other.all.items[0].fingerprint);
}
END_TEST

START_TEST(the_table_has_a_row_for_each_rule)
{
    for (int i = 0; i < SL_FINDING_COUNT; i++) {
        const sl_finding_info *info = sl_finding_at((sl_finding_rule)i);
        ck_assert_ptr_nonnull(info);
        ck_assert_ptr_null(strchr(info->word, ','));
        ck_assert_uint_gt(strlen(info->advice), 10);
    }
    ck_assert_ptr_null(sl_finding_at(SL_FINDING_COUNT));
}
END_TEST

Suite *
findings_suite(void)
{
    const TTest *const tests[] = {
        a_function_and_how_often,
        who_could_not_compute_says_so_first,
        the_holder_of_the_loop_is_named,
        a_thread_does_not_hold_the_loop,
        an_own_task_holds_the_loop,
        waits_at_once_are_not_added_up,
        a_wait_is_told_by_its_kind,
        a_wrapper_is_not_the_answer,
        what_a_template_passes_through_is_not_the_answer,
        a_wait_of_a_library_is_the_librarys,
        recursion_is_one_function,
        a_helper_of_many_is_one_function,
        what_many_call_is_one_function,
        a_part_is_the_whole_functions,
        nothing_large_stands_out,
        a_library_is_told_by_what_most_went_through,
        an_import_is_told_where_it_is_asked_for,
        work_is_told_whoever_hands_it_on,
        fetching_is_the_databases,
        a_wait_below_no_function_says_nothing,
        what_was_not_seen_is_nobodys,
        few_samples_say_little,
        queries_that_are_alike_are_the_answer,
        what_an_orm_takes_is_the_queries,
        a_slow_query_and_a_slow_service,
        a_fingerprint_knows_no_line,
        the_table_has_a_row_for_each_rule,
        NULL
    };
    return suite_of("findings", tests);
}
