/* values.h - what all types of the module share: errors, metadata. */
#ifndef SL_PY_VALUES_H
#define SL_PY_VALUES_H

#include "compat/py_compat.h"

#include "slowlens/bytes.h"
#include "slowlens/recording.h"
#include "slowlens/status.h"

/* slowlens._core.CorruptError; set once, at import. */
extern PyObject *sl_py_corrupt_error;

/* Sets a Python exception for `status`; returns NULL for convenience. */
PyObject *sl_py_raise(sl_status status);

/* What the core has made, as a NEW bytes object; NULL with an exception for
 * `status` where it has not. Frees `bytes` (zeroed before the core filled
 * them) either way. */
PyObject *sl_py_take_bytes(sl_status status, sl_bytes *bytes);

/* A dict of str to int or str (None: left out) as metadata, whose texts live
 * in `keep`, a list; PyMem_Free it. NULL with an exception. */
sl_meta *sl_py_parse_meta(PyObject *dict, PyObject *keep, size_t *count);

/* A word that is made once, and where it is kept. */
typedef struct {
    PyObject **at;
    const char *text;
} sl_py_word;

/* Interns each of them. 0, or -1 with an exception. */
int sl_py_words(const sl_py_word *words, size_t count);

#endif /* SL_PY_VALUES_H */
