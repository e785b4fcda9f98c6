/* slowlens/profile.h - a finished profile, read from its blob.
 *
 * A profile is immutable: any number of threads may read one at once.
 * Everything returned as a pointer is borrowed and lives as long as the
 * profile. An index that is given (`i`, `node`, `function`) is below the count
 * of its kind, which nobody checks again; those that stand in what is returned
 * (parent, function, node) are so, the reader saw to that. Bytes of any origin
 * are safe to decode: the reader checks every number before it uses it, and
 * allocates no more than its caps allow (core/blob.h, which also draws the
 * format).
 *
 *   node   0 request   size 5    children of node i: i + 1, then from child c
 *   node   1  |- view  size 3    the next one c + size(c), while below
 *   node   2  |   |- a size 1    i + size(i)
 *   node   3  |   `- b size 1
 *   node   4  `- [await]
 *
 * What recording by events cost was measured where it was recorded, and is
 * taken off the times of a deterministic profile when it is read. What was
 * taken off the request itself is [own cost], the last child of node 0, which
 * stands in no file.
 */
#ifndef SL_PROFILE_H
#define SL_PROFILE_H

#include "slowlens/alloc.h"
#include "slowlens/bytes.h"
#include "slowlens/metric.h"
#include "slowlens/status.h"
#include "slowlens/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sl_profile sl_profile;

typedef struct {
    uint32_t parent;   /* of node 0: 0 */
    uint32_t size;     /* nodes of its subtree, itself included */
    uint32_t function; /* number, see sl_profile_function */
    uint32_t line;     /* of the call, in the parent's file; 0: not known */
    uint32_t depth;
    uint64_t calls;
    uint64_t resumes;
    uint64_t self_ns;  /* without what recording cost it... */
    uint64_t total_ns; /* with its children, without strands below it */
    uint64_t own_ns;   /* ...which was this: with it, self_ns is as recorded */
} sl_profile_node;

/* How the self time of a node passed on one line, as samples saw it. What is
 * neither on the CPU nor waiting for the GIL was blocked. */
typedef struct {
    uint32_t node;
    uint32_t line; /* in the node's function; 0: not known */
    uint64_t wall_ns;
    uint64_t cpu_ns;
    uint64_t gil_ns;
} sl_profile_line;

/* One line of a node that events told of. */
typedef struct {
    uint32_t node;
    uint32_t line;    /* in the node's function */
    uint64_t hits;    /* how often it was begun */
    uint64_t self_ns; /* without what it called, and what recording cost it */
} sl_profile_hit;

/* When a node's function was innermost. */
typedef struct {
    uint32_t node;
    uint32_t lane;    /* 0: the request itself; else a strand beside it */
    uint64_t from_ns; /* since the request began */
    uint64_t to_ns;
} sl_profile_stretch;

/* What a node has of a metric (slowlens/metric.h), not 0. */
typedef struct {
    uint32_t node;
    uint32_t metric; /* sl_metric */
    uint64_t value;
} sl_profile_counter;

/* Sums over all nodes of one function. */
typedef struct {
    uint64_t calls; /* of a sampled profile: samples, one counted once */
    uint64_t resumes;
    uint64_t self_ns;
    uint64_t total_ns; /* outermost activations only: recursion counts once */
    uint64_t own_ns;   /* what recording cost it, not in self_ns */
    uint32_t nodes;
} sl_profile_sum;

/* Decodes a whole blob. `max_bytes` caps the memory, 0 means 1 GiB. The
 * bytes are not needed afterwards.
 * SL_ECORRUPT, SL_EVERSION, SL_ELIMIT, SL_ENOMEM; then *out is untouched. */
sl_status sl_profile_decode(sl_profile **out, const void *blob, size_t size,
                            size_t max_bytes, const sl_alloc *alloc);

/* Same, but only the metadata and the summary: no functions, no nodes. Reads
 * and checks no further than needed, so it does not prove the rest. */
sl_status sl_profile_decode_meta(sl_profile **out, const void *blob,
                                 size_t size, const sl_alloc *alloc);

/* NULL is fine. Nobody reads it any more. */
void sl_profile_free(sl_profile *profile);

/* Metadata in the order of the file. Texts end with a NUL that their length
 * does not count; they are valid UTF-8 or not at all checked: escape them. */
size_t sl_profile_meta_count(const sl_profile *profile);
const sl_meta *sl_profile_meta(const sl_profile *profile, size_t i);
/* The item named `key`, or NULL. */
const sl_meta *sl_profile_meta_find(const sl_profile *profile, const char *key);

