/* origins.c - whose file is it, without the GIL; see origins.h. */
#include "board/origins.h"

#include <string.h>

/* In the order in which they are asked: the first that holds says it. */
enum { PROJECT, LIBRARY, VENDORED, STDLIB, LISTS };

typedef struct {
    size_t len;
    const char *text;
} part;

typedef struct rules {
    struct rules *before; /* all that were ever made: whoever reads one takes no
                             lock, so none is freed, and each is made once */
    size_t bytes;         /* of the texts, behind the parts */
    uint32_t end[LISTS];  /* of each list in `parts` */
    part parts[];
} rules;

static rules *current; /* atomic */
static rules *all;     /* the GIL */

static const char *
rules_texts(const rules *r)
{
    return (const char *)&r->parts[r->end[LISTS - 1]];
}

static bool
rules_equal(const rules *a, const rules *b)
{
    uint32_t count = a->end[LISTS - 1];

    if (memcmp(a->end, b->end, sizeof(a->end)) != 0 || a->bytes != b->bytes ||
        memcmp(rules_texts(a), rules_texts(b), a->bytes) != 0)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (a->parts[i].len != b->parts[i].len)
            return false;
    }
    return true;
}

/* The one of all that is like `made`, which is it, or is freed. */
static rules *
rules_once(rules *made)
{
    for (rules *r = all; r != NULL; r = r->before) {
        if (rules_equal(r, made)) {
            PyMem_RawFree(made);
            return r;
        }
    }
    made->before = all;
    return all = made;
}

int
sl_py_origins_configure(PyObject *stdlib, PyObject *libraries,
                        PyObject *project, PyObject *vendored)
{
    PyObject *const lists[LISTS] = { [PROJECT] = project,
                                     [LIBRARY] = libraries,
                                     [VENDORED] = vendored,
                                     [STDLIB] = stdlib };
    size_t count = 0, bytes = 0;

    for (int l = 0; l < LISTS; l++) {
        for (Py_ssize_t i = 0;
             lists[l] != NULL && i < PyTuple_GET_SIZE(lists[l]); i++) {
            Py_ssize_t len;
            if (PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(lists[l], i), &len) ==
                NULL)
                return -1;
            bytes += (size_t)len;
            count++;
        }
    }
    rules *made = PyMem_RawMalloc(sizeof(rules) + count * sizeof(part) + bytes);
    if (made == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    char *text = (char *)&made->parts[count];
    made->bytes = bytes;
    part *at = made->parts;
    for (int l = 0; l < LISTS; l++) {
        for (Py_ssize_t i = 0;
             lists[l] != NULL && i < PyTuple_GET_SIZE(lists[l]); i++) {
            Py_ssize_t len;
            const char *from =
                PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(lists[l], i), &len);
            memcpy(text, from, (size_t)len);
            *at++ = (part){ (size_t)len, text };
            text += len;
        }
        made->end[l] = (uint32_t)(at - made->parts);
    }
    __atomic_store_n(&current, rules_once(made), __ATOMIC_RELEASE);
    return 0;
}

static bool
holds(const char *name, size_t len, const part *what, bool anywhere)
{
    for (size_t i = 0; i + what->len <= len && (i == 0 || anywhere); i++) {
        if (memcmp(name + i, what->text, what->len) == 0)
            return true;
    }
    return false;
}

sl_origin
sl_py_origin_of_file(const char *name, size_t len)
{
    static const sl_origin whose[LISTS] = { SL_ORIGIN_PROJECT,
                                            SL_ORIGIN_LIBRARY,
                                            SL_ORIGIN_LIBRARY,
                                            SL_ORIGIN_STDLIB };
    const rules *r = __atomic_load_n(&current, __ATOMIC_ACQUIRE);

    for (uint32_t l = 0, i = 0; r != NULL && l < LISTS; l++) {
        for (; i < r->end[l]; i++) {
            if (holds(name, len, &r->parts[i], l == LIBRARY))
                return whose[l];
        }
    }
    /* Made by exec: dataclasses, attrs... */
    return r != NULL && len > 0 && name[0] == '<' ? SL_ORIGIN_LIBRARY
                                                  : SL_ORIGIN_PROJECT;
}
