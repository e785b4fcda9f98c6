/* slowlens/vocabulary.h - the words that recordings and profiles share.
 *
 *   function   what a node runs: its KIND (code, C, pseudo, span), and whose it
 *              is, its ORIGIN
 *   pseudo     a function that is no code: [await], [gc], [task]...
 *   meta       one item of a profile's metadata; the keys: slowlens/meta.h
 *   flag       one word of the metadata's "flags"
 *
 * Each list makes an enum and its words, so they cannot drift. Numbers of
 * kinds and origins are part of the file format: add at the end, never change.
 */
#ifndef SL_VOCABULARY_H
#define SL_VOCABULARY_H

#include <stddef.h>
#include <stdint.h>

/* What a function is. */
#define SL_KIND_MAP(XX)                                                        \
    XX(PYTHON, 0, "python")                                                    \
    XX(C, 1, "c")                                                              \
    XX(PSEUDO, 2, "pseudo") /* not code: see SL_PSEUDO_MAP */                  \
    XX(SPAN, 3, "span")     /* named by the application */

typedef enum {
#define XX(name, number, word) SL_KIND_##name = (number),
    SL_KIND_MAP(XX)
#undef XX
        SL_KIND_COUNT
} sl_kind;

/* Whose it is. */
#define SL_ORIGIN_MAP(XX)                                                      \
    XX(PROJECT, 0, "project")                                                  \
    XX(LIBRARY, 1, "library")                                                  \
    XX(STDLIB, 2, "stdlib")                                                    \
    XX(BUILTIN, 3, "builtin")                                                  \
    XX(NONE, 4, "none") /* pseudo functions */

typedef enum {
#define XX(name, number, word) SL_ORIGIN_##name = (number),
    SL_ORIGIN_MAP(XX)
#undef XX
        SL_ORIGIN_COUNT
} sl_origin;

/* Why a sample could not say where its time went: each is a pseudo function,
 * and a key of the metadata that counts such samples (slowlens/meta.h). */
#define SL_UNSEEN_MAP(XX)                                                      \
    XX(UNSEEN_TORN, "[not seen] torn") /* changed while it was read */         \
    XX(UNSEEN_GREENLET, "[not seen] another greenlet")                         \
    XX(UNSEEN_SHIM, "[not seen] between frames") /* the interpreter's own */   \
    XX(UNSEEN_DEEP, "[not seen] deeper than the limit")                        \
    XX(UNSEEN_MOVED, "[not seen] moved on") /* to another context's work */    \
    XX(UNSEEN_ROOM, "[not seen] no slot")   /* more threads than are seen */   \
    XX(UNSEEN_MEMORY, "[not seen] no memory") /* timed, nobody looked */       \
    XX(UNSEEN_LATE, "[not seen] sampler late") /* who looks got no CPU */

/* Pseudo functions; the first ids of every recording, in this order. A file
 * knows them by their names. */
#define SL_PSEUDO_MAP(XX)                                                      \
    XX(ROOT, "[request]")                                                      \
    XX(AWAIT, "[await]")                                                       \
    XX(IDLE, "[between chunks]")                                               \
    XX(GC, "[gc]")                                                             \
    XX(TASK, "[task]")                                                         \
    XX(THREAD, "[thread]")                                                     \
    XX(TRUNCATED, "[truncated]")                                               \
    XX(LOOP, "[loop busy]")                                                    \
    XX(SAMPLED, "[by sampling]")                                               \
    XX(QUEUED, "[queued]") /* work that waits for a thread to take it up */    \
    XX(OWN_COST, "[own cost]") /* made by reading: see core/cost.h */          \
    SL_UNSEEN_MAP(XX)

typedef enum {
#define XX(name, text) SL_PSEUDO_##name,
    SL_PSEUDO_MAP(XX)
#undef XX
        SL_PSEUDO_COUNT
} sl_pseudo;

/* Words of the metadata's "flags", joined by commas. */
#define SL_FLAG_MAP(XX)                                                        \
    XX(TRUNCATED, "truncated") /* paths were folded for want of room */        \
    XX(PARTIAL, "partial") /* calls without a name, strands without tree */    \
    XX(DISPLACED, "displaced") /* another tool took our hook, or tool id */    \
    XX(KILLED, "killed")       /* its process died before it ended */          \
    XX(LESS, "less") /* for want of memory: by samples, or times alone */

/* Everything about one function that goes into the file. Strings are UTF-8
 * and borrowed. */
typedef struct {
    const char *name; /* qualified: "Shop.view", "dict.get" */
    size_t name_len;
    const char *file; /* "" for C and pseudo functions */
    size_t file_len;
    uint32_t line; /* of the definition; 0: none */
    sl_kind kind;
    sl_origin origin;
} sl_function;

/* One item of the profile's metadata. A key or string is UTF-8 without NUL. */
typedef struct {
    const char *key;
    size_t key_len;
    const char *text; /* NULL: the value is `number` */
    size_t text_len;
    int64_t number;
} sl_meta;

/* Words of a kind, of an origin, and the name of a pseudo function: static
 * strings; "?" for a number that is none. */
const char *sl_kind_name(sl_kind kind);
const char *sl_origin_name(sl_origin origin);
const char *sl_pseudo_name(sl_pseudo pseudo);

/* Which pseudo function it is, by its kind and name; SL_PSEUDO_COUNT: it is
 * none, or one that this version does not know. */
sl_pseudo sl_pseudo_of(const sl_function *function);

/* Whether it is one of those that hold what was not seen. */
static inline int
sl_pseudo_is_unseen(sl_pseudo pseudo)
{
    return pseudo >= SL_PSEUDO_UNSEEN_TORN && pseudo <= SL_PSEUDO_UNSEEN_LATE;
}

#endif /* SL_VOCABULARY_H */
