/* findings_held.h - the rule about who kept the event loop from others: the
 * request in a step of its own, or a task that it made. Threads keep none. */
#ifndef SL_CORE_FINDINGS_HELD_H
#define SL_CORE_FINDINGS_HELD_H

#include "findings_places.h"

/* Adds it. `held`: how long the request waited for a task of its own that kept
 * the loop; 0: for none. Linear in nodes and stretches. false: no memory. */
bool sl_findings_held(sl_findings_work *w, uint64_t held);

#endif /* SL_CORE_FINDINGS_HELD_H */
