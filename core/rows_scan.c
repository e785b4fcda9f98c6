/* Lists: filters, order, and the rows as JSON. */
#include "json.h"
#include "rows_data.h"

#include <string.h>

/* ---- filters: passes over one column each, into a byte a row ---- */

typedef struct {
    sl_rows *rows;
    const sl_rows_query *query;
    uint8_t *pass; /* of each row: 1 as long as it passes */
    uint32_t count;
} scan;

static uint32_t *
column_texts(const sl_rows *rows, sl_row_column column)
{
    return rows->narrow[column - SL_ROW_WIDE_COUNT];
}

static void
pass_equal(scan *s, sl_row_column column, const sl_row_text *wanted)
{
    const uint32_t *texts = column_texts(s->rows, column);
    uint8_t *pass = s->pass;
    uint32_t number;

    if (wanted->text == NULL)
        return;
    if (!sl_words_find(&s->rows->words[ROWS_TEXT(column)], wanted->text,
                       wanted->size, &number)) {
        memset(pass, 0, s->count);
        return;
    }
    for (uint32_t i = 0; i < s->count; i++)
        pass[i] &= (uint8_t)(texts[i] == number);
}

static void
pass_wide(scan *s, sl_row_column column, uint64_t from, uint64_t to)
{
    const uint64_t *values = s->rows->wide[column];
    uint8_t *pass = s->pass;

    if (from == 0 && to == UINT64_MAX)
        return;
    for (uint32_t i = 0; i < s->count; i++)
        pass[i] &= (uint8_t)(values[i] >= from) & (uint8_t)(values[i] < to);
}

static void
pass_status(scan *s)
{
    const uint32_t *values = column_texts(s->rows, SL_ROW_status);
    uint32_t from = s->query->status_from, to = s->query->status_to;
    uint8_t *pass = s->pass;

    if (from == 0 && to == UINT32_MAX)
        return;
    for (uint32_t i = 0; i < s->count; i++)
        /* Without a branch, so that a compiler may do many rows at a time. */
        pass[i] &= (uint8_t)(values[i] >= from) & (uint8_t)(values[i] <= to);
}

/* Which texts of a dictionary a needle occurs in; NULL: no memory. */
static uint8_t *
hits_of(scan *s, sl_row_column column, const char *needle, size_t size,
        bool fold)
{
    const sl_words *words = &s->rows->words[ROWS_TEXT(column)];
    sl_alloc *alloc = &s->rows->alloc;
    uint8_t *hits = alloc->take(alloc->ctx, (size_t)words->count + 1);
    if (hits == NULL)
        return NULL;
    memset(hits, 0, (size_t)words->count + 1);
    sl_words_search(words, needle, size, fold, hits);
    return hits;
}

/* Rows in whose columns a text occurs: one look at each dictionary, then one
 * at each row. */
static sl_status
pass_word(scan *s, const sl_row_word *word)
{
    static const struct {
        sl_row_column column;
        unsigned where;
    } places[] = { { SL_ROW_path, SL_ROWS_IN_PATH },
                   { SL_ROW_route, SL_ROWS_IN_PATH },
                   { SL_ROW_hot, SL_ROWS_IN_HOT } };
    enum { PLACES = sizeof(places) / sizeof(places[0]) };
    sl_alloc *alloc = &s->rows->alloc;
    const uint32_t *texts[PLACES];
    uint8_t *hits[PLACES];
    int count = 0;
    bool failed = false;

    if (word->text.size == 0)
        return SL_OK;
    for (int i = 0; i < PLACES; i++) {
        if ((places[i].where & word->where) == 0)
            continue;
        texts[count] = column_texts(s->rows, places[i].column);
        hits[count] = hits_of(s, places[i].column, word->text.text,
                              word->text.size, true);
        failed |= hits[count++] == NULL;
    }
    for (uint32_t i = 0; !failed && i < s->count; i++) {
        uint8_t found = 0;
        for (int k = 0; s->pass[i] && k < count; k++)
            found |= hits[k][texts[k][i]];
        s->pass[i] &= found;
    }
    while (count > 0)
        alloc->give(alloc->ctx, hits[--count]);
    return failed ? SL_ENOMEM : SL_OK;
}

