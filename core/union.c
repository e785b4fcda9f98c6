/* Several profiles as one tree. */
#include "union.h"
#include "hash.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 256u
/* Rows of lines and counters for each node that a bounded union may have. */
#define ROWS_A_NODE 8u

static uint64_t
mix_text(uint64_t hash, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * 1099511628211u;
    return sl_hash_mix(hash, len);
}

static uint32_t
function_hash(const sl_union *u, const sl_function *f)
{
    uint64_t hash = mix_text(u->seed, f->name, f->name_len);
    hash = mix_text(hash, f->file, f->file_len);
    hash = sl_hash_mix(hash,
                       (uint64_t)f->kind << 32 | (u->with_lines ? f->line : 0));
    return (uint32_t)(hash >> 16);
}

static bool
function_equal(const sl_union *u, const sl_function *a, const sl_function *b)
{
    return a->kind == b->kind && a->name_len == b->name_len &&
           a->file_len == b->file_len &&
           (!u->with_lines || a->line == b->line) &&
           memcmp(a->name, b->name, a->name_len) == 0 &&
           memcmp(a->file, b->file, a->file_len) == 0;
}

static uint32_t
node_hash(const sl_union *u, const sl_union_node *n)
{
    uint64_t hash = sl_hash_mix(sl_hash_mix(u->seed, n->parent), n->function);
    return (uint32_t)(sl_hash_mix(hash, n->line) >> 16);
}

/* Twice as many free slots, or the first ones. NULL: no memory. */
static uint32_t *
slots_grow(uint32_t *mask)
{
    uint32_t slots = *mask == 0 ? SLOTS_MIN : (*mask + 1) * 2;
    uint32_t *grown = calloc(slots, sizeof(*grown));
    if (grown != NULL)
        *mask = slots - 1;
    return grown;
}

static bool
array_reserve(void *array, uint32_t count, uint32_t *capacity, size_t size)
{
    void **at = array;
    if (count < *capacity)
        return true;
    uint32_t more = *capacity == 0 ? 64 : *capacity * 2;
    void *grown = more > *capacity ? realloc(*at, more * size) : NULL;
    if (grown == NULL)
        return false;
    *at = grown;
    *capacity = more;
    return true;
}

static bool
functions_reserve(sl_union *u)
{
    if (!array_reserve(&u->functions, u->function_count, &u->function_capacity,
                       sizeof(sl_function)))
        return false;
    if (u->function_slots != NULL && u->function_count < u->function_mask / 2)
        return true;
    uint32_t *grown = slots_grow(&u->function_mask);
    if (grown == NULL)
        return false;
    for (uint32_t i = 0; i < u->function_count; i++) {
        uint32_t at = function_hash(u, &u->functions[i]) & u->function_mask;
        while (grown[at] != 0)
            at = (at + 1) & u->function_mask;
        grown[at] = i + 1;
    }
    free(u->function_slots);
    u->function_slots = grown;
    return true;
}

/* A copy that lives as long as the union; NULL: no room. */
static const char *
text_copy(sl_union *u, const char *text, size_t len)
{
    void *copy;
    if (sl_arena_take(u->texts, len + 1, &copy) < 0)
        return NULL;
    memcpy(copy, text, len);
    ((char *)copy)[len] = '\0';
    return copy;
}

/* Number of the function here, or SL_UNION_END: no memory. Where there is no
 * room for its texts, that of [truncated]. */
static uint32_t
union_function(sl_union *u, const sl_function *f)
{
    if (!functions_reserve(u))
        return SL_UNION_END;
    uint32_t at = function_hash(u, f) & u->function_mask;
    while (u->function_slots[at] != 0) {
        uint32_t known = u->function_slots[at] - 1;
        if (function_equal(u, &u->functions[known], f))
            return known;
        at = (at + 1) & u->function_mask;
    }
    sl_function kept = *f;
    if (u->texts != NULL) {
        kept.name = text_copy(u, f->name, f->name_len);
        kept.file = text_copy(u, f->file, f->file_len);
        if (kept.name == NULL || kept.file == NULL) {
            u->full = true;
            return u->function_count > u->truncated ? u->truncated
                                                    : SL_UNION_END;
        }
    }
    u->functions[u->function_count] = kept;
    u->function_slots[at] = ++u->function_count;
    return u->function_count - 1;
}

