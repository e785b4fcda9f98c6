/* The walk over the frames of another thread: see frames.h. */
#include "look/frames.h"
#include "look/memory.h"

#include <string.h>

#define OWNER_LAST 4
#define CHUNK_MAX  ((uintptr_t)128 << 10)
/* A walk that goes on for longer goes round in a circle. */
#define DEPTH_MAX 16384
/* After so many frames, or so many reads of one frame each (those of
 * generators), the middle of the stack is left out: what is told are the
 * outermost frames, which lie in these last chunks of it (of 16 KiB; 22 frames
 * or more in each). */
#define SKIP_AFTER       4096
#define SKIP_AFTER_READS 512
#define CHUNKS_KEPT      24
#define CHUNKS_MAX       16384

/* The thread's own stack is a list of chunks (_PyStackChunk in CPython's
 * Include/cpython/pystate.h and push_chunk in Python/pystate.c, the same from
 * 3.11 to 3.15), newest first. Frames of generators lie elsewhere. */
static struct {
    uintptr_t from, to;   /* a copy of one chunk's part with frames: one read
                           * instead of one for each */
    uintptr_t older;      /* the next chunk; 0: there is none, or none wanted */
    uintptr_t older_size; /* 0: not asked yet */
    char bytes[CHUNK_MAX];
} stack;

static uintptr_t chunks[CHUNKS_MAX];
static int reads; /* of one frame each, in this walk */
static uintptr_t innermost;

static uintptr_t
word_at(const char *bytes, size_t offset)
{
    uintptr_t word;
    memcpy(&word, bytes + offset, sizeof(word));
    return word;
}

/* Copies what lies between the chunk's beginning, or the anchor if that is in
 * it, and `top`. */
static void
stack_load(const sl_py_layout *layout, uintptr_t chunk, uintptr_t top,
           uintptr_t anchor)
{
    stack.from = stack.to = stack.older = stack.older_size = 0;
    /* The anchor mostly lies on the same chunk, below what is wanted. */
    bool last = anchor > chunk && anchor < top;
    uintptr_t from = last ? anchor : chunk;
    if (from == 0 || top <= from || top - from > CHUNK_MAX)
        return;
    sl_py_piece piece = { (const void *)from, top - from };
    const void *copy = sl_py_memory_read(&piece, 1);
    if (copy == NULL)
        return;
    memcpy(stack.bytes, copy, top - from);
    stack.from = from;
    stack.to = top;
    if (!last && top - from >= layout->chunk_data)
        stack.older = word_at(stack.bytes, layout->chunk_previous);
}

/* The sizes and what comes before it of the chunk at `chunk`. */
static bool
chunk_head(const sl_py_layout *layout, uintptr_t chunk, uintptr_t *size,
           uintptr_t *previous)
{
    sl_py_piece piece = { (const void *)chunk, layout->chunk_data };
    const char *head =
        chunk == 0 || (chunk & 7) != 0 ? NULL : sl_py_memory_read(&piece, 1);
    if (head == NULL)
        return false;
    *size = word_at(head, layout->chunk_size);
    *previous = word_at(head, layout->chunk_previous);
    return true;
}

/* Whether the frame at `address` lies on the next older chunk. */
static bool
is_on_older(const sl_py_layout *layout, uintptr_t address)
{
    uintptr_t unused;

    if (stack.older == 0)
        return false;
    if (stack.older_size == 0 &&
        !chunk_head(layout, stack.older, &stack.older_size, &unused)) {
        stack.older = 0;
        return false;
    }
    return address > stack.older && address - stack.older < stack.older_size;
}

/* So many bytes at `address` within the copy; NULL: it has not all of them.
 * What a torn read gave may be any number: no sum that could overflow. */
static inline const char *
copied(uintptr_t address, size_t size)
{
    return address >= stack.from && address < stack.to &&
                   stack.to - address >= size
               ? stack.bytes + (address - stack.from)
               : NULL;
}

/* The bytes of the frame at `address`, or NULL. */
static const char *
frame_bytes(const sl_py_layout *layout, uintptr_t address, uintptr_t anchor)
{
    for (int try = 0; try < 2; try++) {
        const char *frame = copied(address, layout->frame_size);
        if (frame != NULL)
            return frame;
        if (!is_on_older(layout, address))
            break;
        stack_load(layout, stack.older, address + layout->frame_size, anchor);
    }
    sl_py_piece piece = { (const void *)address, layout->frame_size };
    reads++;
    return sl_py_memory_read(&piece, 1);
}

