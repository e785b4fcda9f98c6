#include "suites.h"

#include "blob.h"
#include "compress.h"
#include "fault.h"

#include "slowlens/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- blobs of nothing but metadata: a row needs no more ---- */

static void
put_key(sl_buf *out, const char *key, uint8_t type)
{
    sl_buf_put_varint(out, strlen(key));
    sl_buf_put_str(out, key);
    sl_buf_put_u8(out, type);
}

static void
put_number(sl_buf *out, const char *key, uint64_t value)
{
    put_key(out, key, SL_BLOB_INTEGER);
    sl_buf_put_varint(out, value << 1);
}

static void
put_text(sl_buf *out, const char *key, const char *value)
{
    put_key(out, key, SL_BLOB_TEXT);
    sl_buf_put_varint(out, strlen(value));
    sl_buf_put_str(out, value);
}

typedef struct {
    uint8_t id[SL_ID_SIZE];
    uint64_t ms;
    uint64_t wall;
    unsigned status;
    const char *method, *path, *route, *tag, *findings, *host;
} profile;

static profile
profile_of(unsigned i)
{
    static const char *const routes[] = { "/books/<id>", "/authors/", "" };
    profile p = { .ms = 1700000000000 + i,
                  .wall = (uint64_t)i * 1000000,
                  .status = i % 10 == 9 ? 500 : 200,
                  .method = i % 4 == 3 ? "POST" : "GET",
                  .route = routes[i % 3],
                  .host = i % 2 ? "web-1" : "web-2" };
    for (int k = 0; k < 6; k++)
        p.id[k] = (uint8_t)(p.ms >> (40 - 8 * k));
    for (int k = 6; k < SL_ID_SIZE; k++)
        p.id[k] = (uint8_t)(i * 37 + (unsigned)k);
    return p;
}

/* With `hot` in a SUMMARY; NULL: without one. */
static sl_bytes
blob_with(const profile *p, unsigned i, const char *hot, size_t filling)
{
    sl_buf meta, content, frame;
    char path[64];
    sl_bytes out;

    sl_buf_init(&meta, NULL, 0);
    sl_buf_init(&content, NULL, 0);
    sl_buf_init(&frame, NULL, 0);
    snprintf(path, sizeof(path), "/Page/%u/", i);
    sl_buf_put_varint(&meta, 12);
    put_number(&meta, "started", p->ms * 1000000 + 123456);
    put_number(&meta, "wall_ns", p->wall);
    put_number(&meta, "status", p->status);
    put_text(&meta, "method", p->method);
    put_text(&meta, "path", path);
    put_text(&meta, "route", p->route);
    put_text(&meta, "host", p->host);
    put_text(&meta, "findings", i % 7 == 0 ? "n+1,slow-query" : "");
    put_number(&meta, "samples", 1000 + i);
    put_number(&meta, "db_count", i % 6 == 0 ? i : 0);
    put_text(&meta, "tag.tenant", i % 5 == 0 ? "7" : "77\nx=y");
    put_number(&meta, "tag.n", i);
    sl_buf_put(&content, SL_BLOB_MAGIC, SL_BLOB_MAGIC_SIZE);
    sl_buf_put_u8(&content, (uint8_t)(1 + i % SL_BLOB_VERSION));
    sl_buf_put(&content, "\0\0\0", 3);
    sl_buf_put_varint(&content, SL_BLOB_META);
    sl_buf_put_varint(&content, meta.size);
    sl_buf_put(&content, meta.data, meta.size);
    if (hot != NULL) {
        meta.size = 0;
        sl_buf_put_varint(&meta, 2);
        put_text(&meta, "hot_text", hot);
        char *text = calloc(1, filling + 1);
        memset(text, 'x', filling);
        put_text(&meta, "hot_path", text);
        free(text);
        sl_buf_put_varint(&content, SL_BLOB_SUMMARY);
        sl_buf_put_varint(&content, meta.size);
        sl_buf_put(&content, meta.data, meta.size);
    }
    sl_buf_put_varint(&content, SL_BLOB_END);
    sl_buf_put_varint(&content, 0);
    ck_assert_int_eq(sl_compress(&frame, content.data, content.size, 3), SL_OK);
    ck_assert_int_eq(sl_buf_finish(&frame, &out), SL_OK);
    sl_buf_free(&meta);
    sl_buf_free(&content);
    return out;
}