static bool
nodes_reserve(sl_union *u)
{
    if (!array_reserve(&u->nodes, u->node_count, &u->node_capacity,
                       sizeof(sl_union_node)))
        return false;
    if (u->node_slots != NULL && u->node_count < u->node_mask / 2)
        return true;
    uint32_t *grown = slots_grow(&u->node_mask);
    if (grown == NULL)
        return false;
    for (uint32_t i = 0; i < u->node_count; i++) {
        uint32_t at = node_hash(u, &u->nodes[i]) & u->node_mask;
        while (grown[at] != 0)
            at = (at + 1) & u->node_mask;
        grown[at] = i + 1;
    }
    free(u->node_slots);
    u->node_slots = grown;
    return true;
}

/* Number of the node, or SL_UNION_END: no memory. `make`: one that is not there
 * yet is made; else NO_ROOM. */
#define NO_ROOM (SL_UNION_END - 1)
static uint32_t
union_node(sl_union *u, uint32_t parent, uint32_t function, uint32_t line,
           bool make)
{
    sl_union_node wanted = { .parent = parent,
                             .function = function,
                             .line = line };
    if (!nodes_reserve(u))
        return SL_UNION_END;
    uint32_t at = node_hash(u, &wanted) & u->node_mask;
    while (u->node_slots[at] != 0) {
        const sl_union_node *n = &u->nodes[u->node_slots[at] - 1];
        if (n->parent == parent && n->function == function && n->line == line &&
            (n != u->nodes || u->node_count == 0))
            return u->node_slots[at] - 1;
        at = (at + 1) & u->node_mask;
    }
    if (!make)
        return NO_ROOM;
    uint32_t number = u->node_count++;
    u->nodes[number] = wanted;
    u->node_slots[at] = number + 1;
    if (number > 0) {
        sl_union_node *above = &u->nodes[parent];
        if (above->first == 0)
            above->first = number;
        else
            u->nodes[above->last].next = number;
        above->last = number;
    }
    return number;
}

