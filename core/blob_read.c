/* Bytes of any origin to a profile, or a refusal. */
#include "blob.h"
#include "buf.h"
#include "compress.h"
#include "profile.h"
#include "utf8.h"
#include "varint.h"

#include <string.h>

/* META and SUMMARY stand first; most of them fits here, so listing decompresses
 * little. */
#define META_WANT ((size_t)4096)

static sl_status
take(sl_profile *profile, size_t count, size_t size, void *out)
{
    if (count > SIZE_MAX / size)
        return SL_ELIMIT;
    return sl_arena_take(profile->arena, count * size, out);
}

static size_t
left(const sl_reader *in)
{
    return (size_t)(in->end - in->pos);
}

/* A length and that many bytes, copied with a NUL behind them. */
static sl_status
read_text(sl_profile *profile, sl_reader *in, const char **text, size_t *len)
{
    uint64_t size;
    void *mem;

    /* Nothing in this file believes a number before it is held against the
     * bytes that are left: what a reader allocates is bounded by the file's
     * own size. */
    if (sl_varint_get_max(in, left(in), &size) < 0 || size > left(in))
        return SL_ECORRUPT;
    sl_status status = take(profile, (size_t)size + 1, 1, &mem);
    if (status < 0)
        return status;
    memcpy(mem, in->pos, (size_t)size);
    ((char *)mem)[size] = '\0';
    in->pos += size;
    *text = mem;
    *len = (size_t)size;
    return SL_OK;
}

static sl_status
read_meta_item(sl_profile *profile, sl_reader *in, sl_meta *item)
{
    uint64_t type, number;

    *item = (sl_meta){ 0 };
    sl_status status = read_text(profile, in, &item->key, &item->key_len);
    if (status < 0)
        return status;
    if (sl_varint_get(in, &type) < 0)
        return SL_ECORRUPT;
    switch (type) {
    case SL_BLOB_INTEGER:
        if (sl_varint_get(in, &number) < 0)
            return SL_ECORRUPT;
        item->number = sl_unzigzag(number);
        return SL_OK;
    case SL_BLOB_TEXT:
        return read_text(profile, in, &item->text, &item->text_len);
    default: return SL_ECORRUPT;
    }
}

/* META or SUMMARY. */
static sl_status
read_items(sl_profile *profile, sl_reader *in, sl_meta **items, size_t *found)
{
    uint64_t count;
    void *mem;

    if (*items != NULL)
        return SL_ECORRUPT;
    /* An item takes three bytes at least. */
    if (sl_varint_get_max(in, SL_BLOB_MAX_META, &count) < 0 ||
        count > left(in) / 3)
        return SL_ECORRUPT;
    sl_status status = take(profile, count + 1, sizeof(sl_meta), &mem);
    if (status < 0)
        return status;
    *items = mem;
    for (size_t i = 0; i < count; i++) {
        status = read_meta_item(profile, in, &(*items)[i]);
        if (status < 0)
            return status;
    }
    *found = (size_t)count;
    return left(in) == 0 ? SL_OK : SL_ECORRUPT;
}

static sl_status
read_meta(sl_profile *profile, sl_reader *in)
{
    return read_items(profile, in, &profile->meta, &profile->meta_count);
}

static sl_status
read_summary(sl_profile *profile, sl_reader *in)
{
    return read_items(profile, in, &profile->summary, &profile->summary_count);
}

typedef struct {
    const char **text;
    size_t *len;
    size_t count;
} string_table;

