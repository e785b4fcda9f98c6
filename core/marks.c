#include "marks.h"

#include <string.h>

#define CHUNK_BYTES   ((size_t)16 << 10)
#define LIMIT_BYTES   ((size_t)8 << 20)
#define CAPACITY_MIN  64u
#define MARKS_MAX     (1u << 16)
#define STRETCHES_MAX (1u << 16)

void
sl_marks_clear(sl_marks *marks)
{
    sl_arena *arena = marks->arena;

    *marks = (sl_marks){ .alloc = marks->alloc, .arena = arena };
    if (arena != NULL)
        sl_arena_reset(arena, LIMIT_BYTES);
}

void
sl_marks_free(sl_marks *marks)
{
    sl_arena_free(marks->arena);
    *marks = (sl_marks){ .alloc = marks->alloc };
}

/* As sl_arena_grow, in an arena that is made when it is needed. */
static void *
marks_grow(sl_marks *marks, const void *old, uint32_t count, uint32_t capacity,
           size_t size)
{
    if (marks->arena == NULL && sl_arena_new(&marks->arena, &marks->alloc,
                                             CHUNK_BYTES, LIMIT_BYTES) < 0)
        return NULL;
    return sl_arena_grow(marks->arena, old, count, capacity, size);
}

static uint32_t *
marks_slot(const sl_marks *marks, const void *node, uint32_t line)
{
    uint32_t mask = marks->mark_capacity * 2 - 1;
    uint64_t mix =
        (((uintptr_t)node >> 4) ^ ((uint64_t)line << 40)) * 0x9E3779B97F4A7C15u;
    uint32_t at = (uint32_t)(mix >> 32) & mask;

    for (; marks->slots[at] != 0; at = (at + 1) & mask) {
        const sl_mark *mark = &marks->marks[marks->slots[at] - 1];
        if (mark->node == node && mark->line == line)
            break;
    }
    return &marks->slots[at];
}

void
sl_marks_reslot(sl_marks *marks)
{
    if (marks->mark_capacity == 0)
        return;
    memset(marks->slots, 0,
           (size_t)marks->mark_capacity * 2 * sizeof(*marks->slots));
    for (uint32_t i = 0; i < marks->mark_count; i++)
        *marks_slot(marks, marks->marks[i].node, marks->marks[i].line) = i + 1;
}

/* Room for one more mark. false: none; nothing has changed. */
static bool
marks_reserve(sl_marks *marks)
{
    if (marks->mark_count < marks->mark_capacity)
        return true;

    uint32_t capacity = marks->mark_capacity * 2;
    if (capacity == 0)
        capacity = CAPACITY_MIN;
    if (capacity > MARKS_MAX)
        return false;
    sl_mark *grown = marks_grow(marks, marks->marks, marks->mark_count,
                                capacity, sizeof(*grown));
    uint32_t *slots = grown == NULL ? NULL
                                    : marks_grow(marks, NULL, 0, capacity * 2,
                                                 sizeof(*slots));
    if (slots == NULL)
        return false;
    memset(slots, 0, (size_t)capacity * 2 * sizeof(*slots));
    marks->marks = grown;
    marks->slots = slots;
    marks->mark_capacity = capacity;
    for (uint32_t i = 0; i < marks->mark_count; i++)
        *marks_slot(marks, grown[i].node, grown[i].line) = i + 1;
    return true;
}

void
sl_marks_add(sl_marks *marks, const sl_mark *add)
{
    if (!marks_reserve(marks)) {
        marks->lost++;
        return;
    }
    uint32_t *slot = marks_slot(marks, add->node, add->line);
    if (*slot == 0) {
        marks->marks[marks->mark_count] = *add;
        *slot = ++marks->mark_count;
        return;
    }
    sl_mark *mark = &marks->marks[*slot - 1];
    mark->wall += add->wall;
    mark->cpu += add->cpu;
    mark->gil += add->gil;
}

void
sl_marks_stretch(sl_marks *marks, const sl_stretch *add)
{
    if (marks->stretch_count > 0) {
        sl_stretch *last = &marks->stretches[marks->stretch_count - 1];
        if (last->lane == add->lane && last->node == add->node &&
            last->to == add->from) {
            last->to = add->to;
            return;
        }
    }
    if (marks->stretch_count == marks->stretch_capacity) {
        uint32_t capacity = marks->stretch_capacity * 2;
        if (capacity == 0)
            capacity = CAPACITY_MIN;
        sl_stretch *grown =
            capacity > STRETCHES_MAX
                ? NULL
                : marks_grow(marks, marks->stretches, marks->stretch_count,
                             capacity, sizeof(*grown));
        if (grown == NULL) {
            marks->lost++;
            return;
        }
        marks->stretches = grown;
        marks->stretch_capacity = capacity;
    }
    marks->stretches[marks->stretch_count++] = *add;
}
