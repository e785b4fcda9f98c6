/* The stints of all threads in one list: see stints.h. */
#include "run/stints.h"

/* There are as many as threads that run a request, and a look-up is made only
 * when the thread or its context has changed. */
static sl_py_stint *stints;

void
sl_py_stint_push(sl_py_stint *stint, struct sl_py_recording *recording,
                 sl_strand *strand, sl_py_job_slot *slot)
{
    sl_py_stint_drop(stint);
    stint->recording = recording;
    stint->strand = strand;
    stint->thread = sl_py_borrow_tstate()->id;
    stint->away = false;
    stint->spawned = false;
    stint->slot = slot;
    stint->depth = 0;
    stint->next = stints;
    stint->link = &stints;
    if (stints != NULL)
        stints->link = &stint->next;
    stints = stint;
}

void
sl_py_stint_drop(sl_py_stint *stint)
{
    if (stint->link == NULL)
        return;
    *stint->link = stint->next;
    if (stint->next != NULL)
        stint->next->link = stint->link;
    stint->link = NULL;
    stint->recording = NULL;
}

void
sl_py_stints_forget(const struct sl_py_recording *recording)
{
    for (sl_py_stint *at = stints, *next; at != NULL; at = next) {
        next = at->next;
        if (at->recording == recording)
            sl_py_stint_drop(at);
    }
}

sl_py_stint *
sl_py_stint_here(uint64_t thread)
{
    for (sl_py_stint *at = stints; at != NULL; at = at->next) {
        if (at->thread == thread && !at->away)
            return at;
    }
    return NULL;
}

sl_py_stint *
sl_py_stint_first(void)
{
    return stints;
}