static sl_status
read_strings(sl_profile *profile, sl_reader *in, string_table *strings)
{
    uint64_t count, size, sum = 0;
    size_t kept = 0;
    void *text, *len, *bytes;

    if (strings->text != NULL)
        return SL_ECORRUPT;
    if (sl_varint_get_max(in, SL_BLOB_MAX_STRINGS, &count) < 0 ||
        count > left(in))
        return SL_ECORRUPT;
    sl_status status = take(profile, count + 1, sizeof(char *), &text);
    if (status == SL_OK)
        status = take(profile, count + 1, sizeof(size_t), &len);
    if (status < 0)
        return status;
    strings->text = text;
    strings->len = len;

    /* All lengths stand before all bytes. They must add up to what is left,
     * or a small file could name the same bytes a million times. */
    for (size_t i = 0; i < count; i++) {
        if (sl_varint_get_max(in, left(in), &size) < 0)
            return SL_ECORRUPT;
        strings->len[i] = (size_t)size;
        sum += size;
        kept += size < SL_BLOB_MAX_NAME ? (size_t)size : SL_BLOB_MAX_NAME;
    }
    /* Each is below `left`, and there are at most SL_BLOB_MAX_STRINGS: the
     * sum cannot wrap. */
    if (sum != left(in))
        return SL_ECORRUPT;
    status = take(profile, kept + count, 1, &bytes);
    if (status < 0)
        return status;
    char *at = bytes;
    for (size_t i = 0; i < count; i++) {
        const char *from = (const char *)in->pos;
        in->pos += strings->len[i];
        strings->len[i] = sl_utf8_cut(from, strings->len[i], SL_BLOB_MAX_NAME);
        strings->text[i] = at;
        memcpy(at, from, strings->len[i]);
        at += strings->len[i];
        *at++ = '\0';
    }
    strings->count = (size_t)count;
    return SL_OK;
}

static sl_status
read_functions(sl_profile *profile, sl_reader *in, const string_table *strings)
{
    uint64_t count, value;
    void *mem;

    if (strings->count == 0 || profile->functions != NULL)
        return SL_ECORRUPT;
    if (sl_varint_get_max(in, SL_BLOB_MAX_FUNCTIONS, &count) < 0 ||
        count == 0 || count > left(in) / 5)
        return SL_ECORRUPT;
    /* And one for [own cost]. */
    sl_status status = take(profile, count + 1, sizeof(sl_function), &mem);
    if (status < 0)
        return status;

    sl_function *f = mem;
    for (size_t i = 0; i < count; i++) {
        if (sl_varint_get_max(in, strings->count - 1, &value) < 0)
            return SL_ECORRUPT;
        f[i] = (sl_function){ .name = strings->text[value],
                              .name_len = strings->len[value] };
    }
    for (size_t i = 0; i < count; i++) {
        if (sl_varint_get_max(in, strings->count - 1, &value) < 0)
            return SL_ECORRUPT;
        f[i].file = strings->text[value];
        f[i].file_len = strings->len[value];
    }
    for (size_t i = 0; i < count; i++) {
        if (sl_varint_get_max(in, UINT32_MAX, &value) < 0)
            return SL_ECORRUPT;
        f[i].line = (uint32_t)value;
    }
    for (size_t i = 0; i < count; i++) {
        if (sl_varint_get_max(in, SL_KIND_COUNT - 1, &value) < 0)
            return SL_ECORRUPT;
        f[i].kind = (sl_kind)value;
    }
    for (size_t i = 0; i < count; i++) {
        if (sl_varint_get_max(in, SL_ORIGIN_COUNT - 1, &value) < 0)
            return SL_ECORRUPT;
        f[i].origin = (sl_origin)value;
    }
    profile->functions = f;
    profile->function_count = (uint32_t)count;
    status = take(profile, count + 1, sizeof(uint8_t), &mem);
    if (status < 0)
        return status;
    profile->pseudo = mem;
    for (size_t i = 0; i < count; i++)
        profile->pseudo[i] = (uint8_t)sl_pseudo_of(&f[i]);
    return left(in) == 0 ? SL_OK : SL_ECORRUPT;
}

/* The next `count` numbers of `in` as a window of their own. */
static sl_status
read_column(sl_reader *in, uint64_t count, sl_reader *column)
{
    const uint64_t tops = 0x8080808080808080u;
    const uint8_t *pos = in->pos;
    uint64_t eight;

    /* Each ends with the one of its bytes whose top bit is clear: eight bytes
     * at a time, as long as they cannot be more than there are to be. */
    while (count >= sizeof(eight) &&
           (size_t)(in->end - pos) >= sizeof(eight)) {
        memcpy(&eight, pos, sizeof(eight));
        pos += sizeof(eight);
        count -= ((~eight & tops) >> 7) * 0x0101010101010101u >> 56;
    }
    for (; count > 0; count -= *pos++ < 0x80) {
        if (pos == in->end)
            return SL_ECORRUPT;
    }
    *column = (sl_reader){ in->pos, pos };
    in->pos = pos;
    return SL_OK;
}

