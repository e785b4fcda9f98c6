/* Values of probed calls: see argument.h. */
#include "engine/argument.h"
#include "look/own_stack.h"

#include <string.h>

/* ---- from text ---- */

static PyObject *
word(const char *text, size_t length)
{
    PyObject *name = PyUnicode_FromStringAndSize(text, (Py_ssize_t)length);
    if (name != NULL)
        PyUnicode_InternInPlace(&name);
    return name;
}

static int
refuse(const char *text)
{
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "no way to a value: '%s'", text);
    return -1;
}

/* Compiles text[0..length) into *way. */
static int
compile_way(const char *text, size_t length, sl_py_way *way)
{
    const char *end = text + length, *at = text;

    *way = (sl_py_way){ .local = -1 };
    if (length > 1 && *text == '=') {
        way->steps[0].attribute = word(text + 1, length - 1);
        return way->steps[0].attribute == NULL ? -1 : 0;
    }
    way->whole_url = length > 3 && memcmp(end - 3, "://", 3) == 0;
    if (way->whole_url)
        end -= 3;
    while (at < end && *at != '.' && *at != '[')
        at++;
    way->parameter = at == text ? NULL : word(text, (size_t)(at - text));
    if (way->parameter == NULL)
        return -1;
    while (at < end) {
        if (way->step_count == SL_PY_ARGUMENT_STEPS)
            return -1;
        const char *from = at + 1;
        bool item = *at == '[';
        for (at = from; at < end && *at != '.' && *at != '['; at++)
            ;
        if (at == from)
            return -1;
        if (item)
            way->steps[way->step_count].item = *from - '0';
        else
            way->steps[way->step_count].attribute =
                word(from, (size_t)(at - from));
        if (item ? *from < '0' || *from > '9' || at - from != 2 || at[-1] != ']'
                 : way->steps[way->step_count].attribute == NULL)
            return -1;
        way->step_count++;
    }
    return 0;
}

int
sl_py_argument_compile(const char *text, sl_py_argument *out)
{
    const char *at = text;

    *out = (sl_py_argument){ .count = 0 };
    while (*at != '\0') {
        size_t length = strcspn(at, "|");
        if (out->count == SL_PY_ARGUMENT_WAYS ||
            compile_way(at, length, &out->ways[out->count]) < 0)
            return refuse(text);
        out->count++;
        at += length + (at[length] == '|');
    }
    return 0;
}

/* ---- from a frame ---- */

void
sl_py_argument_bind(sl_py_argument *argument, const PyCodeObject *code)
{
    int parameters = code->co_argcount + code->co_kwonlyargcount +
                     ((code->co_flags & CO_VARARGS) != 0) +
                     ((code->co_flags & CO_VARKEYWORDS) != 0);

    for (int w = 0; w < argument->count; w++) {
        sl_py_way *way = &argument->ways[w];
        way->local = -1;
        for (int i = 0; way->parameter != NULL && i < parameters; i++) {
            PyObject *name = PyTuple_GET_ITEM(code->co_localsplusnames, i);
            if (PyUnicode_Compare(name, way->parameter) == 0)
                way->local = i;
        }
        way->cell = way->local >= 0 && sl_py_code_is_cell(code, way->local);
    }
}

/* Whether attributes of `type` are looked for as those of `object` are, but for
 * a __getattr__, which is only asked for what is not there. */
static bool
looks_up_plainly(PyTypeObject *type)
{
    static PyObject *name; /* strong, interned */

    if (type->tp_getattro == PyObject_GenericGetAttr)
        return true;
    if (name == NULL)
        name = PyUnicode_InternFromString("__getattribute__");
    if (name == NULL) {
        PyErr_Clear();
        return false;
    }
    return _PyType_Lookup(type, name) ==
           _PyType_Lookup(&PyBaseObject_Type, name);
}

PyObject *
sl_py_plain_attribute(PyObject *object, PyObject *name)
{
    PyTypeObject *type = Py_TYPE(object);

    if (!looks_up_plainly(type))
        return NULL;
    PyObject *of_class = _PyType_Lookup(type, name); /* borrowed */
    if (of_class != NULL && Py_TYPE(of_class)->tp_descr_get != NULL &&
        !Py_IS_TYPE(of_class, &PyMemberDescr_Type))
        return NULL;
    PyObject *value = _PyObject_GenericGetAttrWithDict(object, name, NULL, 1);
    if (value == NULL)
        PyErr_Clear();
    return value;
}

/* Item `index` of a tuple or list (or what derives from them); NEW or NULL. */
static PyObject *
plain_item(PyObject *object, Py_ssize_t index)
{
    if (PyTuple_Check(object) && index < PyTuple_GET_SIZE(object))
        return Py_XNewRef(PyTuple_GET_ITEM(object, index));
    if (PyList_Check(object) && index < PyList_GET_SIZE(object))
        return Py_XNewRef(PyList_GET_ITEM(object, index));
    return NULL;
}

static bool
is_whole_url(PyObject *value)
{
    Py_ssize_t size = 0;
    const char *text =
        PyUnicode_Check(value) ? PyUnicode_AsUTF8AndSize(value, &size) : NULL;

    if (text == NULL)
        PyErr_Clear();
    return text != NULL && strstr(text, "://") != NULL;
}

static PyObject *
read_way(const sl_py_way *way, uintptr_t frame)
{
    if (way->parameter == NULL)
        return Py_NewRef(way->steps[0].attribute);
    PyObject *value =
        way->local < 0 ? NULL : sl_py_own_local(frame, way->local);
    if (value != NULL && way->cell)
        value = PyCell_Check(value) ? PyCell_GET(value) : NULL;
    if (way->step_count == 0 && !way->whole_url) /* a query, mostly */
        return value == Py_None ? NULL : Py_XNewRef(value);
    Py_XINCREF(value);
    for (int i = 0; value != NULL && i < way->step_count; i++) {
        PyObject *next =
            way->steps[i].attribute != NULL
                ? sl_py_plain_attribute(value, way->steps[i].attribute)
                : plain_item(value, way->steps[i].item);
        Py_DECREF(value);
        value = next;
    }
    if (value == Py_None || (way->whole_url && value != NULL &&
                             !is_whole_url(value)))
        Py_CLEAR(value);
    return value;
}

PyObject *
sl_py_argument_read(const sl_py_argument *argument, uintptr_t frame)
{
    PyObject *value = NULL;

    for (int w = 0; w < argument->count && value == NULL; w++)
        value = read_way(&argument->ways[w], frame);
    return value;
}
