/* The call tree while it grows: nodes, and where they hang. */
#include "tree.h"

#include <stdalign.h>
#include <string.h>

#define SCAN_MAX 16
#define WIDE_MIN 256u
#define FLAT_MAX 65536u
#define FLAT_BIT ((uintptr_t)1)

/* Only the addresses matter: apart enough for FLAT_BIT and for hashing. */
static const struct {
    alignas(16) char unused;
} pseudo_keys[SL_PSEUDO_COUNT];

const void *
sl_pseudo_key(sl_pseudo pseudo)
{
    return &pseudo_keys[pseudo];
}

static const void *
flat_key(const void *key)
{
    return (const void *)((uintptr_t)key | FLAT_BIT);
}

/* What was given to flat_key. */
static const void *
unflat(const void *key)
{
    return (const void *)((uintptr_t)key & ~FLAT_BIT);
}

static sl_status
tree_function(sl_tree *tree, const void *key, sl_kind kind, uint32_t *id)
{
    bool added;
    sl_status status = sl_functions_id(&tree->functions, key, id, &added);
    if (status < 0 || !added)
        return status;

    uint16_t *flags = &tree->functions.flags[*id];
    if (kind == SL_KIND_C)
        *flags |= SL_FUNCTION_C;
    if (kind != SL_KIND_PSEUDO && tree->on_function != NULL &&
        tree->on_function(tree->ctx, key, *id))
        *flags |= SL_FUNCTION_CHOSEN;
    return SL_OK;
}

static sl_node *
tree_node(sl_tree *tree, sl_node *parent, const void *key, uint32_t site,
          uint32_t function)
{
    void *mem;
    if (sl_arena_take(tree->arena, sizeof(sl_node), &mem) < 0)
        return NULL;

    sl_node *node = mem;
    *node = (sl_node){
        .key = key,
        .parent = parent,
        .function = function,
        .site = site,
    };
    tree->nodes++;
    uint16_t *flags = &tree->functions.flags[function];
    if (*flags < SL_FUNCTION_NODES_MAX)
        *flags = (uint16_t)(*flags + SL_FUNCTION_ONE_NODE);
    if (parent == NULL)
        return node;

    /* Children are a ring that is known by its last: appending is one store,
     * and the first is the last one's next. */
    if (parent->tail == NULL) {
        node->next = node;
    } else {
        node->next = parent->tail->next;
        parent->tail->next = node;
    }
    parent->tail = node;
    return node;
}

static uint32_t
wide_hash(const sl_node *parent, const void *key, uint32_t site)
{
    uint64_t mix = ((uintptr_t)parent >> 4) * 0x9E3779B97F4A7C15u;
    mix ^= ((uintptr_t)key + site) * 0xC2B2AE3D27D4EB4Fu;
    return (uint32_t)(mix >> 32);
}

static sl_node **
wide_slot(const sl_tree *tree, const sl_node *parent, const void *key,
          uint32_t site)
{
    uint32_t at = wide_hash(parent, key, site) & tree->wide_mask;
    sl_node *node;

    while ((node = tree->wide[at]) != NULL &&
           (node->parent != parent || node->key != key || node->site != site))
        at = (at + 1) & tree->wide_mask;
    return &tree->wide[at];
}

/* Makes sure one more fits. false: no memory; the hash is as it was. */
static bool
wide_reserve(sl_tree *tree)
{
    if (tree->wide != NULL && tree->wide_count < tree->wide_mask / 2)
        return true;

    uint32_t slots = tree->wide == NULL ? WIDE_MIN : (tree->wide_mask + 1) * 2;
    void *mem;
    if (sl_arena_take(tree->arena, slots * sizeof(sl_node *), &mem) < 0)
        return false;
    memset(mem, 0, slots * sizeof(sl_node *));

    /* The old table is left to the arena: doubling, all old ones together are
     * no larger than this one. */
    sl_tree grown = *tree;
    grown.wide = mem;
    grown.wide_mask = slots - 1;
    for (uint32_t i = 0; tree->wide != NULL && i <= tree->wide_mask; i++) {
        sl_node *node = tree->wide[i];
        if (node != NULL)
            *wide_slot(&grown, node->parent, node->key, node->site) = node;
    }
    *tree = grown;
    return true;
}

/* Finds the child; *wide tells that the answer stands in the hash. What goes
 * on (`resume`) went in at some site before: any will do. */
static sl_node *
tree_find(const sl_tree *tree, const sl_node *parent, const void *key,
          uint32_t site, bool resume, bool *wide)
{
    *wide = false;
    if (parent->tail == NULL)
        return NULL;

    /* Nearly all nodes have few children, in one or two cache lines of the
     * arena: looking through them is cheaper than a hash. A dispatcher or a
     * template of a thousand blocks has many: those from the seventeenth on
     * stand in one hash for all of the tree, by parent, key and line. */
    sl_node *node = parent->tail->next;
    for (int i = 0; i < SCAN_MAX; i++) {
        if (node->key == key && (resume || node->site == site))
            return node;
        if (node == parent->tail && i < SCAN_MAX - 1)
            return NULL;
        node = node->next;
    }
    *wide = true; /* SCAN_MAX children or more: the next ones go there */
    return tree->wide == NULL ? NULL : *wide_slot(tree, parent, key, site);
}

