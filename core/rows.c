/* Rows of stored profiles for lists: made from metadata, read, compared. */
#include "rows_data.h"

#include <string.h>

/* Rows that are gone are cleared away when there are this many, and half. */
#define GONE_MANY 4096

static const char *const column_names[] = {
#define XX(name, number) #name,
    SL_ROW_WIDE_MAP(XX) SL_ROW_NARROW_MAP(XX) SL_ROW_TEXT_MAP(XX)
#undef XX
};

sl_row_column
sl_row_column_of(const char *name)
{
    int column = 0;
    while (column < SL_ROW_COLUMNS && strcmp(column_names[column], name) != 0)
        column++;
    return (sl_row_column)column;
}

/* ---- memory ---- */

sl_status
sl_rows_new(sl_rows **out, const sl_alloc *alloc, size_t limit)
{
    const sl_alloc *from = alloc != NULL ? alloc : &sl_alloc_libc;
    sl_rows *rows = from->take(from->ctx, sizeof(*rows));
    if (rows == NULL)
        return SL_ENOMEM;
    *rows = (sl_rows){ .alloc = *from, .limit = limit };
    for (int i = 0; i < ROWS_TEXTS; i++)
        sl_words_init(&rows->words[i], from);
    sl_status status = sl_unpacker_new(&rows->unpacker, from);
    if (status < 0) {
        sl_rows_free(rows);
        return status;
    }
    *out = rows;
    return SL_OK;
}

/* Calls `each` with every array that has an element a row. */
static void
each_array(sl_rows *rows, void (*each)(void *ctx, void **array, size_t size),
           void *ctx)
{
    for (int i = 0; i < SL_ROW_WIDE_COUNT; i++)
        each(ctx, (void **)&rows->wide[i], sizeof(uint64_t));
    for (int i = 0; i < ROWS_NARROWS + ROWS_TEXTS; i++)
        each(ctx, (void **)&rows->narrow[i], sizeof(uint32_t));
    each(ctx, (void **)&rows->ids, SL_ID_SIZE);
    each(ctx, (void **)&rows->places, sizeof(sl_row_place));
    each(ctx, (void **)&rows->kinds, 1);
    each(ctx, (void **)&rows->states, 1);
}

static void
give_array(void *ctx, void **array, size_t size)
{
    sl_rows *rows = ctx;
    (void)size;
    rows->alloc.give(rows->alloc.ctx, *array);
    *array = NULL;
}

void
sl_rows_free(sl_rows *rows)
{
    if (rows == NULL)
        return;
    sl_alloc alloc = rows->alloc;
    each_array(rows, give_array, rows);
    alloc.give(alloc.ctx, rows->slots);
    for (int i = 0; i < ROWS_TEXTS; i++) {
        alloc.give(alloc.ctx, rows->order[i]);
        sl_words_free(&rows->words[i]);
    }
    sl_unpacker_free(rows->unpacker);
    alloc.give(alloc.ctx, rows);
}

static void
sum_array(void *ctx, void **array, size_t size)
{
    (void)array;
    *(size_t *)ctx += size;
}

size_t
sl_rows_bytes(const sl_rows *rows)
{
    size_t row = 0, texts = 0;
    each_array((sl_rows *)rows, sum_array, &row);
    for (int i = 0; i < ROWS_TEXTS; i++) {
        texts += sl_words_bytes(&rows->words[i]) +
                 rows->ordered[i] * sizeof(uint32_t);
    }
    return sizeof(*rows) + rows->capacity * row +
           rows->slot_count * sizeof(uint32_t) + texts;
}

uint32_t
sl_rows_count(const sl_rows *rows)
{
    return rows->shown;
}

typedef struct {
    sl_rows *rows;
    uint32_t capacity;
    bool failed;
} growth;

/* Larger arrays one by one: those that have grown already hold the same rows,
 * so a failure half-way leaves the table as it was. */
static void
grow_array(void *ctx, void **array, size_t size)
{
    growth *g = ctx;
    sl_alloc *alloc = &g->rows->alloc;

    if (g->failed)
        return;
    void *mem = alloc->take(alloc->ctx, g->capacity * size);
    if (mem == NULL) {
        g->failed = true;
        return;
    }
    if (g->rows->count > 0)
        memcpy(mem, *array, g->rows->count * size);
    alloc->give(alloc->ctx, *array);
    *array = mem;
}

static uint32_t
id_hash(const uint8_t *id)
{
    uint64_t chance; /* the last eight bytes of a ULID are random */
    memcpy(&chance, id + 8, sizeof(chance));
    return (uint32_t)(chance * 0x9E3779B97F4A7C15u >> 32);
}

