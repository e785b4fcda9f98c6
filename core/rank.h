/* rank.h - numbers of functions or nodes by what they weigh. */
#ifndef SL_CORE_RANK_H
#define SL_CORE_RANK_H

#include <stdint.h>

typedef struct {
    uint64_t weight;
    uint32_t id;
} sl_ranked;

/* For qsort: the heaviest first, equals by number. */
int sl_ranked_compare(const void *a, const void *b);

#endif /* SL_CORE_RANK_H */
