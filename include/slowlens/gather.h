/* slowlens/gather.h - a tree that the trees of many requests are added to.
 *
 *   request ended -> blob -> sl_gather_add(gather, profile, weight)
 *                                 |  ten minutes of a route
 *                                 v
 *                            sl_gather_encode: an ordinary blob
 *                                 |  sl_gather_add, blob by blob
 *                                 v
 *                            an hour, a release, the whole site
 *
 * As sl_merge, but one profile at a time, none of which needs to live on, in
 * bounded memory. A request that was chosen, one of so many, to speak for the
 * others counts as often as `weight` says: then the sums are those of all
 * requests, estimated without bias as long as the choice knew nothing of what
 * the request did.
 *
 * Bounds: a gather has at most max_nodes nodes of the requests' trees. Time
 * below a node that found no room is in a node [truncated] below the nearest
 * one that did; sl_gather_is_full says that this was so.
 *
 * Threads: one at a time may be inside any function of a gather.
 */
#ifndef SL_GATHER_H
#define SL_GATHER_H

#include "slowlens/bytes.h"
#include "slowlens/profile.h"

typedef struct sl_gather sl_gather;

/* An empty one in *out, which is yours. `max_nodes` 0: 20,000. SL_ENOMEM. */
sl_status sl_gather_new(sl_gather **out, uint32_t max_nodes);
void sl_gather_free(sl_gather *gather);

/* Adds a profile, each of its numbers `weight` times (at least once). Times in
 * order (TIMELINE) have no sum and are left out. SL_ENOMEM: then it may only
 * be freed. */
sl_status sl_gather_add(sl_gather *gather, const sl_profile *profile,
                        uint32_t weight);

/* How many profiles were added; nodes; bytes of memory; whether something found
 * no room. */
uint64_t sl_gather_count(const sl_gather *gather);
uint32_t sl_gather_nodes(const sl_gather *gather);
size_t sl_gather_bytes(const sl_gather *gather);
bool sl_gather_is_full(const sl_gather *gather);

/* Writes what was added as a blob with `meta` in it, and begins anew: the
 * gather is empty afterwards, whatever is returned. SL_ERANGE (nothing was
 * added, or too much metadata), SL_ENOMEM, SL_ELIMIT, SL_ECOMPRESS. */
sl_status sl_gather_encode(sl_gather *gather, const sl_meta *meta,
                           size_t meta_count, int level, sl_bytes *out);

#endif /* SL_GATHER_H */
