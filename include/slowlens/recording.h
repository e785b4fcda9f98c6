/* slowlens/recording.h - one request (task, test...) while it is recorded.
 *
 *   recording
 *     |-- main strand ---> cur ---------------------------+
 *     |-- other strands (a child task, a thread hop)      |
 *     `-- tree                                            v
 *           request (root) -> view -> serialize -> deepcopy -> ...
 *                          `-> [await]
 *
 * A NODE is (parent, function, call site): calls, resumes and SELF time only.
 * Inclusive time is computed when reading, so an event needs one clock read
 * and no stack of timestamps, and the self times of the main strand add up
 * to the wall time exactly.
 *
 * A STRAND is one logical stack. The main strand is the request itself;
 * others run beside it in time and hang under a pseudo node of their own.
 *
 * FUNCTIONS are told apart by an address (`key`) that the caller keeps alive
 * until the recording is freed or reset: a code object, a method definition,
 * any object of yours. The first sight of a key is announced through
 * `on_function`, once; its name is asked for only when encoding.
 *
 * TIMES: `now`, `since`, `from`, `until` of all functions are ticks of the
 * recording's clock (sl_clock_ticks of options.clock), and so are sl_times;
 * what is called _ns are nanoseconds. A `now` that is before the one before it
 * charges nothing.
 *
 * Threads: one at a time may be inside any function of a recording (under
 * CPython: hold the GIL). sl_recording_encode needs the recording for itself,
 * too, for it sorts and numbers what is in it, but no interpreter lock: once
 * the recording is stopped, any thread may do it, one at a time.
 *
 * Out of memory or over the limit, nothing fails: further paths are folded
 * into one node `[truncated]` whose children are keyed by function alone. No
 * call and no time is lost, and `truncated` is set. A fold that has no room
 * either charges the time to `[truncated]` itself and counts the calls in
 * `dropped`.
 */
#ifndef SL_RECORDING_H
#define SL_RECORDING_H

#include "slowlens/alloc.h"
#include "slowlens/bytes.h"
#include "slowlens/clock.h"
#include "slowlens/metric.h"
#include "slowlens/status.h"
#include "slowlens/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sl_recording sl_recording;
typedef struct sl_strand sl_strand;

/* Key of a pseudo function, for sl_strand_enter and _leave. */
const void *sl_pseudo_key(sl_pseudo pseudo);

typedef struct {
    sl_clock_kind clock;
    size_t max_bytes;   /* 0: 8 MiB */
    uint32_t max_nodes; /* 0: 100,000 */

    /* First sight of `key`, which becomes function number `id` (from
     * SL_PSEUDO_COUNT up). Returns true for a function that is looked at
     * closely: its calls are kept apart by call site (sl_strand_site). May be
     * NULL. Must not call back into the recording. */
    bool (*on_function)(void *ctx, const void *key, uint32_t id);

    /* The first path for which there was no room is about to be folded. May
     * be NULL. Must not call back into the recording. Where it is given, an
     * eighth of the limits is kept back for sl_recording_sample_on. */
    void (*on_full)(void *ctx);
    void *ctx;

    /* Its times and what its spans add up to are all that is wanted: it takes
     * as little memory as can be, whatever max_bytes. Not for reset. */
    bool small;
} sl_recording_options;

/* Totals of a recording, valid once it is stopped. */
typedef struct {
    uint64_t wall_ns;
    uint64_t await_ns; /* main strand suspended, waiting for something */
    uint64_t loop_ns;  /* ... able to go on, but the event loop was busy */
    uint64_t idle_ns;  /* between the chunks of a streamed response */
    uint64_t gc_ns;    /* inside [gc] nodes */
    uint64_t events;   /* calls of Python functions */
    uint64_t resumes;  /* generators and coroutines that went on: no calls */
    uint64_t c_events; /* enters of C functions */
    uint64_t samples;  /* that told where, of all strands */
    uint64_t late;     /* gaps that are [not seen] sampler late, of all */
    uint64_t seen_ns;  /* of the main strand's wall time, that they stand for */
    uint64_t seen_cpu_ns; /* main strand, as the samples saw it */
    uint64_t gil_ns;      /* main strand waiting for the GIL, likewise */
    uint64_t waited_ns[SL_METRIC_COUNT]; /* main strand, by kind */
    uint32_t nodes;
    uint32_t functions; /* pseudo functions included */
    uint32_t strands;
    uint64_t sampled_from_ns; /* since when by sampling; 0: not so */
    uint64_t mended;          /* leaves that had to skip frames */
    uint64_t dropped;         /* calls charged to [truncated] without a name */
    size_t bytes;             /* memory it took */
    bool truncated;
} sl_recording_totals;

