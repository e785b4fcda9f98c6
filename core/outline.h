/* outline.h - as much of a call tree as its hot path and its summary want.
 *
 * The side that writes a blob fills it from a recording or from a union, the
 * side that reads one from a profile; so both say the same. Nodes stand in
 * preorder: the children of node i are i + 1, then c + nodes[c].size.
 */
#ifndef SL_CORE_OUTLINE_H
#define SL_CORE_OUTLINE_H

#include "slowlens/metric.h"
#include "slowlens/profile.h"
#include "slowlens/vocabulary.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* As a profile has them, whose nodes an outline borrows: of a million, a copy
 * costs more than most that is asked of it. depth, resumes and own_ns are not
 * to be asked for: whoever writes a blob leaves them empty. */
typedef sl_profile_node sl_outline_node;

/* When a node's function was innermost; in the order of lane and time. */
typedef sl_profile_stretch sl_outline_stretch;

/* How the self time of a node passed on one line, as samples saw it; in the
 * order of nodes. */
typedef struct {
    uint32_t node, line;
    uint64_t wall_ns, cpu_ns, gil_ns;
} sl_outline_line;

/* What a node has of a counter; in the order of metric and node. */
typedef struct {
    uint32_t node, metric;
    uint64_t value;
} sl_outline_counter;

/* What was asked of others, and named pieces: rows of SPANS, in the order of
 * nodes. Texts have a NUL behind, and are borrowed from whoever fills it. */
typedef struct {
    uint32_t node, line, lane;
    const char *kind, *text, *where;
    uint64_t count, total_ns, outer_ns, longest_ns;
} sl_outline_span;

typedef struct {
    sl_outline_node *nodes;
    uint32_t count;
    const sl_function *functions;
    const uint8_t *pseudo; /* by function: sl_pseudo, SL_PSEUDO_COUNT: code */
    uint32_t function_count;
    const sl_outline_stretch *stretches;
    uint32_t stretch_count;
    const sl_outline_line *lines;
    uint32_t line_count;
    const sl_outline_counter *counters;
    uint32_t counter_count;
    const sl_outline_span *spans;
    uint32_t span_count;
    uint64_t spans_lost;
    uint64_t own_ns;     /* of the root's total: what recording it cost */
    const sl_meta *meta; /* of the profile: NULL, none is known */
    size_t meta_count;
} sl_outline;

static inline sl_pseudo
sl_outline_pseudo(const sl_outline *o, uint32_t node)
{
    return (sl_pseudo)o->pseudo[o->nodes[node].function];
}

static inline const sl_function *
sl_outline_function(const sl_outline *o, uint32_t node)
{
    return &o->functions[o->nodes[node].function];
}

/* What shares are of: the request's time without what recording it cost. */
static inline uint64_t
sl_outline_wall(const sl_outline *o)
{
    uint64_t total = o->nodes[0].total_ns;
    return o->own_ns < total ? total - o->own_ns : total;
}

static inline bool
sl_outline_text_is(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(text, word, len) == 0;
}

/* Whether it is the function `name` of a file that ends so. */
static inline bool
sl_outline_function_is(const sl_function *f, const char *file, const char *name)
{
    size_t end = strlen(file);
    return sl_outline_text_is(f->name, f->name_len, name) &&
           f->file_len >= end &&
           memcmp(f->file + f->file_len - end, file, end) == 0;
}

/* A function by its name, in a file that ends so. */
typedef struct {
    const char *file, *name;
} sl_outline_named;

/* Whether the function is one of these. */
static inline bool
sl_outline_function_is_any(const sl_function *f, const sl_outline_named *named,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (sl_outline_function_is(f, named[i].file, named[i].name))
            return true;
    }
    return false;
}

/* A row of a table of functions that are known, by where they are: what they
 * are there is `what`. No name: all of the file. No file: a C function. "/..."
 * is a file of the standard library. */
typedef struct {
    const char *file, *name;
    size_t file_len, name_len;
    int what;
} sl_outline_known;

#define SL_OUTLINE_KNOWN(file, name, what)                                     \
    { file, name, sizeof(file) - 1, sizeof(name) - 1, what }
#define SL_OUTLINE_KNOWN_FILE(file, what)                                      \
    { file, NULL, sizeof(file) - 1, 0, what }

/* Each function is held against each row: a length and a letter rule out nearly
 * all. */
static inline bool
sl_outline_is_known(const sl_function *f, const sl_outline_known *k)
{
    if (k->name != NULL && (f->name_len != k->name_len ||
                            memcmp(f->name, k->name, k->name_len) != 0))
        return false;
    if (k->file_len == 0)
        return f->kind == SL_KIND_C;
    return f->file_len >= k->file_len &&
           f->file[f->file_len - k->file_len] == k->file[0] &&
           memcmp(f->file + f->file_len - k->file_len, k->file, k->file_len) ==
               0 &&
           (k->file[0] != '/' || f->origin == SL_ORIGIN_STDLIB);
}

