/* frames.h - the stack of another thread, read from outside.
 *
 *   thread state --> innermost frame --> previous --> ... --> anchor
 *                      | code, instruction
 *
 * What a frame looks like is data (sl_py_layout, filled by py_compat.h), so
 * that the walk itself knows no CPython version. Nothing here needs the GIL,
 * and nothing that is read is believed: a walk that does not end at the
 * anchor, or that meets what cannot be a frame, was torn.
 */
#ifndef SL_PY_FRAMES_H
#define SL_PY_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Frames that are told; of deeper stacks the outermost. */
#define SL_PY_WALK_MAX 512

/* Owners of frames, the same on all versions: 0 thread, 1 generator, 2 frame
 * object; from here on an entry frame of the interpreter, which is no function.
 */
#define SL_PY_OWNER_GENERATOR 1
#define SL_PY_OWNER_ENTRY     3

/* An anchor that is no frame: walk to the outermost one. */
#define SL_PY_NO_ANCHOR ((uintptr_t)0)

/* Offsets in bytes from the beginning of each structure. */
typedef struct {
    size_t ts_frame;  /* the innermost frame's address... */
    size_t ts_cframe; /* ...or that of what holds it at cframe_frame */
    size_t cframe_frame;
    bool via_cframe;
    size_t ts_chunk, ts_top; /* of the stack that frames lie on */
    size_t ts_context, ts_context_ver, ts_next, ts_native_id;
    size_t ts_size;      /* bytes that hold all of these */
    const char *threads; /* holds the address of the first thread state */
    size_t context_vars; /* of a context: its variables */
    size_t frame_code, frame_previous, frame_instruction, frame_owner;
    size_t frame_size;
    size_t generator_frame; /* of a generator or coroutine: its frame */
    uintptr_t code_mask;    /* bits of the code's address */
    size_t code_bytes;      /* its instructions */
    const char *gil;        /* NULL: not to be seen; never freed */
    size_t gil_size, gil_locked, gil_holder;
    const int *collecting; /* by the garbage collector; NULL: not to be seen */
} sl_py_layout;

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
