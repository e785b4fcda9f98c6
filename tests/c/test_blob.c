#include "suites.h"

#include "blob.h"
#include "compress.h"
#include "fault.h"
#include "profile.h"
#include "sample.h"
#include "varint.h"

#include <string.h>

/* The content of the sample's blob, the frame taken off. */
static void
sample_content(sl_buf *content)
{
    sl_bytes blob = { 0 };
    ck_assert_int_eq(sample_blob(&blob, NULL), SL_OK);
    sl_buf_init(content, NULL, 0);
    ck_assert_int_eq(sl_decompress(content, blob.data, blob.size, 1 << 20, 0),
                     SL_OK);
    sl_bytes_free(&blob);
}

static sl_status
decode(const void *content, size_t size)
{
    sl_profile *p = NULL;
    sl_status status = sl_profile_decode_content(&p, content, size, 0, NULL);
    sl_profile_free(p);
    return status;
}

START_TEST(what_is_recorded_is_read)
{
    sl_bytes blob = { 0 };
    sl_profile *p = NULL;
    ck_assert_int_eq(sample_blob(&blob, NULL), SL_OK);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                     SL_OK);
    sl_bytes_free(&blob);

    ck_assert_uint_eq(sl_profile_meta_count(p), 4);
    ck_assert_str_eq(sl_profile_meta_find(p, "path")->text, "/caf\xc3\xa9");
    ck_assert_int_eq(sl_profile_meta_find(p, "delta")->number, -5);
    ck_assert_ptr_null(sl_profile_meta_find(p, "pat"));

    ck_assert_uint_eq(sl_profile_node_count(p), 8);
    const sl_profile_node *root = sl_profile_node_at(p, 0);
    ck_assert_uint_eq(root->size, 8);
    uint64_t self = 0;
    for (uint32_t i = 0; i < 8; i++)
        self += sl_profile_node_at(p, i)->self_ns;
    ck_assert_uint_eq(self, root->total_ns);

    const sl_profile_node *view = sl_profile_node_at(p, 1);
    const sl_function *f = sl_profile_function(p, view->function);
    ck_assert_str_eq(f->name, "view");
    ck_assert_str_eq(f->file, "/app/views.py");
    ck_assert_uint_eq(f->line, 1);
    ck_assert_uint_eq(view->resumes, 1);
    ck_assert_uint_eq(sl_profile_node_at(p, 3)->calls, 3);
    ck_assert_uint_eq(sl_profile_node_at(p, 3)->self_ns, 21);
    ck_assert_uint_eq(sl_profile_node_at(p, 6)->depth, 4);
    sl_profile_free(p);
}
END_TEST

START_TEST(metadata_alone_reads_no_further)
{
    sl_bytes blob = { 0 };
    sl_profile *p = NULL;
    ck_assert_int_eq(sample_blob(&blob, NULL), SL_OK);
    ck_assert_int_eq(sl_profile_decode_meta(&p, blob.data, blob.size, NULL),
                     SL_OK);
    ck_assert_str_eq(sl_profile_meta_find(p, "method")->text, "GET");
    ck_assert_uint_eq(sl_profile_node_count(p), 0);
    sl_profile_free(p);
    sl_bytes_free(&blob);
}
END_TEST

/* Metadata longer than the first piece that is decompressed for it. */
START_TEST(long_metadata_is_read_whole)
{
    static char text[300000];
    sl_meta meta = { "t", 1, text, sizeof(text), 0 };
    sl_recording *r;
    sl_bytes blob = { 0 };
    sl_profile *p = NULL;
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof(text); i++) {
        random = random * 1664525 + 1013904223;
        text[i] = (char)('a' + (random >> 28));
    }
    ck_assert_int_eq(sample_record(&r, NULL), SL_OK);
    ck_assert_int_eq(
        sl_recording_encode(r, &meta, 1, sample_describe, NULL, 0, &blob),
        SL_OK);
    sl_recording_free(r);
    ck_assert_int_eq(sl_profile_decode_meta(&p, blob.data, blob.size, NULL),
                     SL_OK);
    ck_assert_uint_eq(sl_profile_meta_find(p, "t")->text_len, sizeof(text));
    ck_assert_int_eq(
        memcmp(sl_profile_meta_find(p, "t")->text, text, sizeof(text)), 0);
    sl_profile_free(p);
    sl_bytes_free(&blob);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    sl_buf content;
    sl_bytes blob = { 0 };
    sample_content(&content);
    for (size_t cut = 0; cut < content.size; cut++)
        ck_assert_int_eq(decode(content.data, cut), SL_ECORRUPT);
    ck_assert_int_eq(decode(content.data, content.size), SL_OK);
    sl_buf_free(&content);

    ck_assert_int_eq(sample_blob(&blob, NULL), SL_OK);
    for (size_t cut = 0; cut < blob.size; cut++) {
        sl_profile *p = NULL;
        ck_assert_int_eq(sl_profile_decode(&p, blob.data, cut, 0, NULL),
                         SL_ECORRUPT);
        ck_assert_ptr_null(p);
    }
    sl_bytes_free(&blob);
}
END_TEST

