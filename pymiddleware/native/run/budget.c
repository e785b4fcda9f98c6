/* The memory that all recordings of the process may hold at once. */
#define _GNU_SOURCE
#include "run/budget.h"

#include <stdalign.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef MAP_ANONYMOUS
#    define MAP_ANONYMOUS MAP_ANON
#endif

/* What a recording takes to begin with, generously. */
#define FIRST_BYTES ((size_t)96 << 10)
#define TIMES_BYTES ((size_t)16 << 10)

/* Each piece knows its size: `give` is not told. */
typedef union {
    size_t size;
    max_align_t align;
} head;

/* Guarded by nothing: atomic. */
static size_t used, limit, peak;
static __thread bool encoding;

/* Guarded by the GIL. */
static uint64_t less_sampled, less_timed;

/* ---- pages ---- */

/* From here on a piece is pages of its own. Sanitizers see what the C library
 * hands out, and no other. */
#ifdef __has_feature
#    if __has_feature(address_sanitizer)
#        define __SANITIZE_ADDRESS__ 1 /* as gcc says it */
#    endif
#endif
#ifdef __SANITIZE_ADDRESS__
#    define PAGES_MIN SIZE_MAX
#else
#    define PAGES_MIN ((size_t)32 << 10)
#endif
/* The core's usual block; so many of them are kept for the next burst. */
#define BLOCK_BYTES ((size_t)64 << 10)
#define SPARE_MAX   32

static head *spare[SPARE_MAX]; /* atomic, each; NULL: free */

/* What a profile is encoded in is kept for the next one, a few pieces and so
 * much of it together: to have the kernel clear pages anew took as long as all
 * the rest of encoding. */
#define SCRATCH_MAX   8
#define SCRATCH_BYTES ((size_t)2 << 20)

static head *scratch[SCRATCH_MAX]; /* likewise */
static size_t scratch_bytes;       /* atomic: of those that are kept */

