/* sampler.h - a thread of the process that looks at running requests.
 *
 *   request's thread (holds the GIL)          sampler (never holds it)
 *     begin: fill a slot                        tick:  for each slot, its lock
 *     ...runs...                                         walk the frames
 *     end:   empty the slot                              fold them into the
 *                                                        request's tree
 *
 * This is the room's door. One lock (lock.h) guards the slots and the parts
 * of the recordings they point to. It is held for one request at a time, a few
 * microseconds; the sampler takes no other, and never the GIL. It sends no
 * signals. Without a slot in use it sleeps.
 *
 * Everything here needs the GIL, and takes the lock itself.
 */
#ifndef SL_PY_SAMPLER_H
#define SL_PY_SAMPLER_H

#include "sampler/sampled.h"

/* Why sampling cannot be had, as the self-test found; NULL: it can. */
const char *sl_py_sampler_why_not(void);

/* Nanoseconds between samples, and the share of a core (in millionths) past
 * which it takes fewer; 0: no limit. */
void sl_py_sampler_configure(uint64_t interval_ns, uint32_t limit_ppm);

/* The recording is new / over: its work may be found in any thread's context
 * between the two. */
void sl_py_sampler_add(sl_py_sampled *sampled);
void sl_py_sampler_remove(sl_py_sampled *sampled);

/* A request is over, recorded one way or the other: how long they take here is
 * what the sampler goes by when it may not look at all of them. */
void sl_py_sampler_learn(const sl_py_sampled *sampled);

/* How a section begins. */
typedef struct {
    sl_pseudo gap;     /* what the time since the last one is called */
    uint64_t busy_ns;  /* the end of it was the event loop's */
    uint64_t since_ns; /* how long it was, if busy_ns is not 0 */
    uint64_t now_ns;   /* sl_clock_monotonic_ns... */
    uint64_t cpu_ns;   /* ...and the thread's CPU clock then */
    uintptr_t anchor;  /* the frame that the request's frames stand above; 0:
                          the innermost that is not ours */
    uintptr_t context; /* the thread's, an address */
} sl_py_section;

/* When the last busy_ns before `now` began, in ticks. */
static inline uint64_t
sl_py_busy_since(const sl_py_sampled *sampled, const sl_py_section *section,
                 uint64_t now)
{
    uint64_t ticks = now - sampled->suspended_at;

    if (section->busy_ns >= section->since_ns)
        return sampled->suspended_at;
    return now - (uint64_t)((double)ticks * (double)section->busy_ns /
                            (double)section->since_ns);
}

/* A section ends of which only the time is known: of a recording for which
 * there was no memory. */
static inline void
sl_py_timed_end(sl_py_sampled *sampled, sl_strand *strand, uint64_t now)
{
    sampled->unseen[SL_PSEUDO_UNSEEN_MEMORY - SL_PSEUDO_UNSEEN_TORN]++;
    sl_strand_wait(strand, SL_PSEUDO_UNSEEN_MEMORY, now);
    sl_strand_suspend(strand, now);
    sampled->suspended_at = now;
}

/* The calling thread is about to begin a section in a context that becomes the
 * recording's: until then it is no other thread that works for it. */
void sl_py_sampler_enters(sl_py_sampled *sampled);

/* The recording's main strand begins / ends to run in the calling thread.
 * `waiting`: the awaitable it is suspended in, or NULL. Never raise. */
void sl_py_sampler_begin(sl_py_sampled *sampled, const sl_py_section *section);
void sl_py_sampler_end(sl_py_sampled *sampled, PyObject *waiting,
                       uint64_t now_ns, uint64_t cpu_ns);

/* The innermost frame of the calling thread that is not ours; 0: none, or
 * sampling cannot be had. */
uintptr_t sl_py_sampler_anchor(void);

/* The running recording, fed by events so far, is full: it goes on by
 * sampling, if that can be had. Its main strand is the calling thread's. */
bool sl_py_sampler_take_over(sl_py_sampled *sampled);

/* A strand beside the main one, fed by events, goes on after a wait: samples
 * of the main strand write into the same marks meanwhile. */
void sl_py_sampler_continue(sl_strand *strand, uint64_t now);

/* Likewise: sl_strand_wait_in, of an await. */
void sl_py_sampler_waited_in(sl_strand *strand, const void *const *keys,
                             uint32_t count, uint64_t since, uint64_t until);

/* sl_recording_seen of the section that just ended. */
uint32_t sl_py_sampler_seen(const sl_py_sampled *sampled, uint32_t *functions,
                            uint32_t max);

/* Ends the thread and waits for it; a later _begin starts it again, or
 * _resume. Whether there was one. */
bool sl_py_sampler_stop(void);
void sl_py_sampler_resume(void);

/* See sl_py_lock_measure. */
void sl_py_sampler_lock_measure(bool on);

/* In a forked child, from inside fork(2) already: nobody samples, nothing is
 * locked, memory is read anew. Needs no GIL. */
void sl_py_sampler_after_fork(void);

/* What it did, for engine_info: a NEW dict. */
PyObject *sl_py_sampler_info(void);

#endif /* SL_PY_SAMPLER_H */
