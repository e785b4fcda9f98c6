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
       "What answers here is slow: ask it less often, for several things at "  \
       "once, or keep its answers.")                                           \
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
       "What was awaited is slow: ask for independent things together "        \
       "(asyncio.gather, TaskGroup), or for fewer.")                           \
    XX(DATABASE, "database", "time in the database",                           \
       "Look at the queries: fewer by joining or prefetching, faster by an "   \
       "index, smaller by asking only for the columns that are used.")         \
    XX(TEMPLATE, "template", "time in templates",                              \
       "Render less, keep rendered parts in the cache, and prepare in the "    \
       "view what the template would compute in a loop.")                      \
    XX(HOT, "hot", "most of the time",                                         \
       "Call it less often, or with less to do; keep what it made.")           \
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
       "Ask for independent things at once, keep what does not change, and "   \
       "set a timeout.")

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
