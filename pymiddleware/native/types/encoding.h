/* encoding.h - finished recordings as blobs, many at once. */
#ifndef SL_PY_ENCODING_H
#define SL_PY_ENCODING_H

#include "compat/py_compat.h"

/* encode_many(pairs): the GIL is given up once for all of them. */
PyObject *sl_py_encode_many(PyObject *module, PyObject *arg);

#endif /* SL_PY_ENCODING_H */
