/* layout.h - where things are inside the interpreter, as data.
 *
 * Whoever looks from outside (look/) knows no CPython version: it is told the
 * offsets. They are compiled from the interpreter's own internal headers and
 * believed only after sampler/self_test.c tried them on a real stack.
 */
#ifndef SL_PY_LAYOUT_H
#define SL_PY_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Owners of frames, the same on all versions: 0 thread, 1 generator, 2 frame
 * object; from here on an entry frame of the interpreter, which is no function.
 */
#define SL_PY_OWNER_GENERATOR 1
#define SL_PY_OWNER_ENTRY     3

/* No thread state is larger; what is, is not read. */
#define SL_PY_TS_SIZE_MAX 4096

/* Offsets in bytes from the beginning of each structure. */
typedef struct {
    size_t ts_frame;  /* the innermost frame's address... */
    size_t ts_cframe; /* ...or that of what holds it at cframe_frame */
    size_t cframe_frame;
    bool via_cframe;
    size_t ts_chunk, ts_top; /* of the stack that frames lie on: its newest
                              * chunk, and where the next frame would begin */
    size_t chunk_previous, chunk_size, chunk_data; /* of a chunk: frames begin
                                                    * at its data */
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
    const void *const *callbacks; /* of sys.monitoring, `callback_events` for
                                   * each tool; NULL: there are none */
    size_t callback_events;
} sl_py_layout;

/* Fills *out for the interpreter that this was compiled for. */
void sl_py_layout_get(sl_py_layout *out);

#endif /* SL_PY_LAYOUT_H */
