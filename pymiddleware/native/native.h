/* native.h - what the files of the extension share.
 *
 *   module.c            the module and its functions
 *   recording_type.c    Recording: one request while it is recorded
 *   step.c              the awaitable that runs an ASGI app under a Recording,
 *   loop.c              ...and what the event loop did between its steps
 *   tasks.c             steps of the tasks that a sampled request started
 *   active.c            which request runs here? (per event: one compare)
 *   engine.h, engine_*  where the events come from, one file a mechanism
 *   sampler.c           the thread that looks at running requests, on top of
 *   frames.c            ...the walk over another thread's frames,
 *   codes.c             ...code objects to names and lines without the GIL,
 *   memory.c            ...reads that cannot crash,
 *   layout.c            ...and where things are inside the interpreter
 *   code_map.c          code objects to origins and names
 *   profile_type.c      Profile: a finished recording, for reports and exports
 *
 * All of it runs with the GIL held, which is also what makes the static
 * state safe: the module refuses sub-interpreters and asks for the GIL on
 * free-threaded builds.
 */
#ifndef SL_PY_NATIVE_H
#define SL_PY_NATIVE_H

#include "compat/py_compat.h"
#include "run/stints.h"

#include "slowlens/profile.h"
#include "slowlens/recording.h"
#include "slowlens/report.h"

/* Which C calls a request records. */
typedef enum { SL_C_NONE, SL_C_CHOSEN, SL_C_ALL } sl_c_calls;

/* One logical stack beside the main one: a context of a child task or of a
 * thread hop. */
typedef struct {
    PyObject *context; /* strong: its address must not be used again */
    sl_strand *strand;
} sl_py_side;

typedef struct sl_py_recording sl_py_recording;

/* The same where the sampler or a task's step finds it. The address of the
 * context only tells one from another; one that is used again is still this
 * request's. */
typedef struct {
    uintptr_t context; /* 0: the work is over, the strand may be used again */
    sl_strand *strand; /* NULL: none yet */
    PyObject *task;    /* strong: a weak reference to its coroutine, or NULL */
    const PyObject *coroutine;
    bool opened;    /* the strand is this work's */
    bool waits;     /* suspended... */
    uint64_t since; /* ...then; ticks */
} sl_py_child;

/* What the context variable holds. Contexts of long-lived tasks keep copies
 * for ever, so it is small and points nowhere once the request is over. */
typedef struct {
    PyObject_HEAD sl_py_recording *recording; /* borrowed; NULL: over */
} sl_py_handle;

/* Its turns on the event loop, see loop.h. */
typedef struct {
    uint64_t thread;    /* id of the one it waits in */
    uint64_t began;     /* the step that runs; ns */
    uint64_t ended;     /* the step before; ns */
    bool next;          /* it waits for nothing but its next turn */
    uint64_t longest;   /* step so far; ns */
    uint64_t held;      /* the longest it waited for the busy loop; ns... */
    PyObject *holder;   /* ...on account of whom (strong; NULL: not known), */
    PyObject *where;    /* (strong or NULL) */
    uint64_t holder_ns; /* whose step took so long */
} sl_py_turn;

