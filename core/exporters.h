/* exporters.h - one function for each line of SL_EXPORT_MAP, each in a file of
 * its own: writes the profile into `out`, which may flow (buf.h). A failure
 * sticks to it. */
#ifndef SL_CORE_EXPORTERS_H
#define SL_CORE_EXPORTERS_H

#include "buf.h"

#include "slowlens/export.h"

#define XX(name, ending, media_type, title, counts)                            \
    void sl_exporter_##name(const sl_profile *profile, sl_buf *out);
SL_EXPORT_MAP(XX)
#undef XX

#endif /* SL_CORE_EXPORTERS_H */
