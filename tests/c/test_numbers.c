#include "suites.h"

#include "fault.h"

#include "numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sl_numbers_key
key_of(const char *route, const char *method, const char *release,
       const char *host)
{
    const char *texts[] = { route, method, release, host };
    sl_numbers_key key = { 0 };

    for (int i = 0; i < SL_NUMBERS_FIELDS; i++) {
        if (texts[i] != NULL)
            key.field[i] = (sl_numbers_text){ texts[i], strlen(texts[i]) };
    }
    return key;
}

static void
add(sl_numbers *numbers, uint64_t at_s, const char *route, uint64_t ms)
{
    sl_numbers_key key = key_of(route, "GET", "r1", "h1");
    sl_numbers_request request = { .wall_ns = ms * 1000000,
                                   .cpu_ns = ms * 500000,
                                   .error = ms > 900 };

    request.sums[SL_NUMBERS_DB] = ms * 100000;
    request.sums[SL_NUMBERS_DB_COUNT] = 3;
    sl_numbers_add(numbers, at_s, &key, &request);
}

static sl_numbers *
new_table(uint32_t period_s, uint32_t apart)
{
    sl_numbers_options options = { .period_s = period_s, .apart = apart };
    sl_numbers *numbers;

    ck_assert_int_eq(sl_numbers_new(&numbers, &options, NULL), SL_OK);
    return numbers;
}

static sl_bytes
encoded(const sl_numbers *numbers)
{
    sl_bytes bytes = { 0 };

    ck_assert_int_eq(sl_numbers_encode(numbers, 0, &bytes), SL_OK);
    return bytes;
}

static const sl_numbers_row *
row(const sl_numbers *numbers, const char *route, uint64_t from_s)
{
    for (uint32_t i = 0; i < sl_numbers_rows(numbers); i++) {
        const sl_numbers_row *one = sl_numbers_row_at(numbers, i);
        const sl_numbers_text *text = &one->key.field[SL_NUMBERS_ROUTE];
        if (one->from_s == from_s && text->len == strlen(route) &&
            memcmp(text->text, route, text->len) == 0)
            return one;
    }
    ck_abort_msg("no row %s at %llu", route, (unsigned long long)from_s);
    return NULL;
}

START_TEST(requests_are_counted_by_period_and_key)
{
    sl_numbers *numbers = new_table(60, 0);

    add(numbers, 600, "/a", 10);
    add(numbers, 659, "/a", 20);
    add(numbers, 660, "/a", 1000);
    add(numbers, 660, "/b", 5);
    ck_assert_uint_eq(sl_numbers_rows(numbers), 3);
    ck_assert_uint_eq(sl_numbers_count(numbers), 4);
    const sl_numbers_row *first = row(numbers, "/a", 600);
    ck_assert_uint_eq(first->count, 2);
    ck_assert_uint_eq(first->errors, 0);
    ck_assert_uint_eq(first->wall.sum_ns, 30000000);
    ck_assert_uint_eq(first->cpu.sum_ns, 15000000);
    ck_assert_uint_eq(first->sums[SL_NUMBERS_DB], 3000000);
    ck_assert_uint_eq(first->sums[SL_NUMBERS_DB_COUNT], 6);
    ck_assert_uint_eq(row(numbers, "/a", 660)->errors, 1);
    sl_numbers_free(numbers);
}
END_TEST

