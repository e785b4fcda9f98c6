/* cost.h - what recording by events cost, taken off each node's time.
 *
 *            clock read                clock read
 *   caller ...[hook|hook]... function ...[hook|hook]... caller
 *      the caller's |  the function's        | the caller's
 *
 * A call costs the time of two hooks. What of it lies between their clock reads
 * stands in the function's own time, the rest in its caller's; on calls out of
 * chosen code a third hook (CALL) tells the place, at the caller's expense. The
 * first call of a node makes it, behind the clock read. All of that was measured
 * in the process that recorded (META, cost_*_ps: of one call, in picoseconds).
 * Both sides take it off by the same sheet: the reader
 * of a profile from its nodes, the writer from what it sums up.
 *
 * Never more is taken off than a node has. What was taken off the request
 * itself is [own cost], a node below its root, so that times still add up;
 * what was taken off a strand beside it goes to the strand's first node.
 */
#ifndef SL_CORE_COST_H
#define SL_CORE_COST_H

#include "slowlens/alloc.h"
#include "slowlens/status.h"
#include "slowlens/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one call, in picoseconds. */
typedef struct {
    uint64_t python, python_caller; /* of a Python function */
    uint64_t resume, resume_caller; /* of one that goes on after a yield */
    uint64_t c, c_caller;           /* of a C function */
    uint64_t site;                  /* more where its place is known */
    uint64_t line;                  /* of a line that is begun */
    uint64_t node; /* more for the first call of a node, in its own time */
    bool all_sites;                 /* it was asked for everywhere */
} sl_cost;

/* From the metadata of a profile; false: nothing is to be taken off. */
bool sl_cost_read(const sl_meta *meta, size_t count, sl_cost *out);

/* What a node's calls cost. */
typedef struct {
    sl_kind kind;
    uint64_t calls, resumes;
    bool site; /* its place is known */
} sl_cost_calls;

/* What the calls of a node cost its caller, in ns. */
double sl_cost_callers(const sl_cost *cost, const sl_cost_calls *calls);

/* What so many lines cost the function they are in, in ns. */
static inline double
sl_cost_lines(const sl_cost *cost, uint64_t hits)
{
    return (double)hits * (double)cost->line / 1000;
}

/* The costs of a whole tree, node by node in preorder. Zeroed: none. */
typedef struct {
    const sl_alloc *alloc;
    sl_cost cost;
    double *own; /* by node, ns; below 0: a pseudo function's, never taken */
    uint32_t *strand; /* by node: the first one of its strand; 0: the request */
} sl_cost_sheet;

/* Room for so many nodes. SL_ENOMEM; give it back by _free in any case. */
sl_status sl_cost_sheet_new(sl_cost_sheet *sheet, const sl_cost *cost,
                            uint32_t count, const sl_alloc *alloc);
void sl_cost_sheet_free(sl_cost_sheet *sheet);

/* Puts down node `i`, a child of `parent`, whose row is there; `strand`: it
 * ran beside its parent. */
void sl_cost_sheet_node(sl_cost_sheet *sheet, uint32_t i, uint32_t parent,
                        const sl_cost_calls *calls, bool strand);

/* ...and lines that were begun in it. */
void sl_cost_sheet_lines(sl_cost_sheet *sheet, uint32_t i, uint64_t hits);

/* What is taken off node `i`, which has this self time, once all are put down;
 * *to: the strand that keeps it, 0: the request, so it is [own cost]. */
uint64_t sl_cost_sheet_off(const sl_cost_sheet *sheet, uint32_t i,
                           uint64_t self_ns, uint32_t *to);

/* What is taken off something with this own time. */
static inline uint64_t
sl_cost_off(double own, uint64_t self_ns)
{
    if (own < 0)
        return 0;
    return own < (double)self_ns ? (uint64_t)own : self_ns;
}

#endif /* SL_CORE_COST_H */
