/* Which code objects are watched: see watched.h. */
#include "engine/watched.h"

#define WATCHED_MAX (1u << 20)

/* Code objects with local CALL events, by address. They may die meanwhile, and
 * with them their events: the weak reference tells. */
typedef struct {
    const PyObject *code; /* NULL: free */
    PyObject *weak;
    uint32_t lines; /* recordings that want its lines told */
} watch;

static watch *watched;
static uint32_t watched_mask, watched_count;

static watch *
watched_slot(watch *set, uint32_t mask, const PyObject *code)
{
    uint32_t at = (uint32_t)(((uintptr_t)code >> 4) * 2654435761u) & mask;
    while (set[at].code != NULL && set[at].code != code)
        at = (at + 1) & mask;
    return &set[at];
}

/* Room for one more: in a table without those that are gone, of a size that
 * fits the others. */
static bool
watched_reserve(void)
{
    uint32_t live = 0, slots = 512;

    if (watched != NULL && watched_count < watched_mask / 2)
        return true;
    for (uint32_t i = 0; watched != NULL && i <= watched_mask; i++)
        live += watched[i].code != NULL && sl_py_weak_lives(watched[i].weak);
    while (slots / 4 < live + 1)
        slots *= 2;
    watch *grown =
        slots > WATCHED_MAX ? NULL : PyMem_Calloc(slots, sizeof(*grown));
    if (grown == NULL)
        return false;
    for (uint32_t i = 0; watched != NULL && i <= watched_mask; i++) {
        if (watched[i].code == NULL)
            continue;
        if (sl_py_weak_lives(watched[i].weak))
            *watched_slot(grown, slots - 1, watched[i].code) = watched[i];
        else
            Py_DECREF(watched[i].weak); /* runs no code */
    }
    PyMem_Free(watched);
    watched = grown;
    watched_mask = slots - 1;
    watched_count = live;
    return true;
}

/* The code's entry; NULL: it is not watched. */
static watch *
watch_of(const PyObject *code)
{
    if (watched == NULL)
        return NULL;
    watch *w = watched_slot(watched, watched_mask, code);
    return w->code == code && sl_py_weak_is(w->weak, code) ? w : NULL;
}

static bool (*tell)(PyObject *code, long events);
static long call_events, line_events;

void
sl_py_watched_by(bool (*interpreter)(PyObject *code, long events), long calls,
                 long lines)
{
    tell = interpreter;
    call_events = calls;
    line_events = lines;
}

/* What its watchers want of it. */
static long
events_of(const watch *w)
{
    return w == NULL ? 0 : call_events | (w->lines > 0 ? line_events : 0);
}

long
sl_py_watched_events(const PyObject *code)
{
    return events_of(watch_of(code));
}

uint32_t
sl_py_watched_count(void)
{
    return watched_count;
}

bool
sl_py_watched_add(PyCodeObject *object)
{
    PyObject *code = (PyObject *)object;
    PyObject *weak;

    if (watch_of(code) != NULL)
        return true;
    if (!watched_reserve() || (weak = sl_py_weak_new(code)) == NULL)
        return false;
    if (!tell(code, call_events)) {
        Py_DECREF(weak);
        return false;
    }
    watch *w = watched_slot(watched, watched_mask, code);
    watched_count += w->code == NULL;
    Py_XDECREF(w->weak); /* of one that lay there before */
    *w = (watch){ code, weak, 0 };
    return true;
}

bool
sl_py_watched_lines(sl_py_traced *traced, PyCodeObject *object)
{
    PyObject *code = (PyObject *)object;
    watch *w = sl_py_watched_add(object) ? watch_of(code) : NULL;

    if (w == NULL)
        return false;
    if (traced->lined_count == traced->lined_capacity) {
        uint32_t capacity = traced->lined_capacity * 2;
        capacity = capacity == 0 ? 64 : capacity;
        PyObject **grown =
            PyMem_Realloc(traced->lined, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        traced->lined = grown;
        traced->lined_capacity = capacity;
    }
    if (w->lines++ == 0 && !tell(code, events_of(w))) {
        /* Setting events may have run code, and moved the table. */
        w = watch_of(code);
        if (w != NULL)
            w->lines--;
        return false;
    }
    traced->lined[traced->lined_count++] = Py_NewRef(code);
    return true;
}

void
sl_py_watched_release(sl_py_traced *traced)
{
    for (uint32_t i = 0; i < traced->lined_count; i++) {
        PyObject *code = traced->lined[i];
        watch *w = watch_of(code);
        if (w != NULL && w->lines > 0 && --w->lines == 0)
            tell(code, events_of(w));
        Py_DECREF(code);
    }
    PyMem_Free(traced->lined);
    traced->lined = NULL;
    traced->lined_count = traced->lined_capacity = 0;
}

void
sl_py_watched_clear(void)
{
    watch *old = watched;
    uint32_t mask = watched_mask;

    watched = NULL;
    watched_mask = watched_count = 0;
    for (uint32_t i = 0; old != NULL && i <= mask; i++) {
        if (old[i].code == NULL)
            continue;
        if (sl_py_weak_lives(old[i].weak)) {
            PyObject *code = Py_NewRef((PyObject *)old[i].code);
            tell(code, 0);
            Py_DECREF(code);
        }
        Py_DECREF(old[i].weak);
    }
    PyMem_Free(old);
}

void
sl_py_watched_again(void)
{
    /* Setting events may run code, which may move the table: looked up anew
     * each time. */
    for (uint32_t i = 0; watched != NULL && i <= watched_mask; i++) {
        const watch *w = &watched[i];
        if (w->code == NULL || !sl_py_weak_lives(w->weak))
            continue;
        PyObject *code = Py_NewRef((PyObject *)w->code);
        tell(code, events_of(w));
        Py_DECREF(code);
    }
}