/* A line of `column` is, or (ends in "=") begins with, the wanted text. */
static sl_status
pass_line(scan *s, sl_row_column column, const sl_row_text *wanted, char end)
{
    const uint32_t *texts = column_texts(s->rows, column);
    sl_alloc *alloc = &s->rows->alloc;

    if (wanted->text == NULL || wanted->size == 0)
        return SL_OK;
    char *needle = alloc->take(alloc->ctx, wanted->size + 2);
    if (needle == NULL)
        return SL_ENOMEM;
    /* Texts of several lines begin and end with a line's end (rows_meta.c):
     * looked for with its ends, a line is found whole. */
    needle[0] = '\n';
    memcpy(needle + 1, wanted->text, wanted->size);
    needle[wanted->size + 1] = end;
    uint8_t *hits = hits_of(s, column, needle, wanted->size + 2, false);
    for (uint32_t i = 0; hits != NULL && i < s->count; i++)
        s->pass[i] &= hits[texts[i]];
    alloc->give(alloc->ctx, needle);
    alloc->give(alloc->ctx, hits);
    return hits == NULL ? SL_ENOMEM : SL_OK;
}

static bool
is_new(const sl_rows_query *query, const sl_row_place *place, uint8_t kind)
{
    if (kind == SL_RECORD_MOVED)
        return false;
    /* Segments are numbered as they come: above the newest that the asker
     * knows, all is new to him; in one that he was reading, what stands
     * behind his mark. */
    if (place->segment > query->newest)
        return true;
    for (size_t i = 0; i < query->mark_count; i++) {
        if (query->marks[i].segment == place->segment)
            return place->offset >= query->marks[i].offset;
    }
    return false;
}

/* Rows whose count in a column is not 0. */
static void
pass_some(scan *s, sl_row_column column)
{
    if (column < SL_ROW_WIDE_COUNT || column >= SL_ROW_NARROW_END)
        return;
    const uint32_t *values = column_texts(s->rows, column);
    for (uint32_t i = 0; i < s->count; i++)
        s->pass[i] &= (uint8_t)(values[i] != 0);
}

static sl_status
filter(scan *s)
{
    const sl_rows_query *query = s->query;
    const uint8_t *states = s->rows->states;

    for (uint32_t i = 0; i < s->count; i++)
        s->pass[i] = states[i] == ROW_SHOWN;
    pass_equal(s, SL_ROW_route, &query->route);
    pass_equal(s, SL_ROW_method, &query->method);
    pass_equal(s, SL_ROW_mode, &query->mode);
    pass_equal(s, SL_ROW_host, &query->host);
    pass_equal(s, SL_ROW_release, &query->release);
    pass_status(s);
    pass_wide(s, SL_ROW_wall_ns, query->wall_from, query->wall_to);
    pass_wide(s, SL_ROW_started, query->since, query->until);
    pass_some(s, query->more_than_none);
    for (uint32_t i = 0; query->marked && i < s->count; i++) {
        if (s->pass[i])
            s->pass[i] = is_new(query, &s->rows->places[i], s->rows->kinds[i]);
    }
    const sl_row_text *tag = &query->tag;
    bool whole = tag->text != NULL && memchr(tag->text, '=', tag->size) != NULL;
    sl_status status = pass_line(s, SL_ROW_tags, tag, whole ? '\n' : '=');
    if (status == SL_OK)
        status = pass_line(s, SL_ROW_findings, &query->finding, '\n');
    for (size_t i = 0; status == SL_OK && i < query->word_count; i++)
        status = pass_word(s, &query->words[i]);
    return status;
}

/* ---- the order of texts ---- */

static int
compare_texts(const sl_words *words, uint32_t a, const char *b, size_t b_size)
{
    size_t a_size;
    const char *text = sl_words_text(words, a, &a_size);
    int c = memcmp(text, b, a_size < b_size ? a_size : b_size);
    return c != 0 ? c : (a_size > b_size) - (a_size < b_size);
}

/* Merges sorted runs of `step` numbers of texts from `from` into `to`. */
static void
merge_runs(const sl_words *words, const uint32_t *from, uint32_t *to,
           uint32_t count, uint32_t step)
{
    for (uint32_t at = 0; at < count; at += 2 * step) {
        uint32_t mid = count - at > step ? at + step : count;
        uint32_t end = count - mid > step ? mid + step : count;
        uint32_t a = at, b = mid;
        for (uint32_t i = at; i < end; i++) {
            size_t size;
            bool first = a < mid;
            if (first && b < end) {
                const char *other = sl_words_text(words, from[b], &size);
                first = compare_texts(words, from[a], other, size) <= 0;
            }
            to[i] = first ? from[a++] : from[b++];
        }
        if (end == count)
            break;
    }
}

