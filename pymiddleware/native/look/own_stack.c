/* The calling thread's own stack: it holds the GIL and stands still, so plain
 * loads do what look/frames.c needs the kernel for. */
#include "look/own_stack.h"
#include "look/code_map.h"

#include <string.h>

static inline uintptr_t
word_at(uintptr_t address, size_t offset)
{
    uintptr_t word;

    memcpy(&word, (const char *)address + offset, sizeof(word));
    return word;
}

/* Address of the frame the calling thread is in. */
static inline uintptr_t
current_frame(const sl_py_layout *layout)
{
    uintptr_t ts = (uintptr_t)sl_py_borrow_tstate();

    return layout->via_cframe
               ? word_at(word_at(ts, layout->ts_cframe), layout->cframe_frame)
               : word_at(ts, layout->ts_frame);
}

/* Whether it is a function's, and none of the interpreter's own. */
static inline bool
is_function(const sl_py_layout *layout, uintptr_t frame)
{
    return ((const char *)frame)[layout->frame_owner] < SL_PY_OWNER_ENTRY;
}

static inline uintptr_t
code_of(const sl_py_layout *layout, uintptr_t frame)
{
    return word_at(frame, layout->frame_code) & layout->code_mask;
}

/* Code and place of a frame. */
static inline sl_py_raw_frame
frame_take(const sl_py_layout *layout, uintptr_t frame)
{
    return (sl_py_raw_frame){ code_of(layout, frame),
                              word_at(frame, layout->frame_instruction) };
}

/* The calling thread holds the GIL and stands still: plain loads do. */
uintptr_t
sl_py_own_anchor(const sl_py_layout *layout)
{
    uintptr_t at = current_frame(layout);

    while (at != 0 && (!is_function(layout, at) ||
                       sl_py_code_is_own((PyCodeObject *)code_of(layout, at))))
        at = word_at(at, layout->frame_previous);
    return at;
}

static sl_py_layout trusted;

void
sl_py_own_trust(const sl_py_layout *layout)
{
    trusted = *layout;
}

bool
sl_py_own_is_trusted(void)
{
    return trusted.frame_size != 0;
}

uintptr_t
sl_py_own_frame(void)
{
    return current_frame(&trusted);
}

uintptr_t
sl_py_own_frame_running(const PyObject *code)
{
    uintptr_t frame = current_frame(&trusted);

    return (const PyObject *)sl_py_own_code(frame) == code ? frame : 0;
}

/* The frame's variables begin where the rest of it ends. Tagged references
 * (3.14+) are masked like those to code. */
PyObject *
sl_py_own_local(uintptr_t frame, int index)
{
    uintptr_t value =
        word_at(frame, trusted.frame_size + (size_t)index * sizeof(value));

    return (PyObject *)(value & trusted.code_mask);
}

PyCodeObject *
sl_py_own_code(uintptr_t frame)
{
    return (PyCodeObject *)code_of(&trusted, frame);
}

PyObject *
sl_py_own_variable(uintptr_t frame, const char *name)
{
    const PyCodeObject *code = sl_py_own_code(frame);
    PyObject *names = code->co_localsplusnames;

    for (int i = 0; i < (int)PyTuple_GET_SIZE(names); i++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i),
                                             name) == 0)
            return sl_py_code_is_cell(code, i) ? NULL
                                               : sl_py_own_local(frame, i);
    }
    return NULL;
}

uintptr_t
sl_py_own_back(uintptr_t frame)
{
    uintptr_t at = frame;

    do
        at = word_at(at, trusted.frame_previous);
    while (at != 0 && !is_function(&trusted, at));
    return at;
}

uint32_t
sl_py_own_offset(uintptr_t frame)
{
    sl_py_raw_frame at = frame_take(&trusted, frame);
    uintptr_t offset = at.instruction - (at.code + trusted.code_bytes);

    return offset < INT32_MAX ? (uint32_t)offset : 0;
}

