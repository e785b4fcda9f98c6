/* py_compat.h - the only file with PY_VERSION_HEX in it.
 *
 * Each shim has ONE contract on all versions, said in its name and comment.
 * Which engine a version gets is decided by CMake: another mechanism is
 * another file.
 */
#ifndef SL_PY_COMPAT_H
#define SL_PY_COMPAT_H

/* One file, layout.c, looks inside the interpreter. */
#ifdef SL_PY_INTERNALS
#    define Py_BUILD_CORE 1
#endif

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <structmember.h> /* T_INT and the like; PyMemberDef of 3.11 */

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

/* Whether the GIL is taken anew by each thread state that becomes the current
 * one: up to 3.12 they may be swapped while it is held. */
static inline bool
sl_py_gil_knows_holder(void)
{
    return PY_VERSION_HEX >= 0x030D0000;
}

/* The hash that a str keeps of itself; 0: it has made none yet, or it is not
 * exactly a str. */
static inline uint64_t
sl_py_known_hash(PyObject *object)
{
    Py_hash_t hash = object != NULL && PyUnicode_CheckExact(object)
                         ? ((PyASCIIObject *)object)->hash
                         : -1;
    return hash == -1 ? 0 : (uint64_t)hash;
}

/* Whether the interpreter takes itself down: hooks at exit have been called. */
static inline bool
sl_py_is_finalizing(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing() != 0;
#else
    return _Py_IsFinalizing() != 0;
#endif
}

/* The modules that are imported, BORROWED; NULL: the interpreter ends. A
 * coroutine that lives to the last collection is closed when there are none any
 * more, and whoever asks CPython for them then has the process aborted. */
static inline PyObject *
sl_py_borrow_modules(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing() ? NULL : PyImport_GetModuleDict();
#else
    return _Py_IsFinalizing() ? NULL : PyImport_GetModuleDict();
#endif
}

/* The module of that name, BORROWED; NULL: it is not imported. */
static inline PyObject *
sl_py_borrow_module(PyObject *name)
{
    PyObject *modules = sl_py_borrow_modules();
    return modules == NULL ? NULL : PyDict_GetItem(modules, name);
}

/* Value of an exact int that is small, such as an offset into code; 0 for any
 * other, and for what is none. Never raises. */
static inline long
sl_py_small_int(PyObject *number)
{
#if PY_VERSION_HEX >= 0x030C0000
    const PyLongObject *value = (const PyLongObject *)number;
    return PyLong_CheckExact(number) && PyUnstable_Long_IsCompact(value)
               ? (long)PyUnstable_Long_CompactValue(value)
               : 0;
#else
    long value = PyLong_AsLong(number);
    if (value == -1 && PyErr_Occurred())
        PyErr_Clear();
    return value > 0 ? value : 0;
#endif
}

/* NEW: the exception that is set, which is so no longer. */
static inline PyObject *
sl_py_take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL && value != NULL)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* A number no other code object of the process has; 0: it has none. */
static inline uint32_t
sl_py_code_version(const PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030C0000
    return code->co_version;
#else
    (void)code;
    return 0;
#endif
}

/* A weak reference to `object`, NEW; NULL: there is no memory. No exception,
 * and no code of anybody's: up to 3.11 a collection would begin where one is
 * made, and its finalizers may end whatever the caller has borrowed. */
static inline PyObject *
sl_py_weak_new(PyObject *object)
{
    int collects = PyGC_Disable();
    PyObject *weak = PyWeakref_NewRef(object, NULL);

    if (weak == NULL)
        PyErr_Clear();
    if (collects)
        PyGC_Enable();
    return weak;
}

/* Whether the weak reference is to `object`, and that lives. A plain load: it
 * takes and drops no reference. */
static inline bool
sl_py_weak_is(PyObject *weak, const PyObject *object)
{
    return ((const PyWeakReference *)weak)->wr_object == object &&
           Py_REFCNT(object) > 0;
}

/* Whether what the weak reference is to lives. Likewise. */
static inline bool
sl_py_weak_lives(PyObject *weak)
{
    const PyObject *object = ((const PyWeakReference *)weak)->wr_object;
    return object != Py_None && Py_REFCNT(object) > 0;
}

/* Whether variable `index` of the code's frames lies in a cell. */
static inline bool
sl_py_code_is_cell(const PyCodeObject *code, int index)
{
    enum { FAST_CELL = 0x40 }; /* CO_FAST_CELL of pycore_code.h */
    return (PyBytes_AS_STRING(code->co_localspluskinds)[index] & FAST_CELL) !=
           0;
}

/* How deep the stack of a code object's frame is where it begins, as the
 * compiler reckons: up to 3.12 that of a generator holds what is sent to it. */
