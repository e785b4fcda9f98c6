/* The memory that all recordings of the process may hold at once. */
#include "run/budget.h"

#include <stdalign.h>
#include <stdlib.h>

/* What a recording takes to begin with, generously. */
#define FIRST_BYTES ((size_t)96 << 10)

/* Each piece knows its size: `give` is not told. */
typedef union {
    size_t size;
    max_align_t align;
} head;

static size_t used, limit, peak;
static __thread bool encoding;

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

    if (whole < size)
        return NULL;
    size_t now = __atomic_add_fetch(&used, whole, __ATOMIC_RELAXED);
    head *mem = most != 0 && now > most && !encoding ? NULL : malloc(whole);
    if (mem == NULL) {
        __atomic_sub_fetch(&used, whole, __ATOMIC_RELAXED);
        return NULL;
    }
    mem->size = whole;
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
    __atomic_sub_fetch(&account->bytes, mem->size, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&used, mem->size, __ATOMIC_RELAXED);
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
sl_py_budget_limit(size_t bytes)
{
    __atomic_store_n(&limit, bytes, __ATOMIC_RELAXED);
}

bool
sl_py_budget_has_room(void)
{
    size_t most = __atomic_load_n(&limit, __ATOMIC_RELAXED);
    return most == 0 || sl_py_budget_bytes() + FIRST_BYTES < most;
}

size_t
sl_py_budget_bytes(void)
{
    return __atomic_load_n(&used, __ATOMIC_RELAXED);
}

size_t
sl_py_budget_peak(void)
{
    return __atomic_load_n(&peak, __ATOMIC_RELAXED);
}

void
sl_py_budget_encodes(bool encodes)
{
    encoding = encodes;
}