uint32_t
sl_py_own_site(const void *code)
{
    uintptr_t at = trusted.frame_size != 0 ? current_frame(&trusted) : 0;

    return at != 0 && sl_py_own_code(at) == code ? sl_py_own_offset(at) : 0;
}

uint32_t
sl_py_own_caller_site(const void *code)
{
    uintptr_t at = trusted.frame_size != 0 ? current_frame(&trusted) : 0;

    at = at != 0 ? sl_py_own_back(at) : 0;
    return at != 0 && sl_py_own_code(at) == code ? sl_py_own_offset(at) : 0;
}

/* Slot `at` of a frame's stack, which lies behind its variables. */
static PyObject *
stack_slot(uintptr_t stack, int at)
{
    uintptr_t value = word_at(stack, (size_t)at * sizeof(value));

    return (PyObject *)(value & trusted.code_mask);
}

/* Where in the stack the first argument lies of a call whose callable lies in
 * slot `at`; *own: it is the object of a method. */
static int
first_slot(uintptr_t stack, int at, bool *own)
{
    if (sl_py_call_gap_is_in_front()) {
        *own = at == 0 || stack_slot(stack, at - 1) != NULL;
        return at + 1;
    }
    *own = stack_slot(stack, at + 1) != NULL;
    return *own ? at + 1 : at + 2;
}

/* Where the stack's top is, is not kept while a frame runs; but a call's
 * callable and its first argument lie in it next to each other, and what is
 * above the top is found later than what is below: it is stale, and may be
 * freed. So the first that fits is taken, however much it tells, and its
 * arguments lie below the top with it. Of f(*x), 3.12 and 3.13 leave an x that
 * is no tuple in its slot when they have made one of it and let go of x. */
int
sl_py_own_arguments(uintptr_t frame, uint32_t offset, const PyObject *callable,
                    PyObject *first, PyObject **out, int max)
{
    const PyCodeObject *code = sl_py_own_code(frame);
    uintptr_t stack = frame + trusted.frame_size +
                      (size_t)code->co_nlocalsplus * sizeof(uintptr_t);
    int arguments =
        ((const unsigned char *)code)[trusted.code_bytes + offset + 1];
    int count = 0, top = code->co_stacksize;

    for (int i = 0; i + 1 < top; i++) {
        bool own = false;
        if (stack_slot(stack, i) != callable)
            continue;
        int from = first_slot(stack, i, &own);
        PyObject *found = from < top ? stack_slot(stack, from) : NULL;
        /* execute(execute(...)): the outer one's argument is being made */
        if (found == first && from + 1 < top && own &&
            stack_slot(stack, from + 1) == callable)
            continue;
        if (found == first) {
            arguments += own; /* from 256 on, fewer */
            for (; count < arguments && count < max && from + count < top;
                 count++)
                out[count] = stack_slot(stack, from + count);
            return count;
        }
        if (sl_py_call_keeps_its_tuple() && found != NULL && !own &&
            PyTuple_CheckExact(found) && PyTuple_GET_SIZE(found) > 0 &&
            PyTuple_GET_ITEM(found, 0) == first) { /* f(*found) */
            for (; count < PyTuple_GET_SIZE(found) && count < max; count++)
                out[count] = PyTuple_GET_ITEM(found, count);
            return count;
        }
    }
    return count;
}

uintptr_t
sl_py_own_frame_of(PyObject *frame_object)
{
    /* struct _frame: PyObject_HEAD, f_back, f_frame; the same on all versions.
     */
    return word_at((uintptr_t)frame_object, sizeof(PyObject) + sizeof(void *));
}

int
sl_py_own_frames(uintptr_t at, uintptr_t anchor, sl_py_raw_frame *frames,
                 int max)
{
    int count = 0;

    while (at != 0 && at != anchor && count < max) {
        if (is_function(&trusted, at)) {
            frames[count] = frame_take(&trusted, at);
            count += frames[count].code != 0;
        }
        at = word_at(at, trusted.frame_previous);
    }
    return count;
}

