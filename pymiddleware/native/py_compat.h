/* py_compat.h - the only file with PY_VERSION_HEX in it.
 *
 * Each shim has ONE contract on all versions, said in its name and comment.
 * Which engine a version gets is decided by CMake: another mechanism is
 * another file.
 */
#ifndef SL_PY_COMPAT_H
#define SL_PY_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030B0000
#    error "slowlens needs CPython 3.11 or newer"
#endif

/* The calling thread's state, BORROWED; the caller holds the GIL. */
static inline PyThreadState *
sl_py_borrow_tstate(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked();
#else
    return _PyThreadState_UncheckedGet();
#endif
}

/* Value of an exact int that is small, such as an offset into code; 0 for any
 * other. Never raises. */
static inline long
sl_py_small_int(PyObject *number)
{
#if PY_VERSION_HEX >= 0x030C0000
    const PyLongObject *value = (const PyLongObject *)number;
    return PyUnstable_Long_IsCompact(value)
               ? (long)PyUnstable_Long_CompactValue(value)
               : 0;
#else
    long value = PyLong_AsLong(number);
    if (value == -1 && PyErr_Occurred())
        PyErr_Clear();
    return value > 0 ? value : 0;
#endif
}

/* The same as a static list of module slots: runs with the GIL, only in the
 * main interpreter (the engines' state is the process's). */
#if PY_VERSION_HEX >= 0x030D0000
#    define SL_PY_SLOTS                                                        \
        { Py_mod_multiple_interpreters,                                        \
          Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED },                        \
            { Py_mod_gil, Py_MOD_GIL_USED },
#elif PY_VERSION_HEX >= 0x030C0000
#    define SL_PY_SLOTS                                                        \
        { Py_mod_multiple_interpreters,                                        \
          Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED },
#else
#    define SL_PY_SLOTS
#endif

#endif /* SL_PY_COMPAT_H */
