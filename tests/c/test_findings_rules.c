/* Each rule of slowlens/finding.h: a profile that it is told of, and one that
 * is nearly the same and of which it is not. */
#include "suites.h"

#include "findings.h"
#include "made.h"
#include "profile.h"

#include <string.h>

#define SPANS(...)                                                             \
    (const sl_outline_span[]) __VA_ARGS__,                                     \
        sizeof((const sl_outline_span[])__VA_ARGS__) / sizeof(sl_outline_span)
#define SPAN(at, on, of, what, times, ns)                                      \
    {                                                                          \
        .node = (at), .line = (on), .kind = (of), .text = (what), .where = "", \
        .count = (times), .total_ns = (ns), .outer_ns = (ns),                  \
        .longest_ns = (ns) / (times)                                           \
    }
#define COUNTED(...)                                                           \
    .counters = (const sl_profile_counter[])__VA_ARGS__,                       \
    .counter_count = sizeof((const sl_profile_counter[])__VA_ARGS__) /         \
                     sizeof(sl_profile_counter)
#define META(...)                                                              \
    .meta = (const sl_meta[])__VA_ARGS__,                                      \
    .meta_count = sizeof((const sl_meta[])__VA_ARGS__) / sizeof(sl_meta)
#define NUMBER(key, value)                                                     \
    {                                                                          \
        key, sizeof(key) - 1, NULL, 0, value                                   \
    }
#define TEXT(key, value)                                                       \
    {                                                                          \
        key, sizeof(key) - 1, value, sizeof(value) - 1, 0                      \
    }

/* A view that calls one other thing for most of its time. */
#define VIEW(name, calls, ns)                                                  \
    MADE({ { 0, "[request]", 1, 5, 0 },                                        \
           { 1, "app.view", 1, 95 - (ns), 0 },                                 \
           { 2, name, calls, ns, 3 } })

/* Rules that were told, and that were not. */
static bool covered[SL_FINDING_COUNT], spared[SL_FINDING_COUNT];

static bool
is_told(const made *m, const sl_outline_span *spans, uint32_t count,
        sl_finding_rule rule, char advice[400])
{
    sl_profile *p = made_profile(m);
    sl_outline outline;
    sl_hotpath path;
    sl_findings all;
    bool found = false;

    ck_assert_int_eq(sl_profile_outline(p, &outline), SL_OK);
    const sl_outline_span *own = outline.spans;
    outline.spans = spans;
    outline.span_count = count;
    ck_assert_int_eq(sl_hotpath_find(&outline, 0, &path), SL_OK);
    ck_assert_int_eq(sl_findings_find(&outline, &path, &all), SL_OK);
    for (uint32_t i = 0; i < all.count; i++) {
        sl_buf text;
        if (all.items[i].rule != rule)
            continue;
        ck_assert_msg(!found, "%s is told twice", sl_finding_at(rule)->word);
        found = true;
        sl_buf_init(&text, NULL, 0);
        sl_finding_text(&outline, &all, &all.items[i], &text);
        ck_assert_int_eq(text.data[text.size - 1], '.');
        text.size = 0;
        sl_finding_advice(&outline, &all.items[i], &text);
        sl_buf_put_u8(&text, 0);
        ck_assert_uint_gt(text.size, 20);
        strncpy(advice, (const char *)text.data, 399);
        sl_buf_free(&text);
    }
    sl_hotpath_free(&path);
    outline.spans = own;
    sl_profile_outline_free(&outline);
    sl_profile_free(p);
    return found;
}

static void
told(sl_finding_rule rule, const char *says, made m,
     const sl_outline_span *spans, size_t count)
{
    char advice[400] = "";

    ck_assert_msg(is_told(&m, spans, (uint32_t)count, rule, advice),
                  "%s is not told", sl_finding_at(rule)->word);
    ck_assert_msg(strstr(advice, says) != NULL, "%s: %s",
                  sl_finding_at(rule)->word, advice);
    covered[rule] = true;
}

static void
spares(sl_finding_rule rule, made m, const sl_outline_span *spans, size_t count)
{
    char advice[400] = "";

    ck_assert_msg(!is_told(&m, spans, (uint32_t)count, rule, advice),
                  "%s is told", sl_finding_at(rule)->word);
    spared[rule] = true;
}

#define NO_SPANS NULL, 0

