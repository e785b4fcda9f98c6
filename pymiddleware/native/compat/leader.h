/* leader.h - the thread that a process began with, and its end.
 *
 * A program's first thread ends the process when it has run through. In the
 * child of a fork the first thread is a copy of the one that forked: if that
 * is none of a program's first, the child ends when its last thread does, and
 * a thread of ours that waited for more to do would keep it for ever.
 */
#ifndef SL_PY_LEADER_H
#define SL_PY_LEADER_H

#include <stdbool.h>

/* Once, when the extension is loaded. false: no memory. */
bool sl_py_leader_set_up(void);

/* Whether this process was forked by a thread that was not its process's
 * first: threads of ours ask now and then whether that has ended. Any thread.
 */
bool sl_py_leader_may_end(void);

/* Whether it has: then a thread of ours that has nothing to do ends, too. Any
 * thread. */
bool sl_py_leader_ended(void);

#endif /* SL_PY_LEADER_H */
