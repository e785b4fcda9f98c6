/* probes.h - known functions of known libraries, and what we do when they run.
 *
 *   table of targets                     code object        action
 *   ("threading", "Thread.start") ----> found in the   ----> start(...)
 *   ("app.db", "Cursor.execute")        module, once it      leave(...)
 *   ...                                 is imported
 *
 * A probe is a local sys.monitoring event (CPython 3.12+) on one code object:
 * whatever else runs costs nothing. Nothing is patched: the function stays
 * what it was, and wrappers around it, before or after us, do not matter,
 * because the code object is found by its qualified name below them. Probes
 * stay for as long as the process lives, in both modes. They share the tool
 * id, the callbacks and the cost of an event with the deterministic engine.
 *
 * A probed call is known by the address of its frame: a strand may be
 * suspended in it (a coroutine, a greenlet) while others run and end, so there
 * is no stack of open calls.
 *
 * All of it with the GIL. Actions run inside a callback of the interpreter:
 * they never raise, and run no Python code.
 */
#ifndef SL_PY_PROBES_H
#define SL_PY_PROBES_H

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

/* Adds a table of targets, before sl_py_probes_install. */
void sl_py_probes_table(const sl_py_target *targets, size_t count);

/* Puts probes on what is imported already, and on what will be. Idempotent;
 * NULL: they are there, else why there are none, in one sentence. Needs the
 * frames' layout to be trusted. Never raises. */
const char *sl_py_probes_install(void);

/* Looks for what was imported since the last time, where no event tells of it
 * (3.11). Rows of one module stand together in a table. Never raises. */
void sl_py_probes_refresh(void);

/* How many code objects are probed. */
uint32_t sl_py_probes_count(void);

/* ---- for the engine ---- */

/* A probed code object. */
typedef struct {
    PyObject *code; /* strong, so its address is not used again */
    const sl_py_target *target;
    long events; /* the local ones it needs */
    int local;   /* index of the argument among the frame's, or -1 */
    bool cell;   /* ...where it lies in a cell */
} sl_py_probe;

#define SL_PY_PROBE_SLOTS 2048u

extern sl_py_probe *sl_py_probe_slots[SL_PY_PROBE_SLOTS];

/* The probe on `code`, or NULL. Inline: asked at every event. */
static inline sl_py_probe *
sl_py_probe_of(const PyObject *code)
{
    uint32_t at = (uint32_t)(((uintptr_t)code >> 4) * 2654435761u) &
                  (SL_PY_PROBE_SLOTS - 1);
    while (sl_py_probe_slots[at] != NULL && sl_py_probe_slots[at]->code != code)
        at = (at + 1) & (SL_PY_PROBE_SLOTS - 1);
    return sl_py_probe_slots[at];
}

bool sl_py_probe_start(const sl_py_probe *probe);
void sl_py_probe_leave(const sl_py_probe *probe, PyObject *result);

#endif /* SL_PY_PROBES_H */
