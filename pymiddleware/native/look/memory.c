/* Reads that the kernel does for us, and refuses where there is nothing: see
 * memory.h. */
#define _GNU_SOURCE
#include "look/memory.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Where copies lie. */
static char *window;

/* The second way only: the window is a file's pages, into which a write(2)
 * copies. The application may have closed the descriptor, with all that it does
 * not know, and have opened a file of its own under that number: which file it
 * was is noted. */
static int window_fd = -1;
static struct stat window_file;
static bool use_file;

static bool window_open(bool file);

/* A word that is 0 again in whatever child of whatever fork, also of one that
 * calls no hooks: who asked for a thread's number before that would write into
 * the parent's memory. Else a number that no process above this one had. NULL:
 * the kernel cannot do it (before 4.14). */
static volatile uint32_t *forget;

static void
forget_open(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *mem = forget != NULL ? MAP_FAILED
                               : mmap(NULL, page, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mem == MAP_FAILED)
        return;
    if (madvise(mem, page, MADV_WIPEONFORK) == 0)
        forget = mem;
    else
        munmap(mem, page);
}

/* The calling thread's number, which the kernel was asked for once: half of all
 * system calls of a look were for it. */
static long
own_thread(void)
{
    static __thread long number;
    static __thread uint32_t asked_in;
    static volatile uint32_t processes; /* that asked, down to this one */

    if (forget == NULL)
        return syscall(SYS_gettid);
    /* Each thread for itself: that another one has asked in this process says
     * nothing of the one that forked. */
    if (*forget == 0)
        *forget = ++processes;
    if (asked_in != *forget) {
        asked_in = *forget;
        number = syscall(SYS_gettid);
    }
    return number;
}

/* What was copied lies in the window. By number, not by name: under the names
 * stand the sanitizers' own readers, which look through memory that its owner
 * frees meanwhile, and end the process when it changes under their eyes. By
 * thread: the first one may have ended before the process. */
static bool
write_window(const struct iovec *from, size_t count, size_t size)
{
    struct iovec to = { window, size };
    long got =
        syscall(SYS_process_vm_writev, own_thread(), from, count, &to, 1L, 0L);
    return got == (long)size;
}

/* Whether the descriptor is still the one that was opened. */
static bool
file_is_ours(void)
{
    struct stat now;

    return window_fd >= 0 && fstat(window_fd, &now) == 0 &&
           now.st_dev == window_file.st_dev && now.st_ino == window_file.st_ino;
}

static bool
write_file(const struct iovec *from, size_t count, size_t size)
{
    if (!file_is_ours() && !window_open(true))
        return false;
    return syscall(SYS_pwritev, window_fd, from, count, 0L, 0L) == (long)size;
}

const void *
sl_py_memory_read(const sl_py_piece *pieces, size_t count)
{
    struct iovec from[SL_PY_PIECES_MAX];
    size_t size = 0;

    if ((window == NULL && !use_file) || count == 0 || count > SL_PY_PIECES_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].from == NULL || pieces[i].size > SL_PY_READ_MAX - size)
            return NULL;
        from[i] = (struct iovec){ (void *)pieces[i].from, pieces[i].size };
        size += pieces[i].size;
    }
    bool done = use_file ? write_file(from, count, size)
                         : write_window(from, count, size);
    return done ? window : NULL;
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
    if (file_is_ours())
        close(window_fd);
    window = NULL;
    window_fd = -1;
}

static bool
window_open(bool file)
{
    int flags = file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;

    window_close();
    forget_open();
    use_file = file;
    if (file) {
        window_fd = memfd_create("slowlens", MFD_CLOEXEC);
        if (window_fd < 0 || fstat(window_fd, &window_file) < 0 ||
            ftruncate(window_fd, SL_PY_READ_MAX) < 0)
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
    static const char *const names[] = { "process_vm_writev", "memfd" };

    for (int file = 0; file < 2; file++) {
        if (window_open(file != 0) && window_works())
            return names[file];
    }
    window_close();
    use_file = false;
    return NULL;
}
