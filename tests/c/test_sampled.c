#include "suites.h"

#include "fault.h"
#include "numbering.h"
#include "sample.h"

#include "slowlens/profile.h"

#include <string.h>

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

static sl_recording *
start(const sl_alloc *alloc, uint32_t max_nodes, uint64_t *now)
{
    sl_recording_options options = { .max_nodes = max_nodes };
    sl_recording *r = NULL;
    *now = 0;
    if (sl_recording_new(&r, &options, alloc) < 0)
        return NULL;
    *now = r->start_ticks;
    return r;
}

/* Samples `frames` after `wall` ticks, half of them on the CPU. */
static void
look(sl_recording *r, uint64_t *now, uint64_t wall, const sl_frame *frames,
     uint32_t count)
{
    *now += wall;
    sl_strand_sample(sl_recording_main(r), frames, count, SL_PSEUDO_ROOT,
                     &(sl_times){ wall, wall / 2, wall / 4 }, *now);
}

/* view 3 > copy 7 > copy 8, twice, then view 4 > dumps 1, a pause, the end. */
static sl_recording *
record(const sl_alloc *alloc, uint64_t *now)
{
    const sl_frame deep[] = { { VIEW, 3 }, { COPY, 7 }, { COPY, 8 } };
    const sl_frame other[] = { { VIEW, 4 }, { DUMPS, 1 } };
    sl_recording *r = start(alloc, 0, now);
    if (r == NULL)
        return NULL;

    sl_strand *s = sl_recording_main(r);
    look(r, now, 100, deep, 3);
    look(r, now, 100, deep, 3);
    look(r, now, 200, other, 2);
    sl_strand_pause(s, other, 1, &(sl_times){ 10, 10, 0 }, *now += 10);
    sl_strand_continue(s, SL_PSEUDO_AWAIT, *now += 1000);
    sl_strand_pause(s, NULL, 0, &(sl_times){ 20, 0, 0 }, *now += 20);
    sl_recording_stop(r, *now);
    return r;
}

START_TEST(times_and_samples_add_up)
{
    uint64_t now;
    sl_recording *r = record(NULL, &now);
    sl_recording_totals t;

    ck_assert_uint_eq(sum_of_self(r), now - r->start_ticks);
    sl_recording_totals_get(r, &t);
    ck_assert_uint_eq(t.samples, 3);
    ck_assert_uint_eq(t.await_ns, 1000);
    ck_assert_uint_eq(t.seen_ns, 430);
    ck_assert_uint_eq(t.seen_cpu_ns, 50 + 50 + 100 + 10);
    ck_assert_uint_eq(t.gil_ns, 25 + 25 + 50);
    ck_assert_uint_eq(t.events, 0);
    sl_recording_free(r);
}
END_TEST

START_TEST(a_wait_has_parts)
{
    const sl_frame stack[] = { { VIEW, 3 } };
    uint64_t now;
    sl_recording *r = start(NULL, 0, &now);
    sl_strand *s = sl_recording_main(r);
    sl_recording_totals t;

    look(r, &now, 10, stack, 1);
    sl_strand_pause(s, stack, 1, &(sl_times){ 0 }, now);
    sl_strand_wait(s, SL_PSEUDO_AWAIT, now + 70);
    sl_strand_wait(s, SL_PSEUDO_AWAIT, now + 60); /* ran backwards */
    sl_strand_continue(s, SL_PSEUDO_LOOP, now += 100);
    look(r, &now, 5, stack, 1);
    sl_recording_stop(r, now);
    sl_recording_totals_get(r, &t);
    ck_assert_uint_eq(t.await_ns, 70);
    ck_assert_uint_eq(t.loop_ns, 30);
    ck_assert_uint_eq(sum_of_self(r), now - r->start_ticks);
    const sl_node *view = r->tree.root->tail;
    ck_assert_ptr_eq(view->key, VIEW);
    ck_assert_ptr_eq(view->tail->key, sl_pseudo_key(SL_PSEUDO_LOOP));
    ck_assert_ptr_eq(view->tail->next->key, sl_pseudo_key(SL_PSEUDO_AWAIT));
    sl_recording_free(r);
}
END_TEST

