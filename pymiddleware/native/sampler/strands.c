/* The strands of a sampled request beside its main one. */
#include "sampler/strands.h"

#include <stdlib.h>

/* At one time. */
#define CHILDREN_MAX 4096

static sl_py_child *
child_again(sl_py_sampled *sampled)
{
    for (uint32_t i = 0; i < sampled->child_count; i++) {
        if (sampled->children[i].context == 0) {
            sampled->child_free--;
            return &sampled->children[i];
        }
    }
    return NULL; /* not reached: one is free */
}

static sl_py_child *
child_new(sl_py_sampled *sampled, uintptr_t context)
{
    sl_py_child *child = sampled->child_free > 0 ? child_again(sampled) : NULL;

    if (child == NULL && sampled->child_count == sampled->child_capacity) {
        uint32_t capacity =
            sampled->child_capacity == 0 ? 8 : sampled->child_capacity * 2;
        sl_py_child *grown =
            capacity > CHILDREN_MAX
                ? NULL
                : realloc(sampled->children, capacity * sizeof(*grown));
        if (grown == NULL) {
            sampled->lost_strands++;
            return NULL;
        }
        sampled->children = grown;
        sampled->child_capacity = capacity;
    }
    if (child == NULL) {
        child = &sampled->children[sampled->child_count++];
        child->strand = NULL;
    }
    *child = (sl_py_child){ .context = context, .strand = child->strand };
    return child;
}

sl_py_child *
sl_py_child_of_context(sl_py_sampled *sampled, uintptr_t context)
{
    for (uint32_t i = 0; i < sampled->child_count; i++) {
        sl_py_child *child = &sampled->children[i];
        /* A task that waits does not run: this is a callback of its. */
        if (child->context == context && !child->waits)
            return child;
    }
    return child_new(sampled, context);
}

sl_py_child *
sl_py_child_of_task(sl_py_sampled *sampled, const PyObject *coroutine)
{
    uint32_t count = sampled->child_count, at = sampled->child_hint;

    /* Tasks go on in the order in which they were suspended, more or less. */
    for (uint32_t i = 0; i < count; i++, at++) {
        at = at < count ? at : 0;
        const sl_py_child *child = &sampled->children[at];
        /* No other one that lay at its address. */
        if (child->coroutine == coroutine &&
            sl_py_weak_is(child->task, coroutine)) {
            sampled->child_hint = at + 1;
            return &sampled->children[at];
        }
    }
    return NULL;
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
        if (n > 0 && n % SL_PY_LOCK_STEPS == 0) {
            if (sampled->child_free > 0)
                return;
            sl_py_lock_yield();
        }
        sl_py_lock_steps++;
        if (sampled->child_pruned >= count)
            sampled->child_pruned = 0;
        sl_py_child *child = &sampled->children[sampled->child_pruned++];
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
    if (sampled->child_free == 0 &&
        sampled->child_count == sampled->child_capacity)
        children_prune(sampled);
    sl_py_child *child = child_new(sampled, context);
    if (child == NULL) {
        sl_py_drop_later(weak);
        return NULL;
    }
    child->task = weak;
    child->coroutine = coroutine;
    return child;
}

sl_strand *
sl_py_child_open(sl_py_sampled *sampled, sl_py_child *child, const void *ts,
                 uint64_t now)
{
    sl_pseudo pseudo =
        sampled->thread_ts == ts ? SL_PSEUDO_TASK : SL_PSEUDO_THREAD;

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
    sl_py_drop_later(child->task);
    *child = (sl_py_child){ .strand = child->strand };
    sampled->child_free++;
}

void
sl_py_children_free(sl_py_sampled *sampled)
{
    sl_py_lock();
    sl_py_child *children = sampled->children;
    uint32_t count = sampled->child_count;
    sampled->children = NULL;
    sampled->child_count = sampled->child_capacity = 0;
    sampled->child_free = sampled->child_hint = sampled->child_pruned = 0;
    sl_py_unlock_drop();
    for (uint32_t i = 0; i < count; i++)
        Py_XDECREF(children[i].task);
    free(children);
}
