/* summary.h - what a list, a log line and an index want of a profile: the
 * SUMMARY section, made when a blob is written. Keys: slowlens/meta.h. */
#ifndef SL_CORE_SUMMARY_H
#define SL_CORE_SUMMARY_H

#include "buf.h"
#include "hotpath.h"

/* Self time of the request itself by what it was: origins up to NONE, then
 * waits. */
enum {
    SL_SPLIT_AWAIT = SL_ORIGIN_NONE,
    SL_SPLIT_LOOP,
    SL_SPLIT_IDLE,
    SL_SPLIT_GC,
    SL_SPLIT_UNSEEN,
    SL_SPLIT_OTHER,
    SL_SPLITS
};
void sl_summary_split(const sl_outline *o, uint64_t split[SL_SPLITS]);

/* Appends one sentence: where the time went. */
void sl_summary_headline(const sl_outline *o, const sl_hotpath *path,
                         sl_buf *out);

/* Appends the whole section's payload. `clipped`: numbers that the writer had
 * to cut. Failures stick to `out`. */
void sl_summary_put(const sl_outline *o, uint64_t clipped, sl_buf *out);

#endif /* SL_CORE_SUMMARY_H */
