/* From a value of a call to a text without secrets: see span_text.h. */
#include "run/span_text.h"
#include "engine/argument.h"

#include <string.h>

/* Names are written in the program; what is longer is none. */
#define NAME_MAX_BYTES 200
/* Pieces of a query that is put together of objects. */
#define PIECES_DEEP 8

int
sl_py_span_what_of(const char *word)
{
    static const char *const words[SL_PY_TEXT_KINDS] = {
        "sql",     "url",  "host",   "name",  "block",
        "command", "line", "jinja2", "quiet", "hands",
    };
    for (int i = 0; i < SL_PY_TEXT_KINDS; i++) {
        if (strcmp(words[i], word) == 0)
            return i;
    }
    return -1;
}

/* Bytes of a str, bytes or bytearray; valid while it is. NULL: of none. */
static const char *
bytes_of(PyObject *object, size_t *len)
{
    Py_ssize_t size = 0;
    const char *bytes = NULL;

    if (object != NULL && PyUnicode_Check(object)) {
        bytes = PyUnicode_AsUTF8AndSize(object, &size);
        if (bytes == NULL)
            PyErr_Clear(); /* lone surrogates */
    } else if (object != NULL && PyBytes_Check(object)) {
        bytes = PyBytes_AS_STRING(object);
        size = PyBytes_GET_SIZE(object);
    } else if (object != NULL && PyByteArray_Check(object)) {
        bytes = PyByteArray_AS_STRING(object);
        size = PyByteArray_GET_SIZE(object);
    }
    *len = (size_t)size;
    return bytes;
}

/* ---- a buffer that what does not fit is left out of ---- */

typedef struct {
    char *out;
    size_t len, capacity;
    bool full;
} buffer;

static void
put(buffer *b, const char *bytes, size_t len)
{
    if (bytes == NULL || b->full || len > b->capacity - b->len) {
        b->full = b->full || bytes != NULL;
        return;
    }
    memcpy(b->out + b->len, bytes, len);
    b->len += len;
}

static void
put_text(buffer *b, const char *text)
{
    put(b, text, strlen(text));
}

/* A short str or bytes, printable. */
static bool
put_name(buffer *b, PyObject *object)
{
    size_t len;
    const char *bytes = bytes_of(object, &len);

    if (bytes == NULL || len == 0 || len > NAME_MAX_BYTES ||
        (!PyUnicode_Check(object) && memchr(bytes, 0x80, len) != NULL))
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)bytes[i] < ' ' || bytes[i] == 0x7F)
            return false;
        if (!PyUnicode_Check(object) && (unsigned char)bytes[i] >= 0x80)
            return false;
    }
    put(b, bytes, len);
    return true;
}

/* ---- queries ---- */

/* psycopg's queries may be objects: SQL, Identifier, Placeholder and Literal in
 * a Composed. Each keeps what it was made of in `_obj` (psycopg2: `_wrapped`).
 */
static void
put_query(buffer *b, PyObject *object, int deep)
{
    static PyObject *inside, *wrapped;
    size_t len;
    const char *bytes = bytes_of(object, &len);

    if (inside == NULL) {
        inside = PyUnicode_InternFromString("_obj");
        wrapped = PyUnicode_InternFromString("_wrapped");
    }
    if (bytes != NULL) {
        put(b, bytes, len);
        return;
    }
    if (inside == NULL || wrapped == NULL || deep == 0)
        return;
    const char *type = Py_TYPE(object)->tp_name;
    PyObject *of = sl_py_plain_attribute(object, inside);
    if (of == NULL)
        of = sl_py_plain_attribute(object, wrapped);
    if (of == NULL)
        return;
    if (strcmp(type, "Literal") == 0 || strcmp(type, "Placeholder") == 0) {
        put_text(b, "?");
    } else if (PyTuple_Check(of) || PyList_Check(of)) {
        bool names = strcmp(type, "Identifier") == 0;
        for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(of); i++) {
            PyObject *item = PySequence_Fast_GET_ITEM(of, i);
            put_text(b, names ? (i > 0 ? ".\"" : "\"") : "");
            put_query(b, item, deep - 1);
            put_text(b, names ? "\"" : "");
        }
    } else {
        put_query(b, of, deep - 1);
    }
    Py_DECREF(of);
}

/* A connection's dialect is the same word for each of its queries. */
static sl_sql_dialect
dialect_of(PyObject *name)
{
    static PyObject *last; /* strong, so that nothing else is at its address */
    static sl_sql_dialect known;
    size_t len;

    if (name == NULL)
        return SL_SQL_ANY;
    if (name == last)
        return known;
    const char *bytes = bytes_of(name, &len);
    sl_sql_dialect found =
        bytes == NULL ? SL_SQL_ANY : sl_sql_dialect_of(bytes, len);
    if (PyUnicode_CheckExact(name) && len < 64) {
        Py_XDECREF(last); /* a text's end runs no code */
        last = Py_NewRef(name);
        known = found;
    }
    return found;
}

const char *
sl_py_span_query(sl_py_span_what what, PyObject *text, PyObject *more,
                 uint64_t *hash, size_t *len, sl_sql_dialect *dialect)
{
    if (what != SL_PY_TEXT_SQL)
        return NULL;
    *hash = sl_py_known_hash(text);
    *dialect = dialect_of(more);
    return bytes_of(text, len);
}

