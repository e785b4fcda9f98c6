/* Code objects of any kind, as the sampler may read them: whole, torn between
 * two reads, freed with another at the same address, of types that are none,
 * with texts and line tables of any length. What resolves is text that ends,
 * in bounds; and where a code object and its texts stand still, the name is
 * the one that it has now, whatever was at its address before.
 *
 * Input: a program of one-byte commands, see run(). It says what the objects
 * hold; where their fields are comes from the headers. An odd number of bytes:
 * the interpreter tells of code objects that go. */
#include "look_memory.h"

#include "compat/layout.h"
#include "look/codes.c" /* its tables are forgotten between two inputs */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { UNIT = 512, UNITS = 64, FRAMES_MAX = 8 };
#define ARENA ((uintptr_t)UNIT * UNITS)
#define BASE  ((uintptr_t)0x7e5500000000)

static sl_py_layout layout;
static uint8_t arena[2][ARENA];

/* Of the code object that begins there. */
static struct {
    bool still; /* no object was changed since it was made */
    uintptr_t qualname;
} made[UNITS];

static uint32_t next_version;

static uint32_t
take_two(look_input *in)
{
    uint32_t low = look_take(in);
    return low | (uint32_t)look_take(in) << 8;
}

/* An address by one byte: mostly where an object may be. */
static uintptr_t
place(uint8_t b)
{
    if (b < UNITS)
        return BASE + (uintptr_t)b * UNIT;
    switch (b) {
    case 250: return 0;
    case 251: return BASE + 4;
    case 252: return UINTPTR_MAX - 7;
    case 253: return BASE + ARENA - 16; /* the rest is not there */
    case 254: return BASE + ARENA;
    default: return BASE + (uintptr_t)b * 64;
    }
}

/* To both images, or the second one alone. */
static void
put(bool later, uintptr_t at, const void *from, size_t size)
{
    for (int image = later; image < 2; image++) {
        uint8_t *to = look_bytes(at, size, image);
        if (to != NULL)
            memcpy(to, from, size);
    }
}

/* Lengths of any size and sign. */
static Py_ssize_t
large(uint8_t length)
{
    return (Py_ssize_t)((size_t)length << (8 * (length & 7)));
}

/* What lay anywhere may be something else now: where code objects are watched,
 * the interpreter said so before. */
static void
nothing_is_still(void)
{
    if (sl_py_codes_are_watched())
        sl_py_codes_gone();
    for (int i = 0; i < UNITS; i++)
        made[i].still = false;
}

static void
make_str(look_input *in, bool later)
{
    uintptr_t at = place(look_take(in));
    uint8_t bits = look_take(in), length = look_take(in);
    PyASCIIObject head = { 0 };

    nothing_is_still();
    head.ob_base.ob_type = bits & 1 ? &PyBytes_Type : &PyUnicode_Type;
    head.length = bits & 2 ? large(length) : length;
    head.state.compact = !(bits & 4);
    head.state.ascii = !(bits & 8);
    head.state.kind = bits >> 4 & 7;
    put(later, at, &head, sizeof(head));
    at += head.state.ascii ? sizeof(PyASCIIObject)
                           : sizeof(PyCompactUnicodeObject);
    for (int i = 0; i < length; i++, at++) {
        uint8_t c = look_take(in);
        /* CPython's are ASCII where they say so. */
        c = head.state.ascii ? c & 0x7F : c;
        put(later, at, &c, 1);
    }
}

static void
make_bytes(look_input *in, bool later)
{
    uintptr_t at = place(look_take(in));
    uint8_t bits = look_take(in), length = look_take(in);
    PyBytesObject head = { 0 };

    nothing_is_still();
    head.ob_base.ob_base.ob_type = bits & 1 ? &PyUnicode_Type : &PyBytes_Type;
    head.ob_base.ob_size = bits & 2 ? large(length) : length;
    put(later, at, &head, offsetof(PyBytesObject, ob_sval));
    at += offsetof(PyBytesObject, ob_sval);
    for (int i = 0; i < length; i++, at++) {
        uint8_t c = look_take(in);
        put(later, at, &c, 1);
    }
}

