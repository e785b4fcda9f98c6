/* Whether what the headers say holds in this process: tried on the calling
 * thread's own stack, which Python shows too. */
#include "look/contexts.h"
#include "look/memory.h"
#include "sampler/state.h"

#include <stdio.h>
#include <string.h>

/* Compares one place with the frame that Python shows. */
static bool
test_frame(PyFrameObject *frame, const sl_py_place *place)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    const char *name = PyUnicode_AsUTF8(code->co_qualname);
    const char *file = PyUnicode_AsUTF8(code->co_filename);
    bool same = name != NULL && file != NULL &&
                strcmp(name, place->code->name) == 0 &&
                strcmp(file, place->code->file) == 0 &&
                place->line == (uint32_t)PyFrame_GetLineNumber(frame);
    PyErr_Clear();
    Py_DECREF(code);
    return same;
}

/* Why the stack that is read is not the one Python shows; NULL: it is. */
static const char *
test_stack(void)
{
    int count = sl_py_frames_walk(&sl_py_sampler.layout, sl_py_borrow_tstate(),
                                  0, sl_py_sampler.raw),
        at = 0;
    const char *wrong = NULL;

    if (count < 0)
        return "frames are not where this interpreter's headers say";
    if (!sl_py_codes_resolve(&sl_py_sampler.layout, sl_py_sampler.raw, count,
                             false, sl_py_sampler.places))
        return "code objects are not what this interpreter's headers say";
    if (!sl_py_holds_gil(&(sl_py_slot){ .ts = sl_py_borrow_tstate() }))
        return "the GIL is not where this interpreter's headers say";
    PyFrameObject *frame =
        (PyFrameObject *)Py_XNewRef((PyObject *)PyEval_GetFrame());
    while (frame != NULL) {
        while (at < count && strcmp(sl_py_sampler.places[at].code->file,
                                    "<interpreter trampoline>") == 0)
            at++;
        if (at == count || !test_frame(frame, &sl_py_sampler.places[at++]))
            wrong = "frames read from outside differ from those Python shows";
        PyFrameObject *back = wrong == NULL ? PyFrame_GetBack(frame) : NULL;
        Py_DECREF(frame);
        frame = back;
    }
    return wrong == NULL && at != count ? "more frames than Python shows"
                                        : wrong;
}

/* Thread states as torn reads may give them: the frame on the stack has a
 * caller at the end of the address space, or is a suspended generator's. They
 * must be refused, not followed. */
static const char *
test_torn(void)
{
    static uintptr_t state[512], frame[64], cframe[64];
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
    if (sl_py_frames_walk(&sl_py_sampler.layout, ts, SL_PY_NO_ANCHOR,
                          sl_py_sampler.raw) >= 0)
        return "a torn stack is taken for a whole one";
    memset((char *)frame + sl_py_sampler.layout.frame_previous, 0,
           sizeof(wild));
    ((char *)frame)[sl_py_sampler.layout.frame_owner] = SL_PY_OWNER_GENERATOR;
    if (sl_py_frames_walk(&sl_py_sampler.layout, ts, SL_PY_NO_ANCHOR,
                          sl_py_sampler.raw) >= 0)
        return "a suspended generator is taken for a stack";
    return NULL;
}

/* Whether a variable is found in the calling thread's context. */
static bool
test_context(void)
{
    PyObject *variable = sl_py_active_variable();
    PyObject *token = PyContextVar_Set(variable, variable);
    uintptr_t vars;

    sl_py_sampler.variable_hash =
        sl_py_context_hash((int64_t)PyObject_Hash(variable));
    PyObject *context = sl_py_borrow_tstate()->context;
    bool found =
        token != NULL && context != NULL &&
        sl_py_memory_copy((uintptr_t)context +
                              sl_py_sampler.layout.context_vars,
                          sizeof(vars), &vars) &&
        sl_py_context_find(vars, (uintptr_t)variable,
                           sl_py_sampler.variable_hash) == (uintptr_t)variable;
    if (token != NULL && PyContextVar_Reset(variable, token) < 0)
        found = false;
    PyErr_Clear();
    Py_XDECREF(token);
    return found;
}

const char *
sl_py_sampler_test(const char *own_files)
{
    const char *wrong = NULL;

    pthread_mutex_lock(&sl_py_sampler.lock);
    sl_py_layout_get(&sl_py_sampler.layout);
    if (!sl_py_codes_init(own_files))
        wrong = "out of memory";
    else if (sl_py_sampler.method == NULL &&
             (sl_py_sampler.method = sl_py_memory_init()) == NULL)
        wrong = "this system lets no thread read the memory of its own process";
    else if ((wrong = test_torn()) == NULL && (wrong = test_stack()) == NULL)
        sl_py_layout_trust(&sl_py_sampler.layout);
    sl_py_sampler.children = wrong == NULL && test_context();
    snprintf(sl_py_sampler.why_not, sizeof(sl_py_sampler.why_not), "%s",
             wrong != NULL ? wrong : "");
    pthread_mutex_unlock(&sl_py_sampler.lock);
    return sl_py_sampler_why_not();
}