static sl_bytes
blob_of(const profile *p, unsigned i)
{
    return blob_with(p, i, NULL, 0);
}

/* A segment of `count` profiles from number `from` on, with other records
 * between them. */
static void
segment_of(sl_buf *out, unsigned from, unsigned count, sl_record_kind kind)
{
    uint8_t head[SL_RECORD_HEAD];

    for (unsigned i = from; i < from + count; i++) {
        profile p = profile_of(i);
        sl_bytes blob = blob_of(&p, i);
        sl_record_head(head, kind, p.id, "views.hot 90%", 13, blob.size);
        sl_buf_put(out, head, sizeof(head));
        sl_buf_put(out, "views.hot 90%", 13);
        sl_buf_put(out, blob.data, blob.size);
        sl_bytes_free(&blob);
        sl_record_head(head, SL_RECORD_NUMBERS, p.id, "123", 3, 0);
        sl_buf_put(out, head, sizeof(head));
        sl_buf_put(out, "123", 3);
    }
}

static void
add_segment(sl_rows *rows, uint32_t segment, unsigned from, unsigned count,
            sl_record_kind kind)
{
    sl_buf data;
    size_t used;

    sl_buf_init(&data, NULL, 0);
    segment_of(&data, from, count, kind);
    ck_assert_int_eq(
        sl_rows_add_records(rows, segment, 0, data.data, data.size, &used),
        SL_OK);
    ck_assert_uint_eq(used, data.size);
    sl_buf_free(&data);
}

static sl_rows *
rows_of(unsigned count)
{
    sl_rows *rows;
    ck_assert_int_eq(sl_rows_new(&rows, NULL, 0), SL_OK);
    add_segment(rows, 3, 0, count, SL_RECORD_PROFILE);
    return rows;
}

/* Paths' numbers in the order of a list: "12 11 10 ", with a + for more. */
static char *
list(sl_rows *rows, const sl_rows_query *query)
{
    static char result[4096];
    sl_bytes out = { 0 };
    char *to = result;

    ck_assert_int_eq(sl_rows_list(rows, query, &out), SL_OK);
    char *json = malloc(out.size + 1);
    memcpy(json, out.data, out.size);
    json[out.size] = '\0';
    *to = '\0';
    for (char *at = json; (at = strstr(at, "\"path\":\"/Page/")) != NULL; at++)
        to += sprintf(to, "%d ", atoi(at + 14));
    if (strstr(json, "\"more\":true") != NULL)
        strcat(result, "+");
    free(json);
    sl_bytes_free(&out);
    return result;
}

static sl_row_text
text(const char *value)
{
    return (sl_row_text){ value, strlen(value) };
}

static sl_row_word
word(const char *value)
{
    return (sl_row_word){ text(value), SL_ROWS_IN_PATH | SL_ROWS_IN_HOT };
}

START_TEST(a_row_has_what_the_metadata_says)
{
    sl_rows *rows = rows_of(1);
    sl_rows_query all;
    sl_bytes out = { 0 };

    sl_rows_query_init(&all);
    ck_assert_int_eq(sl_rows_list(rows, &all, &out), SL_OK);
    char *json = malloc(out.size + 1);
    memcpy(json, out.data, out.size);
    json[out.size] = '\0';
    ck_assert_ptr_nonnull(strstr(json, "\"started\":1700000000000123456"));
    ck_assert_ptr_nonnull(strstr(json, "\"calls\":1000")); /* of samples */
    ck_assert_ptr_nonnull(strstr(json, "\"hot\":\"views.hot 90%\""));
    ck_assert_ptr_nonnull(strstr(json, "\"tags\":\"\\u000atenant=7\\u000an=0"));
    ck_assert_ptr_nonnull(
        strstr(json, "\"findings\":\"\\u000an+1\\u000aslow-query"));
    ck_assert_ptr_nonnull(strstr(json, "\"kind\":\"profile\""));
    ck_assert_ptr_nonnull(strstr(json, "\"host\":\"web-2\""));
    ck_assert_ptr_nonnull(strstr(json, "\"more\":false,\"count\":1"));
    free(json);
    sl_bytes_free(&out);
    sl_rows_free(rows);
    sl_rows_free(NULL);
}
END_TEST

