#include "sample.h"
#include "suites.h"

#include "slowlens/span.h"

#include <stdio.h>
#include <string.h>

static const char FUNCTIONS[600][1] = { { 0 } };

static bool
name_all(void *ctx, uint32_t id, const void *key, sl_function *out)
{
    (void)ctx, (void)id;
    *out = (sl_function){
        .name = "f",
        .name_len = 1,
        .file = "a.py",
        .file_len = 4,
        .line = (uint32_t)((const char *)key - (const char *)FUNCTIONS) + 1
    };
    return true;
}

static sl_recording *
new_recording(void)
{
    sl_recording_options options = { .clock = SL_CLOCK_MONOTONIC };
    sl_recording *r;
    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    return r;
}

static uint32_t seed;

static uint32_t
chance(uint32_t n)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % n;
}

/* Calls at random: deep, wide (beyond what is scanned), recursive. */
static void
events(sl_recording *r, uint64_t *now, int count)
{
    static const void *stack[64];
    static uint32_t depth;
    sl_strand *strand = sl_recording_main(r);

    for (depth = 0; count > 0; count--) {
        *now += 10 + chance(50);
        if (depth < 40 && (depth == 0 || chance(100) < 55)) {
            stack[depth] = FUNCTIONS[chance(depth == 1 ? 600 : 12)];
            sl_strand_enter(strand, stack[depth++], SL_KIND_PYTHON, *now);
        } else {
            sl_strand_leave(strand, stack[--depth], *now);
        }
    }
}

static void
samples(sl_recording *r, uint64_t *now, int count)
{
    sl_frame frames[40];

    for (; count > 0; count--) {
        uint32_t depth = 1 + chance(39);
        uint64_t passed = 1000 + chance(1000);
        for (uint32_t i = 0; i < depth; i++)
            frames[i] =
                (sl_frame){ FUNCTIONS[chance(i < 4 ? 2 : 30)], 1 + chance(3) };
        *now += passed;
        sl_strand_sample(sl_recording_main(r), frames, depth, SL_PSEUDO_ROOT,
                         &(sl_times){ passed, passed / 2, passed / 4 }, *now);
    }
}

/* The same, with pauses, jobs of a few kinds that a sample meets or none does,
 * and something pending at the end. */
static void
pieces(sl_recording *r, uint64_t *now, int count)
{
    sl_strand *main = sl_recording_main(r);

    for (; count > 0; count--) {
        const sl_frame frames[] = { { FUNCTIONS[chance(9)], 1 + chance(3) },
                                    { FUNCTIONS[9 + chance(9)], 1 } };
        uint64_t passed = 10 + chance(1000);
        sl_times half = { passed / 2, passed / 2, 0 };
        sl_strand *job =
            sl_recording_job(r, SL_PSEUDO_THREAD, NULL, *now, *now);
        sl_strand_works(job, chance(90), FUNCTIONS[20 + chance(9)]);
        if (chance(3) == 0)
            sl_strand_sample(job, frames, 2, SL_PSEUDO_ROOT, &half,
                             *now + passed / 2);
        *now += passed;
        sl_strand_end(job, &half, *now);
        sl_strand_done(job, *now);
        if (chance(3) == 0) {
            sl_strand_aside(main, chance(2) == 0);
            sl_strand_sample(main, frames, 2, SL_PSEUDO_ROOT, &half, *now);
        }
        sl_strand_pause(main, frames, 1, &half, *now);
        sl_strand_continue(main, SL_PSEUDO_AWAIT, *now += 5);
    }
    sl_strand_pause(main, NULL, 0, &(sl_times){ 7, 7, 0 }, *now += 7);
}

static void
encode(sl_recording *r, sl_bytes *blob)
{
    static const sl_meta meta = { "id", 2, "x", 1, 0 };
    ck_assert_int_eq(sl_recording_encode(r, &meta, 1, name_all, NULL, 0, blob),
                     SL_OK);
}

/* A copy's blob is the recording's own, had it been stopped then. */
static void
copies_are_equal(void (*run)(sl_recording *, uint64_t *, int))
{
    for (int size = 0; size < 3000; size = size * 3 + 1) {
        sl_recording *r = new_recording(), *copy;
        uint64_t now = sl_clock_ticks(SL_CLOCK_MONOTONIC);
        sl_frozen *frozen;
        sl_bytes own = { 0 }, copied = { 0 };

        seed = (uint32_t)size;
        run(r, &now, size);
        ck_assert_int_eq(sl_frozen_new(&frozen, sl_recording_room(r), NULL),
                         SL_OK);
        for (int again = 0; again < 2; again++) { /* room is used again */
            ck_assert_int_eq(sl_recording_freeze(r, now, frozen), SL_OK);
            ck_assert_int_eq(sl_frozen_thaw(frozen, &copy), SL_OK);
            sl_bytes_free(&copied);
            encode(copy, &copied);
        }
        sl_recording_stop(r, now);
        encode(r, &own);
        ck_assert_uint_eq(own.size, copied.size);
        ck_assert_mem_eq(own.data, copied.data, own.size);
        sl_profile *p = NULL;
        ck_assert_int_eq(
            sl_profile_decode(&p, copied.data, copied.size, 0, NULL), SL_OK);
        sl_profile_free(p);
        sl_frozen_free(frozen);
        sl_recording_free(r);
        sl_bytes_free(&own);
        sl_bytes_free(&copied);
    }
}