/* Makes order[n] of each text n of a dictionary. */
static sl_status
make_order(sl_rows *rows, sl_row_column column)
{
    int text = ROWS_TEXT(column);
    const sl_words *words = &rows->words[text];
    uint32_t count = words->count + 1;
    sl_alloc *alloc = &rows->alloc;

    if (rows->ordered[text] == count)
        return SL_OK;
    uint32_t *order = alloc->take(alloc->ctx, count * sizeof(*order));
    uint32_t *work = alloc->take(alloc->ctx, 2 * count * sizeof(*work));
    if (order == NULL || work == NULL) {
        alloc->give(alloc->ctx, order);
        alloc->give(alloc->ctx, work);
        return SL_ENOMEM;
    }
    uint32_t *from = work, *to = work + count;
    for (uint32_t n = 0; n < count; n++)
        from[n] = n;
    for (uint32_t step = 1; step < count; step *= 2) {
        merge_runs(words, from, to, count, step);
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    for (uint32_t rank = 0; rank < count; rank++)
        order[from[rank]] = rank;
    alloc->give(alloc->ctx, work);
    alloc->give(alloc->ctx, rows->order[text]);
    rows->order[text] = order;
    rows->ordered[text] = count;
    return SL_OK;
}

/* What sorts as the text does: odd where a row may have it, even between. */
static uint64_t
order_of(const sl_rows *rows, sl_row_column column, const sl_row_text *wanted)
{
    const sl_words *words = &rows->words[ROWS_TEXT(column)];
    uint32_t number, below = 0;

    if (sl_words_find(words, wanted->text, wanted->size, &number))
        return (uint64_t)rows->order[ROWS_TEXT(column)][number] * 2 + 1;
    for (uint32_t n = 0; n <= words->count; n++)
        below += compare_texts(words, n, wanted->text, wanted->size) < 0;
    return (uint64_t)below * 2;
}

/* ---- the first rows of an order ---- */

typedef struct {
    uint64_t key;
    uint32_t row;
} candidate;

typedef struct {
    const sl_rows *rows;
    candidate *heap; /* the worst of them is at the top */
    uint32_t size, room;
} heap;

/* Keys are turned so that a smaller one comes first; ids alike. */
static bool
comes_after(const heap *h, bool falling, const candidate *a, const candidate *b)
{
    if (a->key != b->key)
        return a->key > b->key;
    int c = memcmp(h->rows->ids[a->row], h->rows->ids[b->row], SL_ID_SIZE);
    return falling ? c < 0 : c > 0;
}

static void
sift_down(heap *h, bool falling, uint32_t at, uint32_t size)
{
    candidate moved = h->heap[at];

    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= size)
            break;
        if (child + 1 < size &&
            comes_after(h, falling, &h->heap[child + 1], &h->heap[child]))
            child++;
        if (!comes_after(h, falling, &h->heap[child], &moved))
            break;
        h->heap[at] = h->heap[child];
        at = child;
    }
    h->heap[at] = moved;
}

static void
heap_add(heap *h, bool falling, candidate one)
{
    if (h->size < h->room) {
        uint32_t at = h->size++;
        while (at > 0 &&
               comes_after(h, falling, &one, &h->heap[(at - 1) / 2])) {
            h->heap[at] = h->heap[(at - 1) / 2];
            at = (at - 1) / 2;
        }
        h->heap[at] = one;
        return;
    }
    /* Nearly all rows end here, at one compare: the heap holds the best so far,
     * its worst on top. */
    if (one.key > h->heap[0].key || !comes_after(h, falling, &h->heap[0], &one))
        return;
    h->heap[0] = one;
    sift_down(h, falling, 0, h->size);
}

static uint64_t
key_of(const sl_rows *rows, sl_row_column sort, uint32_t row)
{
    if (sort < SL_ROW_WIDE_COUNT)
        return rows->wide[sort][row];
    uint32_t value = rows->narrow[sort - SL_ROW_WIDE_COUNT][row];
    if (sort < SL_ROW_NARROW_END)
        return value;
    /* Odd, so that a text that is in no row (where a page ended whose row is
     * gone) has an even place between two of them. */
    return (uint64_t)rows->order[ROWS_TEXT(sort)][value] * 2 + 1;
}

static void
collect(scan *s, heap *h, uint64_t after)
{
    const sl_rows_query *query = s->query;
    const sl_rows *rows = s->rows;
    /* Falling is rising over the complement: one order in the heap. */
    uint64_t turn = query->falling ? UINT64_MAX : 0;

    for (uint32_t i = 0; i < s->count; i++) {
        if (!s->pass[i])
            continue;
        candidate one = { key_of(rows, query->sort, i) ^ turn, i };
        if (query->after) {
            int c = memcmp(rows->ids[i], query->after_id, SL_ID_SIZE);
            if (one.key < after ||
                (one.key == after && (query->falling ? c >= 0 : c <= 0)))
                continue;
        }
        heap_add(h, query->falling, one);
    }
    for (uint32_t left = h->size; left > 1; left--) { /* worst to the end */
        candidate worst = h->heap[0];
        h->heap[0] = h->heap[left - 1];
        h->heap[left - 1] = worst;
        sift_down(h, query->falling, 0, left - 1);
    }
}

