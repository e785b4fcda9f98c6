/* rows_data.h - the inside of a table of rows. */
#ifndef SL_CORE_ROWS_DATA_H
#define SL_CORE_ROWS_DATA_H

#include "slowlens/rows.h"

#include "compress.h"
#include "words.h"

#define ROWS_NARROWS (SL_ROW_NARROW_END - SL_ROW_WIDE_COUNT)
#define ROWS_TEXTS   (SL_ROW_COLUMNS - SL_ROW_NARROW_END)
/* Of a column of texts, its number among them. */
#define ROWS_TEXT(column) ((int)(column) - (int)SL_ROW_NARROW_END)

enum { ROW_GONE, ROW_SHOWN, ROW_SHADOWED };

struct sl_rows {
    sl_alloc alloc;
    size_t limit;
    uint32_t count, capacity;
    uint32_t shown, gone;
    uint64_t *wide[SL_ROW_WIDE_COUNT];
    uint32_t *narrow[ROWS_NARROWS + ROWS_TEXTS]; /* texts: their numbers */
    uint8_t (*ids)[SL_ID_SIZE];
    sl_row_place *places;
    uint8_t *kinds;  /* sl_record_kind */
    uint8_t *states; /* ROW_* */
    uint32_t *slots; /* row + 1, by id; 0: free. Several rows may share an id */
    uint32_t slot_count;
    sl_words words[ROWS_TEXTS];
    /* The order of each dictionary's texts, made when sorted by: order[n] of
     * text n, for as many texts as there were. */
    uint32_t *order[ROWS_TEXTS];
    uint32_t ordered[ROWS_TEXTS];
    sl_unpacker *unpacker;
};

/* One row on its way in. */
typedef struct {
    uint8_t id[SL_ID_SIZE];
    uint8_t kind;
    sl_row_place place;
    uint64_t wide[SL_ROW_WIDE_COUNT];
    uint32_t narrow[ROWS_NARROWS];
    sl_row_text text[ROWS_TEXTS];
} sl_row;

/* Adds one row. SL_ENOMEM, SL_ELIMIT: it is not there. */
sl_status sl_rows_put(sl_rows *rows, const sl_row *row);
/* The same, its texts being numbers of the table's dictionaries. */
sl_status sl_rows_put_numbers(sl_rows *rows, const sl_row *row,
                              const uint32_t *texts);

/* The metadata of a blob as a row; id, kind and place are left alone, but for
 * *own_id, where a ULID in it goes (NULL: not wanted). Texts point into
 * `front` and `tags`, which are emptied first and which the caller frees.
 * SL_ECORRUPT, SL_EVERSION, SL_ELIMIT, SL_ENOMEM. */
sl_status sl_row_of_blob(sl_row *row, sl_unpacker *unpacker, const void *blob,
                         size_t size, sl_buf *front, sl_buf *tags,
                         uint8_t *own_id);

/* The text of a row in a column of texts. Borrowed. */
static inline const char *
rows_text(const sl_rows *rows, uint32_t row, sl_row_column column, size_t *size)
{
    return sl_words_text(&rows->words[ROWS_TEXT(column)],
                         rows->narrow[column - SL_ROW_WIDE_COUNT][row], size);
}

#endif /* SL_CORE_ROWS_DATA_H */
