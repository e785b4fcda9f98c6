/* findings_layers.h - the rules about layers: database, templates, services. */
#ifndef SL_CORE_FINDINGS_LAYERS_H
#define SL_CORE_FINDINGS_LAYERS_H

#include "findings_places.h"

/* Adds what is found. SL_ENOMEM. */
sl_status sl_findings_layers(sl_findings_work *w);

/* Time of the spans (not of templates, which cover what they call) in nodes
 * from `from` up to `end` of one strand. */
uint64_t sl_findings_spans_in(const sl_findings_work *w, uint32_t from,
                              uint32_t end, uint32_t strand);

#endif /* SL_CORE_FINDINGS_LAYERS_H */
