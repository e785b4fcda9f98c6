#include "suites.h"

#include "slowlens/segment.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t ID[SL_ID_SIZE] = { 1,   2,   3,   4,   5,   6,  0xFF, 0xFE,
                                        253, 252, 251, 250, 249, 17, 18,   19 };

static size_t
record(uint8_t *at, sl_record_kind kind, const char *inside,
       const char *outside)
{
    size_t a = strlen(inside), b = strlen(outside);
    ck_assert_int_eq(sl_record_head(at, kind, ID, inside, a, b), SL_OK);
    memcpy(at + SL_RECORD_HEAD, inside, a);
    memcpy(at + SL_RECORD_HEAD + a, outside, b);
    return SL_RECORD_HEAD + a + b;
}

START_TEST(what_is_written_is_read)
{
    uint8_t data[200];
    sl_record r;

    size_t size = record(data, SL_RECORD_PROFILE, "views.f 90%", "a blob");
    ck_assert_int_eq(sl_record_read(data, size, &r), SL_OK);
    ck_assert_int_eq(r.kind, SL_RECORD_PROFILE);
    ck_assert_uint_eq(r.inside, 11);
    ck_assert_uint_eq(r.outside, 6);
    ck_assert_uint_eq(r.size, size);
    ck_assert_int_eq(memcmp(r.id, ID, SL_ID_SIZE), 0);

    size = record(data, (sl_record_kind)15, "", "");
    ck_assert_int_eq(sl_record_read(data, size, &r), SL_OK);
    ck_assert_int_eq(r.kind, 15);
}
END_TEST

/* The bytes of another program, so that the format does not move unseen. */
START_TEST(the_head_is_as_drawn)
{
    static const uint8_t drawn[] = { 0x52, 0x2A, 0x4D, 0x18, 26, 0, 0, 0 };
    uint8_t data[100];

    record(data, SL_RECORD_PROFILE, "ab", "cde");
    ck_assert_int_eq(memcmp(data, drawn, sizeof(drawn)), 0);
    ck_assert_uint_eq(data[12], 3);
    /* zlib.crc32(head[0:8] + head[12:32] + b"ab") */
    uint32_t crc = (uint32_t)data[8] | (uint32_t)data[9] << 8 |
                   (uint32_t)data[10] << 16 | (uint32_t)data[11] << 24;
    ck_assert_uint_eq(crc, 0x74ae1dd2u);
}
END_TEST

START_TEST(a_record_that_is_cut_off_asks_for_more)
{
    uint8_t data[200];
    sl_record r;

    size_t size = record(data, SL_RECORD_NUMBERS, "twelve bytes", "");
    for (size_t cut = 0; cut < size; cut++) {
        ck_assert_int_eq(sl_record_read(data, cut, &r), SL_EMORE);
        ck_assert_uint_eq(r.size, cut < SL_RECORD_HEAD ? SL_RECORD_HEAD : size);
    }
}
END_TEST

START_TEST(every_changed_byte_is_noticed)
{
    uint8_t data[200];
    sl_record r;

    size_t size = record(data, SL_RECORD_NUMBERS, "numbers", "");
    for (size_t at = 0; at < size; at++) {
        data[at] ^= 0x21;
        ck_assert_int_ne(sl_record_read(data, size, &r), SL_OK);
        data[at] ^= 0x21;
    }
    memset(data, 0, sizeof(data));
    ck_assert_int_eq(sl_record_read(data, sizeof(data), &r), SL_ECORRUPT);
}
END_TEST

START_TEST(what_cannot_be_said_is_refused)
{
    uint8_t head[SL_RECORD_HEAD];

    ck_assert_int_eq(sl_record_head(head, (sl_record_kind)0, ID, "", 0, 0),
                     SL_ERANGE);
    ck_assert_int_eq(sl_record_head(head, (sl_record_kind)16, ID, "", 0, 0),
                     SL_ERANGE);
    ck_assert_int_eq(sl_record_head(head, SL_RECORD_PROFILE, ID, "", 0,
                                    (size_t)SL_RECORD_MAX + 1),
                     SL_ERANGE);
    ck_assert_int_eq(sl_record_erase(head, SL_RECORD_HEAD - 1), SL_ERANGE);
}
END_TEST

START_TEST(an_erased_record_keeps_its_place)
{
    uint8_t data[200];
    sl_record r;

    size_t size = record(data, SL_RECORD_PROFILE, "inside", "outside");
    ck_assert_int_eq(sl_record_erase(data, size), SL_OK);
    /* The zeros may come later, or never: its head is enough. */
    ck_assert_int_eq(sl_record_read(data, size, &r), SL_OK);
    ck_assert_int_eq(r.kind, SL_RECORD_ERASED);
    ck_assert_uint_eq(r.size, size);
    ck_assert_int_eq(sl_record_read(data, SL_RECORD_HEAD, &r), SL_OK);
    ck_assert_uint_eq(r.size, size);
}
END_TEST

START_TEST(the_end_of_a_footer)
{
    uint8_t data[SL_FOOTER_END + 3] = { 0 };
    sl_footer_end in = { 1, (uint64_t)1 << 47, 3, 4000 }, out;

    sl_footer_end_write(data + 3, &in);
    ck_assert(sl_footer_end_read(data, sizeof(data), &out));
    ck_assert_uint_eq(out.newest_ms, in.newest_ms);
    ck_assert_uint_eq(out.profiles, 3);
    ck_assert_uint_eq(out.size, 4000);
    ck_assert(!sl_footer_end_read(data, sizeof(data) - 1, &out));
    ck_assert(!sl_footer_end_read(data, 5, &out));
    in.size = 10; /* no record is that short */
    sl_footer_end_write(data + 3, &in);
    ck_assert(!sl_footer_end_read(data, sizeof(data), &out));
}
END_TEST

START_TEST(ids_as_text)
{
    char text[SL_ID_TEXT];
    uint8_t id[SL_ID_SIZE], most[SL_ID_SIZE];

    sl_id_text(ID, text);
    ck_assert(sl_id_parse(text, SL_ID_TEXT, id));
    ck_assert_int_eq(memcmp(id, ID, SL_ID_SIZE), 0);
    memset(most, 0xFF, sizeof(most));
    sl_id_text(most, text);
    ck_assert_int_eq(memcmp(text, "7zzzzzzzzzzzzzzzzzzzzzzzzz", SL_ID_TEXT), 0);
    ck_assert_uint_eq(sl_id_ms(ID), 0x010203040506);

    ck_assert(!sl_id_parse("8zzzzzzzzzzzzzzzzzzzzzzzzz", SL_ID_TEXT, id));
    ck_assert(!sl_id_parse("0000000000000000000000000u", SL_ID_TEXT, id));
    ck_assert(!sl_id_parse("0000000000000000000000000", SL_ID_TEXT - 1, id));
    ck_assert(!sl_id_parse("0000000000\0000000000000000", SL_ID_TEXT, id));
}
END_TEST

Suite *
segment_suite(void)
{
    const TTest *const tests[] = { what_is_written_is_read,
                                   the_head_is_as_drawn,
                                   a_record_that_is_cut_off_asks_for_more,
                                   every_changed_byte_is_noticed,
                                   what_cannot_be_said_is_refused,
                                   an_erased_record_keeps_its_place,
                                   the_end_of_a_footer,
                                   ids_as_text,
                                   NULL };
    return suite_of("segment", tests);
}
