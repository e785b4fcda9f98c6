/* A stopped recording as a blob. blob.h draws the format. */
#include "blob.h"
#include "blob_put.h"
#include "compress.h"
#include "numbering.h"
#include "varint.h"

#include <stdlib.h>
#include <string.h>

enum { POPS, FUNCTION, CALLS, RESUMES, SELF, LINE, COLUMNS };
#define UNSEEN UINT32_MAX

/* One encoding at work. */
typedef struct {
    const sl_recording *recording;
    const sl_alloc *alloc;
    sl_blob_functions functions;
    uint32_t *numbers;       /* by function id: number in the file, or UNSEEN */
    sl_buf columns[COLUMNS]; /* of TREE */
    uint32_t node_count;
    sl_describe describe;
    void *ctx;
} writer;

/* Writes function `id` into the columns. */
static sl_status
writer_function(writer *w, uint32_t id)
{
    const void *key = w->recording->tree.functions.keys[id];
    sl_function f = { .name = "?",
                      .name_len = 1,
                      .file = "",
                      .kind = SL_KIND_PYTHON,
                      .origin = SL_ORIGIN_LIBRARY };

    if (id < SL_PSEUDO_COUNT) {
        f.name = sl_pseudo_name((sl_pseudo)id);
        f.name_len = strlen(f.name);
        f.kind = SL_KIND_PSEUDO;
        f.origin = SL_ORIGIN_NONE;
    } else if (w->describe != NULL) {
        w->describe(w->ctx, id, key, &f);
    }

    w->numbers[id] = w->functions.count;
    return sl_blob_functions_add(&w->functions, &f);
}

static sl_status
writer_tree(writer *w, uint64_t quantum)
{
    const sl_tree *tree = &w->recording->tree;
    double scale = sl_recording_scale(w->recording) / (double)quantum;
    uint32_t depth = 0, before = 0;
    uint64_t ticks = 0, written = 0;
    uint8_t *at[COLUMNS];

    /* Room for the longest there can be, once: no test for each number. */
    for (int i = 0; i < COLUMNS; i++) {
        at[i] =
            sl_buf_room(&w->columns[i], (size_t)tree->nodes * SL_VARINT_MAX);
        if (at[i] == NULL)
            return w->columns[i].status;
    }

    for (const sl_node *node = tree->root; node != NULL;
         node = sl_tree_next(node, &depth)) {
        if (sl_tree_is_unused(tree, node))
            continue;

        uint64_t number = 0;
        if (w->numbers[node->function] != UNSEEN) {
            number = (uint64_t)w->numbers[node->function] + 1;
        } else {
            sl_status status = writer_function(w, node->function);
            if (status < 0)
                return status;
        }

        ticks += node->self;
        uint64_t sum = (uint64_t)((double)ticks * scale + 0.5);
        uint64_t pops = w->node_count == 0 ? 0 : before + 1 - depth;
        at[POPS] += sl_varint_put(at[POPS], pops);
        at[FUNCTION] += sl_varint_put(at[FUNCTION], number);
        at[CALLS] += sl_varint_put(at[CALLS], node->calls);
        at[RESUMES] += sl_varint_put(at[RESUMES], node->resumes);
        at[SELF] += sl_varint_put(at[SELF], sum - written);
        at[LINE] += sl_varint_put(at[LINE], node->site);
        written = sum;
        before = depth;
        w->node_count++;
    }
    for (int i = 0; i < COLUMNS; i++)
        sl_buf_used(&w->columns[i], (size_t)(at[i] - w->columns[i].data));
    return SL_OK;
}

/* ---- what samples saw ---- */

static uint64_t
node_number(const void *node)
{
    return ((const sl_node *)node)->number;
}

