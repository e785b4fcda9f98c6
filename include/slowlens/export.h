/* slowlens/export.h - a profile as a file that other tools open.
 *
 * An export is one file (core/export_NAME.c) and one line of the table below:
 * name, ending of a file's name, media type, and what a menu calls it. Whoever
 * offers exports (command line, viewer, Python module) asks this table.
 *
 * An export is written in chunks, so its length costs no memory, into whatever
 * takes bytes; its length has a cap. Every export is linear in the profile, in
 * time and in length: formats that write a whole stack for each sample leave
 * out the middle of very deep ones and say so (`[...]`), and a name that
 * repeats is cut after 256 bytes. All text is valid UTF-8, whatever the names
 * in the profile are.
 *
 *   name        counts   what it cannot hold
 *   callgrind   calls    the tree, resumes, kinds of time
 *   chrome      calls    - (calls are in the args of an event)
 *   collapsed   -        calls, lines, which strand it was, kinds of time
 *   dot         calls    the tree, what took less than half a percent
 *   gecko       -        calls, lines in a function
 *   html        calls    what took less than a thousandth
 *   json        calls, resumes  - (all there is)
 *   pprof       calls    the order of time, lines in a function
 *   pstats      calls    the tree, resumes, kinds of time
 *   speedscope  -        calls
 *   text        calls    kinds of time
 *
 * What was asked of others (queries, services, templates: slowlens/span.h) is
 * in json all of it, in chrome and gecko where each of the first ones was, as
 * events and markers, in chrome and text how many and how long; elsewhere it
 * stands as frames, below each node whose time is all one text's
 * (core/framed.h).
 *
 * Of a sampled profile "calls" are samples; a function has each of them once,
 * however often it stands in one stack. (pprof calls that sample type "calls"
 * all the same.)
 */
#ifndef SL_EXPORT_H
#define SL_EXPORT_H

#include "slowlens/bytes.h"
#include "slowlens/profile.h"

/* XX(name, ending, media type, title, what it counts) */
#define SL_EXPORT_MAP(XX)                                                      \
    XX(callgrind, ".callgrind.out", "text/plain; charset=utf-8",               \
       "KCachegrind, QCachegrind", "calls")                                    \
    XX(chrome, ".chrome.json", "application/json", "Chrome trace, Perfetto",   \
       "calls")                                                                \
    XX(collapsed, ".collapsedstack.txt", "text/plain; charset=utf-8",          \
       "flamegraph.pl, inferno", "")                                           \
    XX(dot, ".dot", "text/vnd.graphviz; charset=utf-8", "Graphviz", "calls")   \
    XX(gecko, ".gecko.json", "application/json", "Firefox Profiler", "")       \
    XX(html, ".html", "text/html; charset=utf-8", "web page, opens offline",   \
       "calls")                                                                \
    XX(json, ".json", "application/json", "JSON, all of it", "calls, resumes") \
    XX(pprof, ".pb.gz", "application/gzip", "pprof, Pyroscope", "calls")       \
    XX(pstats, ".prof", "application/octet-stream", "pstats, snakeviz",        \
       "calls")                                                                \
    XX(speedscope, ".speedscope.json", "application/json", "speedscope", "")   \
    XX(text, ".txt", "text/plain; charset=utf-8", "text, the tree", "calls")

typedef struct {
    const char *name;
    const char *ending;
    const char *media_type;
    const char *title;
    const char *counts; /* "": times only */
} sl_export_format;

/* The table's rows, in its order; NULL past the end. Static. */
const sl_export_format *sl_export_at(size_t i);

/* What the numbers that it counts are in an export of this profile: its row's
 * counts, "samples" of a sampled one; "" for times only. Static. */
const char *sl_export_counts(const sl_export_format *format,
                             const sl_profile *profile);

/* The row of that name; NULL: there is none. */
const sl_export_format *sl_export_find(const char *name);

/* Takes the next piece of an export. A negative status ends it. */
typedef sl_status (*sl_export_write)(void *ctx, const void *bytes, size_t size);

/* Writes the profile in pieces of some 64 KiB. More than `max_bytes` are not
 * written: SL_ELIMIT. 0 stands for 64 MiB and 2 KiB for each node, function,
 * line and stretch, and for 1 GiB at most. Reads the profile only, and may run
 * in any thread. SL_ERANGE (no format of the table), SL_ENOMEM, SL_ELIMIT, or
 * what `write` returned; what was written until then is no whole file. */
sl_status sl_export_stream(const sl_profile *profile,
                           const sl_export_format *format, size_t max_bytes,
                           sl_export_write write, void *ctx);

/* The same into memory: *out is yours, and untouched by a failure. */
sl_status sl_export_bytes(const sl_profile *profile,
                          const sl_export_format *format, size_t max_bytes,
                          sl_bytes *out);

#endif /* SL_EXPORT_H */
