#include "suites.h"

#include "fault.h"
#include "recording_data.h"
#include "sample.h"

#include <stdio.h>

static uint64_t
sum_of_self(const sl_recording *r)
{
    uint64_t sum = 0;
    uint32_t depth = 0;
    for (const sl_node *n = r->tree.root; n != NULL;
         n = sl_tree_next(n, &depth))
        sum += n->self;
    return sum;
}

static const sl_node *
find(const sl_recording *r, const char *key, int nth)
{
    uint32_t depth = 0;
    for (const sl_node *n = r->tree.root; n != NULL;
         n = sl_tree_next(n, &depth)) {
        if (n->key == (const void *)key && nth-- == 0)
            return n;
    }
    return NULL;
}

static sl_recording *
start(uint32_t max_nodes)
{
    sl_recording_options options = { .max_nodes = max_nodes };
    sl_recording *r = NULL;
    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    return r;
}

START_TEST(self_times_add_up_to_the_wall_time)
{
    sl_recording *r;
    ck_assert_int_eq(sample_record(&r, NULL), SL_OK);
    ck_assert_uint_eq(sum_of_self(r), r->stop_ticks - r->start_ticks);

    const sl_node *view = find(r, VIEW, 0), *copy = find(r, COPY, 0);
    ck_assert_uint_eq(view->calls, 1);
    ck_assert_uint_eq(view->resumes, 1);
    ck_assert_uint_eq(find(r, LEN, 0)->calls, 3);
    ck_assert_uint_eq(find(r, LEN, 0)->self, 21);
    ck_assert_ptr_eq(copy->parent, view);
    ck_assert_ptr_eq(find(r, COPY, 1)->parent, copy);
    ck_assert_ptr_null(find(r, COPY, 3));

    const sl_node *await = find(r, sl_pseudo_key(SL_PSEUDO_AWAIT), 0);
    ck_assert_ptr_eq(await->parent, view);
    ck_assert_uint_eq(await->self, 40);

    sl_recording_totals t;
    sl_recording_totals_get(r, &t);
    ck_assert_uint_eq(t.events, 5); /* calls */
    ck_assert_uint_eq(t.resumes, 1);
    ck_assert_uint_eq(t.c_events, 3);
    ck_assert_uint_eq(t.await_ns, 40);
    ck_assert_uint_eq(t.mended, 0);
    ck_assert(!t.truncated);
    sl_recording_free(r);
}
END_TEST

START_TEST(returns_of_frames_from_before_are_ignored)
{
    sl_recording *r = start(0);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = r->start_ticks;

    sl_strand_leave(s, COPY, t += 1);
    sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t += 1);
    sl_strand_leave(s, COPY, t += 1);
    sl_strand_leave_top(s, LEN, t += 1);
    ck_assert_uint_eq(sl_strand_function(s), SL_PSEUDO_COUNT);
    sl_strand_leave(s, VIEW, t += 1);
    ck_assert(sl_strand_is_empty(s));
    ck_assert_uint_eq(r->tree.mended, 0);
    sl_recording_free(r);
}
END_TEST

START_TEST(a_leave_further_down_unwinds_to_it)
{
    sl_recording *r = start(0);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = r->start_ticks;

    sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t += 1);
    sl_strand_enter(s, COPY, SL_KIND_PYTHON, t += 1);
    sl_strand_enter(s, LEN, SL_KIND_C, t += 1);
    sl_strand_leave(s, VIEW, t += 1);
    ck_assert(sl_strand_is_empty(s));
    ck_assert_uint_eq(r->tree.mended, 1);
    sl_recording_free(r);
}
END_TEST

START_TEST(a_clock_that_goes_back_charges_nothing)
{
    sl_recording *r = start(0);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = r->start_ticks;

    sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t + 100);
    sl_strand_leave(s, VIEW, t + 50);
    ck_assert_uint_eq(find(r, VIEW, 0)->self, 0);
    ck_assert_uint_eq(sum_of_self(r), 100);
    sl_recording_stop(r, t + 130);
    ck_assert_uint_eq(sum_of_self(r), 130);
    ck_assert_uint_eq(r->stop_ticks - r->start_ticks, 130);
    sl_recording_free(r);
}
END_TEST

