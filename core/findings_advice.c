/* What people do about a finding: by its rule, and by what took the time. */
#include "findings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Queries in one request from which on there are too many, whatever each took.
 */
#define QUERIES_MANY 10u

static bool
starts(const char *text, const char *with)
{
    for (; *with != 0; text++, with++) {
        if (*text == 0 || (*text | 0x20) != (*with | 0x20)) /* in any case */
            return false;
    }
    return true;
}

static bool
is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (starts(text, *words))
            return true;
    }
    return false;
}

/* About a statement that is no question, made so often in a request; NULL: it
 * is one. */
static const char *
by_statement(const char *sql, uint64_t times)
{
    static const char *const schema[] = { "create ", "alter ",   "drop ",
                                          "pragma ", "reindex ", NULL };
    static const char *const writes[] = { "insert ",  "update ", "delete ",
                                          "replace ", "merge ",  NULL };
    static const char *const ends[] = { "commit",   "begin",    "savepoint",
                                        "release ", "rollback", NULL };

    if (is_one_of(sql, schema))
        return "These statements are about the schema: they belong into a "
               "migration or the start of the program, and the next request "
               "should not need them.";
    if (is_one_of(sql, writes) && times <= 1)
        return "It writes once: see whether each request must, and whether it "
               "waits for a lock or for the disk; what nobody waits for can be "
               "written after the response.";
    if (is_one_of(sql, writes))
        return "Write several rows with one statement (bulk_create, "
               "bulk_update, executemany), all in one transaction.";
    if (is_one_of(sql, ends))
        return "Write in fewer transactions: the end of each waits for the "
               "disk.";
    return NULL;
}

/* Whether it was asked for by a library whose files are there. */
static bool
is_below(const sl_outline *o, uint32_t node, const char *folder)
{
    size_t len = strlen(folder);

    for (uint32_t i = node; i != SL_FINDING_NONE && i != 0;
         i = o->nodes[i].parent) {
        const sl_function *f = sl_outline_function(o, i);
        for (size_t at = 0; at + len <= f->file_len; at++) {
            if (memcmp(f->file + at, folder, len) == 0)
                return true;
        }
    }
    return false;
}

/* Fewer queries, in the words of who makes them. */
static const char *
in_fewer(const sl_outline *o, const sl_finding *f)
{
    if (is_below(o, f->node, "/django/db/"))
        return "Ask once for all: select_related or prefetch_related, in_bulk, "
               "or one query before the loop; and only for what is used.";
    if (is_below(o, f->node, "/sqlalchemy/"))
        return "Ask once for all: joinedload or selectinload, or one query "
               "with IN before the loop; and only for what is used.";
    return "Ask once for all: a join, or one query with IN before the loop; "
           "and only for what is used.";
}

static const char *
about_queries(const sl_outline *o, const sl_finding *f)
{
    const char *sql = f->span != 0 ? o->spans[f->span - 1].text : "";
    uint64_t times = f->span != 0 ? o->spans[f->span - 1].count : 0;
    const char *other = by_statement(sql, times / sl_outline_requests(o));

    if (other != NULL)
        return other;
    if (f->rule == SL_FINDING_N_PLUS_1)
        return in_fewer(o, f);
    if (f->rule != SL_FINDING_DATABASE || f->count == 0)
        return sl_finding_at(f->rule)->advice;
    if (f->inner > 0 && f->inner < f->ns / 2)
        return "Most of it is the ORM, not the database: fetch fewer rows and "
               "columns (only(), values(), pages), and ask in fewer queries.";
    if (f->count / sl_outline_requests(o) >= QUERIES_MANY)
        return in_fewer(o, f);
    return "Make the query faster: have the database explain it (EXPLAIN), "
           "add an index that it lacks, ask for fewer rows and columns.";
}

static bool
says_open(const sl_function *f)
{
    static const char *const words[] = { "heartbeat", "keepalive", "keep_alive",
                                         "listen",    "subscribe", "stream",
                                         "websocket", "long_poll" };

    for (size_t k = 0; k < sizeof(words) / sizeof(*words); k++) {
        size_t len = strlen(words[k]);
        for (size_t at = 0; at + len <= f->name_len; at++) {
            if (memcmp(f->name + at, words[k], len) == 0)
                return true;
        }
    }
    return false;
}

