/* hotpath.h - where most of the time went, as one path. */
#ifndef SL_CORE_HOTPATH_H
#define SL_CORE_HOTPATH_H

#include "buf.h"

#include "slowlens/profile.h"

/* The child of node `i` with the largest total (strands aside), 0 if none. */
uint32_t sl_hotpath_heaviest(const sl_profile *profile, uint32_t i);

/* The next node of the hot path below `i`, or 0 where it ends: no child has
 * a third of the time of `i` and a twentieth of the wall time. Where most
 * of that was waiting for what ran beside it, the path goes on there: [task] or
 * [thread], which may hang elsewhere, and whose times may sum up to more than
 * the request's. */
uint32_t sl_hotpath_next(const sl_profile *profile, uint32_t i);

/* How much of the request's time the `next` node of its hot path stands for,
 * where the one before, `i`, stands for `above` (the root: its total); ns. */
uint64_t sl_hotpath_share(const sl_profile *profile, uint32_t i, uint64_t above,
                          uint32_t next);

/* Appends "views.detail > copy.deepcopy 76%": see sl_report_summary. */
void sl_hotpath_text(const sl_profile *profile, sl_buf *out);

/* Appends "module.qualname": the name with the stem of its file before it. */
void sl_hotpath_name(const sl_function *f, sl_buf *out);

#endif /* SL_CORE_HOTPATH_H */
