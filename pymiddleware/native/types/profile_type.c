/* Profile: a finished profile, for reports and exports. */
#include "types/profile_type.h"
#include "types/values.h"

#include "slowlens/export.h"
#include "slowlens/finding.h"
#include "slowlens/merge.h"
#include "slowlens/meta.h"
#include "slowlens/profile.h"
#include "slowlens/report.h"

#include <string.h>

typedef struct {
    PyObject_HEAD sl_profile *profile;
} decoded;

static PyObject *
profile_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "data", "max_bytes", NULL };
    Py_buffer data;
    Py_ssize_t max_bytes = 0;
    sl_profile *profile = NULL;
    sl_status status;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*|n:Profile", names, &data,
                                     &max_bytes))
        return NULL;
    Py_BEGIN_ALLOW_THREADS status =
        sl_profile_decode(&profile, data.buf, (size_t)data.len,
                          max_bytes > 0 ? (size_t)max_bytes : 0, NULL);
    Py_END_ALLOW_THREADS PyBuffer_Release(&data);
    if (status < 0)
        return sl_py_raise(status);

    decoded *self = (decoded *)type->tp_alloc(type, 0);
    if (self == NULL) {
        sl_profile_free(profile);
        return NULL;
    }
    self->profile = profile;
    return (PyObject *)self;
}

static void
profile_dealloc(PyObject *object)
{
    sl_profile_free(((decoded *)object)->profile);
    Py_TYPE(object)->tp_free(object);
}

/* Defines a method without arguments that makes one document. */
#define DOCUMENT(method, report)                                               \
    static PyObject *method(PyObject *object, PyObject *ignored)               \
    {                                                                          \
        sl_bytes out = { 0 };                                                  \
        sl_status status;                                                      \
        (void)ignored;                                                         \
        Py_BEGIN_ALLOW_THREADS status =                                        \
            report(((decoded *)object)->profile, &out);                        \
        Py_END_ALLOW_THREADS return sl_py_take_bytes(status, &out);            \
    }

DOCUMENT(profile_meta, sl_report_meta)

static PyObject *
profile_tree(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "node", "depth", "hot", "limit", NULL };
    unsigned int node = 0, depth = 1, limit = 0;
    int hot = 0;
    sl_bytes out = { 0 };
    sl_status status;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|IIpI:tree", names, &node,
                                     &depth, &hot, &limit))
        return NULL;
    sl_report_tree_options options = { node, depth, hot != 0, limit };
    Py_BEGIN_ALLOW_THREADS status =
        sl_report_tree(((decoded *)object)->profile, &options, &out);
    Py_END_ALLOW_THREADS return sl_py_take_bytes(status, &out);
}

/* A report that takes one number. */
#define NUMBERED(function, report, format)                                     \
    static PyObject *function(PyObject *object, PyObject *args)                \
    {                                                                          \
        unsigned int number = 0;                                               \
        sl_bytes out = { 0 };                                                  \
        sl_status status;                                                      \
                                                                               \
        if (!PyArg_ParseTuple(args, format, &number))                          \
            return NULL;                                                       \
        Py_BEGIN_ALLOW_THREADS status =                                        \
            report(((decoded *)object)->profile, number, &out);                \
        Py_END_ALLOW_THREADS return sl_py_take_bytes(status, &out);            \
    }

NUMBERED(profile_summary, sl_report_summary, "|p:summary")
NUMBERED(profile_functions, sl_report_functions, "|I:functions")
NUMBERED(profile_text, sl_report_text, "|I:text")
NUMBERED(profile_lines, sl_report_lines, "I:lines")
NUMBERED(profile_timeline, sl_report_timeline, "|I:timeline")
NUMBERED(profile_repeats, sl_report_repeats, "|I:repeats")
NUMBERED(profile_spans, sl_report_spans, "|I:spans")

/* A report that takes two. */
#define NUMBERED_TWICE(function, report, first, format)                        \
    static PyObject *function(PyObject *object, PyObject *args)                \
    {                                                                          \
        unsigned int one = first, two = 0;                                     \
        sl_bytes out = { 0 };                                                  \
        sl_status status;                                                      \
                                                                               \
        if (!PyArg_ParseTuple(args, format, &one, &two))                       \
            return NULL;                                                       \
        Py_BEGIN_ALLOW_THREADS status =                                        \
            report(((decoded *)object)->profile, one, two, &out);              \
        Py_END_ALLOW_THREADS return sl_py_take_bytes(status, &out);            \
    }

