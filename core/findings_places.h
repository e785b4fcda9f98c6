/* findings_places.h - what all rules of findings.h work with: for each node
 * whose it is, and the list that grows. */
#ifndef SL_CORE_FINDINGS_PLACES_H
#define SL_CORE_FINDINGS_PLACES_H

#include "hotpath.h"
#include "outline.h"

#include "slowlens/finding.h"

#define SL_FINDINGS_MAX 24u
#define SL_FINDING_NONE UINT32_MAX

typedef struct {
    sl_finding_rule rule;
    uint64_t ns;    /* of the wall time, that it explains */
    uint64_t score; /* what puts it in order */
    uint64_t work;  /* of `ns`, what is its own but for waits for CPU and GIL */
    uint64_t inner; /* of `ns`, the database's own; where an ORM had the rest */
    uint64_t count; /* calls, queries; 0: not counted */
    uint32_t node;  /* what took it; SL_FINDING_NONE: nothing of the tree */
    uint32_t own;   /* node of the project's own code that asked for it */
    uint32_t line;  /* there; 0: not known */
    uint32_t span;  /* number + 1 of the span that tells; 0: none */
    uint32_t places; /* in own code that called it, where it is told for all */
    uint32_t by; /* what called it, where nothing of own code did; 0: nothing */
    bool beside; /* a task or thread that own code awaited */
    bool itself; /* most of it is `node`'s own time, not what it called */
    bool extra;  /* told beside what explains most, as a part of it */
    bool wide;   /* `node` is little itself: what it calls is spread out */
    bool recursive;       /* it calls itself */
    bool scattered;       /* `own` is one of several that called `node` */
    bool measured;        /* `ns` is spans' alone: no sample says it */
    char fingerprint[17]; /* the same for the same rule and functions */
} sl_finding;

typedef struct {
    sl_finding items[SL_FINDINGS_MAX]; /* what explains most first */
    uint32_t count;
    uint64_t samples;     /* behind the shares; UINT64_MAX: they are exact */
    uint64_t unseen;      /* time that no sample could place */
    uint32_t unseen_node; /* that has most of it: why */
    uint32_t below; /* the last on the path with half of the time, or NONE */
} sl_findings;

/* Where spans tell of queries: FETCH takes their rows afterwards, which is no
 * span's time and the database's all the same; ORM makes the query and objects
 * of the rows, often for longer than the database takes. */
enum {
    SL_LAYER_NONE,
    SL_LAYER_DATABASE,
    SL_LAYER_TEMPLATE,
    SL_LAYER_FETCH,
    SL_LAYER_ORM
};

/* By node: the frame of own code it runs for, the child of that on the way to
 * it, and the layer it is in. `entry` is what own code had done there: that
 * child too, but of a job that it handed to a thread, the job, not what handed
 * it on. */
typedef struct {
    uint32_t own, from, entry;
    uint32_t strand; /* 0: the request itself */
    uint32_t orm;    /* where the ORM that it is part of was entered; 0: none */
    uint8_t layer;   /* by the names of functions; none where spans tell */
    bool rendering;  /* a template is above it */
} sl_findings_place;

typedef struct {
    const sl_outline *o;
    const sl_hotpath *path;
    sl_findings *out;
    sl_findings_place *places;
    uint64_t wall;
    uint64_t requests; /* that were added up in it: 1, or more */
    uint64_t pseudos;  /* bit by sl_pseudo: a function is it */
    uint32_t layers;   /* bit by layer: a node is in it */
    bool exact;
    bool strands; /* there are some */
    bool works;   /* a function is known by what it does */
    bool few;     /* too few samples: what is told is told of spans alone */
} sl_findings_work;

/* Fills `places`, which is to be freed in any case, and what is told of all
 * nodes at once. false: no memory. */
bool sl_findings_places(sl_findings_work *w);

/* Whether a pseudo function stands anywhere in the tree. */
static inline bool
sl_findings_has(const sl_findings_work *w, sl_pseudo pseudo)
{
    return (w->pseudos >> pseudo & 1) != 0;
}

/* Where in own code node `i` was asked for. */
void sl_findings_locate(const sl_findings_work *w, uint32_t i, sl_finding *f);

/* Where span `i` was asked for: in own code, else by what its ORM's caller is.
 */
void sl_findings_locate_span(const sl_findings_work *w, uint32_t i,
                             sl_finding *f);

bool sl_findings_is_kind(const sl_outline_span *span, const char *kind);

/* Whether another program was asked: a database, a service, a cache. */
bool sl_findings_is_asked(const sl_outline_span *span);

/* The line of own code `own` that samples saw most, or where it begins. */
uint32_t sl_findings_line(const sl_outline *o, uint32_t own);

/* What puts "not enough samples" in order: behind a wait of two fifths. */
static inline uint64_t
sl_findings_few_score(const sl_findings_work *w)
{
    return w->wall / 5 * 2;
}

/* Of what jobs waited that ran side by side, added up, the part that `ns` of
 * the request's time is of `all` that they took. */
static inline uint64_t
sl_findings_part(uint64_t waited, uint64_t ns, uint64_t all)
{
    return all > ns ? (uint64_t)((double)waited * (double)ns / (double)all)
                    : waited;
}

/* Whether several ran at once: for each other's GIL they wait because of what
 * they do, not because of others. */
static inline bool
sl_findings_at_once(uint64_t ns, uint64_t all)
{
    return all > ns + ns / 10;
}

/* Puts one where its score says; while there are too few samples, before that
 * this is so. */
void sl_findings_add(sl_findings_work *w, sl_finding f);

/* Bytes of a function's name without "<locals>.<genexpr>" and its like, which
 * run in the middle of the function they stand in. */
size_t sl_findings_whole_name(const sl_function *f);

/* "dir/file.py", the last two parts of a function's file, which is no text that
 * ends with a NUL. */
const char *sl_finding_path(const sl_function *f, size_t *len);

#endif /* SL_CORE_FINDINGS_PLACES_H */