START_TEST(the_summary_says_the_hot_path)
{
    static const size_t fillings[] = { 0, 3900, 4096, 200000 };
    for (size_t i = 0; i < 4; i++) {
        profile p = profile_of(1);
        sl_bytes blob = blob_with(&p, 1, "of the summary", fillings[i]);
        sl_rows *rows;
        sl_rows_query q;

        ck_assert_int_eq(sl_rows_new(&rows, NULL, 0), SL_OK);
        ck_assert_int_eq(
            sl_rows_add_blob(rows, p.id, 1, blob.data, blob.size, NULL, 0),
            SL_OK);
        sl_rows_query_init(&q);
        q.words[0] = word("OF THE summary"), q.word_count = 1;
        ck_assert_str_eq(list(rows, &q), "1 ");
        sl_rows_free(rows);
        sl_bytes_free(&blob);
    }
}
END_TEST

START_TEST(filters)
{
    sl_rows *rows = rows_of(20);
    sl_rows_query q, any;

    sl_rows_query_init(&any);
    any.falling = false;
    q = any, q.route = text("/authors/");
    ck_assert_str_eq(list(rows, &q), "1 4 7 10 13 16 19 ");
    q = any, q.route = text("/Page/5/"); /* no route: its path */
    ck_assert_str_eq(list(rows, &q), "5 ");
    q = any, q.method = text("POST");
    ck_assert_str_eq(list(rows, &q), "3 7 11 15 19 ");
    q = any, q.method = text("PUT");
    ck_assert_str_eq(list(rows, &q), "");
    q = any, q.host = text("web-1"), q.status_from = 500, q.status_to = 599;
    ck_assert_str_eq(list(rows, &q), "9 19 ");
    q = any, q.wall_from = 18000000;
    ck_assert_str_eq(list(rows, &q), "18 19 ");
    q = any, q.since = 1700000000004ull * 1000000,
    q.until = 1700000000006ull * 1000000;
    ck_assert_str_eq(list(rows, &q), "4 5 ");
    q = any, q.words[0] = word("pAGE/1"), q.word_count = 1;
    ck_assert_str_eq(list(rows, &q), "1 10 11 12 13 14 15 16 17 18 19 ");
    q = any, q.words[0] = word("VIEWS.hot"), q.word_count = 1, q.limit = 3;
    ck_assert_str_eq(list(rows, &q), "0 1 2 +");
    q = any, q.words[0] = word("hot"), q.words[1] = word("page/11");
    q.word_count = 2;
    ck_assert_str_eq(list(rows, &q), "11 ");
    q.words[0].where = SL_ROWS_IN_PATH;
    ck_assert_str_eq(list(rows, &q), "");
    q.words[0].where = SL_ROWS_IN_HOT, q.words[1].where = SL_ROWS_IN_PATH;
    ck_assert_str_eq(list(rows, &q), "11 ");
    q.word_count = SL_ROWS_WORDS + 1;
    sl_bytes none;
    ck_assert_int_eq(sl_rows_list(rows, &q, &none), SL_ELIMIT);
    q = any, q.wall_from = 3000000, q.wall_to = 5000000;
    ck_assert_str_eq(list(rows, &q), "3 4 ");
    q = any, q.more_than_none = SL_ROW_db_count;
    ck_assert_str_eq(list(rows, &q), "6 12 18 ");
    q = any, q.tag = text("tenant=7");
    ck_assert_str_eq(list(rows, &q), "0 5 10 15 ");
    q = any, q.tag = text("tenant"), q.limit = 2;
    ck_assert_str_eq(list(rows, &q), "0 1 +");
    q = any, q.tag = text("x=y"); /* a line of no tag's own */
    ck_assert_str_eq(list(rows, &q), "");
    q = any, q.finding = text("slow-query");
    ck_assert_str_eq(list(rows, &q), "0 7 14 ");
    q = any, q.finding = text("slow");
    ck_assert_str_eq(list(rows, &q), "");
    sl_rows_free(rows);
}
END_TEST