START_TEST(a_thread_that_has_not_run_is_where_it_was)
{
    const sl_frame stack[] = { { VIEW, 3 }, { COPY, 7 } };
    const sl_times passed = { 40, 0, 0 };
    uint64_t now;
    sl_recording *r = start(NULL, 0, &now);
    sl_strand *s = sl_recording_main(r);

    ck_assert(!sl_strand_again(s, &passed, now));
    look(r, &now, 10, stack, 2);
    ck_assert(sl_strand_again(s, &passed, now += 40));
    const sl_node *copy = r->tree.root->tail->tail;
    ck_assert_uint_eq(copy->self, 50);
    ck_assert_uint_eq(copy->calls, 2);
    ck_assert_uint_eq(r->samples, 2);
    sl_strand_sample(s, stack, 1, SL_PSEUDO_GC, &passed, now += 40);
    ck_assert(sl_strand_again(s, &passed, now += 40));
    ck_assert_ptr_eq(r->tree.root->tail->tail->key,
                     sl_pseudo_key(SL_PSEUDO_GC));
    /* Half of what passed before it was seen is the other's. */
    ck_assert_uint_eq(r->tree.root->tail->tail->self, 20 + 40);
    ck_assert_uint_eq(copy->self, 50 + 20);
    sl_strand_pause(s, stack, 1, &passed, now += 40);
    sl_strand_continue(s, SL_PSEUDO_AWAIT, now += 5);
    ck_assert(!sl_strand_again(s, &passed, now));
    sl_recording_stop(r, now);
    ck_assert_uint_eq(sum_of_self(r), now - r->start_ticks);
    sl_recording_free(r);
}
END_TEST

START_TEST(where_it_was_seen_longest)
{
    const sl_frame deep[] = { { VIEW, 3 }, { COPY, 7 } };
    const sl_frame other[] = { { VIEW, 4 }, { DUMPS, 1 } };
    uint32_t functions[4];
    uint64_t now;
    sl_recording *r = start(NULL, 0, &now);

    ck_assert_uint_eq(sl_recording_seen(r, now, functions, 4), 0);
    look(r, &now, 500, other, 2);
    uint64_t from = now;
    look(r, &now, 100, deep, 2);
    look(r, &now, 60, other, 2);
    look(r, &now, 50, deep, 2);
    ck_assert_uint_eq(sl_recording_seen(r, from, functions, 4), 2);
    ck_assert_ptr_eq(sl_recording_key(r, functions[0]), COPY);
    ck_assert_ptr_eq(sl_recording_key(r, functions[1]), VIEW);
    ck_assert_uint_eq(sl_recording_seen(r, 0, functions, 1), 1);
    ck_assert_ptr_eq(sl_recording_key(r, functions[0]), DUMPS);
    sl_recording_free(r);
}
END_TEST

static int asked;

static void
on_full(void *ctx)
{
    asked++;
    *(bool *)ctx = true;
}

/* Room for 16 nodes: 14 for events, the root and [truncated] among them, then
 * folded ones, then two for samples. */
START_TEST(a_full_recording_goes_on_by_samples)
{
    bool full = false;
    sl_recording_options options = { .max_nodes = 16,
                                     .on_full = on_full,
                                     .ctx = &full };
    const sl_frame stack[] = { { VIEW, 3 } };
    sl_recording *r;
    sl_recording_totals t;
    static char keys[32];

    asked = 0;
    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    uint64_t now = r->start_ticks;
    sl_strand *s = sl_recording_main(r);
    ck_assert_uint_eq(sl_recording_first_sampled(r), UINT32_MAX);
    for (int i = 0; i < 20; i++) {
        sl_strand_enter(s, &keys[i], SL_KIND_PYTHON, now += 10);
        ck_assert(full == (i >= 12));
        sl_strand_leave(s, &keys[i], now += 10);
    }
    ck_assert_int_eq(asked, 1);
    ck_assert_int_eq(sl_recording_sample_on(r, now += 10), SL_OK);
    ck_assert_int_eq(sl_recording_sample_on(r, now), SL_ESTATE);
    look(r, &now, 100, stack, 1);
    look(r, &now, 100, stack, 1);
    sl_recording_stop(r, now);
    ck_assert_int_eq(sl_recording_sample_on(r, now), SL_ESTATE);

    sl_recording_totals_get(r, &t);
    ck_assert_uint_eq(t.sampled_from_ns, 410);
    ck_assert_uint_eq(t.events, 20);
    ck_assert_uint_eq(t.samples, 2);
    ck_assert_uint_eq(sum_of_self(r), now - r->start_ticks);
    const sl_node *top = r->tree.root->tail;
    ck_assert_ptr_eq(top->key, sl_pseudo_key(SL_PSEUDO_SAMPLED));
    ck_assert_ptr_eq(top->tail->key, VIEW);
    ck_assert_uint_eq(top->tail->self, 200);
    ck_assert(top->tail->function >= sl_recording_first_sampled(r));
    ck_assert_int_eq(sl_recording_number(r), SL_OK);
    ck_assert_uint_eq(top->tail->calls, 0);
    ck_assert_uint_eq(r->tree.root->calls, 1);
    sl_recording_free(r);
}
END_TEST

