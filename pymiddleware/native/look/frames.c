/* The walk over the frames of another thread: see frames.h. */
#include "look/frames.h"
#include "look/memory.h"

#include <string.h>

#define OWNER_LAST 4
#define CHUNK_MAX  ((uintptr_t)128 << 10)
/* A walk that goes on for longer goes round in a circle. */
#define DEPTH_MAX 16384

/* A copy of the part of the thread's own stack where the frames between the
 * anchor and the innermost one lie: one read instead of one for each. */
typedef struct {
    uintptr_t from, to;
    char bytes[CHUNK_MAX];
} stack_copy;

static stack_copy stack;

static uintptr_t
word_at(const char *bytes, size_t offset)
{
    uintptr_t word;
    memcpy(&word, bytes + offset, sizeof(word));
    return word;
}

static void
stack_load(uintptr_t chunk, uintptr_t top, uintptr_t anchor)
{
    stack.from = stack.to = 0;
    /* The anchor mostly lies on the same chunk, below what is wanted. */
    uintptr_t from = anchor > chunk && anchor < top ? anchor : chunk;
    if (from == 0 || top <= from || top - from > CHUNK_MAX)
        return;
    sl_py_piece piece = { (const void *)from, top - from };
    const void *copy = sl_py_memory_read(&piece, 1);
    if (copy == NULL)
        return;
    memcpy(stack.bytes, copy, top - from);
    stack.from = from;
    stack.to = top;
}

/* The bytes of the frame at `address`, or NULL. */
static const char *
frame_bytes(const sl_py_layout *layout, uintptr_t address)
{
    /* What a torn read gave may be any number: no sum that could overflow. */
    if (address >= stack.from && address < stack.to &&
        stack.to - address >= layout->frame_size)
        return stack.bytes + (address - stack.from);
    sl_py_piece piece = { (const void *)address, layout->frame_size };
    return sl_py_memory_read(&piece, 1);
}

/* Of more frames than there is room for, the outermost are kept, in a ring:
 * what they called is then told as their own time. Turns the ring. */
static int
ring_turn(sl_py_raw_frame frames[SL_PY_WALK_MAX], int count)
{
    static sl_py_raw_frame turned[SL_PY_WALK_MAX];
    int first = count % SL_PY_WALK_MAX;

    if (count <= SL_PY_WALK_MAX)
        return count;
    memcpy(turned, frames + first,
           (size_t)(SL_PY_WALK_MAX - first) * sizeof(*frames));
    memcpy(turned + SL_PY_WALK_MAX - first, frames,
           (size_t)first * sizeof(*frames));
    memcpy(frames, turned, sizeof(turned));
    return SL_PY_WALK_MAX;
}

int
sl_py_frames_walk(const sl_py_layout *layout, const void *ts, uintptr_t anchor,
                  sl_py_parts *parts, sl_py_raw_frame frames[SL_PY_WALK_MAX])
{
    sl_py_piece piece = { ts, layout->ts_size };
    const char *state = sl_py_memory_read(&piece, 1);
    uintptr_t at;
    unsigned char owner = 0;
    int count = 0;

    if (state == NULL)
        return SL_PY_WALK_TORN;
    at = word_at(state,
                 layout->via_cframe ? layout->ts_cframe : layout->ts_frame);
    uintptr_t chunk = word_at(state, layout->ts_chunk);
    uintptr_t top = word_at(state, layout->ts_top);
    if (layout->via_cframe &&
        !sl_py_memory_copy(at + layout->cframe_frame, sizeof(at), &at))
        return SL_PY_WALK_TORN;
    stack_load(chunk, top, anchor);

    int below = parts != NULL ? parts->count : 0;
    bool seam = false;
    for (int seen = 0; at != anchor || below > 0; seen++) {
        const char *frame;
        if (at == 0 && below > 0) {
            at = parts->below[--below];
            seam = true;
            continue;
        }
        if (parts != NULL && below == parts->count)
            parts->bottom = at;
        if (at == 0) /* a suspended generator has no caller, nor has a shim */
            return count == 0 || owner == SL_PY_OWNER_GENERATOR
                       ? SL_PY_WALK_SHIM
                       : SL_PY_WALK_OTHER;
        if (seen >= DEPTH_MAX)
            return SL_PY_WALK_DEEP;
        if ((at & 7) != 0 || (frame = frame_bytes(layout, at)) == NULL)
            return SL_PY_WALK_TORN;
        owner = (unsigned char)frame[layout->frame_owner];
        if (owner > OWNER_LAST)
            return SL_PY_WALK_TORN;
        if (owner < SL_PY_OWNER_ENTRY) {
            uintptr_t code =
                word_at(frame, layout->frame_code) & layout->code_mask;
            if (code == 0 || (code & 7) != 0)
                return SL_PY_WALK_TORN;
            /* Which of its lines switched is not told: a function that starts
             * a greenlet and goes on to switch to it is one node. */
            frames[count++ % SL_PY_WALK_MAX] = (sl_py_raw_frame){
                code, seam ? code + layout->code_bytes
                           : word_at(frame, layout->frame_instruction)
            };
            seam = false;
        }
        at = word_at(frame, layout->frame_previous);
    }
    /* No thread begins in a coroutine: it is a suspended one, of anybody. The
     * interpreter (3.11, 3.12) shows the innermost frame of whatever it ran
     * before, for an instant, each time it is entered. */
    if (anchor == SL_PY_NO_ANCHOR && owner == SL_PY_OWNER_GENERATOR)
        return SL_PY_WALK_SHIM;
    return ring_turn(frames, count);
}

bool
sl_py_frames_top(const sl_py_layout *layout, const void *ts,
                 sl_py_raw_frame *frame)
{
    sl_py_piece piece = { ts, layout->ts_size };
    const char *state = sl_py_memory_read(&piece, 1);
    uintptr_t at;

    if (state == NULL)
        return false;
    at = word_at(state,
                 layout->via_cframe ? layout->ts_cframe : layout->ts_frame);
    if (layout->via_cframe &&
        !sl_py_memory_copy(at + layout->cframe_frame, sizeof(at), &at))
        return false;
    /* Between C and Python lies one of the interpreter's own, at most. */
    stack.from = stack.to = 0;
    for (int i = 0; i < 2 && at != 0 && (at & 7) == 0; i++) {
        const char *bytes = frame_bytes(layout, at);
        if (bytes == NULL)
            return false;
        if ((unsigned char)bytes[layout->frame_owner] < SL_PY_OWNER_ENTRY) {
            *frame =
                (sl_py_raw_frame){ word_at(bytes, layout->frame_code) &
                                       layout->code_mask,
                                   word_at(bytes, layout->frame_instruction) };
            return frame->code != 0 && (frame->code & 7) == 0;
        }
        at = word_at(bytes, layout->frame_previous);
    }
    return false;
}
