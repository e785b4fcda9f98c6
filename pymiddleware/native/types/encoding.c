/* Finished recordings as blobs, many at once. */
#include "types/encoding.h"
#include "types/recording_type.h"
#include "types/values.h"

/* After so many whose names were looked up others may have the GIL. */
#define YIELD_EVERY 4

PyObject *
sl_py_encode_many(PyObject *module, PyObject *arg)
{
    (void)module;
    if (!PyList_Check(arg)) {
        PyErr_SetString(PyExc_TypeError, "a list of (recording, metadata)");
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(arg);
    sl_py_encoding *all = PyMem_Calloc((size_t)count + 1, sizeof(*all));
    PyObject *pairs = PyList_GetSlice(arg, 0, count);
    PyObject *result = all == NULL || pairs == NULL ? NULL : PyList_New(count);

    if (all == NULL)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; result != NULL && i < count; i++) {
        PyObject *recording, *dict, *pair = PyList_GET_ITEM(pairs, i);
        if (!PyTuple_Check(pair)) {
            PyErr_SetString(PyExc_TypeError, "a list of (recording, metadata)");
            all[i].error = sl_py_take_exception();
        } else if (!PyArg_ParseTuple(pair, "O!O!:encode_many",
                                     &sl_py_recording_type, &recording,
                                     &PyDict_Type, &dict) ||
                   !sl_py_encoding_begin(&all[i], (sl_py_recording *)recording,
                                         dict)) {
            all[i].error = sl_py_take_exception();
        }
        if (i % YIELD_EVERY == YIELD_EVERY - 1) { /* requests wait for it */
            Py_BEGIN_ALLOW_THREADS Py_END_ALLOW_THREADS
        }
    }
    if (result != NULL) {
        Py_BEGIN_ALLOW_THREADS sl_py_budget_encodes(true);
        for (Py_ssize_t i = 0; i < count; i++) {
            if (all[i].self != NULL)
                sl_py_encoding_do(&all[i], 3);
        }
        sl_py_budget_encodes(false);
        Py_END_ALLOW_THREADS
    }
    for (Py_ssize_t i = 0; result != NULL && i < count; i++) {
        PyObject *got = all[i].error;
        if (all[i].self != NULL) {
            got = sl_py_take_bytes(all[i].status, &all[i].blob);
            if (got == NULL)
                got = sl_py_take_exception();
            sl_py_encoding_end(&all[i]);
        }
        PyList_SET_ITEM(result, i, got);
    }
    PyMem_Free(all);
    Py_XDECREF(pairs);
    return result;
}