static void
each_work(void)
{
    static const struct {
        sl_finding_rule rule;
        const char *name, *says;
    } works[] = {
        { SL_FINDING_JSON, "json/__init__:dumps", "orjson" },
        { SL_FINDING_COPY, "std./copy:deepcopy", "shallow" },
        { SL_FINDING_REGEX, "re/_compiler:compile", "top of the module" },
        { SL_FINDING_TEMPLATE_COMPILE, "jinja2/environment:Environment.compile",
          "compiled once" },
        { SL_FINDING_IMPORT, "importlib/_bootstrap:_find_and_load",
          "when the program starts" },
        { SL_FINDING_LOGGING, "logging/__init__:Logger._log", "QueueHandler" },
        { SL_FINDING_PASSWORD, "werkzeug/security:check_password_hash",
          "slow on purpose" },
        { SL_FINDING_COMPRESS, "std./gzip:compress", "lower level" },
        { SL_FINDING_SERIALIZE, "fastapi/encoders:jsonable_encoder", "fewer" },
        { SL_FINDING_CONNECT, "psycopg2/__init__:connect", "pool" },
        { SL_FINDING_TRACEBACK, "rich/console:Console.print_exception",
          "mend its cause" },
        { SL_FINDING_MIGRATION,
          "alembic/runtime/migration:MigrationContext.run_migrations",
          "before the program serves" },
    };

    for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++) {
        const char *name = works[i].name;
        made most = { VIEW(name, 1, 80) };
        told(works[i].rule, works[i].says, most, NO_SPANS);
        /* A third of it beside something larger. */
        made beside = { MADE({ { 0, "[request]", 1, 5, 0 },
                               { 1, "app.view", 1, 5, 0 },
                               { 2, "render", 1, 60, 3 },
                               { 2, name, 1, 30, 4 } }) };
        told(works[i].rule, works[i].says, beside, NO_SPANS);
        made little = { VIEW(name, 1, 4) };
        spares(works[i].rule, little, NO_SPANS);
        made other = { VIEW("elsewhere:dumps", 1, 80) };
        spares(works[i].rule, other, NO_SPANS);
    }
}

static void
each_wait(void)
{
    static const struct {
        sl_finding_rule rule;
        sl_metric metric;
    } waits[] = { { SL_FINDING_LOCK, SL_METRIC_LOCK },
                  { SL_FINDING_SOCKET, SL_METRIC_SOCKET },
                  { SL_FINDING_DISK, SL_METRIC_DISK },
                  { SL_FINDING_SLEEP, SL_METRIC_SLEEP },
                  { SL_FINDING_POLL, SL_METRIC_POLL },
                  { SL_FINDING_CHILD, SL_METRIC_CHILD } };
    static const struct {
        sl_finding_rule rule;
        const char *key;
    } nobodys[] = { { SL_FINDING_LOOP, "loop_ns" },
                    { SL_FINDING_RUN_QUEUE, "run_queue_ns" },
                    { SL_FINDING_GIL, "gil_wait_ns" },
                    { SL_FINDING_CLIENT, "idle_ns" },
                    { SL_FINDING_GC, "gc_ns" } };

    for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
        made m = { VIEW("read", 1, 80),
                   COUNTED({ { 2, waits[i].metric, 70 } }) };
        told(waits[i].rule, "", m, NO_SPANS);
        made less = { VIEW("read", 1, 80),
                      COUNTED({ { 2, waits[i].metric, 30 } }) };
        spares(waits[i].rule, less, NO_SPANS);
    }
    for (size_t i = 0; i < sizeof(nobodys) / sizeof(*nobodys); i++) {
        const sl_meta half = { nobodys[i].key, strlen(nobodys[i].key), NULL, 0,
                               50 };
        const sl_meta little = { nobodys[i].key, strlen(nobodys[i].key), NULL,
                                 0, 5 };
        made m = { VIEW("read", 1, 80), .meta = &half, .meta_count = 1 };
        told(nobodys[i].rule, "", m, NO_SPANS);
        m.meta = &little;
        spares(nobodys[i].rule, m, NO_SPANS);
    }
}

static void
by_what_a_function_does(void)
{
    each_work();
    /* A middleware of that name runs all of the request below it. */
    made named = { MADE({ { 0, "[request]", 1, 5, 0 },
                          { 1, "lib/middleware/gzip:__call__", 1, 5, 0 },
                          { 2, "render", 1, 90, 3 } }) };
    spares(SL_FINDING_COMPRESS, named, NO_SPANS);
    /* The collector, wherever it happens to run: told once, as itself. */
    made collects = { MADE({ { 0, "[request]", 1, 5, 0 },
                             { 1, "std./gzip:compress", 1, 2, 0 },
                             { 2, "[gc]", 1, 93, 0 } }) };
    told(SL_FINDING_GC, "freeze", collects, NO_SPANS);
    spares(SL_FINDING_COMPRESS, collects, NO_SPANS);
    spares(SL_FINDING_HOT, collects, NO_SPANS);
    /* Its parts are its work; code of the project is not. */
    made deep = { MADE({ { 0, "[request]", 1, 5, 0 },
                         { 1, "app.view", 1, 5, 0 },
                         { 2, "auth:login", 1, 5, 3 },
                         { 3, "django/contrib/auth/hashers:check", 1, 1, 3 },
                         { 4, "base64", 1, 70, 3 } }) };
    told(SL_FINDING_PASSWORD, "never weaken", deep, NO_SPANS);
    made calls_back = { MADE({ { 0, "[request]", 1, 5, 0 },
                               { 1, "app.view", 1, 5, 0 },
                               { 2, "json/__init__:dumps", 1, 5, 3 },
                               { 3, "app.default", 1, 80, 3 } }) };
    spares(SL_FINDING_JSON, calls_back, NO_SPANS);
}

