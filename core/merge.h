/* merge.h - a union as a blob, for whoever made one. */
#ifndef SL_CORE_MERGE_H
#define SL_CORE_MERGE_H

#include "union.h"

#include "slowlens/bytes.h"

/* What side 0 of the union holds, as an ordinary blob. Its rows are renumbered
 * on the way: afterwards the union may only be freed. As sl_merge. */
sl_status sl_union_encode(sl_union *u, const sl_meta *meta, size_t meta_count,
                          int level, sl_bytes *out);

#endif /* SL_CORE_MERGE_H */
