/* code_map.h - whose code is whose, and what it is called.
 *
 * By the name of its file: the project's, a library's, the standard library's,
 * ours. Everything here needs the GIL.
 */
#ifndef SL_PY_CODE_MAP_H
#define SL_PY_CODE_MAP_H

#include "compat/py_compat.h"

#include "slowlens/recording.h"

int sl_py_code_map_init(void);

/* Origin of a code object's file and whether its C calls are chosen. */
sl_origin sl_py_code_origin(PyCodeObject *code);
bool sl_py_code_is_chosen(PyCodeObject *code);

/* Whether the code is slowlens's own. Never raises. */
bool sl_py_code_is_own(PyCodeObject *code);

/* Origin of a file by its name, UTF-8. */
sl_origin sl_py_file_origin(const char *name, size_t len);

/* configure(stdlib, libraries, chosen): tuples of str; `own` a str; see
 * types/module.c. */
int sl_py_code_map_configure(PyObject *stdlib, PyObject *libraries,
                             PyObject *chosen, PyObject *own);

/* Prefixes of what is the project's although it lies among libraries, and of
 * libraries that lie elsewhere: tuples of str, or NULL. */
int sl_py_code_map_claim(PyObject *project, PyObject *vendored);

/* Methods of ours that are no calls of the program: of two types, each from
 * the first up to, not with, the end. Set once, at import. */
typedef struct {
    const PyMethodDef *first, *end;
} sl_py_hidden;
extern sl_py_hidden sl_py_hidden_recording, sl_py_hidden_span;

/* The method definition of a C function or method descriptor, NULL for any
 * other callable and for our own methods. Inline: asked for every C call. */
static inline PyMethodDef *
sl_py_c_function(PyObject *callable)
{
    PyMethodDef *method;

    if (Py_IS_TYPE(callable, &PyCFunction_Type))
        method = ((PyCFunctionObject *)callable)->m_ml;
    else if (Py_IS_TYPE(callable, &PyMethodDescr_Type))
        method = ((PyMethodDescrObject *)callable)->d_method;
    else if (Py_IS_TYPE(callable, &PyFunction_Type) ||
             !PyCFunction_Check(callable))
        return NULL;
    else
        method = ((PyCFunctionObject *)callable)->m_ml;
    bool hidden = (method >= sl_py_hidden_recording.first &&
                   method < sl_py_hidden_recording.end) ||
                  (method >= sl_py_hidden_span.first &&
                   method < sl_py_hidden_span.end);
    return hidden ? NULL : method;
}

/* A NEW reference to what keeps `callable`'s method definition alive without
 * keeping an instance alive: itself, or the type it is bound to. */
PyObject *sl_py_c_function_owner(PyObject *callable);

/* Fills *out for a code object or owner; strings live in `keep`, a list. */
bool sl_py_describe(PyObject *object, const void *key, PyObject *keep,
                    sl_function *out);

#endif /* SL_PY_CODE_MAP_H */