/* One number of a column that adds up to `*room` at most. */
static inline sl_status
read_bounded(sl_reader *in, uint64_t *room, uint64_t *value)
{
    if (sl_varint_get_max(in, *room, value) < 0)
        return SL_ECORRUPT;
    *room -= *value;
    return SL_OK;
}

/* Nodes, of their six columns at once: each is written once, and of a large
 * tree a pass takes longer than what is read in it. */
static sl_status
read_nodes(sl_profile *profile, uint64_t count, uint64_t quantum, sl_reader *in)
{
    enum { POPS, FUNCTION, CALLS, RESUMES, SELF, LINE, COLUMNS };
    sl_profile_node *const nodes = profile->nodes;
    sl_reader columns[COLUMNS];
    /* The sum of a column has the bound, not each number: what reports add up
     * over any part of the tree cannot overflow. Calls and resumes have one
     * together: they are added up. */
    uint64_t counts = SL_BLOB_MAX_SUM, times = SL_BLOB_MAX_SUM / quantum;
    uint64_t pops, function, calls, resumes, self, line;
    uint32_t at = 0, seen = 0;

    for (int c = 0; c < COLUMNS; c++) {
        if (read_column(in, count, &columns[c]) < 0)
            return SL_ECORRUPT;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (sl_varint_get_max(&columns[POPS], i == 0 ? 0 : count, &pops) < 0 ||
            sl_varint_get_max(&columns[FUNCTION], seen, &function) < 0 ||
            read_bounded(&columns[CALLS], &counts, &calls) < 0 ||
            read_bounded(&columns[RESUMES], &counts, &resumes) < 0 ||
            read_bounded(&columns[SELF], &times, &self) < 0 ||
            sl_varint_get_max(&columns[LINE], UINT32_MAX, &line) < 0)
            return SL_ECORRUPT;
        /* Depth first: so many levels up from the node before, then one down.
         * All pops together are at most all nodes, since each goes up a level
         * that a node before went down: linear, whatever the numbers say. */
        for (; pops > 0; pops--) {
            if (at == 0)
                return SL_ECORRUPT;
            at = nodes[at].parent;
        }
        /* 0 is the next function that was not named yet, so that functions are
         * numbered as the tree meets them, and small numbers are the frequent
         * ones. */
        if (function == 0 && seen == profile->function_count)
            return SL_ECORRUPT;
        nodes[i] = (sl_profile_node){
            .parent = at,
            .function = function == 0 ? seen++ : (uint32_t)function - 1,
            .line = (uint32_t)line,
            .calls = calls,
            .resumes = resumes,
            .self_ns = self * quantum,
        };
        at = i;
    }
    return SL_OK;
}

static sl_status
read_tree(sl_profile *profile, sl_reader *in)
{
    uint64_t count, quantum;
    void *mem;

    if (profile->functions == NULL || profile->nodes != NULL)
        return SL_ECORRUPT;
    if (sl_varint_get_max(in, SL_BLOB_MAX_NODES, &count) < 0 ||
        sl_varint_get_max(in, 1000000000, &quantum) < 0 || quantum == 0 ||
        count == 0 || count > left(in) / 6)
        return SL_ECORRUPT;
    sl_status status = take(profile, count + 1, sizeof(sl_profile_node), &mem);
    if (status < 0)
        return status;
    profile->nodes = mem;

    status = read_nodes(profile, count, quantum, in);
    if (status < 0)
        return status;
    profile->node_count = (uint32_t)count;
    profile->quantum = quantum;
    return left(in) == 0 ? SL_OK : SL_ECORRUPT;
}

/* One number of each row, into a field of it. */
#define READ_COLUMN(in, count, max, ...)                                       \
    for (size_t i = 0; i < (count); i++) {                                     \
        uint64_t value;                                                        \
        if (sl_varint_get_max((in), (max), &value) < 0)                        \
            return SL_ECORRUPT;                                                \
        __VA_ARGS__;                                                           \
    }