static void
by_what_it_waited_for(void)
{
    each_wait();
    made awaits = { MADE({ { 0, "[request]", 1, 5, 0 },
                           { 1, "app.view", 1, 5, 0 },
                           { 2, "client", 1, 1, 3 },
                           { 3, "[await]", 1, 80, 0 } }) };
    told(SL_FINDING_AWAIT, "answered late", awaits, NO_SPANS);
    made computes = { VIEW("client", 1, 80) };
    spares(SL_FINDING_AWAIT, computes, NO_SPANS);
    made beats = { MADE({ { 0, "[request]", 1, 5, 0 },
                          { 1, "app.heartbeat", 1, 5, 0 },
                          { 2, "[await]", 1, 80, 0 } }) };
    told(SL_FINDING_AWAIT, "stays open on purpose", beats, NO_SPANS);
    made sleeps = { MADE({ { 0, "[request]", 1, 5, 0 },
                           { 1, "app.view", 1, 5, 0 },
                           { 2, "std.asyncio/tasks:sleep", 1, 1, 3 },
                           { 3, "[await]", 1, 80, 0 } }) };
    spares(SL_FINDING_AWAIT, sleeps, NO_SPANS);
    told(SL_FINDING_SLEEP, "It asked to", sleeps, NO_SPANS);
    made late = { MADE({ { 0, "[request]", 1, 5, 0 },
                         { 1, "app.view", 1, 5, 0 },
                         { 2, "std.asyncio/tasks:sleep", 1, 1, 3 },
                         { 3, "[await]", 1, 30, 0 },
                         { 3, "[loop busy]", 1, 60, 0 } }) };
    told(SL_FINDING_LOOP, "keeps the loop", late, NO_SPANS);
    told(SL_FINDING_SLEEP, "It asked to", late, NO_SPANS);

    made held = { VIEW("read", 1, 80), META({ NUMBER("step_ns", 60000000) }) };
    told(SL_FINDING_HOLDS_LOOP, "thread or process", held, NO_SPANS);
    made brief = { VIEW("read", 1, 80), META({ NUMBER("step_ns", 6000000) }) };
    spares(SL_FINDING_HOLDS_LOOP, brief, NO_SPANS);

    made full = { MADE({ { 0, "[request]", 1, 5, 0 },
                         { 1, "app.view", 1, 5, 0 },
                         { 2, "submit", 1, 80, 3 },
                         { 3, "[thread]", 1, 0, 0 },
                         { 4, "[queued]", 1, 60, 0 },
                         { 4, "read", 1, 20, 0 } }) };
    told(SL_FINDING_QUEUED, "more threads", full, NO_SPANS);
    made room = { MADE({ { 0, "[request]", 1, 5, 0 },
                         { 1, "app.view", 1, 5, 0 },
                         { 2, "submit", 1, 80, 3 },
                         { 3, "[thread]", 1, 0, 0 },
                         { 4, "[queued]", 1, 6, 0 },
                         { 4, "read", 1, 70, 0 } }) };
    spares(SL_FINDING_QUEUED, room, NO_SPANS);
}