/* What the function is by the first row that it is known by; `otherwise` if by
 * none, and for functions of the project, whatever they are called. */
static inline int
sl_outline_known_as(const sl_function *f, const sl_outline_known *table,
                    size_t count, int otherwise)
{
    if (f->origin == SL_ORIGIN_PROJECT || f->kind == SL_KIND_PSEUDO)
        return otherwise;
    for (size_t i = 0; i < count; i++) {
        if (sl_outline_is_known(f, &table[i]))
            return table[i].what;
    }
    return otherwise;
}

/* Whether a function does nothing but wait as long as it was asked to: one that
 * is awaited, or one that holds its thread. */
static inline bool
sl_outline_is_sleep(const sl_function *f, bool awaited)
{
    return awaited ? sl_outline_function_is(f, "asyncio/tasks.py", "sleep")
                   : f->kind == SL_KIND_C &&
                         sl_outline_text_is(f->name, f->name_len, "time.sleep");
}

/* The item of the metadata named `key`, or NULL; and its number, or 0. */
static inline const sl_meta *
sl_outline_meta(const sl_outline *o, const char *key)
{
    for (size_t i = 0; i < o->meta_count; i++) {
        if (sl_outline_text_is(o->meta[i].key, o->meta[i].key_len, key))
            return &o->meta[i];
    }
    return NULL;
}

static inline uint64_t
sl_outline_number(const sl_outline *o, const char *key)
{
    const sl_meta *item = sl_outline_meta(o, key);
    return item != NULL && item->text == NULL && item->number > 0
               ? (uint64_t)item->number
               : 0;
}

/* How many requests were added up in it; 1: it is one. */
static inline uint64_t
sl_outline_requests(const sl_outline *o)
{
    uint64_t merged = sl_outline_number(o, "requests");
    if (merged == 0)
        merged = sl_outline_number(o, "merged");
    return merged > 0 ? merged : 1;
}

/* Whether events told of it, not samples: what it counts are calls. */
static inline bool
sl_outline_is_exact(const sl_outline *o)
{
    const sl_meta *mode = sl_outline_meta(o, "mode");
    return mode == NULL || mode->text == NULL ||
           !sl_outline_text_is(mode->text, mode->text_len, "sampling");
}

/* The first row of `node` in o->lines, or where it would be. */
static inline uint32_t
sl_outline_lines_of(const sl_outline *o, uint32_t node)
{
    uint32_t low = 0, high = o->line_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (o->lines[middle].node < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What `node` has of a counter. */
static inline uint64_t
sl_outline_counted(const sl_outline *o, sl_metric metric, uint32_t node)
{
    uint32_t low = 0, high = o->counter_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const sl_outline_counter *row = &o->counters[middle];
        if (row->metric < (uint32_t)metric ||
            (row->metric == (uint32_t)metric && row->node < node))
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < o->counter_count &&
                 o->counters[low].metric == (uint32_t)metric &&
                 o->counters[low].node == node;
    return found ? o->counters[low].value : 0;
}

/* Whether the node ran beside its parent. */
static inline bool
sl_outline_is_strand(const sl_outline *o, uint32_t node)
{
    sl_pseudo pseudo = sl_outline_pseudo(o, node);
    return node != 0 &&
           (pseudo == SL_PSEUDO_TASK || pseudo == SL_PSEUDO_THREAD);
}

/* Whether the tree may have strands: where it has no function for them it has
 * none, and no node is to be asked. */
static inline bool
sl_outline_has_strands(const sl_outline *o)
{
    for (uint32_t f = 0; f < o->function_count; f++) {
        if (o->pseudo[f] == SL_PSEUDO_TASK || o->pseudo[f] == SL_PSEUDO_THREAD)
            return true;
    }
    return false;
}

/* Adds what stands as [own cost] below the root: see cost.h. */
static inline void
sl_outline_find_own(sl_outline *o)
{
    for (uint32_t c = 1; c < o->count; c += o->nodes[c].size)
        o->own_ns += sl_outline_pseudo(o, c) == SL_PSEUDO_OWN_COST
                         ? o->nodes[c].total_ns
                         : 0;
}

/* Fills size and total_ns, which are 0 before, from parent and self_ns, and
 * own_ns. */
static inline void
sl_outline_derive(sl_outline *o)
{
    const bool strands = sl_outline_has_strands(o);

    /* Children stand behind their parents: what comes to a node's own has come
     * when its turn does. */
    for (uint32_t i = o->count; i-- > 0;) {
        sl_outline_node *node = &o->nodes[i];
        node->size += 1;
        node->total_ns += node->self_ns;
        if (i == 0)
            break;
        sl_outline_node *parent = &o->nodes[node->parent];
        parent->size += node->size;
        if (!strands || !sl_outline_is_strand(o, i))
            parent->total_ns += node->total_ns;
    }
    sl_outline_find_own(o);
}

#endif /* SL_CORE_OUTLINE_H */
