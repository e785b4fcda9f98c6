/* The parts of a blob that both of its writers put. */
#include "blob_put.h"
#include "blob.h"
#include "utf8.h"
#include "varint.h"

#include <string.h>

sl_status
sl_blob_functions_init(sl_blob_functions *f, const sl_alloc *alloc)
{
    sl_buf *const bufs[] = { &f->names,   &f->files, &f->lines, &f->kinds,
                             &f->origins, &f->known, &f->pseudo };
    uint32_t empty;

    memset(f, 0, sizeof(*f));
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        sl_buf_init(bufs[i], alloc, 0);
    sl_status status = sl_arena_new(&f->arena, alloc, 0, SIZE_MAX / 4);
    if (status == SL_OK)
        status = sl_intern_new(&f->strings, f->arena, alloc);
    if (status == SL_OK)
        status = sl_intern_id(f->strings, "", 0, &empty);
    return status;
}

void
sl_blob_functions_free(sl_blob_functions *f)
{
    sl_buf *const bufs[] = { &f->names,   &f->files, &f->lines, &f->kinds,
                             &f->origins, &f->known, &f->pseudo };
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        sl_buf_free(bufs[i]);
    sl_intern_free(f->strings);
    sl_arena_free(f->arena);
    memset(f, 0, sizeof(*f));
}

static sl_status
functions_text(sl_blob_functions *f, const char **text, size_t *len,
               uint32_t *id)
{
    size_t most = sl_utf8_cut(*text, *len, SL_BLOB_MAX_NAME);
    f->cut += most < *len;
    *len = most;
    return sl_intern_keep(f->strings, *text, most, id, text);
}

sl_status
sl_blob_functions_add(sl_blob_functions *f, const sl_function *one)
{
    uint32_t name, file;

    if (f->count == SL_BLOB_MAX_FUNCTIONS ||
        sl_intern_count(f->strings) + 2 > SL_BLOB_MAX_STRINGS)
        return SL_ELIMIT;
    if ((unsigned)one->kind >= SL_KIND_COUNT ||
        (unsigned)one->origin >= SL_ORIGIN_COUNT)
        return SL_ERANGE;
    sl_function kept = *one;
    sl_status status = functions_text(f, &kept.name, &kept.name_len, &name);
    if (status == SL_OK)
        status = functions_text(f, &kept.file, &kept.file_len, &file);
    if (status < 0)
        return status;
    sl_buf_put(&f->known, &kept, sizeof(kept));
    sl_buf_put_u8(&f->pseudo, (uint8_t)sl_pseudo_of(&kept));
    sl_buf_put_varint(&f->names, name);
    sl_buf_put_varint(&f->files, file);
    sl_buf_put_varint(&f->lines, one->line);
    sl_buf_put_varint(&f->kinds, one->kind);
    sl_buf_put_varint(&f->origins, one->origin);
    f->count++;
    return SL_OK;
}

void
sl_blob_put_items(sl_buf *out, const sl_meta *meta, size_t count)
{
    sl_buf_put_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        sl_buf_put_varint(out, meta[i].key_len);
        sl_buf_put(out, meta[i].key, meta[i].key_len);
        if (meta[i].text == NULL) {
            sl_buf_put_u8(out, SL_BLOB_INTEGER);
            sl_buf_put_varint(out, sl_zigzag(meta[i].number));
        } else {
            sl_buf_put_u8(out, SL_BLOB_TEXT);
            sl_buf_put_varint(out, meta[i].text_len);
            sl_buf_put(out, meta[i].text, meta[i].text_len);
        }
    }
}

static void
put_length(void *ctx, const char *str, size_t len)
{
    (void)str;
    sl_buf_put_varint(ctx, len);
}

static void
put_text(void *ctx, const char *str, size_t len)
{
    sl_buf_put(ctx, str, len);
}

void
sl_blob_put_column(sl_buf *out, const sl_buf *column)
{
    if (column->status < 0)
        out->status = column->status;
    sl_buf_put(out, column->data, column->size);
}

void
sl_blob_put_section(sl_buf *out, unsigned tag, sl_buf *body)
{
    if (body->status < 0)
        out->status = body->status;
    sl_buf_put_varint(out, tag);
    sl_buf_put_varint(out, body->size);
    sl_buf_put(out, body->data, body->size);
    body->size = 0;
}

