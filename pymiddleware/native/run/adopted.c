/* From a coroutine to the request that made a task of it: see adopted.h. */
#include "run/adopted.h"
#include "engine/probes.h"
#include "look/own_stack.h"
#include "run/active.h"
#include "run/live.h"

#define LISTS 256u

typedef struct adopted {
    const PyObject *coroutine; /* not owned: to be compared... */
    PyObject *weak;            /* ...while this (strong) is to it */
    sl_py_handle *handle;      /* strong */
    struct adopted *next;
} adopted;

static adopted *lists[LISTS];
uint32_t sl_py_adopted_count;

static adopted **
list_of(const PyObject *coroutine)
{
    return &lists[((uint32_t)((uintptr_t)coroutine >> 4) * 2654435761u) >> 24];
}

static void
drop(adopted **at)
{
    adopted *a = *at;

    *at = a->next;
    sl_py_adopted_count--;
    Py_DECREF((PyObject *)a->handle); /* neither of the two runs code */
    Py_DECREF(a->weak);
    PyMem_Free(a);
}

void
sl_py_adopted_over(const PyObject *coroutine)
{
    for (adopted **at = list_of(coroutine); *at != NULL;) {
        if ((*at)->coroutine == coroutine)
            drop(at);
        else
            at = &(*at)->next;
    }
}

sl_py_recording *
sl_py_adopted_of(const PyObject *coroutine)
{
    for (adopted *a = *list_of(coroutine); a != NULL; a = a->next) {
        /* No other one that lies where it lay. */
        if (a->coroutine == coroutine && sl_py_weak_is(a->weak, coroutine))
            return a->handle->recording;
    }
    return NULL;
}

void
sl_py_adopted_prune(void)
{
    for (uint32_t i = 0; i < LISTS && sl_py_adopted_count > 0; i++) {
        for (adopted **at = &lists[i]; *at != NULL;) {
            if ((*at)->handle->recording == NULL ||
                !sl_py_weak_lives((*at)->weak))
                drop(at);
            else
                at = &(*at)->next;
        }
    }
}

/* What runs here makes a task of the coroutine. */
static void
adopt(PyObject *coroutine)
{
    sl_strand *strand = NULL;
    sl_py_recording *recording = sl_py_active_owner(&strand);

    if (sl_py_adopted_count > 0)
        sl_py_adopted_over(coroutine);
    if (recording == NULL)
        return;
    adopted *a = PyMem_Calloc(1, sizeof(*a));
    PyObject *weak = a == NULL ? NULL : sl_py_weak_new(coroutine);
    if (weak == NULL) {
        PyMem_Free(a);
        return;
    }
    sl_py_handle *handle =
        (sl_py_handle *)Py_NewRef((PyObject *)recording->handle);
    *a = (adopted){ coroutine, weak, handle, *list_of(coroutine) };
    *list_of(coroutine) = a;
    sl_py_adopted_count++;
}

/* The context that the task is given; from 3.14 on it is handed through. */
static bool
is_given_one(uintptr_t frame, PyObject *context)
{
    static PyObject *name;

    if (context == NULL) {
        PyObject *names = sl_py_own_variable(frame, "kwargs");
        if (name == NULL)
            name = PyUnicode_InternFromString("context");
        if (names != NULL && name != NULL && PyDict_CheckExact(names))
            context = PyDict_GetItemWithError(names, name);
        PyErr_Clear();
    }
    return context != NULL && context != Py_None;
}

static bool
on_task_made(const sl_py_target *target, uintptr_t frame, PyObject *context)
{
    (void)target;
    if (sl_py_live_count() == 0)
        return false;
    /* It takes along a context that names the request: most do. */
    if (!is_given_one(frame, context) && sl_py_live_recording() != NULL)
        return false;
    PyObject *coroutine = sl_py_own_variable(frame, "coro");
    if (coroutine != NULL && PyCoro_CheckExact(coroutine))
        adopt(coroutine);
    return false;
}

static const sl_py_action makes = { .start = on_task_made };

static const sl_py_target targets[] = {
    { "asyncio.tasks", "create_task", "context", &makes, 0 },
    { "asyncio.taskgroups", "TaskGroup.create_task", "context", &makes, 0 },
    { "asyncio.base_events", "BaseEventLoop.create_task", "context", &makes,
      0 },
};

void
sl_py_adopted_init(void)
{
    sl_py_probes_table(targets, sizeof(targets) / sizeof(targets[0]));
}
