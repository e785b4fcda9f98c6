/* What look/ and compat/layout.c want of an interpreter when none is there:
 * addresses, and room behind them. Without Python.h, whose types these are. */
#include <stdalign.h>
#include <stddef.h>

alignas(64) char PyUnicode_Type[1024];
alignas(64) char PyBytes_Type[1024];
alignas(64) char PyCode_Type[1024];
alignas(64) char _PyRuntime[4 << 20];

void *PyInterpreterState_Main(void);
int PyCompile_OpcodeStackEffectWithJump(int opcode, int oparg, int jump);

void *
PyInterpreterState_Main(void)
{
    static alignas(64) char interpreter[4 << 20];
    return interpreter;
}

/* Any effect there is, of any instruction. */
int
PyCompile_OpcodeStackEffectWithJump(int opcode, int oparg, int jump)
{
    return (opcode * 7 + oparg + jump) % 9 - 4;
}
