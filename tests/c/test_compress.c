#include "suites.h"

#include "compress.h"
#include "fault.h"

#include <string.h>

static void
frame_of(sl_buf *frame, const char *text)
{
    sl_buf_init(frame, NULL, 0);
    ck_assert_int_eq(sl_compress(frame, text, strlen(text), 3), SL_OK);
}

START_TEST(round_trip)
{
    sl_buf frame, back;
    frame_of(&frame, "what goes in comes out");
    sl_buf_init(&back, NULL, 0);
    ck_assert_int_eq(sl_decompress(&back, frame.data, frame.size, 1000, 0),
                     SL_OK);
    ck_assert_uint_eq(back.size, 22);
    ck_assert_int_eq(memcmp(back.data, "what goes in comes out", 22), 0);
    sl_buf_free(&frame);
    sl_buf_free(&back);
}
END_TEST

START_TEST(every_truncation_and_change_is_refused)
{
    sl_buf frame, back;
    frame_of(&frame, "some text, some more text, and again some text");
    for (size_t cut = 0; cut < frame.size; cut++) {
        sl_buf_init(&back, NULL, 0);
        ck_assert_int_eq(sl_decompress(&back, frame.data, cut, 1000, 0),
                         SL_ECORRUPT);
        sl_buf_free(&back);
    }
    for (size_t at = 0; at < frame.size; at++) {
        sl_buf_init(&back, NULL, 0);
        frame.data[at] ^= 0x40;
        ck_assert_int_lt(sl_decompress(&back, frame.data, frame.size, 1000, 0),
                         0);
        frame.data[at] ^= 0x40;
        sl_buf_free(&back);
    }
    sl_buf_free(&frame);
}
END_TEST

START_TEST(nothing_may_follow)
{
    sl_buf frame, back;
    frame_of(&frame, "x");
    sl_buf_put(&frame, "y", 1);
    sl_buf_init(&back, NULL, 0);
    ck_assert_int_eq(sl_decompress(&back, frame.data, frame.size, 1000, 0),
                     SL_ECORRUPT);
    sl_buf_free(&frame);
    sl_buf_free(&back);
}
END_TEST

START_TEST(a_bomb_stops_at_the_limit)
{
    static char zeros[1 << 22];
    sl_buf frame, back;

    sl_buf_init(&frame, NULL, 0);
    ck_assert_int_eq(sl_compress(&frame, zeros, sizeof(zeros), 3), SL_OK);
    ck_assert_uint_lt(frame.size, 4096);
    sl_buf_init(&back, NULL, 0);
    ck_assert_int_eq(sl_decompress(&back, frame.data, frame.size, 1 << 20, 0),
                     SL_ELIMIT);
    ck_assert_uint_lt(back.size, 1 << 21);
    sl_buf_free(&back);
    sl_buf_init(&back, NULL, 0);
    ck_assert_int_eq(sl_decompress(&back, frame.data, frame.size, 1 << 23, 100),
                     SL_OK);
    ck_assert_uint_lt(back.size, 1 << 20);
    sl_buf_free(&back);
    sl_buf_free(&frame);
}
END_TEST

/* Half a byte of chance in each: its frame is half as long, wherever one looks. */
static void
noise(char *text, size_t size)
{
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        text[i] = (char)('a' + (state >> 28));
    }
}

START_TEST(the_front_is_had_without_the_rest)
{
    static char text[100000];
    const size_t fronts[] = { 0, 1, 700, 1900, 5000, sizeof(text) - 100 };

    noise(text, sizeof(text));
    for (size_t i = 0; i < sizeof(fronts) / sizeof(fronts[0]); i++) {
        sl_buf frame, back;
        sl_buf_init(&frame, NULL, 0);
        ck_assert_int_eq(
            sl_compress_front(&frame, text, sizeof(text), fronts[i], 3), SL_OK);
        sl_buf_init(&back, NULL, 0);
        ck_assert_int_eq(
            sl_decompress(&back, frame.data, frame.size, sizeof(text), 0),
            SL_OK);
        ck_assert_uint_eq(back.size, sizeof(text));
        ck_assert_int_eq(memcmp(back.data, text, sizeof(text)), 0);
        sl_buf_free(&back);

        /* The rest of the frame may be anything: it is not looked at. */
        memset(frame.data + SL_FRONT_BYTES, 0xFF, frame.size - SL_FRONT_BYTES);
        sl_buf_init(&back, NULL, 0);
        ck_assert_int_eq(
            sl_decompress(&back, frame.data, frame.size, sizeof(text), 4096),
            SL_OK);
        size_t there = fronts[i] < SL_FRONT_BYTES ? fronts[i] : 0;
        ck_assert_uint_eq(back.size, there);
        ck_assert(there == 0 || memcmp(back.data, text, there) == 0);
        sl_buf_free(&back);
        sl_buf_free(&frame);
    }
}
END_TEST

START_TEST(our_allocations_may_fail)
{
    fault f;
    sl_buf frame;
    fault_init(&f, 0);
    sl_buf_init(&frame, &f.alloc, 0);
    ck_assert_int_eq(sl_compress(&frame, "x", 1, 3), SL_ENOMEM);
    sl_buf_free(&frame);
    ck_assert_int_eq(f.live, 0);
}
END_TEST

Suite *
compress_suite(void)
{
    const TTest *const tests[] = { round_trip,
                                   every_truncation_and_change_is_refused,
                                   nothing_may_follow,
                                   a_bomb_stops_at_the_limit,
                                   the_front_is_had_without_the_rest,
                                   our_allocations_may_fail,
                                   NULL };
    return suite_of("compress", tests);
}
