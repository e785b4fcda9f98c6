#define _GNU_SOURCE
#include "suites.h"

#include "decoded.h"
#include "made.h"
#include "sample.h"
#include "utf8.h"

#include "slowlens/export.h"

#include <stdlib.h>
#include <string.h>

static sl_profile *
sample(void)
{
    static const sl_profile_line lines[] = { { 1, 12, 4000, 1000, 0 },
                                             { 2, 20, 60000, 60000, 0 } };
    made m = { MADE({ { 0, "[request]", 5, 1000, 0 },
                      { 1, "app.view;\"\\", 5, 4000, 0 },
                      { 2, "jos\xe9", 4, 60000, 3 },
                      { 1, "[task]", 1, 0, 0 },
                      { 2, "app.job", 1, 9000, 3 } }),
               .lines = lines, .line_count = 2, .sampled = true };
    return made_profile(&m);
}

START_TEST(the_table_has_each_name_once)
{
    const sl_export_format *format;
    size_t count = 0;
    for (; (format = sl_export_at(count)) != NULL; count++) {
        ck_assert_ptr_eq(sl_export_find(format->name), format);
        ck_assert_int_eq(format->ending[0], '.');
        ck_assert_ptr_nonnull(strchr(format->media_type, '/'));
        ck_assert_uint_gt(strlen(format->title), 0);
    }
    ck_assert_uint_ge(count, 11);
    ck_assert_ptr_null(sl_export_find("pstat"));
}
END_TEST

START_TEST(each_format_has_the_names)
{
    sl_profile *p = sample();
    const sl_export_format *format;
    for (size_t i = 0; (format = sl_export_at(i)) != NULL; i++) {
        sl_bytes out = { 0 };
        uint32_t code;
        ck_assert_int_eq(sl_export_bytes(p, format, 0, &out), SL_OK);
        ck_assert_msg(memmem(out.data, out.size, "app.job", 7) != NULL ||
                          memmem(out.data, out.size, "job.app.job", 11) != NULL,
                      "%s", format->name);
        if (strcmp(format->name, "pprof") != 0 &&
            strcmp(format->name, "pstats") != 0) {
            for (size_t at = 0, n; at < out.size; at += n) {
                n = sl_utf8_sequence((const char *)out.data + at, out.size - at,
                                     &code);
                ck_assert_msg(n > 0, "%s is no UTF-8", format->name);
            }
        }
        sl_bytes_free(&out);
    }
    sl_profile_free(p);
}
END_TEST

/* Takes `left` bytes, then no more. */
static sl_status
take(void *ctx, const void *bytes, size_t size)
{
    size_t *left = ctx;
    (void)bytes;
    if (size > *left)
        return SL_ESTATE;
    *left -= size;
    return SL_OK;
}

START_TEST(a_cap_and_a_refusal_end_it)
{
    sl_profile *p = sample();
    const sl_export_format *format, fake = { "x", ".x", "x/x", "x", "" };
    sl_bytes out = { 0 };
    for (size_t i = 0; (format = sl_export_at(i)) != NULL; i++) {
        size_t room = 50, left = 1 << 30;
        ck_assert_int_eq(sl_export_stream(p, format, 50, take, &left),
                         SL_ELIMIT);
        ck_assert_int_eq(sl_export_stream(p, format, 0, take, &room),
                         SL_ESTATE);
        ck_assert_int_eq(sl_export_bytes(p, format, 50, &out), SL_ELIMIT);
        ck_assert_ptr_null(out.data);
    }
    ck_assert_int_eq(sl_export_bytes(p, &fake, 0, &out), SL_ERANGE);
    sl_profile_free(p);
}
END_TEST

START_TEST(callgrind_says_the_line)
{
    sl_profile *p = sample();
    sl_bytes out = { 0 };
    ck_assert_int_eq(sl_export_bytes(p, sl_export_find("callgrind"), 0, &out),
                     SL_OK);
    /* Self time on line 12, none on the definition's; the call from line 3. */
    ck_assert_ptr_nonnull(memmem(out.data, out.size, "\n12 4000\n7 0\n", 13));
    ck_assert_ptr_nonnull(
        memmem(out.data, out.size, "calls=4 7\n3 60000\n", 18));
    sl_bytes_free(&out);
    sl_profile_free(p);
}
END_TEST

START_TEST(dot_names_its_boxes)
{
    sl_profile *p = sample();
    sl_bytes out = { 0 };
    ck_assert_int_eq(sl_export_bytes(p, sl_export_find("dot"), 0, &out), SL_OK);
    ck_assert_ptr_nonnull(
        memmem(out.data, out.size, "n0 [label=\"[request]", 20));
    ck_assert_ptr_nonnull(
        memmem(out.data, out.size, "n4 [label=\"job.app.job", 22));
    ck_assert_ptr_nonnull(memmem(out.data, out.size, "app.view;\\\"\\\\", 13));
    ck_assert_ptr_nonnull(memmem(out.data, out.size, "n3 -> n4", 8));
    sl_bytes_free(&out);
    sl_profile_free(p);
}
END_TEST

/* A query is in every format: as an event, a marker, a row or a frame. */
START_TEST(each_format_has_what_was_asked)
{
    sl_recording *r;
    sl_bytes out = { 0 };
    const sl_export_format *format;

    ck_assert_int_eq(sample_asking(&r, 1, NULL), SL_OK);
    ck_assert_int_eq(
        sl_recording_encode(r, NULL, 0, sample_describe, NULL, 0, &out), SL_OK);
    sl_recording_free(r);
    sl_profile *p = decoded(&out);
    for (size_t i = 0; (format = sl_export_at(i)) != NULL; i++) {
        ck_assert_int_eq(sl_export_bytes(p, format, 0, &out), SL_OK);
        ck_assert_msg(
            memmem(out.data, out.size, "UPDATE visit SET n = ?", 22) != NULL,
            "%s", format->name);
        sl_bytes_free(&out);
    }

    /* Of the view's node it is not known which part is which span's. */
    ck_assert_int_eq(sl_export_bytes(p, sl_export_find("collapsed"), 0, &out),
                     SL_OK);
    ck_assert_ptr_null(memmem(out.data, out.size, SAMPLE_QUERY, 34));
    sl_bytes_free(&out);

    ck_assert_int_eq(sl_export_bytes(p, sl_export_find("chrome"), 0, &out),
                     SL_OK);
    static const char begin[] =
        "{\"ph\":\"b\",\"cat\":\"db\",\"name\":\"" SAMPLE_QUERY "\",\"id\":";
    ck_assert_ptr_nonnull(memmem(out.data, out.size, begin, sizeof(begin) - 1));
    static const char asked[] =
        "\"asked\":[{\"kind\":\"db\",\"text\":\"UPDATE visit SET n = ?\","
        "\"count\":1,\"total_us\":0.400}]";
    ck_assert_ptr_nonnull(memmem(out.data, out.size, asked, sizeof(asked) - 1));
    sl_bytes_free(&out);
    sl_profile_free(p);
}
END_TEST

Suite *
export_suite(void)
{
    const TTest *const tests[] = { the_table_has_each_name_once,
                                   each_format_has_the_names,
                                   a_cap_and_a_refusal_end_it,
                                   callgrind_says_the_line,
                                   dot_names_its_boxes,
                                   each_format_has_what_was_asked,
                                   NULL };
    return suite_of("export", tests);
}
