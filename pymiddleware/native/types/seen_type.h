/* seen_type.h - Seen: what becomes known of a request while its app runs, for
 * Python. It is a recording's label, and points back to nothing. */
#ifndef SL_PY_SEEN_TYPE_H
#define SL_PY_SEEN_TYPE_H

#include "board/board.h"

typedef struct {
    PyObject_HEAD uint64_t started_ns; /* Unix */
    PyObject *method, *path;           /* strong: str */
    PyObject *route, *framework;       /* strong: str; NULL: "" */
    PyObject *id;                      /* strong: str; NULL: not made yet */
    PyObject *tags;                    /* strong: dict; NULL: there are none */
    PyObject *trace;                   /* strong; NULL: None */
    sl_py_entry *entry;                /* strong; NULL: it is on no board */
    int64_t headers_ns, body_ns;       /* since the begin; -1: not yet */
    long long bytes;
    int status;
    char error, named; /* bool, as members of Python are */
} sl_py_seen;

extern PyTypeObject sl_py_seen_type;

/* A NEW one, of now; NULL with an exception. */
sl_py_seen *sl_py_seen_new(PyObject *method, PyObject *path);

/* Whether its route is known. */
static inline bool
sl_py_seen_has_route(const sl_py_seen *seen)
{
    return seen->route != NULL && PyUnicode_GET_LENGTH(seen->route) > 0;
}

/* What the framework says: a template, "" if none matched; NULL or None: it
 * does not tell. What the app itself chose stays. Never raises. */
void sl_py_seen_note_route(sl_py_seen *seen, PyObject *route);

/* 0, or -1 with an exception. */
int sl_py_seen_init(void);

#endif /* SL_PY_SEEN_TYPE_H */