/* What is folded first may be no call. */
START_TEST(a_generator_that_goes_on_where_there_is_no_room)
{
    static char keys[4];
    uint64_t now;
    sl_bytes blob = { 0 };
    sl_profile *p;
    sl_recording *r = start(NULL, 3, &now); /* root, [truncated], one */
    sl_strand *s = sl_recording_main(r);

    sl_strand_enter(s, &keys[0], SL_KIND_PYTHON, now);
    sl_strand_resume(s, &keys[1], now);
    sl_strand_leave(s, &keys[1], now);
    sl_strand_leave(s, &keys[0], now += 10);
    sl_recording_stop(r, now);
    ck_assert_int_eq(
        sl_recording_encode(r, NULL, 0, sample_describe, NULL, 0, &blob),
        SL_OK);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                     SL_OK);
    ck_assert_uint_eq(sl_profile_node_count(p), 4);
    sl_profile_free(p);
    sl_bytes_free(&blob);
    sl_recording_free(r);
}
END_TEST

START_TEST(the_file_holds_lines_and_order)
{
    uint64_t now;
    sl_recording *r = record(NULL, &now);
    sl_meta mode = { "mode", 4, "sampling", 8, 0 };
    sl_bytes blob = { 0 };
    sl_profile *p;

    for (int again = 0; again < 2; again++) {
        sl_bytes_free(&blob);
        ck_assert_int_eq(
            sl_recording_encode(r, &mode, 1, sample_describe, NULL, 0, &blob),
            SL_OK);
    }
    sl_recording_free(r);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                     SL_OK);
    sl_bytes_free(&blob);
    ck_assert(sl_profile_is_sampled(p));

    /* request, view, copy, copy, dumps, [await] */
    const struct {
        const char *name;
        uint64_t samples, self, line;
    } expected[] = { { "[request]", 3, 0, 0 }, { "view", 3, 0, 0 },
                     { "deepcopy", 2, 0, 3 },  { "deepcopy", 2, 300, 7 },
                     { "dumps", 1, 130, 4 },   { "[await]", 1, 1000, 0 } };
    ck_assert_uint_eq(sl_profile_node_count(p), 6);
    for (uint32_t i = 0; i < 6; i++) {
        const sl_profile_node *n = sl_profile_node_at(p, i);
        ck_assert_str_eq(sl_profile_function(p, n->function)->name,
                         expected[i].name);
        ck_assert_uint_eq(n->calls, expected[i].samples);
        ck_assert_uint_eq(n->self_ns, expected[i].self);
        ck_assert_uint_eq(n->line, expected[i].line);
    }

    const sl_profile_line lines[] = { { 3, 8, 300, 150, 75 },
                                      { 4, 1, 130, 60, 25 } };
    ck_assert_uint_eq(sl_profile_line_count(p), 2);
    for (uint32_t i = 0; i < 2; i++) {
        const sl_profile_line *line = sl_profile_line_at(p, i);
        ck_assert_uint_eq(line->node, lines[i].node);
        ck_assert_uint_eq(line->line, lines[i].line);
        ck_assert_uint_eq(line->wall_ns, lines[i].wall_ns);
        ck_assert_uint_eq(line->cpu_ns, lines[i].cpu_ns);
        ck_assert_uint_eq(line->gil_ns, lines[i].gil_ns);
    }

    const sl_profile_stretch order[] = { { 3, 0, 0, 300 },
                                         { 4, 0, 300, 400 },
                                         { 5, 0, 410, 1410 } };
    ck_assert_uint_eq(sl_profile_stretch_count(p), 3);
    for (uint32_t i = 0; i < 3; i++) {
        const sl_profile_stretch *one = sl_profile_stretch_at(p, i);
        ck_assert_uint_eq(one->node, order[i].node);
        ck_assert_uint_eq(one->lane, 0);
        ck_assert_uint_eq(one->from_ns, order[i].from_ns);
        ck_assert_uint_eq(one->to_ns, order[i].to_ns);
    }
    sl_profile_free(p);
}
END_TEST

