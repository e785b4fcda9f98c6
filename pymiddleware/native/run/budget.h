/* budget.h - the memory that all recordings of the process may hold at once.
 *
 *   0          6/8      7/8       1   of the limit (max_active_bytes)
 *   |- events --|        |        |
 *   |- samples ----------|        |   and what went on by samples
 *   |- times alone ---------------|
 *
 * What a recording's core takes is counted here, block by block. Each kind of
 * recording has a part of the limit of its own, so that at a cap the next
 * cheaper thing finds room: whoever begins past its part is recorded with less
 * (sl_py_budget_begin), and what runs gets no more: its core then does what it
 * does when it is full (events go on as samples, paths are folded). Encoding
 * is not stopped: it is what gives memory back.
 *
 * Blocks of the core's usual size and above are pages of their own, so what a
 * burst took goes back to the system as soon as it is over, but for a few; so
 * does what it is encoded in, but for 2 MiB.
 *
 * The counts are atomic: the sampler's thread takes memory without the GIL.
 */
#ifndef SL_PY_BUDGET_H
#define SL_PY_BUDGET_H

#include "slowlens/alloc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a recording is made of, dearest first. */
typedef enum {
    SL_PY_BY_EVENTS,
    SL_PY_BY_SAMPLES,
    SL_PY_BY_TIMES,
    SL_PY_BY_NOTHING, /* there is no room at all */
} sl_py_by;

/* What one core holds; its address is the allocator's context, so it lives as
 * long as the core. */
typedef struct {
    size_t bytes;
    sl_py_by by;
} sl_py_account;

/* Memory on that account. */
sl_alloc sl_py_budget_alloc(sl_py_account *account);

/* Bytes on that account. */
size_t sl_py_account_bytes(const sl_py_account *account);

/* What the account's recording is from now on. */
void sl_py_account_by(sl_py_account *account, sl_py_by by);

/* 0: no limit. */
void sl_py_budget_limit(size_t bytes);

/* What a recording that wants `by` may be now: that, or something cheaper. */
sl_py_by sl_py_budget_begin(sl_py_by by);

typedef struct {
    size_t bytes, peak;      /* of all accounts now, and the most ever */
    uint64_t sampled, timed; /* recordings that began with less than wanted */
} sl_py_budget_facts;

/* A recording began as `by`, and was wanted as something dearer. GIL. */
void sl_py_budget_less(sl_py_by by);

sl_py_budget_facts sl_py_budget_told(void);

/* The calling thread encodes: no limit for what it takes, until it is over. */
void sl_py_budget_encodes(bool encodes);

#endif /* SL_PY_BUDGET_H */
