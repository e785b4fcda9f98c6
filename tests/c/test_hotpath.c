/* The hot path, and the summary that is made from it. */
#include "suites.h"

#include "made.h"
#include "profile.h"
#include "summary.h"

#include <stdlib.h>
#include <string.h>

/* The path's nodes, and its text and headline. */
static void
expect(const made *m, const char *nodes, const char *text, const char *headline)
{
    sl_profile *p = made_profile(m);
    sl_outline outline;
    sl_hotpath path;
    sl_buf buf;
    char seen[64] = "", *at = seen;

    ck_assert_int_eq(sl_profile_outline(p, &outline), SL_OK);
    ck_assert_int_eq(sl_hotpath_find(&outline, 0, &path), SL_OK);
    for (uint32_t i = 0; i < path.count && i < 30; i++)
        *at++ = (char)('0' + path.steps[i].node);
    ck_assert_str_eq(seen, nodes);
    sl_buf_init(&buf, NULL, 0);
    sl_hotpath_text(&outline, &path, &buf);
    sl_buf_put_u8(&buf, 0);
    ck_assert_str_eq((const char *)buf.data, text);
    buf.size = 0;
    sl_summary_headline(&outline, &path, &buf);
    sl_buf_put_u8(&buf, 0);
    ck_assert_str_eq((const char *)buf.data, headline);
    sl_buf_free(&buf);
    sl_hotpath_free(&path);
    sl_profile_outline_free(&outline);
    sl_profile_free(p);
}

START_TEST(it_goes_down_where_most_time_is)
{
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "copy", 1, 80, 3 },
                      { 2, "json", 1, 10, 4 } }) };
    expect(&m, "12", "view.app.view > copy.copy 80%",
           "80 % in copy.copy, called by view.app.view at app/view.py:3.");
}
END_TEST

START_TEST(the_loop_is_to_blame_before_any_function)
{
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "[loop busy]", 1, 60, 0 },
                      { 2, "sleep", 1, 30, 4 } }) };
    expect(&m, "12", "view.app.view > [loop busy] 60%",
           "60 % waiting for the event loop, which was busy with something "
           "else; meanwhile it was in view.app.view at app/view.py:7.");
}
END_TEST

START_TEST(nothing_stands_out)
{
    made m = { MADE(
        { { 0, "[request]", 1, 100, 0 }, { 1, "app.view", 1, 1, 0 } }) };
    expect(&m, "", "", "No function stands out.");
    made none = { MADE({ { 0, "[request]", 1, 0, 0 } }) };
    expect(&none, "", "", "It took no time that could be measured.");
}
END_TEST

static const made_node tasks[] = {
    { 0, "[request]", 1, 5, 0 }, { 1, "app.view", 1, 5, 0 },
    { 2, "[await]", 1, 90, 0 },  { 2, "[task]", 1, 0, 0 },
    { 3, "parse", 1, 60, 3 },    { 2, "[task]", 1, 0, 0 },
    { 3, "fetch", 1, 80, 3 },
};

START_TEST(it_goes_on_in_what_was_awaited)
{
    made m = { .nodes = tasks, .count = 7 };
    expect(&m, "156", "view.app.view > fetch.fetch 80%",
           "80 % in fetch.fetch, awaited by view.app.view at app/view.py:7.");
}
END_TEST

START_TEST(the_order_of_time_says_what_was_awaited)
{
    /* The second task ran longer, but after the wait. */
    const made_stretch rows[] = {
        { 0, 2, 0, 60 }, { 0, 1, 60, 100 }, { 1, 4, 0, 60 }, { 2, 6, 50, 130 }
    };
    made m = { .nodes = tasks,
               .count = 7,
               .stretches = rows,
               .stretch_count = 4,
               .sampled = true };
    expect(&m, "134", "view.app.view > parse.parse 60%",
           "60 % in parse.parse, awaited by view.app.view at app/view.py:7.");
}
END_TEST

/* Who waits for a lock waits for the job that releases it. */
START_TEST(it_goes_on_behind_a_lock)
{
    const sl_profile_counter waits[] = { { 3, SL_METRIC_LOCK, 85 } };
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "result", 1, 1, 9 },
                      { 3, "wait", 1, 89, 0 },
                      { 2, "submit", 1, 0, 8 },
                      { 3, "[thread]", 1, 0, 0 },
                      { 4, "parse", 1, 80, 0 } }),
               .counters = waits, .counter_count = 1 };
    expect(&m, "1256", "view.app.view > parse.parse 80%",
           "80 % in parse.parse, awaited by view.app.view at app/view.py:9.");
    m.counter_count = 0; /* what it did was no waiting */
    expect(&m, "123", "view.app.view > result.result 90%",
           "90 % in result.result, called by view.app.view at app/view.py:9.");
}
END_TEST

