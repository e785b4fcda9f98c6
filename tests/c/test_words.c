#include "suites.h"

#include "fault.h"
#include "words.h"

#include <stdio.h>
#include <string.h>

static uint32_t
put(sl_words *words, const char *text)
{
    uint32_t number = 77;
    ck_assert_int_eq(sl_words_put(words, text, strlen(text), &number), SL_OK);
    return number;
}

START_TEST(each_text_once)
{
    sl_words words;
    size_t size;
    uint32_t n;

    sl_words_init(&words, NULL);
    ck_assert(!sl_words_find(&words, "x", 1, &n));
    ck_assert_uint_eq(put(&words, ""), 0);
    ck_assert_uint_eq(put(&words, "/books/"), 1);
    ck_assert_uint_eq(put(&words, "/books/7/"), 2);
    ck_assert_uint_eq(put(&words, "/books/"), 1);
    ck_assert_str_eq(sl_words_text(&words, 2, &size), "/books/7/");
    ck_assert_uint_eq(size, 9);
    sl_words_text(&words, 0, &size);
    ck_assert_uint_eq(size, 0);
    sl_words_text(&words, 99, &size);
    ck_assert_uint_eq(size, 0);
    sl_words_free(&words);
    sl_words_free(&words);
}
END_TEST

START_TEST(many)
{
    sl_words words;
    char text[32];
    uint32_t n;

    sl_words_init(&words, NULL);
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "/some/longer/path/%u/", i);
        ck_assert_uint_eq(put(&words, text), i + 1);
    }
    ck_assert(sl_words_find(&words, "/some/longer/path/12345/", 24, &n));
    ck_assert_uint_eq(n, 12346);
    ck_assert_uint_gt(sl_words_bytes(&words), 20000 * 24);
    sl_words_free(&words);
}
END_TEST

/* Every needle of up to five bytes at every place, against a naive search. */
START_TEST(search_finds_what_a_naive_one_finds)
{
    static const char *const parts[] = { "ab", "AB", "a", "b/", "[", "{", "x" };
    sl_words words;
    char text[200] = "";
    uint8_t hits[300];

    sl_words_init(&words, NULL);
    unsigned seed = 7;
    for (int i = 0; i < 250; i++) {
        int count = i % 41;
        text[0] = '\0';
        for (int k = 0; k < count; k++) {
            seed = seed * 1103515245u + 12345u;
            strcat(text, parts[seed >> 16 & 7 ? (seed >> 16) % 7 : 6]);
        }
        uint32_t n;
        ck_assert_int_eq(sl_words_put(&words, text, strlen(text), &n), SL_OK);
    }
    static const char *const needles[] = { "a",  "ab",   "abab", "xb/", "B/X",
                                           "[a", "{ab/", "zz",   "[",   "x" };
    for (size_t i = 0; i < sizeof(needles) / sizeof(*needles); i++) {
        const char *needle = needles[i];
        memset(hits, 0, sizeof(hits));
        sl_words_search(&words, needle, strlen(needle), false, hits);
        for (uint32_t n = 1; n <= words.count; n++) {
            size_t size;
            const char *known = sl_words_text(&words, n, &size);
            ck_assert_int_eq(hits[n], strstr(known, needle) != NULL);
        }
    }
    sl_words_free(&words);
}
END_TEST

START_TEST(case_is_folded_for_letters_only)
{
    sl_words words;
    uint8_t hits[8];

    sl_words_init(&words, NULL);
    put(&words, "/API/Books[1]");
    put(&words, "/api/books{1}");
    put(&words, "@"); /* 0x40: a backquote with a bit less */
    memset(hits, 0, sizeof(hits));
    sl_words_search(&words, "api/bOOKS", 9, true, hits);
    ck_assert(hits[1] && hits[2] && !hits[3]);
    memset(hits, 0, sizeof(hits));
    sl_words_search(&words, "books[", 6, true, hits);
    ck_assert(hits[1] && !hits[2]);
    memset(hits, 0, sizeof(hits));
    sl_words_search(&words, "`", 1, true, hits);
    ck_assert(!hits[3]);
    memset(hits, 0, sizeof(hits));
    sl_words_search(&words, "a\0", 2, true, hits);
    ck_assert(!hits[1]);
    sl_words_search(&words, "", 0, true, hits);
    ck_assert(hits[0] && hits[1] && hits[2] && hits[3]);
    sl_words_free(&words);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    for (long budget = 0;; budget++) {
        fault f;
        sl_words words;
        sl_status status = SL_OK;
        char text[16];
        uint32_t n;

        fault_init(&f, budget);
        sl_words_init(&words, &f.alloc);
        for (int i = 0; status == SL_OK && i < 500; i++) {
            snprintf(text, sizeof(text), "text %d", i);
            status = sl_words_put(&words, text, strlen(text), &n);
            if (status == SL_OK)
                ck_assert_uint_eq(n, (uint32_t)i + 1);
        }
        sl_words_free(&words);
        ck_assert_int_eq(f.live, 0);
        if (status == SL_OK)
            break;
        ck_assert_int_eq(status, SL_ENOMEM);
    }
}
END_TEST

Suite *
words_suite(void)
{
    const TTest *const tests[] = { each_text_once,
                                   many,
                                   search_finds_what_a_naive_one_finds,
                                   case_is_folded_for_letters_only,
                                   any_allocation_may_fail,
                                   NULL };
    return suite_of("words", tests);
}
