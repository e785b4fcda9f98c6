/* functions.h - addresses to function numbers, for one recording.
 *
 * Open addressing over a power of two of slots; grown tables stay in the
 * arena until it dies, which costs at most as much again as the last one.
 */
#ifndef SL_CORE_FUNCTIONS_H
#define SL_CORE_FUNCTIONS_H

#include "arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    sl_arena *arena;   /* borrowed */
    const void **keys; /* by number */
    uint16_t *flags;   /* by number: the owner's to use, 0 at first */
    uint32_t *slots;   /* number + 1; 0: free */
    uint32_t count;
    uint32_t capacity; /* of keys and flags */
    uint32_t mask;     /* slots - 1 */
} sl_functions;

/* An empty table. SL_ENOMEM, SL_ELIMIT. */
sl_status sl_functions_init(sl_functions *table, sl_arena *arena);

/* Number of `key`; *added tells whether it is new. On failure (SL_ENOMEM,
 * SL_ELIMIT) nothing is added. */
sl_status sl_functions_id(sl_functions *table, const void *key, uint32_t *id,
                          bool *added);

#endif /* SL_CORE_FUNCTIONS_H */
