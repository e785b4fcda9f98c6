/* Reads that the kernel does for us, and refuses where there is nothing: see
 * memory.h. */
#define _GNU_SOURCE
#include "look/memory.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Where copies lie: private for process_vm_readv, the file's pages for the
 * memfd, into which a write(2) copies and reports EFAULT where it cannot. */
static char *window;
static int window_fd = -1;
static pid_t window_pid;
static bool use_vm;

/* By number, not by name: under the names stand the sanitizers' own readers,
 * which look through memory that its owner frees meanwhile, and end the process
 * when it changes under their eyes. */
static const void *
read_memfd(const struct iovec *from, size_t count, size_t size)
{
    long got = syscall(SYS_pwritev, window_fd, from, count, 0L, 0L);
    return got == (long)size ? window : NULL;
}

static const void *
read_vm(const struct iovec *from, size_t count, size_t size)
{
    struct iovec to = { window, SL_PY_READ_MAX };
    long got = syscall(SYS_process_vm_readv, (long)window_pid, &to, 1L, from,
                       count, 0L);
    return got == (long)size ? window : NULL;
}

const void *
sl_py_memory_read(const sl_py_piece *pieces, size_t count)
{
    struct iovec from[SL_PY_PIECES_MAX];
    size_t size = 0;

    if (window == NULL || count == 0 || count > SL_PY_PIECES_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].from == NULL || pieces[i].size > SL_PY_READ_MAX - size)
            return NULL;
        from[i] = (struct iovec){ (void *)pieces[i].from, pieces[i].size };
        size += pieces[i].size;
    }
    return use_vm ? read_vm(from, count, size) : read_memfd(from, count, size);
}

bool
sl_py_memory_copy(uintptr_t address, size_t size, void *out)
{
    sl_py_piece piece = { (const void *)address, size };
    const void *copy = address == 0 ? NULL : sl_py_memory_read(&piece, 1);
    if (copy != NULL)
        memcpy(out, copy, size);
    return copy != NULL;
}

static void
window_close(void)
{
    if (window != NULL)
        munmap(window, SL_PY_READ_MAX);
    if (window_fd >= 0)
        close(window_fd);
    window = NULL;
    window_fd = -1;
}

static bool
window_open(bool vm)
{
    int flags = MAP_SHARED;

    use_vm = vm;
    window_pid = getpid();
    if (vm) {
        flags = MAP_PRIVATE | MAP_ANONYMOUS;
    } else {
        window_fd = memfd_create("slowlens", MFD_CLOEXEC);
        if (window_fd < 0 || ftruncate(window_fd, SL_PY_READ_MAX) < 0)
            return false;
    }
    void *mem =
        mmap(NULL, SL_PY_READ_MAX, PROT_READ | PROT_WRITE, flags, window_fd, 0);
    window = mem == MAP_FAILED ? NULL : mem;
    return window != NULL;
}

/* Reads what is there, and is told about what is not. */
static bool
window_works(void)
{
    static const char known[] = "slowlens reads itself";
    char here[sizeof(known)];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    memcpy(here, known, sizeof(known));
    sl_py_piece pieces[] = { { here, 9 }, { here + 9, sizeof(here) - 9 } };
    const void *copy = sl_py_memory_read(pieces, 2);
    if (copy == NULL || memcmp(copy, known, sizeof(known)) != 0)
        return false;

    char *gone = mmap(NULL, page * 2, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (gone == MAP_FAILED)
        return false;
    mprotect(gone + page, page, PROT_NONE);
    sl_py_piece half = { gone + page - 8, 16 };
    bool refused = sl_py_memory_read(&half, 1) == NULL;
    munmap(gone, page * 2);
    sl_py_piece nothing = { gone, 8 };
    return refused && sl_py_memory_read(&nothing, 1) == NULL;
}

const char *
sl_py_memory_init(void)
{
    static const char *const names[] = { "memfd", "process_vm_readv" };

    for (int vm = 0; vm < 2; vm++) {
        window_close();
        if (window_open(vm != 0) && window_works())
            return names[vm];
    }
    window_close();
    return NULL;
}
