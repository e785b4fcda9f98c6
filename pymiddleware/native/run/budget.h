/* budget.h - the memory that all recordings of the process may hold at once.
 *
 * What a recording's core takes is counted here, chunk by chunk. Past the
 * limit it gets no more: the core then does what it does when it is full
 * (events go on as samples, paths are folded), and new recordings are refused
 * until others have ended. Encoding is not stopped by it: it is what gives
 * memory back.
 *
 * The counts are atomic: the sampler's thread takes memory without the GIL.
 */
#ifndef SL_PY_BUDGET_H
#define SL_PY_BUDGET_H

#include "slowlens/alloc.h"

#include <stdbool.h>
#include <stddef.h>

/* What one core holds; its address is the allocator's context, so it lives as
 * long as the core. */
typedef struct {
    size_t bytes;
} sl_py_account;

/* Memory on that account. */
sl_alloc sl_py_budget_alloc(sl_py_account *account);

/* Bytes on that account. */
size_t sl_py_account_bytes(const sl_py_account *account);

/* 0: no limit. */
void sl_py_budget_limit(size_t bytes);

/* Whether another recording may begin. */
bool sl_py_budget_has_room(void);

/* Bytes of all accounts now, and the most there have been. */
size_t sl_py_budget_bytes(void);
size_t sl_py_budget_peak(void);

/* The calling thread encodes: no limit for what it takes, until it is over. */
void sl_py_budget_encodes(bool encodes);

#endif /* SL_PY_BUDGET_H */