START_TEST(unseen_time_waits_for_the_next_sample)
{
    const sl_frame view[] = { { VIEW, 1 } }, copy[] = { { COPY, 2 } };
    uint64_t now;
    sl_recording *r = start(NULL, 0, &now);
    sl_strand *s = sl_recording_main(r);

    look(r, &now, 50, view, 1);
    sl_strand_pause(s, NULL, 0, &(sl_times){ 30, 0, 0 }, now += 30);
    sl_strand_continue(s, SL_PSEUDO_IDLE, now += 5);
    look(r, &now, 20, copy, 1);
    sl_recording_stop(r, now);
    uint32_t depth = 0;
    for (const sl_node *n = r->tree.root; n != NULL;
         n = sl_tree_next(n, &depth)) {
        if (n->key == (const void *)VIEW)
            ck_assert_uint_eq(n->self, 50 + 25);
        if (n->key == (const void *)COPY)
            ck_assert_uint_eq(n->self, 25);
    }
    ck_assert_uint_eq(sum_of_self(r), now - r->start_ticks);
    sl_recording_free(r);
}
END_TEST

START_TEST(a_full_tree_loses_no_time)
{
    static const char keys[600 * 16];
    sl_frame frames[600];
    uint64_t now;
    sl_recording *r = start(NULL, 100, &now);

    for (uint32_t i = 0; i < 600; i++)
        frames[i] = (sl_frame){ keys + i * 16, i };
    for (uint32_t n = 1; n <= 600; n++)
        look(r, &now, 10, frames, n);
    sl_recording_stop(r, now);
    ck_assert_uint_eq(sum_of_self(r), 6000);
    sl_recording_totals t;
    sl_recording_totals_get(r, &t);
    ck_assert(t.truncated);
    ck_assert_uint_eq(t.samples, 600);
    sl_bytes blob;
    ck_assert_int_eq(sl_recording_encode(r, NULL, 0, NULL, NULL, 0, &blob),
                     SL_OK);
    sl_bytes_free(&blob);
    sl_recording_free(r);
}
END_TEST

/* The node of `pseudo` below `parent`, or NULL. */
static const sl_node *
pseudo_below(const sl_node *parent, sl_pseudo pseudo)
{
    const sl_node *at = parent->tail;

    for (; at != NULL; at = at->next == parent->tail ? NULL : at->next) {
        if (at->key == sl_pseudo_key(pseudo))
            return at;
    }
    return NULL;
}

START_TEST(what_was_not_seen_goes_to_no_neighbour)
{
    const sl_frame before[] = { { VIEW, 3 }, { COPY, 7 } };
    const sl_frame after[] = { { VIEW, 4 }, { DUMPS, 1 } };
    const sl_times passed = { 500, 400, 0 };
    uint64_t now;
    sl_recording *r = start(NULL, 0, &now);
    sl_strand *s = sl_recording_main(r);
    sl_recording_totals t;

    look(r, &now, 10, before, 2);
    sl_strand_unseen(s, SL_PSEUDO_UNSEEN_TORN, &passed, now += 500);
    sl_strand_waited(s, SL_METRIC_LOCK, 30); /* told later, of that time */
    look(r, &now, 10, after, 2);
    sl_recording_stop(r, now);
    ck_assert_uint_eq(sum_of_self(r), 520);
    const sl_node *torn = pseudo_below(r->tree.root, SL_PSEUDO_UNSEEN_TORN);
    ck_assert_ptr_nonnull(torn);
    ck_assert_uint_eq(torn->self, 500);
    ck_assert_uint_eq(torn->calls, 1);
    ck_assert_ptr_eq(s->path->charged->key, DUMPS);
    ck_assert_uint_eq(s->path->charged->self, 10);
    sl_recording_totals_get(r, &t);
    ck_assert_uint_eq(t.samples, 2);
    sl_recording_free(r);
}
END_TEST

