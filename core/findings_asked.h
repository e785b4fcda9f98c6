/* findings_asked.h - the rules about how a request asks others: twice for the
 * same, one after the other, from within a template, through a pool that is
 * full. */
#ifndef SL_CORE_FINDINGS_ASKED_H
#define SL_CORE_FINDINGS_ASKED_H

#include "findings_places.h"

/* Adds what is found, beside what explains most. SL_ENOMEM. */
sl_status sl_findings_asked(sl_findings_work *w);

#endif /* SL_CORE_FINDINGS_ASKED_H */
