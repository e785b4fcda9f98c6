/* framed.h - a profile in which what was asked of others stands as frames, for
 * formats that have nothing better for it.
 *
 *   execute  61 ms              execute  61 ms
 *   `- C.execute  60 ms   -->   `- db: SELECT id FROM author WHERE id = ?  61
 * ms
 *                                  `- C.execute  60 ms
 *
 * Only where the spans of a node are one text and (but for a tenth) all of its
 * time: of others it is not known which part of the node's time is theirs. */
#ifndef SL_CORE_FRAMED_H
#define SL_CORE_FRAMED_H

#include "slowlens/profile.h"

/* In *out the profile with its frames, to be freed before the original; NULL:
 * it has none. No metadata that the original has not; no spans. SL_ENOMEM. */
sl_status sl_profile_framed(const sl_profile *profile, sl_profile **out);

#endif /* SL_CORE_FRAMED_H */
