/* Stack depths by adding up: see depths.h. */
#include "look/depths.h"
#include "compat/py_compat.h"

#include <string.h>

#define WAYS_MAX 1024
/* No code that fits has jumps or stacks as large. */
#define ARGUMENT_MAX 0x3FFFFF
/* No instruction does more, but PY_INVALID_STACK_EFFECT says so: it is none. */
#define EFFECT_MAX 1000

static sl_py_opcodes known;
static bool is_known;

void
sl_py_depths_set(const sl_py_opcodes *opcodes)
{
    known = *opcodes;
    is_known = true;
}

/* Where else the walk goes on. */
typedef struct {
    struct {
        uint32_t at;
        int depth;
    } ways[WAYS_MAX];
    int count;
} to_do;

static bool
way_add(to_do *todo, uint32_t at, int depth)
{
    if (todo->count == WAYS_MAX)
        return false;
    todo->ways[todo->count].at = at;
    todo->ways[todo->count++].depth = depth;
    return true;
}

static bool
handler_number(const uint8_t **at, const uint8_t *end, uint32_t *out)
{
    uint32_t value = 0;
    uint8_t byte;

    do {
        if (*at == end)
            return false;
        byte = *(*at)++;
        value = value << 6 | (byte & 63);
    } while ((byte & 64) != 0);
    *out = value;
    return true;
}

/* Where exceptions lead to, and how deep the stack is there:
 * InternalDocs/exception_handling.md of CPython, the same since 3.11. */
static bool
handlers_add(const sl_py_depths_of *of, to_do *todo)
{
    const uint8_t *at = of->handlers, *end = at + of->handler_bytes;

    while (at < end) {
        uint32_t start, length, target, depth;
        if (!handler_number(&at, end, &start) ||
            !handler_number(&at, end, &length) ||
            !handler_number(&at, end, &target) ||
            !handler_number(&at, end, &depth))
            return false;
        /* The exception is pushed, and before it where it was raised, if that
         * is wanted. */
        if (!way_add(todo, target, (int)(depth >> 1) + 1 + (int)(depth & 1)))
            return false;
    }
    return true;
}

/* One more than the first slot of the callee of a call at that depth; 0: it is
 * no call. */
static uint16_t
callee_slot(unsigned char flags, int argument, int depth)
{
    int slot;

    if ((flags & SL_PY_OP_CALL_EX) != 0)
        slot = depth - sl_py_call_ex_depth(argument);
    else if ((flags & SL_PY_OP_CALL_KW) != 0)
        slot = depth - argument - 3;
    else if ((flags & SL_PY_OP_CALL_POPPED) != 0)
        slot = depth - 2;
    else if ((flags & SL_PY_OP_CALL) != 0)
        slot = depth - argument - 2;
    else
        return 0;
    return slot < 0 ? 0 : (uint16_t)(slot + 1);
}

/* Follows the instructions from `at` on until they end or are known. */
static bool
walk_on(const sl_py_depths_of *of, to_do *todo, uint32_t at, int depth,
        uint16_t *callees, int16_t *depths)
{
    int extended = 0;

    while (at < of->units && depths[at] < 0) {
        unsigned char op = (unsigned char)(of->code[at] & 0xFF);
        unsigned char base = known.base[op], flags = known.flags[base];
        int argument = extended << 8 | of->code[at] >> 8;
        uint32_t next = at + 1 + known.caches[base];
        if (known.caches[op] == SL_PY_OP_UNKNOWN || depth < 0 ||
            depth > of->stack_size || argument > ARGUMENT_MAX)
            return false;
        depths[at] = (int16_t)depth;
        if ((flags & SL_PY_OP_EXTENDS) != 0) {
            extended = argument;
            at = next;
            continue;
        }
        extended = 0;
        callees[at] = callee_slot(flags, argument, depth);
        if ((flags & SL_PY_OP_JUMPS) != 0) {
            uint32_t to = (flags & SL_PY_OP_BACKWARD) != 0
                              ? next - (uint32_t)argument
                              : next + (uint32_t)argument;
            int effect = PyCompile_OpcodeStackEffectWithJump(base, argument, 1);
            if (effect < -EFFECT_MAX || effect > EFFECT_MAX ||
                to >= of->units ||
                (depths[to] < 0 && !way_add(todo, to, depth + effect)))
                return false;
        }
        if ((flags & SL_PY_OP_ENDS) != 0)
            return true;
        int effect = PyCompile_OpcodeStackEffectWithJump(base, argument, 0);
        if (effect < -EFFECT_MAX || effect > EFFECT_MAX)
            return false;
        depth += effect;
        at = next;
    }
    return true;
}

bool
sl_py_depths_find(const sl_py_depths_of *of, uint16_t *callees,
                  int16_t *scratch)
{
    static to_do todo;

    if (!is_known || of->stack_size > INT16_MAX)
        return false;
    memset(callees, 0, of->units * sizeof(*callees));
    for (uint32_t i = 0; i < of->units; i++)
        scratch[i] = -1;
    todo.count = 0;
    if (!handlers_add(of, &todo) || !way_add(&todo, 0, of->first_depth))
        return false;
    while (todo.count > 0) {
        todo.count--;
        if (!walk_on(of, &todo, todo.ways[todo.count].at,
                     todo.ways[todo.count].depth, callees, scratch))
            return false;
    }
    return true;
}