struct sl_py_recording {
    PyObject_HEAD sl_recording *core;
    PyObject **functions; /* strong, by function id less SL_PSEUDO_COUNT */
    uint32_t function_count;
    uint32_t function_capacity;
    sl_py_handle *handle;
    PyObject *context; /* strong: where the main strand runs */
    uint64_t thread;   /* id of the thread it last ran in */
    bool running;      /* the main strand is inside a section */
    bool started;
    bool finished;
    bool fork_lost;
    bool follows;    /* asynchronous: child work may run anywhere */
    bool displaced;  /* another tool took the hook away */
    bool hands_over; /* 3.11: every thread has the hook for it */
    bool sampled;    /* by the sampler, no events */
    sl_clock_kind clock;
    int slot;              /* of the sampler, or -1 */
    uint64_t unseen_since; /* ticks when the section began */
    uint64_t suspended_at; /* ticks when the one before ended */
    uint64_t rejected;     /* samples that were torn */
    uint64_t interval_ns;  /* between samples, when the last section ended */
    const void *thread_ts; /* state of the thread it last ran in */
    sl_py_child *children; /* the sampler's */
    uint32_t child_count, child_capacity;
    uint32_t child_free; /* of them, to be used again */
    uint32_t child_hint; /* the next to go on, most likely */
    bool resolved;
    sl_c_calls c_calls;
    sl_py_side *sides;
    uint32_t side_count;
    uint32_t side_capacity;
    uint64_t cpu_ns;
    uint64_t cpu_since;
    sl_py_turn turn;
    PyObject *label; /* strong: what Python calls it; NULL: nothing */
    bool full;       /* no room for more paths: see sl_py_sampler_take_over */
    uint64_t lost_strands;
    sl_py_stint section; /* where its main strand runs, while it does */
    sl_py_recording *previous, *next; /* all live recordings */
};

extern PyTypeObject sl_py_handle_type;
extern PyTypeObject sl_py_recording_type;
extern PyTypeObject sl_py_profile_type;
extern PyTypeObject sl_py_step_type;

/* Sets a Python exception for `status`; returns NULL for convenience. */
PyObject *sl_py_raise(sl_status status);
extern PyObject *sl_py_corrupt_error;

/* The clock all recordings of the process use. */
extern sl_clock_kind sl_py_clock;

static inline uint64_t
sl_py_now(void)
{
    return sl_clock_ticks(sl_py_clock);
}

/* ---- active.c ---- */

/* What runs in the thread that holds the GIL: valid while its id and its
 * context's version are these. No two threads share an id, ever, and
 * entering or leaving a context always moves the version. */
typedef struct {
    uint64_t thread;
    uint64_t version;
    sl_strand *strand; /* NULL: nothing that is recorded */
    sl_c_calls c_calls;
} sl_py_current;

extern sl_py_current sl_py_active;

sl_strand *sl_py_active_resync(PyThreadState *ts);

/* The strand the calling thread records into now, or NULL. Never raises. */
static inline sl_strand *
sl_py_active_strand(void)
{
    PyThreadState *ts = sl_py_borrow_tstate();
    if (sl_py_active.thread == ts->id &&
        sl_py_active.version == ts->context_ver)
        return sl_py_active.strand;
    return sl_py_active_resync(ts);
}

static inline void
sl_py_active_forget(void)
{
    sl_py_active.thread = 0; /* ids of threads count from 1 */
}

int sl_py_active_init(void);

/* The live recording of the calling thread's context, BORROWED, or NULL. Never
 * raises. */
sl_py_recording *sl_py_active_recording(void);

/* The recording that the code which runs in the calling thread belongs to,
 * BORROWED, or NULL; *strand: where its events go, NULL if it is sampled.
 * Never raises. */
sl_py_recording *sl_py_active_owner(sl_strand **strand);

/* The context variable that holds the handle. BORROWED. */
PyObject *sl_py_active_variable(void);

/* The request's main strand begins or goes on here, in the calling thread
 * and its current context / stops for now. `gap` is what the time since the
 * last stop is called (SL_PSEUDO_AWAIT: this is a step on an event loop).
 * `anchor`: the frame that the request's frames stand above; 0: the innermost
 * that is not ours. `waiting`: the awaitable it is suspended in, or NULL.
 * -1 with an exception. */
int sl_py_section_begin(sl_py_recording *recording, sl_pseudo gap,
                        uintptr_t anchor);
void sl_py_section_end(sl_py_recording *recording, PyObject *waiting);

/* Leaves the context the main strand ran in as it was, where it is still at
 * hand: a server's thread goes on to other things. */
void sl_py_context_release(sl_py_recording *recording);

