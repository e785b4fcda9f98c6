#include "suites.h"

#include "slowlens/board.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { SLOTS = 4 };
static _Alignas(
    8) unsigned char memory[SL_BOARD_HEAD_BYTES + SLOTS * SL_BOARD_SLOT_BYTES];

static const sl_board_owner owner = {
    .pid = 77, .pid_started = 1234, .boot = "fifteen letters", .namespaces = 99
};

static sl_board *
new_board(void)
{
    sl_board *board;
    ck_assert_int_eq(sl_board_new(&board, memory, sizeof(memory), &owner, NULL),
                     SL_OK);
    return board;
}

static sl_board_request
request_of(const char *path, uint8_t id)
{
    sl_board_request request = { .started_unix_ns = 5000,
                                 .now = 100,
                                 .tid = 42,
                                 .mode = SL_BOARD_SAMPLING,
                                 .method = "GET",
                                 .method_len = 3,
                                 .path = path,
                                 .path_len = strlen(path) };
    memset(request.id, id, sizeof(request.id));
    return request;
}

START_TEST(what_runs_can_be_read)
{
    sl_board *board = new_board();
    sl_board_request request = request_of("/books/", 7);
    sl_board_entry entry;
    sl_board_owner whose;
    uint32_t slots;
    uint64_t beat, missed;

    uint32_t slot = sl_board_begin(board, &request);
    ck_assert_int_eq(
        sl_board_check(memory, sizeof(memory), &slots, &whose, &beat, &missed),
        SL_OK);
    ck_assert_uint_eq(slots, SLOTS);
    ck_assert_uint_eq(whose.pid, owner.pid);
    ck_assert_uint_eq(whose.pid_started, owner.pid_started);
    ck_assert_mem_eq(whose.boot, owner.boot, sizeof(owner.boot));
    ck_assert_uint_eq(whose.namespaces, owner.namespaces);
    ck_assert_uint_eq(beat, 100);
    ck_assert_uint_eq(missed, 0);
    ck_assert(sl_board_read(memory, slot, false, &entry));
    ck_assert_int_eq(entry.state, SL_BOARD_RUNS);
    ck_assert_int_eq(entry.mode, SL_BOARD_SAMPLING);
    ck_assert_mem_eq(entry.id, request.id, 16);
    ck_assert_uint_eq(entry.started_unix_ns, 5000);
    ck_assert_uint_eq(entry.started, 100);
    ck_assert_uint_eq(entry.tid, 42);
    ck_assert_str_eq(entry.method, "GET");
    ck_assert_str_eq(entry.path, "/books/");
    ck_assert_str_eq(entry.route, "");
    ck_assert_uint_eq(entry.looks, 0);

    sl_board_name(board, slot, "/books/<id>", 11);
    sl_board_change(board, slot, SL_BOARD_WAITS, 0, 200);
    sl_board_seen(board, slot, 250, "view", 4, "/app/views.py", 13, 12);
    sl_board_still(board, slot, 300);
    ck_assert(sl_board_read(memory, slot, false, &entry));
    ck_assert_int_eq(entry.state, SL_BOARD_WAITS);
    ck_assert_uint_eq(entry.changed, 200);
    ck_assert_uint_eq(entry.tid, 42);
    ck_assert_str_eq(entry.route, "/books/<id>");
    ck_assert_uint_eq(entry.looks, 2);
    ck_assert_uint_eq(entry.seen, 300);
    ck_assert_uint_eq(entry.line, 12);
    ck_assert_str_eq(entry.name, "view");
    ck_assert_str_eq(entry.file, "/app/views.py");

    sl_board_end(board, slot);
    ck_assert(!sl_board_read(memory, slot, false, &entry));
    sl_board_free(board);
}
END_TEST