int
sl_py_own_walk(uintptr_t at, uintptr_t anchor, sl_py_raw_frame *frames, int max,
               uint64_t *hash)
{
    /* A copy that the frames which are written cannot lie over. */
    const sl_py_layout layout = trusted;
    uint64_t mixed = *hash;
    int count = 0;

    while (at != anchor) {
        if (at == 0 || count >= max)
            return -1;
        if (is_function(&layout, at)) {
            sl_py_raw_frame *raw = &frames[count];
            *raw = frame_take(&layout, at);
            /* An instruction's address tells the code, and its version that
             * it is not another, later one at the same address. */
            mixed ^= (uint64_t)sl_py_code_version((PyCodeObject *)raw->code)
                     << 32;
            mixed = (mixed ^ raw->instruction) * UINT64_C(0x9E3779B97F4A7C15);
            mixed ^= mixed >> 29;
            count += raw->code != 0;
        }
        at = word_at(at, layout.frame_previous);
    }
    *hash = mixed;
    return count;
}

void
sl_py_own_forget_line(sl_py_raw_frame *frame)
{
    frame->instruction = frame->code + trusted.code_bytes;
}

/* Whether a frame read from here, at `at` or through the interpreter's own
 * frames above it, is the one that this frame object stands for; moves `at`
 * past it. No address is followed further than from one frame that Python knows
 * to the next. */
static bool
same_frame(const sl_py_layout *layout, uintptr_t *at, PyFrameObject *frame)
{
    enum { BETWEEN_MAX = 4 };
    uintptr_t wanted = sl_py_own_frame_of((PyObject *)frame);

    for (int between = 0; *at != wanted; between++) {
        if (*at == 0 || (*at & 7) != 0 || between == BETWEEN_MAX)
            return false;
        *at = word_at(*at, layout->frame_previous);
    }
    PyCodeObject *code = PyFrame_GetCode(frame);
    bool same = code_of(layout, wanted) == (uintptr_t)code;
    Py_DECREF(code);
    *at = word_at(wanted, layout->frame_previous);
    return same;
}

bool
sl_py_own_try(const sl_py_layout *layout)
{
    PyFrameObject *frame =
        (PyFrameObject *)Py_XNewRef((PyObject *)PyEval_GetFrame());
    uintptr_t at = current_frame(layout);
    bool same = frame != NULL;

    while (frame != NULL) {
        same = same && same_frame(layout, &at, frame);
        PyFrameObject *back = same ? PyFrame_GetBack(frame) : NULL;
        Py_DECREF(frame);
        frame = back;
    }
    if (same)
        sl_py_own_trust(layout);
    return same;
}

static bool
is_in_chain(PyObject *at)
{
    return PyCoro_CheckExact(at) || PyGen_CheckExact(at) ||
           PyAsyncGen_CheckExact(at);
}

static int
keep_referent(PyObject *object, void *out)
{
    if (is_in_chain(object))
        *(PyObject **)out = object;
    return 0;
}

/* Whether it stands before a coroutine that CPython made. */
static bool
is_wrapper(const PyObject *object)
{
    static const char *const wrappers[] = {
        "coroutine_wrapper", "async_generator_asend", "async_generator_athrow",
        "anext_awaitable", "slowlens._core.Step"
    };

    for (size_t i = 0; i < sizeof(wrappers) / sizeof(wrappers[0]); i++) {
        if (strcmp(Py_TYPE(object)->tp_name, wrappers[i]) == 0)
            return true;
    }
    return false;
}

/* Whether Cython made the coroutine or asynchronous generator, or what stands
 * before it: "_cython_3_1_2.coroutine", "..._wrapper",
 * ".async_generator_asend". It has no frame that could be told. */
