/* self_test.h - whether sampling works on this interpreter. */
#ifndef SL_PY_SELF_TEST_H
#define SL_PY_SELF_TEST_H

#include "look/depths.h"

/* Tries everything the sampler needs on the calling thread's own stack. NULL:
 * it works here, and may be used; else why not, in one sentence. With the GIL,
 * without the sampler's lock. */
const char *sl_py_sampler_test(const char *own_files);

/* What the interpreter's opcodes are; without it no C function is named. With
 * the GIL, without the sampler's lock. */
void sl_py_sampler_opcodes(const sl_py_opcodes *opcodes);

#endif /* SL_PY_SELF_TEST_H */