START_TEST(a_slot_used_again_says_nothing_of_the_request_before)
{
    sl_board *board = new_board();
    sl_board_request first = request_of("/a/very/long/path/of/the/first", 1);
    sl_board_request second = request_of("/", 2);
    sl_board_entry entry;

    uint32_t slot = sl_board_begin(board, &first);
    sl_board_name(board, slot, "/route", 6);
    sl_board_seen(board, slot, 150, "secret", 6, "secret.py", 9, 3);
    sl_board_end(board, slot);
    ck_assert_uint_eq(sl_board_begin(board, &second), slot);
    ck_assert(sl_board_read(memory, slot, false, &entry));
    ck_assert_str_eq(entry.path, "/");
    ck_assert_str_eq(entry.route, "");
    ck_assert_uint_eq(entry.looks, 0);
    ck_assert_str_eq(entry.name, "");
    ck_assert_str_eq(entry.file, "");
    ck_assert_uint_eq(entry.line, 0);
    sl_board_free(board);
}
END_TEST

START_TEST(a_full_board_counts)
{
    sl_board *board = new_board();
    sl_board_request request = request_of("/", 1);
    uint32_t slots[SLOTS];
    uint64_t missed;

    for (int i = 0; i < SLOTS; i++) {
        slots[i] = sl_board_begin(board, &request);
        ck_assert_uint_lt(slots[i], SLOTS);
    }
    ck_assert_uint_eq(sl_board_count(board), SLOTS);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(sl_board_begin(board, &request), SL_BOARD_NONE);
    sl_board_check(memory, sizeof(memory), NULL, NULL, NULL, &missed);
    ck_assert_uint_eq(missed, 3);
    sl_board_name(board, SL_BOARD_NONE, "x", 1);
    sl_board_change(board, SL_BOARD_NONE, SL_BOARD_WAITS, 0, 1);
    sl_board_still(board, SL_BOARD_NONE, 1);
    sl_board_seen(board, SL_BOARD_NONE, 1, "x", 1, "y", 1, 1);
    sl_board_end(board, SL_BOARD_NONE);
    sl_board_end(board, slots[2]);
    ck_assert_uint_eq(sl_board_begin(board, &request), slots[2]);
    sl_board_free(board);
}
END_TEST

START_TEST(long_texts_are_cut_between_characters)
{
    sl_board *board = new_board();
    char path[400] = "/";
    sl_board_entry entry;

    for (int i = 0; i < 150; i++)
        strcat(path, "\xC3\xA9"); /* two bytes each, from an odd place on */
    sl_board_request request = request_of(path, 1);
    uint32_t slot = sl_board_begin(board, &request);
    sl_board_seen(board, slot, 1, path, strlen(path), path, strlen(path), 1);
    ck_assert(sl_board_read(memory, slot, false, &entry));
    ck_assert_uint_eq(strlen(entry.path), SL_BOARD_PATH_BYTES - 1);
    ck_assert_uint_eq(strlen(entry.name), SL_BOARD_NAME_BYTES - 1);
    ck_assert_uint_eq(strlen(entry.file), SL_BOARD_FILE_BYTES - 2);
    ck_assert_mem_eq(entry.file, "\xC3\xA9", 2);
    sl_board_free(board);
}
END_TEST

START_TEST(what_is_no_board_is_refused)
{
    uint32_t slots;
    uint32_t word;

    sl_board_free(new_board());
    for (size_t size = 0; size < sizeof(memory); size += 96)
        ck_assert_int_lt(sl_board_check(memory, size, &slots, NULL, NULL, NULL),
                         0);
    ck_assert_int_eq(
        sl_board_check(memory, sizeof(memory), &slots, NULL, NULL, NULL),
        SL_OK);
    memcpy(&word, memory + 16, sizeof(word)); /* the number of slots */
    word = UINT32_MAX;
    memcpy(memory + 16, &word, sizeof(word));
    ck_assert_int_eq(
        sl_board_check(memory, sizeof(memory), &slots, NULL, NULL, NULL),
        SL_ECORRUPT);
    memory[8] = 9;
    ck_assert_int_eq(
        sl_board_check(memory, sizeof(memory), &slots, NULL, NULL, NULL),
        SL_EVERSION);
    memory[0] ^= 1;
    ck_assert_int_eq(
        sl_board_check(memory, sizeof(memory), &slots, NULL, NULL, NULL),
        SL_ECORRUPT);
}
END_TEST

