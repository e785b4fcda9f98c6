/* label.h - names as other people's formats and terminals can take them.
 *
 * What comes out is valid UTF-8 without control characters, whatever came in
 * (a file name may be any bytes), and no longer than a bound: a format that
 * repeats a name at each node would else be as long as the longest name times
 * their number.
 */
#ifndef SL_CORE_LABEL_H
#define SL_CORE_LABEL_H

#include "buf.h"

#include "slowlens/vocabulary.h"

/* Bytes of a name that stands in for a function wherever it occurs. */
#define SL_LABEL_MAX ((size_t)256)
/* For texts that are put once each. */
#define SL_LABEL_WHOLE SIZE_MAX

/* Appends at most `max` bytes of a text: what is not valid UTF-8 as U+FFFD,
 * control characters (C1 too) as `?`, and "..." for what is cut off. */
void sl_label_text(sl_buf *out, const char *text, size_t len, size_t max);

/* Appends "module.qualname": the name with the stem of its file before it, at
 * most `max` bytes. */
void sl_label_name(sl_buf *out, const sl_function *f, size_t max);

#endif /* SL_CORE_LABEL_H */