/* One that tree_find did not find; `wide` as that said. NULL: no memory. */
static sl_node *
tree_add(sl_tree *tree, sl_node *parent, const void *key, uint32_t site,
         uint32_t function, bool wide)
{
    if (wide && !wide_reserve(tree))
        return NULL;
    sl_node *node = tree_node(tree, parent, key, site, function);
    if (node != NULL && wide) {
        *wide_slot(tree, parent, key, site) = node;
        tree->wide_count++;
    }
    return node;
}

void
sl_tree_hash(sl_tree *tree)
{
    uint32_t depth = 0;

    for (const sl_node *node = tree->root; node != NULL;
         node = sl_tree_next(node, &depth)) {
        sl_node *child = node->tail;
        for (int i = 0; child != NULL && (i == 0 || child != node->tail); i++) {
            child = child->next;
            if (i < SCAN_MAX)
                continue;
            if (!wide_reserve(tree))
                return;
            *wide_slot(tree, node, child->key, child->site) = child;
            tree->wide_count++;
        }
    }
}

/* `reserve`: past max_nodes, as for the children of [truncated], whose keys are
 * flat ones; their functions are known by the plain ones. */
static sl_node *
tree_child(sl_tree *tree, sl_node *parent, const void *key, uint32_t site,
           sl_kind kind, bool resume, bool reserve)
{
    bool wide;
    uint32_t function;
    sl_node *node = tree_find(tree, parent, key, site, resume, &wide);

    if (node != NULL)
        return node;
    if (!reserve && tree->nodes >= tree->max_nodes)
        return NULL;
    if (tree_function(tree, reserve ? unflat(key) : key, kind, &function) < 0)
        return NULL;
    return tree_add(tree, parent, key, site, function, wide);
}

sl_node *
sl_tree_child(sl_tree *tree, sl_node *parent, const void *key, uint32_t site,
              sl_kind kind)
{
    return tree_child(tree, parent, key, site, kind, false, false);
}

/* As sl_tree_child, past max_nodes: there are as many as pseudo functions. */
static sl_node *
tree_reserved(sl_tree *tree, sl_node *parent, sl_pseudo pseudo)
{
    const void *key = sl_pseudo_key(pseudo);
    bool wide;
    sl_node *node = tree_find(tree, parent, key, 0, false, &wide);

    if (node != NULL)
        return node;
    return tree_add(tree, parent, key, 0, (uint32_t)pseudo, wide);
}

sl_node *
sl_tree_fold(sl_strand *strand)
{
    sl_tree *tree = strand->tree;

    if (strand->lane == 0)
        return tree->truncated;
    if (tree->truncated_beside == NULL) {
        sl_node *task = tree_reserved(tree, tree->root, SL_PSEUDO_TASK);
        if (task != NULL)
            tree->truncated_beside =
                tree_reserved(tree, task, SL_PSEUDO_TRUNCATED);
    }
    /* Without memory even for that, where there always is a node. */
    return tree->truncated_beside != NULL ? tree->truncated_beside
                                          : tree->truncated;
}

sl_node *
sl_tree_fold_wait(sl_strand *strand, sl_pseudo pseudo)
{
    sl_node *fold = sl_tree_fold(strand);
    sl_node *node = tree_reserved(strand->tree, fold->parent, pseudo);

    strand->tree->folded = true;
    return node != NULL ? node : fold;
}

sl_node *
sl_tree_fold_base(sl_tree *tree, sl_pseudo pseudo)
{
    sl_node *node = tree_reserved(tree, tree->root, pseudo);

    tree->folded = true;
    return node != NULL ? node : tree->truncated;
}

sl_node *
sl_tree_flat(sl_strand *strand, const void *key, sl_kind kind)
{
    sl_tree *tree = strand->tree;
    sl_node *fold = sl_tree_fold(strand);
    sl_node *node = tree_child(tree, fold, flat_key(key), 0, kind, false, true);

    if (node != NULL)
        return node;
    tree->dropped++;
    return fold;
}

bool
sl_tree_is_flat(const sl_node *node)
{
    return ((uintptr_t)node->key & FLAT_BIT) != 0 ||
           node->key == sl_pseudo_key(SL_PSEUDO_TRUNCATED);
}