static bool
choose_all(void *ctx, const void *key, uint32_t id)
{
    (void)key, (void)id;
    ++*(int *)ctx;
    return true;
}

START_TEST(call_sites_are_kept_apart)
{
    int seen = 0;
    sl_recording_options options = { .on_function = choose_all, .ctx = &seen };
    sl_recording *r;
    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = r->start_ticks;

    sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t += 1);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t site = 10; site <= 30; site += 10) {
            sl_strand_site(s, site);
            sl_strand_enter(s, COPY, SL_KIND_PYTHON, t += 1);
            sl_strand_leave(s, COPY, t += 1);
        }
    }
    ck_assert_int_eq(seen, 2);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(find(r, COPY, i)->site, 10u * (uint32_t)(i + 1));
        ck_assert_uint_eq(find(r, COPY, i)->calls, 3);
    }
    ck_assert_ptr_null(find(r, COPY, 3));

    /* What goes on after a yield went in by some site: no node of its own. */
    sl_strand_resume(s, COPY, t += 1);
    sl_strand_leave(s, COPY, t += 1);
    ck_assert_ptr_null(find(r, COPY, 3));
    /* A site that no call followed is not the next call's. */
    sl_strand_site(s, 40);
    sl_strand_leave(s, VIEW, t += 1);
    sl_strand_enter(s, COPY, SL_KIND_PYTHON, t += 1);
    ck_assert_uint_eq(s->cur->site, 0);
    sl_recording_free(r);
}
END_TEST

/* f calls itself from two lines: 2^depth paths, but not 2^depth nodes. */
START_TEST(recursion_from_two_sites_stays_small)
{
    int seen = 0;
    sl_recording_options options = { .on_function = choose_all, .ctx = &seen };
    sl_recording *r;
    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = r->start_ticks;

    for (uint32_t path = 0; path < 1u << 14; path++) {
        for (int level = 0; level < 14; level++) {
            sl_strand_site(s, 1 + (path >> level & 1));
            sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t += 1);
        }
        for (int level = 0; level < 14; level++)
            sl_strand_leave(s, VIEW, t += 1);
    }
    ck_assert_uint_lt(r->tree.nodes, 8000);
    sl_recording_free(r);
}
END_TEST

START_TEST(wide_nodes_find_their_children)
{
    static char many[5000][16];
    sl_recording *r = start(0);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = r->start_ticks;

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5000; i++) {
            int at = (i * 1777) % 5000;
            sl_strand_enter(s, many[at], SL_KIND_PYTHON, t += 1);
            sl_strand_leave(s, many[at], t += 1);
        }
    }
    ck_assert_uint_eq(r->tree.nodes, 5000 + 2); /* root and [truncated] */
    ck_assert_uint_eq(find(r, many[4321], 0)->calls, 3);
    sl_recording_free(r);
}
END_TEST

/* The same walk over 40 functions, with and without a cap: no function loses
 * a call, and no time is lost. */
START_TEST(a_capped_tree_loses_no_call_and_no_time)
{
    static char f[40][16];
    uint64_t calls[2][40] = { { 0 } };

    for (int capped = 0; capped < 2; capped++) {
        sl_recording *r = start(capped ? 60 : 0);
        sl_strand *s = sl_recording_main(r);
        uint64_t t = r->start_ticks;
        uint32_t random = 1;
        int stack[64], depth = 0;

        for (int i = 0; i < 200000; i++) {
            random = random * 1664525 + 1013904223;
            if (depth > 0 && (depth == 64 || (random >> 30) < 2)) {
                sl_strand_leave(s, f[stack[--depth]], t += 3);
            } else {
                stack[depth] = (int)((random >> 16) % 40);
                sl_strand_enter(s, f[stack[depth++]], SL_KIND_PYTHON, t += 2);
            }
        }
        while (depth > 0)
            sl_strand_leave(s, f[stack[--depth]], t += 3);
        ck_assert(sl_strand_is_empty(s));
        sl_recording_stop(r, t + 5);
        ck_assert_uint_eq(sum_of_self(r), r->stop_ticks - r->start_ticks);

        uint32_t at = 0;
        for (const sl_node *n = r->tree.root; n != NULL;
             n = sl_tree_next(n, &at)) {
            if (n->function >= SL_PSEUDO_COUNT) {
                const char *key = r->tree.functions.keys[n->function];
                calls[capped][(key - f[0]) / 16] += n->calls;
            }
        }
        sl_recording_totals totals;
        sl_recording_totals_get(r, &totals);
        ck_assert_int_eq(totals.truncated, capped);
        ck_assert_uint_eq(totals.dropped, 0);
        if (capped)
            ck_assert_uint_le(totals.nodes, 60 + 40);
        sl_recording_free(r);
    }
    for (int i = 0; i < 40; i++)
        ck_assert_uint_eq(calls[0][i], calls[1][i]);
}
END_TEST

