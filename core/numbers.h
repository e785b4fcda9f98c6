/* numbers.h - the inside of a table of numbers, for its reports. */
#ifndef SL_CORE_NUMBERS_H
#define SL_CORE_NUMBERS_H

#include "histogram.h"

#include "slowlens/numbers.h"

typedef struct {
    uint64_t hash;
    uint64_t from_s;
    sl_numbers_key key; /* texts are the table's */
    uint64_t count, errors;
    sl_histogram wall, cpu;
    uint64_t sums[SL_NUMBERS_SUMS];
} sl_numbers_row;

/* Borrowed; in the order of first sight. */
const sl_numbers_row *sl_numbers_row_at(const sl_numbers *numbers, uint32_t i);

/* Whether the table tells periods apart. */
bool sl_numbers_has_periods(const sl_numbers *numbers);

/* As sl_numbers_load with the zstd frame taken off: what the fuzzer feeds. */
sl_status sl_numbers_load_content(sl_numbers *numbers, const void *content,
                                  size_t size);

#endif /* SL_CORE_NUMBERS_H */
