/* stored.h - what the store uses of slowlens/segment.h and slowlens/rows.h. */
#ifndef SL_PY_STORED_H
#define SL_PY_STORED_H

#include "compat/py_compat.h"

extern PyTypeObject sl_py_rows_type;

/* An id is its text, or 16 bytes. -1: an exception. */
int sl_py_id(PyObject *value, uint8_t id[16]);

PyObject *sl_py_record_head(PyObject *module, PyObject *args);
PyObject *sl_py_record_erase(PyObject *module, PyObject *arg);
PyObject *sl_py_records(PyObject *module, PyObject *args);
PyObject *sl_py_footer_end(PyObject *module, PyObject *arg);
PyObject *sl_py_file_is_at(PyObject *module, PyObject *args);

#endif /* SL_PY_STORED_H */
