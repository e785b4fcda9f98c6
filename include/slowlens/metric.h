/* slowlens/metric.h - every number that a node of a profile may have.
 *
 * ONE table: number, key, unit, where it stands in a file, title, and one
 * sentence. From it follow the enum, the numbers in rows of reports (nodes,
 * functions, a profile's sums), _core.pyi's NodeMetrics and the documentation
 * in core/README.md. Numbers are part of the file format: add at the end, never
 * change one.
 *
 *   where TREE      each node has it
 *         LINES     rows of (node, line), as samples saw it
 *         HITS      rows of (node, line), as events told it
 *         COUNTERS  rows of (metric, node); what is absent is 0 or not known
 */
#ifndef SL_METRIC_H
#define SL_METRIC_H

#include <stddef.h>

#define SL_METRIC_MAP(XX)                                                      \
    XX(CALLS, 0, "calls", COUNT, TREE, "calls",                                \
       "Calls of the function; in a sampled profile the samples that saw it.") \
    XX(RESUMES, 1, "resumes", COUNT, TREE, "resumes",                          \
       "How often a generator or coroutine went on after a yield; no call.")   \
    XX(SELF, 2, "self_ns", NS, TREE, "self time",                              \
       "Wall time in the function itself, without what it called.")            \
    XX(CPU, 3, "cpu_ns", NS, LINES, "on CPU",                                  \
       "Part of the self time on a CPU, as samples saw it.")                   \
    XX(GIL, 4, "gil_ns", NS, LINES, "waiting for the GIL",                     \
       "Part of the self time waiting for the interpreter's lock.")            \
    XX(RUN_QUEUE, 5, "run_queue_ns", NS, COUNTERS, "waiting for a CPU",        \
       "Ready to run, but the kernel gave the CPU to others.")                 \
    XX(THROTTLED, 6, "throttled_ns", NS, COUNTERS, "throttled",                \
       "Nothing fills it; the cgroup's quota is part of the wait for a CPU.")  \
    XX(LOCK, 7, "lock_ns", NS, COUNTERS, "waiting for a lock",                 \
       "Blocked on a lock, a condition or a queue.")                           \
    XX(SOCKET, 8, "socket_ns", NS, COUNTERS, "waiting for a socket",           \
       "Blocked on a socket: a database, another service, the network.")       \
    XX(DISK, 9, "disk_ns", NS, COUNTERS, "waiting for a disk",                 \
       "Blocked on a file or a page of memory that had to be read.")           \
    XX(SLEEP, 10, "sleep_ns", NS, COUNTERS, "sleeping",                        \
       "Blocked because it asked to be, for a time.")                          \
    XX(AWAIT, 11, "await_ns", NS, COUNTERS, "awaiting",                        \
       "Suspended, and what it awaited was not ready.")                        \
    XX(LOOP, 12, "loop_ns", NS, COUNTERS, "waiting for the event loop",        \
       "Able to go on, but the event loop was busy with others.")              \
    XX(CLIENT, 13, "client_ns", NS, COUNTERS, "waiting for the client",        \
       "Waiting for the client to send its request or take the response.")     \
    XX(GC, 14, "gc_ns", NS, COUNTERS, "garbage collection",                    \
       "The collector ran on top of the function.")                            \
    XX(POLL, 15, "poll_ns", NS, COUNTERS, "waiting for several",               \
       "Blocked on several files or sockets at once.")                         \
    XX(CHILD, 16, "child_ns", NS, COUNTERS, "waiting for a process",           \
       "Blocked until another process ends.")                                  \
    XX(OFF_CPU, 17, "off_cpu_ns", NS, COUNTERS, "off CPU",                     \
       "Not on a CPU, and what it waited for is not known.")                   \
    XX(OWN, 18, "own_ns", NS, COUNTERS, "own cost",                            \
       "What recording cost it: taken off its self time when it was read.")    \
    XX(SEEN, 19, "seen_ns", NS, LINES, "seen",                                 \
       "Part of the self time that samples saw.")                              \
    XX(HITS, 20, "hits", COUNT, HITS, "times begun",                           \
       "How often its lines were begun, where events told of lines.")

typedef enum {
#define XX(name, number, key, unit, where, title, text)                        \
    SL_METRIC_##name = (number),
    SL_METRIC_MAP(XX)
#undef XX
        SL_METRIC_COUNT
} sl_metric;

typedef enum { SL_UNIT_NONE, SL_UNIT_NS, SL_UNIT_COUNT, SL_UNIT_BYTES } sl_unit;

typedef enum {
    SL_METRIC_IN_TREE,
    SL_METRIC_IN_LINES,
    SL_METRIC_IN_HITS,
    SL_METRIC_IN_COUNTERS
} sl_metric_where;

typedef struct {
    const char *key;
    sl_unit unit;
    sl_metric_where where;
    const char *title; /* for people: a column's head */
    const char *text;  /* one sentence */
} sl_metric_info;

/* One row of the table; NULL: no such metric. Static. */
const sl_metric_info *sl_metric_at(sl_metric metric);

#endif /* SL_METRIC_H */
