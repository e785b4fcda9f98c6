/* periods.h - periods of time, apart from each other and in order.
 *
 *   add(1, 4)  add(6, 7)      |---|   |-|
 *   add(3, 9)                 |----------|
 *
 * Monotonic ns. There is room for a few: of more, the shortest is forgotten,
 * so that what they say together is never too much.
 */
#ifndef SL_PY_PERIODS_H
#define SL_PY_PERIODS_H

#include <stdint.h>

#define SL_PY_PERIODS_MAX 6

typedef struct {
    uint64_t from, to;
} sl_py_period;

typedef struct {
    sl_py_period at[SL_PY_PERIODS_MAX];
    uint32_t count;
} sl_py_periods;

/* Adds the period, joined with those it touches; an empty one is none. */
void sl_py_periods_add(sl_py_periods *periods, uint64_t from, uint64_t to);

/* Adds what of `other` lies between `from` and `to`; the periods of both may
 * lie anywhere. */
void sl_py_periods_join(sl_py_periods *periods, const sl_py_periods *other,
                        uint64_t from, uint64_t to);

/* How long the periods are together, without what `but` says, too. */
uint64_t sl_py_periods_length(const sl_py_periods *periods,
                              const sl_py_periods *but);

/* The longest of them; of none, an empty one. */
sl_py_period sl_py_periods_longest(const sl_py_periods *periods);

#endif /* SL_PY_PERIODS_H */
