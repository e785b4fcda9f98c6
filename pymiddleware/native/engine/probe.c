/* The table of probed code objects, and one call of one of them. */
#include "engine/probe.h"
#include "look/own_stack.h"

sl_py_probe *sl_py_probe_slots[SL_PY_PROBE_SLOTS];
uint8_t sl_py_probe_hints[SL_PY_PROBE_SLOTS];
uint32_t sl_py_probe_count;

bool
sl_py_probe_put(sl_py_probe *probe)
{
    uint32_t at = (uint32_t)(((uintptr_t)probe->code >> 4) * 2654435761u) &
                  (SL_PY_PROBE_SLOTS - 1);

    if (sl_py_probe_count >= SL_PY_PROBE_SLOTS / 2)
        return false;
    while (sl_py_probe_slots[at] != NULL)
        at = (at + 1) & (SL_PY_PROBE_SLOTS - 1);
    sl_py_probe_slots[at] = probe;
    *sl_py_probe_hint(probe->code) = 1;
    sl_py_probe_count++;
    return true;
}

bool
sl_py_probe_start(const sl_py_probe *probe)
{
    uintptr_t frame = sl_py_own_frame_running(probe->code);
    PyObject *argument = NULL;

    if (frame == 0)
        return false;
    if (probe->local >= 0)
        argument = sl_py_own_local(frame, probe->local);
    if (argument != NULL && probe->cell)
        argument = PyCell_Check(argument) ? PyCell_GET(argument) : NULL;
    return probe->target->action->start != NULL &&
           probe->target->action->start(probe->target, frame, argument);
}

void
sl_py_probe_leave(const sl_py_probe *probe, PyObject *result)
{
    uintptr_t frame = sl_py_own_frame_running(probe->code);

    if (frame != 0 && probe->target->action->leave != NULL)
        probe->target->action->leave(probe->target, frame, result);
}

void
sl_py_probe_line(const sl_py_probe *probe)
{
    uintptr_t frame = sl_py_own_frame_running(probe->code);

    if (frame != 0 && probe->target->action->line != NULL)
        probe->target->action->line(probe->target, frame);
}

void
sl_py_probe_calls(const sl_py_probe *probe, PyObject *callable)
{
    uintptr_t frame = sl_py_own_frame_running(probe->code);

    if (frame != 0 && probe->target->action->calls != NULL)
        probe->target->action->calls(probe->target, frame, callable);
}
