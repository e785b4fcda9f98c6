/* waits.h - what a thread that is off the CPU waits for.
 *
 *   look:     runs | has not run | has not run | runs again
 *   off CPU        |=== its system call says ===|
 *   delay     d0 --'  (the kernel tells it       `-- d1
 *                      when the wait is over)
 *
 * While it has not run since the look before, nothing can be said but where it
 * sleeps (its system call). When it runs again, the kernel knows how long it
 * was ready and had to wait for a CPU (schedstat): that much of the time was
 * for a CPU, and the rest for what it was seen sleeping in. The quota of a
 * cgroup is a wait for a CPU, too.
 *
 * Where the kernel does not tell (no CONFIG_SCHED_INFO, gVisor), the rest has
 * no kind. With the sampler's lock held.
 */
#ifndef SL_PY_WAITS_H
#define SL_PY_WAITS_H

#include "sampler/slots.h"

/* What the slot's thread sleeps in; SL_PY_RUNNABLE: it runs, or could;
 * SL_METRIC_GIL: the interpreter's lock; SL_METRIC_OFF_CPU: not known. */
#define SL_PY_RUNNABLE (-1)
int sl_py_wait_kind(sl_py_slot *slot);

/* The slot was off the CPU for `off_ns` since it was last seen, of it `gil_ns`
 * for the GIL; `ran`: it has run since; `self`: it asks itself, at the end of
 * what it did. Charges what is known. Returns how long it waited for a CPU, as
 * the kernel told it now. */
uint64_t sl_py_wait_count(sl_py_slot *slot, uint64_t off_ns, uint64_t gil_ns,
                          bool ran, bool self);

#endif /* SL_PY_WAITS_H */
