/* CPython 3.11 does not tell of calls of C functions with their arguments. */
#include "engine/calls.h"

void
sl_py_calls_add(PyObject *callable, const sl_py_target *target)
{
    (void)callable, (void)target;
}

void
sl_py_calls_handed(PyObject *code)
{
    (void)code;
}

void
sl_py_calls_started(PyObject *code)
{
    (void)code;
}

void
sl_py_calls_asked(bool somebody)
{
    (void)somebody;
}

void
sl_py_calls_watch(void)
{
}

const char *
sl_py_calls_why_not(void)
{
    return NULL;
}
