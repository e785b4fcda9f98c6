/* What the functions of a recording are called. */
#include "run/names.h"
#include "engine/functions.h"
#include "look/code_map.h"
#include "look/codes.h"
#include "look/lines.h"
#include "sampler/lock.h"
#include "sampler/sampler.h"

#include <string.h>

/* A sampled function's key is its name already. */
static void
describe_sampled(const sl_py_code *code, sl_function *out)
{
    *out = (sl_function){ .name = code->name,
                          .name_len = code->name_len,
                          .file = code->file,
                          .file_len = code->file_len,
                          .line = code->line,
                          .kind = code->c ? SL_KIND_C : SL_KIND_PYTHON,
                          .origin = code->c ? SL_ORIGIN_BUILTIN
                                            : sl_py_file_origin(
                                                  code->file, code->file_len) };
}

/* Function `id`, no pseudo one; strings live in `keep`. false: no name. */
bool
sl_py_function_describe(const sl_py_recording *recording, uint32_t id,
                        PyObject *keep, sl_function *out)
{
    sl_py_lock(); /* a sample may be adding one */
    const void *key = sl_recording_key(recording->core, id);
    sl_py_unlock();
    PyObject *holder = sl_py_function(&recording->traced, id);

    if (id >= sl_recording_first_sampled(recording->core)) {
        describe_sampled(key, out);
        return true;
    }
    return holder != NULL && sl_py_describe(holder, key, keep, out);
}

PyObject *
sl_py_recording_where(sl_py_recording *recording)
{
    enum { DEEPEST = 128, SHOWN = 4 };
    uint32_t functions[DEEPEST];
    uint32_t count =
        sl_py_sampler_seen(&recording->sampled, functions, DEEPEST);
    PyObject *keep = count == 0 ? NULL : PyList_New(0);
    PyObject *where = keep == NULL ? NULL : PyList_New(0);
    sl_function f;

    for (uint32_t i = 0; where != NULL && i < count; i++) {
        if (PyList_GET_SIZE(where) == SHOWN)
            break;
        if (!sl_py_function_describe(recording, functions[i], keep, &f) ||
            (i > 0 && (f.origin != SL_ORIGIN_PROJECT ||
                       functions[i] == functions[i - 1])))
            continue;
        PyObject *pair = Py_BuildValue("(s#s#)", f.name, (Py_ssize_t)f.name_len,
                                       f.file, (Py_ssize_t)f.file_len);
        if (pair == NULL || PyList_Append(where, pair) < 0)
            Py_CLEAR(where);
        Py_XDECREF(pair);
    }
    if (where != NULL)
        PyList_Reverse(where);
    PyErr_Clear();
    Py_XDECREF(keep);
    return where;
}

/* The code object, or what else can be called, below methods and partials:
 * NEW, or NULL. */
static PyObject *
object_code(PyObject *object)
{
    PyObject *at = Py_NewRef(object);

    for (int i = 0; at != NULL && i < 8; i++) {
        PyObject *inside = NULL;
        if (PyCoro_CheckExact(at))
            inside = PyObject_GetAttrString(at, "cr_code");
        else if (PyMethod_Check(at))
            inside = Py_NewRef(PyMethod_GET_FUNCTION(at));
        else if (PyFunction_Check(at))
            inside = Py_NewRef(PyFunction_GET_CODE(at));
        else if (strcmp(Py_TYPE(at)->tp_name, "functools.partial") == 0)
            inside = PyObject_GetAttrString(at, "func");
        else
            break;
        Py_SETREF(at, inside);
    }
    return at;
}

/* The project's coroutines that `coroutine` awaits, one the other, behind it in
 * `where`: a server, or wait_for, is not who held the loop up. */
static void
add_awaited(PyObject *where, PyObject *coroutine)
{
    enum { DEEPEST = 64, SHOWN = 4 };
    PyObject *keep = PyList_New(0);
    PyObject *at = keep == NULL ? NULL : Py_NewRef(coroutine);
    sl_function f;

    for (int i = 0; at != NULL && i < DEEPEST; i++) {
        Py_SETREF(at, PyObject_GetAttrString(at, "cr_await"));
        if (at == NULL || !PyCoro_CheckExact(at))
            break;
        PyObject *code = object_code(at);
        bool known = code != NULL && PyCode_Check(code) &&
                     sl_py_describe(code, code, keep, &f) &&
                     f.origin == SL_ORIGIN_PROJECT;
        PyObject *pair =
            known ? Py_BuildValue("(OO)", ((PyCodeObject *)code)->co_qualname,
                                  ((PyCodeObject *)code)->co_filename)
                  : NULL;
        if (pair != NULL && PyList_Append(where, pair) == 0 &&
            PyList_GET_SIZE(where) > SHOWN) /* the innermost ones */
            PyList_SetSlice(where, 1, 2, NULL);
        Py_XDECREF(pair);
        Py_XDECREF(code);
    }
    PyErr_Clear();
    Py_XDECREF(at);
    Py_XDECREF(keep);
}