static void
slot_put(sl_rows *rows, uint32_t row)
{
    uint32_t mask = rows->slot_count - 1, at = id_hash(rows->ids[row]) & mask;
    while (rows->slots[at] != 0)
        at = (at + 1) & mask;
    rows->slots[at] = row + 1;
}

static sl_status
grow_slots(sl_rows *rows)
{
    uint32_t count = rows->slot_count > 0 ? rows->slot_count * 2 : 64;
    uint32_t *slots =
        rows->alloc.take(rows->alloc.ctx, count * sizeof(uint32_t));
    if (slots == NULL)
        return SL_ENOMEM;
    memset(slots, 0, count * sizeof(uint32_t));
    rows->alloc.give(rows->alloc.ctx, rows->slots);
    rows->slots = slots;
    rows->slot_count = count;
    for (uint32_t row = 0; row < rows->count; row++)
        slot_put(rows, row);
    return SL_OK;
}

static sl_status
make_room(sl_rows *rows)
{
    if (rows->count == rows->capacity) {
        if (rows->limit > 0 && sl_rows_bytes(rows) >= rows->limit)
            return SL_ELIMIT;
        growth g = { rows, rows->capacity * 3 / 2 + 16, false };
        each_array(rows, grow_array, &g);
        if (g.failed)
            return SL_ENOMEM;
        rows->capacity = g.capacity;
    }
    if (rows->count >= rows->slot_count / 4 * 3)
        return grow_slots(rows);
    return SL_OK;
}

/* ---- one id, several rows ---- */

/* Calls `each` with the rows of an id that are not gone. */
static void
each_of(const sl_rows *rows, const uint8_t *id,
        void (*each)(void *ctx, const sl_rows *rows, uint32_t row), void *ctx)
{
    if (rows->slot_count == 0)
        return;
    uint32_t mask = rows->slot_count - 1, at = id_hash(id) & mask;
    for (; rows->slots[at] != 0; at = (at + 1) & mask) {
        uint32_t row = rows->slots[at] - 1;
        if (rows->states[row] != ROW_GONE &&
            memcmp(rows->ids[row], id, SL_ID_SIZE) == 0)
            each(ctx, rows, row);
    }
}

static bool
is_before(const sl_rows *rows, uint32_t a, uint32_t b)
{
    bool whole_a = rows->kinds[a] != SL_RECORD_CHECKPOINT;
    bool whole_b = rows->kinds[b] != SL_RECORD_CHECKPOINT;
    if (whole_a != whole_b)
        return whole_b;
    if (rows->places[a].segment != rows->places[b].segment)
        return rows->places[a].segment < rows->places[b].segment;
    return rows->places[a].offset < rows->places[b].offset;
}

static void
find_best(void *ctx, const sl_rows *rows, uint32_t row)
{
    uint32_t *best = ctx;
    if (*best == UINT32_MAX || is_before(rows, *best, row))
        *best = row;
}

static void
into_shadow(void *ctx, const sl_rows *rows, uint32_t row)
{
    sl_rows *table = ctx;
    if (rows->states[row] == ROW_SHOWN)
        table->shown--;
    table->states[row] = ROW_SHADOWED;
}

/* Shows the best row of an id, and no other. */
static void
show_best(sl_rows *rows, const uint8_t *id)
{
    uint32_t best = UINT32_MAX;
    each_of(rows, id, find_best, &best);
    if (best == UINT32_MAX)
        return;
    each_of(rows, id, into_shadow, rows);
    rows->states[best] = ROW_SHOWN;
    rows->shown++;
}

static uint32_t
row_of(const sl_rows *rows, const uint8_t *id)
{
    uint32_t best = UINT32_MAX;
    each_of(rows, id, find_best, &best);
    return best;
}

bool
sl_rows_find(const sl_rows *rows, const uint8_t id[SL_ID_SIZE],
             sl_row_place *place)
{
    uint32_t row = row_of(rows, id);
    if (row != UINT32_MAX)
        *place = rows->places[row];
    return row != UINT32_MAX;
}

typedef struct {
    sl_row_place *places;
    size_t room, count;
} place_list;

static void
add_place(void *ctx, const sl_rows *rows, uint32_t row)
{
    place_list *list = ctx;
    if (list->count < list->room)
        list->places[list->count] = rows->places[row];
    list->count++;
}

size_t
sl_rows_places(const sl_rows *rows, const uint8_t id[SL_ID_SIZE],
               sl_row_place *places, size_t room)
{
    place_list list = { places, room, 0 };
    each_of(rows, id, add_place, &list);
    return list.count;
}