static sl_status
read_lines(sl_profile *profile, sl_reader *in)
{
    uint64_t count, sum = 0;
    void *mem;

    if (profile->nodes == NULL || profile->lines != NULL ||
        sl_varint_get_max(in, SL_BLOB_MAX_LINES, &count) < 0 || count == 0 ||
        count > left(in) / 5)
        return SL_ECORRUPT;
    sl_status status = take(profile, count, sizeof(sl_profile_line), &mem);
    if (status < 0)
        return status;
    sl_profile_line *rows = mem;
    uint64_t quantum = profile->quantum, room = SL_BLOB_MAX_SUM / quantum;

    READ_COLUMN(in, count, profile->node_count - 1 - sum, sum += value;
                rows[i].node = (uint32_t)sum)
    READ_COLUMN(in, count, UINT32_MAX, rows[i].line = (uint32_t)value)
    READ_COLUMN(in, count, room, room -= value;
                rows[i].wall_ns = value * quantum)
    /* A line's CPU time is part of its time, and its waits for the GIL part
     * of the rest: a file in which it is not is refused, so that no report
     * need ask. */
    READ_COLUMN(in, count, rows[i].wall_ns / quantum,
                rows[i].cpu_ns = value * quantum)
    READ_COLUMN(in, count, (rows[i].wall_ns - rows[i].cpu_ns) / quantum,
                rows[i].gil_ns = value * quantum)
    profile->lines = rows;
    profile->line_count = (uint32_t)count;
    return left(in) == 0 ? SL_OK : SL_ECORRUPT;
}

static sl_status
read_hits(sl_profile *profile, sl_reader *in)
{
    uint64_t count, sum = 0;
    void *mem;

    if (profile->nodes == NULL || profile->hits != NULL ||
        sl_varint_get_max(in, SL_BLOB_MAX_LINES, &count) < 0 || count == 0 ||
        count > left(in) / 4)
        return SL_ECORRUPT;
    sl_status status = take(profile, count, sizeof(sl_profile_hit), &mem);
    if (status < 0)
        return status;
    sl_profile_hit *rows = mem;
    uint64_t quantum = profile->quantum, room = SL_BLOB_MAX_SUM;

    READ_COLUMN(in, count, profile->node_count - 1 - sum, sum += value;
                rows[i].node = (uint32_t)sum)
    READ_COLUMN(in, count, UINT32_MAX, rows[i].line = (uint32_t)value)
    READ_COLUMN(in, count, room, room -= value; rows[i].hits = value)
    room = SL_BLOB_MAX_SUM / quantum;
    READ_COLUMN(in, count, room, room -= value;
                rows[i].self_ns = value * quantum)
    profile->hits = rows;
    profile->hit_count = (uint32_t)count;
    return left(in) == 0 ? SL_OK : SL_ECORRUPT;
}

static sl_status
read_timeline(sl_profile *profile, sl_reader *in)
{
    uint64_t count, sum = 0, at = 0;
    int64_t node = 0;
    void *mem;

    if (profile->nodes == NULL || profile->stretches != NULL ||
        sl_varint_get_max(in, SL_BLOB_MAX_STRETCHES, &count) < 0 ||
        count == 0 || count > left(in) / 4)
        return SL_ECORRUPT;
    sl_status status = take(profile, count, sizeof(sl_profile_stretch), &mem);
    if (status < 0)
        return status;
    sl_profile_stretch *rows = mem;
    uint64_t quantum = profile->quantum, most = SL_BLOB_MAX_SUM / quantum;

    READ_COLUMN(in, count, UINT32_MAX - sum, sum += value;
                rows[i].lane = (uint32_t)sum)
    READ_COLUMN(in, count, most, rows[i].from_ns = value * quantum)
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        if (sl_varint_get_max(in, (uint64_t)profile->node_count * 2, &value) <
            0)
            return SL_ECORRUPT;
        node += sl_unzigzag(value);
        if (node < 0 || node >= (int64_t)profile->node_count)
            return SL_ECORRUPT;
        rows[i].node = (uint32_t)node;
    }
    READ_COLUMN(in, count, most, rows[i].to_ns = value * quantum)
    for (size_t i = 0; i < count; i++) {
        /* Times are gaps and lengths since the row before, on each lane from
         * the request's beginning anew. */
        if (i > 0 && rows[i].lane != rows[i - 1].lane)
            at = 0;
        /* Each is below 2^62: no overflow before it is checked. */
        rows[i].from_ns += at;
        at = rows[i].to_ns += rows[i].from_ns;
        if (at > SL_BLOB_MAX_SUM)
            return SL_ECORRUPT;
    }
    profile->stretches = rows;
    profile->stretch_count = (uint32_t)count;
    return left(in) == 0 ? SL_OK : SL_ECORRUPT;
}

