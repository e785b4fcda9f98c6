/* fault.h - an allocator that fails on purpose. */
#ifndef SL_TEST_FAULT_H
#define SL_TEST_FAULT_H

#include "slowlens/alloc.h"

/* Hooks that succeed `budget` times and then answer NULL. `live` counts the
 * blocks not given back: 0 at the end means no leak. */
typedef struct {
    sl_alloc alloc;
    long budget;
    long live;
} fault;

void fault_init(fault *f, long budget);

#endif
