/* The requests that run now, and the context variable that carries them. */
#include "run/live.h"
#include "engine/calls.h"
#include "engine/current.h"
#include "run/stints.h"
#include "sampler/children.h"

static PyObject *variable;
static sl_py_recording *live; /* doubly linked */
static Py_ssize_t live_count;

static PyTypeObject handle_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Handle",
    .tp_doc = "What the context variable holds: which request this is.",
    .tp_basicsize = sizeof(sl_py_handle),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

sl_py_handle *
sl_py_handle_new(void)
{
    sl_py_handle *handle = PyObject_New(sl_py_handle, &handle_type);
    if (handle != NULL) {
        handle->recording = NULL;
        handle->sampled = NULL;
    }
    return handle;
}

int
sl_py_live_init(void)
{
    if (PyType_Ready(&handle_type) < 0)
        return -1;
    if (variable == NULL)
        variable = PyContextVar_New("slowlens_request", NULL);
    if (variable == NULL)
        return -1;
    sl_py_children_find_by(variable, &handle_type,
                           offsetof(sl_py_handle, sampled));
    return 0;
}

sl_py_recording *
sl_py_live_recording(void)
{
    PyObject *value = NULL;

    if (PyContextVar_Get(variable, NULL, &value) < 0) {
        PyErr_Clear();
        return NULL;
    }
    if (value == NULL)
        return NULL;
    sl_py_recording *recording = Py_IS_TYPE(value, &handle_type)
                                     ? ((sl_py_handle *)value)->recording
                                     : NULL;
    Py_DECREF(value); /* the context still holds it */
    return recording;
}

PyObject *
sl_py_live_set(sl_py_handle *handle)
{
    PyObject *value = handle != NULL ? (PyObject *)handle : Py_None;
    return PyContextVar_Set(variable, value);
}

void
sl_py_live_reset(PyObject *token)
{
    if (PyContextVar_Reset(variable, token) < 0)
        PyErr_Clear();
    Py_DECREF(token);
}

void
sl_py_live_leave_context(sl_py_recording *recording)
{
    if (recording->context != NULL &&
        sl_py_borrow_tstate()->context == recording->context) {
        PyObject *token = sl_py_live_set(NULL);
        if (token == NULL)
            PyErr_Clear();
        Py_XDECREF(token);
    }
    Py_CLEAR(recording->context);
}

void
sl_py_live_add(sl_py_recording *recording)
{
    recording->handle->recording = recording;
    recording->handle->sampled = &recording->sampled;
    recording->previous = NULL;
    recording->next = live;
    if (live != NULL)
        live->previous = recording;
    live = recording;
    if (live_count++ == 0)
        sl_py_calls_asked(true);
}

void
sl_py_live_remove(sl_py_recording *recording)
{
    if (recording->handle == NULL || recording->handle->recording == NULL)
        return;
    recording->handle->recording = NULL;
    recording->handle->sampled = NULL;
    sl_py_stint_drop(&recording->section);
    if (recording->previous != NULL)
        recording->previous->next = recording->next;
    else
        live = recording->next;
    if (recording->next != NULL)
        recording->next->previous = recording->previous;
    if (--live_count == 0)
        sl_py_calls_asked(false);

    sl_py_live_leave_context(recording);
    while (recording->side_count > 0)
        Py_DECREF(recording->sides[--recording->side_count].context);
    PyMem_Free(recording->sides);
    recording->sides = NULL;
    recording->side_capacity = 0;
    sl_py_active_forget();
}

void
sl_py_live_after_fork(void)
{
    while (live != NULL) {
        sl_py_recording *recording = live;
        recording->fork_lost = true;
        recording->running = false;
        recording->sampled.slot = -1;
        recording->finished = true;
        sl_recording_stop(recording->core,
                          sl_clock_ticks(recording->sampled.clock));
        recording->wall_ns = sl_recording_wall_ns(recording->core);
        sl_py_live_remove(recording);
    }
    sl_py_active_forget();
}

Py_ssize_t
sl_py_live_count(void)
{
    return live_count;
}

void
sl_py_live_each(void (*call)(sl_py_recording *recording, const void *arg),
                const void *arg)
{
    for (sl_py_recording *at = live; at != NULL; at = at->next)
        call(at, arg);
}