/* Makes a recording that runs from now on. `options` and its hooks are
 * copied; `alloc` likewise, NULL means libc.
 * Returns SL_ENOMEM or SL_ELIMIT (max_bytes below what an empty one needs). */
sl_status sl_recording_new(sl_recording **out,
                           const sl_recording_options *options,
                           const sl_alloc *alloc);

/* Makes a used recording as good as new, keeping its first block of memory,
 * and starts it. Returns what sl_recording_new does; after a failure it may
 * only be freed or reset again. */
sl_status sl_recording_reset(sl_recording *recording,
                             const sl_recording_options *options);

/* Running or stopped, from whichever thread is alone with it; NULL is fine. Its
 * strands and nodes go with it. */
void sl_recording_free(sl_recording *recording);

/* The request's own strand. Borrowed. */
sl_strand *sl_recording_main(sl_recording *recording);

/* Opens another strand under a pseudo node `pseudo` (SL_PSEUDO_TASK or
 * SL_PSEUDO_THREAD), which hangs where the main strand awaits, or under the
 * root when the main strand is running. Borrowed; NULL when out of memory
 * (counted: the work of that strand is then not in the tree). */
sl_strand *sl_recording_strand(sl_recording *recording, sl_pseudo pseudo,
                               uint64_t now);

/* Where the strand stands, to be the `under` of a strand that begins there
 * later; NULL: nowhere in particular. Valid until the recording is freed or
 * reset. */
const void *sl_strand_node(const sl_strand *strand);

/* Work that was handed over at `since`, where `under` stands (NULL, a flat
 * node, or the main strand awaits meanwhile: as sl_recording_strand), begins at
 * `now`: a strand below `pseudo`, whose time up to `now` is [queued]. Borrowed;
 * NULL when out of memory (counted). Give it back by sl_strand_done. */
sl_strand *sl_recording_job(sl_recording *recording, sl_pseudo pseudo,
                            const void *under, uint64_t since, uint64_t now);

/* The job is over at `now`; its strand does for the next one. Times that
 * samples are still to tell are charged first (sl_strand_end). */
void sl_strand_done(sl_strand *strand, uint64_t now);

/* A stack that `starter` switches to (a greenlet) and that switches back: a
 * strand whose lowest node is where `starter` stands now. Its time is part of
 * that node's, and no one else's: of the two, one is parked. Borrowed; NULL
 * when out of memory (counted). */
sl_strand *sl_recording_nested(sl_recording *recording, sl_strand *starter,
                               uint64_t now);

/* The strand stops at `now`, as it is: nothing unwinds. / What passed until
 * `until` is `pseudo` (SL_PSEUDO_AWAIT or _LOOP) where it stands; it stays
 * parked. / It goes on; what is not told by then is another strand's. */
void sl_strand_park(sl_strand *strand, uint64_t now);
void sl_strand_stood(sl_strand *strand, sl_pseudo pseudo, uint64_t until);
void sl_strand_unpark(sl_strand *strand, uint64_t now);

/* The work of another strand is over, and it begins anew, as one that
 * sl_recording_strand opens now: one strand does for work one after another. */
void sl_strand_restart(sl_strand *strand, sl_pseudo pseudo, uint64_t now);

/* Enters function `key`. `kind` is looked at on the first sight of the key.
 * `now` is sl_clock_ticks. Hot: no failure to report, see the top. */
void sl_strand_enter(sl_strand *strand, const void *key, sl_kind kind,
                     uint64_t now);

/* The function on top is about to call from `site` (an offset into its code,
 * or a line; not 0). The next enter gets a node of its own for that site, if
 * the same function is on top then. Ignored unless sl_strand_chosen;
 * a function with very many nodes (recursion) is not split any further. */
void sl_strand_site(sl_strand *strand, uint32_t site);

/* The key of the function on top, if it is looked at closely and no site was
 * given for its next call (an iteration, an attribute: no call expression);
 * else NULL. */