/* What runs beside a request is no time of the request's, also where the tree
 * has no room for it. */
START_TEST(a_capped_tree_tells_strands_apart)
{
    static char many[300][16];
    sl_recording *r = start(60);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = r->start_ticks, own = 0, beside = 0;

    for (int i = 0; i < 150; i++)
        sl_strand_enter(s, many[i], SL_KIND_PYTHON, t += 1);
    sl_strand_suspend(s, t += 1);
    for (int k = 0; k < 3; k++) {
        sl_strand *side = sl_recording_strand(r, SL_PSEUDO_TASK, t);
        for (int i = 150; i < 300; i++)
            sl_strand_enter(side, many[i], SL_KIND_PYTHON, t += 1);
        sl_strand_suspend(side, t += 1);
        sl_strand_continue(side, SL_PSEUDO_AWAIT, t += 100);
        for (int i = 300; i-- > 150;)
            sl_strand_leave(side, many[i], t += 1);
    }
    sl_strand_continue(s, SL_PSEUDO_AWAIT, t);
    sl_recording_stop(r, t += 1);

    uint32_t depth = 0, strand = 0;
    for (const sl_node *n = r->tree.root; n != NULL;
         n = sl_tree_next(n, &depth)) {
        if (strand == 0 && n->function == SL_PSEUDO_TASK)
            strand = depth;
        else if (strand != 0 && depth <= strand)
            strand = n->function == SL_PSEUDO_TASK ? depth : 0;
        *(strand != 0 ? &beside : &own) += n->self;
        if (n->function == SL_PSEUDO_AWAIT)
            ck_assert_uint_eq(n->self, strand != 0 ? 300 : 3 * 401);
    }
    ck_assert_uint_eq(own, r->stop_ticks - r->start_ticks);
    ck_assert_uint_eq(beside, 3 * (150 + 1 + 100 + 150));
    sl_recording_totals totals;
    sl_recording_totals_get(r, &totals);
    ck_assert(totals.truncated);
    ck_assert_uint_eq(totals.dropped, 0);
    ck_assert_uint_le(totals.nodes, 60 + 300 + 8);
    sl_recording_free(r);
}
END_TEST

START_TEST(deep_recursion_is_fine)
{
    sl_recording *r = start(0);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = r->start_ticks;

    for (int i = 0; i < 300000; i++)
        sl_strand_enter(s, COPY, SL_KIND_PYTHON, t += 1);
    for (int i = 0; i < 300000; i++)
        sl_strand_leave(s, COPY, t += 1);
    ck_assert(sl_strand_is_empty(s));
    sl_recording_stop(r, t);
    ck_assert_uint_eq(sum_of_self(r), 600000);
    sl_recording_free(r);
}
END_TEST