START_TEST(a_late_sample_speaks_for_a_part_of_the_time)
{
    const sl_frame before[] = { { VIEW, 3 }, { COPY, 7 } };
    const sl_frame after[] = { { VIEW, 3 }, { DUMPS, 1 } };
    uint64_t now;
    sl_recording *r = start(NULL, 0, &now);
    sl_strand *s = sl_recording_main(r);
    sl_recording_totals t;

    sl_strand_vouch(s, 20);
    look(r, &now, 10, before, 2);
    look(r, &now, 1000, before, 2); /* at one place before and after */
    ck_assert_uint_eq(s->path->charged->self, 1010);
    look(r, &now, 500, after, 2);
    ck_assert_uint_eq(s->path->charged->self, 20);
    const sl_node *view = s->path->nodes[0];
    const sl_node *late = pseudo_below(view, SL_PSEUDO_UNSEEN_LATE);
    ck_assert_ptr_nonnull(late);
    ck_assert_uint_eq(late->self, 480);
    sl_strand_end(s, &(sl_times){ 100, 100, 0 }, now += 100);
    ck_assert_uint_eq(s->path->charged->self, 40);
    late = pseudo_below(r->tree.root, SL_PSEUDO_UNSEEN_LATE);
    ck_assert_ptr_nonnull(late);
    ck_assert_uint_eq(late->self, 80);
    sl_recording_stop(r, now);
    ck_assert_uint_eq(sum_of_self(r), 1610);
    sl_recording_totals_get(r, &t);
    ck_assert_uint_eq(t.late, 2);
    ck_assert_uint_eq(t.seen_ns, 1610);
    ck_assert_int_eq(sl_recording_reset(r, &(sl_recording_options){ 0 }),
                     SL_OK);
    sl_recording_totals_get(r, &t);
    ck_assert_uint_eq(t.late, 0);
    sl_recording_free(r);
}
END_TEST

START_TEST(what_is_too_deep_is_below_what_is_not)
{
    const sl_frame view[] = { { VIEW, 1 } };
    uint64_t now;
    sl_recording *r = start(NULL, 0, &now);
    sl_strand *s = sl_recording_main(r);

    sl_strand_sample(s, view, 1, SL_PSEUDO_UNSEEN_DEEP,
                     &(sl_times){ 70, 70, 0 }, now += 70);
    sl_recording_stop(r, now);
    ck_assert_uint_eq(s->path->nodes[0]->self, 0);
    ck_assert_uint_eq(
        pseudo_below(s->path->nodes[0], SL_PSEUDO_UNSEEN_DEEP)->self, 70);
    ck_assert_int_eq(sl_recording_number(r), SL_OK);
    ck_assert_uint_eq(s->path->nodes[0]->calls, 1);
    sl_recording_free(r);
}
END_TEST

START_TEST(the_collector_is_a_node)
{
    const sl_frame view[] = { { VIEW, 1 } };
    uint64_t now;
    sl_recording *r = start(NULL, 0, &now);
    sl_recording_totals t;

    sl_strand_sample(sl_recording_main(r), view, 1, SL_PSEUDO_GC,
                     &(sl_times){ 70, 70, 0 }, now += 70);
    look(r, &now, 10, view, 1);
    sl_recording_stop(r, now);
    sl_recording_totals_get(r, &t);
    ck_assert_uint_eq(t.gc_ns, 70 + 10 / 2);
    sl_recording_free(r);
}
END_TEST

/* The strand of a task: it begins in VIEW, runs unseen for 10 ticks, waits for
 * 100, goes on for 20 and ends. */