/* Where own code waits itself, that stays the place of the wait. */
START_TEST(own_code_that_waits_stays)
{
    const sl_profile_counter waits[] = { { 2, SL_METRIC_LOCK, 85 } };
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "app.waits", 1, 90, 9 },
                      { 2, "[thread]", 1, 0, 0 },
                      { 3, "parse", 1, 80, 0 } }),
               .counters = waits, .counter_count = 1 };
    expect(&m, "1234", "view.app.view > waits.app.waits > parse.parse 80%",
           "80 % in parse.parse, awaited by waits.app.waits at "
           "app/waits.py:7.");
}
END_TEST

/* A thread that sleeps does no work: of two waits the longer one decides. */
START_TEST(a_sleep_is_no_work)
{
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "[await]", 1, 90, 0 },
                      { 2, "[task]", 1, 0, 0 },
                      { 3, "std.asyncio/tasks:sleep", 1, 1, 3 },
                      { 4, "[await]", 1, 89, 0 },
                      { 2, "[thread]", 1, 0, 0 },
                      { 3, "app.job", 1, 0, 3 },
                      { 4, "C:time.sleep", 1, 70, 3 } }) };
    expect(&m, "1345", "view.app.view > tasks.sleep 90%",
           "90 % sleeping in tasks.sleep, awaited by view.app.view at "
           "app/view.py:7.");
}
END_TEST

/* A server's task that waits for the client to go away ends with the answer,
 * too, and a little later: of two waits about as long, own code's. */
START_TEST(of_waits_as_long_own_code_is_the_answer)
{
    made m = { MADE({ { 0, "[request]", 1, 1, 0 },
                      { 1, "serve", 1, 4, 0 },
                      { 2, "[await]", 1, 95, 0 },
                      { 2, "[task]", 1, 0, 0 },
                      { 3, "app.view", 1, 1, 3 },
                      { 4, "std.asyncio/tasks:sleep", 1, 1, 8 },
                      { 5, "[await]", 1, 89, 0 },
                      { 2, "[task]", 1, 0, 0 },
                      { 3, "messages", 1, 1, 3 },
                      { 4, "[await]", 1, 94, 0 } }) };
    expect(&m, "13456", "view.app.view > tasks.sleep 90%",
           "90 % sleeping in tasks.sleep, called by view.app.view at "
           "app/view.py:8.");
}
END_TEST

/* A thread that waits for jobs, longer than it has any, is not waited for. */
START_TEST(a_thread_that_waits_for_jobs_is_not_the_answer)
{
    made m = { MADE({ { 0, "[request]", 1, 1, 0 },
                      { 1, "serve", 1, 1, 0 },
                      { 2, "[await]", 1, 98, 0 },
                      { 2, "[task]", 1, 0, 0 },
                      { 3, "app.view", 1, 1, 3 },
                      { 4, "execute", 1, 1, 8 },
                      { 5, "[await]", 1, 95, 0 },
                      { 4, "[thread]", 1, 0, 0 },
                      { 5, "worker", 1, 1, 3 },
                      { 6, "C:_queue.SimpleQueue.get", 3, 92, 4 },
                      { 6, "C:sqlite3.Cursor.execute", 1, 4, 5 } }) };
    expect(&m, "13456", "view.app.view > execute.execute 96%",
           "96 % awaiting in execute.execute, called by view.app.view at "
           "app/view.py:8.");
}
END_TEST

/* What runs in a thread is told, not that a thread runs. */
START_TEST(a_thread_passes_on)
{
    made m = { MADE(
        { { 0, "[request]", 1, 1, 0 },
          { 1, "app.view", 1, 1, 0 },
          { 2, "[await]", 1, 98, 0 },
          { 2, "[thread]", 1, 0, 0 },
          { 3, "std.threading:Thread.run", 1, 1, 3 },
          { 4, "aiosqlite/core:_connection_worker_thread", 1, 1, 4 },
          { 5, "C:zlib.crc32", 1, 96, 5 } }) };
    expect(&m, "13456", "view.app.view > zlib.crc32 96%",
           "96 % in zlib.crc32, awaited by view.app.view at "
           "app/view.py:7.");
}
END_TEST

/* It had the lock soon, and then not the GIL, which the job had. */
START_TEST(it_goes_on_behind_a_lock_and_the_gil)
{
    const sl_profile_counter waits[] = { { 3, SL_METRIC_RUN_QUEUE, 5 },
                                         { 3, SL_METRIC_LOCK, 25 } };
    const sl_profile_line lines[] = { { 3, 7, 40, 0, 40 } };
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "submit", 1, 1, 9 },
                      { 3, "wait", 1, 59, 0 },
                      { 3, "[thread]", 1, 0, 0 },
                      { 4, "parse", 1, 100, 0 },
                      { 2, "result", 1, 0, 9 },
                      { 3, "wait", 1, 40, 0 } }),
               .counters = waits, .counter_count = 2, .lines = lines,
               .line_count = 1 };
    /* What it did in all is said of the job, not of what handed it on. */
    expect(&m, "1245", "view.app.view > parse.parse 54%",
           "91 % in parse.parse, awaited by view.app.view at app/view.py:9. "
           "36 % of the request it waited for the GIL.");
}
END_TEST

