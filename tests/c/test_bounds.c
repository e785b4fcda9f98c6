/* What is written can be read, what cannot be written is counted: blob.h. */
#include "suites.h"

#include "blob.h"
#include "compress.h"
#include "made.h"
#include "sample.h"

#include "slowlens/merge.h"

#include <string.h>

#define MINUTE ((uint64_t)60 * 1000000000)

static sl_profile *
request_of(uint64_t ns, uint64_t calls)
{
    made m = { MADE(
        { { 0, "[request]", 1, 0, 0 }, { 1, "app.report", calls, ns, 0 } }) };
    return made_profile(&m);
}

static sl_profile *
merged(const sl_profile *one, size_t count, int *version)
{
    const sl_profile *profiles[64];
    sl_profile *sum;
    sl_bytes blob;
    sl_buf content;

    for (size_t i = 0; i < count; i++)
        profiles[i] = one;
    ck_assert_int_eq(sl_merge(profiles, count, NULL, 0, 0, &blob), SL_OK);
    sl_buf_init(&content, NULL, 0);
    ck_assert_int_eq(
        sl_decompress(&content, blob.data, blob.size, SL_BLOB_MAX_CONTENT, 0),
        SL_OK);
    *version = content.data[8];
    sl_buf_free(&content);
    ck_assert_int_eq(sl_profile_decode(&sum, blob.data, blob.size, 0, NULL),
                     SL_OK);
    sl_bytes_free(&blob);
    return sum;
}

START_TEST(a_function_may_take_any_time)
{
    sl_profile *one = request_of(9 * MINUTE, 1);
    int version;
    sl_profile *sum = merged(one, 1, &version);
    ck_assert_int_eq(version, 1);
    sl_profile_free(sum);
    sum = merged(one, 50, &version);
    ck_assert_int_eq(version, 2);
    ck_assert_uint_eq(sl_profile_node_at(sum, 1)->self_ns, 450 * MINUTE);
    ck_assert_ptr_null(sl_profile_summary_find(sum, "clipped"));
    sl_profile_free(sum);
    sl_profile_free(one);
}
END_TEST

START_TEST(what_no_sum_can_hold_is_counted)
{
    sl_profile *one = request_of(SL_BLOB_MAX_SUM, SL_BLOB_MAX_SUM - 1);
    int version;
    sl_profile *sum = merged(one, 9, &version);
    ck_assert_int_eq(version, 2);
    ck_assert_uint_eq(sl_profile_node_at(sum, 0)->total_ns, SL_BLOB_MAX_SUM);
    ck_assert_int_eq((int)sl_profile_summary_find(sum, "clipped")->number, 2);
    sl_profile_free(sum);
    sl_profile_free(one);
}
END_TEST

static bool
long_name(void *ctx, uint32_t id, const void *key, sl_function *out)
{
    static char name[SL_BLOB_MAX_NAME + 3];
    (void)ctx, (void)id, (void)key;
    memset(name, 'n', sizeof(name));
    memcpy(name + SL_BLOB_MAX_NAME - 1, "\xc3\xa9", 2);
    *out = (sl_function){ .name = name, .name_len = sizeof(name), .file = "" };
    return true;
}

START_TEST(a_name_is_cut_between_characters)
{
    sl_recording_options options = { 0 };
    sl_recording *r;
    sl_bytes blob;
    sl_profile *p;
    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    uint64_t t = sl_clock_monotonic_ns();
    sl_strand_enter(sl_recording_main(r), VIEW, SL_KIND_PYTHON, t);
    sl_recording_stop(r, t + 5);
    ck_assert_int_eq(sl_recording_encode(r, NULL, 0, long_name, NULL, 0, &blob),
                     SL_OK);
    sl_recording_free(r);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                     SL_OK);
    sl_bytes_free(&blob);
    ck_assert_uint_eq(sl_profile_function(p, 1)->name_len,
                      SL_BLOB_MAX_NAME - 1);
    ck_assert_int_eq((int)sl_profile_summary_find(p, "clipped")->number, 1);
    sl_profile_free(p);
}
END_TEST

static bool
no_kind(void *ctx, uint32_t id, const void *key, sl_function *out)
{
    (void)ctx, (void)id, (void)key;
    *out = (sl_function){ .name = "", .file = "", .kind = (sl_kind)9 };
    return true;
}

/* Has begun to tell, and then finds no name. */
static bool
no_name(void *ctx, uint32_t id, const void *key, sl_function *out)
{
    (void)ctx, (void)id, (void)key;
    out->name = "half";
    out->name_len = 4;
    out->kind = (sl_kind)9;
    return false;
}

START_TEST(what_has_no_name_is_a_question_mark_whatever_was_begun)
{
    sl_recording *r;
    sl_profile *p;
    sl_bytes blob = { 0 };
    bool found = false;

    ck_assert_int_eq(sample_record(&r, NULL), SL_OK);
    ck_assert_int_eq(sl_recording_encode(r, NULL, 0, no_name, NULL, 0, &blob),
                     SL_OK);
    sl_recording_free(r);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                     SL_OK);
    for (uint32_t i = 0; i < sl_profile_function_count(p); i++) {
        const sl_function *f = sl_profile_function(p, i);
        ck_assert_str_ne(f->name, "half");
        found |= strcmp(f->name, "?") == 0 && f->kind == SL_KIND_PYTHON;
    }
    ck_assert(found);
    sl_profile_free(p);
    sl_bytes_free(&blob);
}
END_TEST

START_TEST(what_a_reader_would_refuse_is_not_written)
{
    sl_recording *r;
    sl_bytes blob = { 0 };
    ck_assert_int_eq(sample_record(&r, NULL), SL_OK);
    ck_assert_int_eq(sl_recording_encode(r, NULL, 0, no_kind, NULL, 0, &blob),
                     SL_ERANGE);
    ck_assert_ptr_null(blob.data);
    sl_recording_free(r);
}
END_TEST

START_TEST(the_summary_is_read_without_the_rest)
{
    sl_bytes blob;
    sl_profile *meta, *whole;
    ck_assert_int_eq(sample_blob(&blob, NULL), SL_OK);
    ck_assert_int_eq(sl_profile_decode_meta(&meta, blob.data, blob.size, NULL),
                     SL_OK);
    ck_assert_int_eq(sl_profile_decode(&whole, blob.data, blob.size, 0, NULL),
                     SL_OK);
    ck_assert_uint_eq(sl_profile_summary_count(meta),
                      sl_profile_summary_count(whole));
    ck_assert_str_eq(sl_profile_summary_find(meta, "hot_text")->text,
                     sl_profile_summary_find(whole, "hot_text")->text);
    ck_assert_ptr_nonnull(sl_profile_summary_find(meta, "headline"));
    ck_assert_int_eq(
        (int)sl_profile_summary_find(meta, "self_await_ns")->number, 40);
    ck_assert_uint_eq(sl_profile_node_count(meta), 0);
    sl_profile_free(meta);
    sl_profile_free(whole);
    sl_bytes_free(&blob);
}
END_TEST

Suite *
bounds_suite(void)
{
    const TTest *const tests[] = {
        a_function_may_take_any_time,
        what_no_sum_can_hold_is_counted,
        a_name_is_cut_between_characters,
        what_has_no_name_is_a_question_mark_whatever_was_begun,
        what_a_reader_would_refuse_is_not_written,
        the_summary_is_read_without_the_rest,
        NULL
    };
    return suite_of("bounds", tests);
}
