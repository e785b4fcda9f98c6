/* span_type.h - Span: a piece of work that has a name, for Python. */
#ifndef SL_PY_SPAN_TYPE_H
#define SL_PY_SPAN_TYPE_H

#include "run/spans.h"

extern PyTypeObject sl_py_span_type;

/* 0, or -1 with an exception. */
int sl_py_span_init(void);

/* span_add(name, kind, ns, detail, *, keep, dialect): see module.c. */
PyObject *sl_py_span_add_method(PyObject *module, PyObject *args,
                                PyObject *kwargs);

#endif /* SL_PY_SPAN_TYPE_H */
