/* jobs.h - work that a request handed to another thread, see run/jobs.h. With
 * the GIL held, and without the lock. */
#ifndef SL_PY_SAMPLER_JOBS_H
#define SL_PY_SAMPLER_JOBS_H

#include "sampler/state.h"

/* Where the sampler looks at a job. */
typedef struct {
    int slot;        /* or -1 */
    bool by_samples; /* samples fed its recording when it began */
    uint64_t serial;
} sl_py_job_slot;

/* What a job is. */
typedef struct {
    uint64_t alike;     /* not 0; the same for work that does the same */
    PyCodeObject *code; /* of the function that it calls first, or NULL */
} sl_py_work;

/* Work that was handed over at `since` (ticks), where the recording's `node`
 * is (NULL: not known), begins in the calling thread, above the frame `anchor`,
 * as a strand below `pseudo`; `work`: what it is.
 * Returns its strand; NULL: no memory (counted). The recording is live. */
sl_strand *sl_py_sampler_job_begin(sl_py_sampled *sampled, sl_pseudo pseudo,
                                   const void *node, uint64_t since,
                                   uintptr_t anchor, const sl_py_work *work,
                                   sl_py_job_slot *slot);

/* It is over, whichever thread says so; `cut`: its request is, and it goes on
 * for nobody. */
void sl_py_sampler_job_end(sl_py_sampled *sampled, sl_strand *strand,
                           const sl_py_job_slot *slot, bool cut);

#endif /* SL_PY_SAMPLER_JOBS_H */
