/* freeze.c - a copy of a running recording.
 *
 * Its memory is copied block by block; every pointer in the copy then leads
 * into the original, and is moved by as much as its block was. Nodes are
 * reached in preorder, each one's pointers moved when it is met. */
#include "recording_data.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS_MAX 4096u
#define PAGE       4096u
/* What stopping the copy may add to its tree. */
#define MORE_BYTES ((size_t)1 << 20)

typedef struct {
    uintptr_t from, to;
    ptrdiff_t by;
} block;

struct sl_frozen {
    sl_alloc alloc;
    sl_recording copy;
    uint64_t now;
    uint64_t now_ns;
    size_t room, used;
    uint32_t block_count;
    const block *last; /* found last */
    block blocks[BLOCKS_MAX];
    _Alignas(max_align_t) char bytes[];
};

/* ---- freezing ---- */

typedef struct {
    sl_frozen *frozen;
    bool full;
} freezing;

static bool
keep(void *ctx, const void *from, size_t size)
{
    freezing *at = ctx;
    sl_frozen *f = at->frozen;
    size_t padded = (size + 15) & ~(size_t)15;

    if (padded > f->room - f->used || f->block_count == BLOCKS_MAX) {
        at->full = true;
        return false;
    }
    memcpy(f->bytes + f->used, from, size);
    f->blocks[f->block_count++] =
        (block){ (uintptr_t)from, (uintptr_t)from + size,
                 (f->bytes + f->used) - (const char *)from };
    f->used += padded;
    return true;
}

static bool
add_used(void *ctx, const void *from, size_t used)
{
    (void)from;
    *(size_t *)ctx += used + 16;
    return true;
}

static bool
keep_cells(freezing *at, const sl_cells *cells)
{
    return cells->capacity == 0 ||
           (keep(at, cells->rows, cells->capacity * sizeof(sl_cell)) &&
            keep(at, cells->slots,
                 (size_t)cells->capacity * 2 * sizeof(uint32_t)));
}

size_t
sl_recording_room(const sl_recording *recording)
{
    size_t bytes = 0;

    sl_arena_each(recording->arena, add_used, &bytes);
    if (recording->spans.arena != NULL)
        sl_arena_each(recording->spans.arena, add_used, &bytes);
    return bytes + sl_cells_bytes(&recording->marks) +
           sl_cells_bytes(&recording->counters) +
           recording->stretches.count * sizeof(sl_stretch) + 128;
}

sl_status
sl_frozen_new(sl_frozen **out, size_t room, const sl_alloc *alloc)
{
    if (alloc == NULL)
        alloc = &sl_alloc_libc;
    if (room > SIZE_MAX - sizeof(sl_frozen))
        return SL_ELIMIT;
    sl_frozen *frozen = alloc->take(alloc->ctx, sizeof(*frozen) + room);
    if (frozen == NULL)
        return SL_ENOMEM;
    memset(frozen, 0, sizeof(*frozen));
    frozen->alloc = *alloc;
    frozen->room = room;
    for (size_t i = 0; i < room; i += PAGE)
        ((volatile char *)frozen->bytes)[i] = 0;
    *out = frozen;
    return SL_OK;
}

/* What thawing and stopping took. */
static void
copy_release(sl_frozen *frozen)
{
    sl_arena_free(frozen->copy.arena);
    sl_cells_free(&frozen->copy.marks);
    sl_cells_free(&frozen->copy.counters);
    sl_stretches_free(&frozen->copy.stretches);
    sl_spans_free(&frozen->copy.spans);
    frozen->copy = (sl_recording){ 0 };
}

void
sl_frozen_free(sl_frozen *frozen)
{
    if (frozen == NULL)
        return;
    copy_release(frozen);
    frozen->alloc.give(frozen->alloc.ctx, frozen);
}

sl_status
sl_recording_freeze(const sl_recording *recording, uint64_t now,
                    sl_frozen *frozen)
{
    const sl_stretches *stretches = &recording->stretches;
    freezing at = { .frozen = frozen };

    if (recording->stopped)
        return SL_ESTATE;
    copy_release(frozen);
    frozen->used = frozen->block_count = 0;
    frozen->last = NULL;
    sl_arena_each(recording->arena, keep, &at);
    if (!at.full && keep_cells(&at, &recording->marks) &&
        keep_cells(&at, &recording->counters) && stretches->count > 0)
        keep(&at, stretches->rows, stretches->count * sizeof(sl_stretch));
    if (!at.full && recording->spans.arena != NULL)
        sl_arena_each(recording->spans.arena, keep, &at);
    /* The strand in the recording itself is moved like all others. */
    if (at.full || frozen->block_count == BLOCKS_MAX)
        return SL_ELIMIT;
    frozen->blocks[frozen->block_count++] =
        (block){ (uintptr_t)recording, (uintptr_t)(recording + 1),
                 (char *)&frozen->copy - (const char *)recording };
    frozen->copy = *recording;
    frozen->copy.arena = NULL; /* they are the original's... */
    frozen->copy.spans.arena = NULL;
    frozen->copy.marks.borrowed = frozen->copy.counters.borrowed = true;
    frozen->copy.stretches.borrowed = true;
    frozen->copy.hits = (sl_cells){ 0 }; /* lines of what runs are not told */
    frozen->now = now;
    frozen->now_ns = sl_clock_monotonic_ns();
    return SL_OK;
}

/* ---- thawing ---- */