/* ---- JSON ---- */

static void
row_json(const sl_rows *rows, uint32_t row, sl_json *json)
{
    char id[SL_ID_TEXT];
    size_t size;
    const char *text;

    sl_json_open(json, '{');
    sl_id_text(rows->ids[row], id);
    sl_json_key(json, "id");
    sl_json_str(json, id, SL_ID_TEXT);
    sl_json_text(json, "kind",
                 rows->kinds[row] == SL_RECORD_CHECKPOINT ? "checkpoint"
                                                          : "profile");
#define XX(name, number)                                                       \
    sl_json_number(json, #name, rows->wide[SL_ROW_##name][row]);
    SL_ROW_WIDE_MAP(XX)
#undef XX
#define XX(name, number)                                                       \
    sl_json_number(json, #name,                                                \
                   rows->narrow[SL_ROW_##name - SL_ROW_WIDE_COUNT][row]);
    SL_ROW_NARROW_MAP(XX)
#undef XX
#define XX(name, number)                                                       \
    text = rows_text(rows, row, SL_ROW_##name, &size);                         \
    sl_json_key(json, #name);                                                  \
    sl_json_str(json, text, size);
    SL_ROW_TEXT_MAP(XX)
#undef XX
    sl_json_close(json, '}');
}

static sl_status
write_json(const heap *h, uint32_t limit, uint32_t count, sl_bytes *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };

    sl_buf_init(&buf, &h->rows->alloc, 0);
    sl_json_open(&json, '{');
    sl_json_key(&json, "rows");
    sl_json_open(&json, '[');
    for (uint32_t i = 0; i < h->size && i < limit; i++)
        row_json(h->rows, h->heap[i].row, &json);
    sl_json_close(&json, ']');
    sl_json_key(&json, "more");
    sl_json_bool(&json, h->size > limit);
    sl_json_number(&json, "count", count);
    sl_json_close(&json, '}');
    return sl_buf_finish(&buf, out);
}

/* ---- the list ---- */

void
sl_rows_query_init(sl_rows_query *query)
{
    *query = (sl_rows_query){ .sort = SL_ROW_started,
                              .falling = true,
                              .status_to = UINT32_MAX,
                              .wall_to = UINT64_MAX,
                              .until = UINT64_MAX,
                              .more_than_none = SL_ROW_COLUMNS,
                              .limit = 50 };
}

static uint64_t
after_key(const sl_rows *rows, const sl_rows_query *query)
{
    uint64_t key = query->after_number;

    if (!query->after)
        return 0;
    if (query->sort >= SL_ROW_NARROW_END)
        key = order_of(rows, query->sort, &query->after_text);
    return query->falling ? ~key : key;
}

sl_status
sl_rows_list(sl_rows *rows, const sl_rows_query *query, sl_bytes *out)
{
    scan s = { rows, query, NULL, rows->count };
    heap h = { .rows = rows };
    sl_alloc *alloc = &rows->alloc;
    sl_status status = SL_OK;

    if ((int)query->sort < 0 || query->sort >= SL_ROW_COLUMNS ||
        query->word_count > SL_ROWS_WORDS)
        return SL_ELIMIT;
    if (query->sort >= SL_ROW_NARROW_END)
        status = make_order(rows, query->sort);
    if (status < 0)
        return status;
    /* One more than a page, whose being there says that there is a next
     * page. */
    h.room = query->limit < rows->shown ? query->limit + 1 : rows->shown + 1;
    s.pass = alloc->take(alloc->ctx, (size_t)rows->count + 1);
    h.heap = alloc->take(alloc->ctx, h.room * sizeof(candidate));
    if (s.pass == NULL || h.heap == NULL)
        status = SL_ENOMEM;
    if (status == SL_OK)
        status = filter(&s);
    if (status == SL_OK) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < s.count; i++)
            count += s.pass[i];
        collect(&s, &h, after_key(rows, query));
        status = write_json(&h, query->limit, count, out);
    }
    alloc->give(alloc->ctx, s.pass);
    alloc->give(alloc->ctx, h.heap);
    return status;
}
