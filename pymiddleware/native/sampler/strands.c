/* The strands of a sampled request beside its main one. */
#include "sampler/strands.h"

#include <stdlib.h>
#include <string.h>

/* At one time, of a recording. */
#define CHILDREN_MAX 4096
/* They are made so many at a time, and never moved. */
#define BLOCK SL_PY_LOCK_STEPS

/* ---- finding one ----
 *
 * A request may have thousands of tasks, which go on in any order, and each is
 * looked for under the lock. So all children of all recordings are in two
 * tables of lists, by what they are looked for by. */

#define TABLE_BITS 12
static sl_py_child *by_coroutine[1u << TABLE_BITS];
static sl_py_child *by_context[1u << TABLE_BITS];

static sl_py_child **
list_of(sl_py_child **table, const sl_py_sampled *owner, uintptr_t what)
{
    /* Of addresses the lowest bits tell nothing. */
    uint64_t mix = (uint64_t)(what ^ ((uintptr_t)owner << 1)) >> 4;
    return &table[(mix * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - TABLE_BITS)];
}

#define LIST_ADD(child, by, list)                                              \
    do {                                                                       \
        (child)->by = (sl_py_child_link){ *(list), (list) };                   \
        if (*(list) != NULL)                                                   \
            (*(list))->by.to_this = &(child)->by.next;                         \
        *(list) = (child);                                                     \
    } while (0)

#define LIST_REMOVE(child, by)                                                 \
    do {                                                                       \
        if ((child)->by.to_this != NULL)                                       \
            *(child)->by.to_this = (child)->by.next;                           \
        if ((child)->by.to_this != NULL && (child)->by.next != NULL)           \
            (child)->by.next->by.to_this = (child)->by.to_this;                \
        (child)->by = (sl_py_child_link){ 0 };                                 \
    } while (0)

static void
child_link_context(sl_py_child *child)
{
    LIST_ADD(child, by_context,
             list_of(by_context, child->owner, child->context));
}

static void
child_unlink(sl_py_child *child)
{
    LIST_REMOVE(child, by_coroutine);
    LIST_REMOVE(child, by_context);
}

sl_py_child *
sl_py_child_at(const sl_py_sampled *sampled, uint32_t at)
{
    return &sampled->children[at / BLOCK][at % BLOCK];
}

/* ---- making one ---- */

/* Never used before; NULL: no room. */
static sl_py_child *
child_next(sl_py_sampled *sampled)
{
    uint32_t at = sampled->child_count;

    if (at == CHILDREN_MAX)
        return NULL;
    if (sampled->children == NULL)
        sampled->children =
            calloc(CHILDREN_MAX / BLOCK, sizeof(*sampled->children));
    if (sampled->children == NULL)
        return NULL;
    if (at % BLOCK == 0) {
        /* Each is cleared when it is used: most requests have few. */
        sl_py_child *block = malloc(BLOCK * sizeof(*block));
        if (block == NULL)
            return NULL;
        sampled->children[at / BLOCK] = block;
    }
    sampled->child_count++;
    sl_py_child *child = sl_py_child_at(sampled, at);
    *child = (sl_py_child){ .owner = sampled };
    return child;
}

static sl_py_child *
child_new(sl_py_sampled *sampled, uintptr_t context)
{
    sl_py_child *child = sampled->child_free;

    if (child != NULL)
        sampled->child_free = child->next_free;
    else
        child = child_next(sampled);
    if (child == NULL) {
        sampled->lost_strands++;
        return NULL;
    }
    *child = (sl_py_child){ .owner = sampled,
                            .context = context,
                            .strand = child->strand };
    child_link_context(child);
    return child;
}

sl_py_child *
sl_py_child_of_context(sl_py_sampled *sampled, uintptr_t context)
{
    sl_py_child *child = *list_of(by_context, sampled, context);

    SL_PY_NEEDS_LOCK();
    for (; child != NULL; child = child->by_context.next) {
        sl_py_lock_steps++;
        if (child->owner == sampled && child->context == context)
            return child;
    }
    return child_new(sampled, context);
}

sl_py_child *
sl_py_child_of_task(sl_py_sampled *sampled, const PyObject *coroutine)
{
    sl_py_child *child = *list_of(by_coroutine, sampled, (uintptr_t)coroutine);

    SL_PY_NEEDS_LOCK();
    for (; child != NULL; child = child->by_coroutine.next) {
        sl_py_lock_steps++;
        /* No other one that lay at its address. */
        if (child->owner == sampled && child->coroutine == coroutine &&
            sl_py_weak_is(child->task, coroutine))
            return child;
    }
    return NULL;
}

