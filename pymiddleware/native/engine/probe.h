/* probe.h - one probed code object, as the engine meets it at an event; how it
 * came to be one: probes.h.
 *
 * A probed call is known by the address of its frame: a strand may be
 * suspended in it (a coroutine, a greenlet) while others run and end, so there
 * is no stack of open calls.
 *
 * All of it with the GIL. Actions run inside a callback of the interpreter:
 * they never raise, and run no Python code.
 */
#ifndef SL_PY_PROBE_H
#define SL_PY_PROBE_H

#include "compat/py_compat.h"

typedef struct sl_py_target sl_py_target;

/* What happens at a probe. NULL: nothing. */
typedef struct {
    /* The function starts in `frame`; `argument` is the target's, BORROWED, or
     * NULL (it has none). true: the call is not the program's and gets no node
     * of its own. */
    bool (*start)(const sl_py_target *target, uintptr_t frame,
                  PyObject *argument);

    /* It returned `result`, BORROWED; NULL: it raised. Called for calls that
     * began before the probe or the request too. */
    void (*leave)(const sl_py_target *target, uintptr_t frame,
                  PyObject *result);

    /* `start` is called once the call has its node, and its answer is not asked
     * for; else before. */
    bool inside;

    /* Of a C function (then there is nothing else): the calling thread's
     * `frame` is about to call it, `offset` into its code; `argument`: its
     * first, BORROWED, or NULL. / It has returned there, or raised. */
    void (*call)(const sl_py_target *target, uintptr_t frame,
                 PyObject *argument, uint32_t offset);
    void (*returned)(const sl_py_target *target, uintptr_t frame);

    /* Likewise: `frame` gives it to map(), say, whose calls are not told of;
     * `by`: the name of that. */
    void (*unseen)(const sl_py_target *target, uintptr_t frame, const char *by);

    /* The function, which runs in `frame`, begins a line / is about to call
     * `callable`, BORROWED (3.12+; 3.12 says nothing of Python functions that
     * are called as f(*args)). */
    void (*line)(const sl_py_target *target, uintptr_t frame);
    void (*calls)(const sl_py_target *target, uintptr_t frame,
                  PyObject *callable);

    /* Calls of C functions that it makes are not told of (calls.h). */
    bool quiet;

    /* It calls what it is given: no probe, but those calls are told of. */
    bool hands;

    /* `leave` must be told of exceptions: before CPython 3.15 that makes each
     * frame of the process that an exception leaves 3 to 9 ns dearer. */
    bool raises;
} sl_py_action;

/* One row of a table; lives for ever. */
struct sl_py_target {
    const char *module;
    const char *qualname;
    const char *argument; /* name of a parameter, or NULL */
    const sl_py_action *action;
    int detail; /* whatever the action wants to know */
};

/* A probed code object. */
typedef struct {
    PyObject *code; /* strong, so its address is not used again */
    const sl_py_target *target;
    long events; /* the local ones it needs */
    int local;   /* index of the argument among the frame's, or -1 */
    bool cell;   /* ...where it lies in a cell */
} sl_py_probe;

#define SL_PY_PROBE_SLOTS 4096u

extern sl_py_probe *sl_py_probe_slots[SL_PY_PROBE_SLOTS];

/* By some bits of a code object's address: whether one of those is probed.
 * Most are not, and are told apart here by half the instructions. */
extern uint8_t sl_py_probe_hints[SL_PY_PROBE_SLOTS];

static inline uint8_t *
sl_py_probe_hint(const PyObject *code)
{
    return &sl_py_probe_hints[((uintptr_t)code >> 4) & (SL_PY_PROBE_SLOTS - 1)];
}

/* The probe on `code`, or NULL. Inline: asked at every event. */
static inline sl_py_probe *
sl_py_probe_of(const PyObject *code)
{
    if (__builtin_expect(*sl_py_probe_hint(code) == 0, 1))
        return NULL;
    uint32_t at = (uint32_t)(((uintptr_t)code >> 4) * 2654435761u) &
                  (SL_PY_PROBE_SLOTS - 1);
    while (sl_py_probe_slots[at] != NULL && sl_py_probe_slots[at]->code != code)
        at = (at + 1) & (SL_PY_PROBE_SLOTS - 1);
    return sl_py_probe_slots[at];
}

bool sl_py_probe_start(const sl_py_probe *probe);
void sl_py_probe_leave(const sl_py_probe *probe, PyObject *result);
void sl_py_probe_line(const sl_py_probe *probe);
void sl_py_probe_calls(const sl_py_probe *probe, PyObject *callable);

/* How many code objects are probed. */
extern uint32_t sl_py_probe_count;

/* Puts the probe, which is the table's from now on, on its code object, which
 * has none. false: the table is full. */
bool sl_py_probe_put(sl_py_probe *probe);

#endif /* SL_PY_PROBE_H */
