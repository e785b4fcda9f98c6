/* slowlens._core: the module and its functions. */
#include "board/board.h"
#include "board/origins.h"
#include "compat/cpu_clock.h"
#include "compat/leader.h"
#include "compat/py_compat.h"
#include "engine/current.h"
#include "engine/engine.h"
#include "engine/probes.h"
#include "look/code_map.h"
#include "run/active.h"
#include "run/adopted.h"
#include "run/budget.h"
#include "run/greenlets.h"
#include "run/handed.h"
#include "run/handlers.h"
#include "run/jobs.h"
#include "run/layers.h"
#include "run/live.h"
#include "run/loop.h"
#include "run/step.h"
#include "run/tasks.h"
#include "sampler/sampler.h"
#include "sampler/self_test.h"
#include "types/checkpoint.h"
#include "types/encoding.h"
#include "types/entrances.h"
#include "types/gather_type.h"
#include "types/killed.h"
#include "types/numbers_type.h"
#include "types/plan_type.h"
#include "types/profile_type.h"
#include "types/recording_type.h"
#include "types/span_type.h"
#include "types/stored.h"
#include "types/tally_type.h"
#include "types/upcalls.h"
#include "types/values.h"
#include "types/worker_type.h"

#ifdef __GLIBC__
#    include <malloc.h>
#endif

static PyObject *
configure(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "stdlib",  "libraries", "chosen",   "own",
                             "use_tsc", "project",   "vendored", NULL };
    PyObject *stdlib, *libraries, *chosen, *own;
    PyObject *project = NULL, *vendored = NULL;
    int use_tsc = 0;

    (void)module;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!O!O!U|pO!O!:configure", names, &PyTuple_Type,
            &stdlib, &PyTuple_Type, &libraries, &PyTuple_Type, &chosen, &own,
            &use_tsc, &PyTuple_Type, &project, &PyTuple_Type, &vendored))
        return NULL;
    if (sl_py_code_map_configure(stdlib, libraries, chosen, own) < 0 ||
        sl_py_code_map_claim(project, vendored) < 0 ||
        sl_py_origins_configure(stdlib, libraries, project, vendored) < 0)
        return NULL;
    /* Recordings under way keep to the clock they began with. */
    if (sl_py_live_count() == 0)
        sl_py_clock = use_tsc && sl_clock_has_invariant_tsc()
                          ? SL_CLOCK_TSC
                          : SL_CLOCK_MONOTONIC;
    Py_RETURN_NONE;
}

static PyObject *
engine_info(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    PyObject *info = sl_py_engine_info();
    if (info == NULL)
        return NULL;
    PyObject *clock =
        PyUnicode_FromString(sl_py_clock == SL_CLOCK_TSC ? "tsc" : "monotonic");
    if (clock == NULL || PyDict_SetItemString(info, "clock", clock) < 0)
        Py_CLEAR(info);
    Py_XDECREF(clock);
    PyObject *greenlets = sl_py_greenlets_info();
    if (greenlets == NULL ||
        (info != NULL &&
         PyDict_SetItemString(info, "greenlets", greenlets) < 0))
        Py_CLEAR(info);
    Py_XDECREF(greenlets);
    sl_py_budget_facts told = sl_py_budget_told();
    PyObject *memory = Py_BuildValue(
        "{s:n,s:n,s:K,s:K}", "bytes", (Py_ssize_t)told.bytes, "peak",
        (Py_ssize_t)told.peak, "sampled", (unsigned long long)told.sampled,
        "timed", (unsigned long long)told.timed);
    if (memory == NULL ||
        (info != NULL && PyDict_SetItemString(info, "memory", memory) < 0))
        Py_CLEAR(info);
    Py_XDECREF(memory);
    PyObject *sampler = sl_py_sampler_info();
    if (sampler == NULL ||
        PyDict_SetItemString(sampler, "tasks",
                             sl_py_tasks_watched() ? Py_True : Py_False) < 0 ||
        (info != NULL && PyDict_SetItemString(info, "sampler", sampler) < 0))
        Py_CLEAR(info);
    Py_XDECREF(sampler);
    return info;
}

