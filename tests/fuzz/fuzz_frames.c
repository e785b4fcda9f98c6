/* Stacks of any kind, as the sampler may read them: whole, torn between two
 * reads, in circles, with frames of other threads, over each other, past the
 * end. A walk that stands still gives what a plain walk over the same memory
 * gives; one that is torn gives nothing wild; both take a bounded number of
 * reads.
 *
 * Input: flags, anchor, innermost frame, reads before the tear, chunk, top; up
 * to three seams; then frames of five bytes: where, previous, code,
 * instruction, owner. The same bytes are a stack in every layout. */
#include "compat/layout.h"
#include "look/frames.h"
#include "look_memory.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { UNIT = 32, UNITS = 240, DEPTH_MAX = 16384 };
#define ARENA ((uintptr_t)UNIT * UNITS)
#define BASE  ((uintptr_t)0x7e5500000000)
#define OTHER (BASE + ((uintptr_t)1 << 30))
#define STATE (BASE - ((uintptr_t)1 << 30))

enum { TORN = 1, TO_THE_END = 2, PARTS = 4 /* and 8 */ };

static sl_py_layout layout;

/* An address by one byte: mostly where a frame may be. */
static uintptr_t
place(uint8_t b)
{
    if (b == 0)
        return 0;
    if (b < UNITS)
        return BASE + (uintptr_t)b * UNIT;
    switch (b) {
    case 240: return BASE + 4; /* of no object */
    case 241: return UINTPTR_MAX - 7;
    case 242: return BASE + ARENA - 8; /* the rest is not there */
    case 243: return BASE + ARENA;
    case 244: return 8;
    case 245: return STATE;
    default: return OTHER + (uintptr_t)(b - 246) * 128;
    }
}

static void
put(int image, uintptr_t address, const void *from, size_t size)
{
    uint8_t *to = look_bytes(address, size, image);
    if (to != NULL)
        memcpy(to, from, size);
}

static void
put_word(int image, uintptr_t address, uintptr_t word)
{
    put(image, address, &word, sizeof(word));
}

static uintptr_t
word_of(uintptr_t address, bool *there)
{
    uintptr_t word = 0;
    const uint8_t *at = look_bytes(address, sizeof(word), 0);
    *there = at != NULL;
    if (*there)
        memcpy(&word, at, sizeof(word));
    return word;
}

static void
put_frame(int image, look_input *in)
{
    uintptr_t at = place(look_take(in)), previous = place(look_take(in)),
              code = place(look_take(in));
    uintptr_t instruction = code + look_take(in);
    uint8_t owner = look_take(in);

    if (layout.code_mask != ~(uintptr_t)0)
        code |= owner >> 5; /* a tagged reference */
    put_word(image, at + layout.frame_previous, previous);
    put_word(image, at + layout.frame_code, code);
    put_word(image, at + layout.frame_instruction, instruction);
    owner &= 7;
    put(image, at + layout.frame_owner, &owner, 1);
}

