/* told.h - places that were told: for codes.c alone.
 *
 * A server's requests stand in the same places again and again: one line of
 * memory for each, instead of an entry's slot, the entry and its lines. What is
 * here is true as long as no code object has gone since (`as_of`, not 0), and
 * none is forgotten that more may be asked of.
 */
#ifndef SL_PY_TOLD_H
#define SL_PY_TOLD_H

#include "look/frames.h"

#define SL_PY_TOLD (1u << 11)

static struct {
    sl_py_raw_frame frame;
    uintptr_t as_of;
    const void *code; /* an sl_py_code, and a line of it */
    uint32_t line;
    uint32_t round;
} sl_py_told_places[SL_PY_TOLD];
static uint32_t sl_py_told_round;

static inline uint32_t
sl_py_told_slot(const sl_py_raw_frame *frame)
{
    uint64_t mixed = (frame->instruction >> 1) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(mixed >> 40) & (SL_PY_TOLD - 1);
}

static inline bool
sl_py_told(const sl_py_raw_frame *frame, uintptr_t as_of, const void **code,
           uint32_t *line)
{
    uint32_t at = sl_py_told_slot(frame);

    if (sl_py_told_places[at].frame.instruction != frame->instruction ||
        sl_py_told_places[at].frame.code != frame->code ||
        sl_py_told_places[at].as_of != as_of ||
        sl_py_told_places[at].round != sl_py_told_round)
        return false;
    *code = sl_py_told_places[at].code;
    *line = sl_py_told_places[at].line;
    return true;
}

static inline void
sl_py_told_keep(const sl_py_raw_frame *frame, uintptr_t as_of, const void *code,
                uint32_t line)
{
    uint32_t at = sl_py_told_slot(frame);

    sl_py_told_places[at].frame = *frame;
    sl_py_told_places[at].as_of = as_of;
    sl_py_told_places[at].code = code;
    sl_py_told_places[at].line = line;
    sl_py_told_places[at].round = sl_py_told_round;
}

static inline void
sl_py_told_clear(void)
{
    sl_py_told_round++;
}

#endif /* SL_PY_TOLD_H */