START_TEST(a_copy_of_events_is_what_it_was)
{
    copies_are_equal(events);
}
END_TEST

START_TEST(a_copy_of_samples_is_what_it_was)
{
    copies_are_equal(samples);
}
END_TEST

START_TEST(a_copy_of_pieces_is_what_it_was)
{
    copies_are_equal(pieces);
}
END_TEST

/* Queries among calls, in rows of many places, one of them open. */
static void
asked(sl_recording *r, uint64_t *now, int count)
{
    sl_strand *strand = sl_recording_main(r);
    static char text[16];

    for (; count > 0; count--) {
        bool goes_on = count > 1 && chance(9) == 0;
        sl_strand_enter(strand, FUNCTIONS[chance(30)], SL_KIND_PYTHON, *now);
        size_t len = (size_t)snprintf(text, sizeof(text), "q%u", chance(99));
        const sl_span_what what = { .node = sl_strand_here(strand),
                                    .site = 1 + chance(4),
                                    .kind = chance(3),
                                    .text = sl_span_word(r, text, len),
                                    .where = sl_span_word(r, "a.html:1", 8) };
        sl_span span = sl_span_begin(r, &what, *now);
        *now += 10 + chance(50);
        if (!goes_on)
            sl_span_end(r, span, *now);
        if (chance(2) > 0)
            sl_strand_leave(strand, sl_strand_key(strand), *now);
    }
}

START_TEST(a_copy_has_what_was_asked)
{
    copies_are_equal(asked);
}
END_TEST

START_TEST(the_original_goes_on)
{
    sl_recording *r = new_recording(), *copy;
    uint64_t now = sl_clock_ticks(SL_CLOCK_MONOTONIC);
    sl_frozen *frozen;
    sl_bytes before = { 0 }, after = { 0 };

    seed = 5;
    samples(r, &now, 200);
    ck_assert_int_eq(sl_frozen_new(&frozen, sl_recording_room(r), NULL), SL_OK);
    ck_assert_int_eq(sl_recording_freeze(r, now, frozen), SL_OK);
    uint64_t then = now;
    samples(r, &now, 2000);
    sl_recording_stop(r, now);
    encode(r, &after);
    sl_recording_free(r); /* the copy needs nothing of it */
    ck_assert_int_eq(sl_frozen_thaw(frozen, &copy), SL_OK);
    encode(copy, &before);
    ck_assert_uint_lt(before.size, after.size);
    ck_assert_uint_gt(then, 0);
    sl_frozen_free(frozen);
    sl_bytes_free(&before);
    sl_bytes_free(&after);
}
END_TEST

START_TEST(too_little_room_changes_nothing)
{
    sl_recording *r = new_recording();
    uint64_t now = sl_clock_ticks(SL_CLOCK_MONOTONIC);
    sl_frozen *frozen;

    events(r, &now, 1000);
    size_t room = sl_recording_room(r);
    ck_assert_int_eq(sl_frozen_new(&frozen, room / 2, NULL), SL_OK);
    ck_assert_int_eq(sl_recording_freeze(r, now, frozen), SL_ELIMIT);
    sl_frozen_free(frozen);
    ck_assert_int_eq(sl_frozen_new(&frozen, room, NULL), SL_OK);
    ck_assert_int_eq(sl_recording_freeze(r, now, frozen), SL_OK);
    sl_recording_stop(r, now);
    ck_assert_int_eq(sl_recording_freeze(r, now, frozen), SL_ESTATE);
    sl_frozen_free(frozen);
    sl_frozen_free(NULL);
    sl_recording_free(r);
}
END_TEST

START_TEST(other_strands_are_copied)
{
    sl_recording *r = new_recording(), *copy;
    uint64_t now = sl_clock_ticks(SL_CLOCK_MONOTONIC);
    sl_frozen *frozen;
    sl_bytes own = { 0 }, copied = { 0 };

    sl_strand_enter(sl_recording_main(r), FUNCTIONS[1], SL_KIND_PYTHON, now);
    for (int i = 0; i < 50; i++) {
        sl_strand *s = sl_recording_strand(r, SL_PSEUDO_TASK, now);
        sl_strand_enter(s, FUNCTIONS[i], SL_KIND_PYTHON, now += 5);
    }
    ck_assert_int_eq(sl_frozen_new(&frozen, sl_recording_room(r), NULL), SL_OK);
    ck_assert_int_eq(sl_recording_freeze(r, now, frozen), SL_OK);
    ck_assert_int_eq(sl_frozen_thaw(frozen, &copy), SL_OK);
    encode(copy, &copied);
    sl_recording_stop(r, now);
    encode(r, &own);
    ck_assert_uint_eq(own.size, copied.size);
    ck_assert_mem_eq(own.data, copied.data, own.size);
    sl_frozen_free(frozen);
    sl_recording_free(r);
    sl_bytes_free(&own);
    sl_bytes_free(&copied);
}
END_TEST

Suite *
freeze_suite(void)
{
    const TTest *const tests[] = { a_copy_of_events_is_what_it_was,
                                   a_copy_of_samples_is_what_it_was,
                                   a_copy_of_pieces_is_what_it_was,
                                   a_copy_has_what_was_asked,
                                   the_original_goes_on,
                                   too_little_room_changes_nothing,
                                   other_strands_are_copied,
                                   NULL };
    return suite_of("freeze", tests);
}
