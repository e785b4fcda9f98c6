/* contexts.h - what a context variable holds in a context of another thread.
 *
 * A context's variables are an immutable hash array mapped trie, so a look-up
 * needs no lock: every node it meets is whole, or freed and then not believed
 * (types are checked, and the caller checks what comes out). Structures and
 * hashing: Python/hamt.c of CPython, the same from 3.11 to 3.15.
 */
#ifndef SL_PY_CONTEXTS_H
#define SL_PY_CONTEXTS_H

#include "look/frames.h"

/* The value of `variable` (its hash folded to 32 bits by sl_py_context_hash)
 * in the trie `vars`; 0: it has none there, or something was torn. The
 * sampler's lock is held. */
uintptr_t sl_py_context_find(uintptr_t vars, uintptr_t variable, int32_t hash);

/* CPython's hash of an object, as its tries use it. */
int32_t sl_py_context_hash(int64_t hash);

#endif /* SL_PY_CONTEXTS_H */
