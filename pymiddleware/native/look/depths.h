/* depths.h - where on a frame's stack the callee of a call lies.
 *
 * The compiler fixes how deep the stack is at each instruction. Nothing keeps
 * that number, but it follows from the instructions as the compiler found it:
 * add up what each pushes and pops, along every way through the code. So a
 * look from outside finds what a function is in the middle of calling, also if
 * that is C and has no frame, and also where a place calls now this, now that.
 *
 * What an opcode does is asked of the interpreter (its `dis`, and
 * PyCompile_OpcodeStackEffectWithJump), not known here.
 *
 * Any thread, with the sampler's lock; it needs no GIL.
 */
#ifndef SL_PY_DEPTHS_H
#define SL_PY_DEPTHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of each opcode: the one it is a faster, or watched, form of; code units of
 * cache behind it; what it is. */
enum {
    SL_PY_OP_JUMPS = 1,
    SL_PY_OP_BACKWARD = 2,
    SL_PY_OP_ENDS = 4, /* what follows is reached by jumps alone */
    SL_PY_OP_EXTENDS = 8,
    SL_PY_OP_CALL = 16,
    SL_PY_OP_CALL_KW = 32,     /* the names of its keywords are on the stack */
    SL_PY_OP_CALL_EX = 64,     /* f(*args, **kwargs) */
    SL_PY_OP_CALL_POPPED = 128 /* its arguments are taken off already (3.11) */
};
#define SL_PY_OP_UNKNOWN 255 /* as the number of caches */
typedef struct {
    unsigned char base[256], caches[256], flags[256];
} sl_py_opcodes;

/* Takes over the table; before the other is used. */
void sl_py_depths_set(const sl_py_opcodes *opcodes);

/* A code object's instructions and what else decides. */
typedef struct {
    const uint16_t *code; /* may hold specialised and watched instructions */
    uint32_t units;
    const uint8_t *handlers; /* the exception table */
    size_t handler_bytes;
    int first_depth, stack_size;
} sl_py_depths_of;

/* For each unit that begins a call, one more than the slot on the stack where
 * the callee lies, or the one behind it if that is NULL; 0 for all others.
 * `callees` and `scratch` hold `units` each. false: the instructions do not add
 * up, and nothing is to be believed. */
bool sl_py_depths_find(const sl_py_depths_of *of, uint16_t *callees,
                       int16_t *scratch);

#endif /* SL_PY_DEPTHS_H */
