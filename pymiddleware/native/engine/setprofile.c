/* CPython 3.11: the C recording hook, one slot in each thread.
 *
 * A synchronous section hooks its own thread only, and costs no other thread
 * anything. A recording that follows its work (asynchronous) hooks every thread
 * that has no other hook, because nothing says where a child task or an
 * executor will go on; threads born later are hooked at the next section, or
 * by the one that starts them. So does a synchronous one, from when it hands
 * work to another thread. */
#include "engine/current.h"
#include "engine/engine.h"
#include "engine/probe.h"
#include "look/code_map.h"

#include <opcode.h>

static uint64_t switches;
static Py_ssize_t users, followers;
static bool spread; /* threads are hooked that have no section of their own */
static uint64_t refused;

/* Where the frame stands: its op-code and argument at f_lasti. */
static void
frame_instruction(PyFrameObject *frame, PyCodeObject *code, int *op, int *arg)
{
    int at = PyFrame_GetLasti(frame);
    const _Py_CODEUNIT *unit =
        (const _Py_CODEUNIT *)code->co_code_adaptive + (at < 0 ? 0 : at / 2);
    *op = _Py_OPCODE(*unit);
    *arg = _Py_OPARG(*unit);
}

static void
hook_site(sl_strand *strand, PyFrameObject *frame)
{
    int at = PyFrame_GetLasti(frame);
    if (at > 0 && sl_strand_chosen(strand))
        sl_strand_site(strand, (uint32_t)at);
}

/* Whether the frame, whose call the hook is told of, goes on where it had
 * yielded. RESUME 0 starts a function, 1 to 3 goes on after a yield or await; a
 * frame something is thrown into stands at its YIELD_VALUE still. */
static bool
frame_resumes(PyFrameObject *frame, PyCodeObject *code)
{
    int op, arg;

    if ((code->co_flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR)) ==
        0)
        return false;
    frame_instruction(frame, code, &op, &arg);
    return op == YIELD_VALUE || op == SEND || (arg & 3) != 0;
}

/* Whether the frame, whose return of `value` the hook is told of, yields. */
static bool
frame_yields(PyFrameObject *frame, PyCodeObject *code, PyObject *value)
{
    int op, arg;

    frame_instruction(frame, code, &op, &arg);
    return value != NULL && op == YIELD_VALUE;
}

static void
hook_call(sl_strand *strand, PyFrameObject *frame, PyCodeObject *code,
          bool resumes, uint64_t now)
{
    if (resumes) {
        sl_strand_resume(strand, code, now);
        return;
    }
    if (sl_strand_chosen(strand)) {
        PyFrameObject *back = PyFrame_GetBack(frame);
        if (back != NULL)
            hook_site(strand, back);
        Py_XDECREF(back);
    }
    sl_strand_enter(strand, code, SL_KIND_PYTHON, now);
}

static void
hook_c(sl_strand *strand, PyFrameObject *frame, int what, PyObject *callable,
       uint64_t now)
{
    PyMethodDef *key = sl_py_c_function(callable);

    if (key == NULL || sl_py_active.c_calls == SL_C_NONE)
        return;
    if (what != PyTrace_C_CALL) {
        sl_strand_leave_top(strand, key, now);
        return;
    }
    if (sl_py_active.c_calls == SL_C_CHOSEN && !sl_strand_chosen(strand))
        return;
    hook_site(strand, frame);
    sl_py_enter_c(strand, callable, key, now);
}

static void threads_hook(Py_tracefunc from, Py_tracefunc to);
static int hook(PyObject *self, PyFrameObject *frame, int what, PyObject *arg);

/* A new thread has not run anything yet when the function that started it
 * returns: there is no event between that lets go of the GIL. */
static void
hook_new_threads(PyObject *callable)
{
    static PyMethodDef *start_new_thread;

    if (start_new_thread == NULL) {
        PyObject *module = PyImport_ImportModule("_thread");
        PyObject *start =
            module == NULL ? NULL
                           : PyObject_GetAttrString(module, "start_new_thread");
        if (start != NULL && PyCFunction_Check(start))
            start_new_thread = ((PyCFunctionObject *)start)->m_ml;
        Py_XDECREF(start); /* the module keeps it, and is never unloaded */
        Py_XDECREF(module);
        PyErr_Clear();
    }
    if (PyCFunction_Check(callable) &&
        ((PyCFunctionObject *)callable)->m_ml == start_new_thread)
        threads_hook(NULL, hook);
}

static void
hook_code(PyFrameObject *frame, int what, PyObject *arg)
{
    PyCodeObject *code = PyFrame_GetCode(frame); /* the frame keeps it */
    const sl_py_probe *probe = sl_py_probe_of((PyObject *)code);

    Py_DECREF(code);
    if (what == PyTrace_CALL) {
        bool resumes = frame_resumes(frame, code);
        bool inside = probe != NULL && probe->target->action->inside;
        if (probe != NULL && !inside && !resumes && sl_py_probe_start(probe))
            return;
        sl_strand *strand = sl_py_active_strand();
        if (strand != NULL)
            hook_call(strand, frame, code, resumes, sl_py_now());
        if (inside && !resumes)
            sl_py_probe_start(probe);
        return;
    }
    bool yields = frame_yields(frame, code, arg);
    sl_strand *strand = sl_py_active_strand();
    if (strand != NULL && yields)
        sl_strand_yield(strand, code, sl_py_now());
    else if (strand != NULL)
        sl_strand_leave(strand, code, sl_py_now());
    /* Last: what it ends is no strand for others. */
    if (probe != NULL && !yields)
        sl_py_probe_leave(probe, arg);
}