static int
block_compare(const void *a, const void *b)
{
    const block *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

static void *
moved(sl_frozen *f, const void *p)
{
    uintptr_t at = (uintptr_t)p;
    uint32_t low = 0, high = f->block_count;

    if (p == NULL)
        return NULL;
    if (f->last == NULL || at < f->last->from || at >= f->last->to) {
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (f->blocks[middle].to <= at)
                low = middle + 1;
            else
                high = middle;
        }
        if (low == f->block_count || at < f->blocks[low].from)
            return NULL; /* not the recording's */
        f->last = &f->blocks[low];
    }
    return (void *)(at + (uintptr_t)f->last->by);
}

#define MOVE(field) ((field) = moved(f, (field)))

static void
move_strand(sl_frozen *f, sl_strand *s)
{
    s->tree = &f->copy.tree;
    MOVE(s->cur);
    MOVE(s->awaiting);
    MOVE(s->base);
    MOVE(s->site_node);
    MOVE(s->flat);
    MOVE(s->path);
    MOVE(s->met.node);
    MOVE(s->seen.node);
    MOVE(s->owed);
    MOVE(s->next);
    s->idle_next = NULL;
    for (uint32_t i = 0; s->flat != NULL && i < s->flat_depth; i++)
        MOVE(s->flat[i]);
    if (s->path != NULL) {
        MOVE(s->path->charged);
        for (uint32_t i = 0; i < s->path->depth; i++)
            MOVE(s->path->nodes[i]);
    }
}

static void
move_nodes(sl_frozen *f, sl_node *node)
{
    node->parent = NULL;
    for (;;) {
        MOVE(node->tail);
        node->last = NULL;
        if (node->tail != NULL) { /* down: the ring begins behind its tail */
            sl_node *first = moved(f, node->tail->next);
            node->tail->next = first;
            first->parent = node;
            if (first != node->tail)
                MOVE(first->next);
            node = first;
            continue;
        }
        while (node->parent != NULL && node == node->parent->tail)
            node = node->parent;
        if (node->parent == NULL)
            return;
        sl_node *next = node->next; /* moved already */
        next->parent = node->parent;
        if (next != node->parent->tail)
            MOVE(next->next);
        node = next;
    }
}

/* The node of a cell and its like; the root, if it is none of the tree's. */
static const void *
moved_node(sl_frozen *f, const void *node)
{
    const void *found = moved(f, node);
    return found != NULL ? found : f->copy.tree.root;
}

static void
move_cells(sl_frozen *f, sl_cells *cells)
{
    cells->alloc = f->alloc;
    MOVE(cells->rows);
    MOVE(cells->slots);
    for (uint32_t i = 0; i < cells->count; i++)
        cells->rows[i].node = moved_node(f, cells->rows[i].node);
    sl_cells_reslot(cells);
}

static void
move_seen(sl_frozen *f)
{
    sl_stretches *stretches = &f->copy.stretches;

    MOVE(f->copy.owed);
    for (sl_owed *owed = f->copy.owed; owed != NULL; owed = owed->next) {
        MOVE(owed->next);
        MOVE(owed->base);
        MOVE(owed->seen.node);
    }

    move_cells(f, &f->copy.marks);
    move_cells(f, &f->copy.counters);
    stretches->alloc = f->alloc;
    MOVE(stretches->rows);
    stretches->capacity = stretches->count;
    for (uint32_t i = 0; i < stretches->count; i++)
        stretches->rows[i].node = moved_node(f, stretches->rows[i].node);
}

/* Texts are found by their number from here on, not by what was given: nobody
 * gives any more. */
static void
move_spans(sl_frozen *f)
{
    sl_spans *spans = &f->copy.spans;

    spans->alloc = f->alloc;
    MOVE(spans->texts);
    for (uint32_t i = 1; i < spans->text_count; i++)
        MOVE(spans->texts[i].text);
    spans->keys = NULL;
    spans->slots = NULL;
    spans->slot_mask = spans->slot_count = 0;
    MOVE(spans->rows);
    MOVE(spans->row_slots);
    for (uint32_t i = 0; i < spans->row_count; i++)
        MOVE(spans->rows[i].what.node);
    MOVE(spans->firsts);
    MOVE(spans->open);
    for (uint32_t i = 0; i < spans->open_capacity; i++)
        MOVE(spans->open[i].what.node);
    sl_spans_reslot(spans);
}

sl_status
sl_frozen_thaw(sl_frozen *f, sl_recording **out)
{
    sl_recording *r = &f->copy;
    sl_arena *arena;
    sl_status status = sl_arena_new(&arena, &f->alloc, 0, MORE_BYTES);

    if (status < 0)
        return status;
    qsort(f->blocks, f->block_count, sizeof(block), block_compare);
    f->last = NULL;
    r->alloc = f->alloc;
    r->hits.alloc = f->alloc;
    r->arena = r->tree.arena = r->tree.functions.arena = arena;
    r->tree.wide = NULL; /* made anew below */
    r->tree.wide_mask = r->tree.wide_count = 0;
    r->tree.on_function = NULL;
    r->tree.on_full = NULL;
    MOVE(r->tree.root);
    MOVE(r->tree.truncated);
    MOVE(r->tree.truncated_beside);
    MOVE(r->tree.functions.keys);
    MOVE(r->tree.functions.flags);
    MOVE(r->tree.functions.slots);
    r->idle_strands = NULL;
    MOVE(r->in_front);
    move_strand(f, &r->main);
    MOVE(r->strands);
    for (sl_strand *s = r->strands; s != NULL; s = s->next)
        move_strand(f, s);
    move_nodes(f, r->tree.root);
    sl_tree_hash(&r->tree);
    move_seen(f);
    move_spans(f);
    sl_recording_stop(r, f->now);
    r->stop_ns = f->now_ns;
    *out = r;
    return SL_OK;
}
