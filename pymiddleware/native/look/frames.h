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

/* Why there is no stack: the results of a walk below 0. */
enum {
    SL_PY_WALK_TORN = -1,  /* it changed while it was read */
    SL_PY_WALK_OTHER = -2, /* it is whole, but does not end at the anchor */
    SL_PY_WALK_SHIM = -3,  /* it ends where the interpreter is between frames */
    SL_PY_WALK_DEEP = -4,  /* it does not end, as far as one looks */
    SL_PY_WALK_MORE = -5   /* not of a walk: it is whole, but has more functions
                            * that nobody has met than are learnt at once */
};

/* An anchor that is no frame: walk to the outermost one. */
#define SL_PY_NO_ANCHOR ((uintptr_t)0)

/* Innermost first. */
typedef struct {
    uintptr_t code;
    uintptr_t instruction;
} sl_py_raw_frame;

/* Of a stack that ends before its anchor and goes on elsewhere. */
typedef struct {
    const uintptr_t *below; /* frames it goes on at, the last one first... */
    int count;              /* ...each when the one before has ended in 0 */
    uintptr_t bottom;       /* out: the first part's outermost frame */
} sl_py_parts;

/* Walks the frames of thread state `ts` down to the frame `anchor`, which is
 * left out (0: to the end). `parts`: NULL, if it is in one piece. Returns how
 * many (SL_PY_WALK_MAX: there may be more); below 0: why there is none, and
 * nothing of `frames` is to be believed. The sampler's lock is held. */
int sl_py_frames_walk(const sl_py_layout *layout, const void *ts,
                      uintptr_t anchor, sl_py_parts *parts,
                      sl_py_raw_frame frames[SL_PY_WALK_MAX]);

/* Where the innermost frame of the last walk, or look at the top, is. */
uintptr_t sl_py_frames_innermost(void);

/* So many bytes at `address`, as the last walk copied them; NULL: it has not
 * all of them. */
const char *sl_py_frames_copied(uintptr_t address, size_t size);

/* Only the innermost frame of a function; false: torn, or there is none. */
bool sl_py_frames_top(const sl_py_layout *layout, const void *ts,
                      sl_py_raw_frame *frame);

#endif /* SL_PY_FRAMES_H */