/* The summary, written behind the metadata by whoever made the blob, in the
 * same way; its keys: slowlens/meta.h. None in blobs of slowlens 0.1. */
size_t sl_profile_summary_count(const sl_profile *profile);
const sl_meta *sl_profile_summary(const sl_profile *profile, size_t i);
const sl_meta *sl_profile_summary_find(const sl_profile *profile,
                                       const char *key);

/* Here and in all that follow `i` is below the count, which nothing checks, and
 * what is returned is the profile's.
 *
 * Functions, each once, by the numbers that nodes have for them, and what all
 * nodes of one took. */
uint32_t sl_profile_function_count(const sl_profile *profile);
const sl_function *sl_profile_function(const sl_profile *profile, uint32_t i);
const sl_profile_sum *sl_profile_function_sum(const sl_profile *profile,
                                              uint32_t i);

/* Nodes in preorder: node 0 is the request, and behind each stands its whole
 * subtree. */
uint32_t sl_profile_node_count(const sl_profile *profile);
const sl_profile_node *sl_profile_node_at(const sl_profile *profile,
                                          uint32_t i);

/* Rows in the order of their nodes; none: nobody sampled it. */
uint32_t sl_profile_line_count(const sl_profile *profile);
const sl_profile_line *sl_profile_line_at(const sl_profile *profile,
                                          uint32_t i);

/* Rows in the order of their nodes; none: lines were not recorded. */
uint32_t sl_profile_hit_count(const sl_profile *profile);
const sl_profile_hit *sl_profile_hit_at(const sl_profile *profile, uint32_t i);

/* Rows in the order of lane and time. */
uint32_t sl_profile_stretch_count(const sl_profile *profile);
const sl_profile_stretch *sl_profile_stretch_at(const sl_profile *profile,
                                                uint32_t i);

/* Rows in the order of metric and node. */
uint32_t sl_profile_counter_count(const sl_profile *profile);
const sl_profile_counter *sl_profile_counter_at(const sl_profile *profile,
                                                uint32_t i);

/* What a node has of a metric that is a counter; 0: nothing, or not known. */
uint64_t sl_profile_counter_of(const sl_profile *profile, sl_metric metric,
                               uint32_t node);

/* When one of a span row's first spans was. */
typedef struct {
    uint64_t from_ns; /* since the request began */
    uint64_t length_ns;
    const char *detail; /* NUL-terminated; "": none */
} sl_profile_span_first;

/* What was asked of others, or what the application calls a piece of work
 * (slowlens/span.h): all of one place, lane, kind and text. */
typedef struct {
    uint32_t node;
    uint32_t line; /* in the node's own function; 0: not known */
    uint32_t lane; /* 0: the request's own */
    uint32_t first_count;
    const sl_profile_span_first *firsts; /* in the order of time */
    const char *kind, *text, *where;     /* NUL-terminated; "": none */
    uint64_t count;
    uint64_t total_ns;
    uint64_t outer_ns; /* without those within others of the kind */
    uint64_t longest_ns;
} sl_profile_span;

/* Rows of spans, in the order of nodes, and how many spans are in none. */
uint32_t sl_profile_span_count(const sl_profile *profile);
const sl_profile_span *sl_profile_span_at(const sl_profile *profile,
                                          uint32_t i);
/* The first row at or behind a node; their count: none is. */
uint32_t sl_profile_first_span(const sl_profile *profile, uint32_t node);
uint64_t sl_profile_spans_lost(const sl_profile *profile);

/* Which pseudo function a function is; SL_PSEUDO_COUNT: none. */
sl_pseudo sl_profile_pseudo(const sl_profile *profile, uint32_t function);

/* Whether it was sampled: its calls are samples then. */
bool sl_profile_is_sampled(const sl_profile *profile);

/* Whether the node is a strand: it ran beside its parent. */
bool sl_profile_is_strand(const sl_profile *profile, uint32_t i);

/* Bytes of memory the profile holds. */
size_t sl_profile_bytes(const sl_profile *profile);

/* The same blob with other metadata: its other sections as they are, also those
 * that this version does not know. Of the blob only its frame, its version and
 * META are checked. `level`: zstd's, 0 means 3.
 * SL_ECORRUPT, SL_EVERSION, SL_ELIMIT, SL_ENOMEM, SL_ECOMPRESS. */
sl_status sl_blob_with_meta(const void *blob, size_t size, const sl_meta *meta,
                            size_t meta_count, int level, const sl_alloc *alloc,
                            sl_bytes *out);

#endif /* SL_PROFILE_H */