static bool
is_cythons(const PyObject *object)
{
    const char *name = Py_TYPE(object)->tp_name;
    const char *end =
        strncmp(name, "_cython_", 8) == 0 ? strchr(name, '.') : NULL;

    return end != NULL && (strncmp(end, ".coroutine", 10) == 0 ||
                           strncmp(end, ".async_generator", 16) == 0);
}

static int
keep_awaited(PyObject *object, void *out)
{
    if (is_in_chain(object) || is_wrapper(object) || is_cythons(object))
        *(PyObject **)out = object;
    return 0;
}

/* What `object`, not a coroutine itself, stands before; BORROWED from it. */
static PyObject *
unwrap(PyObject *object)
{
    PyObject *inner = NULL;

    if (is_wrapper(object))
        Py_TYPE(object)->tp_traverse(object, keep_referent, &inner);
    else if (is_cythons(object) && Py_TYPE(object)->tp_traverse != NULL)
        Py_TYPE(object)->tp_traverse(object, keep_awaited, &inner);
    return inner;
}

/* What the attribute of a type reads from an object: NEW, or NULL, maybe with
 * an exception. Descriptors are looked up once: an attribute of an object is
 * three times as dear. */
static PyObject *
chain_next(PyGetSetDescrObject **known, PyTypeObject *type, const char *name,
           PyObject *object)
{
    if (*known == NULL) {
        PyObject *found = PyObject_GetAttrString((PyObject *)type, name);
        if (found != NULL && Py_IS_TYPE(found, &PyGetSetDescr_Type))
            *known = (PyGetSetDescrObject *)found; /* for ever */
        else
            Py_XDECREF(found);
    }
    return *known != NULL
               ? (*known)->d_getset->get(object, (*known)->d_getset->closure)
               : PyObject_GetAttrString(object, name);
}

/* What a suspended coroutine or generator waits for, NEW; NULL: nothing. */
static PyObject *
chain_inner(PyObject *at)
{
    static PyGetSetDescrObject *coroutine, *generator, *asynchronous;
    PyObject *inner =
        PyCoro_CheckExact(at)
            ? chain_next(&coroutine, &PyCoro_Type, "cr_await", at)
        : PyGen_CheckExact(at)
            ? chain_next(&generator, &PyGen_Type, "gi_yieldfrom", at)
            : chain_next(&asynchronous, &PyAsyncGen_Type, "ag_await", at);

    if (inner == NULL)
        PyErr_Clear();
    else if (inner == Py_None)
        Py_CLEAR(inner);
    return inner;
}

PyObject *
sl_py_own_awaited(PyObject *awaitable)
{
    return is_in_chain(awaitable) ? chain_inner(awaitable)
                                  : Py_XNewRef(unwrap(awaitable));
}

int
sl_py_own_await_chain(const sl_py_layout *layout, PyObject *awaitable,
                      sl_py_raw_frame frames[SL_PY_WALK_MAX])
{
    PyObject *at = Py_NewRef(awaitable);
    int count = 0;

    /* A bound for what has no frame, too. */
    for (int k = 0; at != NULL && k < 2 * SL_PY_WALK_MAX; k++) {
        if (count == SL_PY_WALK_MAX)
            break;
        if (!is_in_chain(at)) {
            Py_SETREF(at, Py_XNewRef(unwrap(at)));
            continue;
        }
        frames[count] =
            frame_take(layout, (uintptr_t)at + layout->generator_frame);
        count += frames[count].code != 0;
        Py_SETREF(at, chain_inner(at));
    }
    Py_XDECREF(at);
    for (int i = 0; i < count / 2; i++) {
        sl_py_raw_frame swap = frames[i];
        frames[i] = frames[count - 1 - i];
        frames[count - 1 - i] = swap;
    }
    return count;
}

int
sl_py_own_awaits(PyObject *awaitable, sl_py_raw_frame frames[SL_PY_WALK_MAX])
{
    return sl_py_own_is_trusted()
               ? sl_py_own_await_chain(&trusted, awaitable, frames)
               : 0;
}