NUMBERED_TWICE(profile_flame, sl_report_flame, 0, "|II:flame")
NUMBERED_TWICE(profile_calls, sl_report_calls, SL_REPORT_ALL, "|II:calls")

/* The format that `name` says; NULL: with an exception. */
static const sl_export_format *
format_of(PyObject *name)
{
    const char *text = PyUnicode_AsUTF8(name);
    const sl_export_format *format = text == NULL ? NULL : sl_export_find(text);

    if (format == NULL && text != NULL)
        PyErr_Format(PyExc_ValueError, "unknown export format %R", name);
    return format;
}

static PyObject *
profile_export(PyObject *object, PyObject *arg)
{
    const sl_export_format *format = format_of(arg);
    sl_bytes out = { 0 };
    sl_status status;

    if (format == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS status =
        sl_export_bytes(((decoded *)object)->profile, format, 0, &out);
    Py_END_ALLOW_THREADS return sl_py_take_bytes(status, &out);
}

/* Where an export goes piece by piece, and the thread's state meanwhile. */
typedef struct {
    PyObject *write;
    PyThreadState *thread;
    bool raised;
} receiver;

static sl_status
receive(void *ctx, const void *bytes, size_t size)
{
    receiver *to = ctx;

    PyEval_RestoreThread(to->thread);
    PyObject *chunk = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)size);
    PyObject *result =
        chunk == NULL ? NULL : PyObject_CallOneArg(to->write, chunk);
    to->raised = result == NULL;
    Py_XDECREF(chunk);
    Py_XDECREF(result);
    to->thread = PyEval_SaveThread();
    return to->raised ? SL_ESTATE : SL_OK;
}

static PyObject *
profile_export_to(PyObject *object, PyObject *args)
{
    receiver to = { 0 };
    PyObject *name;
    Py_ssize_t max_bytes = 0;

    if (!PyArg_ParseTuple(args, "OO|n:export_to", &name, &to.write, &max_bytes))
        return NULL;
    const sl_export_format *format = format_of(name);
    if (format == NULL)
        return NULL;
    if (max_bytes < 0) {
        PyErr_SetString(PyExc_ValueError, "max_bytes must not be negative");
        return NULL;
    }
    to.thread = PyEval_SaveThread();
    sl_status status = sl_export_stream(((decoded *)object)->profile, format,
                                        (size_t)max_bytes, receive, &to);
    PyEval_RestoreThread(to.thread);
    if (to.raised)
        return NULL;
    if (status < 0)
        return sl_py_raise(status);
    Py_RETURN_NONE;
}

/* ((name, ending, media type, title, counts), ...) or, `names`, (name, ...). */
PyObject *
sl_py_export_formats(bool names)
{
    Py_ssize_t count = 0;

    while (sl_export_at((size_t)count) != NULL)
        count++;
    PyObject *table = PyTuple_New(count);
    for (Py_ssize_t i = 0; table != NULL && i < count; i++) {
        const sl_export_format *one = sl_export_at((size_t)i);
        PyObject *row =
            names ? PyUnicode_FromString(one->name)
                  : Py_BuildValue("(sssss)", one->name, one->ending,
                                  one->media_type, one->title, one->counts);
        if (row == NULL)
            Py_CLEAR(table);
        else
            PyTuple_SET_ITEM(table, i, row);
    }
    return table;
}

/* ((word, title, advice), ...) */
PyObject *
sl_py_findings(void)
{
    PyObject *table = PyTuple_New(SL_FINDING_COUNT);

    for (int i = 0; table != NULL && i < SL_FINDING_COUNT; i++) {
        const sl_finding_info *one = sl_finding_at((sl_finding_rule)i);
        PyObject *row =
            Py_BuildValue("(sss)", one->word, one->title, one->advice);
        if (row == NULL)
            Py_CLEAR(table);
        else
            PyTuple_SET_ITEM(table, i, row);
    }
    return table;
}

PyObject *
sl_py_titles(void)
{
    PyObject *table = PyDict_New();
    const sl_meta_info *one;

    for (size_t i = 0; table != NULL && (one = sl_meta_at(i)) != NULL; i++) {
        PyObject *title = PyUnicode_FromString(one->title);
        if (title == NULL || PyDict_SetItemString(table, one->key, title) < 0)
            Py_CLEAR(table);
        Py_XDECREF(title);
    }
    return table;
}

