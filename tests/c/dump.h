/* dump.h - all that a profile holds, as JSON that the golden files keep. */
#ifndef SL_TEST_DUMP_H
#define SL_TEST_DUMP_H

#include "slowlens/bytes.h"
#include "slowlens/profile.h"

/* {"meta":[[key, number or text]...], "functions":[[name, file, line, kind,
 * origin]...], "nodes":[[parent, function, line, calls, resumes, self,
 * total]...], "lines":[[node, line, wall, cpu, gil]...],
 * "timeline":[[lane, node, from, to]...]}, a row a line. SL_ENOMEM. */
sl_status dump_profile(const sl_profile *profile, sl_bytes *out);

#endif