sl_status
sl_tree_init(sl_tree *tree, sl_arena *arena, uint32_t max_nodes,
             const sl_recording_options *options)
{
    *tree = (sl_tree){
        .arena = arena,
        .max_nodes = max_nodes,
        .on_function = options->on_function,
        .on_full = options->on_full,
        .ctx = options->ctx,
    };
    sl_status status = sl_functions_init(&tree->functions, arena);
    for (int i = 0; status == SL_OK && i < SL_PSEUDO_COUNT; i++) {
        uint32_t id;
        status = tree_function(tree, sl_pseudo_key((sl_pseudo)i),
                               SL_KIND_PSEUDO, &id);
    }
    if (status < 0)
        return status;

    tree->root =
        tree_node(tree, NULL, sl_pseudo_key(SL_PSEUDO_ROOT), 0, SL_PSEUDO_ROOT);
    if (tree->root == NULL)
        return SL_ELIMIT;
    /* Made now, so that there is always room to say that there is none. */
    tree->truncated =
        tree_node(tree, tree->root, sl_pseudo_key(SL_PSEUDO_TRUNCATED), 0,
                  SL_PSEUDO_TRUNCATED);
    if (tree->truncated == NULL)
        return SL_ELIMIT;
    tree->root->calls = 1;
    return SL_OK;
}

static bool
flat_push(sl_strand *strand)
{
    if (strand->flat_depth == strand->flat_capacity) {
        uint32_t capacity = strand->flat_capacity * 2;
        void *mem;
        if (capacity == 0)
            capacity = 256;
        if (capacity > FLAT_MAX ||
            sl_arena_take(strand->tree->arena, capacity * sizeof(sl_node *),
                          &mem) < 0)
            return false;
        if (strand->flat_depth > 0)
            memcpy(mem, strand->flat, strand->flat_depth * sizeof(sl_node *));
        strand->flat = mem;
        strand->flat_capacity = capacity;
    }
    strand->flat[strand->flat_depth++] = strand->cur;
    return true;
}

/* There is no room for the node: fold it. Past even that, only a depth is
 * counted, and the time stays with the function that is on top. */
static void
flat_enter(sl_strand *strand, const void *key, sl_kind kind, bool resume)
{
    sl_tree *tree = strand->tree;
    void (*on_full)(void *) = tree->on_full;
    sl_node *node = NULL;

    /* Once, and cleared before: what is told may come back here. */
    tree->on_full = NULL;
    if (on_full != NULL)
        on_full(tree->ctx);
    sl_node *fold = sl_tree_fold(strand);
    fold->calls += !resume;
    /* The folded part keeps its own stack of nodes: their parent is
     * [truncated], whoever called them, so the tree does not say where to go
     * back to. */
    if (strand->lost_depth == 0) {
        node = tree_child(tree, fold, flat_key(key), 0, kind, resume, true);
        if (node != NULL && !flat_push(strand))
            node = NULL;
    }
    if (node == NULL) {
        tree->dropped++;
        strand->lost_depth++;
        return;
    }
    if (resume)
        node->resumes++;
    else
        node->calls++;
    sl_strand_stand(strand, node);
}

void
sl_tree_descend(sl_strand *strand, const void *key, uint32_t site, sl_kind kind,
                bool resume)
{
    sl_node *node = NULL;

    if (strand->flat_depth == 0 && strand->lost_depth == 0)
        node = tree_child(strand->tree, strand->cur, key, site, kind, resume,
                          false);
    if (node == NULL) {
        flat_enter(strand, key, kind, resume);
        return;
    }
    strand->cur->last = node;
    if (resume)
        node->resumes++;
    else
        node->calls++;
    sl_strand_stand(strand, node);
}

/* The part of the stack that lies in the flat region. true: found there. */
static bool
flat_unwind(sl_strand *strand, const void *key)
{
    const void *flat = flat_key(key);

    if (strand->cur->key == flat) {
        sl_strand_stand(strand, strand->flat[--strand->flat_depth]);
        return true;
    }
    /* flat[i] is what was on top when the one above it began: going back to
     * below a function is taking what stood before it. */
    for (uint32_t i = strand->flat_depth; i-- > 1;) {
        if (strand->flat[i]->key == flat) {
            sl_strand_stand(strand, strand->flat[i - 1]);
            strand->flat_depth = i - 1;
            strand->tree->mended++;
            return true;
        }
    }
    return false;
}

void
sl_tree_unwind(sl_strand *strand, const void *key)
{
    if (strand->lost_depth > 0) {
        strand->lost_depth--;
        return;
    }

    sl_node *node = strand->cur;
    if (strand->flat_depth > 0) {
        if (flat_unwind(strand, key))
            return;
        /* Not among the folded ones: it is further out, where the folded part
         * began. */
        node = strand->flat[0];
    }
    for (; node != strand->base; node = node->parent) {
        if (node->key == key) {
            sl_strand_stand(strand, node->parent);
            strand->flat_depth = 0;
            strand->tree->mended++;
            return;
        }
    }
}

const sl_node *
sl_tree_next(const sl_node *node, uint32_t *depth)
{
    if (node->tail != NULL) {
        ++*depth;
        return node->tail->next;
    }
    while (node->parent != NULL && node == node->parent->tail) {
        node = node->parent;
        --*depth;
    }
    return node->parent == NULL ? NULL : node->next;
}
