/* frames.h - the stack of another thread, read from outside.
 *
 *   thread state --> innermost frame --> previous --> ... --> anchor
 *                      | code, instruction
 *
 * What a frame looks like is data (sl_py_layout, compat/layout.h), so
 * that the walk itself knows no CPython version. Nothing here needs the GIL,
 * and nothing that is read is believed: a walk that does not end at the
 * anchor, or that meets what cannot be a frame, was torn.
 */
#ifndef SL_PY_FRAMES_H
#define SL_PY_FRAMES_H

#include "compat/layout.h"

/* Frames that are told; of deeper stacks the outermost. */
#define SL_PY_WALK_MAX 512

/* An anchor that is no frame: walk to the outermost one. */
#define SL_PY_NO_ANCHOR ((uintptr_t)0)

/* Innermost first. */
typedef struct {
    uintptr_t code;
    uintptr_t instruction;
} sl_py_raw_frame;

/* Walks the frames of thread state `ts` down to the frame `anchor`, which is
 * left out (0: to the end). Returns how many; -1: torn, and nothing of
 * `frames` is to be believed. The sampler's lock is held. */
int sl_py_frames_walk(const sl_py_layout *layout, const void *ts,
                      uintptr_t anchor, sl_py_raw_frame frames[SL_PY_WALK_MAX]);

#endif /* SL_PY_FRAMES_H */
