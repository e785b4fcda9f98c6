/* kept.h - what is kept of a text, and hashes that stand for the rest. */
#ifndef SL_CORE_KEPT_H
#define SL_CORE_KEPT_H

#include "slowlens/span.h"

/* What a text is kept as: an sl_span_keep, or as it is. */
enum { SL_KEPT_AS_IS = 3 };

/* One text is several, by what is kept of it: where the hash begins. */
uint64_t sl_kept_seed(const void *table, unsigned keep, sl_sql_dialect dialect);

/* Never 0. */
uint64_t sl_kept_key(uint64_t seed, const char *text, size_t len);

/* The same of a text that somebody else's hash, of 64 good bits, tells apart;
 * another key than that of the text itself. */
uint64_t sl_kept_key_of(uint64_t seed, uint64_t hash, size_t len);

/* Writes what is kept of it, at most SL_SPAN_TEXT_MAX bytes, and returns its
 * length; `memo` (or NULL) may know it by `key`, which begins with the memo. */
size_t sl_kept_made(sl_span_memo *memo, uint64_t key, unsigned keep,
                    sl_sql_dialect dialect, const char *text, size_t len,
                    char *out);

#endif /* SL_CORE_KEPT_H */