START_TEST(minutes_become_hours_and_routes_exactly)
{
    sl_numbers *whole = new_table(3600, 0), *hours = new_table(3600, 0);
    sl_numbers *all = new_table(0, 1u << SL_NUMBERS_ROUTE);
    char name[16];

    for (uint64_t minute = 0; minute < 180; minute++) {
        sl_numbers *numbers = new_table(60, 0);
        for (uint64_t i = 0; i < 20; i++) {
            snprintf(name, sizeof(name), "/%d", (int)(i % 7));
            add(whole, minute * 60 + i, name, 1 + minute * i % 400);
            add(numbers, minute * 60 + i, name, 1 + minute * i % 400);
        }
        sl_bytes bytes = encoded(numbers);
        ck_assert_int_eq(sl_numbers_merge(hours, bytes.data, bytes.size, NULL),
                         SL_OK);
        ck_assert_int_eq(sl_numbers_merge(all, bytes.data, bytes.size, NULL),
                         SL_OK);
        sl_bytes_free(&bytes);
        sl_numbers_free(numbers);
    }
    ck_assert_uint_eq(sl_numbers_rows(hours), 3 * 7);
    ck_assert_uint_eq(sl_numbers_count(hours), 3600);
    ck_assert_uint_eq(sl_numbers_rows(all), 7);
    for (uint64_t hour = 0; hour < 3; hour++) {
        for (int i = 0; i < 7; i++) {
            snprintf(name, sizeof(name), "/%d", i);
            const sl_numbers_row *a = row(whole, name, hour * 3600);
            const sl_numbers_row *b = row(hours, name, hour * 3600);
            ck_assert_uint_eq(a->count, b->count);
            ck_assert_uint_eq(a->wall.sum_ns, b->wall.sum_ns);
            ck_assert_mem_eq(a->sums, b->sums, sizeof(a->sums));
            for (int p = 0; p <= 100; p += 5)
                ck_assert_uint_eq(sl_histogram_quantile(&a->wall, p / 100.),
                                  sl_histogram_quantile(&b->wall, p / 100.));
        }
    }
    sl_numbers_free(whole);
    sl_numbers_free(hours);
    sl_numbers_free(all);
}
END_TEST

START_TEST(a_filter_takes_what_it_names)
{
    sl_numbers *numbers = new_table(60, 0), *some = new_table(60, 0);
    sl_numbers_filter filter = { .key = key_of("/a", NULL, NULL, NULL),
                                 .from_s = 60,
                                 .to_s = 180 };

    for (uint64_t minute = 0; minute < 5; minute++) {
        add(numbers, minute * 60, "/a", 10);
        add(numbers, minute * 60, "/b", 10);
    }
    sl_bytes bytes = encoded(numbers);
    ck_assert_int_eq(sl_numbers_merge(some, bytes.data, bytes.size, &filter),
                     SL_OK);
    ck_assert_uint_eq(sl_numbers_rows(some), 2);
    ck_assert_uint_eq(row(some, "/a", 60)->count, 1);
    ck_assert_uint_eq(row(some, "/a", 120)->count, 1);
    filter = (sl_numbers_filter){ .key = key_of(NULL, NULL, "", NULL) };
    ck_assert_int_eq(sl_numbers_merge(some, bytes.data, bytes.size, &filter),
                     SL_OK); /* no release is a release too */
    ck_assert_uint_eq(sl_numbers_count(some), 2);
    sl_bytes_free(&bytes);
    sl_numbers_free(numbers);
    sl_numbers_free(some);
}
END_TEST

START_TEST(each_record_counts_once)
{
    static const uint8_t one[16] = "segment one....",
                         two[16] = "segment two....";
    sl_numbers *record = new_table(60, 0), *hour = new_table(3600, 0);
    sl_numbers *later = new_table(3600, 0);
    uint64_t mark = 0;
    bool fresh;

    add(record, 0, "/a", 10);
    sl_bytes bytes = encoded(record);
    const struct {
        const uint8_t *source;
        uint64_t mark;
        bool fresh;
    } reads[] = { { one, 100, true }, { one, 100, false }, { two, 40, true },
                  { one, 250, true }, { one, 180, false }, { two, 40, false } };
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        sl_numbers *table = i < 3 ? hour : later;
        if (i == 3) { /* another process goes on with what was written */
            sl_bytes written = encoded(hour);
            ck_assert_int_eq(sl_numbers_load(later, written.data, written.size),
                             SL_OK);
            sl_bytes_free(&written);
        }
        ck_assert_int_eq(
            sl_numbers_consume(table, reads[i].source, reads[i].mark, &fresh),
            SL_OK);
        ck_assert_int_eq(fresh, reads[i].fresh);
        if (fresh)
            ck_assert_int_eq(
                sl_numbers_merge(table, bytes.data, bytes.size, NULL), SL_OK);
    }
    ck_assert_uint_eq(row(later, "/a", 0)->count, 3);
    ck_assert(sl_numbers_consumed(later, one, &mark));
    ck_assert_uint_eq(mark, 250);
    sl_bytes_free(&bytes);
    sl_numbers_free(record);
    sl_numbers_free(hour);
    sl_numbers_free(later);
}
END_TEST

