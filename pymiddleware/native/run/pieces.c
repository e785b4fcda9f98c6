/* Pieces of time: see pieces.h. */
#include "run/pieces.h"

#include <string.h>

static uint64_t
length_of(const sl_py_piece *piece)
{
    return piece->to - piece->from;
}

static void
remove_at(sl_py_pieces *pieces, uint32_t at)
{
    pieces->count--;
    memmove(&pieces->at[at], &pieces->at[at + 1],
            (pieces->count - at) * sizeof(*pieces->at));
}

/* Puts it where its beginning belongs, in place of those it touches. */
static void
put(sl_py_pieces *pieces, sl_py_piece piece)
{
    uint32_t at = 0;

    while (at < pieces->count) {
        const sl_py_piece *other = &pieces->at[at];
        if (other->to < piece.from || other->from > piece.to) {
            at++;
            continue;
        }
        piece.from = piece.from < other->from ? piece.from : other->from;
        piece.to = piece.to > other->to ? piece.to : other->to;
        remove_at(pieces, at);
        at = 0;
    }
    if (pieces->count == SL_PY_PIECES_MAX) {
        uint32_t shortest = 0;
        for (uint32_t i = 1; i < pieces->count; i++) {
            if (length_of(&pieces->at[i]) < length_of(&pieces->at[shortest]))
                shortest = i;
        }
        if (length_of(&piece) <= length_of(&pieces->at[shortest]))
            return;
        remove_at(pieces, shortest);
    }
    at = pieces->count++;
    while (at > 0 && pieces->at[at - 1].from > piece.from) {
        pieces->at[at] = pieces->at[at - 1];
        at--;
    }
    pieces->at[at] = piece;
}

void
sl_py_pieces_add(sl_py_pieces *pieces, uint64_t from, uint64_t to)
{
    if (from < to)
        put(pieces, (sl_py_piece){ from, to });
}

void
sl_py_pieces_join(sl_py_pieces *pieces, const sl_py_pieces *other,
                  uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < other->count; i++) {
        const sl_py_piece *piece = &other->at[i];
        sl_py_pieces_add(pieces, piece->from > from ? piece->from : from,
                         piece->to < to ? piece->to : to);
    }
}

uint64_t
sl_py_pieces_length(const sl_py_pieces *pieces, const sl_py_pieces *but)
{
    uint64_t length = 0;

    for (uint32_t i = 0; i < pieces->count; i++) {
        const sl_py_piece *piece = &pieces->at[i];
        length += length_of(piece);
        for (uint32_t j = 0; but != NULL && j < but->count; j++) {
            const sl_py_piece *out = &but->at[j];
            uint64_t from = out->from > piece->from ? out->from : piece->from;
            uint64_t to = out->to < piece->to ? out->to : piece->to;
            length -= to > from ? to - from : 0;
        }
    }
    return length;
}

sl_py_piece
sl_py_pieces_longest(const sl_py_pieces *pieces)
{
    sl_py_piece longest = { 0, 0 };

    for (uint32_t i = 0; i < pieces->count; i++) {
        if (length_of(&pieces->at[i]) > length_of(&longest))
            longest = pieces->at[i];
    }
    return longest;
}