static void
run_task(sl_strand *task, uint64_t *now)
{
    const sl_frame stack[] = { { VIEW, 3 }, { COPY, 7 } };

    sl_strand_pause(task, stack, 1, &(sl_times){ 0 }, *now);
    sl_strand_continue(task, SL_PSEUDO_AWAIT, *now);
    *now += 10;
    sl_strand_pause(task, stack, 2, &(sl_times){ 10, 10, 0 }, *now);
    sl_strand_continue(task, SL_PSEUDO_AWAIT, *now += 100);
    sl_strand_end(task, &(sl_times){ 20, 20, 0 }, *now += 20);
}

START_TEST(one_strand_does_for_task_after_task)
{
    const sl_frame waits[] = { { DUMPS, 1 } };
    uint64_t now;
    sl_recording *r = start(NULL, 0, &now);
    sl_strand *s = sl_recording_main(r);

    sl_strand *task = sl_recording_strand(r, SL_PSEUDO_TASK, now);
    run_task(task, &now);
    sl_node *first = task->base;
    ck_assert_ptr_eq(first->parent, r->tree.root);
    sl_strand_pause(s, waits, 1, &(sl_times){ 0 }, now);
    for (int i = 0; i < 3; i++) {
        sl_strand_restart(task, SL_PSEUDO_TASK, now);
        run_task(task, &now);
    }
    ck_assert_ptr_ne(task->base, first);
    ck_assert_ptr_eq(task->base->parent->key, DUMPS);
    ck_assert_uint_eq(task->base->calls, 3);
    const sl_node *copy = task->base->tail->tail;
    ck_assert_ptr_eq(copy->key, COPY);
    ck_assert_uint_eq(copy->self, 3 * (10 + 20));
    ck_assert_ptr_eq(copy->tail->key, sl_pseudo_key(SL_PSEUDO_AWAIT));
    ck_assert_uint_eq(copy->tail->self, 3 * 100);
    ck_assert_uint_eq(r->strand_count, 1);
    sl_recording_stop(r, now);
    sl_recording_free(r);
}
END_TEST

/* Without room for its node, a sample's line is that of its own frame. */
START_TEST(what_is_folded_keeps_its_line_and_counts_once)
{
    const sl_frame first[] = { { VIEW, 10 } };
    const sl_frame folded[] = { { COPY, 99 } };
    uint64_t now;
    sl_recording *r = start(NULL, 3, &now); /* root, [truncated], one */
    sl_strand *s = sl_recording_main(r);

    look(r, &now, 10, first, 1);
    for (int i = 0; i < 5; i++)
        look(r, &now, 10, folded, 1);
    const sl_node *flat = s->path->charged;
    ck_assert_ptr_eq(flat->parent, r->tree.truncated);
    ck_assert_ptr_eq(sl_strand_place(s, folded, 1), flat); /* no sample */
    for (uint32_t i = 0; i < r->marks.count; i++) {
        const sl_cell *mark = &r->marks.rows[i];
        ck_assert_uint_eq(mark->key, mark->node == flat ? 99 : 10);
    }
    sl_recording_stop(r, now);
    ck_assert_int_eq(sl_recording_number(r), SL_OK);
    ck_assert_uint_eq(flat->calls, 5);
    ck_assert_uint_eq(r->tree.truncated->calls, 5);
    ck_assert_uint_eq(r->tree.root->calls, 6);
    sl_recording_free(r);
}
END_TEST

/* A thread that went without a word leaves time to what it did, not to whoever
 * has its strand next. */
START_TEST(a_strand_that_begins_again_owes_nothing)
{
    const sl_frame stack[] = { { VIEW, 3 } }, next[] = { { COPY, 7 } };
    uint64_t now;
    sl_recording *r = start(NULL, 0, &now);
    sl_strand *s = sl_recording_strand(r, SL_PSEUDO_THREAD, now);

    sl_strand_sample(s, stack, 1, SL_PSEUDO_ROOT, &(sl_times){ 10, 10, 0 },
                     now += 10);
    const sl_node *view = s->path->charged;
    sl_strand_pause(s, stack, 1, &(sl_times){ 30, 30, 0 }, now += 30);
    sl_strand_restart(s, SL_PSEUDO_THREAD, now);
    sl_strand_sample(s, next, 1, SL_PSEUDO_ROOT, &(sl_times){ 5, 5, 0 },
                     now += 5);
    ck_assert_uint_eq(view->self, 40);
    ck_assert_uint_eq(s->path->charged->self, 5);
    sl_recording_stop(r, now);
    sl_recording_free(r);
}
END_TEST

