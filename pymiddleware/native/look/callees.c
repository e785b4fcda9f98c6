/* C functions by what lies on a frame's stack: see callees.h. */
#include "look/callees.h"
#include "compat/py_compat.h"
#include "look/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX   128u
#define PAGE_BYTES 4096u

static ternaryfunc call_in_python;

void
sl_py_callees_set(ternaryfunc call)
{
    call_in_python = call;
}

/* The bytes of `out`'s type at `address`. */
#define READ(address, out)                                                     \
    (((address) & 7) == 0 &&                                                   \
     sl_py_memory_copy((address), sizeof(*(out)), (out)))

/* A name that C wrote down; false: it is none. */
static bool
read_text(uintptr_t address, char out[TEXT_MAX])
{
    size_t left = PAGE_BYTES - address % PAGE_BYTES;
    size_t size = left < TEXT_MAX - 1 ? left : TEXT_MAX - 1;

    memset(out, 0, TEXT_MAX);
    if (address == 0 || !sl_py_memory_copy(address, size, out))
        return false;
    if (strlen(out) == size &&
        size < TEXT_MAX - 1 && /* on the next page, too */
        !sl_py_memory_copy(address + size, TEXT_MAX - 1 - size, out + size))
        return false;
    for (const char *c = out; *c != '\0'; c++) {
        if (*c < '!' || *c > '~')
            return false;
    }
    return out[0] != '\0' && strlen(out) < TEXT_MAX - 1;
}

/* "owner.name", or the name alone. Each has less than TEXT_MAX bytes: there is
 * room for both. */
static void
join(const char *owner, const char *name, char out[2 * TEXT_MAX])
{
    snprintf(out, 2 * TEXT_MAX, "%s%s%s", owner, owner[0] == '\0' ? "" : ".",
             name);
}

static bool
type_name(uintptr_t type, char out[TEXT_MAX])
{
    PyTypeObject head;

    return READ(type, &head) && read_text((uintptr_t)head.tp_name, out);
}

static bool
is_type(uintptr_t object)
{
    PyObject head;
    PyTypeObject type;

    return READ(object, &head) && READ((uintptr_t)head.ob_type, &type) &&
           (type.tp_flags & Py_TPFLAGS_TYPE_SUBCLASS) != 0;
}

/* The names that events give them (code_map.c). */
static bool
function_name(uintptr_t object, char out[2 * TEXT_MAX])
{
    PyCFunctionObject function;
    PyMethodDef method;
    PyObject self;
    char name[TEXT_MAX], owner[TEXT_MAX] = "";

    if (!READ(object, &function) || !READ((uintptr_t)function.m_ml, &method) ||
        !read_text((uintptr_t)method.ml_name, name))
        return false;
    uintptr_t of = (uintptr_t)function.m_self;
    if (of != 0 && READ(of, &self) && self.ob_type != &PyModule_Type &&
        self.ob_type != &PyCapsule_Type) {
        if (!type_name(is_type(of) ? of : (uintptr_t)self.ob_type, owner))
            return false;
    } else if (function.m_module != NULL) {
        uint32_t len;
        char *module = sl_py_read_str((uintptr_t)function.m_module, &len);
        if (module != NULL && len < TEXT_MAX)
            memcpy(owner, module, len + 1);
        free(module);
    }
    join(owner, name, out);
    return true;
}

static bool
method_name(uintptr_t object, char out[2 * TEXT_MAX])
{
    PyMethodDescrObject descr;
    PyMethodDef method;
    char name[TEXT_MAX], owner[TEXT_MAX];

    if (!READ(object, &descr) || !READ((uintptr_t)descr.d_method, &method) ||
        !read_text((uintptr_t)method.ml_name, name) ||
        !type_name((uintptr_t)descr.d_common.d_type, owner))
        return false;
    join(owner, name, out);
    return true;
}

static bool
wrapper_name(uintptr_t object, char out[2 * TEXT_MAX])
{
    PyWrapperDescrObject descr;
    uintptr_t text;
    char name[TEXT_MAX], owner[TEXT_MAX];

    /* struct wrapperbase begins with its name. */
    if (!READ(object, &descr) || !READ((uintptr_t)descr.d_base, &text) ||
        !read_text(text, name) ||
        !type_name((uintptr_t)descr.d_common.d_type, owner))
        return false;
    join(owner, name, out);
    return true;
}

/* struct _tagPyUFuncObject of numpy/ufuncobject.h, as far as its name; the same
 * in numpy 1 and 2. */
typedef struct {
    PyObject head;
    int counts[4];
    void *functions, *data;
    int types, reserved;
    const char *name;
} ufunc;

/* What numpy's functions are that __array_function__ may take over (np.dot), as
 * far as their name; since numpy 1.25. */
typedef struct {
    PyObject head;
    void *vectorcall;
    PyObject *dict, *relevant, *implementation, *dispatcher, *name;
} dispatcher;

static bool
dispatcher_name(uintptr_t object, char out[2 * TEXT_MAX])
{
    dispatcher d;
    uint32_t length = 0;
    char *name = READ(object, &d) && d.name != NULL
                     ? sl_py_read_str((uintptr_t)d.name, &length)
                     : NULL;
    bool named = name != NULL && length > 0 && length < TEXT_MAX;

    if (named)
        join("numpy", name, out);
    free(name);
    return named;
}

