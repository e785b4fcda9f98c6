/* slowlens/meta.h - every key of a profile's metadata and of its summary.
 *
 * ONE table each: key, type, unit, title, and one sentence. From it follow the
 * documentation in core/README.md and the typed dictionaries of the Python
 * package's _core.pyi (tests/lint/tables.py writes both and checks them).
 *
 * Times are wall nanoseconds of the request unless a key says else. A key that
 * is absent was not measured. Beside these keys stand `tag.KEY`, texts that the
 * application gave.
 */
#ifndef SL_META_H
#define SL_META_H

#include "slowlens/metric.h"

#include <stddef.h>

/* XX(key, type, unit, title, sentence) */
#define SL_META_MAP(XX)                                                        \
    XX(id, TEXT, NONE, "id", "Names the profile: a ULID.")                     \
    XX(started, NUMBER, NS, "started", "Unix time at which it began.")         \
    XX(mode, TEXT, NONE, "mode", "\"deterministic\" or \"sampling\".")         \
    XX(c_mode, TEXT, NONE, "C calls",                                          \
       "Whose calls of C functions are recorded: all, chosen or none.")        \
    XX(method, TEXT, NONE, "method", "The HTTP method, TASK or TEST.")         \
    XX(path, TEXT, NONE, "path", "The path that was asked for.")               \
    XX(route, TEXT, NONE, "route", "The pattern that the path matched.")       \
    XX(status, NUMBER, NONE, "status", "The HTTP status; 0: none was sent.")   \
    XX(response_bytes, NUMBER, BYTES, "response", "Bytes of the body sent.")   \
    XX(wall_ns, NUMBER, NS, "wall time", "From its beginning to its end.")     \
    XX(cpu_ns, NUMBER, NS, "on CPU", "On a CPU, of its threads.")              \
    XX(await_ns, NUMBER, NS, "awaiting",                                       \
       "Suspended, and what it awaited was not ready.")                        \
    XX(loop_ns, NUMBER, NS, "waiting for the event loop",                      \
       "Able to go on, but the event loop was busy with others.")              \
    XX(idle_ns, NUMBER, NS, "between chunks",                                  \
       "Between the chunks of a response that the client took.")               \
    XX(gc_ns, NUMBER, NS, "garbage collection", "The collector ran.")          \
    XX(waiting_ns, NUMBER, NS, "waiting", "Neither on a CPU nor awaiting.")    \
    XX(gil_wait_ns, NUMBER, NS, "waiting for the GIL",                         \
       "Ready, but another thread held the interpreter's lock.")               \
    XX(blocked_ns, NUMBER, NS, "blocked",                                      \
       "Waiting for something outside the interpreter.")                       \
    XX(run_queue_ns, NUMBER, NS, "waiting for a CPU",                          \
       "Ready to run, but the kernel gave the CPU to others; a quota, too.")   \
    XX(throttled_ns, NUMBER, NS, "held back by a CPU limit",                   \
       "Part of that: the quota of its control group was used up; at most.")   \
    XX(lock_ns, NUMBER, NS, "waiting for a lock",                              \
       "Part of blocked: a lock, a condition or a queue.")                     \
    XX(socket_ns, NUMBER, NS, "waiting for a socket",                          \
       "Part of blocked: a database, another service, the network.")           \
    XX(disk_ns, NUMBER, NS, "waiting for a disk",                              \
       "Part of blocked: a file or a page of memory that had to be read.")     \
    XX(sleep_ns, NUMBER, NS, "sleeping",                                       \
       "Part of blocked: it asked to be, for a time.")                         \
    XX(poll_ns, NUMBER, NS, "waiting for several",                             \
       "Part of blocked: several files or sockets at once.")                   \
    XX(child_ns, NUMBER, NS, "waiting for a process",                          \
       "Part of blocked: until another process ends.")                         \
    XX(db_count, NUMBER, COUNT, "queries", "Queries of databases.")            \
    XX(db_ns, NUMBER, NS, "in queries", "Their time.")                         \
    XX(http_count, NUMBER, COUNT, "HTTP requests",                             \
       "Requests that it made of others.")                                     \
    XX(http_ns, NUMBER, NS, "in HTTP requests", "Their time.")                 \
    XX(cache_count, NUMBER, COUNT, "cache calls", "Calls of caches.")          \
    XX(cache_ns, NUMBER, NS, "in cache calls", "Their time.")                  \
    XX(template_count, NUMBER, COUNT, "templates",                             \
       "Templates and their blocks that were rendered.")                       \
    XX(template_ns, NUMBER, NS, "in templates",                                \
       "Their time, of those within others once.")                             \
    XX(step_ns, NUMBER, NS, "longest step",                                    \
       "The longest it kept the event loop without a break.")                  \
    XX(held_ns, NUMBER, NS, "held up",                                         \
       "The longest it could have gone on but for the event loop, at most.")   \
    XX(held_by, TEXT, NONE, "held up by", "Whose step that was.")              \
    XX(held_id, TEXT, NONE, "held up by profile", "The id of that request.")   \
    XX(holder_ns, NUMBER, NS, "step of the holder", "How long it took.")       \
    XX(sampled_from_ns, NUMBER, NS, "sampled from",                            \
       "Since when a full deterministic profile went on by sampling.")         \
    XX(samples, NUMBER, COUNT, "samples", "Samples that told where it was.")   \
    XX(rejected, NUMBER, COUNT, "samples without a place",                     \
       "Looks that could not tell the stack: the sum of the next five.")       \
    XX(unseen_torn, NUMBER, COUNT, "torn samples",                             \
       "Of these: the stack changed while it was read.")                       \
    XX(unseen_greenlet, NUMBER, COUNT, "samples of another greenlet",          \
       "Of these: the thread had switched to another greenlet.")               \
    XX(unseen_shim, NUMBER, COUNT, "samples between frames",                   \
       "Of these: the interpreter was between two frames.")                    \
    XX(unseen_deep, NUMBER, COUNT, "samples too deep",                         \
       "Of these: the stack was too deep to be walked.")                       \
    XX(unseen_moved, NUMBER, COUNT, "samples that moved on",                   \
       "Of these: the thread had gone on to other work.")                      \
    XX(unseen_room, NUMBER, COUNT, "sections without a slot",                  \
       "Sections of it that ran in more threads than are looked at.")          \
    XX(unseen_memory, NUMBER, COUNT, "sections without memory",                \
       "Sections of it that were timed only: running profiles held all "       \
       "the memory that they may.")                                            \
    XX(unseen_late, NUMBER, COUNT, "late samples",                             \
       "Samples that came too late to speak for all the time before them.")    \
    XX(interval_ns, NUMBER, NS, "sampled every", "Mean time between samples.") \
    XX(headers_ns, NUMBER, NS, "headers sent after",                           \
       "From the beginning until the headers were sent.")                      \
    XX(body_ns, NUMBER, NS, "body sent after",                                 \
       "From the beginning until the body was sent.")                          \
    XX(calls, NUMBER, COUNT, "Python calls", "Calls of Python functions.")     \
    XX(resumes, NUMBER, COUNT, "resumes",                                      \
       "How often generators and coroutines went on; these are no calls.")     \
    XX(c_calls, NUMBER, COUNT, "C calls", "Calls of C functions recorded.")    \
    XX(nodes, NUMBER, COUNT, "nodes", "Nodes of its call tree.")               \
    XX(own_ns, NUMBER, NS, "own cost", "What recording it cost, reckoned.")    \
    XX(cost_python_ps, NUMBER, NONE, "own cost of a call",                     \
       "Picoseconds that an event costs a Python function; reading takes it "  \
       "off.")                                                                 \
    XX(cost_python_caller_ps, NUMBER, NONE, "own cost of a call, caller",      \
       "Picoseconds that it costs the function's caller.")                     \
    XX(cost_resume_ps, NUMBER, NONE, "own cost of a resume",                   \
       "Picoseconds that it costs a generator or coroutine to go on; absent: " \
       "as a call.")                                                           \
    XX(cost_resume_caller_ps, NUMBER, NONE, "own cost of a resume, caller",    \
       "Picoseconds that it costs who lets it go on.")                         \
    XX(cost_c_ps, NUMBER, NONE, "own cost of a C call",                        \
       "Picoseconds that a C function is charged with.")                       \
    XX(cost_c_caller_ps, NUMBER, NONE, "own cost of a C call, caller",         \
       "Picoseconds that its caller is charged with.")                         \
    XX(cost_site_ps, NUMBER, NONE, "own cost of a place",                      \
       "Picoseconds more for the caller of a Python function whose place is "  \
       "known.")                                                               \
    XX(cost_line_ps, NUMBER, NONE, "own cost of a line",                       \
       "Picoseconds that a line costs its function, where lines are told.")    \
    XX(cost_node_ps, NUMBER, NONE, "own cost of a node",                       \
       "Picoseconds more for the first call of a node of the tree.")           \
    XX(profile_bytes, NUMBER, BYTES, "memory", "Memory that recording took.")  \
    XX(kept, TEXT, NONE, "kept because", "The rule that kept it.")             \
    XX(flags, TEXT, NONE, "flags",                                             \
       "What is missing in it, joined by commas: see SL_FLAG_MAP.")            \
    XX(as_of_ns, NUMBER, NS, "tree as of",                                     \
       "Killed: how long it had run when its tree was copied; absent: no "     \
       "tree.")                                                                \
    XX(last_word, TEXT, NONE, "last word",                                     \
       "Killed: what the board of running requests said of it.")               \
    XX(merged, NUMBER, COUNT, "profiles", "How many were added up in it.")     \
    XX(requests, NUMBER, COUNT, "requests",                                    \
       "How many it speaks for: those added up, each by its weight.")          \
    XX(until, NUMBER, NS, "until", "Unix time at which the last one ended.")   \
    XX(host, TEXT, NONE, "host", "Name of the machine.")                       \
    XX(pid, NUMBER, NONE, "process", "Number of the process.")                 \
    XX(thread, TEXT, NONE, "thread", "Name of the thread it ended in.")        \
    XX(python, TEXT, NONE, "Python", "Version of the interpreter.")            \
    XX(framework, TEXT, NONE, "framework", "Name and version, if known.")      \
    XX(release, TEXT, NONE, "release", "Version of the application.")          \
    XX(trace_id, TEXT, NONE, "trace", "The W3C trace it was part of.")         \
    XX(span_id, TEXT, NONE, "span", "The span that called it.")

