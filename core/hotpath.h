/* hotpath.h - where most of the time went, as one path.
 *
 *   request > view > [await] ... > [task] > parse > re.match
 *                        `- awaited --^      each the heaviest child of the one
 *                                            before, as long as one child takes
 *                                            most of what there is
 *
 * Where most of that was waiting for what ran beside it (an await, a lock that
 * a job's end releases, the event loop that a task of its own held), the path
 * goes on there: [task] or [thread], which may hang elsewhere, and whose times
 * may sum up to more than the request's. Of those it takes the one whose work
 * filled the wait; tasks that only hand the request on, as a framework's
 * middlewares do, wait themselves, and are passed.
 *
 * Linear in nodes and stretches: it leaves for a strand SL_HOTPATH_HOPS times
 * at most, and looks for one SL_HOTPATH_ASKS times, whatever the file says ran
 * when.
 */
#ifndef SL_CORE_HOTPATH_H
#define SL_CORE_HOTPATH_H

#include "buf.h"
#include "outline.h"

#define SL_HOTPATH_HOPS 16u
#define SL_HOTPATH_ASKS 64u

typedef struct {
    uint32_t node;
    uint64_t ns;      /* of the request's time that it stands for */
    uint32_t instead; /* of a strand: the node of the wait; else 0 */
} sl_hotpath_step;

typedef struct {
    sl_hotpath_step *steps;
    uint32_t count, capacity;
} sl_hotpath;

/* The path below node `from`, itself left out. It ends where no child has a
 * third of the time of its parent and a twentieth of the wall time.
 * SL_ENOMEM; *out, empty before, may be freed in any state. */
sl_status sl_hotpath_find(const sl_outline *o, uint32_t from, sl_hotpath *out);
void sl_hotpath_free(sl_hotpath *path);

/* Appends "views.detail > copy.deepcopy 76%": the project's own frames of a
 * path from the root, and what they called last. */
void sl_hotpath_text(const sl_outline *o, const sl_hotpath *path, sl_buf *out);

/* Whether the function is a framework's that hands a request on to whoever is
 * to answer it: what it does, a middleware above it has not asked for. */
bool sl_hotpath_hands_on(const sl_function *f);

/* Whether the function runs what its thread is given, of which it says nothing.
 */
bool sl_hotpath_runs_jobs(const sl_function *f);

/* The step that names the culprit: what the project's last frame on the path
 * called (what ran there, if that was a task or thread; what a wrapper or a
 * template engine passed on to), and that frame. *own: UINT32_MAX, none of the
 * path is the project's, or its middlewares only let the request through.
 * Both are indexes of steps; false: the path is empty. */
bool sl_hotpath_culprit(const sl_outline *o, const sl_hotpath *path,
                        uint32_t *culprit, uint32_t *own);

#endif /* SL_CORE_HOTPATH_H */