/* One metric of COUNTERS, appended to the rows. */
static sl_status
read_metric(sl_profile *profile, sl_reader *in, uint64_t *next)
{
    uint64_t metric, count, value, node = 0, room = SL_BLOB_MAX_SUM;
    sl_profile_counter *rows = profile->counters + profile->counter_count;

    if (sl_varint_get_max(in, UINT32_MAX, &metric) < 0 || metric < *next ||
        sl_varint_get_max(in, SL_BLOB_MAX_COUNTERS - profile->counter_count,
                          &count) < 0 ||
        count > left(in) / 2)
        return SL_ECORRUPT;
    *next = metric + 1;
    for (size_t i = 0; i < count; i++) {
        if (sl_varint_get_max(in, profile->node_count - 1 - node, &value) < 0 ||
            (i > 0 && value == 0))
            return SL_ECORRUPT;
        node += value;
        rows[i] = (sl_profile_counter){ .node = (uint32_t)node,
                                        .metric = (uint32_t)metric };
    }
    for (size_t i = 0; i < count; i++) {
        if (read_bounded(in, &room, &rows[i].value) < 0)
            return SL_ECORRUPT;
    }
    /* Rows of an unknown metric are checked, too, and then written over. */
    if (metric < SL_METRIC_COUNT) /* else newer than this reader */
        profile->counter_count += (uint32_t)count;
    return SL_OK;
}

static sl_status
read_counters(sl_profile *profile, sl_reader *in)
{
    uint64_t metrics, next = 0;
    void *mem;

    if (profile->nodes == NULL || profile->counters != NULL ||
        sl_varint_get_max(in, SL_BLOB_MAX_METRICS, &metrics) < 0)
        return SL_ECORRUPT;
    /* A row takes two bytes at least. */
    sl_status status =
        take(profile, left(in) / 2 + 1, sizeof(sl_profile_counter), &mem);
    if (status < 0)
        return status;
    profile->counters = mem;
    for (; status == SL_OK && metrics > 0; metrics--)
        status = read_metric(profile, in, &next);
    if (status < 0)
        return status;
    return left(in) == 0 ? SL_OK : SL_ECORRUPT;
}

static sl_status
read_firsts(sl_profile_span *rows, uint64_t row_count,
            sl_profile_span_first *firsts, uint64_t quantum, sl_reader *in,
            const string_table *strings, uint64_t count)
{
    const uint64_t most = SL_BLOB_MAX_SUM / quantum;

    for (uint64_t row = 0, i = 0; row < row_count; row++) {
        uint64_t at = 0, gap;
        /* Gaps between the first spans of one row, which stand in the order
         * of time. */
        for (uint32_t n = 0; n < rows[row].first_count; n++, i++) {
            if (sl_varint_get_max(in, most - at, &gap) < 0)
                return SL_ECORRUPT;
            at += gap;
            firsts[i].from_ns = at * quantum;
        }
    }
    READ_COLUMN(in, count, most, firsts[i].length_ns = value * quantum)
    READ_COLUMN(in, count, strings->count - 1,
                firsts[i].detail = strings->text[value])
    return SL_OK;
}

