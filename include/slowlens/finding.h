/* slowlens/finding.h - what may be found in a profile.
 *
 * ONE table: rule, word, title, and one sentence of what people do about it.
 * Words stand in files, in the list's filter and in slowlens.toml: add at the
 * end, never change one.
 */
#ifndef SL_FINDING_H
#define SL_FINDING_H

/* XX(rule, word, title, advice) */
#define SL_FINDING_MAP(XX)                                                     \
    XX(FEW, "few-samples", "too few samples",                                  \
       "Ask for exact counts: send the header X-Slowlens: deterministic, or "  \
       "look at several requests of the route together.")                      \
    XX(LOOP, "loop", "waited for the event loop",                              \
       "Find what keeps the loop (the request named here, if one is): move "   \
       "its work to a thread or process, or let it await in between.")         \
    XX(RUN_QUEUE, "run-queue", "waited for a CPU",                             \
       "Give the machine or container more CPU, or run fewer workers and "     \
       "other programs on it; a request with less to do waits less, too.")     \
    XX(GIL, "gil", "waited for the GIL",                                       \
       "Other threads of the process compute: serve fewer requests per "       \
       "process and start more processes, or move the heavy work out.")        \
    XX(CLIENT, "client", "waited for the client",                              \
       "The client takes its time: let a proxy buffer requests and "           \
       "responses.")                                                           \
    XX(GC, "gc", "garbage collection",                                         \
       "Make fewer objects that live long at once, or call gc.freeze() when "  \
       "the app is loaded and raise gc.set_threshold().")                      \
    XX(LOCK, "lock", "waited for a lock",                                      \
       "Hold the lock for less, or split it: somebody else had it all that "   \
       "time.")                                                                \
    XX(SOCKET, "socket", "waited for a socket",                                \
       "What answers here is slow: ask it less often, or for several things "  \
       "at once.")                                                             \
    XX(DISK, "disk", "waited for a disk",                                      \
       "Read less, or keep in memory what was read.")                          \
    XX(SLEEP, "sleep", "slept",                                                \
       "It asked to: see why it waits there, and whether an event or a "       \
       "shorter pause would do.")                                              \
    XX(POLL, "poll", "waited for several files or sockets",                    \
       "What answers here is slow: see which of them it waits for.")           \
    XX(CHILD, "child", "waited for a process",                                 \
       "Run the other program less often, or not while a client waits.")       \
    XX(AWAIT, "await", "awaited",                                              \
       "What it awaited answered late: find out what that waits for; this "    \
       "code only stood still.")                                               \
    XX(DATABASE, "database", "time in the database",                           \
       "Look at the queries: fewer by joining or prefetching, faster by an "   \
       "index, smaller by asking only for the columns that are used.")         \
    XX(TEMPLATE, "template", "time in templates",                              \
       "Render less, keep rendered parts in the cache, and prepare in the "    \
       "view what the template would compute in a loop.")                      \
    XX(HOT, "hot", "most of the time",                                         \
       "Call it less often, or give it less to do.")                           \
    XX(REPEATS, "repeats", "repeated calls",                                   \
       "Take the call out of the loop, or ask once for all.")                  \
    XX(HOLDS_LOOP, "holds-loop", "held the event loop",                        \
       "Move the work to a thread or process, or let it await in between: "    \
       "every other request of the worker waited.")                            \
    XX(N_PLUS_1, "n+1", "the same query again and again",                      \
       "Ask once for all: select_related or prefetch_related, joinedload or "  \
       "selectinload, or one query with IN before the loop.")                  \
    XX(SLOW_QUERY, "slow-query", "a slow query",                               \
       "Have the database explain it (EXPLAIN): an index, fewer rows or "      \
       "fewer "                                                                \
       "columns.")                                                             \
    XX(HTTP, "http", "time in other services",                                 \
       "Ask once for all or keep what does not change, and set a "             \
       "timeout.")                                                             \
    XX(TEMPLATE_QUERY, "template-query", "queries made by templates",          \
       "Fetch in the view what the template shows (prefetch_related, a"        \
       " list): then it is asked for once, and not by each pass of a "         \
       "loop.")                                                                \
    XX(SAME_QUERY, "same-query", "the same query more than once",              \
       "Ask once and hand the answer on: the same statement was sent "         \
       "again in the same request (with the same values or others, "           \
       "which are not kept).")                                                 \
    XX(SEQUENTIAL, "one-after-another", "waits one after the other",           \
       "They could run together if none needs what another gives: "            \
       "asyncio.gather or a TaskGroup, in synchronous code a pool of "         \
       "threads.")                                                             \
    XX(CACHE, "cache", "time in the cache",                                    \
       "Ask for less and for several keys at once; see how far away "          \
       "the cache is.")                                                        \
    XX(CACHE_GETS, "cache-gets", "many small operations on the cache",         \
       "Ask for several keys at once: get_many and set_many, MGET, or "        \
       "a pipeline.")                                                          \
    XX(HTTP_REPEATS, "http-n+1", "request after request to one service",       \
       "Ask the service for several things in one request if it can, "         \
       "send independent requests together, and keep one session open.")       \
    XX(QUEUED, "queued", "waited for a thread of a pool",                      \
       "The pool's threads were all busy: hand it shorter or less "            \
       "work, or give it more threads.")                                       \
    XX(JSON, "json", "JSON",                                                   \
       "Write or read less of it (pages, only the fields that are "            \
       "used), or use a faster library such as orjson.")                       \
    XX(COPY, "deepcopy", "deep copies",                                        \
       "Copy only what is changed: a shallow copy, or a new object "           \
       "from the fields that differ.")                                         \
    XX(REGEX, "regex-compile", "compiling regular expressions",                \
       "Compile it once, at the top of the module; too many different "        \
       "ones push each other out of re's cache.")                              \
    XX(TEMPLATE_COMPILE, "template-compile", "compiling templates",            \
       "Let templates be compiled once and kept: Django's cached "             \
       "loader, one jinja2 Environment for the process, no "                   \
       "from_string() in a request.")                                          \
    XX(IMPORT, "import", "imports in a request",                               \
       "Import it when the program starts (at the top of the module, "         \
       "or by loading the app before it forks): only the first request"        \
       " pays for it.")                                                        \
    XX(LOGGING, "logging", "logging",                                          \
       "Log less here, or hand records to a thread "                           \
       "(logging.handlers.QueueHandler).")                                     \
    XX(PASSWORD, "password-hash", "hashing a password",                        \
       "This is slow on purpose: never weaken it for speed. Check a "          \
       "password only at login, and use a session or token afterwards;"        \
       " on an event loop, do it in a thread.")                                \
    XX(COMPRESS, "compress", "compression",                                    \
       "Use a lower level, leave it to the proxy, or compress once "           \
       "what does not change.")                                                \
    XX(SERIALIZE, "serialize", "serializers",                                  \
       "Return fewer objects or fields (pages), or plain data that "           \
       "needs no further conversion.")                                         \
    XX(CONNECT, "connect", "connecting",                                       \
       "Keep connections open: a pool, CONN_MAX_AGE in Django, one "           \
       "Session or Client for the process.")                                   \
    XX(TRACEBACK, "traceback", "showing an exception",                         \
       "An exception was raised, and rendering its traceback took "            \
       "this: mend its cause, and leave debug pages and rich "                 \
       "tracebacks to development.")                                           \
    XX(MIGRATION, "migration", "changing the database's schema",               \
       "Create or migrate the schema before the program serves "               \
       "requests: it is done once, so the next request shows what is "         \
       "usual.")

typedef enum {
#define XX(rule, word, title, advice) SL_FINDING_##rule,
    SL_FINDING_MAP(XX)
#undef XX
        SL_FINDING_COUNT
} sl_finding_rule;

typedef struct {
    const char *word;
    const char *title;
    const char *advice; /* one sentence */
} sl_finding_info;

/* One row of the table; NULL: no such rule. Static. */
const sl_finding_info *sl_finding_at(sl_finding_rule rule);

#endif /* SL_FINDING_H */