START_TEST(routes_without_end_are_bounded)
{
    sl_numbers_options options = { .period_s = 60, .max_rows = 100 };
    sl_numbers *numbers, *all = new_table(0, 0);
    char name[32];

    ck_assert_int_eq(sl_numbers_new(&numbers, &options, NULL), SL_OK);
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof(name), "/stranger/%d", i);
        add(numbers, 60, name, 10);
    }
    ck_assert_uint_eq(sl_numbers_rows(numbers), 101);
    ck_assert_uint_eq(sl_numbers_count(numbers), 100000);
    ck_assert_uint_eq(row(numbers, "[other]", 60)->count, 99900);
    ck_assert_uint_eq(sl_numbers_lost(numbers), 0);
    sl_bytes bytes = encoded(numbers);
    ck_assert_int_eq(sl_numbers_merge(all, bytes.data, bytes.size, NULL),
                     SL_OK);
    ck_assert_uint_eq(sl_numbers_count(all), 100000);
    sl_bytes_free(&bytes);
    sl_numbers_free(all);
    sl_numbers_free(numbers);
}
END_TEST

START_TEST(memory_is_bounded_and_nothing_goes_uncounted)
{
    sl_numbers_options options = { .period_s = 60,
                                   .max_bytes = 200000,
                                   .max_rows = 1 << 20 };
    sl_numbers *numbers;
    char name[32];

    ck_assert_int_eq(sl_numbers_new(&numbers, &options, NULL), SL_OK);
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "/stranger/%d", i);
        add(numbers, (uint64_t)i, name, 1 + (uint64_t)i % 1000);
    }
    ck_assert_uint_le(sl_numbers_bytes(numbers), 200000);
    ck_assert_uint_eq(sl_numbers_count(numbers) + sl_numbers_lost(numbers),
                      20000);
    ck_assert_uint_gt(sl_numbers_lost(numbers), 0);
    sl_numbers_free(numbers);
}
END_TEST

START_TEST(long_and_strange_texts_are_kept_apart)
{
    static char big[2000];
    sl_numbers *numbers = new_table(0, 0), *copy = new_table(0, 0);
    sl_numbers_key key = { 0 };
    sl_numbers_request request = { .wall_ns = 1 };

    memset(big, 'x', sizeof(big));
    key.field[SL_NUMBERS_ROUTE] = (sl_numbers_text){ big, sizeof(big) };
    sl_numbers_add(numbers, 0, &key, &request);
    key.field[SL_NUMBERS_ROUTE] = (sl_numbers_text){ "a\0b", 3 };
    sl_numbers_add(numbers, 0, &key, &request);
    key.field[SL_NUMBERS_ROUTE] = (sl_numbers_text){ "\xff\xfe", 2 };
    sl_numbers_add(numbers, 0, &key, &request);
    ck_assert_uint_eq(sl_numbers_rows(numbers), 3);
    sl_bytes bytes = encoded(numbers);
    ck_assert_int_eq(sl_numbers_load(copy, bytes.data, bytes.size), SL_OK);
    ck_assert_uint_eq(sl_numbers_rows(copy), 3);
    ck_assert_uint_eq(sl_numbers_row_at(copy, 0)->key.field[0].len,
                      SL_NUMBERS_FIELD_MAX);
    sl_bytes_free(&bytes);
    sl_numbers_free(numbers);
    sl_numbers_free(copy);
}
END_TEST

/* What the reader is given without its frame. */
static const uint8_t content[] = "slownums\x01\x04\x3c\x00\x00"
                                 "\x03\x00\x02/a\x03GET" /* strings */
                                 "\x01"                  /* one row */
                                 "\x14\x01\x02\x00\x00\x01\x01"
                                 "\x01\x02\x02\x01\x10\x01" /* wall */
                                 "\x01\x01\x01\x01\x00\x01" /* cpu */
                                 "\x01\x0b\x07";            /* 7 queries */