static sl_status
read_spans(sl_profile *profile, sl_reader *in, const string_table *strings)
{
    uint64_t count, first_count, sum = 0, room = SL_BLOB_MAX_SUM, taken = 0;
    uint64_t quantum = profile->quantum;
    void *mem;

    if (profile->nodes == NULL || profile->spans != NULL ||
        sl_varint_get_max(in, SL_BLOB_MAX_SPANS, &count) < 0 ||
        sl_varint_get_max(in, SL_BLOB_MAX_FIRSTS, &first_count) < 0 ||
        sl_varint_get_max(in, SL_BLOB_MAX_SUM, &profile->spans_lost) < 0 ||
        count > left(in) / 11 || first_count > left(in) / 3)
        return SL_ECORRUPT;
    sl_status status = take(profile, count + 1, sizeof(sl_profile_span), &mem);
    if (status < 0)
        return status;
    sl_profile_span *rows = mem;
    status =
        take(profile, first_count + 1, sizeof(sl_profile_span_first), &mem);
    if (status < 0)
        return status;
    sl_profile_span_first *firsts = mem;

    READ_COLUMN(in, count, profile->node_count - 1 - sum, sum += value;
                rows[i] = (sl_profile_span){ .node = (uint32_t)sum })
    READ_COLUMN(in, count, UINT32_MAX, rows[i].line = (uint32_t)value)
    READ_COLUMN(in, count, UINT32_MAX, rows[i].lane = (uint32_t)value)
    READ_COLUMN(in, count, strings->count - 1,
                rows[i].kind = strings->text[value])
    READ_COLUMN(in, count, strings->count - 1,
                rows[i].text = strings->text[value])
    READ_COLUMN(in, count, strings->count - 1,
                rows[i].where = strings->text[value])
    READ_COLUMN(in, count, room, room -= value; rows[i].count = value)
    room = SL_BLOB_MAX_SUM / quantum;
    READ_COLUMN(in, count, room, room -= value;
                rows[i].total_ns = value * quantum)
    READ_COLUMN(in, count, rows[i].total_ns / quantum,
                rows[i].outer_ns = value * quantum)
    READ_COLUMN(in, count, rows[i].total_ns / quantum,
                rows[i].longest_ns = value * quantum)
    READ_COLUMN(in, count, first_count - taken, rows[i].firsts = &firsts[taken];
                rows[i].first_count = (uint32_t)value; taken += value)
    if (taken != first_count)
        return SL_ECORRUPT;
    status =
        read_firsts(rows, count, firsts, quantum, in, strings, first_count);
    if (status < 0)
        return status;
    profile->spans = rows;
    profile->span_count = (uint32_t)count;
    return left(in) == 0 ? SL_OK : SL_ECORRUPT;
}

static sl_status
read_header(sl_reader *in)
{
    if (left(in) < SL_BLOB_HEADER_SIZE ||
        memcmp(in->pos, SL_BLOB_MAGIC, SL_BLOB_MAGIC_SIZE) != 0)
        return SL_ECORRUPT;
    /* A version tells that a reader must not go on; what it may leave out
     * comes as a section that it does not know. */
    if (in->pos[8] == 0 || in->pos[8] > SL_BLOB_VERSION || in->pos[9] != 0)
        return SL_EVERSION;
    in->pos += SL_BLOB_HEADER_SIZE;
    return SL_OK;
}

/* Takes one section off the input. */
static sl_status
read_section(sl_reader *in, uint64_t *tag, sl_reader *section)
{
    uint64_t size;

    if (sl_varint_get(in, tag) < 0 ||
        sl_varint_get_max(in, left(in), &size) < 0 || size > left(in))
        return SL_ECORRUPT;
    *section = (sl_reader){ in->pos, in->pos + size };
    in->pos += size;
    return SL_OK;
}

static sl_status
read_content(sl_profile *profile, sl_reader *in)
{
    string_table strings = { 0 };
    sl_status status = read_header(in);
    uint64_t tag = SL_BLOB_META;

    for (int first = 1; status == SL_OK; first = 0) {
        sl_reader section;
        status = read_section(in, &tag, &section);
        if (status == SL_OK && first && tag != SL_BLOB_META)
            return SL_ECORRUPT;
        if (status < 0 || tag == SL_BLOB_END)
            break;
        switch (tag) {
        case SL_BLOB_META: status = read_meta(profile, &section); break;
        case SL_BLOB_STRINGS:
            status = read_strings(profile, &section, &strings);
            break;
        case SL_BLOB_FUNCTIONS:
            status = read_functions(profile, &section, &strings);
            break;
        case SL_BLOB_TREE: status = read_tree(profile, &section); break;
        case SL_BLOB_LINES: status = read_lines(profile, &section); break;
        case SL_BLOB_HITS: status = read_hits(profile, &section); break;
        case SL_BLOB_TIMELINE: status = read_timeline(profile, &section); break;
        case SL_BLOB_SUMMARY: status = read_summary(profile, &section); break;
        case SL_BLOB_COUNTERS: status = read_counters(profile, &section); break;
        case SL_BLOB_SPANS:
            status = read_spans(profile, &section, &strings);
            break;
        default: break; /* optional, and newer than this reader */
        }
    }
    if (status == SL_OK && (profile->nodes == NULL || left(in) != 0))
        status = SL_ECORRUPT;
    return status == SL_OK ? sl_profile_derive(profile) : status;
}