/* Pages of three by every column in both directions meet every row once, in
 * order, also when the page's last row is deleted meanwhile. */
START_TEST(pages)
{
    sl_rows *rows = rows_of(50);

    for (int turn = 0; turn < 2 * SL_ROW_COLUMNS; turn++) {
        sl_row_column sort = (sl_row_column)(turn / 2);
        sl_rows_query q;
        bool seen[50] = { false };
        char copy[64];
        int count = 0;

        sl_rows_query_init(&q);
        q.sort = sort, q.falling = turn % 2 == 0, q.limit = 3;
        for (;;) {
            char *page = list(rows, &q);
            int last = -1;
            for (char *at = page; *at >= '0' && *at <= '9';
                 at = strchr(at, ' ') + 1) {
                last = atoi(at);
                ck_assert(!seen[last]);
                seen[last] = true;
                count++;
            }
            if (strchr(page, '+') == NULL)
                break;
            profile p = profile_of((unsigned)last);
            q.after = true;
            memcpy(q.after_id, p.id, SL_ID_SIZE);
            q.after_text = text("");
            q.after_number = 0;
            switch (sort) {
            case SL_ROW_started:
                q.after_number = p.ms * 1000000 + 123456;
                break;
            case SL_ROW_ended:
                q.after_number = p.ms * 1000000 + 123456 + p.wall;
                break;
            case SL_ROW_wall_ns: q.after_number = p.wall; break;
            case SL_ROW_calls: q.after_number = 1000 + (uint64_t)last; break;
            case SL_ROW_status: q.after_number = p.status; break;
            case SL_ROW_db_count:
                q.after_number = last % 6 == 0 ? (uint64_t)last : 0;
                break;
            case SL_ROW_method: q.after_text = text(p.method); break;
            case SL_ROW_host: q.after_text = text(p.host); break;
            case SL_ROW_hot: q.after_text = text("views.hot 90%"); break;
            case SL_ROW_path:
                snprintf(copy, sizeof(copy), "/Page/%d/", last);
                q.after_text = text(copy);
                break;
            case SL_ROW_route:
                snprintf(copy, sizeof(copy), "/Page/%d/", last);
                q.after_text = text(p.route[0] ? p.route : copy);
                break;
            case SL_ROW_bytes:
            case SL_ROW_tags:
            case SL_ROW_findings: count = 50; break; /* not known here */
            default: break;
            }
            if (count == 50 && (sort == SL_ROW_bytes || sort == SL_ROW_tags ||
                                sort == SL_ROW_findings))
                break;
        }
        ck_assert_int_eq(count, 50);
    }
    sl_rows_free(rows);
}
END_TEST

START_TEST(a_cursor_whose_text_is_gone_still_has_its_place)
{
    sl_rows *rows = rows_of(9);
    sl_rows_query q;

    sl_rows_query_init(&q);
    q.sort = SL_ROW_path, q.falling = false, q.limit = 2;
    q.after = true, q.after_text = text("/Page/3~");
    ck_assert_str_eq(list(rows, &q), "4 5 +");
    q.falling = true;
    ck_assert_str_eq(list(rows, &q), "3 2 +");
    sl_rows_free(rows);
}
END_TEST