static size_t
page_round(size_t size)
{
    enum { PAGE = 16 << 10 }; /* or a part of it, on all systems */
    return (size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static bool
slot_put(head **slot, head *mem)
{
    head *none = NULL;

    return __atomic_load_n(slot, __ATOMIC_RELAXED) == NULL &&
           __atomic_compare_exchange_n(slot, &none, mem, false,
                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static head *
slot_take(head **slot)
{
    return __atomic_load_n(slot, __ATOMIC_RELAXED) == NULL
               ? NULL
               : __atomic_exchange_n(slot, NULL, __ATOMIC_ACQUIRE);
}

static bool
scratch_give(head *mem)
{
    size_t kept =
        __atomic_add_fetch(&scratch_bytes, mem->size, __ATOMIC_RELAXED);

    for (int i = 0; kept <= SCRATCH_BYTES && i < SCRATCH_MAX; i++) {
        if (slot_put(&scratch[i], mem))
            return true;
    }
    __atomic_sub_fetch(&scratch_bytes, mem->size, __ATOMIC_RELAXED);
    return false;
}

/* One that is kept, less than twice as large; or NULL. */
static head *
scratch_take(size_t size)
{
    for (int i = 0; i < SCRATCH_MAX; i++) {
        head *mem = slot_take(&scratch[i]);
        if (mem == NULL)
            continue;
        __atomic_sub_fetch(&scratch_bytes, mem->size, __ATOMIC_RELAXED);
        if (mem->size >= size && mem->size / 2 < size)
            return mem;
        if (!scratch_give(mem))
            munmap(mem, mem->size);
    }
    return NULL;
}

/* Of at least `size` bytes; its head says how many. */
static head *
pages_take(size_t size)
{
    head *mem = NULL;

    for (int i = 0; size == BLOCK_BYTES && mem == NULL && i < SPARE_MAX; i++)
        mem = slot_take(&spare[i]);
    if (mem == NULL && encoding)
        mem = scratch_take(size);
    if (mem != NULL)
        return mem;
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    mem = pages;
    mem->size = size;
    return mem;
}

static void
pages_give(head *mem)
{
    for (int i = 0; mem->size == BLOCK_BYTES && i < SPARE_MAX; i++) {
        if (slot_put(&spare[i], mem))
            return;
    }
    if (!encoding || !scratch_give(mem))
        munmap(mem, mem->size);
}

/* ---- accounts ---- */

/* The part of the limit that recordings of this kind may fill. */
static size_t
part_of(size_t most, sl_py_by by)
{
    static const size_t eighths[] = { 6, 7, 8, 0 };
    return most / 8 * eighths[by];
}

static void
raise_to(size_t *most, size_t now)
{
    size_t before = __atomic_load_n(most, __ATOMIC_RELAXED);

    while (before < now &&
           !__atomic_compare_exchange_n(most, &before, now, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

static void *
budget_take(void *ctx, size_t size)
{
    sl_py_account *account = ctx;
    size_t whole = size + sizeof(head);
    size_t most = __atomic_load_n(&limit, __ATOMIC_RELAXED);
    sl_py_by by = __atomic_load_n(&account->by, __ATOMIC_RELAXED);

    if (whole < size || whole > SIZE_MAX / 2)
        return NULL;
    if (whole >= PAGES_MIN)
        whole = page_round(whole);
    size_t now = __atomic_add_fetch(&used, whole, __ATOMIC_RELAXED);
    bool full = most != 0 && now > part_of(most, by) && !encoding;
    head *mem = full                 ? NULL
                : whole >= PAGES_MIN ? pages_take(whole)
                                     : malloc(whole);
    if (mem == NULL) {
        __atomic_sub_fetch(&used, whole, __ATOMIC_RELAXED);
        return NULL;
    }
    if (whole < PAGES_MIN)
        mem->size = whole;
    else if (mem->size > whole) { /* it was another's before */
        now = __atomic_add_fetch(&used, mem->size - whole, __ATOMIC_RELAXED);
        whole = mem->size;
    }
    __atomic_add_fetch(&account->bytes, whole, __ATOMIC_RELAXED);
    raise_to(&peak, now);
    return mem + 1;
}

static void
budget_give(void *ctx, void *ptr)
{
    sl_py_account *account = ctx;
    head *mem = ptr;

    if (mem == NULL)
        return;
    mem--;
    size_t whole = mem->size;
    __atomic_sub_fetch(&account->bytes, whole, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&used, whole, __ATOMIC_RELAXED);
    if (whole >= PAGES_MIN)
        pages_give(mem);
    else
        free(mem);
}

sl_alloc
sl_py_budget_alloc(sl_py_account *account)
{
    return (sl_alloc){ budget_take, budget_give, account };
}

size_t
sl_py_account_bytes(const sl_py_account *account)
{
    return __atomic_load_n(&account->bytes, __ATOMIC_RELAXED);
}

void
sl_py_account_by(sl_py_account *account, sl_py_by by)
{
    __atomic_store_n(&account->by, by, __ATOMIC_RELAXED);
}

/* ---- the limit ---- */

void
sl_py_budget_limit(size_t bytes)
{
    __atomic_store_n(&limit, bytes, __ATOMIC_RELAXED);
}

sl_py_by
sl_py_budget_begin(sl_py_by by)
{
    size_t most = __atomic_load_n(&limit, __ATOMIC_RELAXED);
    size_t now = __atomic_load_n(&used, __ATOMIC_RELAXED);

    while (most != 0 && by < SL_PY_BY_NOTHING) {
        size_t first = by == SL_PY_BY_TIMES ? TIMES_BYTES : FIRST_BYTES;
        if (now + first <= part_of(most, by))
            break;
        by++;
    }
    return by;
}

void
sl_py_budget_less(sl_py_by by)
{
    less_sampled += by == SL_PY_BY_SAMPLES;
    less_timed += by == SL_PY_BY_TIMES;
}

sl_py_budget_facts
sl_py_budget_told(void)
{
    return (sl_py_budget_facts){
        .bytes = __atomic_load_n(&used, __ATOMIC_RELAXED),
        .peak = __atomic_load_n(&peak, __ATOMIC_RELAXED),
        .sampled = less_sampled,
        .timed = less_timed,
    };
}

void
sl_py_budget_encodes(bool encodes)
{
    encoding = encodes;
}
