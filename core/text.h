/* text.h - the call tree as indented text for people. */
#ifndef SL_CORE_TEXT_H
#define SL_CORE_TEXT_H

#include "buf.h"

#include "slowlens/profile.h"

/* Puts nodes above `permille` of the wall time (0: all), heaviest first. A
 * failure sticks to `out`. */
void sl_text_put(const sl_profile *profile, uint32_t permille, sl_buf *out);

#endif /* SL_CORE_TEXT_H */
