/* engine.h - where enter and leave come from: one mechanism a file.
 *
 *   monitoring.c   CPython 3.12+: sys.monitoring, tool ids of its own; what is
 *                  done at an event: hooks.c
 *   setprofile.c    CPython 3.11: the C recording hook of each thread
 *
 * The build takes exactly one of them. Everything here needs the GIL.
 */
#ifndef SL_PY_ENGINE_H
#define SL_PY_ENGINE_H

#include "engine/probe.h"
#include "engine/traced.h"

/* Prepares the engine. 0, or -1 with an exception. */
int sl_py_engine_init(void);

/* A recording wants events from now on. 0; or -1 with a RuntimeError that says
 * why there are none to be had (another tool holds the hook). */
int sl_py_engine_acquire(sl_py_traced *traced);

/* It does not any more. Events may go on for a while (engine_idle). */
void sl_py_engine_release(sl_py_traced *traced);

/* The section of the recording begins / ends in the calling thread. 0 or -1. */
int sl_py_engine_section_begin(sl_py_traced *traced);
void sl_py_engine_section_end(sl_py_traced *traced);

/* Turns events off if no recording wanted them for `linger_ns`. Returns true
 * while they are still on: call again later. */
bool sl_py_engine_idle(uint64_t linger_ns);

/* Makes C calls out of `code` visible (chosen code only). false: there was no
 * room. Never raises. */
bool sl_py_engine_watch(PyCodeObject *code);

/* Tells the lines of `code` to the recording, until it is released. false: that
 * cannot be had (CPython 3.11), or there was no room. Never raises. */
bool sl_py_engine_lines(sl_py_traced *traced, PyCodeObject *code);

/* The recording, fed by events, handed work to another thread: its events are
 * wanted from all of them from now on. */
void sl_py_engine_hand_over(sl_py_traced *traced);

/* ---- probes, see probes.h ---- */

/* Makes local events possible. NULL: they are; else why not. */
const char *sl_py_engine_probes(void);

/* The local events of a probe with this action. Never raises. */
long sl_py_engine_probe_events(const sl_py_action *action);

/* Sets the local events of `code`: those that anybody wants. Never raises. */
void sl_py_engine_local(PyObject *code);

/* Whether a probe tells of each import; else sl_py_probes_refresh looks. */
bool sl_py_engine_hears_imports(void);

/* Whether a thread tells of its events only once it is hooked: see
 * sl_py_engine_hand_over. */
bool sl_py_engine_hooks_threads(void);

/* In a forked child: off, at once. */
void sl_py_engine_after_fork(void);

/* {"name", "tool", "events_on", "switches", ...}: a NEW dict. */
PyObject *sl_py_engine_info(void);

#endif /* SL_PY_ENGINE_H */
