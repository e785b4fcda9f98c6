#include "suites.h"

#include "fault.h"

#include "slowlens/journal.h"

#include <string.h>

#define HALF ((size_t)4096)

static union {
    uint64_t aligned;
    uint8_t bytes[SL_JOURNAL_HEAD_BYTES + 2 * 4096];
} memory;

static sl_numbers_text
text(const char *of)
{
    return (sl_numbers_text){ of, strlen(of) };
}

static sl_journal *
journal_of(uint64_t seed)
{
    sl_numbers_text release = text("v7"), host = text("a-host");
    sl_journal *journal;

    memset(&memory, 0xEE, sizeof(memory));
    ck_assert_int_eq(sl_journal_new(&journal, memory.bytes, sizeof(memory),
                                    seed, &release, &host, NULL),
                     SL_OK);
    return journal;
}

static bool
add(sl_journal *journal, sl_numbers *also, const char *route, uint64_t at_s,
    uint64_t wall)
{
    sl_numbers_key key = { .field = { text(route), text("GET"), text("v7"),
                                      text("a-host") } };
    sl_numbers_request request = { .wall_ns = wall,
                                   .cpu_ns = wall / 2,
                                   .error = wall % 3 == 0,
                                   .times_only = wall % 2 == 0,
                                   .sums = { [SL_NUMBERS_BYTES] = 17,
                                             [SL_NUMBERS_LESS] = wall } };

    bool there = sl_journal_add(journal, at_s, &key, &request);
    if (there && also != NULL)
        sl_numbers_add(also, at_s, &key, &request);
    return there;
}

static sl_numbers *
table(void)
{
    sl_numbers *numbers;
    ck_assert_int_eq(sl_numbers_new(&numbers, NULL, NULL), SL_OK);
    return numbers;
}

static uint64_t
read_half(unsigned half, sl_numbers *into, uint8_t source[16], bool *storing)
{
    uint64_t first, last, requests;
    ck_assert_int_eq(sl_journal_read(memory.bytes, sizeof(memory), half, into,
                                     source, &first, &last, &requests, storing),
                     SL_OK);
    return requests;
}

START_TEST(what_was_added_is_read_by_another_as_if_it_had_been_counted)
{
    sl_journal *journal = journal_of(5);
    sl_numbers *counted = table(), *found = table();
    uint8_t source[16];
    uint64_t first, last, requests;
    bool storing;
    sl_bytes a, b;

    for (uint64_t i = 0; i < 20; i++)
        ck_assert(add(journal, counted, i % 3 ? "/a" : "/b/<id>", 1000 - i,
                      1000 * i + 7));
    sl_journal_free(journal); /* killed: nobody said goodbye */
    ck_assert_int_eq(sl_journal_read(memory.bytes, sizeof(memory), 0, found,
                                     source, &first, &last, &requests,
                                     &storing),
                     SL_OK);
    ck_assert_uint_eq(requests, 20);
    ck_assert_uint_eq(first, 981);
    ck_assert_uint_eq(last, 1000);
    ck_assert(!storing);
    ck_assert_int_eq(sl_numbers_encode(counted, 0, &a), SL_OK);
    ck_assert_int_eq(sl_numbers_encode(found, 0, &b), SL_OK);
    ck_assert_uint_eq(a.size, b.size);
    ck_assert_mem_eq(a.data, b.data, a.size);
    sl_bytes_free(&a);
    sl_bytes_free(&b);
    sl_numbers_free(counted);
    sl_numbers_free(found);
}
END_TEST

START_TEST(a_half_has_one_name_until_it_is_stored)
{
    sl_journal *journal = journal_of(5);
    sl_numbers *found = table();
    uint8_t taken[16], source[16], next[16];
    bool storing;

    add(journal, NULL, "/a", 10, 1);
    ck_assert_uint_eq(read_half(0, found, source, &storing), 1);
    sl_journal_turn(journal, taken);
    ck_assert_mem_eq(taken, source, 16);
    add(journal, NULL, "/b", 11, 1);
    ck_assert_uint_eq(read_half(0, found, source, &storing), 1);
    ck_assert(storing); /* whoever finds it looks whether it was */
    ck_assert_uint_eq(read_half(1, found, next, &storing), 1);
    ck_assert(!storing);
    ck_assert_mem_ne(next, taken, 16);

    sl_journal_stored(journal, next); /* in use: it goes on */
    sl_journal_stored(journal, taken);
    ck_assert_uint_eq(read_half(0, found, source, &storing), 0);
    ck_assert_uint_eq(read_half(1, found, source, &storing), 1);

    /* A store that was away: the half is taken anew, and the old name is
     * nobody's. */
    sl_journal_turn(journal, next);
    sl_journal_turn(journal, next);
    ck_assert_uint_eq(read_half(1, found, source, &storing), 0);
    add(journal, NULL, "/c", 12, 1);
    sl_journal_stored(journal, taken);
    ck_assert_uint_eq(read_half(1, found, source, &storing), 1);
    sl_journal_free(journal);
    sl_numbers_free(found);
}
END_TEST

