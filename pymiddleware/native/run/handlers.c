/* Calls of handlers of signals: see handlers.h. */
#include "run/handlers.h"
#include "engine/probes.h"

/* Code objects that live for ever because they were handlers once. */
#define HANDLERS_MAX 32

static uint64_t calls;
static int watched;

static bool
handler_start(const sl_py_target *target, uintptr_t frame, PyObject *argument)
{
    (void)target, (void)frame, (void)argument;
    calls++;
    return false;
}

static const sl_py_action handler_action = { .start = handler_start };
static const sl_py_target handler_target = { "", "", NULL, &handler_action, 0 };

bool
sl_py_handlers_watch(PyCodeObject *code)
{
    const sl_py_probe *probe = sl_py_probe_of((PyObject *)code);

    if (probe != NULL)
        return probe->target == &handler_target;
    if (watched >= HANDLERS_MAX || sl_py_probes_install() != NULL ||
        !sl_py_probes_put(code, &handler_target))
        return false;
    watched++;
    return true;
}

uint64_t
sl_py_handlers_calls(void)
{
    return calls;
}