PyObject *
sl_py_read_meta(PyObject *module, PyObject *arg)
{
    Py_buffer data;
    sl_profile *profile = NULL;
    sl_bytes out = { 0 };
    sl_status status;

    (void)module;
    if (PyObject_GetBuffer(arg, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS status =
        sl_profile_decode_meta(&profile, data.buf, (size_t)data.len, NULL);
    if (status == SL_OK)
        status = sl_report_meta(profile, &out);
    sl_profile_free(profile);
    Py_END_ALLOW_THREADS PyBuffer_Release(&data);
    return sl_py_take_bytes(status, &out);
}

static PyObject *
profile_diff(PyObject *object, PyObject *args)
{
    PyObject *other;
    unsigned int permille = 1;
    sl_bytes out = { 0 };
    sl_status status;

    if (!PyArg_ParseTuple(args, "O!|I:diff", &sl_py_profile_type, &other,
                          &permille))
        return NULL;
    Py_BEGIN_ALLOW_THREADS status =
        sl_report_diff(((decoded *)object)->profile,
                       ((decoded *)other)->profile, permille, &out);
    Py_END_ALLOW_THREADS return sl_py_take_bytes(status, &out);
}

/* The profiles of a fast sequence of Profiles, borrowed: PyMem_Free them. NULL:
 * with an exception. */
static const sl_profile **
profiles_of(PyObject *list)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
    const sl_profile **profiles =
        PyMem_Calloc((size_t)count + 1, sizeof(*profiles));

    if (profiles == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *one = PySequence_Fast_GET_ITEM(list, i);
        if (!Py_IS_TYPE(one, &sl_py_profile_type)) {
            PyErr_SetString(PyExc_TypeError, "expected Profiles");
            PyMem_Free(profiles);
            return NULL;
        }
        profiles[i] = ((decoded *)one)->profile;
    }
    return profiles;
}

/* Calls `write` with the profiles of `blobs`, a sequence of Profiles, and what
 * `dict` holds. */
static PyObject *
combine(PyObject *blobs, PyObject *dict,
        sl_status (*write)(const sl_profile *const *, size_t, const sl_meta *,
                           size_t, sl_bytes *))
{
    PyObject *keep = PyList_New(0), *result = NULL;
    PyObject *list =
        PySequence_Fast(blobs, "merge takes a sequence of Profiles");
    const sl_profile **profiles = NULL;
    sl_meta *meta = NULL;
    size_t meta_count = 0;

    if (keep == NULL || list == NULL)
        goto done;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
    profiles = profiles_of(list);
    if (profiles == NULL)
        goto done;
    meta = sl_py_parse_meta(dict, keep, &meta_count);
    if (meta != NULL) {
        sl_bytes out = { 0 };
        sl_status status;
        Py_BEGIN_ALLOW_THREADS status =
            write(profiles, (size_t)count, meta, meta_count, &out);
        Py_END_ALLOW_THREADS result = sl_py_take_bytes(status, &out);
    }
done:
    PyMem_Free(meta);
    PyMem_Free(profiles);
    Py_XDECREF(list);
    Py_XDECREF(keep);
    return result;
}

static sl_status
write_merge(const sl_profile *const *profiles, size_t count,
            const sl_meta *meta, size_t meta_count, sl_bytes *out)
{
    return sl_merge(profiles, count, meta, meta_count, 0, out);
}

static sl_status
write_growth(const sl_profile *const *profiles, size_t count,
             const sl_meta *meta, size_t meta_count, sl_bytes *out)
{
    (void)count;
    return sl_growth(profiles[0], profiles[1], meta, meta_count, 0, out);
}

PyObject *
sl_py_merge(PyObject *module, PyObject *args)
{
    PyObject *blobs, *meta;

    (void)module;
    if (!PyArg_ParseTuple(args, "OO!:merge", &blobs, &PyDict_Type, &meta))
        return NULL;
    return combine(blobs, meta, write_merge);
}

static sl_status
write_aggregate(const sl_profile *const *profiles, size_t count,
                const sl_meta *meta, size_t meta_count, sl_bytes *out)
{
    (void)meta;
    (void)meta_count;
    return sl_report_aggregate(profiles, count, 1, out);
}

PyObject *
sl_py_aggregate(PyObject *module, PyObject *blobs)
{
    (void)module;
    PyObject *nothing = PyDict_New();
    PyObject *result =
        nothing == NULL ? NULL : combine(blobs, nothing, write_aggregate);
    Py_XDECREF(nothing);
    return result;
}

PyObject *
sl_py_cohort(PyObject *module, PyObject *args)
{
    PyObject *blobs, *result = NULL;
    const char *group = NULL;
    Py_ssize_t groups = 0;
    int by_wall = 0;
    sl_bytes out = { 0 };
    sl_status status;

    (void)module;
    if (!PyArg_ParseTuple(args, "O|z#p:cohort", &blobs, &group, &groups,
                          &by_wall))
        return NULL;
    PyObject *list =
        PySequence_Fast(blobs, "cohort takes a sequence of Profiles");
    const sl_profile **profiles = list == NULL ? NULL : profiles_of(list);
    if (profiles != NULL) {
        Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
        if (group != NULL && groups != count) {
            PyErr_SetString(PyExc_ValueError, "a group for each profile");
        } else {
            Py_BEGIN_ALLOW_THREADS status =
                sl_report_cohort(profiles, (size_t)count,
                                 (const uint8_t *)group, by_wall != 0, &out);
            Py_END_ALLOW_THREADS result = sl_py_take_bytes(status, &out);
        }
    }
    PyMem_Free(profiles);
    Py_XDECREF(list);
    return result;
}

PyObject *
sl_py_growth(PyObject *module, PyObject *args)
{
    PyObject *before, *after, *meta;

    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!O!:growth", &sl_py_profile_type, &before,
                          &sl_py_profile_type, &after, &PyDict_Type, &meta))
        return NULL;
    PyObject *both = PyTuple_Pack(2, before, after);
    if (both == NULL)
        return NULL;
    PyObject *result = combine(both, meta, write_growth);
    Py_DECREF(both);
    return result;
}

