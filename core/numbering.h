/* numbering.h - the nodes of a stopped recording in preorder. */
#ifndef SL_CORE_NUMBERING_H
#define SL_CORE_NUMBERING_H

#include "recording_data.h"

/* Gives each node its number in preorder (sl_node.number) and makes the
 * samples of a node those of its whole subtree. The recording is stopped.
 * SL_ENOMEM: nothing has changed. */
sl_status sl_recording_number(sl_recording *recording);

#endif /* SL_CORE_NUMBERING_H */
