#include "suites.h"

#include "varint.h"

static const uint64_t VALUES[] = {
    0, 1, 127, 128, 300, 1u << 31, UINT64_MAX - 1, UINT64_MAX
};
#define COUNT (sizeof(VALUES) / sizeof(VALUES[0]))

START_TEST(round_trip)
{
    for (size_t i = 0; i < COUNT; i++) {
        uint8_t buf[SL_VARINT_MAX];
        uint64_t got = 0;
        size_t len = sl_varint_put(buf, VALUES[i]);
        sl_reader reader = { buf, buf + len };

        ck_assert_int_eq(sl_varint_get(&reader, &got), SL_OK);
        ck_assert_uint_eq(got, VALUES[i]);
        ck_assert_ptr_eq(reader.pos, reader.end);
    }
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    for (size_t i = 0; i < COUNT; i++) {
        uint8_t buf[SL_VARINT_MAX];
        size_t len = sl_varint_put(buf, VALUES[i]);
        for (size_t cut = 0; cut < len; cut++) {
            uint64_t got = 7;
            sl_reader reader = { buf, buf + cut };
            ck_assert_int_eq(sl_varint_get(&reader, &got), SL_ECORRUPT);
            ck_assert_uint_eq(got, 7);
            ck_assert_ptr_eq(reader.pos, buf);
        }
    }
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    static const uint8_t big[] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                   0xFF, 0xFF, 0xFF, 0xFF, 0x02 };
    static const uint8_t endless[] = { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                       0x80, 0x80, 0x80, 0x80, 0x80 };
    uint64_t got;
    sl_reader a = { big, big + sizeof(big) };
    sl_reader b = { endless, endless + sizeof(endless) };

    ck_assert_int_eq(sl_varint_get(&a, &got), SL_ECORRUPT);
    ck_assert_int_eq(sl_varint_get(&b, &got), SL_ECORRUPT);
}
END_TEST

START_TEST(a_maximum_is_kept)
{
    uint8_t buf[SL_VARINT_MAX];
    uint64_t got = 0;
    sl_reader reader = { buf, buf + sl_varint_put(buf, 300) };

    ck_assert_int_eq(sl_varint_get_max(&reader, 299, &got), SL_ECORRUPT);
    ck_assert_ptr_eq(reader.pos, buf);
    ck_assert_int_eq(sl_varint_get_max(&reader, 300, &got), SL_OK);
    ck_assert_uint_eq(got, 300);
}
END_TEST

/* An empty file's content has no memory. */
START_TEST(nothing_may_be_read)
{
    sl_reader reader = sl_reader_over(NULL, 0);
    uint64_t got;

    ck_assert_int_eq(sl_varint_get(&reader, &got), SL_ECORRUPT);
    ck_assert_ptr_eq(reader.pos, reader.end);
    reader = sl_reader_over("\5", 1);
    ck_assert_int_eq(sl_varint_get(&reader, &got), SL_OK);
    ck_assert_uint_eq(got, 5);
    ck_assert_int_eq(sl_varint_get(&reader, &got), SL_ECORRUPT);
}
END_TEST

START_TEST(zigzag_round_trip)
{
    static const int64_t values[] = { 0, -1, 1, -2, INT64_MAX, INT64_MIN };
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(sl_unzigzag(sl_zigzag(values[i])), values[i]);
    ck_assert_uint_eq(sl_zigzag(-1), 1);
    ck_assert_uint_eq(sl_zigzag(1), 2);
}
END_TEST

Suite *
varint_suite(void)
{
    const TTest *const tests[] = { round_trip,
                                   every_truncation_is_refused,
                                   what_does_not_fit_is_refused,
                                   a_maximum_is_kept,
                                   nothing_may_be_read,
                                   zigzag_round_trip,
                                   NULL };
    return suite_of("varint", tests);
}