void
sl_py_child_waits(sl_py_child *child, bool waits)
{
    SL_PY_NEEDS_LOCK();
    /* A task that waits does not run: what runs in its context is a callback
     * of its. */
    if (waits && !child->waits)
        LIST_REMOVE(child, by_context);
    else if (!waits && child->waits)
        child_link_context(child);
    child->waits = waits;
}

/* Frees tasks whose coroutines are gone: closed by hand, or with their loop.
 * Until when they waited is not known. The lock is given back now and then; the
 * GIL is not, so tasks do not come and go meanwhile. Goes on where it ended the
 * last time, until some are free. */
static void
children_prune(sl_py_sampled *sampled)
{
    uint32_t count = sampled->child_count;

    for (uint32_t n = 0; n < count; n++) {
        if (sl_py_lock_steps >= SL_PY_SCAN_STEPS) {
            if (sampled->child_free != NULL)
                return;
            sl_py_lock_yield();
        }
        sl_py_lock_steps++;
        if (sampled->child_pruned >= count)
            sampled->child_pruned = 0;
        sl_py_child *child = sl_py_child_at(sampled, sampled->child_pruned++);
        if (child->task != NULL &&
            !sl_py_weak_is(child->task, child->coroutine))
            sl_py_child_end(sampled, child);
    }
}

sl_py_child *
sl_py_child_add_task(sl_py_sampled *sampled, PyObject *coroutine,
                     PyObject *weak, uintptr_t context)
{
    SL_PY_NEEDS_LOCK();
    /* Now and then, before it takes more memory. */
    uint32_t count = sampled->child_count;
    if (sampled->child_free == NULL && count >= 8 && (count & (count - 1)) == 0)
        children_prune(sampled);
    sl_py_child *child = child_new(sampled, context);
    if (child == NULL) {
        sl_py_drop_later(weak);
        return NULL;
    }
    child->task = weak;
    child->coroutine = coroutine;
    LIST_ADD(child, by_coroutine,
             list_of(by_coroutine, sampled, (uintptr_t)coroutine));
    return child;
}

sl_strand *
sl_py_child_open(sl_py_sampled *sampled, sl_py_child *child, const void *ts,
                 uint64_t now)
{
    sl_pseudo pseudo =
        sampled->thread_ts == ts ? SL_PSEUDO_TASK : SL_PSEUDO_THREAD;

    SL_PY_NEEDS_LOCK();
    if (child->strand == NULL)
        child->strand = sl_recording_strand(sampled->core, pseudo, now);
    else if (!child->opened)
        sl_strand_restart(child->strand, pseudo, now);
    child->opened = child->strand != NULL;
    return child->strand;
}

void
sl_py_child_end(sl_py_sampled *sampled, sl_py_child *child)
{
    SL_PY_NEEDS_LOCK();
    sl_py_drop_later(child->task);
    child_unlink(child);
    *child = (sl_py_child){ .owner = sampled,
                            .strand = child->strand,
                            .next_free = sampled->child_free };
    sampled->child_free = child;
}

/* What one hold of the lock takes out of the tables. */
static void
block_free(sl_py_child *block, uint32_t count)
{
    sl_py_lock();
    for (uint32_t i = 0; i < count; i++) {
        sl_py_lock_steps++;
        sl_py_drop_later(block[i].task);
        child_unlink(&block[i]);
    }
    sl_py_unlock_drop();
    free(block);
}

void
sl_py_children_free(sl_py_sampled *sampled)
{
    sl_py_lock();
    sl_py_child **children = sampled->children;
    uint32_t count = sampled->child_count;
    sampled->children = NULL;
    sampled->child_free = NULL;
    sampled->child_count = sampled->child_pruned = 0;
    sl_py_unlock();
    for (uint32_t at = 0; at < count; at += BLOCK)
        block_free(children[at / BLOCK],
                   count - at < BLOCK ? count - at : BLOCK);
    free(children);
}

void
sl_py_strands_forget(void)
{
    memset(by_coroutine, 0, sizeof(by_coroutine));
    memset(by_context, 0, sizeof(by_context));
}
