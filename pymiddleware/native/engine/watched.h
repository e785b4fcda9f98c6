/* watched.h - code objects some of whose events are told beside those that are
 * on everywhere (CPython 3.12+): calls of C functions out of chosen code, lines
 * of the project's while a recording wants them. Which code that is, is known
 * here; how the interpreter is told, in monitoring.c.
 *
 * Nothing here keeps a code object alive but the lists of lined recordings.
 * All of it with the GIL; nothing raises.
 */
#ifndef SL_PY_WATCHED_H
#define SL_PY_WATCHED_H

#include "engine/traced.h"

/* Once, before all else: what tells the interpreter that these events of `code`
 * are wanted (false: it refused), and which they are. */
void sl_py_watched_by(bool (*interpreter)(PyObject *code, long events),
                      long calls, long lines);

/* As sl_py_engine_watch and sl_py_engine_lines (engine.h) say. */
bool sl_py_watched_add(PyCodeObject *code);
bool sl_py_watched_lines(sl_py_traced *traced, PyCodeObject *code);

/* The events that whoever watches `code` wants of it; 0: nobody does. */
long sl_py_watched_events(const PyObject *code);

/* How many entries the table has, of dead code objects too. */
uint32_t sl_py_watched_count(void);

/* The recording is over: its lines are nobody's, or only others', from now. */
void sl_py_watched_release(sl_py_traced *traced);

/* Nothing is watched any more, and the interpreter told so. */
void sl_py_watched_clear(void);

/* Tells the interpreter all of it once more, under another tool id. */
void sl_py_watched_again(void);

#endif /* SL_PY_WATCHED_H */