/* What sl_py_frames_walk says it does, one frame at a time. */
static int
plain_walk(uintptr_t at, uintptr_t anchor, const sl_py_parts *parts,
           sl_py_raw_frame *frames, uintptr_t *bottom)
{
    static sl_py_raw_frame all[DEPTH_MAX];
    int below = parts->count, count = 0;
    bool seam = false, there;
    uint8_t owner = 0;

    for (int seen = 0; at != anchor || below > 0; seen++) {
        if (at == 0 && below > 0) {
            at = parts->below[--below];
            seam = true;
            continue;
        }
        if (below == parts->count)
            *bottom = at;
        if (at == 0)
            return count > 0 && owner != SL_PY_OWNER_GENERATOR
                       ? SL_PY_WALK_OTHER
                       : SL_PY_WALK_SHIM;
        if (seen >= DEPTH_MAX)
            return SL_PY_WALK_DEEP;
        if (at % 8 != 0)
            return SL_PY_WALK_TORN;
        const uint8_t *frame = look_bytes(at, layout.frame_size, 0);
        if (frame == NULL)
            return SL_PY_WALK_TORN;
        owner = frame[layout.frame_owner];
        if (owner > 4)
            return SL_PY_WALK_TORN;
        if (owner < SL_PY_OWNER_ENTRY) {
            uintptr_t code = word_of(at + layout.frame_code, &there);
            code &= layout.code_mask;
            if (code == 0 || code % 8 != 0)
                return SL_PY_WALK_TORN;
            uintptr_t instruction =
                word_of(at + layout.frame_instruction, &there);
            all[count++] =
                (sl_py_raw_frame){ code, seam ? code + layout.code_bytes
                                              : instruction };
            seam = false;
        }
        at = word_of(at + layout.frame_previous, &there);
    }
    if (anchor == SL_PY_NO_ANCHOR && owner == SL_PY_OWNER_GENERATOR)
        return SL_PY_WALK_SHIM;
    int first = count > SL_PY_WALK_MAX ? count - SL_PY_WALK_MAX : 0;
    memcpy(frames, all + first, (size_t)(count - first) * sizeof(*frames));
    return count - first;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static sl_py_raw_frame frames[SL_PY_WALK_MAX], plain[SL_PY_WALK_MAX];
    static uint8_t arena[2][ARENA], other[2][2048], state[2][4096];
    look_input in = { data, data + size };
    uintptr_t below[3] = { 0 };
    bool there = true;

    if (layout.frame_size == 0)
        sl_py_layout_get(&layout);
    size_t states = (layout.ts_size + 7) / 8 * 8;
    look_demand(states + layout.cframe_frame + 8 <= sizeof(state[0]));
    memset(arena, 0, sizeof(arena));
    memset(other, 0, sizeof(other));
    memset(state, 0, sizeof(state));
    look_regions[0] = (look_region){ BASE, ARENA, { arena[0], arena[1] } };
    look_regions[1] =
        (look_region){ OTHER, sizeof(other[0]), { other[0], other[1] } };
    look_regions[2] =
        (look_region){ STATE, sizeof(state[0]), { state[0], state[1] } };

    uint8_t flags = look_take(&in);
    uintptr_t anchor = place(look_take(&in)), top_frame = place(look_take(&in));
    uint8_t torn_at = look_take(&in), chunk = look_take(&in), top = look_take(&in);
    sl_py_parts parts = { .below = below, .count = flags / PARTS % 4 };
    for (int i = 0; i < parts.count; i++)
        below[i] = place(look_take(&in));
    if (flags & TO_THE_END)
        anchor = SL_PY_NO_ANCHOR;
    for (int image = 0; image < 2; image++) {
        put_word(image, STATE + layout.ts_chunk, place(chunk));
        put_word(image, STATE + layout.ts_top, place(top));
        if (layout.via_cframe) {
            put_word(image, STATE + layout.ts_cframe, STATE + states);
            put_word(image, STATE + states + layout.cframe_frame, top_frame);
        } else {
            put_word(image, STATE + layout.ts_frame, top_frame);
        }
    }
    while (in.at < in.end) {
        look_input again = in;
        put_frame(1, &in);
        if (!(flags & TORN) || in.at < data + size / 2)
            put_frame(0, &again);
    }
    look_reads = 0;
    look_torn_at = flags & TORN ? torn_at : SIZE_MAX;

    int count = sl_py_frames_walk(&layout, (const void *)STATE, anchor,
                                  parts.count > 0 ? &parts : NULL, frames);
    look_demand(count >= SL_PY_WALK_DEEP && count <= SL_PY_WALK_MAX);
    look_demand(look_reads <= DEPTH_MAX + 4);
    sl_py_raw_frame innermost;
    if (sl_py_frames_top(&layout, (const void *)STATE, &innermost))
        look_demand(innermost.code != 0 && innermost.code % 8 == 0);
    for (int i = 0; i < count; i++)
        look_demand(frames[i].code != 0 && frames[i].code % 8 == 0);
    if (!(flags & TORN)) {
        uintptr_t bottom = parts.bottom;
        uintptr_t at = word_of(
            STATE + (layout.via_cframe ? layout.ts_cframe : layout.ts_frame),
            &there);
        if (layout.via_cframe)
            at = word_of(at + layout.cframe_frame, &there);
        int expected = there ? plain_walk(at, anchor, &parts, plain, &bottom)
                             : SL_PY_WALK_TORN;
        look_demand(count == expected);
        look_demand(count <= 0 ||
               memcmp(frames, plain, (size_t)count * sizeof(*frames)) == 0);
        look_demand(parts.count == 0 || parts.bottom == bottom);
    }
    return 0;
}