static int
hook(PyObject *self, PyFrameObject *frame, int what, PyObject *arg)
{
    (void)self;
    if (what == PyTrace_CALL || what == PyTrace_RETURN) {
        hook_code(frame, what, arg);
    } else if (what == PyTrace_C_CALL || what == PyTrace_C_RETURN ||
               what == PyTrace_C_EXCEPTION) {
        sl_strand *strand = sl_py_active_strand();
        if (strand != NULL)
            hook_c(strand, frame, what, arg, sl_py_now());
        if (what == PyTrace_C_RETURN && followers > 0)
            hook_new_threads(arg);
    }
    return 0;
}

/* What _PyEval_SetRecording of 3.11 does, for any thread; it is not exported.
 * `use_tracing` also says whether a trace function is there. */
static void
thread_hook(PyThreadState *ts, Py_tracefunc func)
{
    ts->c_profilefunc = func;
    ts->cframe->use_tracing = func != NULL || ts->c_tracefunc != NULL ? 255 : 0;
    switches++;
}

/* A thread of C code makes its state without the GIL (PyGILState_Ensure), and
 * has it in the list before it is filled: such a one runs nothing yet. */
static void
threads_hook(Py_tracefunc from, Py_tracefunc to)
{
    spread = to != NULL;
    PyThreadState *ts =
        PyInterpreterState_ThreadHead(PyInterpreterState_Main());
    for (; ts != NULL; ts = PyThreadState_Next(ts)) {
        if (__atomic_load_n(&ts->_initialized, __ATOMIC_ACQUIRE) &&
            ts->c_profilefunc == from && ts->c_profileobj == NULL)
            thread_hook(ts, to);
    }
}

int
sl_py_engine_init(void)
{
    return 0;
}

int
sl_py_engine_acquire(sl_py_traced *traced)
{
    PyThreadState *ts = sl_py_borrow_tstate();

    if (ts->c_profilefunc != NULL && ts->c_profilefunc != hook) {
        refused++;
        PyErr_SetString(PyExc_RuntimeError,
                        "another profiler is active in this thread "
                        "(sys.setprofile), and CPython 3.11 has room for one");
        return -1;
    }
    users++;
    followers += traced->follows;
    return 0;
}

void
sl_py_engine_release(sl_py_traced *traced)
{
    users--;
    followers -= traced->follows || traced->hands_over;
    /* Not while others record: the threads of their sections are hooked, too,
     * and which those are only they know. */
    if (users == 0 && spread)
        threads_hook(hook, NULL);
}

void
sl_py_engine_hand_over(sl_py_traced *traced)
{
    if (traced->follows || traced->hands_over)
        return;
    traced->hands_over = true;
    followers++;
    threads_hook(NULL, hook);
}

/* Sections of this thread: greenlets have several at a time. */
static __thread struct {
    uint64_t thread; /* id: a forked child goes on with its parent's */
    int count;
} sections;

int
sl_py_engine_section_begin(sl_py_traced *traced)
{
    PyThreadState *ts = sl_py_borrow_tstate();

    if (sections.thread != ts->id)
        sections.count = 0;
    sections.thread = ts->id;
    sections.count++;

    if (traced->follows)
        threads_hook(NULL, hook);
    else if (ts->c_profilefunc == NULL)
        thread_hook(ts, hook);
    if (ts->c_profilefunc != hook)
        traced->displaced = true;
    return 0;
}

void
sl_py_engine_section_end(sl_py_traced *traced)
{
    PyThreadState *ts = sl_py_borrow_tstate();

    /* Begun in another thread: that one keeps its hook a little longer. */
    if (sections.thread == ts->id && sections.count > 0)
        sections.count--;
    if (ts->c_profilefunc != hook)
        traced->displaced = true;
    else if (followers == 0 && sections.count == 0)
        thread_hook(ts, NULL);
}

bool
sl_py_engine_idle(uint64_t linger_ns)
{
    (void)linger_ns;
    return false;
}

bool
sl_py_engine_watch(PyCodeObject *code)
{
    (void)code; /* C calls are visible everywhere */
    return true;
}

void
sl_py_engine_after_fork(void)
{
    users = followers = 0;
    sections.count = 0;
    threads_hook(hook, NULL);
}

PyObject *
sl_py_engine_info(void)
{
    return Py_BuildValue(
        "{s:s,s:O,s:K,s:n,s:K,s:I}", "name", "PyEval_SetRecording", "events_on",
        users > 0 ? Py_True : Py_False, "switches",
        (unsigned long long)switches, "users", users, "refused",
        (unsigned long long)refused, "probes", (unsigned)sl_py_probe_count);
}

/* A probe here is a look at the table in the hook, where there is one. */
const char *
sl_py_engine_probes(void)
{
    return NULL;
}

long
sl_py_engine_probe_events(const sl_py_action *action)
{
    (void)action;
    return 0;
}

void
sl_py_engine_local(PyObject *code)
{
    (void)code;
}

bool
sl_py_engine_hooks_threads(void)
{
    return true;
}

bool
sl_py_engine_hears_imports(void)
{
    return false;
}

/* The hook that is fed here is told of no lines. */
bool
sl_py_engine_lines(sl_py_traced *traced, PyCodeObject *code)
{
    (void)traced, (void)code;
    return false;
}
