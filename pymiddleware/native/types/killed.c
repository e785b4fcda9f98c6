/* killed.c - profiles of requests that did not live to make one. */
#include "types/killed.h"
#include "types/values.h"

#include "slowlens/profile.h"

PyObject *
sl_py_with_meta(PyObject *module, PyObject *args)
{
    Py_buffer data;
    PyObject *dict, *result = NULL;
    size_t count;
    sl_bytes blob = { 0 };

    (void)module;
    if (!PyArg_ParseTuple(args, "y*O!:with_meta", &data, &PyDict_Type, &dict))
        return NULL;
    PyObject *keep = PyList_New(0);
    sl_meta *meta = keep == NULL ? NULL : sl_py_parse_meta(dict, keep, &count);
    if (meta != NULL) {
        sl_status status;
        Py_BEGIN_ALLOW_THREADS status = sl_blob_with_meta(
            data.buf, (size_t)data.len, meta, count, 0, NULL, &blob);
        Py_END_ALLOW_THREADS result = sl_py_take_bytes(status, &blob);
    }
    PyMem_Free(meta);
    Py_XDECREF(keep);
    PyBuffer_Release(&data);
    return result;
}

/* A recording in which nothing was seen, of `wall` ns. */
static sl_status
encode_unseen(uint64_t wall, const sl_meta *meta, size_t count, sl_bytes *blob)
{
    sl_recording_options options = { .clock = SL_CLOCK_MONOTONIC };
    sl_recording *recording;
    sl_status status = sl_recording_new(&recording, &options, NULL);

    if (status < 0)
        return status;
    uint64_t began = sl_clock_ticks(SL_CLOCK_MONOTONIC);
    sl_recording_stop(recording, began + wall);
    status = sl_recording_encode(recording, meta, count, NULL, NULL, 0, blob);
    sl_recording_free(recording);
    return status;
}

PyObject *
sl_py_unseen(PyObject *module, PyObject *args)
{
    PyObject *dict, *result = NULL;
    unsigned long long wall;
    size_t count;
    sl_bytes blob = { 0 };

    (void)module;
    if (!PyArg_ParseTuple(args, "O!K:unseen", &PyDict_Type, &dict, &wall))
        return NULL;
    PyObject *keep = PyList_New(0);
    sl_meta *meta = keep == NULL ? NULL : sl_py_parse_meta(dict, keep, &count);
    if (meta != NULL)
        result =
            sl_py_take_bytes(encode_unseen(wall, meta, count, &blob), &blob);
    PyMem_Free(meta);
    Py_XDECREF(keep);
    return result;
}
