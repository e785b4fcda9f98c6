/* Format: one line a stack, frames joined by `;`, a blank and an integer, as
 * stackcollapse-*.pl of the FlameGraph tools write it. The integer is the self
 * time in microseconds. */
#include "exporters.h"
#include "labels.h"
#include "stacks.h"

#include <inttypes.h>
#include <stdio.h>

static void
put_stack(sl_buf *out, const sl_profile *profile, const sl_labels *labels,
          const uint32_t *frames, uint32_t count)
{
    for (uint32_t d = 0; d < count; d++) {
        size_t len = sizeof(SL_STACKS_GAP_NAME) - 1;
        const char *name = SL_STACKS_GAP_NAME;
        if (frames[d] != SL_STACKS_GAP)
            name = sl_labels_at(
                labels, sl_profile_node_at(profile, frames[d])->function, &len);
        if (d > 0)
            sl_buf_put_u8(out, ';');
        sl_buf_put(out, name, len);
    }
}

void
sl_exporter_collapsed(const sl_profile *profile, sl_buf *out)
{
    sl_labels labels;
    sl_stacks stacks = { 0 };
    uint64_t ns = 0, written = 0;
    char weight[32];
    sl_status status = sl_labels_init(&labels, profile);

    if (status == SL_OK)
        status = sl_stacks_init(&stacks, profile, false);
    if (status < 0)
        out->status = status;
    /* A name must not be taken for structure. */
    for (size_t i = 0; i < labels.bytes.size; i++) {
        if (labels.bytes.data[i] == ';')
            labels.bytes.data[i] = ':';
    }
    for (uint32_t i = 0;
         out->status == SL_OK && i < sl_profile_node_count(profile); i++) {
        /* Rounded on the running sum, so the total stays right. */
        ns += sl_profile_node_at(profile, i)->self_ns;
        uint64_t us = (ns + 500) / 1000 - written;
        uint32_t count;
        if (us == 0)
            continue;
        written += us;
        const uint32_t *frames = sl_stacks_at(&stacks, i, &count);
        put_stack(out, profile, &labels, frames, count);
        snprintf(weight, sizeof(weight), " %" PRIu64 "\n", us);
        sl_buf_put_str(out, weight);
        sl_buf_flow(out);
    }
    sl_stacks_free(&stacks);
    sl_labels_free(&labels);
}