static void
make_code(look_input *in, bool later)
{
    uint8_t unit = look_take(in), bits = look_take(in);
    uintptr_t at = place(unit);
    union {
        char bytes[HEAD_BYTES];
        PyCodeObject head;
    } code;

    nothing_is_still();
    memset(&code, 0, sizeof(code));
    code.head.ob_base.ob_base.ob_type = bits & 1 ? NULL : &PyCode_Type;
    code.head.co_qualname = (PyObject *)place(look_take(in));
    code.head.co_filename = (PyObject *)place(look_take(in));
    code.head.co_linetable = (PyObject *)place(look_take(in));
    code.head.co_firstlineno = (int)take_two(in) - (bits & 2 ? 1000 : 0);
    code.head.ob_base.ob_size =
        bits & 4 ? (Py_ssize_t)((size_t)look_take(in) << (bits >> 3)) : look_take(in);
    code.head._co_firsttraceable = look_take(in);
    /* No two have the same, as long as there are any. */
#if PY_VERSION_HEX >= 0x030C0000
    code.head.co_version = bits & 128 ? 0 : ++next_version;
#endif
    put(later, at, code.bytes, HEAD_BYTES);
    if (unit < UNITS && !later) {
        made[unit].still = true;
        made[unit].qualname = (uintptr_t)code.head.co_qualname;
    }
}

/* The ASCII name of the code object at `unit`, or NULL. */
static const char *
name_now(uint8_t unit, uint32_t *len)
{
    PyASCIIObject head;
    const uint8_t *at =
        look_bytes(made[unit].qualname, sizeof(PyASCIIObject), 0);

    if (at == NULL)
        return NULL;
    memcpy(&head, at, sizeof(head));
    if (!head.state.ascii || head.length > NAME_COMPARED ||
        head.state.kind != 1)
        return NULL;
    *len = (uint32_t)head.length;
    const uint8_t *text =
        look_bytes(made[unit].qualname + sizeof(head), (size_t)head.length, 0);
    /* Past what was written there is what was there before. */
    for (uint32_t i = 0; text != NULL && i < *len; i++) {
        if (text[i] >= 0x80)
            return NULL;
    }
    return (const char *)text;
}

static void
resolve(look_input *in, bool torn)
{
    sl_py_raw_frame frames[FRAMES_MAX];
    sl_py_place places[FRAMES_MAX];
    uint8_t units[FRAMES_MAX];
    int count = look_take(in) % (FRAMES_MAX + 1);

    for (int i = 0; i < count; i++) {
        units[i] = look_take(in);
        frames[i].code = place(units[i]);
        frames[i].instruction =
            frames[i].code + layout.code_bytes + (uintptr_t)look_take(in) * 2 - 2;
    }
    look_torn_at = torn ? look_reads + look_take(in) % 8 : SIZE_MAX;
    sl_py_codes_found how = SL_PY_CODES_MORE;
    for (int tries = 0; how == SL_PY_CODES_MORE; tries++) {
        look_demand(tries <= 2 * count + 1); /* torn: all are new again */
        how = sl_py_codes_resolve(&layout, frames, count, false, places);
    }
    bool good = how == SL_PY_CODES_FOUND;
    for (int i = 0; good && i < count; i++) {
        const sl_py_code *code = places[i].code;
        look_demand(code != NULL && code->name[code->name_len] == '\0' &&
               code->file[code->file_len] == '\0');
        look_demand(code->name_len <= 4 * NAME_MAX_BYTES);
        look_demand(places[i].line <= INT32_MAX);
        uint32_t len = 0;
        const char *now = torn || units[i] >= UNITS || !made[units[i]].still
                              ? NULL
                              : name_now(units[i], &len);
        look_demand(now == NULL ||
               (code->name_len == len && memcmp(code->name, now, len) == 0));
    }
    if (torn) { /* what came after is what is there now */
        memcpy(arena[0], arena[1], sizeof(arena[0]));
        nothing_is_still();
    }
}

static void
run(look_input *in)
{
    while (in->at < in->end) {
        uint8_t command = look_take(in);
        bool later = command >= 128;
        switch (command % 8) {
        case 0:
        case 1: make_str(in, later); break;
        case 2: make_bytes(in, later); break;
        case 3:
        case 4: make_code(in, later); break;
        case 5:
        case 6: resolve(in, false); break;
        default: resolve(in, true); break;
        }
    }
}

static void
forget(void)
{
    cleared = 0;
    entries_clear(UINT32_MAX);
    for (uint32_t i = 0; code_count > 0 && i < CODE_SLOTS; i++) {
        while (codes[i] != NULL) {
            function *next = codes[i]->next;
            free((char *)codes[i]->code.name);
            free((char *)codes[i]->code.file);
            free(codes[i]);
            codes[i] = next;
            code_count--;
        }
    }
    gone = 0;
    memset(arena, 0, sizeof(arena));
    memset(made, 0, sizeof(made));
    next_version = 0;
    look_reads = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    look_input in = { data, data + size };

    if (layout.frame_size == 0) {
        sl_py_layout_get(&layout);
        look_demand(sl_py_codes_init("/own/"));
        look_regions[0] = (look_region){ BASE, ARENA, { arena[0], arena[1] } };
    }
    if (size % 2 != 0)
        sl_py_codes_watched();
    run(&in);
    forget();
    return 0;
}
