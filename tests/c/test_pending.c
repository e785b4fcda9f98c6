#include "suites.h"

#include "pending.h"
#include "sample.h"

/* A recording fed by samples that has run for nothing yet. */
static sl_recording *
start(void)
{
    sl_recording *r = NULL;
    ck_assert_int_eq(sl_recording_new(&r, &(sl_recording_options){ 0 }, NULL),
                     SL_OK);
    return r;
}

START_TEST(what_is_pending_goes_to_where_the_strand_was_seen)
{
    sl_recording *r = start();
    sl_strand *s = sl_recording_main(r);
    const sl_frame frames[] = { { VIEW, 3 }, { COPY, 7 } };
    uint64_t now = r->start_ticks + 10;

    sl_strand_sample(s, frames, 2, SL_PSEUDO_ROOT, &(sl_times){ 10, 0, 0 },
                     now);
    const sl_node *seen = s->path->nodes[s->path->depth - 1];
    uint64_t before = seen->self;
    sl_pending_add(s, &(sl_times){ 5, 2, 1 });
    sl_pending_add(s, &(sl_times){ 7, 3, 1 });
    ck_assert_uint_eq(seen->self, before);
    sl_pending_charge_all(r);
    ck_assert_uint_eq(seen->self, before + 12);
    ck_assert_uint_eq(s->pending.wall, 0);
    ck_assert_uint_eq(s->pending.cpu, 0);
    sl_pending_charge_all(r); /* nothing is left to charge */
    ck_assert_uint_eq(seen->self, before + 12);
    sl_recording_free(r);
}
END_TEST

START_TEST(never_seen_is_the_base)
{
    sl_recording *r = start();
    sl_strand *s = sl_recording_main(r);

    sl_pending_add(s, &(sl_times){ 9, 0, 0 });
    sl_pending_charge(s);
    ck_assert_uint_eq(r->main.base->self, 9);
    sl_recording_free(r);
}
END_TEST

START_TEST(no_sample_speaks_for_more_than_it_vouches)
{
    sl_recording *r = start();
    sl_strand *s = sl_recording_main(r);

    s->vouch = 100;
    sl_pending_add(s, &(sl_times){ 100, 50, 20 });
    ck_assert_uint_eq(sl_pending_late(s).wall, 0);
    sl_pending_add(s, &(sl_times){ 300, 150, 60 });
    sl_times late = sl_pending_late(s);
    /* In proportion, and nothing is lost between the two. */
    ck_assert_uint_eq(late.wall, 300);
    ck_assert_uint_eq(late.cpu, 150);
    ck_assert_uint_eq(late.gil, 60);
    ck_assert_uint_eq(s->pending.wall, 100);
    ck_assert_uint_eq(s->pending.cpu, 50);
    ck_assert_uint_eq(s->pending.gil, 20);

    sl_late_charge(s, s->base, &late, s->last);
    ck_assert_uint_eq(r->late, 1);
    ck_assert_uint_eq(s->base->self, 0);
    uint32_t depth = 0;
    const sl_node *unseen = s->base;
    while (unseen != NULL && unseen->function != SL_PSEUDO_UNSEEN_LATE)
        unseen = sl_tree_next(unseen, &depth);
    ck_assert_ptr_nonnull(unseen);
    ck_assert_ptr_eq(unseen->parent, s->base);
    ck_assert_uint_eq(unseen->self, 300);
    sl_recording_free(r);
}
END_TEST

START_TEST(clocks_that_disagree_are_cut)
{
    sl_recording *r = start();
    sl_strand *s = sl_recording_main(r);

    sl_sampled_charge(s, s->base, 4, &(sl_times){ 10, 25, 99 });
    ck_assert_uint_eq(r->marks.count, 1);
    ck_assert_uint_eq(r->marks.rows[0].sums[SL_MARK_WALL], 10);
    ck_assert_uint_eq(r->marks.rows[0].sums[SL_MARK_CPU], 10);
    ck_assert_uint_eq(r->marks.rows[0].sums[SL_MARK_GIL], 0);
    ck_assert_uint_eq(r->seen.cpu, 10);
    sl_recording_free(r);
}
END_TEST