static int
mark_compare(const void *a, const void *b)
{
    const sl_mark *x = a, *y = b;
    uint64_t m = node_number(x->node), n = node_number(y->node);
    if (m != n)
        return m < n ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int
stretch_compare(const void *a, const void *b)
{
    const sl_stretch *x = a, *y = b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return x->from < y->from ? -1 : x->from > y->from;
}

enum { LINE_COLUMNS = 5, STRETCH_COLUMNS = 4, SEEN_COLUMNS = 5 };

static void
put_seen(sl_buf *out, unsigned tag, uint32_t rows, sl_buf *columns, int count,
         sl_buf *body)
{
    sl_buf_put_varint(body, rows);
    for (int i = 0; i < count; i++) {
        sl_blob_put_column(body, &columns[i]);
        columns[i].size = 0;
    }
    sl_blob_put_section(out, tag, body);
}

static void
writer_lines(const writer *w, double scale, sl_buf *columns)
{
    const sl_marks *marks = &w->recording->marks;
    uint64_t before = 0, ticks = 0, written = 0;

    for (uint32_t i = 0; i < marks->mark_count; i++) {
        const sl_mark *mark = &marks->marks[i];
        uint64_t number = node_number(mark->node);
        ticks += mark->wall;
        uint64_t sum = (uint64_t)((double)ticks * scale + 0.5);
        uint64_t wall = sum - written;
        uint64_t cpu = (uint64_t)((double)mark->cpu * scale);
        uint64_t gil = (uint64_t)((double)mark->gil * scale);
        cpu = cpu < wall ? cpu : wall;
        gil = gil < wall - cpu ? gil : wall - cpu;
        sl_buf_put_varint(&columns[0], number - before);
        sl_buf_put_varint(&columns[1], mark->line);
        sl_buf_put_varint(&columns[2], wall);
        sl_buf_put_varint(&columns[3], cpu);
        sl_buf_put_varint(&columns[4], gil);
        before = number;
        written = sum;
    }
}

static void
writer_timeline(const writer *w, double scale, sl_buf *columns)
{
    const sl_marks *marks = &w->recording->marks;
    uint64_t lane = 0, node = 0, end = 0;

    for (uint32_t i = 0; i < marks->stretch_count; i++) {
        const sl_stretch *stretch = &marks->stretches[i];
        uint64_t start = w->recording->start_ticks;
        uint64_t number = node_number(stretch->node);
        uint64_t from =
            stretch->from > start
                ? (uint64_t)((double)(stretch->from - start) * scale + 0.5)
                : 0;
        uint64_t to =
            stretch->to > start
                ? (uint64_t)((double)(stretch->to - start) * scale + 0.5)
                : 0;
        if (stretch->lane != lane)
            end = 0;
        from = from > end ? from : end;
        to = to > from ? to : from;
        sl_buf_put_varint(&columns[0], stretch->lane - lane);
        sl_buf_put_varint(&columns[1], from - end);
        sl_buf_put_varint(&columns[2],
                          sl_zigzag((int64_t)number - (int64_t)node));
        sl_buf_put_varint(&columns[3], to - from);
        lane = stretch->lane;
        node = number;
        end = to;
    }
}

/* The two optional sections. The recording is stopped, so sorting what its
 * sampler collected changes nothing that anybody reads. */
static void
writer_seen(const writer *w, uint64_t quantum, sl_buf *out, sl_buf *body)
{
    const sl_marks *marks = &w->recording->marks;
    double scale = sl_recording_scale(w->recording) / (double)quantum;
    sl_buf columns[SEEN_COLUMNS];

    if (marks->mark_count == 0)
        return;
    for (int i = 0; i < SEEN_COLUMNS; i++)
        sl_buf_init(&columns[i], w->alloc, 0);
    qsort(marks->marks, marks->mark_count, sizeof(sl_mark), mark_compare);
    writer_lines(w, scale, columns);
    put_seen(out, SL_BLOB_LINES, marks->mark_count, columns, LINE_COLUMNS,
             body);
    if (marks->stretch_count > 0) {
        qsort(marks->stretches, marks->stretch_count, sizeof(sl_stretch),
              stretch_compare);
        writer_timeline(w, scale, columns);
        put_seen(out, SL_BLOB_TIMELINE, marks->stretch_count, columns,
                 STRETCH_COLUMNS, body);
    }
    for (int i = 0; i < SEEN_COLUMNS; i++)
        sl_buf_free(&columns[i]);
}

static void
writer_content(writer *w, const sl_meta *meta, size_t meta_count,
               uint64_t quantum, sl_buf *out, sl_buf *body)
{
    sl_blob_put_head(out, body, meta, meta_count, &w->functions);
    sl_buf_put_varint(body, w->node_count);
    sl_buf_put_varint(body, quantum);
    for (int i = 0; i < COLUMNS; i++)
        sl_blob_put_column(body, &w->columns[i]);
    sl_blob_put_section(out, SL_BLOB_TREE, body);
    writer_seen(w, quantum, out, body);
    sl_blob_put_section(out, SL_BLOB_END, body);
}

static sl_status
writer_init(writer *w)
{
    const uint32_t functions = w->recording->tree.functions.count;
    void *mem;

    for (int i = 0; i < COLUMNS; i++)
        sl_buf_init(&w->columns[i], w->alloc, 0);
    sl_status status = sl_blob_functions_init(&w->functions, w->alloc);
    if (status == SL_OK)
        status = sl_arena_take(w->functions.arena, functions * sizeof(uint32_t),
                               &mem);
    if (status < 0)
        return status;
    w->numbers = mem;
    memset(w->numbers, 0xFF, functions * sizeof(uint32_t));
    return SL_OK;
}

static void
writer_free(writer *w)
{
    for (int i = 0; i < COLUMNS; i++)
        sl_buf_free(&w->columns[i]);
    sl_blob_functions_free(&w->functions);
}

sl_status
sl_recording_encode(sl_recording *recording, const sl_meta *meta,
                    size_t meta_count, sl_describe describe, void *ctx,
                    int level, sl_bytes *out)
{
    if (!recording->stopped || recording->tree.root == NULL)
        return SL_ESTATE;
    if (meta_count > SL_BLOB_MAX_META)
        return SL_ELIMIT;

    writer w = { .recording = recording,
                 .alloc = &recording->alloc,
                 .describe = describe,
                 .ctx = ctx };
    uint64_t quantum = sl_blob_quantum(sl_recording_wall_ns(recording));
    sl_buf content, body, frame;
    sl_buf_init(&content, w.alloc, SL_BLOB_MAX_CONTENT);
    sl_buf_init(&body, w.alloc, SL_BLOB_MAX_CONTENT);
    sl_buf_init(&frame, w.alloc, 0);

    sl_status status = writer_init(&w);
    if (status == SL_OK &&
        (recording->sampled || recording->marks.mark_count > 0))
        status = sl_recording_number(recording);
    if (status == SL_OK)
        status = writer_tree(&w, quantum);
    if (status == SL_OK) {
        writer_content(&w, meta, meta_count, quantum, &content, &body);
        status = content.status;
    }
    if (status == SL_OK)
        status = sl_compress(&frame, content.data, content.size,
                             level != 0 ? level : 3);
    if (status == SL_OK)
        status = sl_buf_finish(&frame, out);

    writer_free(&w);
    sl_buf_free(&content);
    sl_buf_free(&body);
    sl_buf_free(&frame);
    return status;
}