/* Cuts the recording off from all contexts. Idempotent. */
void sl_py_active_remove(sl_py_recording *recording);
void sl_py_active_add(sl_py_recording *recording);

/* In a forked child: every live recording is the parent's. */
void sl_py_active_after_fork(void);
Py_ssize_t sl_py_active_count(void);

/* ---- recording_type.c ---- */

/* Whether `method` is one of Recording's own: enter and leave are not calls of
 * the program, and never return inside the request. */
bool sl_py_recording_is_method(const PyMethodDef *method);

/* A dict of str to int or str (None: left out) as metadata, whose texts live
 * in `keep`, a list; PyMem_Free it. NULL with an exception. */
sl_meta *sl_py_parse_meta(PyObject *dict, PyObject *keep, size_t *count);

/* Where the section that just ended spent most of its time, NEW: a list of
 * (name, file), of some functions of the project and then the innermost one;
 * NULL, no exception: nobody looked. */
PyObject *sl_py_recording_where(sl_py_recording *recording);

/* ---- step.c ---- */

/* A NEW awaitable that runs `awaitable` under the recording (NULL: none, until
 * its `follow` is called); NULL: exception. */
PyObject *sl_py_step_new(sl_py_recording *recording, PyObject *awaitable);

/* ---- code_map.c ---- */

int sl_py_code_map_init(void);

/* Origin of a code object's file and whether its C calls are chosen. */
sl_origin sl_py_code_origin(PyCodeObject *code);
bool sl_py_code_is_chosen(PyCodeObject *code);

/* Whether the code is slowlens's own. Never raises. */
bool sl_py_code_is_own(PyCodeObject *code);

/* Origin of a file by its name, UTF-8. */
sl_origin sl_py_file_origin(const char *name, size_t len);

/* configure(stdlib, libraries, chosen): tuples of str; `own` a str; see
 * module.c. */
int sl_py_code_map_configure(PyObject *stdlib, PyObject *libraries,
                             PyObject *chosen, PyObject *own);

/* The method definition of a C function or method descriptor, NULL for any
 * other callable and for our own methods. Inline: asked for every C call. */
static inline PyMethodDef *
sl_py_c_function(PyObject *callable)
{
    PyMethodDef *method;

    if (Py_IS_TYPE(callable, &PyCFunction_Type))
        method = ((PyCFunctionObject *)callable)->m_ml;
    else if (Py_IS_TYPE(callable, &PyMethodDescr_Type))
        method = ((PyMethodDescrObject *)callable)->d_method;
    else if (Py_IS_TYPE(callable, &PyFunction_Type) ||
             !PyCFunction_Check(callable))
        return NULL;
    else
        method = ((PyCFunctionObject *)callable)->m_ml;
    return sl_py_recording_is_method(method) ? NULL : method;
}

/* A NEW reference to what keeps `callable`'s method definition alive without
 * keeping an instance alive: itself, or the type it is bound to. */
PyObject *sl_py_c_function_owner(PyObject *callable);

/* Fills *out for a code object or owner; strings live in `keep`, a list. */
bool sl_py_describe(PyObject *object, const void *key, PyObject *keep,
                    sl_function *out);

/* The callable being entered, BORROWED: set for the length of sl_strand_enter
 * of a C function, read on the first sight of its key. NULL: it is a code
 * object that is entered, and the key is it. */
extern PyObject *sl_py_pending_callable;

/* ---- profile_type.c ---- */

/* read_meta(data), a module function; and the names Profile.export knows. */
PyObject *sl_py_read_meta(PyObject *module, PyObject *arg);
PyObject *sl_py_export_formats(void);

/* merge(blobs, meta) and growth(before, after, meta), module functions. */
PyObject *sl_py_merge(PyObject *module, PyObject *args);
PyObject *sl_py_growth(PyObject *module, PyObject *args);
PyObject *sl_py_aggregate(PyObject *module, PyObject *blobs);

#endif /* SL_PY_NATIVE_H */