const void *sl_strand_without_site(const sl_strand *strand);

/* Whether on_function answered true for the function on top. */
bool sl_strand_chosen(const sl_strand *strand);

/* Same for a generator or coroutine that goes on where it had yielded. */
void sl_strand_resume(sl_strand *strand, const void *key, uint64_t now);

/* Leaves `key`: returned or raised. A key that is not on top unwinds to it;
 * one that is not on the stack at all (entered before the recording began)
 * is ignored. */
void sl_strand_leave(sl_strand *strand, const void *key, uint64_t now);

/* Leaves `key` if it is on top, else does nothing: for a function whose enter
 * may have been left out, while the same function stands further below. */
void sl_strand_leave_top(sl_strand *strand, const void *key, uint64_t now);

/* The garbage collector begins, or has ended: [gc] is entered, or left. One
 * strand of a recording at a time, as the interpreter has one collector. */
void sl_strand_collect(sl_strand *strand, bool begins, uint64_t now);

/* Leaves `key` because it yielded: where an await began, if the strand is
 * suspended next. */
void sl_strand_yield(sl_strand *strand, const void *key, uint64_t now);

/* The strand stops running / goes on. The time between is charged to
 * `pseudo` (SL_PSEUDO_AWAIT and _LOOP: under the function that yielded last;
 * SL_PSEUDO_IDLE: under the root). Suspending unwinds what is left open. */
void sl_strand_suspend(sl_strand *strand, uint64_t now);
void sl_strand_continue(sl_strand *strand, sl_pseudo pseudo, uint64_t now);

/* What the strand's work waited for from `since` to `until`, in the innermost
 * of those functions (outermost first; they count no call), was `pseudo`: for
 * work whose steps are told on another strand, on whose stack they run. What it
 * knows of that time already is not charged again. */
void sl_strand_wait_in(sl_strand *strand, const void *const *keys,
                       uint32_t count, sl_pseudo pseudo, uint64_t since,
                       uint64_t until);

/* The suspended strand was in `pseudo` until `until`; it goes on waiting. */
void sl_strand_wait(sl_strand *strand, sl_pseudo pseudo, uint64_t until);

/* Charges the time since the last event to where the strand is. */
void sl_strand_charge(sl_strand *strand, uint64_t now);

/* Adds to a metric that is a counter (slowlens/metric.h), in its own unit, at
 * the node that the strand is in, or that its last sample was charged to. A
 * sampler may do so while another thread is inside sl_strand_enter. */
void sl_strand_count(sl_strand *strand, sl_metric metric, uint64_t value);

/* Number of the function the strand is in; SL_PSEUDO_ROOT when none. */
uint32_t sl_strand_function(const sl_strand *strand);

/* Whether nothing is open on the strand. */
bool sl_strand_is_empty(const sl_strand *strand);

/* ---- sampling ----
 *
 * A strand may be fed by samples instead of enter and leave. Its nodes count
 * samples, and each two of them stand for the time between them. The
 * same samples may look at a strand that is fed by enter and leave, and say
 * where in time and how (on CPU, waiting for the GIL) it spent itself. */

/* Frames of a stack that are kept; more are folded at the outer end. */
#define SL_FRAMES_MAX 512u

/* One frame of a stack. */
typedef struct {
    const void *key;
    uint32_t line; /* where it is; 0: not known */
} sl_frame;

/* Ticks that passed; `cpu` and `gil` (waiting for the GIL) are parts of
 * `wall`, and what remains the strand was blocked. */
typedef struct {
    uint64_t wall, cpu, gil;
} sl_times;

/* The strand runs `frames` (outermost first, none: nothing of the request) at
 * `now`; `top`: what runs on top of them, SL_PSEUDO_GC or _UNSEEN_DEEP
 * (SL_PSEUDO_ROOT: nothing). `passed` is the time since the last sample, pause
 * or continue. The recording becomes a sampled one: do not feed any of its
 * strands by enter. */
void sl_strand_sample(sl_strand *strand, const sl_frame *frames, uint32_t count,
                      sl_pseudo top, const sl_times *passed, uint64_t now);

/* `aside`: the next sample (or look in vain) comes because the strand goes on,
 * not when one was planned whatever it does: it speaks for the time since then
 * only. What was pending before, and what comes after it, is others'. */