static void
by_what_it_asked_for(void)
{
    made asks = { VIEW("execute", 1, 80) };

    told(SL_FINDING_DATABASE, "EXPLAIN", asks,
         SPANS({ SPAN(2, 3, "db", "SELECT a", 1, 70) }));
    told(SL_FINDING_DATABASE, "a join", asks,
         SPANS({ SPAN(2, 3, "db", "SELECT a", 9, 35),
                 SPAN(2, 3, "db", "SELECT b", 9, 35) }));
    told(SL_FINDING_DATABASE, "about the schema", asks,
         SPANS({ SPAN(2, 3, "db", "create index x on y", 1, 70) }));
    told(SL_FINDING_DATABASE, "one statement", asks,
         SPANS({ SPAN(2, 3, "db", "INSERT INTO y", 5, 70) }));
    told(SL_FINDING_DATABASE, "after the response", asks,
         SPANS({ SPAN(2, 3, "db", "UPDATE y SET", 1, 70) }));
    told(SL_FINDING_DATABASE, "fewer transactions", asks,
         SPANS({ SPAN(2, 3, "db", "COMMIT", 2, 70) }));
    spares(SL_FINDING_DATABASE, asks,
           SPANS({ SPAN(2, 3, "db", "SELECT a", 1, 7) }));

    told(SL_FINDING_N_PLUS_1, "with IN", asks,
         SPANS({ SPAN(2, 3, "db", "SELECT a", 40, 70) }));
    made of_django = { VIEW("django/db/backends/utils:execute", 40, 80) };
    told(SL_FINDING_N_PLUS_1, "select_related", of_django,
         SPANS({ SPAN(2, 3, "db", "SELECT a", 40, 70) }));
    made of_alchemy = { VIEW("sqlalchemy/engine/default:execute", 40, 80) };
    told(SL_FINDING_N_PLUS_1, "selectinload", of_alchemy,
         SPANS({ SPAN(2, 3, "db", "SELECT a", 40, 70) }));
    told(SL_FINDING_N_PLUS_1, "bulk_create", asks,
         SPANS({ SPAN(2, 3, "db", "INSERT INTO a", 40, 70) }));
    spares(SL_FINDING_N_PLUS_1, asks,
           SPANS({ SPAN(2, 3, "db", "SELECT a", 4, 70) }));

    made second = { MADE({ { 0, "[request]", 1, 0, 0 },
                           { 1, "app.view", 1, 100000000, 0 },
                           { 2, "execute", 1, 900000000, 9 } }) };
    told(SL_FINDING_SLOW_QUERY, "EXPLAIN", second,
         SPANS({ SPAN(2, 9, "db", "SELECT a", 1, 800000000) }));
    told(SL_FINDING_SLOW_QUERY, "about the schema", second,
         SPANS({ SPAN(2, 9, "db", "CREATE INDEX a", 1, 800000000) }));
    spares(SL_FINDING_SLOW_QUERY, second,
           SPANS({ SPAN(2, 9, "db", "SELECT a", 100, 800000000) }));

    told(SL_FINDING_SAME_QUERY, "hand the answer on", asks,
         SPANS({ SPAN(2, 3, "db", "SELECT a", 1, 20),
                 SPAN(1, 8, "db", "SELECT a", 1, 20) }));
    spares(SL_FINDING_SAME_QUERY, asks,
           SPANS({ SPAN(2, 3, "db", "SELECT a", 1, 20),
                   SPAN(1, 8, "db", "SELECT b", 1, 20) }));
    spares(SL_FINDING_SAME_QUERY, asks,
           SPANS({ SPAN(2, 3, "db", "SAVEPOINT", 2, 40) }));

    made renders = { MADE(
        { { 0, "[request]", 1, 5, 0 },
          { 1, "app.view", 1, 5, 0 },
          { 2, "django/template/base:Template.render", 1, 10, 3 },
          { 3, "execute", 6, 80, 0 } }) };
    told(SL_FINDING_TEMPLATE_QUERY, "in the view", renders,
         SPANS({ SPAN(3, 0, "db", "SELECT a", 6, 30) }));
    spares(SL_FINDING_TEMPLATE_QUERY, asks,
           SPANS({ SPAN(2, 3, "db", "SELECT a", 6, 30) }));
    spares(SL_FINDING_TEMPLATE_QUERY, renders,
           SPANS({ SPAN(3, 0, "db", "SELECT a", 2, 3) }));
    told(SL_FINDING_TEMPLATE, "cache", renders, NO_SPANS);
    spares(SL_FINDING_TEMPLATE, asks, NO_SPANS);

    told(SL_FINDING_HTTP, "timeout", asks,
         SPANS({ SPAN(2, 3, "http", "api.example", 1, 70) }));
    spares(SL_FINDING_HTTP, asks,
           SPANS({ SPAN(2, 3, "http", "api.example", 1, 7) }));
    told(SL_FINDING_HTTP_REPEATS, "one request", asks,
         SPANS({ SPAN(2, 3, "http", "api.example", 8, 70) }));
    spares(SL_FINDING_HTTP_REPEATS, asks,
           SPANS({ SPAN(2, 3, "http", "api.example", 2, 70) }));

    told(SL_FINDING_CACHE, "keys", asks,
         SPANS({ SPAN(2, 3, "cache", "get", 2, 70) }));
    spares(SL_FINDING_CACHE, asks, SPANS({ SPAN(2, 3, "cache", "get", 2, 7) }));
    told(SL_FINDING_CACHE_GETS, "get_many", asks,
         SPANS({ SPAN(2, 3, "cache", "get", 30, 20) }));
    spares(SL_FINDING_CACHE_GETS, asks,
           SPANS({ SPAN(2, 3, "cache", "get_many", 2, 20) }));
    spares(SL_FINDING_CACHE_GETS, asks,
           SPANS({ SPAN(2, 3, "cache", "get", 30, 2) }));
}