/* A job of so many ticks; `met`: by a sample, in COPY. */
static sl_strand *
run_job(sl_recording *r, uint64_t alike, const void *function, uint64_t ticks,
        bool met)
{
    const sl_frame frames[] = { { function, 0 }, { COPY, 7 } };
    uint64_t now = r->start_ticks;
    sl_strand *s =
        sl_recording_job(r, SL_PSEUDO_THREAD, r->tree.root, now, now);

    sl_strand_works(s, alike, function);
    if (met)
        sl_strand_sample(s, frames, 2, SL_PSEUDO_ROOT, &(sl_times){ 0 }, now);
    sl_strand_end(s, &(sl_times){ ticks, ticks, 0 }, now + ticks);
    sl_strand_done(s, now + ticks);
    return s;
}

/* Below [thread]; NULL: there is none. */
static const sl_node *
below(const sl_node *base, const void *key)
{
    const sl_node *at = base->tail;

    while (at != NULL && at->key != key && at->next != base->tail)
        at = at->next;
    return at != NULL && at->key == key ? at : NULL;
}

START_TEST(jobs_that_no_sample_met_are_told_by_those_that_one_met)
{
    sl_recording *r = start();

    run_job(r, 1, VIEW, 30, false);
    run_job(r, 2, DUMPS, 500, false); /* other work, another function */
    run_job(r, 1, VIEW, 30, false);
    const sl_node *base = run_job(r, 1, VIEW, 40, true)->base;
    const sl_node *view = below(base, VIEW);
    ck_assert_ptr_nonnull(view);
    ck_assert_uint_eq(view->self, 0);
    /* What it did after the sample, the next one tells. */
    ck_assert_uint_eq(below(view, COPY)->self, 30 + 30);
    ck_assert_ptr_null(below(base, DUMPS));
    run_job(r, 1, VIEW, 20, false);
    run_job(r, 1, VIEW, 0, true);
    ck_assert_uint_eq(below(view, COPY)->self, 30 + 30 + 40 + 20);
    run_job(r, 1, VIEW, 7, false); /* nobody tells of this one */
    sl_pending_charge_all(r);
    ck_assert_uint_eq(below(view, COPY)->self, 127); /* seen there last... */
    ck_assert_uint_eq(view->self, 0);
    ck_assert_uint_eq(below(base, DUMPS)->self, 500); /* ...or never */
    ck_assert_uint_eq(base->self, 0);
    sl_pending_charge_all(r); /* once */
    ck_assert_uint_eq(below(base, DUMPS)->self, 500);
    sl_recording_free(r);
}
END_TEST

START_TEST(what_passed_between_two_samples_is_of_both)
{
    sl_recording *r = start();
    sl_strand *s = sl_recording_main(r);
    const sl_frame first[] = { { VIEW, 3 } }, then[] = { { DUMPS, 1 } };
    uint64_t now = r->start_ticks;

    sl_strand_sample(s, first, 1, SL_PSEUDO_ROOT, &(sl_times){ 5, 5, 0 },
                     now += 5);
    const sl_node *view = s->path->charged;
    sl_strand_sample(s, then, 1, SL_PSEUDO_ROOT, &(sl_times){ 10, 8, 2 },
                     now += 10);
    const sl_node *dumps = s->path->charged;
    ck_assert_uint_eq(view->self, 5 + 5);
    ck_assert_uint_eq(dumps->self, 5);
    /* A look in vain has no part in its neighbours' time, nor they in its. */
    sl_strand_unseen(s, SL_PSEUDO_UNSEEN_TORN, &(sl_times){ 10, 0, 0 },
                     now += 10);
    ck_assert_uint_eq(s->path->charged->self, 10);
    ck_assert_uint_eq(dumps->self, 5);
    sl_strand_sample(s, first, 1, SL_PSEUDO_ROOT, &(sl_times){ 10, 8, 2 },
                     now += 10);
    ck_assert_uint_eq(view->self, 5 + 5 + 10);
    /* What comes after the last one is its own. */
    sl_strand_end(s, &(sl_times){ 3, 3, 0 }, now += 3);
    ck_assert_uint_eq(view->self, 5 + 5 + 10 + 3);
    sl_recording_free(r);
}
END_TEST

