/* argument.h - a value of a probed call, read from its frame.
 *
 *   "sql"                    a parameter
 *   "request.url"            an attribute of one
 *   "args[0]"                the first of a tuple or list
 *   "url._netloc|url"        the first of these that is there
 *   "=GET"                   this text, whatever the call is
 *   "url://"                 a parameter, if it is a text with "://" in it
 *
 * Reading runs no code: an attribute counts only where it lies in the object or
 * its class as it is (no property, no __getattr__). With the GIL; never raises.
 */
#ifndef SL_PY_ARGUMENT_H
#define SL_PY_ARGUMENT_H

#include "compat/py_compat.h"

#define SL_PY_ARGUMENT_WAYS  6
#define SL_PY_ARGUMENT_STEPS 4

typedef struct {
    PyObject *parameter; /* strong, interned; NULL: the text in steps[0] */
    int local;           /* its index in the frames of the code, or -1 */
    bool cell;           /* where it lies in a cell */
    bool whole_url; /* it counts only if it is one, not a path alone */
    int step_count;
    struct {
        PyObject *attribute; /* strong, interned; NULL: an item */
        Py_ssize_t item;
    } steps[SL_PY_ARGUMENT_STEPS];
} sl_py_way;

typedef struct {
    sl_py_way ways[SL_PY_ARGUMENT_WAYS];
    int count;
} sl_py_argument;

/* Compiles `text` (empty: there is none to read). -1 with a ValueError. What
 * it holds lives as long as the process. */
int sl_py_argument_compile(const char *text, sl_py_argument *out);

/* Finds its parameters in `code`; before the frames of it are read. */
void sl_py_argument_bind(sl_py_argument *argument, const PyCodeObject *code);

/* The value in `frame`, which runs that code and has just begun: NEW; NULL:
 * none of the ways leads to one. None is none. */
PyObject *sl_py_argument_read(const sl_py_argument *argument, uintptr_t frame);

/* The attribute, NEW, if it is plain; NULL: it is not. */
PyObject *sl_py_plain_attribute(PyObject *object, PyObject *name);

#endif /* SL_PY_ARGUMENT_H */