static void
one_after_the_other(void)
{
    made two = { MADE({ { 0, "[request]", 1, 5, 0 },
                        { 1, "app.view", 1, 5, 0 },
                        { 2, "client:prices", 1, 1, 3 },
                        { 3, "[await]", 1, 40, 0 },
                        { 2, "client:stock", 1, 1, 4 },
                        { 3, "[await]", 1, 40, 0 } }) };
    told(SL_FINDING_SEQUENTIAL, "if none needs what another gives", two,
         NO_SPANS);
    /* Together: tasks of their own. */
    made gathered = { MADE({ { 0, "[request]", 1, 5, 0 },
                             { 1, "app.view", 1, 5, 0 },
                             { 2, "gather", 1, 1, 3 },
                             { 3, "[await]", 1, 80, 0 },
                             { 2, "[task]", 1, 0, 0 },
                             { 3, "client:prices", 1, 1, 3 },
                             { 4, "[await]", 1, 80, 0 },
                             { 2, "[task]", 1, 0, 0 },
                             { 3, "client:stock", 1, 1, 4 },
                             { 4, "[await]", 1, 80, 0 } }) };
    spares(SL_FINDING_SEQUENTIAL, gathered, NO_SPANS);
    /* The rest of the request is no second question; nor are two queries of one
     * connection. */
    made middleware = { MADE({ { 0, "[request]", 1, 5, 0 },
                               { 1, "app.middleware", 1, 5, 0 },
                               { 2, "client:login", 1, 1, 3 },
                               { 3, "[await]", 1, 40, 0 },
                               { 2, "base:Base.call_next", 1, 1, 4 },
                               { 3, "[await]", 1, 40, 0 } }) };
    spares(SL_FINDING_SEQUENTIAL, middleware, NO_SPANS);
    spares(SL_FINDING_SEQUENTIAL, two,
           SPANS({ SPAN(2, 3, "db", "SELECT a", 1, 40),
                   SPAN(4, 4, "db", "SELECT b", 1, 40) }));
    made sync = { MADE({ { 0, "[request]", 1, 5, 0 },
                         { 1, "app.view", 1, 5, 0 },
                         { 2, "client:prices", 1, 41, 3 },
                         { 2, "client:stock", 1, 41, 4 } }) };
    told(SL_FINDING_SEQUENTIAL, "pool of threads", sync,
         SPANS({ SPAN(2, 0, "http", "prices", 1, 40),
                 SPAN(3, 0, "http", "stock", 1, 40) }));
    spares(SL_FINDING_SEQUENTIAL, sync, NO_SPANS);
}

static void
by_what_is_left(void)
{
    made itself = { MADE(
        { { 0, "[request]", 1, 5, 0 }, { 1, "app.view", 1, 90, 0 } }) };
    told(SL_FINDING_HOT, "its loops", itself, NO_SPANS);
    made often = { VIEW("parse", 40, 80) };
    told(SL_FINDING_HOT, "40 calls", often, NO_SPANS);
    told(SL_FINDING_REPEATS, "out of the loop", often, NO_SPANS);
    made once = { VIEW("parse", 1, 80) };
    told(SL_FINDING_HOT, "this line", once, NO_SPANS);
    made pauses = { MADE({ { 0, "[request]", 1, 2, 0 },
                           { 1, "app.view", 1, 2, 0 },
                           { 2, "app.a", 1, 0, 3 },
                           { 3, "asyncio/tasks:sleep", 5, 32, 2 },
                           { 2, "app.b", 1, 0, 4 },
                           { 3, "asyncio/tasks:sleep", 5, 32, 2 },
                           { 2, "app.c", 1, 0, 5 },
                           { 3, "asyncio/tasks:sleep", 5, 32, 2 } }) };
    told(SL_FINDING_HOT, "a shorter pause", pauses, NO_SPANS);
    spares(SL_FINDING_REPEATS, once, NO_SPANS);
    spares(SL_FINDING_REPEATS, pauses, NO_SPANS);
    made helper = { MADE({ { 0, "[request]", 1, 2, 0 },
                           { 1, "app.view", 1, 2, 0 },
                           { 2, "app.pause", 40, 2, 3 },
                           { 3, "C.sleep", 40, 90, 4 } }),
                    COUNTED({ { 3, SL_METRIC_SLEEP, 90 } }) };
    spares(SL_FINDING_REPEATS, helper, NO_SPANS);
    told(SL_FINDING_SLEEP, "a shorter pause", helper, NO_SPANS);
    made later = { MADE({ { 0, "[request]", 1, 2, 0 },
                          { 1, "app.view", 1, 2, 0 },
                          { 2, "app.pause", 40, 2, 3 },
                          { 3, "asyncio/tasks:sleep", 40, 0, 4 },
                          { 4, "[await]", 40, 90, 0 } }) };
    spares(SL_FINDING_REPEATS, later, NO_SPANS);
    made busy = { MADE({ { 0, "[request]", 1, 2, 0 },
                         { 1, "app.view", 1, 2, 0 },
                         { 2, "app.fill", 40, 60, 3 },
                         { 3, "C.sleep", 40, 30, 4 } }),
                  COUNTED({ { 3, SL_METRIC_SLEEP, 30 } }) };
    told(SL_FINDING_REPEATS, "out of the loop", busy, NO_SPANS);
    made work = { VIEW("json/__init__:dumps", 1, 80) };
    spares(SL_FINDING_HOT, work, NO_SPANS);

    made few = { VIEW("parse", 1, 80),
                 META({ TEXT("mode", "sampling"), NUMBER("samples", 2) }) };
    told(SL_FINDING_FEW, "exact counts", few, NO_SPANS);
    made enough = { VIEW("parse", 1, 80), META({ TEXT("mode", "sampling"),
                                                 NUMBER("samples", 200) }) };
    spares(SL_FINDING_FEW, enough, NO_SPANS);
}

