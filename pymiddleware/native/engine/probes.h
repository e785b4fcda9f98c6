/* probes.h - known functions of known libraries, and what we do when they run.
 *
 *   table of targets                     code object        action
 *   ("threading", "Thread.start") ----> found in the   ----> start(...)
 *   ("app.db", "Cursor.execute")        module, once it      leave(...)
 *   ...                                 is imported
 *
 * A probe is a local sys.monitoring event (CPython 3.12+) on one code object:
 * whatever else runs costs nothing. Nothing is patched: the function stays
 * what it was, and wrappers around it, before or after us, do not matter,
 * because the code object is found by its qualified name below them. Probes
 * stay for as long as the process lives, in both modes. Their
 * tool id is their own where it is free (hooks.h), else the deterministic
 * engine's, which then asks at each event whether its function is probed.
 *
 * All of it with the GIL.
 */
#ifndef SL_PY_PROBES_H
#define SL_PY_PROBES_H

#include "engine/probe.h"

/* Adds a table of targets, before sl_py_probes_install. */
void sl_py_probes_table(const sl_py_target *targets, size_t count);

/* Adds one target, at any time. false: no memory. */
bool sl_py_probes_add(const sl_py_target *target);

/* Puts a probe on a function that is not found by a name. false: there is one,
 * or the table is full. */
bool sl_py_probes_put(PyCodeObject *code, const sl_py_target *target);

/* Puts probes on what is imported already, and on what will be. Idempotent;
 * NULL: they are there, else why there are none, in one sentence. Needs the
 * frames' layout to be trusted. Never raises. */
const char *sl_py_probes_install(void);

/* Has `told` called with the name of each module that is imported from now on
 * (3.12+), when it is whole. It may not raise. */
void sl_py_probes_on_import(void (*told)(const char *name));

/* Looks for what was imported since the last time, where no event tells of it
 * (3.11). Never raises. */
void sl_py_probes_refresh(void);

#endif /* SL_PY_PROBES_H */
