/* Whether what the headers say holds in this process: tried on the calling
 * thread's own stack, which Python shows too. */
#include "sampler/self_test.h"
#include "compat/watcher.h"
#include "look/callees.h"
#include "look/contexts.h"
#include "look/memory.h"
#include "look/own_stack.h"
#include "sampler/children.h"
#include "sampler/look.h"
#include "sampler/sampler.h"
#include "sampler/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether `read` is `text`: whose lone surrogates, of a folder's name that is
 * not UTF-8, are spelled out. */
static bool
test_text(PyObject *text, const char *read)
{
    PyObject *bytes =
        PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    bool same = bytes != NULL && strcmp(PyBytes_AS_STRING(bytes), read) == 0;

    Py_XDECREF(bytes);
    return same;
}

/* Compares one place with the frame that Python shows. */
static bool
test_frame(PyFrameObject *frame, const sl_py_place *place)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    bool same = test_text(code->co_qualname, place->code->name) &&
                test_text(code->co_filename, place->code->file) &&
                place->line == (uint32_t)PyFrame_GetLineNumber(frame);
    PyErr_Clear();
    Py_DECREF(code);
    return same;
}

/* The calling thread's stack as the sampler reads it, into `places`, and how
 * many frames it has. Why it cannot be read; NULL: it can. */
static const char *
read_stack(sl_py_place places[SL_PY_WALK_MAX], int *count)
{
    const char *wrong = NULL;
    const void *ts = sl_py_borrow_tstate();

    sl_py_lock();
    sl_py_codes_found found = SL_PY_CODES_MORE;
    for (int try = 0; try < SL_PY_LOOKS_AGAIN && found == SL_PY_CODES_MORE;
         try++) {
        if (try > 0) /* all of its functions are new */
            sl_py_lock_yield();
        sl_py_codes_before();
        *count = sl_py_frames_walk(&sl_py_sampler.layout, ts, SL_PY_NO_ANCHOR,
                                   NULL, sl_py_sampler.raw);
        if (*count < 0)
            break;
        found = sl_py_codes_resolve(&sl_py_sampler.layout, sl_py_sampler.raw,
                                    *count, false, places);
    }
    if (*count < 0)
        wrong = "frames are not where this interpreter's headers say";
    else if (found != SL_PY_CODES_FOUND)
        wrong = "code objects are not what this interpreter's headers say";
    else if (!sl_py_holds_gil(&(sl_py_slot){ .ts = ts }))
        wrong = "the GIL is not where this interpreter's headers say";
    sl_py_unlock();
    return wrong;
}

/* Why the stack that is read is not the one Python shows; NULL: it is. */
static const char *
test_stack(void)
{
    sl_py_place places[SL_PY_WALK_MAX];
    int count, at = 0;
    const char *wrong = read_stack(places, &count);

    if (wrong != NULL)
        return wrong;
    PyFrameObject *frame =
        (PyFrameObject *)Py_XNewRef((PyObject *)PyEval_GetFrame());
    while (frame != NULL) {
        while (at < count && places[at].code->shim)
            at++;
        if (at == count || !test_frame(frame, &places[at++]))
            wrong = "frames read from outside differ from those Python shows";
        PyFrameObject *back = wrong == NULL ? PyFrame_GetBack(frame) : NULL;
        Py_DECREF(frame);
        frame = back;
    }
    while (at < count && places[at].code->shim)
        at++;
    return wrong == NULL && at != count ? "more frames than Python shows"
                                        : wrong;
}

/* Thread states as torn reads may give them: the frame on the stack has a
 * caller at the end of the address space, or is a suspended generator's. They
 * must be refused, not followed. */
static const char *
test_torn_locked(void)
{
    static uintptr_t state[SL_PY_TS_SIZE_MAX / sizeof(uintptr_t)];
    static uintptr_t frame[64], cframe[64];
    uintptr_t wild = UINTPTR_MAX - 7, code = (uintptr_t)frame;
    uintptr_t at = (uintptr_t)frame, top = at + sizeof(frame);
    char *ts = (char *)state;

    if (sl_py_sampler.layout.ts_size > sizeof(state) ||
        sl_py_sampler.layout.frame_size > sizeof(frame) ||
        sl_py_sampler.layout.cframe_frame > sizeof(cframe) - sizeof(at))
        return "a thread state larger than any known one";
    memcpy((char *)frame + sl_py_sampler.layout.frame_previous, &wild,
           sizeof(wild));
    memcpy((char *)frame + sl_py_sampler.layout.frame_code, &code,
           sizeof(code));
    memcpy(ts + sl_py_sampler.layout.ts_chunk, &at, sizeof(at));
    memcpy(ts + sl_py_sampler.layout.ts_top, &top, sizeof(top));
    if (sl_py_sampler.layout.via_cframe) {
        memcpy((char *)cframe + sl_py_sampler.layout.cframe_frame, &at,
               sizeof(at));
        at = (uintptr_t)cframe;
        memcpy(ts + sl_py_sampler.layout.ts_cframe, &at, sizeof(at));
    } else {
        memcpy(ts + sl_py_sampler.layout.ts_frame, &at, sizeof(at));
    }
    if (sl_py_frames_walk(&sl_py_sampler.layout, ts, SL_PY_NO_ANCHOR, NULL,
                          sl_py_sampler.raw) >= 0)
        return "a torn stack is taken for a whole one";
    memset((char *)frame + sl_py_sampler.layout.frame_previous, 0,
           sizeof(wild));
    ((char *)frame)[sl_py_sampler.layout.frame_owner] = SL_PY_OWNER_GENERATOR;
    if (sl_py_frames_walk(&sl_py_sampler.layout, ts, SL_PY_NO_ANCHOR, NULL,
                          sl_py_sampler.raw) >= 0)
        return "a suspended generator is taken for a stack";
    return NULL;
}

