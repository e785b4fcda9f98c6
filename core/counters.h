/* counters.h - numbers of nodes beside calls and times: (node, metric) to a
 * sum. What COUNTERS of a blob is written from.
 *
 * Nodes are only addresses here. Full or out of memory, it takes no more and
 * counts what it left out.
 */
#ifndef SL_CORE_COUNTERS_H
#define SL_CORE_COUNTERS_H

#include "slowlens/alloc.h"
#include "slowlens/metric.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const void *node;
    uint32_t metric;
    uint64_t value;
} sl_counter;

typedef struct {
    sl_alloc alloc;
    sl_counter *rows;
    uint32_t *slots; /* number + 1; 0: free */
    uint32_t count, capacity;
    uint64_t lost; /* additions that found no room */
} sl_counters;

/* Zeroed but for `alloc` is empty. Both may be called in any state. */
void sl_counters_clear(sl_counters *counters);
void sl_counters_free(sl_counters *counters);

/* Adds to a metric of a node. */
void sl_counters_add(sl_counters *counters, const void *node, sl_metric metric,
                     uint64_t value);

/* The rows have been put in another order. */
void sl_counters_reslot(sl_counters *counters);

#endif /* SL_CORE_COUNTERS_H */
