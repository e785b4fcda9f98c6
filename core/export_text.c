/* Format: the whole tree as indented text. */
#include "exporters.h"
#include "text.h"

void
sl_exporter_text(const sl_profile *profile, sl_buf *out)
{
    sl_text_put(profile, 0, out);
}