static inline int
sl_py_code_first_depth(const PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030D0000
    (void)code;
    return 0;
#else
    return (code->co_flags &
            (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR)) != 0;
#endif
}

/* How far below the top of the stack f lies in a call f(*args, **kwargs):
 * CALL_FUNCTION_EX of Python/bytecodes.c. */
static inline int
sl_py_call_ex_depth(int argument)
{
#if PY_VERSION_HEX >= 0x030E0000
    (void)argument;
    return 4;
#elif PY_VERSION_HEX >= 0x030D0000
    return 3 + (argument & 1);
#else
    return 2 + (argument & 1);
#endif
}

/* Where a call has its empty slot if what is called is no method: in front of
 * the callable, or behind it. A method's object lies behind it always: CALL of
 * Python/bytecodes.c. */
static inline bool
sl_py_call_gap_is_in_front(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return false;
#else
    return true;
#endif
}

/* Whether f(*x) has in its stack the tuple that it is called with as the call
 * is told of, or still x, which may be freed: CALL_FUNCTION_EX. */
static inline bool
sl_py_call_keeps_its_tuple(void)
{
#if PY_VERSION_HEX >= 0x030E0000
    return true;
#else
    return false;
#endif
}

/* Whether sys.monitoring tells of PY_UNWIND for one code object alone. */
#if PY_VERSION_HEX >= 0x030F0000
static const bool sl_py_unwind_is_local = true;
#else
static const bool sl_py_unwind_is_local = false;
#endif

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

#ifdef SL_PY_INTERNALS

#    if PY_VERSION_HEX >= 0x030E0000
#        include "internal/pycore_interpframe_structs.h"
#        include "internal/pycore_tstate.h"
#    else
#        include "internal/pycore_frame.h"
#    endif
#    include "internal/pycore_context.h"
#    include "internal/pycore_interp.h"
#    include "internal/pycore_runtime.h"

/* Fills *out with where frames, the GIL and the collector's flag are in this
 * interpreter. Compiled against its headers; sl_py_sampler_test finds out
 * whether the running one is like them. */
static inline void
sl_py_layout_fill(sl_py_layout *out)
{
    typedef struct _PyInterpreterFrame frame;
    PyInterpreterState *interp = PyInterpreterState_Main();

    *out = (sl_py_layout){
        .ts_chunk = offsetof(PyThreadState, datastack_chunk),
        .ts_top = offsetof(PyThreadState, datastack_top),
        .chunk_previous = offsetof(_PyStackChunk, previous),
        .chunk_size = offsetof(_PyStackChunk, size),
        .chunk_data = offsetof(_PyStackChunk, data),
        .ts_context = offsetof(PyThreadState, context),
        .ts_context_ver = offsetof(PyThreadState, context_ver),
        .ts_next = offsetof(PyThreadState, next),
        .ts_native_id = offsetof(PyThreadState, native_thread_id),
        .ts_size = sizeof(PyThreadState),
        .threads = (const char *)&interp->threads.head,
        .context_vars = offsetof(struct _pycontextobject, ctx_vars),
        .frame_previous = offsetof(frame, previous),
        .frame_owner = offsetof(frame, owner),
        .frame_size = offsetof(frame, localsplus),
        .generator_frame = offsetof(PyGenObject, gi_iframe),
        .code_mask = ~(uintptr_t)0,
        .code_bytes = offsetof(PyCodeObject, co_code_adaptive),
        .collecting = &interp->gc.collecting,
    };
#    if PY_VERSION_HEX >= 0x030D0000
    out->ts_frame = offsetof(PyThreadState, current_frame);
    out->frame_instruction = offsetof(frame, instr_ptr);
    out->frame_code = offsetof(frame, f_executable);
#    else
    out->via_cframe = true;
    out->ts_cframe = offsetof(PyThreadState, cframe);
    out->cframe_frame = offsetof(_PyCFrame, current_frame);
    out->frame_instruction = offsetof(frame, prev_instr);
    out->frame_code = offsetof(frame, f_code);
#    endif
#    if PY_VERSION_HEX >= 0x030E0000
    out->code_mask = ~(uintptr_t)7; /* tagged references */
#    endif
#    if PY_VERSION_HEX >= 0x030C0000
    struct _gil_runtime_state *gil = interp->ceval.gil;
    out->callbacks = (const void *const *)interp->monitoring_callables;
    out->callback_events = _PY_MONITORING_EVENTS;
#    else
    struct _gil_runtime_state *gil = &_PyRuntime.ceval.gil;
#    endif
    out->gil = (const char *)gil;
    out->gil_size = sizeof(*gil);
    out->gil_locked = offsetof(struct _gil_runtime_state, locked);
    out->gil_holder = offsetof(struct _gil_runtime_state, last_holder);
}

#endif /* SL_PY_INTERNALS */

#endif /* SL_PY_COMPAT_H */
