/* decoded.h - a blob that a test has made, as a profile; the test fails where
 * it cannot be read. */
#ifndef SL_TEST_DECODED_H
#define SL_TEST_DECODED_H

#include "slowlens/profile.h"

#include <check.h>

/* The caller keeps the blob. */
static inline sl_profile *
decoded_again(const sl_bytes *blob)
{
    sl_profile *profile;
    ck_assert_int_eq(
        sl_profile_decode(&profile, blob->data, blob->size, 0, NULL), SL_OK);
    return profile;
}

/* The blob is freed. */
static inline sl_profile *
decoded(sl_bytes *blob)
{
    sl_profile *profile = decoded_again(blob);
    sl_bytes_free(blob);
    return profile;
}

#endif