static sl_meta
id(const char *key, const char *value)
{
    return (sl_meta){ key, strlen(key), value, strlen(value), 0 };
}

START_TEST(it_goes_on_in_the_task_that_held_the_loop)
{
    const sl_meta own[] = { id("id", "a"), id("held_id", "a") };
    const sl_meta other[] = { id("id", "a"), id("held_id", "b"),
                              id("held_by", "GET /b") };
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "[loop busy]", 1, 90, 0 },
                      { 2, "[task]", 1, 0, 0 },
                      { 3, "app.work", 1, 3, 0 },
                      { 4, "parse", 1, 80, 12 } }),
               .meta = own, .meta_count = 2 };
    expect(&m, "1345", "view.app.view > work.app.work > parse.parse 80%",
           "80 % in parse.parse, called by work.app.work at app/work.py:12.");
    m.meta = other; /* its task may have run, but had the loop for less */
    m.meta_count = 3;
    expect(&m, "12", "view.app.view > [loop busy] 90%",
           "90 % waiting for the event loop, which was busy with GET /b (0 ms "
           "in a row); meanwhile it was in view.app.view at app/view.py:7.");
}
END_TEST

/* Two tasks that await each other, which no program can: the path ends. */
START_TEST(a_file_that_goes_round_ends)
{
    const made_stretch rows[] = { { 0, 2, 0, 90 },    { 0, 5, 90, 180 },
                                  { 0, 8, 180, 270 }, { 1, 7, 90, 180 },
                                  { 2, 3, 180, 270 }, { 3, 3, 0, 90 } };
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "main", 1, 0, 0 },
                      { 2, "[await]", 1, 90, 0 },
                      { 2, "[task]", 1, 1, 0 },
                      { 3, "one", 1, 0, 0 },
                      { 4, "[await]", 1, 90, 0 },
                      { 2, "[task]", 1, 1, 0 },
                      { 3, "x", 1, 0, 0 },
                      { 4, "[await]", 1, 90, 0 } }),
               .stretches = rows, .stretch_count = 6, .sampled = true };
    sl_profile *p = made_profile(&m);
    sl_outline outline;
    sl_hotpath path;
    ck_assert_int_eq(sl_profile_outline(p, &outline), SL_OK);
    ck_assert_int_eq(sl_hotpath_find(&outline, 0, &path), SL_OK);
    ck_assert_uint_gt(path.count, 1);
    ck_assert_uint_le(path.count, 2 * SL_HOTPATH_HOPS);
    sl_hotpath_free(&path);
    sl_profile_outline_free(&outline);
    sl_profile_free(p);
}
END_TEST

/* Waits below waits, none of which leads anywhere: where to leave for is looked
 * for a few times, not at each. If it were, the time limit of the tests would
 * pass (150 s; it is 0.1). */
START_TEST(waits_that_lead_nowhere_cost_no_more)
{
    enum { NODES = 500000 };
    made_node *nodes = calloc(NODES, sizeof(*nodes));
    for (uint32_t i = 0; i < NODES; i++)
        nodes[i] = (made_node){ i, i == 0 ? "[request]" : "[await]", 1,
                                i == NODES - 1 ? 1000000000 : 1, i != 0 };
    made m = { .nodes = nodes, .count = NODES };
    sl_profile *p = made_profile(&m);
    sl_outline outline;
    sl_hotpath path;
    ck_assert_int_eq(sl_profile_outline(p, &outline), SL_OK);
    ck_assert_int_eq(sl_hotpath_find(&outline, 0, &path), SL_OK);
    ck_assert_uint_gt(path.count, 1);
    sl_hotpath_free(&path);
    sl_profile_outline_free(&outline);
    sl_profile_free(p);
    free(nodes);
}
END_TEST

Suite *
hotpath_suite(void)
{
    const TTest *const tests[] = {
        it_goes_down_where_most_time_is,
        the_loop_is_to_blame_before_any_function,
        nothing_stands_out,
        it_goes_on_in_what_was_awaited,
        the_order_of_time_says_what_was_awaited,
        it_goes_on_behind_a_lock,
        own_code_that_waits_stays,
        a_sleep_is_no_work,
        of_waits_as_long_own_code_is_the_answer,
        a_thread_that_waits_for_jobs_is_not_the_answer,
        it_goes_on_behind_a_lock_and_the_gil,
        it_goes_on_in_the_task_that_held_the_loop,
        a_thread_passes_on,
        a_file_that_goes_round_ends,
        waits_that_lead_nowhere_cost_no_more,
        NULL
    };
    return suite_of("hotpath", tests);
}
