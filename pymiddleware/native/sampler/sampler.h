/* sampler.h - a thread of the process that looks at running requests.
 *
 *   request's thread (holds the GIL)          sampler (never holds it)
 *     begin: fill a slot                        tick:  for each slot, its lock
 *     ...runs...                                         walk the frames
 *     end:   empty the slot                              fold them into the
 *                                                        request's tree
 *
 * One lock guards the slots and the recordings they point to. It is held for
 * one request at a time, a few microseconds; the sampler takes no other, and
 * never the GIL. It sends no signals. Without a slot in use it sleeps.
 */
#ifndef SL_PY_SAMPLER_H
#define SL_PY_SAMPLER_H

#include "look/codes.h"
#include "native.h"

/* ---- layout.c ---- */

void sl_py_layout_get(sl_py_layout *out);

/* The innermost frame of the calling thread that is not one of slowlens's
 * own: what lies above it belongs to the request. 0: there is none. */
uintptr_t sl_py_layout_anchor(const sl_py_layout *layout);

/* The layout was tried on real frames and found right. */
void sl_py_layout_trust(const sl_py_layout *layout);

/* Whether the layout is trusted. */
bool sl_py_own_is_trusted(void);

/* Address of the calling thread's innermost frame. */
uintptr_t sl_py_own_frame(void);

/* Variable `index` of that frame, BORROWED; NULL: not set. The layout is
 * trusted. */
PyObject *sl_py_own_local(uintptr_t frame, int index);

/* Where (an offset into its instructions) the frame that runs `code` called
 * the calling thread's current frame; 0: not known, it is another frame that
 * did, or the layout is not trusted. Plain loads: needs the GIL. */
uint32_t sl_py_layout_caller_site(const void *code);

/* The chain of coroutines and generators that `awaitable` is suspended in,
 * innermost first, as frames. With the GIL held. Returns how many. */
int sl_py_layout_await_chain(const sl_py_layout *layout, PyObject *awaitable,
                             sl_py_raw_frame frames[SL_PY_WALK_MAX]);

/* ---- sampler.c ---- */

/* Tries everything the sampler needs on the calling thread's own stack. NULL:
 * it works here, and may be used; else why not, in one sentence. */
const char *sl_py_sampler_test(const char *own_files);

/* Why sampling cannot be had, as the test found; NULL: it can. */
const char *sl_py_sampler_why_not(void);

/* Nanoseconds between samples, and the share of a core (in millionths) past
 * which it takes fewer; 0: no limit. */
void sl_py_sampler_configure(uint64_t interval_ns, uint32_t limit_ppm);

/* The recording's main strand begins / ends to run in the calling thread, as
 * sl_py_section_begin and _end say it. The last `busy` ns of the gap were the
 * event loop's; `cpu`: the thread's CPU clock now. Never raise. */
void sl_py_sampler_begin(sl_py_recording *recording, sl_pseudo gap,
                         uint64_t busy, uint64_t cpu, uintptr_t anchor);
void sl_py_sampler_end(sl_py_recording *recording, PyObject *waiting,
                       uint64_t cpu);

/* The innermost frame of the calling thread that is not ours; 0: none, or
 * sampling cannot be had. */
uintptr_t sl_py_sampler_anchor(void);

/* The running deterministic recording is full: it goes on by sampling, if that
 * can be had. Its main strand is the calling thread's. */
void sl_py_sampler_take_over(sl_py_recording *recording);

/* sl_recording_seen of the section that just ended. */
uint32_t sl_py_sampler_seen(const sl_py_recording *recording,
                            uint32_t *functions, uint32_t max);

/* The sampled recording is new / over: its work may be found in any thread's
 * context between the two. */
void sl_py_sampler_add(sl_py_recording *recording);
void sl_py_sampler_remove(sl_py_recording *recording);

/* ---- jobs.c; see run/jobs.h ---- */

/* Where the sampler looks at a job. */
typedef struct {
    int slot; /* or -1 */
    uint64_t serial;
} sl_py_job_slot;

/* Work that was handed over at `since` (ticks), where the recording's `node`
 * is (NULL: not known), begins in the calling thread, above the frame `anchor`.
 * Returns its strand; NULL: no memory (counted). The recording is live. */
sl_strand *sl_py_sampler_job_begin(sl_py_recording *recording, const void *node,
                                   uint64_t since, uintptr_t anchor,
                                   sl_py_job_slot *slot);

/* It is over, whichever thread says so; `cut`: its request is, and it goes on
 * for nobody. */
void sl_py_sampler_job_end(sl_py_recording *recording, sl_strand *strand,
                           const sl_py_job_slot *slot, bool cut);

/* ---- sampler_tasks.c; see tasks.h ---- */

/* What is to be known at the end of a task's step. */
typedef struct {
    bool nested; /* on the stack of another one, or of its request */
    int slot;    /* or -1 */
    uint64_t serial;
} sl_py_task_step;

/* A task of the sampled recording, whose coroutine this is, goes on in the
 * calling thread / stops, and `waits` for something or is over. The recording
 * is not finished. Never raise. */
void sl_py_sampler_task_begin(sl_py_recording *recording, PyObject *coroutine,
                              bool nested, sl_py_task_step *step);
void sl_py_sampler_task_end(sl_py_recording *recording, PyObject *coroutine,
                            bool waits, const sl_py_task_step *step);

/* Whether there is a sampled request that tasks may belong to. */
bool sl_py_sampler_follows(void);

/* ---- sampler.c ---- */

/* Ends the thread and waits for it; a later _begin starts it again. */
void sl_py_sampler_stop(void);

/* In a forked child: nobody samples, nothing is locked. */
void sl_py_sampler_after_fork(void);

/* Puts what it did into a dict, for engine_info. 0 or -1. */
int sl_py_sampler_info(PyObject *dict);

#endif /* SL_PY_SAMPLER_H */
