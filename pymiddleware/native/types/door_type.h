/* door_type.h - Door and Pulse: what a middleware's requests need of it, where
 * C finds it. recorder.Recorder is a Door, writer.Writer a Pulse: their
 * attributes are fields here, set by Python, read for each request. */
#ifndef SL_PY_DOOR_TYPE_H
#define SL_PY_DOOR_TYPE_H

#include "board/board.h"
#include "types/recording_type.h"

/* The writer, as far as requests tell it of themselves. */
typedef struct {
    PyObject_HEAD char ticking, begun;
    char noted; /* the board is open, and numbers are noted in it */
    int pid;    /* of the process it is set up in */
    PyObject *numbers, *gathering; /* strong; NULL or None: there are none */
} sl_py_pulse;

/* Which requests speak for all, gathering.Gathering: its base. */
typedef struct {
    PyObject_HEAD long long seen; /* that have ended, since it was set to 0 */
    long long skip;               /* so many pass until one is chosen */
} sl_py_draw;

/* What makes a profile one that may be kept. */
typedef struct {
    char slow, error, worst;
    char asked; /* Python decides of each */
} sl_py_rules;

typedef struct {
    PyObject_HEAD char enabled;
    char plain;              /* requests may go by C: nothing odd is on */
    char boardless;          /* there is no board, and will be none */
    char redacts;            /* paths are asked for by shown_path() */
    char logs;               /* slow ones are logged, kept or not */
    signed char debug, adds; /* 0 or 1; -1: debug() is asked each time */
    sl_py_rules rules[2];    /* by debug */
    PyObject *decisions[2];  /* strong: by debug; None or NULL: decide() */
    PyObject *plans[2][2]; /* strong: the last decision and plan, by follows */
    PyObject *writer, *board, *begun, *recorded, *worst, *folded, *mount,
        *methods, *options, *debugged; /* strong; NULL until Python has set
                                        * them */
    Py_ssize_t worst_count;
    double slow_ns;
    unsigned long long folded_ns; /* `folded` holds until then */
    long long abandoned;
    PyTypeObject *silent; /* strong: apps of this type tell no route */
} sl_py_door;

extern PyTypeObject sl_py_door_type, sl_py_pulse_type, sl_py_draw_type;

/* Whether it is development mode, 0 or 1; asked where that may change. -1 with
 * an exception. */
int sl_py_door_debug(sl_py_door *door);

/* Whether responses may get headers of ours. Never raises. */
bool sl_py_door_adds(sl_py_door *door);

/* Whether it may be one that is kept or logged: Python finds the rule. Most are
 * none. `route`: whose worst it may be; NULL: none's. Never raises. */
bool sl_py_door_may_keep(sl_py_door *door, PyObject *decision, PyObject *route,
                         uint64_t response_ns, uint64_t wall_ns, bool error);

/* The method as it is stored, BORROWED: one that is known, or "[other]". */
PyObject *sl_py_door_method(const sl_py_door *door, PyObject *method);

/* Whether the path is certainly none of the viewer's. */
bool sl_py_door_passes(const sl_py_door *door, PyObject *path);

/* The writer of this process as it is set up; NULL: Python must see to it
 * first. */
sl_py_pulse *sl_py_door_pulse(const sl_py_door *door);

/* Whether a request's tree is none of those that speak for all; then, once it
 * is known that Python is not asked, it is to be counted by _skip. */
bool sl_py_door_may_skip(const sl_py_pulse *pulse);
void sl_py_door_skip(const sl_py_pulse *pulse);

/* The writer is told that a recording begins, or (the second time) has begun.
 * 0, or -1 with an exception. */
int sl_py_door_wake(sl_py_pulse *pulse);

/* 0, or -1 with an exception. */
int sl_py_door_init(void);

#endif /* SL_PY_DOOR_TYPE_H */