static PyObject *
engine_idle(PyObject *module, PyObject *arg)
{
    (void)module;
    double seconds = PyFloat_AsDouble(arg);
    if (seconds == -1.0 && PyErr_Occurred())
        return NULL;
    return PyBool_FromLong(
        sl_py_engine_idle(seconds > 0 ? (uint64_t)(seconds * 1e9) : 0));
}

static PyObject *
after_fork(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    sl_py_sampler_after_fork();
    sl_py_jobs_after_fork();
    sl_py_layers_after_fork();
    sl_py_greenlets_after_fork();
    sl_py_live_after_fork();
    sl_py_tasks_after_fork();
    sl_py_board_after_fork();
    sl_py_engine_after_fork();
    Py_RETURN_NONE;
}

static PyObject *
step(PyObject *module, PyObject *awaitable)
{
    (void)module;
    return sl_py_step_new(NULL, awaitable);
}

static PyObject *
sampler_test(PyObject *module, PyObject *own)
{
    (void)module;
    const char *prefix = PyUnicode_AsUTF8(own);
    if (prefix == NULL)
        return NULL;
    const char *why_not = sl_py_sampler_test(prefix);
    if (why_not == NULL)
        Py_RETURN_NONE;
    return PyUnicode_FromString(why_not);
}

static PyObject *
sampler_opcodes(PyObject *module, PyObject *table)
{
    (void)module;
    if (!PyBytes_Check(table) ||
        PyBytes_GET_SIZE(table) != (Py_ssize_t)sizeof(sl_py_opcodes)) {
        PyErr_SetString(PyExc_ValueError, "three times 256 bytes");
        return NULL;
    }
    sl_py_sampler_opcodes((const sl_py_opcodes *)PyBytes_AS_STRING(table));
    Py_RETURN_NONE;
}

static PyObject *
probes_install(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    const char *why_not = sl_py_probes_install();
    if (why_not == NULL)
        Py_RETURN_NONE;
    return PyUnicode_FromString(why_not);
}

static PyObject *
sampler_configure(PyObject *module, PyObject *args)
{
    double interval, limit;

    (void)module;
    if (!PyArg_ParseTuple(args, "dd:sampler_configure", &interval, &limit))
        return NULL;
    if (!(interval >= 50e-6 && interval <= 10 && limit >= 0 && limit <= 100)) {
        PyErr_SetString(PyExc_ValueError,
                        "interval: 50e-6 to 10 seconds; limit: 0 to 100 %");
        return NULL;
    }
    sl_py_sampler_configure((uint64_t)(interval * 1e9),
                            (uint32_t)(limit * 1e4));
    Py_RETURN_NONE;
}

static PyObject *
sampler_lock_measure(PyObject *module, PyObject *on)
{
    int truth = PyObject_IsTrue(on);

    (void)module;
    if (truth < 0)
        return NULL;
    sl_py_sampler_lock_measure(truth != 0);
    Py_RETURN_NONE;
}

static PyObject *
sampler_stop(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    return PyBool_FromLong(sl_py_sampler_stop());
}

static int
run_pending(void *argument)
{
    PyObject *function = argument;
    PyObject *result = PyObject_CallNoArgs(function);
    if (result == NULL)
        PyErr_WriteUnraisable(function);
    Py_XDECREF(result);
    Py_DECREF(function);
    return 0;
}

/* os.fork() looks for threads when all its hooks have run, and warns: what
 * starts ours again must come after that. */
static PyObject *
call_soon(PyObject *module, PyObject *function)
{
    (void)module;
    Py_INCREF(function);
    if (Py_AddPendingCall(run_pending, function) < 0) {
        Py_DECREF(function);
        Py_RETURN_FALSE;
    }
    Py_RETURN_TRUE;
}

static PyObject *
handler_watch(PyObject *module, PyObject *code)
{
    (void)module;
    if (!PyCode_Check(code)) {
        PyErr_SetString(PyExc_TypeError, "a code object is wanted");
        return NULL;
    }
    return PyBool_FromLong(sl_py_handlers_watch((PyCodeObject *)code));
}

static PyObject *
handler_calls(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    return PyLong_FromUnsignedLongLong(sl_py_handlers_calls());
}