/* Where a request waited is in its timeline, if nothing saw it run, too. */
START_TEST(a_timeline_without_lines)
{
    uint64_t now;
    sl_bytes blob = { 0 };
    sl_profile *p;
    sl_recording *r = start(NULL, 0, &now);
    sl_strand *s = sl_recording_main(r);

    sl_strand_pause(s, NULL, 0, &(sl_times){ 0 }, now);
    sl_strand_continue(s, SL_PSEUDO_AWAIT, now += 1000000);
    sl_recording_stop(r, now);
    ck_assert_uint_eq(r->marks.count, 0);
    ck_assert_int_eq(
        sl_recording_encode(r, NULL, 0, sample_describe, NULL, 0, &blob),
        SL_OK);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                     SL_OK);
    ck_assert_uint_eq(sl_profile_stretch_count(p), 1);
    sl_profile_free(p);
    sl_bytes_free(&blob);
    sl_recording_free(r);
}
END_TEST

START_TEST(a_strand_may_become_deep)
{
    sl_frame stack[SL_FRAMES_MAX + 3];
    uint64_t now;
    sl_recording *r = start(NULL, 0, &now);
    const sl_node *at = NULL;

    for (uint32_t i = 0; i < SL_FRAMES_MAX + 3; i++)
        stack[i] = (sl_frame){ i % 2 ? COPY : VIEW, i };
    look(r, &now, 10, stack, 2);
    look(r, &now, 10, stack, 30);
    look(r, &now, 10, stack, SL_FRAMES_MAX);
    look(r, &now, 10, stack, 30);
    look(r, &now, 10, stack + 1, SL_FRAMES_MAX + 2); /* another outermost */
    uint32_t depth = 0;
    for (at = r->tree.root->tail; at->key != VIEW; at = at->next)
        continue;
    for (; at != NULL; at = at->tail)
        depth++;
    ck_assert_uint_eq(depth, SL_FRAMES_MAX);
    sl_recording_stop(r, now);
    ck_assert_uint_eq(sum_of_self(r), now - r->start_ticks);
    sl_recording_free(r);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    for (long budget = 0; budget < 200; budget++) {
        fault f;
        uint64_t now;
        sl_bytes blob = { 0 };

        fault_init(&f, budget);
        sl_recording *r = record(&f.alloc, &now);
        sl_status status = SL_ENOMEM;
        uint64_t lost = 0;
        if (r != NULL) {
            ck_assert_uint_eq(sum_of_self(r), now - r->start_ticks);
            lost = r->marks.lost + r->stretches.lost + r->tree.dropped;
            status = sl_recording_encode(r, NULL, 0, sample_describe, NULL, 0,
                                         &blob);
            sl_bytes_free(&blob);
        }
        sl_recording_free(r);
        ck_assert_int_eq(f.live, 0);
        if (status == SL_OK && lost == 0)
            return;
    }
    ck_abort_msg("never enough");
}
END_TEST

Suite *
sampled_suite(void)
{
    const TTest *const tests[] = {
        times_and_samples_add_up,
        a_wait_has_parts,
        a_thread_that_has_not_run_is_where_it_was,
        where_it_was_seen_longest,
        a_full_recording_goes_on_by_samples,
        a_generator_that_goes_on_where_there_is_no_room,
        the_file_holds_lines_and_order,
        unseen_time_waits_for_the_next_sample,
        a_full_tree_loses_no_time,
        the_collector_is_a_node,
        what_was_not_seen_goes_to_no_neighbour,
        a_late_sample_speaks_for_a_part_of_the_time,
        what_is_too_deep_is_below_what_is_not,
        what_is_folded_keeps_its_line_and_counts_once,
        a_strand_that_begins_again_owes_nothing,
        a_timeline_without_lines,
        one_strand_does_for_task_after_task,
        a_strand_may_become_deep,
        any_allocation_may_fail,
        NULL
    };
    return suite_of("sampled", tests);
}