/* ---- rows in ---- */

sl_status
sl_rows_put_numbers(sl_rows *rows, const sl_row *row, const uint32_t *texts)
{
    sl_status status = make_room(rows);
    if (status < 0)
        return status;
    uint32_t at = rows->count;
    for (int i = 0; i < SL_ROW_WIDE_COUNT; i++)
        rows->wide[i][at] = row->wide[i];
    uint64_t started = row->wide[SL_ROW_started];
    uint64_t most = UINT64_MAX - started, wall = row->wide[SL_ROW_wall_ns];
    rows->wide[SL_ROW_ended][at] = started + (wall < most ? wall : most);
    for (int i = 0; i < ROWS_NARROWS; i++)
        rows->narrow[i][at] = row->narrow[i];
    for (int i = 0; i < ROWS_TEXTS; i++)
        rows->narrow[ROWS_NARROWS + i][at] = texts[i];
    memcpy(rows->ids[at], row->id, SL_ID_SIZE);
    rows->places[at] = row->place;
    rows->kinds[at] = row->kind;

    bool known = row_of(rows, row->id) != UINT32_MAX;
    rows->states[at] = ROW_SHADOWED;
    rows->count++;
    slot_put(rows, at);
    if (known)
        show_best(rows, row->id);
    else {
        rows->states[at] = ROW_SHOWN;
        rows->shown++;
    }
    return SL_OK;
}

sl_status
sl_rows_put(sl_rows *rows, const sl_row *row)
{
    uint32_t texts[ROWS_TEXTS];

    for (int i = 0; i < ROWS_TEXTS; i++) {
        sl_status status = sl_words_put(&rows->words[i], row->text[i].text,
                                        row->text[i].size, &texts[i]);
        if (status < 0)
            return status;
    }
    return sl_rows_put_numbers(rows, row, texts);
}

/* A row for what cannot be read: it can still be seen, and deleted. */
static void
row_unreadable(sl_row *row, size_t bytes)
{
    for (int i = 0; i < SL_ROW_WIDE_COUNT; i++)
        row->wide[i] = 0;
    for (int i = 0; i < ROWS_NARROWS; i++)
        row->narrow[i] = 0;
    for (int i = 0; i < ROWS_TEXTS; i++)
        row->text[i] = (sl_row_text){ "", 0 };
    row->wide[SL_ROW_started] = sl_id_ms(row->id) * 1000000;
    row->narrow[SL_ROW_bytes - SL_ROW_WIDE_COUNT] = (uint32_t)bytes;
    row->text[ROWS_TEXT(SL_ROW_flags)] = (sl_row_text){ "unreadable", 10 };
}

typedef struct {
    sl_rows *rows;
    sl_buf front, tags;
} adding;

static sl_status
add_record(adding *a, sl_row *row, const uint8_t *inside, size_t inside_size,
           const void *blob, size_t size)
{
    sl_status status = sl_row_of_blob(row, a->rows->unpacker, blob, size,
                                      &a->front, &a->tags, NULL);
    if (status == SL_ENOMEM)
        return status;
    if (status < 0)
        row_unreadable(row, size);
    sl_row_text *hot = &row->text[ROWS_TEXT(SL_ROW_hot)];
    if (inside_size > 0)
        *hot = (sl_row_text){ (const char *)inside, inside_size };
    return sl_rows_put(a->rows, row);
}

static bool
is_profile(sl_record_kind kind)
{
    return kind == SL_RECORD_PROFILE || kind == SL_RECORD_MOVED ||
           kind == SL_RECORD_CHECKPOINT;
}

sl_status
sl_rows_add_records(sl_rows *rows, uint32_t segment, uint64_t offset,
                    const void *data, size_t size, size_t *used)
{
    adding a = { .rows = rows };
    const uint8_t *begin = data;
    sl_status status = SL_OK;
    sl_record record;

    sl_buf_init(&a.front, &rows->alloc, 0);
    sl_buf_init(&a.tags, &rows->alloc, 0);
    *used = 0;
    while (status == SL_OK && *used < size) {
        const uint8_t *at = begin + *used;
        status = sl_record_read(at, size - *used, &record);
        if (status == SL_EMORE ||
            (status == SL_OK && record.size > size - *used)) {
            status = SL_OK; /* cut off: being written, or for ever */
            break;
        }
        if (status < 0)
            break;
        if (is_profile(record.kind)) {
            sl_row row = { .kind = (uint8_t)record.kind,
                           .place = { segment, (uint32_t)(offset + *used) } };
            memcpy(row.id, record.id, SL_ID_SIZE);
            at += SL_RECORD_HEAD;
            if (offset + *used > UINT32_MAX)
                status = SL_ELIMIT;
            else
                status = add_record(&a, &row, at, record.inside,
                                    at + record.inside, record.outside);
        }
        if (status == SL_OK)
            *used += (size_t)record.size;
    }
    sl_buf_free(&a.front);
    sl_buf_free(&a.tags);
    return status;
}

