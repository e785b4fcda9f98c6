/* Any bytes as a segment's footer, or as a blob's content in one of its
 * records: what is taken can be listed, summed up, and written as a footer that
 * says the same; what is not leaves a table that still works. */
#include "buf.h"
#include "compress.h"

#include "slowlens/rows.h"
#include "slowlens/segment.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM ((size_t)64 << 20)

static void
demand(bool truth)
{
    if (!truth)
        abort();
}

/* `pick`: which column to sort by, among others. */
static void
asked(sl_rows *rows, size_t pick)
{
    sl_row_text any = { NULL, 0 };
    sl_rows_query query;
    sl_bytes out;

    sl_rows_query_init(&query);
    for (int falling = 0; falling < 2; falling++) {
        query.sort = (sl_row_column)(pick % SL_ROW_COLUMNS);
        query.falling = falling != 0;
        if (sl_rows_list(rows, &query, &out) == SL_OK)
            sl_bytes_free(&out);
    }
    if (sl_rows_routes(rows, &any, &out) == SL_OK)
        sl_bytes_free(&out);
    if (sl_rows_worst(rows, 3, &out) == SL_OK)
        sl_bytes_free(&out);
}

/* What a footer says of rows is what they are. */
static void
again(sl_rows *rows)
{
    sl_rows *copy;
    sl_bytes out;

    if (sl_rows_footer(rows, 1, &out) < 0)
        return;
    demand(sl_rows_new(&copy, NULL, ROOM) == SL_OK);
    sl_status status = sl_rows_add_footer(copy, 1, out.data + SL_RECORD_HEAD,
                                          out.size - SL_RECORD_HEAD);
    demand(status < 0 || sl_rows_count(copy) == sl_rows_count(rows));
    sl_rows_free(copy);
    sl_bytes_free(&out);
}

static sl_status
put(sl_rows *rows, sl_buf *packed, bool footer)
{
    uint8_t head[SL_RECORD_HEAD], id[SL_ID_SIZE] = { 1, 2, 3 };
    uint8_t end[SL_FOOTER_END] = { 0 };
    sl_buf record;
    size_t used;

    if (footer) {
        sl_buf_put(packed, end, sizeof(end));
        return packed->status < 0
                   ? packed->status
                   : sl_rows_add_footer(rows, 1, packed->data, packed->size);
    }
    sl_buf_init(&record, &packed->alloc, 0);
    demand(sl_record_head(head, SL_RECORD_PROFILE, id, NULL, 0, packed->size) ==
           SL_OK);
    sl_buf_put(&record, head, sizeof(head));
    sl_buf_put(&record, packed->data, packed->size);
    sl_status status =
        sl_rows_add_records(rows, 1, 0, record.data, record.size, &used);
    demand(status < 0 || used == record.size);
    sl_buf_free(&record);
    return status;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sl_rows *rows;
    sl_buf packed;

    if (size < 1 || sl_rows_new(&rows, NULL, ROOM) < 0)
        return 0;
    sl_buf_init(&packed, &sl_alloc_libc, 0);
    if (sl_compress(&packed, data + 1, size - 1, 1) == SL_OK) {
        sl_status status = put(rows, &packed, (data[0] & 1) != 0);
        asked(rows, data[size / 2]);
        if (status == SL_OK)
            again(rows);
        sl_rows_drop_segment(rows, 1);
        demand(sl_rows_count(rows) == 0);
        asked(rows, data[size / 2]);
    }
    sl_buf_free(&packed);
    sl_rows_free(rows);
    return 0;
}
