/* The strands of a sampled request beside its main one. */
#include "sampler_state.h"

#include <stdlib.h>

/* At one time. */
#define CHILDREN_MAX 4096

static sl_py_child *
child_again(sl_py_profile *profile)
{
    for (uint32_t i = 0; i < profile->child_count; i++) {
        if (profile->children[i].context == 0) {
            profile->child_free--;
            return &profile->children[i];
        }
    }
    return NULL;
}

static sl_py_child *
child_new(sl_py_profile *profile, uintptr_t context)
{
    sl_py_child *child = profile->child_free > 0 ? child_again(profile) : NULL;

    if (child == NULL && profile->child_count == profile->child_capacity) {
        uint32_t capacity =
            profile->child_capacity == 0 ? 8 : profile->child_capacity * 2;
        sl_py_child *grown =
            capacity > CHILDREN_MAX
                ? NULL
                : realloc(profile->children, capacity * sizeof(*grown));
        if (grown == NULL) {
            profile->lost_strands++;
            return NULL;
        }
        profile->children = grown;
        profile->child_capacity = capacity;
    }
    if (child == NULL) {
        child = &profile->children[profile->child_count++];
        child->strand = NULL;
    }
    *child = (sl_py_child){ .context = context, .strand = child->strand };
    return child;
}

sl_py_child *
sl_py_child_of_context(sl_py_profile *profile, uintptr_t context)
{
    for (uint32_t i = 0; i < profile->child_count; i++) {
        sl_py_child *child = &profile->children[i];
        /* A task that waits does not run: this is a callback of its. */
        if (child->context == context && !child->waits)
            return child;
    }
    return child_new(profile, context);
}

sl_py_child *
sl_py_child_of_task(sl_py_profile *profile, const PyObject *coroutine)
{
    uint32_t count = profile->child_count, at = profile->child_hint;

    /* Tasks go on in the order in which they were suspended, more or less. */
    for (uint32_t i = 0; i < count; i++, at++) {
        at = at < count ? at : 0;
        const sl_py_child *child = &profile->children[at];
        /* No other one that lay at its address. */
        if (child->coroutine == coroutine &&
            sl_py_weak_is(child->task, coroutine)) {
            profile->child_hint = at + 1;
            return &profile->children[at];
        }
    }
    return NULL;
}

/* Tasks whose coroutines are gone: closed by hand, or with their loop. Until
 * when they waited is not known. */
static void
children_prune(sl_py_profile *profile)
{
    for (uint32_t i = 0; i < profile->child_count; i++) {
        sl_py_child *child = &profile->children[i];
        if (child->task != NULL &&
            !sl_py_weak_is(child->task, child->coroutine))
            sl_py_child_end(profile, child);
    }
}

sl_py_child *
sl_py_child_add_task(sl_py_profile *profile, PyObject *coroutine,
                     uintptr_t context)
{
    PyObject *weak = PyWeakref_NewRef(coroutine, NULL);
    if (weak == NULL) {
        PyErr_Clear();
        profile->lost_strands++;
        return NULL;
    }
    if (profile->child_free == 0 &&
        profile->child_count == profile->child_capacity)
        children_prune(profile);
    sl_py_child *child = child_new(profile, context);
    if (child == NULL) {
        Py_DECREF(weak);
        return NULL;
    }
    child->task = weak;
    child->coroutine = coroutine;
    return child;
}

sl_strand *
sl_py_child_open(sl_py_profile *profile, sl_py_child *child, const void *ts,
                 uint64_t now)
{
    sl_pseudo pseudo =
        profile->thread_ts == ts ? SL_PSEUDO_TASK : SL_PSEUDO_THREAD;

    if (child->strand == NULL)
        child->strand = sl_recording_strand(profile->recording, pseudo, now);
    else if (!child->opened)
        sl_strand_restart(child->strand, pseudo, now);
    child->opened = child->strand != NULL;
    return child->strand;
}

void
sl_py_child_end(sl_py_profile *profile, sl_py_child *child)
{
    Py_CLEAR(child->task);
    *child = (sl_py_child){ .strand = child->strand };
    profile->child_free++;
}

void
sl_py_children_free(sl_py_profile *profile)
{
    for (uint32_t i = 0; i < profile->child_count; i++)
        Py_XDECREF(profile->children[i].task);
    free(profile->children);
    profile->children = NULL;
    profile->child_count = profile->child_capacity = 0;
    profile->child_free = profile->child_hint = 0;
}