static PyMethodDef profile_methods[] = {
    { "meta", profile_meta, METH_NOARGS,
      "meta()\n--\n\nIts metadata: JSON bytes." },
    { "summary", profile_summary, METH_VARARGS,
      "summary(glance=False, /)\n--\n\nMetadata, counts, time split, hot path, "
      "heaviest "
      "functions: JSON bytes, see slowlens/report.h." },
    { "tree", (PyCFunction)(void (*)(void))profile_tree,
      METH_VARARGS | METH_KEYWORDS,
      "tree(node=0, depth=1, hot=False, limit=0)\n--\n\nPart of the call "
      "tree: JSON bytes. ValueError: no such node." },
    { "functions", profile_functions, METH_VARARGS,
      "functions(limit=0, /)\n--\n\nFunctions by self time: JSON bytes." },
    { "diff", profile_diff, METH_VARARGS,
      "diff(after, permille=1, /)\n--\n\nThis profile beside another: JSON "
      "bytes, see slowlens/merge.h." },
    { "lines", profile_lines, METH_VARARGS,
      "lines(function, /)\n--\n\nTime of each line of a function: JSON bytes. "
      "ValueError: no such function." },
    { "timeline", profile_timeline, METH_VARARGS,
      "timeline(limit=0, /)\n--\n\nWhich node was innermost when: JSON "
      "bytes." },
    { "flame", profile_flame, METH_VARARGS,
      "flame(node=0, limit=0, /)\n--\n\nA subtree in columns: JSON bytes. "
      "ValueError: no such node." },
    { "calls", profile_calls, METH_VARARGS,
      "calls(function=0xFFFFFFFF, permille=0, /)\n--\n\nWho called whom: all, "
      "or of one function: JSON bytes. ValueError: no such function." },
    { "spans", profile_spans, METH_VARARGS,
      "spans(limit=0, /)\n--\n\nWhat was asked of others, and named pieces: "
      "JSON bytes, see sl_report_spans of slowlens/report.h." },
    { "repeats", profile_repeats, METH_VARARGS,
      "repeats(limit=0, /)\n--\n\nCalls made many times from one line: JSON "
      "bytes." },
    { "text", profile_text, METH_VARARGS,
      "text(permille=0, /)\n--\n\nThe tree as text: UTF-8 bytes." },
    { "export_to", profile_export_to, METH_VARARGS,
      "export_to(format, write, max_bytes=0, /)\n--\n\nThe same in pieces of "
      "64 KiB: write(bytes) is called for each. ValueError: unknown format, or "
      "more than max_bytes (0: by the size of the profile)." },
    { "export", profile_export, METH_O,
      "export(format, /)\n--\n\nThe profile for another tool: bytes. "
      "ValueError: unknown format." },
    { NULL, NULL, 0, NULL },
};

PyTypeObject sl_py_profile_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "slowlens._core.Profile",
    .tp_doc =
        "Profile(data, max_bytes=0)\n--\n\nA finished profile, decoded and "
        "checked.\nCorruptError: not one of ours, or damaged, or of a "
        "newer format; MemoryError.",
    .tp_basicsize = sizeof(decoded),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = profile_new,
    .tp_dealloc = profile_dealloc,
    .tp_methods = profile_methods,
};
