/* labels.h - the names of all functions of a profile, made once. */
#ifndef SL_CORE_LABELS_H
#define SL_CORE_LABELS_H

#include "label.h"

#include "slowlens/profile.h"

/* All names of a profile's functions, each at most SL_LABEL_MAX bytes. */
typedef struct {
    sl_buf bytes;
    size_t *ends; /* by function: where its name ends */
} sl_labels;

/* Fine to free in any state, zeroed ones included. SL_ENOMEM, SL_ELIMIT. */
sl_status sl_labels_init(sl_labels *labels, const sl_profile *profile);
void sl_labels_free(sl_labels *labels);

/* The name of function `i`; borrowed. */
static inline const char *
sl_labels_at(const sl_labels *labels, uint32_t i, size_t *len)
{
    size_t start = i == 0 ? 0 : labels->ends[i - 1];
    *len = labels->ends[i] - start;
    return (const char *)labels->bytes.data + start;
}

#endif /* SL_CORE_LABELS_H */
