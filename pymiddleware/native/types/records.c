/* Records of a segment, for the store: heads out, records in; and whether the
 * file that they go to is still where it was. */
#include "types/stored.h"
#include "types/values.h"

#include "slowlens/segment.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int
sl_py_id(PyObject *value, uint8_t id[SL_ID_SIZE])
{
    Py_ssize_t size;

    if (PyBytes_Check(value) && PyBytes_GET_SIZE(value) == SL_ID_SIZE) {
        memcpy(id, PyBytes_AS_STRING(value), SL_ID_SIZE);
        return 0;
    }
    if (PyUnicode_Check(value)) {
        const char *text = PyUnicode_AsUTF8AndSize(value, &size);
        if (text == NULL)
            return -1;
        if (sl_id_parse(text, (size_t)size, id))
            return 0;
    }
    PyErr_SetString(PyExc_ValueError, "an id is a ULID, or 16 bytes");
    return -1;
}

PyObject *
sl_py_record_head(PyObject *module, PyObject *args)
{
    int kind;
    PyObject *text;
    Py_buffer inside = { 0 };
    Py_ssize_t outside = 0;
    uint8_t id[SL_ID_SIZE];

    (void)module;
    if (!PyArg_ParseTuple(args, "iO|y*n:record_head", &kind, &text, &inside,
                          &outside))
        return NULL;
    PyObject *result = NULL;
    if (sl_py_id(text, id) == 0) {
        result = PyBytes_FromStringAndSize(NULL, SL_RECORD_HEAD + inside.len);
    }
    if (result != NULL) {
        uint8_t *at = (uint8_t *)PyBytes_AS_STRING(result);
        sl_status status =
            outside < 0 ? SL_ERANGE
                        : sl_record_head(at, (sl_record_kind)kind, id,
                                         inside.len > 0 ? inside.buf : "",
                                         (size_t)inside.len, (size_t)outside);
        if (status < 0) {
            Py_CLEAR(result);
            sl_py_raise(status);
        } else if (inside.len > 0)
            memcpy(at + SL_RECORD_HEAD, inside.buf, (size_t)inside.len);
    }
    if (inside.obj != NULL)
        PyBuffer_Release(&inside);
    return result;
}

PyObject *
sl_py_record_erase(PyObject *module, PyObject *arg)
{
    uint8_t head[SL_RECORD_HEAD];

    (void)module;
    unsigned long long size = PyLong_AsUnsignedLongLong(arg);
    if (PyErr_Occurred())
        return NULL;
    sl_status status = sl_record_erase(head, size);
    if (status < 0)
        return sl_py_raise(status);
    return PyBytes_FromStringAndSize((char *)head, SL_RECORD_HEAD);
}

/* (kind, id, offset, inside, outside) of one record. The id is the text of a
 * ULID where it can be one. */
static PyObject *
record_tuple(const sl_record *record, size_t at)
{
    char text[SL_ID_TEXT];

    sl_id_text(record->id, text);
    return Py_BuildValue("(is#KII)", (int)record->kind, text,
                         (Py_ssize_t)SL_ID_TEXT, (unsigned long long)at,
                         record->inside, record->outside);
}

PyObject *
sl_py_records(PyObject *module, PyObject *args)
{
    Py_buffer data;
    sl_record record;
    sl_status status = SL_OK;

    (void)module;
    unsigned kind = 0;
    if (!PyArg_ParseTuple(args, "y*|I:records", &data, &kind))
        return NULL;
    PyObject *list = PyList_New(0);
    size_t at = 0, size = (size_t)data.len;
    while (list != NULL && at < size) {
        status =
            sl_record_read((const uint8_t *)data.buf + at, size - at, &record);
        if (status < 0)
            break;
        bool last = record.size > size - at;
        if (kind == 0 || kind == (unsigned)record.kind || last) {
            PyObject *one = record_tuple(&record, at);
            if (one == NULL || PyList_Append(list, one) < 0)
                Py_CLEAR(list);
            Py_XDECREF(one);
        }
        if (last) {
            at += (size_t)record.size; /* its outside stands further on */
            break;
        }
        at += (size_t)record.size;
    }
    PyBuffer_Release(&data);
    if (list == NULL)
        return NULL;
    return Py_BuildValue("(NKO)", list, (unsigned long long)at,
                         status == SL_ECORRUPT ? Py_True : Py_False);
}

PyObject *
sl_py_footer_end(PyObject *module, PyObject *arg)
{
    Py_buffer data;
    sl_footer_end end;

    (void)module;
    if (PyObject_GetBuffer(arg, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    bool found = sl_footer_end_read(data.buf, (size_t)data.len, &end);
    PyBuffer_Release(&data);
    if (!found)
        Py_RETURN_NONE;
    return Py_BuildValue("(KKII)", (unsigned long long)end.oldest_ms,
                         (unsigned long long)end.newest_ms, end.profiles,
                         end.size);
}

static bool
is_file(const struct stat *file, unsigned long long device,
        unsigned long long inode)
{
    return (unsigned long long)file->st_dev == device &&
           (unsigned long long)file->st_ino == inode;
}

/* Asked before each put: os.fstat and os.lstat would take three times as long,
 * for they give numbers to twenty fields that nobody reads. */
static int
file_is_at(int fd, const char *path, unsigned long long device,
           unsigned long long inode)
{
    struct stat file;
    int found = 0;

    if (fstat(fd, &file) == 0)
        found |= is_file(&file, device, inode);
    else
        found |= errno != EBADF; /* of a disk that fails: still ours */
    if (lstat(path, &file) == 0)
        found |= is_file(&file, device, inode) << 1;
    return found;
}

PyObject *
sl_py_file_is_at(PyObject *module, PyObject *args)
{
    PyObject *path;
    int fd, found;
    unsigned long long device, inode;

    (void)module;
    if (!PyArg_ParseTuple(args, "iO&KK:file_is_at", &fd, PyUnicode_FSConverter,
                          &path, &device, &inode))
        return NULL;
    Py_BEGIN_ALLOW_THREADS found =
        file_is_at(fd, PyBytes_AS_STRING(path), device, inode);
    Py_END_ALLOW_THREADS Py_DECREF(path);
    return PyLong_FromLong(found);
}