/* Each byte of the content takes each value: no crash (sanitizers), and what
 * is accepted is consistent. */
START_TEST(every_change_is_survived)
{
    sl_buf content;
    sample_content(&content);
    for (size_t at = 0; at < content.size; at++) {
        uint8_t kept = content.data[at];
        for (int value = 0; value < 256; value++) {
            sl_profile *p = NULL;
            content.data[at] = (uint8_t)value;
            if (sl_profile_decode_content(&p, content.data, content.size, 0,
                                          NULL) < 0)
                continue;
            uint32_t count = sl_profile_node_count(p);
            ck_assert_uint_eq(sl_profile_node_at(p, 0)->size, count);
            sl_profile_free(p);
        }
        content.data[at] = kept;
    }
    sl_buf_free(&content);
}
END_TEST

START_TEST(other_versions_and_files_are_named)
{
    sl_buf content;
    sample_content(&content);
    content.data[8] = SL_BLOB_VERSION + 1;
    ck_assert_int_eq(decode(content.data, content.size), SL_EVERSION);
    content.data[8] = 0;
    ck_assert_int_eq(decode(content.data, content.size), SL_EVERSION);
    content.data[8] = 1;
    content.data[0] = 'S';
    ck_assert_int_eq(decode(content.data, content.size), SL_ECORRUPT);
    sl_buf_free(&content);
    ck_assert_int_eq(decode("", 0), SL_ECORRUPT);

    sl_profile *p = NULL;
    ck_assert_int_eq(sl_profile_decode(&p, "\x89PNG\r\n", 6, 0, NULL),
                     SL_ECORRUPT);
    ck_assert_int_eq(sl_profile_decode_meta(&p, "\x28\xb5\x2f\xfd", 4, NULL),
                     SL_ECORRUPT);
}
END_TEST

START_TEST(unknown_sections_are_skipped)
{
    sl_buf content, more;
    sample_content(&content);
    sl_buf_init(&more, NULL, 0);
    /* END is the last two bytes: tag 0, length 0. */
    sl_buf_put(&more, content.data, content.size - 2);
    sl_buf_put_varint(&more, 77);
    sl_buf_put_varint(&more, 3);
    sl_buf_put(&more, "xyz", 3);
    sl_buf_put(&more, content.data + content.size - 2, 2);
    ck_assert_int_eq(decode(more.data, more.size), SL_OK);
    sl_buf_put(&more, "", 1);
    ck_assert_int_eq(decode(more.data, more.size), SL_ECORRUPT);
    sl_buf_free(&content);
    sl_buf_free(&more);
}
END_TEST

START_TEST(other_metadata_leaves_all_else)
{
    static const sl_meta meta[] = { { "flags", 5, "killed", 6, 0 },
                                    { "wall_ns", 7, NULL, 0, -5 } };
    sl_buf content, more, frame;
    sl_bytes blob = { 0 };
    sl_profile *p = NULL;

    sample_content(&content);
    sl_buf_init(&more, NULL, 0);
    sl_buf_init(&frame, NULL, 0);
    sl_buf_put(&more, content.data, content.size - 2);
    sl_buf_put(&more, "\x4D\x03xyz", 5); /* a section of a later version */
    sl_buf_put(&more, content.data + content.size - 2, 2);
    ck_assert_int_eq(sl_compress(&frame, more.data, more.size, 3), SL_OK);
    ck_assert_int_eq(
        sl_blob_with_meta(frame.data, frame.size, meta, 2, 0, NULL, &blob),
        SL_OK);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 0, NULL),
                     SL_OK);
    sl_profile_free(p);
    size_t from = 12 + 2 + content.data[13], kept = more.size - from;
    content.size = 0;
    ck_assert_int_eq(sl_decompress(&content, blob.data, blob.size, 1 << 20, 0),
                     SL_OK);
    ck_assert_uint_gt(content.size, kept);
    ck_assert_mem_eq(content.data + content.size - kept, more.data + from,
                     kept);
    for (size_t cut = 0; cut < frame.size; cut++) {
        sl_bytes none = { 0 };
        ck_assert_int_eq(
            sl_blob_with_meta(frame.data, cut, meta, 2, 0, NULL, &none),
            SL_ECORRUPT);
    }
    sl_bytes_free(&blob);
    sl_buf_free(&content);
    sl_buf_free(&more);
    sl_buf_free(&frame);
}
END_TEST