START_TEST(one_id_is_shown_once)
{
    sl_rows *rows = rows_of(3);
    sl_row_place place, places[4];
    sl_rows_query q;
    profile p = profile_of(1);

    sl_rows_query_init(&q);
    /* Checkpoints of the same requests, later in the file: not shown. */
    add_segment(rows, 9, 0, 3, SL_RECORD_CHECKPOINT);
    ck_assert_uint_eq(sl_rows_count(rows), 3);
    ck_assert(sl_rows_find(rows, p.id, &place));
    ck_assert_uint_eq(place.segment, 3);
    /* Copied on before its old segment is deleted: the later one. */
    add_segment(rows, 12, 0, 2, SL_RECORD_MOVED);
    ck_assert(sl_rows_find(rows, p.id, &place));
    ck_assert_uint_eq(place.segment, 12);
    ck_assert_uint_eq(sl_rows_places(rows, p.id, places, 4), 3);
    ck_assert_str_eq(list(rows, &q), "2 1 0 ");

    sl_rows_drop_segment(rows, 3);
    ck_assert_str_eq(list(rows, &q), "2 1 0 ");
    sl_rows_drop_segment(rows, 12); /* now only checkpoints are left */
    ck_assert_uint_eq(sl_rows_count(rows), 3);
    sl_rows_drop(rows, p.id);
    ck_assert_str_eq(list(rows, &q), "2 0 ");
    ck_assert(!sl_rows_find(rows, p.id, &place));
    sl_rows_free(rows);
}
END_TEST

START_TEST(stored_since_a_mark)
{
    sl_rows *rows = rows_of(4);
    sl_row_place place;
    sl_rows_query q;
    profile p = profile_of(2);

    ck_assert(sl_rows_find(rows, p.id, &place));
    sl_row_mark mark = { 3, place.offset };
    sl_rows_query_init(&q);
    q.marked = true, q.newest = 7, q.marks = &mark, q.mark_count = 1;
    ck_assert_str_eq(list(rows, &q), "3 2 ");
    add_segment(rows, 7, 10, 1, SL_RECORD_PROFILE); /* was there, sealed */
    add_segment(rows, 8, 11, 1, SL_RECORD_PROFILE);
    add_segment(rows, 9, 12, 1, SL_RECORD_MOVED); /* not new */
    ck_assert_str_eq(list(rows, &q), "11 3 2 ");
    sl_rows_free(rows);
}
END_TEST

/* A footer brings the same list as the blobs that it stands for. */
START_TEST(a_footer_says_the_same)
{
    sl_rows *rows = rows_of(40), *again;
    sl_bytes footer = { 0 }, before = { 0 }, after = { 0 };
    sl_rows_query q;
    sl_record record;
    sl_footer_end end;

    sl_rows_query_init(&q);
    sl_rows_drop(rows, profile_of(7).id);
    ck_assert_int_eq(sl_rows_footer(rows, 3, &footer), SL_OK);
    ck_assert_int_eq(sl_record_read(footer.data, footer.size, &record), SL_OK);
    ck_assert_int_eq(record.kind, SL_RECORD_FOOTER);
    ck_assert_uint_eq(record.size, footer.size);
    ck_assert(sl_footer_end_read(footer.data, footer.size, &end));
    ck_assert_uint_eq(end.profiles, 39);
    ck_assert_uint_eq(end.size, footer.size);
    ck_assert_uint_eq(end.oldest_ms, 1700000000000);
    ck_assert_uint_eq(end.newest_ms, 1700000000039);

    ck_assert_int_eq(sl_rows_new(&again, NULL, 0), SL_OK);
    ck_assert_int_eq(sl_rows_add_footer(again, 3, footer.data + SL_RECORD_HEAD,
                                        record.inside),
                     SL_OK);
    ck_assert_int_eq(sl_rows_list(rows, &q, &before), SL_OK);
    ck_assert_int_eq(sl_rows_list(again, &q, &after), SL_OK);
    ck_assert_uint_eq(before.size, after.size);
    ck_assert_int_eq(memcmp(before.data, after.data, after.size), 0);
    for (unsigned i = 0; i < 40; i++) {
        sl_row_place a = { 0 }, b = { 0 };
        ck_assert(sl_rows_find(rows, profile_of(i).id, &a) ==
                  sl_rows_find(again, profile_of(i).id, &b));
        ck_assert(a.segment == b.segment && a.offset == b.offset);
    }
    sl_bytes_free(&before);
    sl_bytes_free(&after);
    sl_bytes_free(&footer);
    sl_rows_free(again);
    sl_rows_free(rows);
}
END_TEST

