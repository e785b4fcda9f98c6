/* fuzz.h - what the targets share. */
#ifndef SL_FUZZ_H
#define SL_FUZZ_H

#include "profile.h"

#include "slowlens/bytes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process, which is what a fuzzer listens for. */
static inline void
demand(bool truth)
{
    if (!truth)
        abort();
}

/* A profile of these bytes, or NULL. */
static inline sl_profile *
fuzz_decode(const uint8_t *data, size_t size)
{
    sl_profile *profile;
    sl_status status =
        sl_profile_decode_content(&profile, data, size, 16 << 20, NULL);
    return status == SL_OK ? profile : NULL;
}

/* What a report gave: it may refuse, but not for want of memory, and what it
 * gives is not empty. */
static inline void
fuzz_done(sl_status status, sl_bytes *out)
{
    demand(status == SL_OK || status == SL_ELIMIT || status == SL_ERANGE);
    if (status == SL_OK) {
        demand(out->size > 0);
        sl_bytes_free(out);
    }
}

#endif
