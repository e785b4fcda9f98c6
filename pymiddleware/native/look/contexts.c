/* What a context variable holds, by copies of its trie: see contexts.h. */
#include "look/contexts.h"
#include "compat/py_compat.h"
#include "look/memory.h"

#include <string.h>

#define FANOUT_BITS 5
#define LEVELS_MAX  8
#define ITEMS_MAX   64

/* The three kinds of node, by their types; learnt when first met. */
static uintptr_t bitmap_type, array_type, collision_type;

typedef struct {
    PyObject_VAR_HEAD uint32_t bitmap; /* or the hash that collides */
    uintptr_t items[ITEMS_MAX];
} pairs_node;

int32_t
sl_py_context_hash(int64_t hash)
{
    int32_t folded =
        (int32_t)((uint64_t)hash & 0xffffffffu) ^ (int32_t)(hash >> 32);
    return folded == -1 ? -2 : folded;
}

static bool
read_at(uintptr_t address, size_t size, void *out)
{
    return (address & 7) == 0 && sl_py_memory_copy(address, size, out);
}

/* Types are static: one that is met may be read by its name. */
static bool
type_is(uintptr_t type, uintptr_t *known, const char *name)
{
    uintptr_t text;
    char copy[32] = { 0 };

    if (*known != 0)
        return type == *known;
    if (!read_at(type + offsetof(PyTypeObject, tp_name), sizeof(text), &text))
        return false;
    sl_py_piece piece = { (const void *)text, strlen(name) + 1 };
    const void *bytes = sl_py_memory_read(&piece, 1);
    if (bytes == NULL)
        return false;
    memcpy(copy, bytes, piece.size);
    if (strncmp(copy, name, sizeof(copy)) != 0)
        return false;
    *known = type;
    return true;
}

/* Follows the trie one level. Returns true with the answer in *value (0: not
 * there), or false with the next node in *node. */
static bool
step_down(uintptr_t *node, uintptr_t variable, uint32_t hash, unsigned shift,
          uintptr_t *value)
{
    pairs_node copy;
    PyObject head;

    *value = 0;
    if (!read_at(*node, sizeof(head), &head))
        return true;
    uintptr_t type = (uintptr_t)head.ob_type;
    if (type_is(type, &array_type, "hamt_array_node")) {
        uintptr_t child = *node + sizeof(PyObject) +
                          ((hash >> shift) & 31u) * sizeof(uintptr_t);
        return !read_at(child, sizeof(*node), node) || *node == 0;
    }
    bool bitmap = type_is(type, &bitmap_type, "hamt_bitmap_node");
    if (!bitmap && !type_is(type, &collision_type, "hamt_collision_node"))
        return true;
    size_t fixed = offsetof(pairs_node, items);
    if (!read_at(*node, fixed, &copy))
        return true;
    Py_ssize_t count = ((PyVarObject *)&copy)->ob_size;
    if (count <= 0 || count > ITEMS_MAX || (count & 1) != 0 ||
        !read_at(*node, fixed + (size_t)count * sizeof(uintptr_t), &copy))
        return true;
    if (!bitmap) {
        for (Py_ssize_t i = 0; i < count; i += 2) {
            if (copy.items[i] == variable)
                *value = copy.items[i + 1];
        }
        return true;
    }
    uint32_t bit = 1u << ((hash >> shift) & 31u);
    if ((copy.bitmap & bit) == 0)
        return true;
    int at = __builtin_popcount(copy.bitmap & (bit - 1)) * 2;
    if (at + 1 >= count)
        return true;
    if (copy.items[at] == 0) {
        *node = copy.items[at + 1];
        return false;
    }
    *value = copy.items[at] == variable ? copy.items[at + 1] : 0;
    return true;
}

uintptr_t
sl_py_context_find(uintptr_t vars, uintptr_t variable, int32_t hash)
{
    uintptr_t node, value;

    /* PyHamtObject: the root stands right behind the head. */
    if (!read_at(vars + sizeof(PyObject), sizeof(node), &node))
        return 0;
    for (unsigned level = 0; level < LEVELS_MAX; level++) {
        if (step_down(&node, variable, (uint32_t)hash, level * FANOUT_BITS,
                      &value))
            return value;
    }
    return 0;
}