START_TEST(a_damaged_footer_is_refused)
{
    sl_rows *rows = rows_of(12), *again;
    sl_bytes footer = { 0 };
    sl_buf content, changed;

    ck_assert_int_eq(sl_rows_footer(rows, 3, &footer), SL_OK);
    size_t size = footer.size - SL_RECORD_HEAD - SL_FOOTER_END;
    sl_buf_init(&content, NULL, 0);
    ck_assert_int_eq(
        sl_decompress(&content, footer.data + SL_RECORD_HEAD, size, 1 << 20, 0),
        SL_OK);
    ck_assert_int_eq(sl_rows_new(&again, NULL, 0), SL_OK);
    /* Any content: cut anywhere, and any byte changed to any of four. */
    for (size_t at = 0; at < content.size * 5; at++) {
        uint8_t old = content.data[at / 5];
        static const uint8_t values[] = { 0, 1, 0x7F, 0xFF };
        size_t length = content.size;
        if (at % 5 == 4)
            length = at / 5;
        else
            content.data[at / 5] = values[at % 5];
        sl_buf_init(&changed, NULL, 0);
        sl_compress(&changed, content.data, length, 1);
        sl_buf_put(&changed, footer.data + footer.size - SL_FOOTER_END,
                   SL_FOOTER_END);
        sl_status status =
            sl_rows_add_footer(again, 3, changed.data, changed.size);
        if (at % 5 == 4 && length < 2)
            ck_assert_int_eq(status, SL_ECORRUPT);
        ck_assert(status == SL_OK || status == SL_ECORRUPT);
        sl_rows_drop_segment(again, 3);
        content.data[at / 5] = old;
        sl_buf_free(&changed);
    }
    ck_assert_uint_eq(sl_rows_count(again), 0);
    ck_assert_int_eq(sl_rows_add_footer(again, 3, "short", 5), SL_ECORRUPT);
    sl_buf_free(&content);
    sl_bytes_free(&footer);
    sl_rows_free(again);
    sl_rows_free(rows);
}
END_TEST

START_TEST(a_segment_may_end_anywhere)
{
    sl_buf data;
    size_t used;

    sl_buf_init(&data, NULL, 0);
    segment_of(&data, 0, 2, SL_RECORD_PROFILE);
    for (size_t cut = 0; cut <= data.size; cut++) {
        sl_rows *rows;
        ck_assert_int_eq(sl_rows_new(&rows, NULL, 0), SL_OK);
        ck_assert_int_eq(sl_rows_add_records(rows, 1, 0, data.data, cut, &used),
                         SL_OK);
        ck_assert_uint_le(used, cut);
        ck_assert(cut < data.size || sl_rows_count(rows) == 2);
        /* The rest, from there on. */
        ck_assert_int_eq(sl_rows_add_records(rows, 1, used, data.data + used,
                                             data.size - used, &used),
                         SL_OK);
        ck_assert_uint_eq(sl_rows_count(rows), 2);
        sl_rows_free(rows);
    }
    sl_buf_free(&data);
}
END_TEST

START_TEST(a_blob_that_cannot_be_read_is_still_a_row)
{
    sl_buf data;
    sl_rows *rows;
    size_t used;
    sl_row_place place;

    sl_buf_init(&data, NULL, 0);
    segment_of(&data, 0, 2, SL_RECORD_PROFILE);
    data.data[SL_RECORD_HEAD + 13 + 8] ^= 0xFF; /* inside the first blob */
    memset(data.data + SL_RECORD_HEAD + 13, 0x55, 40);
    ck_assert_int_eq(sl_rows_new(&rows, NULL, 0), SL_OK);
    ck_assert_int_eq(
        sl_rows_add_records(rows, 1, 0, data.data, data.size, &used), SL_OK);
    ck_assert_uint_eq(sl_rows_count(rows), 2);
    ck_assert(sl_rows_find(rows, profile_of(0).id, &place));

    sl_bytes blob =
        blob_of(&(profile){ .method = "", .route = "", .host = "" }, 1);
    ck_assert_int_eq(sl_rows_add_blob(rows, NULL, 2, blob.data, 9, NULL, 0),
                     SL_ECORRUPT);
    ck_assert_int_eq(
        sl_rows_add_blob(rows, NULL, 2, blob.data, blob.size, "hot", 3), SL_OK);
    ck_assert_uint_eq(sl_rows_count(rows), 3);
    sl_bytes_free(&blob);
    sl_buf_free(&data);
    sl_rows_free(rows);
}
END_TEST