START_TEST(strands_hang_where_the_main_one_awaits)
{
    sl_recording *r = start(0);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = r->start_ticks;

    sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t += 1);
    sl_strand_enter(s, WAIT, SL_KIND_PYTHON, t += 1);
    sl_strand_yield(s, WAIT, t += 1);
    sl_strand_yield(s, VIEW, t += 1);
    sl_strand_suspend(s, t);
    sl_strand *task = sl_recording_strand(r, SL_PSEUDO_TASK, t += 5);
    sl_strand_enter(task, COPY, SL_KIND_PYTHON, t += 1);
    sl_strand_leave(task, COPY, t += 10);
    sl_strand_continue(s, SL_PSEUDO_AWAIT, t += 4);
    sl_strand_resume(s, VIEW, t += 1);
    sl_strand_resume(s, WAIT, t += 1);

    const sl_node *base = find(r, sl_pseudo_key(SL_PSEUDO_TASK), 0);
    ck_assert_ptr_eq(base->parent, find(r, WAIT, 0));
    ck_assert_ptr_eq(find(r, COPY, 0)->parent, base);
    ck_assert_uint_eq(find(r, sl_pseudo_key(SL_PSEUDO_AWAIT), 0)->self, 20);
    ck_assert_ptr_eq(find(r, sl_pseudo_key(SL_PSEUDO_AWAIT), 0)->parent,
                     find(r, WAIT, 0));
    sl_recording_free(r);
}
END_TEST

START_TEST(jobs_hang_where_they_were_handed_over)
{
    sl_recording *r = start(0);
    sl_strand *s = sl_recording_main(r);
    uint64_t t = r->start_ticks;

    sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t += 1);
    const void *view = sl_strand_node(s);
    uint64_t handed_over = t += 1;
    sl_strand_leave(s, VIEW, t += 1);
    t += 5;
    sl_strand *job =
        sl_recording_job(r, SL_PSEUDO_THREAD, view, handed_over, t);
    sl_strand_enter(job, COPY, SL_KIND_PYTHON, t += 1);
    sl_strand_leave(job, COPY, t += 10);
    sl_strand_done(job, t += 1);

    const sl_node *base = find(r, sl_pseudo_key(SL_PSEUDO_THREAD), 0);
    ck_assert_ptr_eq(base->parent, find(r, VIEW, 0));
    ck_assert_ptr_eq(find(r, COPY, 0)->parent, base);
    ck_assert_uint_eq(find(r, COPY, 0)->self, 10);
    const sl_node *queued = find(r, sl_pseudo_key(SL_PSEUDO_QUEUED), 0);
    ck_assert_ptr_eq(queued->parent, base);
    ck_assert_uint_eq(queued->self, 6);
    ck_assert_uint_eq(base->self, 2);

    /* The strand does for the next one, wherever that was handed over. */
    ck_assert_ptr_eq(sl_recording_job(r, SL_PSEUDO_THREAD, NULL, t, t + 1),
                     job);
    ck_assert_uint_eq(base->calls, 1);
    ck_assert_uint_eq(r->strand_count, 1);
    ck_assert_ptr_eq(job->cur->parent, r->tree.root);
    sl_recording_free(r);
}
END_TEST

/* One does not hang below what found no room itself, though more was given. */
START_TEST(a_job_of_a_flat_node_is_below_the_root)
{
    sl_recording *r = start(3); /* root, [truncated], one */
    sl_strand *s = sl_recording_main(r);
    const sl_frame frames[] = { { VIEW, 10 }, { COPY, 20 } };
    uint64_t t = r->start_ticks;

    const sl_node *flat = sl_strand_place(s, frames, 2);
    ck_assert_ptr_eq(flat->parent, r->tree.truncated);
    r->tree.max_nodes += 8;
    sl_strand *job = sl_recording_job(r, SL_PSEUDO_THREAD, flat, t + 1, t + 2);
    ck_assert_ptr_eq(job->base->parent, r->tree.root);
    job = sl_recording_job(r, SL_PSEUDO_THREAD, flat->parent, t + 1, t + 2);
    ck_assert_ptr_eq(job->base->parent, r->tree.root);
    ck_assert_uint_eq(job->base->calls, 2);
    sl_recording_free(r);
}
END_TEST