START_TEST(jobs_of_which_nothing_is_known_owe_nothing)
{
    sl_recording *r = start();

    const sl_node *base = run_job(r, 0, NULL, 30, false)->base;
    ck_assert_uint_eq(base->self, 30);
    /* The strand does for another job, which a sample meets. */
    run_job(r, 1, VIEW, 40, true);
    sl_pending_charge_all(r);
    ck_assert_uint_eq(base->self, 30);
    ck_assert_uint_eq(below(below(base, VIEW), COPY)->self, 40);
    sl_recording_free(r);
}
END_TEST

START_TEST(a_sample_aside_speaks_for_its_section_alone)
{
    sl_recording *r = start();
    sl_strand *s = sl_recording_main(r);
    const sl_frame frames[] = { { VIEW, 3 }, { COPY, 7 } };
    uint64_t now = r->start_ticks;

    sl_strand_pause(s, NULL, 0, &(sl_times){ 50, 50, 0 }, now += 50);
    sl_strand_continue(s, SL_PSEUDO_AWAIT, now);
    sl_strand_aside(s, true);
    sl_strand_sample(s, frames, 2, SL_PSEUDO_ROOT, &(sl_times){ 4, 4, 0 },
                     now += 4);
    const sl_node *seen = s->path->charged;
    ck_assert_uint_eq(seen->self, 4);
    ck_assert_uint_eq(s->pending.wall, 50);
    /* The next one is planned. */
    sl_strand_sample(s, frames, 1, SL_PSEUDO_ROOT, &(sl_times){ 6, 6, 0 },
                     now += 6);
    ck_assert_uint_eq(seen->self, 4 + 6 / 2);
    ck_assert_uint_eq(s->path->charged->self, 50 + 6 / 2);
    ck_assert_uint_eq(s->pending.wall, 0);
    sl_recording_free(r);
}
END_TEST

START_TEST(work_that_is_alike_and_runs_at_once_keeps_its_places)
{
    sl_recording *r = start();
    const sl_frame waits[] = { { VIEW, 0 }, { COPY, 7 } };
    const sl_frame runs[] = { { VIEW, 0 }, { DUMPS, 1 } };
    const sl_times passed = { 10, 10, 0 };
    uint64_t now = r->start_ticks;
    sl_strand *one = sl_recording_job(r, SL_PSEUDO_THREAD, NULL, now, now);
    sl_strand *other = sl_recording_job(r, SL_PSEUDO_THREAD, NULL, now, now);

    sl_strand_works(one, 1, VIEW);
    sl_strand_works(other, 1, VIEW);
    sl_strand_sample(one, waits, 2, SL_PSEUDO_ROOT, &(sl_times){ 0 }, now);
    sl_strand_sample(other, runs, 2, SL_PSEUDO_ROOT, &(sl_times){ 0 }, now);
    for (int i = 0; i < 10; i++) {
        now += 10;
        ck_assert(sl_strand_again(one, &passed, now));
        sl_strand_sample(other, runs, 2, SL_PSEUDO_ROOT, &passed, now);
    }
    ck_assert_uint_eq(one->path->charged->self, 100);
    ck_assert_uint_eq(other->path->charged->self, 100);
    sl_recording_free(r);
}
END_TEST

START_TEST(what_was_told_at_the_end_is_not_pending_any_more)
{
    sl_recording *r = start();
    const sl_frame frames[] = { { VIEW, 0 }, { COPY, 7 } };
    uint64_t now = r->start_ticks;

    run_job(r, 0, NULL, 30, false);
    sl_strand *s = sl_recording_job(r, SL_PSEUDO_THREAD, NULL, now, now);
    sl_strand_aside(s, true);
    sl_strand_sample(s, frames, 2, SL_PSEUDO_ROOT, &(sl_times){ 4, 4, 0 },
                     now + 4);
    ck_assert_uint_eq(s->path->charged->self, 4);
    ck_assert_uint_eq(s->pending.wall, 0);
    sl_recording_free(r);
}
END_TEST

