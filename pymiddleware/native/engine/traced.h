/* traced.h - what the engine keeps of one recording: its part of
 * sl_py_recording (run/recording.h). The GIL guards it. */
#ifndef SL_PY_TRACED_H
#define SL_PY_TRACED_H

#include "compat/py_compat.h"

#include "slowlens/recording.h"

/* Which C calls a request records. */
typedef enum { SL_C_NONE, SL_C_CHOSEN, SL_C_ALL } sl_c_calls;

typedef struct {
    PyObject **functions; /* strong, by function id less SL_PSEUDO_COUNT */
    uint32_t function_count, function_capacity;
    sl_c_calls c_calls;
    bool lines;       /* the project's functions line by line... */
    PyObject **lined; /* ...which are these (strong) */
    uint32_t lined_count, lined_capacity;
    bool follows;       /* asynchronous: child work may run anywhere */
    bool displaced;     /* another tool took the hook away */
    uint32_t losses;    /* 3.12+: how often that had happened when it began */
    bool hands_over;    /* 3.11: every thread has the hook for it */
    uint32_t unwatched; /* functions whose C calls could not be made visible */
    bool full;          /* no room for more paths: to go on by samples */
} sl_py_traced;

#endif /* SL_PY_TRACED_H */
