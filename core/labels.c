/* The names of all functions of a profile, made once. */
#include "labels.h"

#include <stdlib.h>

sl_status
sl_labels_init(sl_labels *labels, const sl_profile *profile)
{
    uint32_t count = sl_profile_function_count(profile);

    *labels = (sl_labels){ .ends = calloc((size_t)count + 1, sizeof(size_t)) };
    sl_buf_init(&labels->bytes, NULL, 0);
    if (labels->ends == NULL)
        return SL_ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        sl_label_name(&labels->bytes, sl_profile_function(profile, i),
                      SL_LABEL_MAX);
        labels->ends[i] = labels->bytes.size;
    }
    return labels->bytes.status;
}

void
sl_labels_free(sl_labels *labels)
{
    sl_buf_free(&labels->bytes);
    free(labels->ends);
    labels->ends = NULL;
}
