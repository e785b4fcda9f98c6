/* Several profiles as one blob: their sum, or what one has more than another.
 */
#include "blob.h"
#include "blob_put.h"
#include "compress.h"
#include "union.h"
#include "varint.h"

#include "slowlens/merge.h"

#include <stdlib.h>
#include <string.h>

enum { POPS, FUNCTION, CALLS, RESUMES, SELF, LINE, COLUMNS };
enum { LINE_COLUMNS = 5 };
#define UNSEEN UINT32_MAX

/* What a node is worth in the file. */
typedef sl_union_sum (*value_of)(const sl_union_node *node);

static sl_union_sum
value_sum(const sl_union_node *node)
{
    return node->side[0];
}

static uint64_t
more(uint64_t before, uint64_t after)
{
    return after > before ? after - before : 0;
}

static sl_union_sum
value_growth(const sl_union_node *node)
{
    return (sl_union_sum){ more(node->side[0].calls, node->side[1].calls),
                           more(node->side[0].resumes, node->side[1].resumes),
                           more(node->side[0].self_ns, node->side[1].self_ns),
                           0 };
}

typedef struct {
    const sl_union *u;
    value_of value;
    sl_blob_functions functions;
    uint32_t *numbers; /* by function: number in the file, or UNSEEN */
    uint32_t *places;  /* by node: number in the file */
    sl_buf columns[COLUMNS];
    uint64_t quantum;
} merger;

static sl_status
merger_tree(merger *m)
{
    uint32_t depth = 0, before = 0, place = 0;

    for (uint32_t i = 0; i != SL_UNION_END;
         i = sl_union_next(m->u, i, &depth)) {
        const sl_union_node *node = &m->u->nodes[i];
        sl_union_sum value = m->value(node);
        uint64_t number = 0;
        if (m->numbers[node->function] != UNSEEN) {
            number = (uint64_t)m->numbers[node->function] + 1;
        } else {
            m->numbers[node->function] = m->functions.count;
            sl_status status = sl_blob_functions_add(
                &m->functions, &m->u->functions[node->function]);
            if (status < 0)
                return status;
        }
        uint64_t calls = value.calls < UINT32_MAX ? value.calls : UINT32_MAX;
        uint64_t resumes =
            value.resumes < UINT32_MAX ? value.resumes : UINT32_MAX;
        sl_buf_put_varint(&m->columns[POPS],
                          place == 0 ? 0 : before + 1 - depth);
        sl_buf_put_varint(&m->columns[FUNCTION], number);
        sl_buf_put_varint(&m->columns[CALLS], calls);
        sl_buf_put_varint(&m->columns[RESUMES], resumes);
        sl_buf_put_varint(&m->columns[SELF], value.self_ns / m->quantum);
        sl_buf_put_varint(&m->columns[LINE], node->line);
        before = depth;
        m->places[i] = place++;
    }
    return SL_OK;
}