static void
says(const char *headline, const char *words, made m,
     const sl_outline_span *spans, size_t count)
{
    sl_profile *p = made_profile(&m);
    sl_outline outline;
    sl_hotpath path;
    sl_findings all;
    sl_buf text;

    ck_assert_int_eq(sl_profile_outline(p, &outline), SL_OK);
    const sl_outline_span *own = outline.spans;
    outline.spans = spans;
    outline.span_count = (uint32_t)count;
    ck_assert_int_eq(sl_hotpath_find(&outline, 0, &path), SL_OK);
    ck_assert_int_eq(sl_findings_find(&outline, &path, &all), SL_OK);
    sl_buf_init(&text, NULL, 0);
    sl_findings_headline(&outline, &all, &text);
    sl_buf_put_u8(&text, 0);
    ck_assert_str_eq((const char *)text.data, headline);
    text.size = 0;
    sl_findings_words(&all, &text);
    sl_buf_put_u8(&text, 0);
    ck_assert_str_eq((const char *)text.data, words);
    sl_buf_free(&text);
    sl_hotpath_free(&path);
    outline.spans = own;
    sl_profile_outline_free(&outline);
    sl_profile_free(p);
}

#define FEW_SAMPLES META({ TEXT("mode", "sampling"), NUMBER("samples", 2) })

/* Spans are exact whatever samples saw: they come first, then that the rest is
 * not known. */
START_TEST(of_few_samples_spans_are_told)
{
    made view = { MADE({ { 0, "[request]", 1, 35, 0 },
                         { 1, "app.view", 1, 60, 0 },
                         { 2, "orm", 1, 5, 3 } }),
                  FEW_SAMPLES };

    says("63 % in 100 queries that are alike (SELECT a FROM b WHERE c = ?), "
         "from view.app.view at app/view.py:3. Not enough samples (2) to say "
         "where the rest of its time went.",
         "n+1,database", view,
         SPANS({ SPAN(2, 0, "db", "SELECT a FROM b WHERE c = ?", 100, 63) }));
    /* However little they took. */
    says("4 % in 40 queries that are alike (SELECT 1), from view.app.view at "
         "app/view.py:3. Not enough samples (2) to say where the rest of its "
         "time went.",
         "n+1,database", view, SPANS({ SPAN(2, 0, "db", "SELECT 1", 40, 4) }));
    says("61 % in 7 HTTP requests to one service (prices), from view.app.view "
         "at app/view.py:3. Not enough samples (2) to say where the rest of "
         "its time went.",
         "http-n+1,http", view, SPANS({ SPAN(2, 0, "http", "prices", 7, 61) }));
    /* Nothing that is worth a word. */
    says("Not enough samples (2) to say where the time of this request went.",
         "", view, SPANS({ SPAN(2, 0, "db", "SELECT 1", 2, 4) }));

    const uint64_t ms = 1000000;
    made slow = { MADE({ { 0, "[request]", 1, 600 * ms, 0 },
                         { 1, "app.view", 1, 0, 0 },
                         { 2, "orm", 1, 0, 3 } }),
                  FEW_SAMPLES };
    says("75 % in the database: 1 query, most from view.app.view at "
         "app/view.py:3 (SELECT 2). Not enough samples (2) to say where the "
         "rest of its time went.",
         "database,slow-query", slow,
         SPANS({ SPAN(2, 0, "db", "SELECT 2", 1, 450 * ms) }));

    made sequence = { MADE({ { 0, "[request]", 1, 90, 0 },
                             { 1, "app.view", 1, 10, 0 },
                             { 2, "user", 1, 0, 3 },
                             { 2, "stock", 1, 0, 4 } }),
                      FEW_SAMPLES };
    says("80 % in 2 HTTP requests (users), from view.app.view at "
         "app/view.py:3. Not enough samples (2) to say where the rest of its "
         "time went.",
         "http,one-after-another", sequence,
         SPANS({ SPAN(2, 0, "http", "users", 1, 41),
                 SPAN(3, 0, "http", "stock", 1, 39) }));

    /* A wait that was measured and is more comes before them. */
    made starved = { MADE({ { 0, "[request]", 1, 35, 0 },
                            { 1, "app.view", 1, 60, 0 },
                            { 2, "orm", 1, 5, 3 } }),
                     META({ TEXT("mode", "sampling"), NUMBER("samples", 2),
                            NUMBER("run_queue_ns", 80) }) };
    says("About 80 % waiting for a CPU, which others had or a quota withheld; "
         "meanwhile it was in view.app.view at app/view.py:7. 12 % in 12 "
         "queries that "
         "are alike (SELECT 1), from view.app.view at app/view.py:3. Not "
         "enough samples (2) to say where the rest of its time went.",
         "run-queue,n+1", starved,
         SPANS({ SPAN(2, 0, "db", "SELECT 1", 12, 12) }));

    /* No sample could place most of it. */
    made unseen = { MADE({ { 0, "[request]", 1, 5, 0 },
                           { 1, "app.view", 1, 5, 0 },
                           { 2, "orm", 1, 0, 3 },
                           { 1, "[not seen] another greenlet", 1, 90, 0 } }),
                    META(
                        { TEXT("mode", "sampling"), NUMBER("samples", 500) }) };
    says("63 % in 100 queries that are alike (SELECT 1), from view.app.view "
         "at app/view.py:3. For 90 % of the time no sample could say where "
         "this request was: most of it is [not seen] another greenlet.",
         "n+1,database", unseen,
         SPANS({ SPAN(2, 0, "db", "SELECT 1", 100, 63) }));
}
END_TEST

