/* tree.h - the call tree of one recording, and where its strands stand.
 *
 *   parent --tail--> [last child] --next--> [first child] --next--> ...ring
 *          `-last--> [child entered last]
 *
 * Children stand in a ring in the order of their first call, so the child
 * after the one entered last predicts loops: `last` and `last->next` find
 * 88 % of the repeated calls of a Django page. Behind them a scan of at most
 * SCAN_MAX siblings, and for wider nodes one hash per tree.
 *
 * A strand that finds no room for a node goes FLAT: further functions become
 * children of one [truncated] node (one for the request's own, one for all that
 * ran beside it), keyed by function alone, and a side
 * stack remembers the way back. Flat nodes carry their key with bit 0 set,
 * so the fast paths below never match them and need no test of their own.
 */
#ifndef SL_CORE_TREE_H
#define SL_CORE_TREE_H

#include "arena.h"
#include "functions.h"

#include "slowlens/recording.h"

typedef struct sl_node sl_node;

struct sl_node { /* one cache line */
    const void *key;
    sl_node *parent; /* NULL: root */
    union {
        sl_node *last;   /* while it is recorded */
        uint64_t number; /* in preorder, once known: see numbering.h */
    };
    sl_node *tail;
    sl_node *next;
    uint64_t self; /* ticks */
    uint32_t calls;
    uint32_t resumes;
    uint32_t function;
    uint32_t site;
};

typedef struct {
    sl_arena *arena; /* borrowed */
    sl_functions functions;
    sl_node *root;
    sl_node *truncated; /* below the root: what of the request found no room */
    sl_node *truncated_beside; /* likewise of its strands: below a [task], since
                                  it is no time of the request's; NULL: none */
    bool folded; /* a strand or a wait stands below the root for want of room */
    sl_node **wide; /* hash of children beyond SCAN_MAX */
    uint32_t wide_mask;
    uint32_t wide_count;
    uint32_t nodes;
    uint32_t max_nodes;
    uint64_t mended;
    uint64_t dropped;
    bool (*on_function)(void *ctx, const void *key, uint32_t id);
    void (*on_full)(void *ctx); /* asked once */
    void *ctx;
} sl_tree;

/* The stack of a strand's last sample, outermost first. */
typedef struct {
    uint32_t depth;
    uint32_t line;    /* of the innermost */
    sl_node *charged; /* the sample's time went there... */
    uint32_t charged_line;
    uint32_t shared; /* of the nodes, with the sample before */
    uint32_t room;
    sl_node *nodes[];
} sl_path;

/* A node, and the line in it. */
typedef struct {
    sl_node *node;
    uint32_t line;
} sl_place;

struct sl_strand {
    sl_tree *tree;
    sl_node *cur;      /* moved by sl_strand_stand */
    uint64_t last;     /* ticks of the last event */
    sl_node *awaiting; /* yielded first since the last enter, or NULL */
    sl_node *base;     /* its lowest node: root, or a pseudo node */
    uint32_t site;     /* call site for the next enter, 0: none */
    sl_node *site_node;
    sl_node **flat; /* way back to the tree while flat */
    uint32_t flat_depth;
    uint32_t flat_capacity;
    uint64_t lost_depth;  /* flat frames beyond what `flat` could hold */
    sl_path *path;        /* of the last sample, or NULL */
    bool known;           /* ...which was of this section */
    sl_times pending;     /* passed, but no sample has told where */
    uint64_t alike;       /* what its work shares with other work; 0: none */
    const void *work;     /* key of the function that it is, if that is not 0 */
    struct sl_owed *owed; /* where that work owes, or NULL: not known yet */
    sl_times carried;     /* of it, from before this section */
    sl_place met;   /* by the last sample of this section; no node: none */
    sl_place seen;  /* by the last planned one, unless that is in `owed` */
    bool aside;     /* the next sample speaks for this section alone */
    bool beside;    /* the last one did */
    uint64_t vouch; /* ticks that a sample speaks for; 0: all */
    uint32_t lane;  /* 0: the main strand */
    sl_strand *next;
    sl_strand *idle_next; /* while it waits for its next job */
};

/* functions.flags[id]: two bits, and above them the nodes it has so far. A
 * function that calls itself from two places would have 2^depth nodes, so
 * past SL_FUNCTION_NODES_MAX its call sites are not told apart any more. */
#define SL_FUNCTION_CHOSEN    ((uint16_t)1)
#define SL_FUNCTION_C         ((uint16_t)2)
#define SL_FUNCTION_ONE_NODE  ((uint16_t)4)
#define SL_FUNCTION_NODES_MAX ((uint16_t)(512 * SL_FUNCTION_ONE_NODE))

/* A tree with its root and the pseudo functions; hooks and their context as
 * in the options. SL_ENOMEM, SL_ELIMIT. */
sl_status sl_tree_init(sl_tree *tree, sl_arena *arena, uint32_t max_nodes,
                       const sl_recording_options *options);

/* Where what finds no room for a node goes. Never NULL. */
sl_node *sl_tree_fold(sl_strand *strand); /* calls: a [truncated] */
/* a wait: below the root, or a [task] of its */
sl_node *sl_tree_fold_wait(sl_strand *strand, sl_pseudo pseudo);
sl_node *sl_tree_fold_base(sl_tree *tree, sl_pseudo pseudo); /* a strand */
/* the time of function `key`: its flat node, or [truncated] itself */
sl_node *sl_tree_flat(sl_strand *strand, const void *key, sl_kind kind);
/* Whether it is one of these two, below which nothing hangs. */
bool sl_tree_is_flat(const sl_node *node);

/* The child of `parent` for (key, site), made if need be; NULL: no room. */
sl_node *sl_tree_child(sl_tree *tree, sl_node *parent, const void *key,
                       uint32_t site, sl_kind kind);

/* In a tree whose nodes have moved, and that has no hash any more: makes it
 * anew. Without memory for it some children are not found, and made again. */
void sl_tree_hash(sl_tree *tree);

/* The strand stands at `node` from now on. A sampler may look meanwhile
 * (sl_recording_observe): one word, and the same instruction as a plain store.
 */
static inline void
sl_strand_stand(sl_strand *strand, sl_node *node)
{
    __atomic_store_n(&strand->cur, node, __ATOMIC_RELAXED);
}

/* The slow halves of enter and leave. */
void sl_tree_descend(sl_strand *strand, const void *key, uint32_t site,
                     sl_kind kind, bool resume);
void sl_tree_unwind(sl_strand *strand, const void *key);

/* Whether `node` is a [truncated] that nothing was folded into (a generator
 * that goes on there counts no call): it is left out. Not so where something
 * found no room even there, which it stands for. */
static inline bool
sl_tree_is_unused(const sl_tree *tree, const sl_node *node)
{
    return node == tree->truncated && node->tail == NULL && node->calls == 0 &&
           node->self == 0 && tree->dropped == 0;
}

/* Next node in preorder, first children first; NULL at the end. *depth moves
 * along. */
const sl_node *sl_tree_next(const sl_node *node, uint32_t *depth);

/* Charges the time since the last event. A clock that ran backwards (another
 * core) charges nothing and does not move, so the sum stays right. */
static inline void
sl_strand_tick(sl_strand *strand, uint64_t now)
{
    uint64_t passed = now - strand->last;
    if ((int64_t)passed > 0) {
        strand->cur->self += passed;
        strand->last = now;
    }
}

#endif /* SL_CORE_TREE_H */
