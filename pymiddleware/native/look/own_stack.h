/* own_stack.h - the calling thread's own stack, by plain loads.
 *
 * Everything here needs the GIL. The sampler's lock may be held, but for
 * sl_py_own_await_chain, which runs code of the interpreter.
 */
#ifndef SL_PY_OWN_STACK_H
#define SL_PY_OWN_STACK_H

#include "compat/py_compat.h"
#include "look/frames.h"

/* The innermost frame of the calling thread that is not one of slowlens's
 * own: what lies above it belongs to the request. 0: there is none. */
uintptr_t sl_py_own_anchor(const sl_py_layout *layout);

/* The layout was tried on real frames and found right. */
void sl_py_own_trust(const sl_py_layout *layout);

/* The same where no memory can be read but by plain loads: tries the layout on
 * the calling thread's stack, from frame to frame that Python knows, and trusts
 * it if it is right. Makes frame objects. */
bool sl_py_own_try(const sl_py_layout *layout);

/* Whether the layout is trusted. */
bool sl_py_own_is_trusted(void);

/* Address of the calling thread's innermost frame. The layout is trusted. */
uintptr_t sl_py_own_frame(void);

/* The same if it runs `code`; 0: another one does, so what was told was no
 * event but somebody who called the callback. */
uintptr_t sl_py_own_frame_running(const PyObject *code);

/* Variable `index` of that frame, BORROWED; NULL: not set. The layout is
 * trusted. */
PyObject *sl_py_own_local(uintptr_t frame, int index);

/* The one of that name, BORROWED; NULL: not set, in a cell, or there is none.
 */
PyObject *sl_py_own_variable(uintptr_t frame, const char *name);

/* The code object that a frame of the calling thread runs, BORROWED. The
 * layout is trusted. */
PyCodeObject *sl_py_own_code(uintptr_t frame);

/* The frame that called it; 0: none did. / Where it is, as an offset into its
 * instructions. The layout is trusted. */
uintptr_t sl_py_own_back(uintptr_t frame);
uint32_t sl_py_own_offset(uintptr_t frame);

/* Where (likewise) the calling thread's current frame is, if it runs `code`;
 * 0: it does not, or the layout is not trusted. */
uint32_t sl_py_own_site(const void *code);

/* Where (an offset into its instructions) the frame that runs `code` called
 * the calling thread's current frame; 0: not known, it is another frame that
 * did, or the layout is not trusted. */
uint32_t sl_py_own_caller_site(const void *code);

/* The arguments, `max` at most, of the call of `callable` that the calling
 * thread's current frame is about to make at `offset`, a place of its code,
 * BORROWED, and how many; 0: not found. `first` is the first of them (a
 * method's object is). The layout is trusted. */
int sl_py_own_arguments(uintptr_t frame, uint32_t offset,
                        const PyObject *callable, PyObject *first,
                        PyObject **out, int max);

/* Address of the frame that a frame object stands for. */
uintptr_t sl_py_own_frame_of(PyObject *frame_object);

/* The frames from the one at `at` (of the calling thread, or of a greenlet that
 * waits in it) down to `anchor`, which is left out, or to the outermost:
 * innermost first, at most `max`. Returns how many. */
int sl_py_own_frames(uintptr_t at, uintptr_t anchor, sl_py_raw_frame *frames,
                     int max);

/* The same for a stack that is known to stand above `anchor`, with a hash of
 * all of it: equal stacks have equal ones. -1: it does not end there (a
 * greenlet that nobody told of), or is deeper than `max`. */
int sl_py_own_walk(uintptr_t at, uintptr_t anchor, sl_py_raw_frame *frames,
                   int max, uint64_t *hash);

/* Where in its function the frame is, is not to be told. */
void sl_py_own_forget_line(sl_py_raw_frame *frame);

/* The chain of coroutines and generators that `awaitable` is suspended in,
 * innermost first, as frames. Returns how many. */
int sl_py_own_await_chain(const sl_py_layout *layout, PyObject *awaitable,
                          sl_py_raw_frame frames[SL_PY_WALK_MAX]);

/* What that coroutine, generator, or what stands before one, is suspended in,
 * NEW; NULL: nothing that is known. */
PyObject *sl_py_own_awaited(PyObject *awaitable);

/* The same by the layout that is trusted; none is: 0. */
int sl_py_own_awaits(PyObject *awaitable,
                     sl_py_raw_frame frames[SL_PY_WALK_MAX]);

#endif /* SL_PY_OWN_STACK_H */
