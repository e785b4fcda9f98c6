/* Format: one line a stack, frames joined by `;`, a blank and an integer, as
 * stackcollapse-*.pl of the FlameGraph tools write it. */
#include "buf.h"
#include "hotpath.h"

#include "slowlens/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORT_MAX ((size_t)1 << 30)

/* Appends a frame name that cannot be taken for structure. */
static void
put_frame(sl_buf *out, const sl_function *f)
{
    size_t start = out->size;

    sl_hotpath_name(f, out);
    for (size_t at = start; out->status == SL_OK && at < out->size; at++) {
        if (out->data[at] == ';')
            out->data[at] = ':';
        else if (out->data[at] < 0x20 || out->data[at] == 0x7F)
            out->data[at] = ' ';
    }
}

sl_status
sl_export_collapsed(const sl_profile *profile, sl_bytes *out)
{
    uint32_t count = sl_profile_node_count(profile);
    /* ends[d]: where the stack of depth d ends in `stack` */
    size_t *ends = malloc(((size_t)count + 1) * sizeof(*ends));
    uint64_t ns = 0, written = 0;
    sl_buf buf, stack;
    char weight[32];

    if (ends == NULL)
        return SL_ENOMEM;
    sl_buf_init(&buf, NULL, EXPORT_MAX);
    sl_buf_init(&stack, NULL, EXPORT_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        stack.size = node->depth == 0 ? 0 : ends[node->depth - 1];
        if (node->depth > 0)
            sl_buf_put_u8(&stack, ';');
        put_frame(&stack, sl_profile_function(profile, node->function));
        ends[node->depth] = stack.size;

        /* Rounded on the running sum, so the total stays right. */
        ns += node->self_ns;
        uint64_t us = (ns + 500) / 1000 - written;
        if (us == 0)
            continue;
        written += us;
        sl_buf_put(&buf, stack.data, stack.size);
        snprintf(weight, sizeof(weight), " %" PRIu64 "\n", us);
        sl_buf_put_str(&buf, weight);
    }
    if (stack.status < 0)
        buf.status = stack.status;
    sl_buf_free(&stack);
    free(ends);
    return sl_buf_finish(&buf, out);
}
