/* watcher.h - word of code objects that go.
 *
 * The sampler keeps what it read of a code object by its address, which the
 * next one may have. Who is told of each that goes need not compare the others
 * at each look.
 */
#ifndef SL_PY_WATCHER_H
#define SL_PY_WATCHER_H

#include <stdbool.h>

/* From now on, for as long as the process lives, `gone` is called before a code
 * object's memory is given back, with the GIL; it allocates nothing, and calls
 * nothing of Python's. false: nobody tells (3.11 cannot; an interpreter has
 * room for eight who want to know), or it was tried and not told. With the GIL;
 * once. */
bool sl_py_watch_codes(void (*gone)(void));

#endif /* SL_PY_WATCHER_H */
