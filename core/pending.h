/* pending.h - time of sampled strands that has passed, but that no sample has
 * told about yet.
 *
 *   section | . . . . . | section     no sample in between: its time is pending
 *           `- pending -'             and goes to the next sample (half of it
 * to the one before), or, at the end, to where the strand was seen last; what
 * is too long for that was not seen
 *
 * So a coroutine's short steps are charged in proportion, and none of its time
 * is lost. Work that is like other work (jobs, tasks of one function) shares:
 * what is pending when a section of it ends is owed, and goes to the next
 * sample of any work like it,
 *
 *   f 1 | f 2 | f . 3 | f 4 | f 5 . |
 *   `--- owed --^ `---- owed -----^
 *
 * or, if none comes, to where one was seen last, at first the function itself.
 * The next sample is the first one of a section: those that follow speak for
 * what that section itself did in between.
 * Else a short job would be told as if it had done one thing all the time, and
 * a task to have computed where it waits. Called by what feeds a recording; the
 * rules of slowlens/recording.h about threads hold.
 */
#ifndef SL_CORE_PENDING_H
#define SL_CORE_PENDING_H

#include "recording_data.h"

/* Adds the times to the mark of (node, line). The clocks of a thread and of
 * the wall are read one after the other: what does not fit is cut. `main`: the
 * strand is the main one, whose sums are kept. */
void sl_sampled_mark(sl_recording *recording, const sl_node *node,
                     uint32_t line, const sl_times *times, bool main);

/* Adds `more` to `sum`; takes `part` out of `whole`, which it is of. */
static inline void
sl_times_add(sl_times *sum, const sl_times *more)
{
    sum->wall += more->wall;
    sum->cpu += more->cpu;
    sum->gil += more->gil;
}

static inline void
sl_times_take(sl_times *whole, const sl_times *part)
{
    whole->wall -= part->wall;
    whole->cpu -= part->cpu;
    whole->gil -= part->gil;
}

/* What of the pending time a sample does not speak for, taken out of it; zeros
 * if there is no such time: see sl_strand_vouch. */
sl_times sl_pending_late(sl_strand *strand);

/* Charges what no sample speaks for, below `under`, up to `to`. */
void sl_late_charge(sl_strand *strand, sl_node *under, const sl_times *late,
                    uint64_t to);

/* Charges times to a node and its line. */
void sl_sampled_charge(sl_strand *strand, sl_node *node, uint32_t line,
                       const sl_times *times);

/* Adds to what is pending. */
void sl_pending_add(sl_strand *strand, const sl_times *passed);

/* Charges what is pending to where the strand was seen last; for each strand of
 * the recording, with what is owed. */
void sl_pending_charge(sl_strand *strand);
void sl_pending_charge_all(sl_recording *recording);

/* The strand stops at `now`: what is pending is owed from now on, if its work
 * is known (sl_strand_works). Its path is still the last sample's. */
void sl_pending_owe(sl_strand *strand, uint64_t now);

/* Where the last planned sample of the strand, or of work like its, was; no
 * node: none was. Of the recording; it may be written. */
sl_place *sl_pending_seen(sl_strand *strand);

/* Takes what work like the strand's owes into what is pending. */
void sl_pending_collect(sl_strand *strand);

#endif /* SL_CORE_PENDING_H */