START_TEST(a_full_half_takes_no_more_and_says_so_before)
{
    sl_journal *journal = journal_of(5);
    sl_numbers *found = table();
    uint8_t source[16];
    uint64_t added = 0;
    bool storing, filled = false;

    while (add(journal, NULL, "/somewhere", 10, added)) {
        added++;
        filled = filled || sl_journal_is_filling(journal);
    }
    ck_assert_uint_gt(added, 50);
    ck_assert(filled);
    ck_assert_uint_eq(read_half(0, found, source, &storing), added);
    sl_journal_turn(journal, source);
    ck_assert(!sl_journal_is_filling(journal));
    ck_assert(add(journal, NULL, "/somewhere", 10, 1));
    sl_journal_free(journal);
    sl_numbers_free(found);
}
END_TEST

START_TEST(a_finder_that_dies_on_the_way_leaves_word)
{
    sl_journal *journal = journal_of(5);
    sl_numbers *found = table();
    uint8_t source[16];
    bool storing;

    add(journal, NULL, "/a", 10, 1);
    sl_journal_free(journal);
    sl_journal_mark(memory.bytes, sizeof(memory), 0, false);
    ck_assert_uint_eq(read_half(0, found, source, &storing), 1);
    ck_assert(storing);
    sl_journal_mark(memory.bytes, sizeof(memory), 0, true);
    ck_assert_uint_eq(read_half(0, found, source, &storing), 0);
    sl_journal_mark(memory.bytes, sizeof(memory), 9, true); /* none */
    sl_numbers_free(found);
}
END_TEST

START_TEST(whatever_stands_there_is_read_within_its_bounds)
{
    sl_journal *journal = journal_of(5);
    uint8_t source[16], whole[sizeof(memory)];
    uint64_t first, last, requests, chance = 88172645463325252u;
    bool storing;

    for (uint64_t i = 0; add(journal, NULL, "/a/<b>", 10 + i, i * i); i++)
        ;
    sl_journal_free(journal);
    memcpy(whole, memory.bytes, sizeof(whole));
    for (int round = 0; round < 4000; round++) {
        sl_numbers *found = table();
        memcpy(memory.bytes, whole, sizeof(whole));
        for (int i = 0; i < 3; i++) {
            chance ^= chance << 13, chance ^= chance >> 7,
                chance ^= chance << 17;
            size_t at = round % 2 ? chance % 96 : chance % sizeof(memory);
            memory.bytes[at] = (uint8_t)(chance >> 32);
        }
        for (unsigned half = 0; half < 3; half++)
            sl_journal_read(memory.bytes, sizeof(memory), half, found, source,
                            &first, &last, &requests, &storing);
        sl_numbers_free(found);
    }
    sl_numbers *found = table();
    ck_assert_int_eq(sl_journal_read(memory.bytes, 100, 0, found, source,
                                     &first, &last, &requests, &storing),
                     SL_ECORRUPT);
    sl_numbers_free(found);
}
END_TEST

START_TEST(no_room_and_no_memory)
{
    sl_journal *journal;
    fault f;

    ck_assert_int_eq(sl_journal_new(&journal, memory.bytes,
                                    sl_journal_bytes(HALF) - 1, 1, NULL, NULL,
                                    NULL),
                     SL_ELIMIT);
    fault_init(&f, 0);
    ck_assert_int_eq(sl_journal_new(&journal, memory.bytes, sizeof(memory), 1,
                                    NULL, NULL, &f.alloc),
                     SL_ENOMEM);
    fault_init(&f, 1);
    ck_assert_int_eq(sl_journal_new(&journal, memory.bytes, sizeof(memory), 1,
                                    NULL, NULL, &f.alloc),
                     SL_OK);
    sl_journal_free(journal);
    ck_assert_int_eq(f.live, 0);
    sl_journal_free(NULL);
}
END_TEST

Suite *
journal_suite(void)
{
    const TTest *const tests[] = {
        what_was_added_is_read_by_another_as_if_it_had_been_counted,
        a_half_has_one_name_until_it_is_stored,
        a_full_half_takes_no_more_and_says_so_before,
        a_finder_that_dies_on_the_way_leaves_word,
        whatever_stands_there_is_read_within_its_bounds,
        no_room_and_no_memory,
        NULL
    };
    return suite_of("journal", tests);
}
