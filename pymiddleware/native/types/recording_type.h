/* recording_type.h - Recording: one request while it is recorded, for Python.
 */
#ifndef SL_PY_RECORDING_TYPE_H
#define SL_PY_RECORDING_TYPE_H

#include "run/recording.h"

extern PyTypeObject sl_py_recording_type;

/* How a recording is to be made: what Recording's keywords say. */
typedef struct {
    sl_c_calls c_calls;
    sl_py_layers layers;
    size_t max_bytes;
    uint32_t max_nodes;
    bool follows, sampled, goes_on, anyway, lines, lessens;
} sl_py_wishes;

/* Reads Recording's arguments; *label and *entry: BORROWED, or NULL. false with
 * an exception. */
bool sl_py_wishes_parse(PyObject *args, PyObject *kwargs, sl_py_wishes *out,
                        PyObject **label, PyObject **entry);

/* A NEW Recording that runs; `label` and `entry` may be NULL. NULL with an
 * exception. */
PyObject *sl_py_recording_make(const sl_py_wishes *wishes, PyObject *label,
                               PyObject *entry);

/* This thread does something else from here on. */
void sl_py_recording_leave(sl_py_recording *recording);

/* Ends it, whatever state it is in; no exception. Idempotent. */
void sl_py_recording_finish(sl_py_recording *recording);

/* Gives the finished recording's memory back; while another thread encodes it,
 * that one will. */
void sl_py_recording_drop(sl_py_recording *recording);

/* A finished recording on its way to a blob. */
typedef struct {
    sl_py_recording *self; /* strong; NULL: it is not encoded... */
    PyObject *error;       /* ...and this is why (encode_many's) */
    PyObject *keep;        /* what the texts of `meta` live in */
    sl_meta *meta;
    size_t count;
    sl_status status;
    sl_bytes blob;
} sl_py_encoding;

/* Into a zeroed one: all that needs the GIL. false with an exception, and it
 * is over. */
bool sl_py_encoding_begin(sl_py_encoding *one, sl_py_recording *recording,
                          PyObject *meta);

/* Sets `status` and `blob`. Without the GIL. */
void sl_py_encoding_do(sl_py_encoding *one, int level);

void sl_py_encoding_end(sl_py_encoding *one);

/* 0, or -1 with an exception. */
int sl_py_recording_init(void);

#endif /* SL_PY_RECORDING_TYPE_H */