START_TEST(what_was_dropped_gives_its_memory_back)
{
    sl_rows *rows;

    ck_assert_int_eq(sl_rows_new(&rows, NULL, 0), SL_OK);
    for (uint32_t i = 0; i < 12; i++)
        add_segment(rows, i + 1, i * 1000, 1000, SL_RECORD_PROFILE);
    size_t full = sl_rows_bytes(rows);
    for (uint32_t i = 0; i < 11; i++)
        sl_rows_drop_segment(rows, i + 1);
    ck_assert_uint_eq(sl_rows_count(rows), 1000);
    ck_assert_uint_lt(sl_rows_bytes(rows), full / 2);
    sl_row_place place;
    ck_assert(sl_rows_find(rows, profile_of(11500).id, &place));
    ck_assert_uint_eq(place.segment, 12);
    sl_rows_free(rows);

    ck_assert_int_eq(sl_rows_new(&rows, NULL, full / 2), SL_OK);
    sl_buf data;
    size_t used;
    sl_buf_init(&data, NULL, 0);
    segment_of(&data, 0, 12000, SL_RECORD_PROFILE);
    ck_assert_int_eq(
        sl_rows_add_records(rows, 1, 0, data.data, data.size, &used),
        SL_ELIMIT);
    ck_assert_uint_gt(sl_rows_count(rows), 1000);
    sl_buf_free(&data);
    sl_rows_free(rows);
}
END_TEST

START_TEST(the_worst_of_each_route)
{
    sl_rows *rows = rows_of(30);
    sl_bytes out = { 0 };
    profile p = profile_of(29), q = profile_of(26), error = profile_of(19);
    char id[SL_ID_TEXT + 1] = "";

    ck_assert_int_eq(sl_rows_worst(rows, 1, &out), SL_OK);
    char *json = calloc(1, out.size + 1);
    memcpy(json, out.data, out.size);
    sl_id_text(p.id, id); /* of GET /Page/29/: a route of its own */
    ck_assert_ptr_nonnull(strstr(json, id));
    sl_id_text(q.id, id);
    ck_assert_ptr_nonnull(strstr(json, id));
    ck_assert_ptr_nonnull(strstr(json, "[\"GET /authors/\",\"slow\",28000000"));
    ck_assert_ptr_null(strstr(json, "[\"GET /authors/\",\"slow\",25000000"));
    ck_assert_ptr_nonnull(
        strstr(json, "POST /authors/\",\"errors\",1700000000019"));
    sl_id_text(error.id, id);
    ck_assert_ptr_nonnull(strstr(json, id));
    free(json);
    sl_bytes_free(&out);
    ck_assert_int_eq(sl_rows_worst(rows, 0, &out), SL_OK);
    ck_assert_uint_eq(out.size, 2);
    sl_bytes_free(&out);
    sl_rows_free(rows);
}
END_TEST

