/* Functions as events name them, and what keeps their keys valid. */
#include "engine/functions.h"
#include "engine/current.h"
#include "engine/engine.h"
#include "look/code_map.h"

#include <string.h>

static bool
code_is_project(const PyCodeObject *code)
{
    Py_ssize_t size;
    const char *file = PyUnicode_AsUTF8AndSize(code->co_filename, &size);

    if (file == NULL)
        PyErr_Clear();
    return file != NULL &&
           sl_py_file_origin(file, (size_t)size) == SL_ORIGIN_PROJECT;
}

/* First sight of a function: hold what keeps its key valid. */
bool
sl_py_on_function(void *ctx, const void *key, uint32_t id)
{
    sl_py_traced *traced = ctx;
    PyObject *object = (PyObject *)key;
    bool is_code = sl_py_pending_callable == NULL;

    if (!is_code)
        object = sl_py_c_function_owner(sl_py_pending_callable);
    else if (PyCode_Check(object))
        Py_INCREF(object);
    else
        return false; /* somebody called the hook himself: it has no name */

    uint32_t at = id - SL_PSEUDO_COUNT;
    if (at >= traced->function_capacity) {
        uint32_t capacity = traced->function_capacity * 2;
        if (capacity <= at)
            capacity = at < 256 ? 256 : at * 2;
        PyObject **grown =
            PyMem_Realloc(traced->functions, capacity * sizeof(*grown));
        if (grown == NULL) {
            /* The name is lost; the reference is leaked on purpose, so that
             * the address is not used again. */
            return false;
        }
        memset(grown + traced->function_capacity, 0,
               (capacity - traced->function_capacity) * sizeof(*grown));
        traced->functions = grown;
        traced->function_capacity = capacity;
    }
    traced->functions[at] = object;
    if (at >= traced->function_count)
        traced->function_count = at + 1;

    if (is_code && traced->lines && code_is_project((PyCodeObject *)object))
        traced->unwatched +=
            !sl_py_engine_lines(traced, (PyCodeObject *)object);
    if (!is_code || traced->c_calls == SL_C_NONE)
        return false;
    if (!sl_py_code_is_chosen((PyCodeObject *)object))
        return false;
    traced->unwatched += !sl_py_engine_watch((PyCodeObject *)object);
    return true;
}

void
sl_py_on_full(void *ctx)
{
    ((sl_py_traced *)ctx)->full = true;
    sl_py_active_forget();
}

PyObject *
sl_py_function(const sl_py_traced *traced, uint32_t id)
{
    uint32_t at = id - SL_PSEUDO_COUNT;
    return at < traced->function_count ? traced->functions[at] : NULL;
}

void
sl_py_functions_release(sl_py_traced *traced)
{
    for (uint32_t i = 0; i < traced->function_count; i++)
        Py_XDECREF(traced->functions[i]);
    PyMem_Free(traced->functions);
    traced->functions = NULL;
    traced->function_count = traced->function_capacity = 0;
}