/* Killed in the middle of a change: the slot stays half written. */
START_TEST(a_dead_owner_is_read_as_it_died)
{
    sl_board *board = new_board();
    sl_board_request request = request_of("/stuck", 3);
    sl_board_entry entry;

    uint32_t slot = sl_board_begin(board, &request);
    memory[SL_BOARD_HEAD_BYTES + slot * SL_BOARD_SLOT_BYTES] |= 1;
    memset(memory + SL_BOARD_HEAD_BYTES + slot * SL_BOARD_SLOT_BYTES + 152, 'x',
           SL_BOARD_ROUTE_BYTES); /* the route, without an end */
    ck_assert(!sl_board_read(memory, slot, false, &entry));
    ck_assert(sl_board_read(memory, slot, true, &entry));
    ck_assert_str_eq(entry.path, "/stuck");
    ck_assert_uint_eq(strlen(entry.route), SL_BOARD_ROUTE_BYTES - 1);
    sl_board_clear(memory, slot);
    ck_assert(!sl_board_read(memory, slot, true, &entry));
    sl_board_free(board);
}
END_TEST

static atomic_bool stop;

/* Every field of an entry says the same number. */
static void *
write_on(void *arg)
{
    sl_board *board = arg;
    char text[40];

    for (unsigned n = 0; !stop; n++) {
        memset(text, 'a' + (int)(n % 26), sizeof(text));
        sl_board_request request = request_of("", (uint8_t)('a' + n % 26));
        request.path = request.method = text;
        request.path_len = sizeof(text);
        request.method_len = 8;
        uint32_t slot = sl_board_begin(board, &request);
        sl_board_name(board, slot, text, sizeof(text));
        sl_board_seen(board, slot, n, text, sizeof(text), text, sizeof(text),
                      (uint32_t)text[0]);
        sl_board_end(board, slot);
    }
    return NULL;
}

START_TEST(no_read_is_torn)
{
    sl_board *board = new_board();
    pthread_t thread;
    sl_board_entry entry;
    unsigned read = 0;

    ck_assert_int_eq(pthread_create(&thread, NULL, write_on, board), 0);
    for (int i = 0; i < 2000000 && (i < 200000 || read < 100); i++) {
        if (!sl_board_read(memory, (uint32_t)i % SLOTS, false, &entry))
            continue;
        char is = (char)entry.id[0];
        read++;
        ck_assert_int_eq(entry.id[15], is);
        ck_assert_int_eq(entry.method[7], is);
        ck_assert_int_eq(entry.path[39], is);
        ck_assert(entry.route[0] == '\0' || entry.route[39] == is);
        if (entry.looks > 0) {
            ck_assert_int_eq(entry.name[39], entry.name[0]);
            ck_assert_int_eq(entry.file[39], entry.name[0]);
            ck_assert_int_eq((char)entry.line, entry.name[0]);
        }
    }
    stop = true;
    pthread_join(thread, NULL);
    ck_assert_uint_gt(read, 0);
    sl_board_free(board);
}
END_TEST

Suite *
board_suite(void)
{
    const TTest *const tests[] = {
        what_runs_can_be_read,
        a_slot_used_again_says_nothing_of_the_request_before,
        a_full_board_counts,
        long_texts_are_cut_between_characters,
        what_is_no_board_is_refused,
        a_dead_owner_is_read_as_it_died,
        no_read_is_torn,
        NULL
    };
    return suite_of("board", tests);
}