sl_status
sl_rows_add_blob(sl_rows *rows, const uint8_t *id, uint32_t segment,
                 const void *blob, size_t size, const char *hot,
                 size_t hot_size)
{
    sl_buf front, tags;
    sl_row row = { .kind = SL_RECORD_PROFILE, .place = { segment, 0 } };

    sl_buf_init(&front, &rows->alloc, 0);
    sl_buf_init(&tags, &rows->alloc, 0);
    sl_status status =
        sl_row_of_blob(&row, rows->unpacker, blob, size, &front, &tags, row.id);
    if (id != NULL)
        memcpy(row.id, id, SL_ID_SIZE);
    if (status == SL_OK && hot != NULL)
        row.text[ROWS_TEXT(SL_ROW_hot)] = (sl_row_text){ hot, hot_size };
    if (status == SL_OK)
        status = sl_rows_put(rows, &row);
    sl_buf_free(&front);
    sl_buf_free(&tags);
    return status;
}

/* ---- rows out ---- */

static void
row_drop(sl_rows *rows, uint32_t row)
{
    if (rows->states[row] == ROW_SHOWN)
        rows->shown--;
    rows->states[row] = ROW_GONE;
    rows->gone++;
}

/* Copies all rows but those that are gone into a new table, which takes the
 * old one's place. Not enough memory: later. */
static void
compact(sl_rows *rows)
{
    sl_rows *fresh;
    sl_row row;

    if (sl_rows_new(&fresh, &rows->alloc, rows->limit) < 0)
        return;
    for (uint32_t at = 0; at < rows->count; at++) {
        if (rows->states[at] == ROW_GONE)
            continue;
        memcpy(row.id, rows->ids[at], SL_ID_SIZE);
        row.kind = rows->kinds[at];
        row.place = rows->places[at];
        for (int i = 0; i < SL_ROW_WIDE_COUNT; i++)
            row.wide[i] = rows->wide[i][at];
        for (int i = 0; i < ROWS_NARROWS; i++)
            row.narrow[i] = rows->narrow[i][at];
        for (int i = 0; i < ROWS_TEXTS; i++) {
            row.text[i].text =
                rows_text(rows, at, (sl_row_column)(SL_ROW_NARROW_END + i),
                          &row.text[i].size);
        }
        if (sl_rows_put(fresh, &row) < 0) {
            sl_rows_free(fresh);
            return;
        }
    }
    sl_rows old = *rows;
    *rows = *fresh;
    *fresh = old;
    sl_rows_free(fresh);
}

static void
maybe_compact(sl_rows *rows)
{
    if (rows->gone >= GONE_MANY && rows->gone > rows->count / 2)
        compact(rows);
}

void
sl_rows_drop_segment(sl_rows *rows, uint32_t segment)
{
    for (uint32_t row = 0; row < rows->count; row++) {
        if (rows->places[row].segment != segment ||
            rows->states[row] == ROW_GONE)
            continue;
        bool was_shown = rows->states[row] == ROW_SHOWN;
        row_drop(rows, row);
        if (was_shown)
            show_best(rows, rows->ids[row]);
    }
    maybe_compact(rows);
}

static void
drop_one(void *ctx, const sl_rows *rows, uint32_t row)
{
    (void)rows;
    row_drop(ctx, row);
}

void
sl_rows_drop(sl_rows *rows, const uint8_t id[SL_ID_SIZE])
{
    each_of(rows, id, drop_one, rows);
    maybe_compact(rows);
}

typedef struct {
    sl_rows *rows;
    uint32_t segment;
} dropping;

static void
drop_in(void *ctx, const sl_rows *rows, uint32_t row)
{
    dropping *d = ctx;
    if (rows->places[row].segment == d->segment)
        row_drop(d->rows, row);
}

void
sl_rows_drop_in(sl_rows *rows, const uint8_t id[SL_ID_SIZE], uint32_t segment)
{
    dropping d = { rows, segment };
    each_of(rows, id, drop_in, &d);
    show_best(rows, id);
    maybe_compact(rows);
}