static int
line_compare(const void *a, const void *b)
{
    const sl_union_line *x = a, *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* LINES, with equal rows as one. */
static void
merger_lines(merger *m, sl_buf *out, sl_buf *body)
{
    sl_union_line *lines = m->u->lines;
    size_t count = 0;
    uint32_t before = 0;
    sl_buf columns[LINE_COLUMNS];

    if (m->u->line_count == 0)
        return;
    for (size_t i = 0; i < m->u->line_count; i++)
        lines[i].node = m->places[lines[i].node];
    qsort(lines, m->u->line_count, sizeof(*lines), line_compare);
    for (size_t i = 1; i < m->u->line_count; i++) {
        if (line_compare(&lines[count], &lines[i]) != 0) {
            lines[++count] = lines[i];
            continue;
        }
        lines[count].wall_ns += lines[i].wall_ns;
        lines[count].cpu_ns += lines[i].cpu_ns;
        lines[count].gil_ns += lines[i].gil_ns;
    }
    count++;
    for (int c = 0; c < LINE_COLUMNS; c++)
        sl_buf_init(&columns[c], NULL, 0);
    for (size_t i = 0; i < count; i++) {
        uint64_t wall = lines[i].wall_ns / m->quantum;
        uint64_t cpu = lines[i].cpu_ns / m->quantum;
        uint64_t gil = lines[i].gil_ns / m->quantum;
        cpu = cpu < wall ? cpu : wall;
        gil = gil < wall - cpu ? gil : wall - cpu;
        sl_buf_put_varint(&columns[0], lines[i].node - before);
        sl_buf_put_varint(&columns[1], lines[i].line);
        sl_buf_put_varint(&columns[2], wall);
        sl_buf_put_varint(&columns[3], cpu);
        sl_buf_put_varint(&columns[4], gil);
        before = lines[i].node;
    }
    sl_buf_put_varint(body, count);
    for (int c = 0; c < LINE_COLUMNS; c++) {
        sl_blob_put_column(body, &columns[c]);
        sl_buf_free(&columns[c]);
    }
    sl_blob_put_section(out, SL_BLOB_LINES, body);
}

static sl_status
merger_content(merger *m, const sl_meta *meta, size_t meta_count, sl_buf *out)
{
    sl_buf body;
    sl_status status = merger_tree(m);

    sl_buf_init(&body, NULL, SL_BLOB_MAX_CONTENT);
    if (status == SL_OK) {
        sl_blob_put_head(out, &body, meta, meta_count, &m->functions);
        sl_buf_put_varint(&body, m->u->node_count);
        sl_buf_put_varint(&body, m->quantum);
        for (int i = 0; i < COLUMNS; i++)
            sl_blob_put_column(&body, &m->columns[i]);
        sl_blob_put_section(out, SL_BLOB_TREE, &body);
        merger_lines(m, out, &body);
        sl_blob_put_section(out, SL_BLOB_END, &body);
        status = out->status;
    }
    sl_buf_free(&body);
    return status;
}

/* The quantum that all times so far are multiples of: 1, 10 or 100. */
static uint64_t
union_quantum(const sl_union *u)
{
    uint64_t quantum = 100;
    for (uint32_t i = 0; i < u->node_count && quantum > 1; i++) {
        while (u->nodes[i].side[0].self_ns % quantum != 0 ||
               u->nodes[i].side[1].self_ns % quantum != 0)
            quantum /= 10;
    }
    return quantum;
}

static sl_status
union_encode(const sl_union *u, value_of value, const sl_meta *meta,
             size_t meta_count, int level, sl_bytes *out)
{
    merger m = { .u = u, .value = value, .quantum = union_quantum(u) };
    sl_buf content, frame;

    sl_buf_init(&content, NULL, SL_BLOB_MAX_CONTENT);
    sl_buf_init(&frame, NULL, 0);
    for (int i = 0; i < COLUMNS; i++)
        sl_buf_init(&m.columns[i], NULL, 0);
    sl_status status = sl_blob_functions_init(&m.functions, NULL);
    m.numbers = malloc(((size_t)u->function_count + 1) * sizeof(uint32_t));
    m.places = malloc(((size_t)u->node_count + 1) * sizeof(uint32_t));
    if (m.numbers == NULL || m.places == NULL)
        status = SL_ENOMEM;
    if (status == SL_OK) {
        memset(m.numbers, 0xFF, (size_t)u->function_count * sizeof(uint32_t));
        status = merger_content(&m, meta, meta_count, &content);
    }
    if (status == SL_OK)
        status = sl_compress(&frame, content.data, content.size,
                             level != 0 ? level : 3);
    if (status == SL_OK)
        status = sl_buf_finish(&frame, out);
    for (int i = 0; i < COLUMNS; i++)
        sl_buf_free(&m.columns[i]);
    sl_blob_functions_free(&m.functions);
    free(m.numbers);
    free(m.places);
    sl_buf_free(&content);
    sl_buf_free(&frame);
    return status;
}

sl_status
sl_merge(const sl_profile *const *profiles, size_t count, const sl_meta *meta,
         size_t meta_count, int level, sl_bytes *out)
{
    sl_union u = { .with_lines = true };
    sl_status status =
        count == 0 || meta_count > SL_BLOB_MAX_META ? SL_ERANGE : SL_OK;

    for (size_t i = 0; status == SL_OK && i < count; i++)
        status = sl_union_add(&u, profiles[i], 0, NULL);
    if (status == SL_OK)
        status = union_encode(&u, value_sum, meta, meta_count, level, out);
    sl_union_free(&u);
    return status;
}

sl_status
sl_growth(const sl_profile *before, const sl_profile *after,
          const sl_meta *meta, size_t meta_count, int level, sl_bytes *out)
{
    sl_union u = { 0 };
    sl_status status = meta_count > SL_BLOB_MAX_META
                           ? SL_ERANGE
                           : sl_union_add(&u, before, 0, NULL);
    if (status == SL_OK)
        status = sl_union_add(&u, after, 1, NULL);
    if (status == SL_OK)
        status = union_encode(&u, value_growth, meta, meta_count, level, out);
    sl_union_free(&u);
    return status;
}