/* A functools.partial begins with what it calls. */
typedef struct {
    PyObject head;
    PyObject *function;
} partial;

/* How many partials around one another are taken apart. */
#define PARTIALS_MAX 8

static bool callable_name(uintptr_t object, int depth, char out[2 * TEXT_MAX]);

/* What else can be called: by its type, unless that is known to keep a name. */
static bool
other_name(uintptr_t object, uintptr_t type, int depth, char out[2 * TEXT_MAX])
{
    char of[TEXT_MAX], name[TEXT_MAX];
    PyObject head;
    partial p;
    ufunc u;

    if (!type_name(type, of))
        return false;
    if (strcmp(of, "functools.partial") == 0 && depth < PARTIALS_MAX &&
        READ(object, &p) && READ((uintptr_t)p.function, &head) &&
        (uintptr_t)head.ob_type != type && /* which it takes apart itself */
        callable_name((uintptr_t)p.function, depth + 1, out))
        return true;
    if (strcmp(of, "numpy._ArrayFunctionDispatcher") == 0 &&
        dispatcher_name(object, out))
        return true;
    if (strcmp(of, "numpy.ufunc") == 0 && READ(object, &u) &&
        read_text((uintptr_t)u.name, name)) {
        join("numpy", name, out);
        return true;
    }
    /* Cython's begin like a built-in function. */
    if (strstr(of, "cython_function_or_method") != NULL)
        return function_name(object, out);
    join(of, "__call__", out);
    return true;
}

/* The name of the C callable; false: it is none. */
static bool
callable_name(uintptr_t object, int depth, char out[2 * TEXT_MAX])
{
    PyObject head;
    PyTypeObject type;

    if (object == 0 || !READ(object, &head))
        return false;
    const PyTypeObject *of = head.ob_type;
    if (of == &PyFunction_Type || of == &PyMethod_Type)
        return false;
    if (of == &PyCFunction_Type || of == &PyCMethod_Type)
        return function_name(object, out);
    if (of == &PyMethodDescr_Type || of == &PyClassMethodDescr_Type)
        return method_name(object, out);
    if (of == &PyWrapperDescr_Type)
        return wrapper_name(object, out);
    if (!READ((uintptr_t)of, &type) || type.tp_call == NULL)
        return false; /* it cannot be called: the call is over */
    if (type.tp_call == call_in_python)
        return false;
    if ((type.tp_flags & Py_TPFLAGS_TYPE_SUBCLASS) != 0) {
        char name[TEXT_MAX];
        if (!type_name(object, name))
            return false;
        join("", name, out);
        return true;
    }
    return other_name(object, (uintptr_t)of, depth, out);
}

/* ---- names that were read lately ---- */

/* An object's first words: behind the reference count, which is not compared,
 * its type, and of a built-in function or method all that it is named by. */
typedef struct {
    uintptr_t refcount, words[6];
} beginning;

#define LATELY 64

static struct {
    uintptr_t object;
    beginning begins;
    const sl_py_code *code;
} lately[LATELY];

static const sl_py_code *
callable_find(uintptr_t object)
{
    char name[2 * TEXT_MAX];
    beginning begins;
    size_t at = (size_t)(object * 0x9E3779B97F4A7C15u >> 32) % LATELY;

    if (!READ(object, &begins)) /* the last one before the end of memory */
        return callable_name(object, 0, name) ? sl_py_codes_c(name) : NULL;
    if (lately[at].object != object ||
        memcmp(lately[at].begins.words, begins.words, sizeof(begins.words)) !=
            0) {
        if (!callable_name(object, 0, name))
            return NULL;
        lately[at].object = object;
        lately[at].begins = begins;
        lately[at].code = sl_py_codes_c(name);
    }
    return lately[at].code;
}

const sl_py_code *
sl_py_callee(const sl_py_layout *layout, uintptr_t frame,
             const sl_py_raw_frame *raw)
{
    uint16_t first;
    uint32_t below = sl_py_codes_callee(layout, raw, &first);
    uintptr_t slots[2], code, instruction;

    if (first == 0 || (frame & 7) != 0)
        return NULL;
    size_t at =
        layout->frame_size + ((size_t)below + first - 1) * sizeof(uintptr_t);
    /* Nearly always the walk has copied both: what is called lies above its
     * frame, on the same chunk. Not of a generator. */
    const char *copy = sl_py_frames_copied(frame, at + sizeof(slots));
    if (copy == NULL) {
        sl_py_piece pieces[] = { { (const void *)frame, layout->frame_size },
                                 { (const char *)frame + at, sizeof(slots) } };
        copy = sl_py_memory_read(pieces, 2);
        at = layout->frame_size;
    }
    if (copy == NULL)
        return NULL;
    memcpy(&code, copy + layout->frame_code, sizeof(code));
    memcpy(&instruction, copy + layout->frame_instruction, sizeof(instruction));
    memcpy(slots, copy + at, sizeof(slots));
    if ((code & layout->code_mask) != raw->code ||
        instruction != raw->instruction)
        return NULL; /* it went on meanwhile */
    uintptr_t object = slots[0] & layout->code_mask;
    if (object == 0)
        object = slots[1] & layout->code_mask;
    return object == 0 ? NULL : callable_find(object);
}
