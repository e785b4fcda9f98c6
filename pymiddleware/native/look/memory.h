/* memory.h - reads of this process's own memory that cannot crash it.
 *
 * The sampler looks at frames that their threads may free while it looks. It
 * lets the kernel copy: a page that is gone makes the copy fail, not the
 * process. No signal handler is involved, so faulthandler and the like go on
 * undisturbed.
 *
 * The first way (process_vm_writev, from this process to this process) needs no
 * descriptor. The second, where a sandbox forbids that one, writes into a file
 * without a name; before each write it makes sure that the number is still that
 * file's, for an application may close descriptors that it does not know.
 *
 * One thread at a time (the sampler's lock is held), and it may be any.
 */
#ifndef SL_PY_MEMORY_H
#define SL_PY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One piece: `size` bytes from `from`. */
typedef struct {
    const void *from;
    size_t size;
} sl_py_piece;

/* Pieces and bytes one call takes at most. */
#define SL_PY_PIECES_MAX 512
#define SL_PY_READ_MAX   ((size_t)256 << 10)

/* Chooses the first way that passes its test in this process, and says which
 * ("process_vm_writev", "memfd"), or NULL: none is allowed here. Call it again
 * in a forked child. */
const char *sl_py_memory_init(void);

/* Copies the pieces one behind the other. Returns the copy, valid until the
 * next call; NULL: some byte was not there. */
const void *sl_py_memory_read(const sl_py_piece *pieces, size_t count);

/* Copies `size` bytes to *out. false: they are not there, or address is 0. */
bool sl_py_memory_copy(uintptr_t address, size_t size, void *out);

#endif /* SL_PY_MEMORY_H */