static PyObject *
sampler_resume(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    sl_py_sampler_resume();
    Py_RETURN_NONE;
}

static PyObject *
limit_memory(PyObject *module, PyObject *arg)
{
    (void)module;
    Py_ssize_t bytes = PyLong_AsSsize_t(arg);
    if (bytes == -1 && PyErr_Occurred())
        return NULL;
    sl_py_budget_limit(bytes > 0 ? (size_t)bytes : 0);
    Py_RETURN_NONE;
}

static PyObject *
active_count(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
    return PyLong_FromSsize_t(sl_py_live_count());
}

/* For gc.callbacks: the collector's work is a node of its own. */
static PyObject *
gc_hook(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    sl_strand *strand = sl_py_active_strand();
    if (strand == NULL || count < 1 || !PyUnicode_Check(args[0]))
        Py_RETURN_NONE;
    bool begins = PyUnicode_CompareWithASCIIString(args[0], "start") == 0;
    sl_strand_collect(strand, begins, sl_py_now());
    Py_RETURN_NONE;
}

/* What was freed goes back to the system, where the C library keeps it. */
static PyObject *
trim(PyObject *module, PyObject *ignored)
{
    (void)module, (void)ignored;
#ifdef __GLIBC__
    PyThreadState *state = PyEval_SaveThread();
    malloc_trim(0);
    PyEval_RestoreThread(state);
#endif
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    { "configure", (PyCFunction)(void (*)(void))configure,
      METH_VARARGS | METH_KEYWORDS,
      "configure(stdlib, libraries, chosen, own, use_tsc=False, project=(), "
      "vendored=())\n--\n\nWhose code is whose, as tuples of str: `stdlib` "
      "prefixes of file names, parts of names of `libraries`, and parts of "
      "names "
      "whose C calls are `chosen`; the prefix of slowlens's `own` files; "
      "whether "
      "the kernel trusts the time stamp counter; prefixes of what is the "
      "`project`'s all the same, and of `vendored` libraries." },
    { "engine_info", engine_info, METH_NOARGS,
      "engine_info()\n--\n\nWhat records the events, and its state: a dict." },
    { "engine_idle", engine_idle, METH_O,
      "engine_idle(linger, /)\n--\n\nTurns events off when no recording wanted "
      "them for `linger` seconds. True: still on, call again." },
    { "after_fork", after_fork, METH_NOARGS,
      "after_fork()\n--\n\nIn the child: all live recordings are the "
      "parent's." },
    { "step", step, METH_O,
      "step(awaitable, /)\n--\n\nAn awaitable as Recording.step makes it, "
      "without "
      "a recording: its `follow` says whose its work is from there on." },
    { "sampler_test", sampler_test, METH_O,
      "sampler_test(own, /)\n--\n\nTries all that sampling needs on the "
      "calling thread's stack. None: it works; else why not. `own`: prefix of "
      "slowlens's files, whose frames are not shown." },
    { "sampler_opcodes", sampler_opcodes, METH_O,
      "sampler_opcodes(table, /)\n--\n\nWhat the interpreter's opcodes are, "
      "for naming C functions in samples: see look/depths.h." },
    { "work_of", sl_py_handed_tell, METH_VARARGS,
      "work_of(function, args, /)\n--\n\nWhat a job that calls function(*args) "
      "is: a number that it shares with jobs that do the same, and the code it "
      "begins with or None. For tests." },
    { "layers_open", sl_py_layers_open, METH_O,
      "layers_open(kind): whether a function of a row of that kind, see "
      "layers_add, runs here" },
    { "layers_add", sl_py_layers_add, METH_VARARGS,
      "layers_add(module, qualname, kind, text, what, more, whole): one "
      "function whose calls are spans, see slowlens/layers" },
    { "probes_install", probes_install, METH_NOARGS,
      "probes_install()\n--\n\nWatches the known functions of known libraries, "
      "imported now or later; after sampler_test. None: done; else why not." },
    { "sampler_configure", sampler_configure, METH_VARARGS,
      "sampler_configure(interval, limit, /)\n--\n\nSeconds between samples, "
      "and percent of a core past which there are fewer (0: no limit)." },
    { "sampler_lock_measure", sampler_lock_measure, METH_O,
      "sampler_lock_measure(on, /)\n--\n\nengine_info()['sampler'] begins "
      "anew to tell for how long the lock is held at most: lock_steps, and if "
      "`on` lock_held_ns, which costs." },
    { "sampler_stop", sampler_stop, METH_NOARGS,
      "sampler_stop()\n--\n\nEnds the sampler's thread; the next sampled "
      "request starts it again. Whether there was one." },
    { "call_soon", call_soon, METH_O,
      "call_soon(function, /)\n--\n\nThe main thread calls it at its next "
      "step in Python. False: too much is waiting for that already." },
    { "handler_watch", handler_watch, METH_O,
      "handler_watch(code, /)\n--\n\nCounts the calls of a handler of signals "
      "from now on. False: they cannot be counted." },
    { "handler_calls", handler_calls, METH_NOARGS,
      "handler_calls()\n--\n\nHow many calls of such there were." },
    { "sampler_resume", sampler_resume, METH_NOARGS,
      "sampler_resume()\n--\n\nStarts it again now, for requests that run." },
    { "limit_memory", limit_memory, METH_O,
      "limit_memory(max_bytes, /)\n--\n\nWhat all recordings of the process "
      "may hold at once, in bytes; 0: as much as they like." },
    { "active_count", active_count, METH_NOARGS,
      "active_count()\n--\n\nRecordings being recorded now." },
    { "gc_hook", (PyCFunction)(void (*)(void))gc_hook, METH_FASTCALL,
      "gc_hook(phase, info, /)\n--\n\nGoes into gc.callbacks." },
    { "span_add", (PyCFunction)(void (*)(void))sl_py_span_add_method,
      METH_VARARGS | METH_KEYWORDS,
      "span_add(name, kind, ns, detail=None, *, keep='all', dialect=None)\n"
      "--\n\nA span, as Span has it, that ends now and took `ns`." },
    { "merge", sl_py_merge, METH_VARARGS,
      "merge(blobs, meta, /)\n--\n\nThe sum of several Profiles as the bytes "
      "of a "
      "blob with `meta` in it." },
    { "cohort", sl_py_cohort, METH_VARARGS,
      "cohort(profiles, groups=None, by_wall=False, /)\n--\n\nWhat the slow "
      "ones of a route "
      "do differently: JSON bytes, see slowlens/merge.h. `groups`: a byte "
      "each, "
      "0 left out, 1 usual, 2 slow (`by_wall`: because of its wall time); "
      "None: "
      "the slowest tenth, the middle half. ValueError: none, or "
      "more than 2,000." },
    { "aggregate", sl_py_aggregate, METH_O,
      "aggregate(blobs, /)\n--\n\nProfiles of one route as one tree: JSON "
      "bytes, "
      "see slowlens/merge.h." },
    { "growth", sl_py_growth, METH_VARARGS,
      "growth(before, after, meta, /)\n--\n\nWhat Profile `after` has more "
      "than "
      "Profile `before`, as the bytes of a blob with `meta` in it." },
    { "board_read", sl_py_board_read, METH_VARARGS,
      "board_read(memory, dead=False, /)\n--\n\nThe board in `memory`, of "
      "whatever process: a dict. `dead`: its owner is. ValueError: no board." },
    { "tally", sl_py_tally_current, METH_NOARGS,
      "tally()\n--\n\nThe Tally that the calling context belongs to, if its "
      "request is not over; else None." },
    { "board_numbers", sl_py_board_numbers, METH_VARARGS,
      "board_numbers(memory, /)\n--\n\nWhat a dead process counted and did "
      "not store: [(half, source, first_s, last_s, table, storing)]. "
      "`storing`: it may be stored already." },
    { "board_numbers_mark", sl_py_board_numbers_mark, METH_VARARGS,
      "board_numbers_mark(memory, half, stored, /)\n--\n\nThe half is about "
      "to be stored, or is." },
    { "board_clear", sl_py_board_clear, METH_VARARGS,
      "board_clear(memory, slot, /)\n--\n\nFrees a slot of a dead process's "
      "board." },
    { "trim", trim, METH_NOARGS,
      "trim()\n--\n\nHands free memory back to the system, where the C library "
      "can." },
    { "checkpoint", sl_py_checkpoint, METH_VARARGS,
      "checkpoint(recording, meta, /)\n--\n\nThe running recording as the "
      "bytes of "
      "a blob with `meta` in it, and what it knows itself. RuntimeError: it is "
      "over." },
    { "encode_many", sl_py_encode_many, METH_O,
      "encode_many(pairs, /)\n--\n\nFinished recordings, each with its "
      "metadata, as Recording.encode() makes them: a list of blobs, or of what "
      "it would have raised. The GIL is released once for all of them." },
    { "current", sl_py_current_transaction, METH_NOARGS,
      "current()\n--\n\nThe transaction that the calling context belongs to, "
      "if it is still running, or None." },
    { "upcalls", (PyCFunction)(void (*)(void))sl_py_upcalls,
      METH_VARARGS | METH_KEYWORDS,
      "upcalls(**functions)\n--\n\nWhat requests ask of Python: see "
      "types/upcalls.h." },
    { "wsgi_enter", (PyCFunction)(void (*)(void))sl_py_wsgi_enter,
      METH_FASTCALL,
      "wsgi_enter(door, app, environ, start_response, middleware, "
      "/)\n--\n\nWhat the "
      "app answers, inside a transaction of this door; where anything about "
      "the request is odd, the middleware's look_closer() answers." },
    { "wsgi_run", (PyCFunction)(void (*)(void))sl_py_wsgi_run, METH_FASTCALL,
      "wsgi_run(transaction, app, environ, start_response, /)\n--\n\nWhat the "
      "app answers, inside the transaction, which is finished when the "
      "response is." },
    { "asgi_enter", (PyCFunction)(void (*)(void))sl_py_asgi_enter,
      METH_FASTCALL,
      "asgi_enter(door, app, scope, receive, send, middleware, /)\n--\n\nAn "
      "awaitable "
      "that runs the app inside a transaction of this door; or what app(...) "
      "or, where anything is odd, the middleware's look_closer() gives." },
    { "asgi_run", (PyCFunction)(void (*)(void))sl_py_asgi_run, METH_FASTCALL,
      "asgi_run(transaction, app, scope, receive, send, /)\n--\n\nAn awaitable "
      "that runs the app inside the transaction, which ends with it." },
    { "running", sl_py_running, METH_VARARGS,
      "running(board, age_ns, /)\n--\n\n(recording, label, by samples) of all "
      "that "
      "run on the board for so long or longer." },
    { "with_meta", sl_py_with_meta, METH_VARARGS,
      "with_meta(data, meta, /)\n--\n\nThe bytes of the same blob with other "
      "metadata. CorruptError." },
    { "unseen", sl_py_unseen, METH_VARARGS,
      "unseen(meta, wall_ns, /)\n--\n\nThe bytes of a profile of which no more "
      "is known than how long it took." },
    { "read_meta", sl_py_read_meta, METH_O,
      "read_meta(data, /)\n--\n\nThe metadata of a blob, reading no further: "
      "JSON bytes. CorruptError." },
    { "record_head", sl_py_record_head, METH_VARARGS,
      "record_head(kind, id, inside=b'', outside=0, /)\n--\n\nA segment's "
      "record (slowlens/segment.h) up to what is outside, which is `outside` "
      "bytes long. `id`: a ULID, or 16 bytes." },
    { "record_erase", sl_py_record_erase, METH_O,
      "record_erase(size, /)\n--\n\nThe head that makes a record of that size "
      "an erased one; zeros belong behind it." },
    { "records", sl_py_records, METH_VARARGS,
      "records(data, kind=0, /)\n--\n\nWhat a piece of a segment holds: "
      "([(kind, id, offset, inside, outside)], used, damaged). `used` is past "
      "the end when the last record goes on there. `kind`: only these, and one "
      "that goes on past the end." },
    { "footer_end", sl_py_footer_end, METH_O,
      "footer_end(data, /)\n--\n\n(oldest ms, newest ms, profiles, size of the "
      "record) from the end of a segment, or None: it has no footer." },
    { "file_is_at", sl_py_file_is_at, METH_VARARGS,
      "file_is_at(fd, path, device, inode, /)\n--\n\nWhether that file is what "
      "the descriptor has (1), and what stands at the path (2): both bits." },
    { NULL, NULL, 0, NULL },
};