/* Whether a name says that it stays open on purpose: that of what waits, or of
 * own code that asked it to. A framework streams whatever it sends. */
static bool
stays_open(const sl_outline *o, uint32_t node)
{
    bool nearest = true;

    for (uint32_t i = node; i != 0; i = o->nodes[i].parent) {
        const sl_function *f = sl_outline_function(o, i);
        if (f->origin == SL_ORIGIN_PROJECT ||
            (f->origin == SL_ORIGIN_LIBRARY && nearest)) {
            if (says_open(f))
                return true;
            nearest = false;
        }
    }
    return false;
}

static const char *
about_waiting(const sl_outline *o, const sl_finding *f)
{
    if (f->node != SL_FINDING_NONE && stays_open(o, f->node))
        return "By its name it stays open on purpose (a stream, a heartbeat): "
               "then it is not slow, and its time says how long the client "
               "stayed.";
    return sl_finding_at(f->rule)->advice;
}

/* "It was called 40 times, 2.2 ms each" */
static void
put_calls(const sl_outline *o, const sl_finding *f, sl_buf *out)
{
    double each = (double)f->ns / (double)f->count;
    char text[96];

    if (each >= 1e5)
        snprintf(text, sizeof(text),
                 "%" PRIu64 " calls, %.1f ms each: ", f->count, each / 1e6);
    else
        snprintf(text, sizeof(text),
                 "%" PRIu64 " calls, %.1f us each: ", f->count, each / 1e3);
    sl_buf_put_str(out, text);
    sl_buf_put_str(out, sl_outline_requests(o) > 1
                            ? "make fewer, or each one cheaper."
                            : "call it less often (outside a loop, or once for "
                              "all), or make each call cheaper.");
}

static void
about_function(const sl_outline *o, const sl_finding *f, sl_buf *out)
{
    const sl_function *called =
        f->node == SL_FINDING_NONE ? NULL : sl_outline_function(o, f->node);

    /* Told for many places at once it is no wait of one of them. */
    if (called != NULL && f->ns >= sl_outline_wall(o) / 5 &&
        (sl_outline_is_sleep(called, true) ||
         sl_outline_is_sleep(called, false))) {
        sl_buf_put_str(out, sl_finding_at(SL_FINDING_SLEEP)->advice);
        return;
    }
    if (f->ns < sl_outline_wall(o) / 5) {
        sl_buf_put_str(out, "There is no single thing to mend: see on the hot "
                            "path what calls all of it, and whether each "
                            "request needs that.");
        return;
    }
    if (f->recursive) {
        sl_buf_put_str(out, "It calls itself: see how often it comes to the "
                            "same again, and give it less to go through.");
        return;
    }
    if (f->count > 1) {
        put_calls(o, f, out);
        return;
    }
    if (f->node == f->own && f->itself) {
        sl_buf_put_str(out, "The time is in the lines of this function: look "
                            "at its loops, and at what each pass does.");
        return;
    }
    sl_buf_put_str(out, f->own == SL_FINDING_NONE
                            ? "No code of yours is on the way to it: see what "
                              "in your settings or your request makes the "
                              "library do that."
                            : "See what this line needs of it: give it less "
                              "to do, or do it elsewhere than in a request.");
}

void
sl_finding_advice(const sl_outline *o, const sl_finding *one, sl_buf *out)
{
    switch (one->rule) {
    case SL_FINDING_HOT: about_function(o, one, out); return;
    case SL_FINDING_DATABASE:
    case SL_FINDING_N_PLUS_1:
    case SL_FINDING_SLOW_QUERY:
        sl_buf_put_str(out, about_queries(o, one));
        return;
    case SL_FINDING_AWAIT:
    case SL_FINDING_SLEEP: sl_buf_put_str(out, about_waiting(o, one)); return;
    default: sl_buf_put_str(out, sl_finding_at(one->rule)->advice);
    }
}