START_TEST(more_kinds_of_work_than_are_told_apart)
{
    enum { KINDS = 100 };
    sl_recording *r = start();
    sl_strand *s = NULL;

    for (uint64_t i = 1; i <= KINDS; i++)
        s = run_job(r, i, VIEW, 10, false);
    sl_pending_charge_all(r);
    ck_assert_uint_eq(below(s->base, VIEW)->self, KINDS * 10);
    ck_assert_uint_eq(s->base->self, 0);
    /* Nor is what comes after it in the same strand taken for it. */
    ck_assert_ptr_eq(run_job(r, 0, NULL, 3, false), s);
    sl_pending_charge_all(r);
    ck_assert_uint_eq(s->base->self, 3);
    sl_recording_free(r);
}
END_TEST

START_TEST(long_work_is_not_told_what_short_work_like_it_owes)
{
    sl_recording *r = start();
    const sl_frame frames[] = { { VIEW, 0 }, { DUMPS, 1 } };
    uint64_t now = r->start_ticks;
    sl_strand *s =
        sl_recording_job(r, SL_PSEUDO_THREAD, r->tree.root, now, now);

    sl_strand_works(s, 1, VIEW);
    run_job(r, 1, VIEW, 5, false);
    sl_strand_sample(s, frames, 2, SL_PSEUDO_ROOT, &(sl_times){ 10, 10, 0 },
                     now += 10);
    const sl_node *dumps = s->path->charged;
    ck_assert_uint_eq(dumps->self, 15);
    /* It speaks for itself from here on. */
    run_job(r, 1, VIEW, 5, false);
    sl_strand_sample(s, frames, 2, SL_PSEUDO_ROOT, &(sl_times){ 10, 10, 0 },
                     now += 10);
    ck_assert_uint_eq(dumps->self, 25);
    run_job(r, 1, VIEW, 0, true);
    ck_assert_uint_eq(dumps->self + below(below(s->base, VIEW), COPY)->self,
                      30);
    ck_assert_uint_eq(below(below(s->base, VIEW), COPY)->self, 5 - 5 / 2);
    sl_recording_free(r);
}
END_TEST

START_TEST(what_passed_between_two_lines_is_of_both)
{
    sl_recording *r = start();
    sl_strand *s = sl_recording_main(r);
    const sl_frame first[] = { { VIEW, 3 } }, then[] = { { VIEW, 4 } };
    uint64_t now = r->start_ticks;

    sl_strand_sample(s, first, 1, SL_PSEUDO_ROOT, &(sl_times){ 4, 4, 0 },
                     now += 4);
    sl_strand_sample(s, then, 1, SL_PSEUDO_ROOT, &(sl_times){ 10, 10, 0 },
                     now += 10);
    ck_assert_uint_eq(s->path->charged->self, 14);
    ck_assert_uint_eq(
        sl_cells_at(&r->marks, s->path->charged, 3)->sums[SL_MARK_WALL], 9);
    ck_assert_uint_eq(
        sl_cells_at(&r->marks, s->path->charged, 4)->sums[SL_MARK_WALL], 5);
    sl_recording_free(r);
}
END_TEST

Suite *
pending_suite(void)
{
    const TTest *const tests[] = {
        what_is_pending_goes_to_where_the_strand_was_seen,
        never_seen_is_the_base,
        no_sample_speaks_for_more_than_it_vouches,
        clocks_that_disagree_are_cut,
        jobs_that_no_sample_met_are_told_by_those_that_one_met,
        what_passed_between_two_samples_is_of_both,
        jobs_of_which_nothing_is_known_owe_nothing,
        a_sample_aside_speaks_for_its_section_alone,
        work_that_is_alike_and_runs_at_once_keeps_its_places,
        what_was_told_at_the_end_is_not_pending_any_more,
        more_kinds_of_work_than_are_told_apart,
        long_work_is_not_told_what_short_work_like_it_owes,
        what_passed_between_two_lines_is_of_both,
        NULL,
    };
    return suite_of("pending", tests);
}
