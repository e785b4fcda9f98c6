/* tell.h - where a sampled request is, told to its entry on the board.
 *
 * Under the sampler's lock, between the entry's begin and its end.
 */
#ifndef SL_PY_TELL_H
#define SL_PY_TELL_H

#include "board/board.h"
#include "look/codes.h"

#include "slowlens/recording.h"

/* It was seen at `now` (CLOCK_MONOTONIC) with this stack, outermost first, of
 * sl_py_code. The innermost function of the project goes on the board, or the
 * innermost of all. `entry` may be NULL. */
void sl_py_tell(sl_py_entry *entry, const sl_frame *stack, uint32_t count,
                uint64_t now);

/* ...where it was before. */
void sl_py_tell_again(sl_py_entry *entry, uint64_t now);

#endif /* SL_PY_TELL_H */