/* Without a CPU: what there was to do is told by what says most of it, not by
 * what has a query more. */
START_TEST(of_what_was_to_do_the_answer_is_told)
{
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "orm", 101, 90, 3 },
                      { 2, "first", 1, 2, 4 } }),
               COUNTED({ { 2, SL_METRIC_RUN_QUEUE, 70 } }) };

    says("69 % waiting for a CPU, which others had or a quota withheld; what "
         "it had to do was mostly in 100 queries that are alike (SELECT 2), "
         "from view.app.view at app/view.py:3.",
         "run-queue,n+1,database,repeats", m,
         SPANS({ SPAN(2, 0, "db", "SELECT 2", 100, 88),
                 SPAN(3, 0, "db", "SELECT 1", 1, 2) }));
}
END_TEST

/* Three jobs of its own on one GIL: what they waited for each other, added up,
 * is more than the request took, and does not explain its time away. */
START_TEST(jobs_side_by_side_are_the_answer)
{
    static const sl_profile_line lines[] = { { 4, 8, 243, 80, 160 } };
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.view", 1, 6, 0 },
                      { 2, "wait", 1, 94, 3 },
                      { 2, "[thread]", 3, 0, 0 },
                      { 3, "app.hash", 3, 243, 5 } }),
               .lines = lines, .line_count = 1,
               COUNTED({ { 2, SL_METRIC_LOCK, 81 } }),
               META({ NUMBER("gil_wait_ns", 13) }) };

    says("94 % in hash.app.hash itself at app/hash.py:8.", "gil", m, NO_SPANS);
}
END_TEST

/* What the thread that it waits for waited for a CPU, the request waited. */
START_TEST(a_thread_without_a_cpu_is_a_wait)
{
    made m = { MADE({ { 0, "[request]", 1, 0, 0 },
                      { 1, "app.view", 1, 20, 0 },
                      { 2, "wait", 1, 80, 3 },
                      { 2, "[thread]", 1, 0, 0 },
                      { 3, "app.hash", 1, 80, 5 } }),
               COUNTED({ { 4, SL_METRIC_RUN_QUEUE, 65 },
                         { 2, SL_METRIC_LOCK, 80 } }),
               META({ NUMBER("run_queue_ns", 15) }) };

    says("80 % waiting for a CPU, which others had or a quota withheld; what "
         "it had to do was mostly in hash.app.hash itself at app/hash.py:7.",
         "run-queue", m, NO_SPANS);
}
END_TEST

/* A middleware lets through what a library's view does, and asks for nothing of
 * it. */
START_TEST(what_a_middleware_lets_through_is_not_its)
{
    made m = { MADE(
        { { 0, "[request]", 1, 1, 0 },
          { 1, "app.locale", 1, 1, 0 },
          { 2, "django/utils/deprecation:MiddlewareMixin.__call__", 1, 1, 9 },
          { 3, "changelist", 1, 2, 0 },
          { 4, "render", 1, 95, 0 } }) };

    says("95 % in render.render at lib/render.py:7.", "", m, NO_SPANS);
    says("60 % in the database: 3 queries "
         "(SELECT 1).",
         "database,same-query", m,
         SPANS({ SPAN(4, 0, "db", "SELECT 1", 3, 60) }));
}
END_TEST

/* aiosqlite's thread asked what the task did: it is the task's query. */
START_TEST(a_thread_that_ran_the_query_is_not_told_instead)
{
    made m = { MADE(
        { { 0, "[request]", 1, 1, 0 },
          { 1, "app.view", 1, 1, 0 },
          { 2, "[await]", 1, 98, 0 },
          { 2, "[thread]", 1, 0, 0 },
          { 3, "aiosqlite/core:_connection_worker_thread", 1, 97, 4 } }) };

    says("96 % in the database: 1 query, most from view.app.view at "
         "app/view.py:3 (SELECT 1).",
         "database", m, SPANS({ SPAN(1, 3, "db", "SELECT 1", 1, 96) }));
    says("97 % in core._connection_worker_thread, awaited "
         "by view.app.view at app/view.py:7.",
         "", m, NO_SPANS);
}
END_TEST