static size_t
query_text(PyObject *query, PyObject *dialect, bool names, char *out)
{
    char pieces[SL_PY_SPAN_TEXT_MAX];
    size_t len = 0;
    const char *bytes = bytes_of(query, &len);
    sl_sql_dialect of = dialect_of(dialect);

    if (bytes == NULL && query != NULL) {
        buffer b = { .out = pieces, .capacity = sizeof(pieces) };
        put_query(&b, query, PIECES_DEEP);
        bytes = pieces;
        len = b.len;
    }
    if (bytes == NULL)
        return 0;
    return names ? sl_sql_names(bytes, len, of, out, SL_PY_SPAN_TEXT_MAX)
                 : sl_sql_shape(bytes, len, of, out, SL_PY_SPAN_TEXT_MAX);
}

/* ---- hosts and programs ---- */

static size_t
url_text(const char *url, size_t len, char *out)
{
    char full[SL_PY_SPAN_TEXT_MAX];

    /* A path alone (of a client that knows the rest) has no host. */
    if (memchr(url, '/', len) != NULL && strstr(url, "//") == NULL)
        return 0;
    /* "user:secret@host:80", as libraries keep it. */
    if (len > 0 && len < sizeof(full) - 2 && memchr(url, '/', len) == NULL) {
        memcpy(full, "//", 2);
        memcpy(full + 2, url, len);
        return sl_url_host(full, len + 2, out, SL_PY_SPAN_TEXT_MAX);
    }
    return sl_url_host(url, len, out, SL_PY_SPAN_TEXT_MAX);
}

static size_t
host_text(PyObject *host, PyObject *port, char *out)
{
    char full[NAME_MAX_BYTES + 40];
    buffer b = { .out = full, .capacity = sizeof(full) };
    size_t len;
    const char *bytes = bytes_of(host, &len);
    long number =
        port != NULL && PyLong_CheckExact(port) ? PyLong_AsLong(port) : 0;

    if (PyErr_Occurred())
        PyErr_Clear();
    if (bytes != NULL && strstr(bytes, "://") != NULL)
        return url_text(bytes, len, out); /* what a proxy is asked for */
    if (bytes == NULL || len > NAME_MAX_BYTES)
        return 0;
    bool v6 = memchr(bytes, ':', len) != NULL && bytes[0] != '[';
    put_text(&b, v6 ? "//[" : "//");
    put(&b, bytes, len);
    put_text(&b, v6 ? "]" : "");
    /* As a URL has it, where it is not the scheme's own. */
    if (number > 0 && number != 80 && number != 443) {
        char digits[24];
        int count = PyOS_snprintf(digits, sizeof(digits), ":%ld", number);
        put(&b, digits, count > 0 ? (size_t)count : 0);
    }
    return sl_url_host(full, b.len, out, SL_PY_SPAN_TEXT_MAX);
}

/* What ends a word for a shell, and what may make anything of one. */
#define ENDS_WORD " \t\n|&;<>()"
#define QUOTES    "='\"$`"

/* "/usr/bin/convert", or the first of ["convert", "a.png"]. Of a line for a
 * shell the first word, if it is a program's name. */
static size_t
command_text(PyObject *command, char *out)
{
    size_t len, from = 0;

    if (command != NULL && (PyList_Check(command) || PyTuple_Check(command)))
        command = PySequence_Fast_GET_SIZE(command) > 0
                      ? PySequence_Fast_GET_ITEM(command, 0)
                      : NULL;
    const char *bytes = bytes_of(command, &len);
    if (bytes == NULL)
        return 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c != 0 && strchr(ENDS_WORD, c) != NULL)
            len = i;
        else if (c == '/')
            from = i + 1;
        else if (c < ' ' || c >= 0x7F || strchr(QUOTES, c) != NULL ||
                 (c == '#' && i == 0))
            return 0; /* an assignment, a quote: it may be anything */
    }
    if (len <= from || len - from > NAME_MAX_BYTES)
        return 0;
    memcpy(out, bytes + from, len - from);
    return len - from;
}

/* ---- names ---- */

static size_t
name_text(PyObject *name, PyObject *more, const char *between, char *out)
{
    buffer b = { .out = out, .capacity = SL_PY_SPAN_TEXT_MAX };

    if (name != NULL && PyDict_Check(name)) {
        PyObject *key = NULL, *value;
        Py_ssize_t at = 0;
        if (!PyDict_Next(name, &at, &key, &value))
            return 0;
        name = key;
    }
    if (!put_name(&b, name))
        return 0;
    if (more != NULL) {
        size_t before = b.len;
        put_text(&b, between);
        if (!put_name(&b, more))
            b.len = before;
    }
    return b.len;
}

size_t
sl_py_span_text(sl_py_span_what what, PyObject *text, PyObject *more,
                bool names, char *out)
{
    size_t len;
    const char *bytes;

    switch (what) {
    case SL_PY_TEXT_SQL: return query_text(text, more, names, out);
    case SL_PY_TEXT_URL:
        bytes = bytes_of(text, &len);
        return bytes == NULL ? 0 : url_text(bytes, len, out);
    case SL_PY_TEXT_HOST: return host_text(text, more, out);
    case SL_PY_TEXT_COMMAND: return command_text(text, out);
    case SL_PY_TEXT_BLOCK: return name_text(text, more, " block ", out);
    default: return name_text(text, more, " ", out);
    }
}