void sl_strand_aside(sl_strand *strand, bool aside);

/* The strand was looked at in vain, `why` says the reason (SL_UNSEEN_MAP): the
 * time since the last sample goes there and to no neighbour. */
void sl_strand_unseen(sl_strand *strand, sl_pseudo why, const sl_times *passed,
                      uint64_t now);

/* Likewise, of all its time since it began, went on or was looked at: nobody
 * could look. */
void sl_strand_unlooked(sl_strand *strand, sl_pseudo why, uint64_t now);

/* From now on a sample (or the end) of the strand speaks for at most `ticks`
 * of the time before it; 0: for all, which holds at first. Seen at one and the
 * same place before and after, it was there. Else what is more goes to
 * [not seen] sampler late, below what both samples share. */
void sl_strand_vouch(sl_strand *strand, uint64_t ticks);

/* The node that a sample of `frames` would be charged to, made if need be, and
 * nothing charged: where the strand stands now. Where there is no room for it,
 * the flat node of its function, or the strand's lowest. Valid as those of
 * sl_strand_node. */
const void *sl_strand_place(sl_strand *strand, const sl_frame *frames,
                            uint32_t count);

/* A sample at the place of the one before it: the thread has not run since.
 * false: there was none since the strand went on, and nothing is charged. */
bool sl_strand_again(sl_strand *strand, const sl_times *passed, uint64_t now);

/* The sampled strand stops running; sl_strand_continue as always. What passed
 * since the last sample is kept for the next planned one, or owed to work like
 * its (sl_strand_works). `frames` is the stack that
 * waits (may be empty): the time until _continue(SL_PSEUDO_AWAIT) is its. */
void sl_strand_pause(sl_strand *strand, const sl_frame *frames, uint32_t count,
                     const sl_times *passed, uint64_t now);

/* The sampled strand's work, which begins now, is the function `key` (NULL: not
 * known), and does what other work does whose `alike` is the same (0: not
 * known, as at first): what no sample of it tells, the next one of such work
 * does, or it is the function's. */
void sl_strand_works(sl_strand *strand, uint64_t alike, const void *key);

/* The sampled strand's work is over: what passed since the last sample is
 * charged to where it was seen last, or paused; or as sl_strand_works says. */
void sl_strand_end(sl_strand *strand, const sl_times *passed, uint64_t now);

/* Of the time that passed up to the last sample (or look, see _observe) of the
 * strand, `ns` were a wait of this kind, which is known only now. */
void sl_strand_waited(sl_strand *strand, sl_metric kind, uint64_t ns);

/* What a sampler may ask while another thread is inside sl_strand_enter and
 * its like: notes that the main strand is where it happens to be. `top`: the
 * thread's innermost frame, whose line is believed if its function is where the
 * strand is; NULL: not known. The result is as exact as such a look can be;
 * nothing else is touched. */
void sl_recording_observe(sl_recording *recording, const sl_times *passed,
                          const sl_frame *top, uint64_t now);

/* Lines, told by events (a mode of its own): the function on top, which is
 * `key` (else nothing happens), begins a line. What its lines took themselves
 * is known if _line_pass is called before whatever moves the strand: before
 * enter, resume, leave and yield, with the same `now`. */
void sl_strand_line(sl_strand *strand, const void *key, uint32_t line,
                    uint64_t now);
void sl_strand_line_pass(sl_strand *strand, uint64_t now);

/* Goes on by samples what was fed by enter and leave so far: the main strand
 * runs on in a pseudo node [by sampling], below which calls are not counted,
 * with the room that was kept back. Keys of samples may be of another kind than
 * those before; on_function is not asked about them. Other strands are not to
 * be fed any more. Returns SL_ESTATE (sampled already, or stopped) or, when
 * there is no room even for that, SL_ELIMIT or SL_ENOMEM: nothing changed. */
sl_status sl_recording_sample_on(sl_recording *recording, uint64_t now);

/* Number of the first function that only samples know: functions before it
 * were entered. UINT32_MAX: there was no sample. */
uint32_t sl_recording_first_sampled(const sl_recording *recording);

/* Numbers of the functions on the path to the node that the main strand was
 * seen in longest since `from`, innermost first, pseudo functions left out.
 * Returns how many, at most `max`; 0: nobody looked. */
uint32_t sl_recording_seen(const sl_recording *recording, uint64_t from,
                           uint32_t *functions, uint32_t max);