/* A view that sleeps for half of its time and waits for a job for the rest. */
START_TEST(half_of_a_function_is_not_all_of_it)
{
    made m = { MADE({ { 0, "[request]", 1, 2, 0 },
                      { 1, "serve", 1, 7, 0 },
                      { 2, "app.view", 1, 1, 3 },
                      { 3, "sleep", 1, 0, 8 },
                      { 4, "[await]", 1, 52, 0 },
                      { 3, "to_thread", 1, 0, 9 },
                      { 4, "[await]", 1, 38, 0 } }) };

    says("91 % in view.app.view and what it calls at app/view.py:7: most "
         "sleep.sleep (52 %), then to_thread.to_thread (38 %).",
         "", m, NO_SPANS);
}
END_TEST

/* Put off once for long, one sample met it there: that is no work of its. */
START_TEST(where_it_was_put_off_is_not_what_it_had_to_do)
{
    made m = { MADE({ { 0, "[request]", 8, 5, 0 },
                      { 1, "app.view", 8, 25, 0 },
                      { 2, "lower", 1, 70, 3 } }),
               META({ TEXT("mode", "sampling"), NUMBER("samples", 8),
                      NUMBER("run_queue_ns", 90) }) };

    says("About 90 % waiting for a CPU, which others had or a quota withheld; "
         "meanwhile it was in view.app.view at app/view.py:3.",
         "run-queue", m, NO_SPANS);
}
END_TEST

/* Few samples make a share rough; not that of spans alone. */
START_TEST(what_spans_took_is_no_rough_share)
{
    made view = { MADE({ { 0, "[request]", 1, 31, 0 },
                         { 1, "app.view", 1, 6, 0 },
                         { 2, "redis", 1, 63, 3 } }),
                  META({ TEXT("mode", "sampling"), NUMBER("samples", 12) }) };

    says("63 % in 40 operations on the cache (GET), from view.app.view at "
         "app/view.py:3.",
         "cache-gets,cache", view,
         SPANS({ SPAN(2, 0, "cache", "GET", 40, 63) }));
    says("About 65 % in redis.redis, called by view.app.view at app/view.py:3.",
         "", view, NO_SPANS);
}
END_TEST

/* Where calls are tiny, what is left of the request is what shares are of. */
START_TEST(shares_are_of_what_recording_did_not_cost)
{
    made m = { MADE({ { 0, "[request]", 1, 5, 0 },
                      { 1, "app.view", 1, 5, 0 },
                      { 2, "parse", 40, 10, 3 },
                      { 1, "[own cost]", 1, 80, 0 } }) };
    sl_profile *p = made_profile(&m);
    sl_outline outline;
    sl_hotpath path;
    sl_buf text;

    ck_assert_int_eq(sl_profile_outline(p, &outline), SL_OK);
    ck_assert_uint_eq(sl_outline_wall(&outline), 20);
    ck_assert_int_eq(sl_hotpath_find(&outline, 0, &path), SL_OK);
    sl_findings all;
    ck_assert_int_eq(sl_findings_find(&outline, &path, &all), SL_OK);
    sl_buf_init(&text, NULL, 0);
    sl_findings_headline(&outline, &all, &text);
    sl_buf_put_u8(&text, 0);
    ck_assert_str_eq((const char *)text.data,
                     "50 % in parse.parse, called by view.app.view at "
                     "app/view.py:3, 40 times.");
    sl_buf_free(&text);
    sl_hotpath_free(&path);
    sl_profile_outline_free(&outline);
    sl_profile_free(p);
}
END_TEST

START_TEST(each_rule_is_told_and_spared)
{
    by_what_a_function_does();
    by_what_it_waited_for();
    by_what_it_asked_for();
    one_after_the_other();
    by_what_is_left();
    for (int i = 0; i < SL_FINDING_COUNT; i++) {
        const char *word = sl_finding_at((sl_finding_rule)i)->word;
        ck_assert_msg(covered[i], "nothing is told of %s", word);
        ck_assert_msg(spared[i], "%s is told of everything", word);
    }
}
END_TEST

Suite *
findings_rules_suite(void)
{
    const TTest *const tests[] = {
        each_rule_is_told_and_spared,
        shares_are_of_what_recording_did_not_cost,
        of_few_samples_spans_are_told,
        of_what_was_to_do_the_answer_is_told,
        jobs_side_by_side_are_the_answer,
        a_thread_without_a_cpu_is_a_wait,
        what_a_middleware_lets_through_is_not_its,
        a_thread_that_ran_the_query_is_not_told_instead,
        half_of_a_function_is_not_all_of_it,
        where_it_was_put_off_is_not_what_it_had_to_do,
        what_spans_took_is_no_rough_share,
        NULL
    };
    return suite_of("findings_rules", tests);
}