sl_blob_bound
sl_blob_bound_times(uint64_t quantum)
{
    return (sl_blob_bound){ .left = SL_BLOB_MAX_SUM / quantum,
                            .v1_most = SL_BLOB_V1_MAX_NS / quantum };
}

sl_blob_bound
sl_blob_bound_counts(void)
{
    return (sl_blob_bound){ .left = SL_BLOB_MAX_SUM,
                            .v1_most = SL_BLOB_V1_MAX_COUNT };
}

void
sl_blob_counters_begin(sl_blob_metric *row, const sl_alloc *alloc)
{
    *row = (sl_blob_metric){ 0 };
    sl_buf_init(&row->metrics, alloc, 0);
    sl_buf_init(&row->nodes, alloc, 0);
    sl_buf_init(&row->values, alloc, 0);
}

/* Ends the metric at work. */
static void
counters_flush(sl_blob_metric *row)
{
    if (row->rows == 0)
        return;
    sl_buf_put_varint(&row->metrics, row->metric);
    sl_buf_put_varint(&row->metrics, row->rows);
    sl_blob_put_column(&row->metrics, &row->nodes);
    sl_blob_put_column(&row->metrics, &row->values);
    row->metric_count++;
    row->clipped += row->bound.clipped;
    row->nodes.size = row->values.size = 0;
    row->rows = 0;
}

void
sl_blob_counters_add(sl_blob_metric *row, uint64_t metric, uint64_t node,
                     uint64_t value)
{
    if (row->rows == 0 || metric != row->metric) {
        counters_flush(row);
        row->metric = metric;
        row->node = 0;
        row->bound = sl_blob_bound_counts();
    }
    sl_buf_put_varint(&row->nodes, node - row->node);
    sl_buf_put_varint(&row->values, sl_blob_bounded(&row->bound, value));
    row->node = node;
    row->rows++;
}

uint64_t
sl_blob_counters_end(sl_blob_metric *row, sl_buf *body)
{
    counters_flush(row);
    sl_buf_put_varint(body, row->metric_count);
    sl_blob_put_column(body, &row->metrics);
    sl_buf_free(&row->metrics);
    sl_buf_free(&row->nodes);
    sl_buf_free(&row->values);
    return row->clipped;
}

void
sl_blob_spans_begin(sl_blob_spans *s, sl_blob_functions *functions,
                    uint64_t quantum, const sl_alloc *alloc)
{
    *s = (sl_blob_spans){ .functions = functions,
                          .counts = sl_blob_bound_counts(),
                          .times = sl_blob_bound_times(quantum),
                          .gaps = sl_blob_bound_times(quantum) };
    for (int i = 0; i < SL_BLOB_SPAN_COLUMNS; i++)
        sl_buf_init(&s->rows[i], alloc, 0);
    for (int i = 0; i < SL_BLOB_FIRST_COLUMNS; i++)
        sl_buf_init(&s->firsts[i], alloc, 0);
}

/* Puts the number of a string. */
static void
spans_string(sl_blob_spans *s, sl_buf *column, const char *text)
{
    size_t len = strlen(text);
    uint32_t id = 0;

    if (sl_intern_count(s->functions->strings) + 1 > SL_BLOB_MAX_STRINGS)
        s->status = SL_ELIMIT;
    sl_status status = functions_text(s->functions, &text, &len, &id);
    if (status < 0)
        s->status = status;
    sl_buf_put_varint(column, id);
}

void
sl_blob_spans_add(sl_blob_spans *s, const sl_blob_span *row)
{
    uint64_t total = sl_blob_bounded(&s->times, row->total);

    sl_buf_put_varint(&s->rows[0], row->node - s->node);
    sl_buf_put_varint(&s->rows[1], row->line);
    sl_buf_put_varint(&s->rows[2], row->lane);
    spans_string(s, &s->rows[3], row->kind);
    spans_string(s, &s->rows[4], row->text);
    spans_string(s, &s->rows[5], row->where);
    sl_buf_put_varint(&s->rows[6], sl_blob_bounded(&s->counts, row->count));
    sl_buf_put_varint(&s->rows[7], total);
    sl_buf_put_varint(&s->rows[8], row->outer < total ? row->outer : total);
    sl_buf_put_varint(&s->rows[9], row->longest < total ? row->longest : total);
    sl_buf_put_varint(&s->rows[10], row->firsts);
    s->node = row->node;
    s->before = 0;
    s->row_count++;
}