START_TEST(every_truncation_is_refused)
{
    size_t size = sizeof(content) - 1;
    sl_numbers *numbers = new_table(60, 0);

    for (size_t cut = 0; cut < size; cut++) {
        ck_assert_int_eq(sl_numbers_load_content(numbers, content, cut),
                         SL_ECORRUPT);
        ck_assert_uint_eq(sl_numbers_rows(numbers), 0);
    }
    ck_assert_int_eq(sl_numbers_load_content(numbers, content, size), SL_OK);
    const sl_numbers_row *one = row(numbers, "/a", 600);
    ck_assert_uint_eq(one->count, 1);
    ck_assert_uint_eq(one->sums[SL_NUMBERS_DB_COUNT], 7);
    sl_numbers_free(numbers);
}
END_TEST

START_TEST(bytes_that_changed_add_nothing_wrong)
{
    size_t size = sizeof(content) - 1;
    uint8_t changed[sizeof(content)];

    for (size_t at = 0; at < size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            sl_numbers *numbers = new_table(60, 0);
            memcpy(changed, content, size);
            changed[at] ^= (uint8_t)(1 << bit);
            if (sl_numbers_load_content(numbers, changed, size) < 0)
                ck_assert_uint_eq(sl_numbers_rows(numbers), 0);
            sl_numbers_free(numbers);
        }
    }
}
END_TEST

START_TEST(a_newer_version_is_told_from_damage)
{
    sl_numbers *numbers = new_table(60, 0);
    uint8_t newer[sizeof(content)];

    memcpy(newer, content, sizeof(content));
    newer[8] = 3;
    ck_assert_int_eq(
        sl_numbers_load_content(numbers, newer, sizeof(content) - 1),
        SL_EVERSION);
    sl_numbers_free(numbers);
}
END_TEST

START_TEST(each_allocation_may_fail)
{
    long budget = 0;
    sl_status status = SL_ENOMEM;

    for (; status == SL_ENOMEM; budget++) {
        sl_numbers *numbers = NULL, *copy = NULL;
        sl_bytes bytes = { 0 };
        bool fresh;
        fault f;
        fault_init(&f, budget);
        status = sl_numbers_new(&numbers, NULL, &f.alloc);
        if (status == SL_OK) {
            for (int i = 0; i < 200; i++)
                add(numbers, (uint64_t)i, i % 2 ? "/a" : "/b", 1u << i % 10);
            ck_assert_uint_eq(
                sl_numbers_count(numbers) + sl_numbers_lost(numbers), 200);
            status = sl_numbers_consume(numbers, content, 1, &fresh);
        }
        if (status == SL_OK)
            status = sl_numbers_encode(numbers, 0, &bytes);
        if (status == SL_OK)
            status = sl_numbers_new(&copy, NULL, &f.alloc);
        if (status == SL_OK)
            status = sl_numbers_load(copy, bytes.data, bytes.size);
        sl_bytes_free(&bytes);
        sl_numbers_free(numbers);
        sl_numbers_free(copy);
        ck_assert_int_eq(f.live, 0);
    }
    ck_assert_int_eq(status, SL_OK);
    ck_assert_int_gt(budget, 5);
}
END_TEST

START_TEST(requests_of_which_only_times_are_known)
{
    sl_numbers *numbers = new_table(60, 0), *again = new_table(60, 0);
    sl_numbers_key key = key_of("/a", "GET", "r1", "h1");
    sl_numbers_request timed = { .wall_ns = 8000000, .times_only = true };

    add(numbers, 60, "/a", 10);
    sl_bytes bytes = encoded(numbers);
    sl_bytes_free(&bytes);
    timed.sums[SL_NUMBERS_TIMED] = 1;
    for (int i = 0; i < 3; i++)
        sl_numbers_add(numbers, 61, &key, &timed);
    bytes = encoded(numbers);
    ck_assert_int_eq(sl_numbers_merge(again, bytes.data, bytes.size, NULL),
                     SL_OK);
    sl_bytes_free(&bytes);
    const sl_numbers_row *one = row(again, "/a", 60);
    ck_assert_uint_eq(one->count, 4);
    ck_assert_uint_eq(one->wall.count, 4);
    ck_assert_uint_eq(one->cpu.count, 1); /* of one it is known */
    ck_assert_uint_eq(one->cpu.sum_ns, 5000000);
    ck_assert_uint_eq(one->sums[SL_NUMBERS_TIMED], 3);

    /* And of none. */
    sl_numbers_free(numbers);
    numbers = new_table(60, 0);
    sl_numbers_add(numbers, 61, &key, &timed);
    bytes = encoded(numbers);
    sl_numbers_free(again);
    again = new_table(60, 0);
    ck_assert_int_eq(sl_numbers_load(again, bytes.data, bytes.size), SL_OK);
    sl_bytes_free(&bytes);
    ck_assert_uint_eq(sl_numbers_count(again), 1);
    sl_numbers_free(numbers);
    sl_numbers_free(again);
}
END_TEST