sl_status
sl_profile_decode_content(sl_profile **out, const void *content, size_t size,
                          size_t max_bytes, const sl_alloc *alloc)
{
    sl_profile *profile;
    sl_status status = sl_profile_new(&profile, max_bytes, alloc);
    if (status < 0)
        return status;

    sl_reader in = sl_reader_over(content, size);
    status = read_content(profile, &in);
    if (status < 0) {
        sl_profile_free(profile);
        return status;
    }
    *out = profile;
    return SL_OK;
}

sl_status
sl_profile_decode(sl_profile **out, const void *blob, size_t size,
                  size_t max_bytes, const sl_alloc *alloc)
{
    sl_buf content;

    sl_buf_init(&content, alloc, 0);
    sl_status status =
        sl_decompress(&content, blob, size, SL_BLOB_MAX_CONTENT, 0);
    if (status == SL_OK)
        status = sl_profile_decode_content(out, content.data, content.size,
                                           max_bytes, alloc);
    sl_buf_free(&content);
    return status;
}

/* SUMMARY, if it is the next section. *more: that is not to be known yet. */
static sl_status
decode_summary(sl_profile *profile, sl_reader *in, bool *more)
{
    sl_reader at = *in, section;
    uint64_t tag;

    /* The content may have been cut off here by `want`, in the midst of a
     * number even. */
    *more = sl_varint_get(&at, &tag) < 0;
    if (*more || tag != SL_BLOB_SUMMARY)
        return SL_OK;
    *more = read_section(in, &tag, &section) < 0;
    return *more ? SL_OK : read_summary(profile, &section);
}

/* Reads META and SUMMARY from the first `want` bytes of the content (0: all of
 * them). *more tells that a longer piece may do better. */
static sl_status
decode_meta(sl_profile *profile, const void *blob, size_t size, size_t want,
            const sl_alloc *alloc, bool *more)
{
    sl_buf content;
    sl_reader section;
    uint64_t tag;

    *more = false;
    sl_buf_init(&content, alloc, 0);
    sl_status status =
        sl_decompress(&content, blob, size, SL_BLOB_MAX_CONTENT, want);
    if (status == SL_OK) {
        sl_reader in = sl_reader_over(content.data, content.size);
        status = read_header(&in);
        if (status == SL_OK) {
            status = read_section(&in, &tag, &section);
            *more = status < 0;
        }
        if (status == SL_OK)
            status = tag == SL_BLOB_META ? read_meta(profile, &section)
                                         : SL_ECORRUPT;
        if (status == SL_OK) {
            status = decode_summary(profile, &in, more);
            if (*more)
                status = SL_ECORRUPT;
        }
        *more = (*more || content.size < SL_BLOB_HEADER_SIZE) && want != 0;
    }
    sl_buf_free(&content);
    return status;
}

sl_status
sl_profile_decode_meta(sl_profile **out, const void *blob, size_t size,
                       const sl_alloc *alloc)
{
    sl_profile *profile = NULL;
    bool more = true;
    sl_status status = SL_OK;

    for (size_t want = META_WANT; more; want = 0) {
        status = sl_profile_new(&profile, SL_BLOB_MAX_CONTENT * 2, alloc);
        if (status < 0)
            return status;
        status = decode_meta(profile, blob, size, want, alloc, &more);
        if (status < 0)
            sl_profile_free(profile);
    }
    if (status == SL_OK)
        *out = profile;
    return status;
}