/* Written behind the metadata by whoever makes the blob. The split is the self
 * time of the request itself (not of what ran beside it), by what it was. */
#define SL_SUMMARY_MAP(XX)                                                     \
    XX(headline, TEXT, NONE, "headline", "Where the time went: one sentence.") \
    XX(hot_text, TEXT, NONE, "hot path",                                       \
       "The hot path in short: \"views.detail > copy.deepcopy 76%\".")         \
    XX(hot_path, TEXT, NONE, "hot path, whole",                                \
       "Its names from the request down, a line each; 64 at most.")            \
    XX(self_project_ns, NUMBER, NS, "your code", "Self time of the project.")  \
    XX(self_library_ns, NUMBER, NS, "libraries", "Self time of libraries.")    \
    XX(self_stdlib_ns, NUMBER, NS, "standard library",                         \
       "Self time of the standard library.")                                   \
    XX(self_builtin_ns, NUMBER, NS, "C functions", "Self time of those.")      \
    XX(self_await_ns, NUMBER, NS, "awaiting", "In [await].")                   \
    XX(self_loop_ns, NUMBER, NS, "waiting for the event loop",                 \
       "In [loop busy].")                                                      \
    XX(self_idle_ns, NUMBER, NS, "between chunks", "In [between chunks].")     \
    XX(self_gc_ns, NUMBER, NS, "garbage collection", "In [gc].")               \
    XX(self_unseen_ns, NUMBER, NS, "not seen",                                 \
       "In [not seen]: it passed, but no sample could say where.")             \
    XX(self_other_ns, NUMBER, NS, "other", "In all other pseudo functions.")   \
    XX(findings, TEXT, NONE, "findings",                                       \
       "Words of slowlens/finding.h, joined by commas.")                       \
    XX(clipped, NUMBER, COUNT, "clipped",                                      \
       "Numbers and names that did not fit the format, and were cut.")

typedef enum { SL_META_TEXT, SL_META_NUMBER } sl_meta_type;

typedef struct {
    const char *key;
    sl_meta_type type;
    sl_unit unit;
    const char *title;
    const char *text;
} sl_meta_info;

/* The rows of the two tables, in their order; NULL past the end. Static. */
const sl_meta_info *sl_meta_at(size_t i);
const sl_meta_info *sl_summary_at(size_t i);

#endif /* SL_META_H */