START_TEST(the_report_tells_routes_and_their_course)
{
    sl_numbers *numbers = new_table(3600, 1u << SL_NUMBERS_ROUTE);
    sl_bytes out;

    for (uint64_t i = 1; i <= 100; i++)
        add(numbers, 3600 * (i % 2), "/a", i);
    add(numbers, 0, "/b", 1000);
    ck_assert_int_eq(sl_report_numbers(numbers, 0, &out), SL_OK);
    char *text = calloc(out.size + 1, 1);
    memcpy(text, out.data, out.size);
    ck_assert_ptr_nonnull(
        strstr(text, "{\"count\":101,\"errors\":1,\"lost\":0,"
                     "\"wall_ns\":6050000000,\"cpu_ns\":3025000000,"
                     "\"rows\":[{\"route\":\"/a\",\"method\":\"\""));
    ck_assert_ptr_nonnull(strstr(text, "\"sums\":{\"db_ns\":505000000,"
                                       "\"db_count\":300}"));
    ck_assert_ptr_nonnull(strstr(text, "\"series\":{\"from_s\":[0,3600],"
                                       "\"count\":[50,50],\"errors\":[0,0],"
                                       "\"wall_ns\":[2550000000,2500000000]"));
    ck_assert_ptr_nonnull(strstr(text, "\"route\":\"/b\""));
    free(text);
    sl_bytes_free(&out);
    ck_assert_int_eq(sl_report_numbers(numbers, 1, &out), SL_OK);
    text = calloc(out.size + 1, 1);
    memcpy(text, out.data, out.size);
    ck_assert_ptr_null(strstr(text, "\"route\":\"/b\""));
    free(text);
    sl_bytes_free(&out);
    sl_numbers_free(numbers);
}
END_TEST

START_TEST(buckets_have_opentelemetrys_index)
{
    sl_numbers *numbers = new_table(0, 0);
    sl_numbers_key key = key_of("/a", "GET", "", "");
    sl_numbers_request request = { .wall_ns = 1025, .cpu_ns = 1 };
    sl_bytes out;

    sl_numbers_add(numbers, 0, &key, &request); /* just above 2^10: index 160 */
    ck_assert_int_eq(sl_report_histograms(numbers, &out), SL_OK);
    char *text = calloc(out.size + 1, 1);
    memcpy(text, out.data, out.size);
    ck_assert_ptr_nonnull(
        strstr(text, "\"wall\":{\"first\":160,\"counts\":[1]}"));
    ck_assert_ptr_nonnull(
        strstr(text, "\"cpu\":{\"first\":-1,\"counts\":[1]}"));
    free(text);
    sl_bytes_free(&out);
    sl_numbers_free(numbers);
}
END_TEST

Suite *
numbers_suite(void)
{
    const TTest *const tests[] = { requests_are_counted_by_period_and_key,
                                   minutes_become_hours_and_routes_exactly,
                                   a_filter_takes_what_it_names,
                                   each_record_counts_once,
                                   routes_without_end_are_bounded,
                                   memory_is_bounded_and_nothing_goes_uncounted,
                                   long_and_strange_texts_are_kept_apart,
                                   every_truncation_is_refused,
                                   bytes_that_changed_add_nothing_wrong,
                                   a_newer_version_is_told_from_damage,
                                   each_allocation_may_fail,
                                   requests_of_which_only_times_are_known,
                                   the_report_tells_routes_and_their_course,
                                   buckets_have_opentelemetrys_index,
                                   NULL };
    return suite_of("numbers", tests);
}