/* Counts that promise more than there is are refused before any allocation. */
START_TEST(huge_counts_allocate_nothing)
{
    static const unsigned tags[] = { SL_BLOB_META, SL_BLOB_STRINGS };
    for (size_t i = 0; i < 2; i++) {
        sl_buf content, body;
        fault f;
        sl_profile *p = NULL;
        sl_buf_init(&content, NULL, 0);
        sl_buf_init(&body, NULL, 0);
        sl_buf_put(&content, "slowlens\1\0\0\0", 12);
        if (tags[i] != SL_BLOB_META)
            sl_buf_put(&content, "\1\1\0", 3);
        sl_buf_put_varint(&body, i == 0 ? 4096 : 1 << 22);
        sl_buf_put_varint(&content, tags[i]);
        sl_buf_put_varint(&content, body.size);
        sl_buf_put(&content, body.data, body.size);
        fault_init(&f, 3);
        ck_assert_int_eq(sl_profile_decode_content(&p, content.data,
                                                   content.size, 0, &f.alloc),
                         SL_ECORRUPT);
        ck_assert_int_eq(f.live, 0);
        sl_buf_free(&content);
        sl_buf_free(&body);
    }
}
END_TEST

START_TEST(memory_has_a_cap)
{
    static const char many[5000][16];
    sl_recording_options options = { 0 };
    sl_recording *r;
    sl_bytes blob = { 0 };
    sl_profile *p = NULL;
    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    for (int i = 0; i < 5000; i++)
        sl_strand_enter(sl_recording_main(r), many[i], SL_KIND_PYTHON,
                        sl_clock_monotonic_ns());
    sl_recording_stop(r, sl_clock_monotonic_ns());
    ck_assert_int_eq(
        sl_recording_encode(r, NULL, 0, sample_describe, NULL, 0, &blob),
        SL_OK);
    sl_recording_free(r);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 100000, NULL),
                     SL_ELIMIT);
    ck_assert_int_eq(sl_profile_decode(&p, blob.data, blob.size, 4000000, NULL),
                     SL_OK);
    sl_profile_free(p);
    sl_bytes_free(&blob);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    sl_buf content;
    sample_content(&content);
    for (long budget = 0;; budget++) {
        fault f;
        sl_profile *p = NULL;
        fault_init(&f, budget);
        sl_status status = sl_profile_decode_content(&p, content.data,
                                                     content.size, 0, &f.alloc);
        sl_profile_free(p);
        ck_assert_int_eq(f.live, 0);
        if (status == SL_OK)
            break;
        ck_assert_int_eq(status, SL_ENOMEM);
    }
    sl_buf_free(&content);

    for (long budget = 0;; budget++) {
        fault f;
        sl_bytes blob = { 0 };
        fault_init(&f, budget);
        sl_status status = sample_blob(&blob, &f.alloc);
        sl_bytes_free(&blob);
        ck_assert_int_eq(f.live, 0);
        if (status == SL_OK)
            break;
        ck_assert_int_eq(status, SL_ENOMEM);
    }
}
END_TEST

START_TEST(a_running_recording_is_not_encoded)
{
    sl_recording_options options = { 0 };
    sl_recording *r;
    sl_bytes blob = { 0 };
    ck_assert_int_eq(sl_recording_new(&r, &options, NULL), SL_OK);
    ck_assert_int_eq(sl_recording_encode(r, NULL, 0, NULL, NULL, 0, &blob),
                     SL_ESTATE);
    sl_recording_stop(r, sl_clock_monotonic_ns());
    ck_assert_int_eq(sl_recording_encode(r, NULL, 0, NULL, NULL, 0, &blob),
                     SL_OK);
    sl_bytes_free(&blob);
    sl_recording_free(r);
}
END_TEST

Suite *
blob_suite(void)
{
    const TTest *const tests[] = { what_is_recorded_is_read,
                                   metadata_alone_reads_no_further,
                                   long_metadata_is_read_whole,
                                   every_truncation_is_refused,
                                   every_change_is_survived,
                                   other_versions_and_files_are_named,
                                   unknown_sections_are_skipped,
                                   other_metadata_leaves_all_else,
                                   huge_counts_allocate_nothing,
                                   memory_has_a_cap,
                                   any_allocation_may_fail,
                                   a_running_recording_is_not_encoded,
                                   NULL };
    return suite_of("blob", tests);
}
