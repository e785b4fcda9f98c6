/* pieces.h - pieces of time, apart from each other and in order.
 *
 *   add(1, 4)  add(6, 7)      |---|   |-|
 *   add(3, 9)                 |----------|
 *
 * Monotonic ns. There is room for a few: of more, the shortest is forgotten,
 * so that what they say together is never too much.
 */
#ifndef SL_PY_PIECES_H
#define SL_PY_PIECES_H

#include <stdint.h>

#define SL_PY_PIECES_MAX 6

typedef struct {
    uint64_t from, to;
} sl_py_piece;

typedef struct {
    sl_py_piece at[SL_PY_PIECES_MAX];
    uint32_t count;
} sl_py_pieces;

/* Adds the piece, joined with those it touches; an empty one is none. */
void sl_py_pieces_add(sl_py_pieces *pieces, uint64_t from, uint64_t to);

/* Adds what of `other` lies between `from` and `to`; the pieces of both may
 * lie anywhere. */
void sl_py_pieces_join(sl_py_pieces *pieces, const sl_py_pieces *other,
                       uint64_t from, uint64_t to);

/* How long the pieces are together, without what `but` says, too. */
uint64_t sl_py_pieces_length(const sl_py_pieces *pieces,
                             const sl_py_pieces *but);

/* The longest of them; of none, an empty one. */
sl_py_piece sl_py_pieces_longest(const sl_py_pieces *pieces);

#endif /* SL_PY_PIECES_H */