static const char *
test_torn(void)
{
    sl_py_lock();
    const char *wrong = test_torn_locked();
    sl_py_unlock();
    return wrong;
}

/* Whether the value of `variable`, itself, is found in `context`. */
static bool
context_has(uintptr_t context, uintptr_t variable, int32_t hash)
{
    uintptr_t vars;

    sl_py_lock();
    sl_py_sampler.variable_hash = hash;
    bool found = context != 0 &&
                 sl_py_memory_copy(context + sl_py_sampler.layout.context_vars,
                                   sizeof(vars), &vars) &&
                 sl_py_context_find(vars, variable, hash) == variable;
    sl_py_unlock();
    return found;
}

/* Whether a variable is found in the calling thread's context. */
static bool
test_context(void)
{
    PyObject *variable = (PyObject *)sl_py_children_variable();
    PyObject *token =
        variable != NULL ? PyContextVar_Set(variable, variable) : NULL;
    bool found =
        token != NULL &&
        context_has((uintptr_t)sl_py_borrow_tstate()->context,
                    (uintptr_t)variable,
                    sl_py_context_hash((int64_t)PyObject_Hash(variable)));

    if (token != NULL && PyContextVar_Reset(variable, token) < 0)
        found = false;
    PyErr_Clear();
    Py_XDECREF(token);
    return found;
}

/* Chooses how memory is read. false: there is no way. */
static bool
prepare_memory(void)
{
    sl_py_lock();
    if (sl_py_sampler.method == NULL)
        sl_py_sampler.method = sl_py_memory_init();
    bool can = sl_py_sampler.method != NULL;
    sl_py_unlock();
    return can;
}

/* Asks to be told of code objects that go, once. */
static void
watch_codes(void)
{
    static bool asked;

    if (!asked && sl_py_watch_codes(sl_py_codes_gone))
        sl_py_codes_watched();
    asked = true;
}

static void
result_set(const char *wrong, bool children)
{
    sl_py_lock();
    sl_py_sampler.children = children;
    snprintf(sl_py_sampler.why_not, sizeof(sl_py_sampler.why_not), "%s",
             wrong != NULL ? wrong : "");
    sl_py_unlock();
}

const char *
sl_py_sampler_test(const char *own_files)
{
    const char *wrong = NULL;

    sl_py_lock();
    sl_py_layout_get(&sl_py_sampler.layout);
    bool memory = sl_py_codes_init(own_files) && sl_py_thread_set_up();
    sl_py_unlock();
    if (!memory)
        wrong = "out of memory";
    else if (!prepare_memory()) {
        wrong = "this system lets no thread read the memory of its own process";
        sl_py_own_try(&sl_py_sampler.layout); /* the probes need no more */
    } else if ((wrong = test_torn()) == NULL &&
               (wrong = test_stack()) == NULL) {
        sl_py_own_trust(&sl_py_sampler.layout);
        watch_codes();
    }
    result_set(wrong, wrong == NULL && test_context());
    return sl_py_sampler_why_not();
}

/* What a class that has a __call__ in Python is called by; NULL: not known. */
static ternaryfunc
call_in_python(void)
{
    PyObject *type =
        PyObject_CallFunction((PyObject *)&PyType_Type, "s(){sO}",
                              "slowlens_called", "__call__", Py_None);
    ternaryfunc call = type == NULL ? NULL : ((PyTypeObject *)type)->tp_call;

    PyErr_Clear();
    Py_XDECREF(type);
    return call;
}

void
sl_py_sampler_opcodes(const sl_py_opcodes *opcodes)
{
    ternaryfunc call = call_in_python();

    sl_py_lock();
    sl_py_depths_set(opcodes);
    sl_py_callees_set(call);
    sl_py_unlock();
}
