/* Periods of time: see periods.h. */
#include "run/periods.h"

#include <string.h>

static uint64_t
length_of(const sl_py_period *period)
{
    return period->to - period->from;
}

static void
remove_at(sl_py_periods *periods, uint32_t at)
{
    periods->count--;
    memmove(&periods->at[at], &periods->at[at + 1],
            (periods->count - at) * sizeof(*periods->at));
}

/* Puts it where its beginning belongs, in place of those it touches. */
static void
put(sl_py_periods *periods, sl_py_period period)
{
    uint32_t at = 0;

    while (at < periods->count) {
        const sl_py_period *other = &periods->at[at];
        if (other->to < period.from || other->from > period.to) {
            at++;
            continue;
        }
        period.from = period.from < other->from ? period.from : other->from;
        period.to = period.to > other->to ? period.to : other->to;
        remove_at(periods, at);
        at = 0;
    }
    if (periods->count == SL_PY_PERIODS_MAX) {
        uint32_t shortest = 0;
        for (uint32_t i = 1; i < periods->count; i++) {
            if (length_of(&periods->at[i]) < length_of(&periods->at[shortest]))
                shortest = i;
        }
        if (length_of(&period) <= length_of(&periods->at[shortest]))
            return;
        remove_at(periods, shortest);
    }
    at = periods->count++;
    while (at > 0 && periods->at[at - 1].from > period.from) {
        periods->at[at] = periods->at[at - 1];
        at--;
    }
    periods->at[at] = period;
}

void
sl_py_periods_add(sl_py_periods *periods, uint64_t from, uint64_t to)
{
    if (from < to)
        put(periods, (sl_py_period){ from, to });
}

void
sl_py_periods_join(sl_py_periods *periods, const sl_py_periods *other,
                   uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < other->count; i++) {
        const sl_py_period *period = &other->at[i];
        sl_py_periods_add(periods, period->from > from ? period->from : from,
                          period->to < to ? period->to : to);
    }
}

uint64_t
sl_py_periods_length(const sl_py_periods *periods, const sl_py_periods *but)
{
    uint64_t length = 0;

    for (uint32_t i = 0; i < periods->count; i++) {
        const sl_py_period *period = &periods->at[i];
        length += length_of(period);
        for (uint32_t j = 0; but != NULL && j < but->count; j++) {
            const sl_py_period *out = &but->at[j];
            uint64_t from = out->from > period->from ? out->from : period->from;
            uint64_t to = out->to < period->to ? out->to : period->to;
            length -= to > from ? to - from : 0;
        }
    }
    return length;
}

sl_py_period
sl_py_periods_longest(const sl_py_periods *periods)
{
    sl_py_period longest = { 0, 0 };

    for (uint32_t i = 0; i < periods->count; i++) {
        if (length_of(&periods->at[i]) > length_of(&longest))
            longest = periods->at[i];
    }
    return longest;
}