PyObject *
sl_py_object_where(PyObject *object)
{
    PyObject *where = NULL;
    PyObject *at = object == NULL ? NULL : object_code(object);

    if (at != NULL && PyCode_Check(at)) {
        PyCodeObject *code = (PyCodeObject *)at;
        where = Py_BuildValue("[(OO)]", code->co_qualname, code->co_filename);
        if (where != NULL && PyCoro_CheckExact(object))
            add_awaited(where, object);
    } else if (at != NULL) {
        where = Py_BuildValue("[(ss)]", Py_TYPE(at)->tp_name, "");
    }
    PyErr_Clear();
    Py_XDECREF(at);
    return where;
}

/* Where the look for a line in each function's table got to: what a function
 * calls first stands further up most times, and a table is walked once, not
 * for each of its call sites. */
typedef struct {
    const sl_py_recording *recording;
    sl_py_lines *walks; /* by function; NULL: no memory, none is kept */
} sites;

/* Line of the call site `site` in function `id`; 0: not known. */
static uint32_t
site_line(void *ctx, uint32_t id, uint32_t site)
{
    const sites *s = ctx;
    PyObject *holder;

    if (id >= sl_recording_first_sampled(s->recording->core))
        return site; /* a line already */
    holder =
        id < SL_PSEUDO_COUNT ? NULL : sl_py_function(&s->recording->traced, id);
    if (holder == NULL || !PyCode_Check(holder))
        return 0;

    const PyCodeObject *code = (PyCodeObject *)holder;
    const uint8_t *table =
        (const uint8_t *)PyBytes_AS_STRING(code->co_linetable);
    const uint8_t *end = table + PyBytes_GET_SIZE(code->co_linetable);
    const uint32_t unit = site / 2; /* an instruction is two bytes, or more */
    sl_py_lines once = { 0 };
    sl_py_lines *walk =
        s->walks != NULL ? &s->walks[id - SL_PSEUDO_COUNT] : &once;
    if (walk->at == NULL || unit < walk->from)
        *walk = (sl_py_lines){ .at = table, .line = code->co_firstlineno };
    while (walk->to <= unit) {
        if (!sl_py_lines_next(walk, end))
            return 0;
    }
    return sl_py_lines_here(walk);
}

void
sl_py_names_sites(const sl_py_recording *recording, sl_recording *core)
{
    const uint32_t count = recording->traced.function_count;
    sites s = { .recording = recording };

    if (count == 0)
        return;
    s.walks = PyMem_Calloc(count, sizeof(*s.walks));
    sl_recording_resolve_sites(core, site_line, &s);
    PyMem_Free(s.walks);
}

bool
sl_py_names_resolve(sl_py_recording *recording)
{
    sl_py_named *named = &recording->named;
    sl_recording_totals totals;

    if (named->functions != NULL)
        return true;
    sl_recording_totals_get(recording->core, &totals);
    named->count = totals.functions - SL_PSEUDO_COUNT;
    named->keep = PyList_New(0);
    named->functions =
        PyMem_Calloc((size_t)named->count + 1, sizeof(*named->functions));
    if (named->keep == NULL || named->functions == NULL) {
        sl_py_names_free(recording);
        PyErr_NoMemory();
        return false;
    }
    sl_py_names_sites(recording, recording->core);
    for (uint32_t i = 0; i < named->count; i++) {
        if (!sl_py_function_describe(recording, i + SL_PSEUDO_COUNT,
                                     named->keep, &named->functions[i]))
            named->functions[i].name = NULL;
    }
    return true;
}

bool
sl_py_names_let_go(sl_py_recording *recording)
{
    const sl_py_traced *traced = &recording->traced;

    if (!sl_py_names_resolve(recording))
        return false;
    /* The names are bytes of a code object's texts, which go with it. */
    for (uint32_t i = 0; i < traced->function_count; i++) {
        PyObject *holder = traced->functions[i];
        if (holder == NULL || !PyCode_Check(holder))
            continue; /* of C: its name was made, and is kept */
        PyCodeObject *code = (PyCodeObject *)holder;
        if (PyList_Append(recording->named.keep, code->co_qualname) < 0 ||
            PyList_Append(recording->named.keep, code->co_filename) < 0)
            return false;
    }
    sl_py_functions_release(&recording->traced);
    return true;
}

bool
sl_py_names_last(const sl_py_recording *recording)
{
    const sl_py_traced *traced = &recording->traced;

    for (uint32_t i = 0; i < traced->function_count; i++) {
        if (traced->functions[i] != NULL &&
            Py_REFCNT(traced->functions[i]) == 1)
            return true;
    }
    return false;
}

bool
sl_py_names_describe(void *ctx, uint32_t id, const void *key, sl_function *out)
{
    const sl_py_named *named = &((const sl_py_recording *)ctx)->named;

    (void)key;
    if (id - SL_PSEUDO_COUNT >= named->count ||
        named->functions[id - SL_PSEUDO_COUNT].name == NULL)
        return false;
    *out = named->functions[id - SL_PSEUDO_COUNT];
    return true;
}

void
sl_py_names_free(sl_py_recording *recording)
{
    PyMem_Free(recording->named.functions);
    Py_XDECREF(recording->named.keep); /* texts: their end runs no code */
    memset(&recording->named, 0, sizeof(recording->named));
}
