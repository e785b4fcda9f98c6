/* The strands of a sampled request beside its main one. */
#include "sampler/state.h"

#include <stdlib.h>

/* At one time. */
#define CHILDREN_MAX 4096

static sl_py_child *
child_again(sl_py_recording *recording)
{
    for (uint32_t i = 0; i < recording->child_count; i++) {
        if (recording->children[i].context == 0) {
            recording->child_free--;
            return &recording->children[i];
        }
    }
    return NULL;
}

static sl_py_child *
child_new(sl_py_recording *recording, uintptr_t context)
{
    sl_py_child *child = recording->child_free > 0 ? child_again(recording) : NULL;

    if (child == NULL && recording->child_count == recording->child_capacity) {
        uint32_t capacity =
            recording->child_capacity == 0 ? 8 : recording->child_capacity * 2;
        sl_py_child *grown =
            capacity > CHILDREN_MAX
                ? NULL
                : realloc(recording->children, capacity * sizeof(*grown));
        if (grown == NULL) {
            recording->lost_strands++;
            return NULL;
        }
        recording->children = grown;
        recording->child_capacity = capacity;
    }
    if (child == NULL) {
        child = &recording->children[recording->child_count++];
        child->strand = NULL;
    }
    *child = (sl_py_child){ .context = context, .strand = child->strand };
    return child;
}

sl_py_child *
sl_py_child_of_context(sl_py_recording *recording, uintptr_t context)
{
    for (uint32_t i = 0; i < recording->child_count; i++) {
        sl_py_child *child = &recording->children[i];
        /* A task that waits does not run: this is a callback of its. */
        if (child->context == context && !child->waits)
            return child;
    }
    return child_new(recording, context);
}

sl_py_child *
sl_py_child_of_task(sl_py_recording *recording, const PyObject *coroutine)
{
    uint32_t count = recording->child_count, at = recording->child_hint;

    /* Tasks go on in the order in which they were suspended, more or less. */
    for (uint32_t i = 0; i < count; i++, at++) {
        at = at < count ? at : 0;
        const sl_py_child *child = &recording->children[at];
        /* No other one that lay at its address. */
        if (child->coroutine == coroutine &&
            sl_py_weak_is(child->task, coroutine)) {
            recording->child_hint = at + 1;
            return &recording->children[at];
        }
    }
    return NULL;
}

/* Tasks whose coroutines are gone: closed by hand, or with their loop. Until
 * when they waited is not known. */
static void
children_prune(sl_py_recording *recording)
{
    for (uint32_t i = 0; i < recording->child_count; i++) {
        sl_py_child *child = &recording->children[i];
        if (child->task != NULL &&
            !sl_py_weak_is(child->task, child->coroutine))
            sl_py_child_end(recording, child);
    }
}

sl_py_child *
sl_py_child_add_task(sl_py_recording *recording, PyObject *coroutine,
                     uintptr_t context)
{
    PyObject *weak = PyWeakref_NewRef(coroutine, NULL);
    if (weak == NULL) {
        PyErr_Clear();
        recording->lost_strands++;
        return NULL;
    }
    if (recording->child_free == 0 &&
        recording->child_count == recording->child_capacity)
        children_prune(recording);
    sl_py_child *child = child_new(recording, context);
    if (child == NULL) {
        Py_DECREF(weak);
        return NULL;
    }
    child->task = weak;
    child->coroutine = coroutine;
    return child;
}

sl_strand *
sl_py_child_open(sl_py_recording *recording, sl_py_child *child, const void *ts,
                 uint64_t now)
{
    sl_pseudo pseudo =
        recording->thread_ts == ts ? SL_PSEUDO_TASK : SL_PSEUDO_THREAD;

    if (child->strand == NULL)
        child->strand = sl_recording_strand(recording->core, pseudo, now);
    else if (!child->opened)
        sl_strand_restart(child->strand, pseudo, now);
    child->opened = child->strand != NULL;
    return child->strand;
}

void
sl_py_child_end(sl_py_recording *recording, sl_py_child *child)
{
    Py_CLEAR(child->task);
    *child = (sl_py_child){ .strand = child->strand };
    recording->child_free++;
}

void
sl_py_children_free(sl_py_recording *recording)
{
    for (uint32_t i = 0; i < recording->child_count; i++)
        Py_XDECREF(recording->children[i].task);
    free(recording->children);
    recording->children = NULL;
    recording->child_count = recording->child_capacity = 0;
    recording->child_free = recording->child_hint = 0;
}