/* Adds a value that is ours, or NULL with an exception. */
static int
add_new(PyObject *module, const char *name, PyObject *value)
{
    int added = value == NULL ? -1 : PyModule_AddObjectRef(module, name, value);
    Py_XDECREF(value);
    return added;
}

static int
module_exec(PyObject *module)
{
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "slowlens does not run in sub-interpreters (under "
                        "mod_wsgi set WSGIApplicationGroup %{GLOBAL})");
        return -1;
    }
    sl_py_cpu_clock_init();
    sl_py_active_init();
    if (sl_py_live_init() < 0 || sl_py_code_map_init() < 0 ||
        sl_py_engine_init() < 0 || sl_py_recording_init() < 0 ||
        sl_py_span_init() < 0 || PyType_Ready(&sl_py_entry_type) < 0 ||
        sl_py_step_init(&sl_py_recording_type) < 0)
        return -1;
    if (!sl_py_leader_set_up()) {
        PyErr_NoMemory();
        return -1;
    }
    if (sl_py_seen_init() < 0 || sl_py_door_init() < 0 ||
        sl_py_transaction_init() < 0 || sl_py_wsgi_init() < 0 ||
        sl_py_asgi_init() < 0)
        return -1;
    if (sl_py_greenlets_init() < 0)
        return -1;
    sl_py_jobs_init();
    sl_py_adopted_init();
    sl_py_loop_init();
    if (sl_py_corrupt_error == NULL)
        sl_py_corrupt_error = PyErr_NewExceptionWithDoc(
            "slowlens._core.CorruptError",
            "A blob that is not ours, damaged, too large, or too new.",
            PyExc_ValueError, NULL);
    if (sl_py_corrupt_error == NULL ||
        PyModule_AddObjectRef(module, "CorruptError", sl_py_corrupt_error) < 0)
        return -1;
    for (int names = 0; names < 2; names++) {
        PyObject *formats = sl_py_export_formats(names);
        if (formats == NULL ||
            PyModule_AddObjectRef(module, names ? "EXPORT_FORMATS" : "EXPORTS",
                                  formats) < 0) {
            Py_XDECREF(formats);
            return -1;
        }
        Py_DECREF(formats);
    }
    if (add_new(module, "FINDINGS", sl_py_findings()) < 0 ||
        add_new(module, "TITLES", sl_py_titles()) < 0)
        return -1;
    if (PyModule_AddType(module, &sl_py_board_type) < 0 ||
        PyModule_AddType(module, &sl_py_recording_type) < 0 ||
        PyModule_AddType(module, &sl_py_plan_type) < 0 ||
        PyModule_AddType(module, &sl_py_span_type) < 0)
        return -1;
    if (PyModule_AddType(module, &sl_py_door_type) < 0 ||
        PyModule_AddType(module, &sl_py_pulse_type) < 0 ||
        PyModule_AddType(module, &sl_py_draw_type) < 0 ||
        PyModule_AddType(module, &sl_py_seen_type) < 0 ||
        PyModule_AddType(module, &sl_py_transaction_type) < 0)
        return -1;
    if (PyModule_AddType(module, &sl_py_gather_type) < 0 ||
        PyModule_AddType(module, &sl_py_numbers_type) < 0 ||
        PyModule_AddType(module, &sl_py_rows_type) < 0 ||
        PyModule_AddType(module, &sl_py_worker_type) < 0 ||
        sl_py_tally_init(module) < 0)
        return -1;
    return PyModule_AddType(module, &sl_py_profile_type);
}

static PyModuleDef_Slot slots[] = {
    { Py_mod_exec, module_exec },
    SL_PY_SLOTS{ 0, NULL },
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "slowlens._core",
    .m_doc = "The C side of slowlens: recording, encoding, reading.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