static bool
union_line(sl_union *u, const sl_profile_line *line, uint32_t node)
{
    if (u->line_count == u->line_capacity) {
        size_t capacity = u->line_capacity == 0 ? 64 : u->line_capacity * 2;
        sl_union_line *grown = realloc(u->lines, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        u->lines = grown;
        u->line_capacity = capacity;
    }
    u->lines[u->line_count++] =
        (sl_union_line){ node, line->line, line->wall_ns, line->cpu_ns,
                         line->gil_ns };
    return true;
}

static bool
union_counter(sl_union *u, const sl_profile_counter *row, uint32_t node)
{
    if (u->counter_count == u->counter_capacity) {
        size_t capacity =
            u->counter_capacity == 0 ? 64 : u->counter_capacity * 2;
        sl_profile_counter *grown =
            realloc(u->counters, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        u->counters = grown;
        u->counter_capacity = capacity;
    }
    u->counters[u->counter_count++] =
        (sl_profile_counter){ node, row->metric, row->value };
    return true;
}

/* Where a node goes: its own place, or where all goes that found no room. */
static uint32_t
union_place(sl_union *u, uint32_t parent, uint32_t function, uint32_t line)
{
    bool room = u->node_max == 0 || u->node_count < u->node_max;

    if (u->node_count > 0 && u->nodes[parent].folded)
        return parent;
    uint32_t found = union_node(u, parent, function, line, room);
    if (found != NO_ROOM)
        return found;
    found = union_node(u, parent, u->truncated, 0, true);
    if (found != SL_UNION_END) {
        u->nodes[found].folded = true;
        u->full = true;
    }
    return found;
}

static uint64_t
weighed(const sl_union *u, uint64_t value)
{
    return sl_union_times(value, u->weight);
}

/* Whether there is room for `more` rows; what is equal was added up first, if
 * need be. */
static bool
rows_have_room(sl_union *u, size_t more)
{
    if (u->node_max == 0)
        return true;
    if (u->line_count + u->counter_count + more > u->row_room) {
        sl_union_compact(u);
        size_t rows = u->line_count + u->counter_count;
        size_t most = (size_t)u->node_max * ROWS_A_NODE;
        u->row_room = rows * 2 + more < most ? rows * 2 + more : most;
    }
    bool room = u->line_count + u->counter_count + more <= u->row_room;
    u->full = u->full || !room;
    return room;
}

static bool
union_rows(sl_union *u, const sl_profile *profile, const uint32_t *map)
{
    uint32_t lines = sl_profile_line_count(profile);
    uint32_t counters = sl_profile_counter_count(profile);

    if (!u->with_lines || !rows_have_room(u, (size_t)lines + counters))
        return true;
    for (uint32_t i = 0; i < lines; i++) {
        sl_profile_line line = *sl_profile_line_at(profile, i);
        if (u->nodes[map[line.node]].folded)
            continue; /* whose lines these are is not known there */
        line.wall_ns = weighed(u, line.wall_ns);
        line.cpu_ns = weighed(u, line.cpu_ns);
        line.gil_ns = weighed(u, line.gil_ns);
        if (!union_line(u, &line, map[line.node]))
            return false;
    }
    for (uint32_t i = 0; i < counters; i++) {
        sl_profile_counter row = *sl_profile_counter_at(profile, i);
        row.value = weighed(u, row.value);
        if (!union_counter(u, &row, map[row.node]))
            return false;
    }
    return true;
}

static bool
union_spans(sl_union *u, const sl_profile *profile, int side,
            const uint32_t *map)
{
    sl_union_spans *s = &u->spans;

    s->with_lines = u->with_lines;
    s->texts = u->texts;
    s->most = u->node_max;
    s->lost[side] = sl_union_plus(s->lost[side],
                                  weighed(u, sl_profile_spans_lost(profile)));
    for (uint32_t i = 0; i < sl_profile_span_count(profile); i++) {
        const sl_profile_span *span = sl_profile_span_at(profile, i);
        uint32_t node = map[span->node];
        /* Whose line it is is not known where nodes are folded. */
        uint32_t line = u->nodes[node].folded ? 0 : span->line;
        if (sl_union_spans_add(s, span, node, line, u->weight, side) < 0)
            return false;
    }
    u->full = u->full || s->full;
    return true;
}

static bool
union_tree(sl_union *u, const sl_profile *profile, int side,
           const uint32_t *functions, uint32_t *map)
{
    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        /* All roots are one, whatever they are called. */
        if (i == 0 && u->node_count > 0)
            map[i] = 0;
        else
            map[i] = union_place(u, i == 0 ? 0 : map[node->parent],
                                 functions[node->function],
                                 u->with_lines ? node->line : 0);
        if (map[i] == SL_UNION_END)
            return false;
        sl_union_sum value = { .self_ns = weighed(u, node->self_ns) };
        if (i == 0 || map[i] != map[node->parent]) {
            value.calls = weighed(u, node->calls);
            value.resumes = weighed(u, node->resumes);
            value.total_ns = weighed(u, node->total_ns);
        }
        sl_union_sum_add(&u->nodes[map[i]].side[side], &value);
    }
    return union_rows(u, profile, map) && union_spans(u, profile, side, map);
}

sl_status
sl_union_add(sl_union *u, const sl_profile *profile, int side,
             uint32_t **functions, uint32_t **nodes)
{
    uint32_t count = sl_profile_function_count(profile);
    uint32_t *numbers = malloc(((size_t)count + 1) * sizeof(*numbers));
    uint32_t *map =
        malloc(((size_t)sl_profile_node_count(profile) + 1) * sizeof(*map));
    bool fine = numbers != NULL && map != NULL;

    if (u->seed == 0)
        u->seed = sl_hash_seed(u) | 1;
    if (fine && u->node_max != 0 && u->function_count == 0) {
        const char *name = sl_pseudo_name(SL_PSEUDO_TRUNCATED);
        u->truncated = union_function(
            u, &(sl_function){ .name = name,
                               .name_len = strlen(name),
                               .file = "",
                               .kind = SL_KIND_PSEUDO,
                               .origin = SL_ORIGIN_NONE });
        fine = u->truncated != SL_UNION_END;
    }
    for (uint32_t i = 0; fine && i < count; i++) {
        numbers[i] = union_function(u, sl_profile_function(profile, i));
        fine = numbers[i] != SL_UNION_END;
    }
    fine = fine && union_tree(u, profile, side, numbers, map);
    if (fine && nodes != NULL)
        *nodes = map;
    else
        free(map);
    if (fine && functions != NULL)
        *functions = numbers;
    else
        free(numbers);
    return fine ? SL_OK : SL_ENOMEM;
}

static int
line_compare(const void *a, const void *b)
{
    const sl_union_line *x = a, *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int
counter_compare(const void *a, const void *b)
{
    const sl_profile_counter *x = a, *y = b;
    if (x->metric != y->metric)
        return x->metric < y->metric ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

static void
compact_lines(sl_union *u)
{
    sl_union_line *lines = u->lines;
    size_t count = 0;

    if (u->line_count == 0)
        return;
    qsort(lines, u->line_count, sizeof(*lines), line_compare);
    for (size_t i = 1; i < u->line_count; i++) {
        if (line_compare(&lines[count], &lines[i]) != 0) {
            lines[++count] = lines[i];
            continue;
        }
        lines[count].wall_ns =
            sl_union_plus(lines[count].wall_ns, lines[i].wall_ns);
        lines[count].cpu_ns =
            sl_union_plus(lines[count].cpu_ns, lines[i].cpu_ns);
        lines[count].gil_ns =
            sl_union_plus(lines[count].gil_ns, lines[i].gil_ns);
    }
    u->line_count = count + 1;
}

static void
compact_counters(sl_union *u)
{
    sl_profile_counter *rows = u->counters;
    size_t count = 0;

    if (u->counter_count == 0)
        return;
    qsort(rows, u->counter_count, sizeof(*rows), counter_compare);
    for (size_t i = 1; i < u->counter_count; i++) {
        if (counter_compare(&rows[count], &rows[i]) != 0)
            rows[++count] = rows[i];
        else
            rows[count].value =
                sl_union_plus(rows[count].value, rows[i].value);
    }
    u->counter_count = count + 1;
}

void
sl_union_compact(sl_union *u)
{
    compact_lines(u);
    compact_counters(u);
}

void
sl_union_free(sl_union *u)
{
    free(u->nodes);
    free(u->node_slots);
    free(u->functions);
    free(u->function_slots);
    free(u->lines);
    free(u->counters);
    sl_union_spans_free(&u->spans);
    sl_arena_free(u->texts);
    memset(u, 0, sizeof(*u));
}

size_t
sl_union_bytes(const sl_union *u)
{
    return (u->texts != NULL ? sl_arena_bytes(u->texts) : 0) +
           sl_union_spans_bytes(&u->spans) +
           u->node_capacity * sizeof(sl_union_node) +
           u->function_capacity * sizeof(sl_function) +
           ((size_t)u->node_mask + u->function_mask + 2) * sizeof(uint32_t) +
           u->line_capacity * sizeof(sl_union_line) +
           u->counter_capacity * sizeof(sl_profile_counter);
}

uint32_t
sl_union_next(const sl_union *u, uint32_t i, uint32_t *depth)
{
    if (u->nodes[i].first != 0) {
        ++*depth;
        return u->nodes[i].first;
    }
    while (i != 0 && u->nodes[i].next == 0) {
        i = u->nodes[i].parent;
        --*depth;
    }
    return i == 0 ? SL_UNION_END : u->nodes[i].next;
}