START_TEST(numbers_of_each_route)
{
    sl_rows *rows = rows_of(30);
    sl_bytes out = { 0 };
    sl_row_text authors = text("/authors/"), all = { NULL, 0 },
                none = text("/none/");

    /* 1 4 10 13 16 22 25 28 are GET, 7 19 POST; 19 an error. */
    ck_assert_int_eq(sl_rows_routes(rows, &authors, &out), SL_OK);
    char *json = calloc(1, out.size + 1);
    memcpy(json, out.data, out.size);
    ck_assert_ptr_nonnull(
        strstr(json, "\"method\":\"GET\",\"count\":8,\"errors\":0,"
                     "\"p50\":16000000,\"p95\":28000000,\"p99\":28000000,"
                     "\"max\":28000000,\"total\":119000000"));
    ck_assert_ptr_nonnull(
        strstr(json, "\"method\":\"POST\",\"count\":2,\"errors\":1"));
    ck_assert_ptr_nonnull(strstr(json, "\"trend\":[1000000,4000000,0,"));
    free(json);
    sl_bytes_free(&out);
    ck_assert_int_eq(sl_rows_routes(rows, &none, &out), SL_OK);
    ck_assert_uint_eq(out.size, 2);
    sl_bytes_free(&out);
    ck_assert_int_eq(sl_rows_routes(rows, &all, &out), SL_OK);
    ck_assert_uint_gt(out.size, 1000);
    sl_bytes_free(&out);

    profile p = profile_of(1);
    sl_row_place place;
    add_segment(rows, 9, 1, 1, SL_RECORD_MOVED);
    sl_rows_drop_in(rows, p.id, 9);
    ck_assert(sl_rows_find(rows, p.id, &place));
    ck_assert_uint_eq(place.segment, 3);
    ck_assert_uint_eq(sl_rows_count(rows), 30);
    sl_rows_drop_in(rows, p.id, 3);
    ck_assert(!sl_rows_find(rows, p.id, &place));
    sl_rows_free(rows);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    sl_buf data;
    sl_rows *whole = rows_of(60);
    sl_bytes footer = { 0 };

    ck_assert_int_eq(sl_rows_footer(whole, 3, &footer), SL_OK);
    sl_buf_init(&data, NULL, 0);
    segment_of(&data, 0, 60, SL_RECORD_PROFILE);
    for (long budget = 0;; budget++) {
        fault f;
        sl_rows *rows = NULL;
        sl_rows_query q;
        sl_bytes out = { 0 }, made = { 0 }, worst = { 0 };
        size_t used;

        fault_init(&f, budget);
        sl_rows_query_init(&q);
        q.sort = SL_ROW_route, q.tag = text("tenant=7");
        q.words[0] = word("page"), q.word_count = 1;
        sl_status status = sl_rows_new(&rows, &f.alloc, 0);
        if (status == SL_OK)
            status =
                sl_rows_add_records(rows, 3, 0, data.data, data.size, &used);
        if (status == SL_OK)
            status = sl_rows_add_footer(rows, 4, footer.data + SL_RECORD_HEAD,
                                        footer.size - SL_RECORD_HEAD);
        if (status == SL_OK)
            status = sl_rows_footer(rows, 4, &made);
        if (status == SL_OK)
            status = sl_rows_list(rows, &q, &out);
        if (status == SL_OK)
            status = sl_rows_worst(rows, 2, &worst);
        if (rows != NULL)
            sl_rows_drop_segment(rows, 3);
        sl_bytes_free(&out);
        sl_bytes_free(&made);
        sl_bytes_free(&worst);
        sl_rows_free(rows);
        ck_assert_int_eq(f.live, 0);
        if (status == SL_OK)
            break;
        ck_assert_int_eq(status, SL_ENOMEM);
    }
    sl_buf_free(&data);
    sl_bytes_free(&footer);
    sl_rows_free(whole);
}
END_TEST

Suite *
rows_suite(void)
{
    const TTest *const tests[] = {
        a_row_has_what_the_metadata_says,
        the_summary_says_the_hot_path,
        filters,
        pages,
        a_cursor_whose_text_is_gone_still_has_its_place,
        one_id_is_shown_once,
        stored_since_a_mark,
        a_footer_says_the_same,
        a_damaged_footer_is_refused,
        a_segment_may_end_anywhere,
        a_blob_that_cannot_be_read_is_still_a_row,
        what_was_dropped_gives_its_memory_back,
        numbers_of_each_route,
        the_worst_of_each_route,
        any_allocation_may_fail,
        NULL
    };
    return suite_of("rows", tests);
}
