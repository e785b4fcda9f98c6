/* What all types of the module share: errors, metadata. */
#include "types/values.h"

PyObject *sl_py_corrupt_error;

PyObject *
sl_py_raise(sl_status status)
{
    PyObject *type;

    switch (status) {
    case SL_ENOMEM: return PyErr_NoMemory();
    case SL_ECORRUPT:
    case SL_EVERSION:
    case SL_ELIMIT: type = sl_py_corrupt_error; break;
    case SL_ERANGE: type = PyExc_ValueError; break;
    default: type = PyExc_RuntimeError; break;
    }
    PyErr_Format(type, "%s (%s)", sl_status_text(status),
                 sl_status_name(status));
    return NULL;
}

PyObject *
sl_py_take_bytes(sl_status status, sl_bytes *bytes)
{
    PyObject *result =
        status < 0 ? sl_py_raise(status)
                   : PyBytes_FromStringAndSize((const char *)bytes->data,
                                               (Py_ssize_t)bytes->size);
    sl_bytes_free(bytes);
    return result;
}

sl_meta *
sl_py_parse_meta(PyObject *dict, PyObject *keep, size_t *count)
{
    sl_meta *meta =
        PyMem_Calloc((size_t)PyDict_GET_SIZE(dict) + 1, sizeof(*meta));
    PyObject *key, *value;
    Py_ssize_t at = 0;

    *count = 0;
    if (meta == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    while (PyDict_Next(dict, &at, &key, &value)) {
        sl_meta *item = &meta[*count];
        PyObject *texts[] = { key, value };
        if (value == Py_None)
            continue;
        if (!PyUnicode_Check(key) ||
            !(PyUnicode_Check(value) || PyLong_Check(value))) {
            PyErr_SetString(PyExc_TypeError, "metadata maps str to int or str");
            goto fail;
        }
        for (int i = 0; i < 1 + PyUnicode_Check(value); i++) {
            const bool ascii = PyUnicode_IS_COMPACT_ASCII(texts[i]);
            /* What is UTF-8 already is held, not copied. */
            PyObject *bytes =
                ascii ? Py_NewRef(texts[i])
                      : PyUnicode_AsEncodedString(texts[i], "utf-8",
                                                  "backslashreplace");
            if (bytes == NULL || PyList_Append(keep, bytes) < 0) {
                Py_XDECREF(bytes);
                goto fail;
            }
            *(i == 0 ? &item->key : &item->text) =
                ascii ? (const char *)PyUnicode_1BYTE_DATA(bytes)
                      : PyBytes_AS_STRING(bytes);
            *(i == 0 ? &item->key_len : &item->text_len) =
                (size_t)(ascii ? PyUnicode_GET_LENGTH(bytes)
                               : PyBytes_GET_SIZE(bytes));
            Py_DECREF(bytes);
        }
        if (item->text == NULL) {
            item->number = PyLong_AsLongLong(value);
            if (item->number == -1 && PyErr_Occurred())
                goto fail;
        }
        ++*count;
    }
    return meta;
fail:
    PyMem_Free(meta);
    return NULL;
}

int
sl_py_words(const sl_py_word *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *words[i].at = PyUnicode_InternFromString(words[i].text);
        if (*words[i].at == NULL)
            return -1;
    }
    return 0;
}