/* Ends the recording. Idempotent. Afterwards only the functions below, reset
 * and free may be called. */
void sl_recording_stop(sl_recording *recording, uint64_t now);

/* Fills *out. The recording is stopped; while it runs, only the counts are
 * right (nodes, functions, strands, events, samples...), and times only by
 * SL_CLOCK_MONOTONIC, up to the last event. */
void sl_recording_totals_get(const sl_recording *recording,
                             sl_recording_totals *out);

/* Key of function `id`, as it was given; NULL: no such function. */
const void *sl_recording_key(const sl_recording *recording, uint32_t id);

/* What the stopped recording knows without a look at its tree: ns of its main
 * strand. */
typedef struct {
    uint64_t wall_ns;
    uint64_t await_ns, loop_ns, idle_ns; /* as in sl_recording_totals */
    uint64_t gil_ns;
    uint64_t run_queue_ns; /* waiting for a CPU */
    uint64_t gc_ns;        /* of all strands, as in sl_recording_totals */
} sl_recording_waits;
void sl_recording_waits_get(const sl_recording *recording,
                            sl_recording_waits *out);

/* When it began, on the monotonic clock. */
uint64_t sl_recording_start_ns(const sl_recording *recording);

/* Wall nanoseconds so far, also before it is stopped. */
uint64_t sl_recording_wall_ns(const sl_recording *recording);

/* Of a recording that runs: how long its main strand was suspended so far, as
 * await_ns and loop_ns of the totals will have it. Costs a constant. */
void sl_recording_suspended(const sl_recording *recording, uint64_t *await_ns,
                            uint64_t *loop_ns);

/* Replaces the call sites of the stopped recording, and those of its spans, by
 * source lines, as `line` knows them (0: unknown) of site `site` in function
 * `id`. Call it once where sites are not lines already, before encoding. */
void sl_recording_resolve_sites(sl_recording *recording,
                                uint32_t (*line)(void *ctx, uint32_t id,
                                                 uint32_t site),
                                void *ctx);

/* How encoding learns names: fills *out for function `id` whose key is `key`.
 * Pseudo functions are not asked for. false gives it the name "?". */
typedef bool (*sl_describe)(void *ctx, uint32_t id, const void *key,
                            sl_function *out);

/* Writes the stopped recording as a blob (core/blob.h) with `meta` in it.
 * `level`: zstd's, 0 means 3. May be called again.
 * SL_ESTATE (not stopped), SL_ERANGE (`describe` gave no kind or origin),
 * SL_ENOMEM, SL_ELIMIT (more than any reader takes), SL_ECOMPRESS. */
sl_status sl_recording_encode(sl_recording *recording, const sl_meta *meta,
                              size_t meta_count, sl_describe describe,
                              void *ctx, int level, sl_bytes *out);

/* ---- a copy of a running recording ----
 *
 * Whoever may write the recording freezes it: its memory is copied as it is, a
 * few microseconds. The copy is made whole (thawed) later and elsewhere, and is
 * a stopped recording from then on: what had run until the copy was taken. */
typedef struct sl_frozen sl_frozen;

/* Bytes that a copy of the recording takes now; it may grow meanwhile. */
size_t sl_recording_room(const sl_recording *recording);

/* Room for copies of up to `room` bytes, touched, so that no copying waits for
 * pages. `alloc` is copied, NULL means libc. SL_ENOMEM; SL_ELIMIT: no memory is
 * as large. */
sl_status sl_frozen_new(sl_frozen **out, size_t room, const sl_alloc *alloc);

/* NULL is fine. What was thawed of it goes with it. */
void sl_frozen_free(sl_frozen *frozen);

/* Copies the running recording as of `now` (ticks of its clock) into `frozen`,
 * whose earlier copy is gone. SL_ELIMIT: there is not room enough; SL_ESTATE:
 * it is stopped. */
sl_status sl_recording_freeze(const sl_recording *recording, uint64_t now,
                              sl_frozen *frozen);

/* The copy as a stopped recording: for totals, names, sites and encoding, by
 * one thread. Borrowed from `frozen`; call it once a copy. SL_ENOMEM. */
sl_status sl_frozen_thaw(sl_frozen *frozen, sl_recording **out);

#endif /* SL_RECORDING_H */