/* Work whose steps are told on the main strand has its waits on its own. */
START_TEST(a_wait_stands_in_functions_that_count_no_call)
{
    sl_recording *r = start(0);
    uint64_t t = r->start_ticks;
    const void *const keys[] = { VIEW, WAIT };

    sl_strand *task = sl_recording_strand(r, SL_PSEUDO_TASK, t += 10);
    sl_strand_wait_in(task, keys, 2, SL_PSEUDO_AWAIT, t, t + 20);
    /* Known until then: the rest alone is new. */
    sl_strand_wait_in(task, keys, 2, SL_PSEUDO_AWAIT, t + 5, t + 30);
    sl_strand_wait_in(task, keys, 2, SL_PSEUDO_AWAIT, t + 5, t + 25);

    const sl_node *wait = find(r, WAIT, 0);
    const sl_node *await = find(r, sl_pseudo_key(SL_PSEUDO_AWAIT), 0);
    ck_assert_ptr_eq(await->parent, wait);
    ck_assert_uint_eq(await->self, 30);
    ck_assert_uint_eq(await->calls, 2);
    ck_assert_ptr_eq(wait->parent, find(r, VIEW, 0));
    ck_assert_ptr_eq(wait->parent->parent,
                     find(r, sl_pseudo_key(SL_PSEUDO_TASK), 0));
    ck_assert_uint_eq(wait->calls + wait->resumes + wait->self, 0);
    ck_assert_uint_eq(task->last, t + 30);
    ck_assert(sl_strand_is_empty(task));
    sl_recording_free(r);
}
END_TEST

START_TEST(a_reset_recording_is_as_good_as_new)
{
    sl_recording_options options = { 0 };
    sl_recording *r;
    ck_assert_int_eq(sample_record(&r, NULL), SL_OK);
    ck_assert_int_eq(sl_recording_reset(r, &options), SL_OK);
    ck_assert_uint_eq(r->tree.nodes, 2);
    sl_recording_stop(r, sl_clock_monotonic_ns());
    sl_recording_stop(r, sl_clock_monotonic_ns() + 1000);
    sl_recording_free(r);
    sl_recording_free(NULL);
}
END_TEST

/* Allocations fail one after the other: a recording never does, once made. */
START_TEST(any_allocation_may_fail)
{
    static char many[3000][16];

    for (long budget = 0;; budget++) {
        fault f;
        sl_recording_options options = { 0 };
        sl_recording *r = NULL;
        fault_init(&f, budget);
        sl_status status = sl_recording_new(&r, &options, &f.alloc);
        if (status < 0) {
            ck_assert_int_eq(status, SL_ENOMEM);
            ck_assert_int_eq(f.live, 0);
            continue;
        }
        sl_strand *s = sl_recording_main(r);
        uint64_t t = r->start_ticks;
        for (int i = 0; i < 3000; i++)
            sl_strand_enter(s, many[i], SL_KIND_PYTHON, t += 1);
        sl_strand *side = sl_recording_strand(r, SL_PSEUDO_THREAD, t);
        if (side != NULL)
            sl_strand_enter(side, COPY, SL_KIND_PYTHON, t);
        for (int i = 3000; i-- > 0;)
            sl_strand_leave(s, many[i], t += 1);
        ck_assert(sl_strand_is_empty(s));
        sl_recording_stop(r, t);
        ck_assert_uint_eq(r->stop_ticks - r->start_ticks, 6000);
        ck_assert_uint_eq(sum_of_self(r), 6000);
        sl_recording_totals totals;
        sl_recording_totals_get(r, &totals);
        sl_recording_free(r);
        ck_assert_int_eq(f.live, 0);
        if (!totals.truncated)
            break;
    }
}
END_TEST

Suite *
recording_suite(void)
{
    const TTest *const tests[] = {
        self_times_add_up_to_the_wall_time,
        returns_of_frames_from_before_are_ignored,
        a_leave_further_down_unwinds_to_it,
        a_clock_that_goes_back_charges_nothing,
        call_sites_are_kept_apart,
        recursion_from_two_sites_stays_small,
        wide_nodes_find_their_children,
        a_capped_tree_loses_no_call_and_no_time,
        a_capped_tree_tells_strands_apart,
        deep_recursion_is_fine,
        strands_hang_where_the_main_one_awaits,
        jobs_hang_where_they_were_handed_over,
        a_job_of_a_flat_node_is_below_the_root,
        a_wait_stands_in_functions_that_count_no_call,
        a_reset_recording_is_as_good_as_new,
        any_allocation_may_fail,
        NULL
    };
    return suite_of("recording", tests);
}