void
sl_blob_spans_first(sl_blob_spans *s, uint64_t from, uint64_t length,
                    const char *detail)
{
    uint64_t gap = from > s->before ? from - s->before : 0;

    gap = sl_blob_bounded(&s->gaps, gap);
    s->before += gap;
    sl_buf_put_varint(&s->firsts[0], gap);
    sl_buf_put_varint(&s->firsts[1], sl_blob_bounded(&s->gaps, length));
    spans_string(s, &s->firsts[2], detail);
    s->first_count++;
}

sl_status
sl_blob_spans_end(sl_blob_spans *s, uint64_t lost, sl_buf *body,
                  uint64_t *clipped)
{
    sl_buf_put_varint(body, s->row_count);
    sl_buf_put_varint(body, s->first_count);
    sl_buf_put_varint(body, sl_blob_bounded(&s->counts, lost));
    for (int i = 0; i < SL_BLOB_SPAN_COLUMNS; i++) {
        sl_blob_put_column(body, &s->rows[i]);
        sl_buf_free(&s->rows[i]);
    }
    for (int i = 0; i < SL_BLOB_FIRST_COLUMNS; i++) {
        sl_blob_put_column(body, &s->firsts[i]);
        sl_buf_free(&s->firsts[i]);
    }
    *clipped = s->counts.clipped + s->times.clipped + s->gaps.clipped;
    return s->status;
}

sl_status
sl_blob_check_rows(const sl_blob_rows *rows)
{
    if (rows->nodes > SL_BLOB_MAX_NODES ||
        rows->functions > SL_BLOB_MAX_FUNCTIONS ||
        rows->lines > SL_BLOB_MAX_LINES ||
        rows->stretches > SL_BLOB_MAX_STRETCHES ||
        rows->counters > SL_BLOB_MAX_COUNTERS ||
        rows->spans > SL_BLOB_MAX_SPANS || rows->firsts > SL_BLOB_MAX_FIRSTS)
        return SL_ELIMIT;
    uint64_t bytes = rows->nodes * SL_BLOB_NODE_BYTES +
                     rows->functions * SL_BLOB_FUNCTION_BYTES +
                     rows->lines * SL_BLOB_LINE_BYTES +
                     rows->stretches * SL_BLOB_STRETCH_BYTES +
                     rows->counters * SL_BLOB_COUNTER_BYTES +
                     rows->spans * SL_BLOB_SPAN_BYTES +
                     rows->firsts * SL_BLOB_FIRST_BYTES;
    /* And once more than the content for its texts. */
    return bytes + SL_BLOB_MAX_CONTENT <= SL_BLOB_MAX_DECODED ? SL_OK
                                                              : SL_ELIMIT;
}

uint64_t
sl_blob_quantum(uint64_t wall)
{
    return wall < 1000000 ? 1 : wall < 10000000 ? 10 : 100;
}

size_t
sl_blob_put_head(sl_buf *out, sl_buf *body, const sl_meta *meta,
                 size_t meta_count, const sl_buf *summary,
                 sl_blob_functions *functions, bool wide)
{
    const uint8_t version[] = { wide ? 2 : 1, 0, 0, 0 };

    sl_buf_put(out, SL_BLOB_MAGIC, SL_BLOB_MAGIC_SIZE);
    sl_buf_put(out, version, sizeof(version));

    sl_blob_put_items(body, meta, meta_count);
    sl_blob_put_section(out, SL_BLOB_META, body);
    if (summary->size > 0) {
        sl_blob_put_column(body, summary);
        sl_blob_put_section(out, SL_BLOB_SUMMARY, body);
    }
    size_t front = out->size;

    sl_buf_put_varint(body, sl_intern_count(functions->strings));
    sl_intern_each(functions->strings, put_length, body);
    sl_intern_each(functions->strings, put_text, body);
    sl_blob_put_section(out, SL_BLOB_STRINGS, body);

    sl_buf_put_varint(body, functions->count);
    sl_blob_put_column(body, &functions->names);
    sl_blob_put_column(body, &functions->files);
    sl_blob_put_column(body, &functions->lines);
    sl_blob_put_column(body, &functions->kinds);
    sl_blob_put_column(body, &functions->origins);
    sl_blob_put_section(out, SL_BLOB_FUNCTIONS, body);
    return front;
}
