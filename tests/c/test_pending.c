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

Suite *
pending_suite(void)
{
    const TTest *const tests[] = {
        what_is_pending_goes_to_where_the_strand_was_seen,
        never_seen_is_the_base,
        no_sample_speaks_for_more_than_it_vouches,
        clocks_that_disagree_are_cut,
        NULL,
    };
    return suite_of("pending", tests);
}