/* The frame to go on at if the middle of a deep stack is left out: the first
 * one of a chunk near its end; 0: there is nothing to leave out. */
static uintptr_t
skip(const sl_py_layout *layout, uintptr_t anchor)
{
    uintptr_t at = stack.older, size;
    size_t count = 0;

    while (at != 0 && count < CHUNKS_MAX) {
        chunks[count++] = at;
        uintptr_t here = at;
        if (!chunk_head(layout, at, &size, &at) ||
            (anchor > here && anchor - here < size))
            break;
    }
    if (count <= CHUNKS_KEPT || count == CHUNKS_MAX)
        return 0;
    stack.from = stack.to = stack.older_size = 0;
    stack.older = chunks[count - CHUNKS_KEPT + 1];
    return chunks[count - CHUNKS_KEPT] + layout->chunk_data;
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

/* Takes the code and the place of a frame that was copied. At a seam, where one
 * greenlet had switched to another, the place is left out: a function that
 * starts a greenlet on one line and switches to it on the next is one node
 * then, and not two. false: it has no code, so it is no frame. */
static bool
frame_take(const sl_py_layout *layout, const char *frame, bool seam,
           sl_py_raw_frame *out)
{
    uintptr_t code = word_at(frame, layout->frame_code) & layout->code_mask;

    if (code == 0 || (code & 7) != 0)
        return false;
    *out = (sl_py_raw_frame){ code, seam ? code + layout->code_bytes
                                         : word_at(frame,
                                                   layout->frame_instruction) };
    return true;
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
    stack_load(layout, chunk, top, anchor);

    int below = parts != NULL ? parts->count : 0;
    bool seam = false, tried = false, skipped = false;
    reads = 0;
    innermost = 0;
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
        if (!tried && below == 0 &&
            (seen == SKIP_AFTER || reads == SKIP_AFTER_READS)) {
            uintptr_t far = skip(layout, anchor);
            tried = true;
            skipped = far != 0;
            at = skipped ? far : at;
            count = skipped ? 0 : count;
        }
        if ((at & 7) != 0)
            return SL_PY_WALK_TORN;
        frame = copied(at, layout->frame_size); /* nearly always */
        if (frame == NULL && (frame = frame_bytes(layout, at, anchor)) == NULL)
            return SL_PY_WALK_TORN;
        owner = (unsigned char)frame[layout->frame_owner];
        if (owner > OWNER_LAST)
            return SL_PY_WALK_TORN;
        if (owner < SL_PY_OWNER_ENTRY) {
            if (!frame_take(layout, frame, seam,
                            &frames[count % SL_PY_WALK_MAX]))
                return SL_PY_WALK_TORN;
            innermost = innermost == 0 ? at : innermost;
            count++;
            seam = false;
        }
        at = word_at(frame, layout->frame_previous);
    }
    /* No thread begins in a coroutine: it is a suspended one, of anybody. The
     * interpreter (3.11, 3.12) shows the innermost frame of whatever it ran
     * before, for an instant, each time it is entered. */
    if (anchor == SL_PY_NO_ANCHOR && owner == SL_PY_OWNER_GENERATOR)
        return SL_PY_WALK_SHIM;
    if (skipped && count < SL_PY_WALK_MAX) /* not all that is to be told */
        return SL_PY_WALK_DEEP;
    return ring_turn(frames, count);
}

uintptr_t
sl_py_frames_innermost(void)
{
    return innermost;
}

const char *
sl_py_frames_copied(uintptr_t address, size_t size)
{
    return copied(address, size);
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
    stack.from = stack.to = stack.older = 0;
    for (int i = 0; i < 2 && at != 0 && (at & 7) == 0; i++) {
        const char *bytes = frame_bytes(layout, at, SL_PY_NO_ANCHOR);
        if (bytes == NULL)
            return false;
        if ((unsigned char)bytes[layout->frame_owner] < SL_PY_OWNER_ENTRY) {
            innermost = at;
            return frame_take(layout, bytes, false, frame);
        }
        at = word_at(bytes, layout->frame_previous);
    }
    return false;
}
