/* profile_type.h - Profile: a finished recording, for reports and exports. */
#ifndef SL_PY_PROFILE_TYPE_H
#define SL_PY_PROFILE_TYPE_H

#include "compat/py_compat.h"

extern PyTypeObject sl_py_profile_type;

/* read_meta(data), a module function; and the names Profile.export knows. */
PyObject *sl_py_read_meta(PyObject *module, PyObject *arg);
PyObject *sl_py_export_formats(bool names);
PyObject *sl_py_findings(void);

/* {key: title} of slowlens/meta.h. New, or NULL. */
PyObject *sl_py_titles(void);

/* merge(blobs, meta) and growth(before, after, meta), module functions. */
PyObject *sl_py_merge(PyObject *module, PyObject *args);
PyObject *sl_py_growth(PyObject *module, PyObject *args);
PyObject *sl_py_aggregate(PyObject *module, PyObject *blobs);
PyObject *sl_py_cohort(PyObject *module, PyObject *args);

#endif /* SL_PY_PROFILE_TYPE_H */
