/* sample.h - small recordings and profiles that several suites need. */
#ifndef SL_TEST_SAMPLE_H
#define SL_TEST_SAMPLE_H

#include "slowlens/profile.h"
#include "slowlens/recording.h"

/* Keys are static chars: their addresses are as good as any. */
extern const char VIEW[64], DUMPS[64], COPY[64], LEN[64], WAIT[64];

/* Describes the keys above. */
bool sample_describe(void *ctx, uint32_t id, const void *key, sl_function *out);

/* request > view > (dumps > len x3, copy > copy > copy), an await of 40
 * ticks under view; ticks are nanoseconds and start at `start`. */
sl_status sample_record(sl_recording **out, const sl_alloc *alloc);

/* The sample, encoded with some metadata. */
sl_status sample_blob(sl_bytes *out, const sl_alloc *alloc);

/* A request that asks the same query `queries` times from line 12 of view, 50
 * ticks each, one other query of 400, and renders a template within another. */
sl_status sample_asking(sl_recording **out, uint32_t queries,
                        const sl_alloc *alloc);
#define SAMPLE_QUERY "SELECT id FROM author WHERE id = ?"

#endif
