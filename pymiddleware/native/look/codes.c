/* Code objects to names and lines, by copies that may be torn: see codes.h. */
#include "look/codes.h"
#include "compat/py_compat.h"
#include "look/depths.h"
#include "look/lines.h"
#include "look/memory.h"
#include "look/told.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES     4096u
#define TABLE_MAX_BYTES    (128u << 10)
#define UNITS_MAX          (1u << 20)
#define WALKED_UNITS_MAX   (1u << 14)
#define HANDLERS_MAX_BYTES (16u << 10)
#define CODES_MAX          (1u << 16)
#define NAME_COMPARED      256u

/* The part of a code object in front of its instructions. */
#define HEAD_BYTES offsetof(PyCodeObject, co_code_adaptive)

typedef struct entry entry;
struct entry {
    uintptr_t address;
    /* What tells this code object from the next one at that address. Without
     * versions (3.11) all of it may come again with another name: then the
     * name's text is looked at too. */
    uint32_t version;
    uintptr_t qualname, filename, linetable;
    int first_line;
    uint32_t units;
    bool shim;         /* none of its instructions is the program's */
    uint32_t *lines;   /* by code unit; NULL: not known */
    uint16_t *callees; /* likewise, see depths.h; NULL: not asked, or none */
    uint32_t variables;
    bool callees_asked;
    uintptr_t as_of; /* what `gone` was before its head was compared */
    const sl_py_code *code;
    entry *next; /* in its slot */
};

/* Code objects that are known. Where they come and go by the thousand (exec,
 * templates), room is made before there is none: a few entries at each look, in
 * a round through all slots. All at once took 20 ms, in which whoever wants the
 * lock, with the GIL, would have waited. */
#define SLOTS       8192u
#define ENTRIES_MAX CODES_MAX
#define SPARE       (1u << 12) /* a round begins with room for so many */
#define FREED_MAX   16u        /* at one walk; a look makes three at most */
static entry *entries[SLOTS];
static uint32_t entry_count;
static uint32_t cleared =
    SLOTS;             /* slots, of this round; SLOTS: there is none */
static uint32_t freed, learnt; /* entries, at the last look */

/* Distinct functions, by content. As many slots as ever, so that there is no
 * moment in which all move to other ones. */
#define CODE_SLOTS (1u << 14)
typedef struct function function;
struct function {
    sl_py_code code;
    uint32_t hash;
    function *next; /* in its slot */
};
static function *codes[CODE_SLOTS];
static uint32_t code_count;
static uint64_t refused; /* functions that found no room */
static char *own_prefix;
/* How many code objects have gone, and one; 0: nobody tells. Written with the
 * GIL, read by whoever has the lock. */
static uintptr_t gone;

static const sl_py_code unknown = { "[unknown]", "",    9,     0,    0,
                                    false,       false, false, false };

bool
sl_py_codes_init(const char *own)
{
    char *copy = strdup(own);
    if (copy == NULL)
        return false;
    free(own_prefix);
    own_prefix = copy;
    return true;
}

void
sl_py_codes_watched(void)
{
    if (__atomic_load_n(&gone, __ATOMIC_RELAXED) == 0)
        __atomic_store_n(&gone, 1, __ATOMIC_RELEASE);
}

bool
sl_py_codes_are_watched(void)
{
    return __atomic_load_n(&gone, __ATOMIC_RELAXED) != 0;
}

void
sl_py_codes_gone(void)
{
    uintptr_t before = __atomic_load_n(&gone, __ATOMIC_RELAXED);

    /* One writer at a time. In front of all that is written to the memory
     * that is given back: whoever finds something new there, finds this. */
    __atomic_store_n(&gone, before + 1 == 0 ? 1 : before + 1, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Bytes of an object, copied; NULL: not readable. */
static const char *
object_bytes(uintptr_t address, size_t size)
{
    sl_py_piece piece = { (const void *)address, size };
    return (address & 7) != 0 ? NULL : sl_py_memory_read(&piece, 1);
}

/* At most SPELLED_MAX bytes: lone surrogates are spelled out, as where Python
 * is asked for the text (code_map.c). */
#define SPELLED_MAX 6

static size_t
put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c >= 0xD800 && c < 0xE000) { /* of a file name that is not UTF-8 */
        static const char digits[] = "0123456789abcdef";
        out[0] = '\\';
        out[1] = 'u';
        for (int at = 0; at < 4; at++)
            out[2 + at] = digits[c >> (12 - 4 * at) & 15];
        return 6;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (c >> 18 & 7));
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

char *
sl_py_read_str(uintptr_t address, uint32_t *len)
{
    const char *bytes = object_bytes(address, sizeof(PyASCIIObject));
    PyASCIIObject head;

    if (bytes == NULL)
        return NULL;
    memcpy(&head, bytes, sizeof(head));
    unsigned kind = head.state.kind;
    /* The address was read from a frame that may be gone: what lies there
     * may be anything. What looks in all its parts like a str of sane length
     * is taken for one; the caller compares what it can. */
    if (head.ob_base.ob_type != &PyUnicode_Type || !head.state.compact ||
        (kind != 1 && kind != 2 && kind != 4) || head.length < 0 ||
        head.length > NAME_MAX_BYTES)
        return NULL;
    size_t count = (size_t)head.length, used = 0;
    size_t offset = head.state.ascii ? sizeof(PyASCIIObject)
                                     : sizeof(PyCompactUnicodeObject);
    char *text = malloc(count * SPELLED_MAX + 1);
    sl_py_piece piece = { (const char *)address + offset, count * kind };
    const char *data = count == 0 ? "" : sl_py_memory_read(&piece, 1);
    if (text == NULL || data == NULL) {
        free(text);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t c = 0;
        if (kind == 1)
            c = (unsigned char)data[i];
        else
            memcpy(&c, data + i * kind, kind);
        used += put_utf8(text + used, c);
    }
    text[used] = '\0';
    *len = (uint32_t)used;
    return text;
}

/* ---- line tables ---- */

/* Lines by code unit. */
static void
table_decode(const uint8_t *at, const uint8_t *end, uint32_t first,
             uint32_t *lines, uint32_t units)
{
    sl_py_lines walk = { .at = at, .line = first };

    while (walk.to < units && sl_py_lines_next(&walk, end)) {
        for (uint32_t unit = walk.from; unit < walk.to && unit < units; unit++)
            lines[unit] = sl_py_lines_here(&walk);
    }
}

static uint32_t *
read_lines(uintptr_t table, uint32_t first, uint32_t units)
{
    PyBytesObject head;
    const char *bytes = object_bytes(table, sizeof(head));

    if (bytes == NULL)
        return NULL;
    memcpy(&head, bytes, sizeof(head));
    Py_ssize_t size = head.ob_base.ob_size;
    if (head.ob_base.ob_base.ob_type != &PyBytes_Type || size <= 0 ||
        size > TABLE_MAX_BYTES)
        return NULL;
    sl_py_piece piece = {
        (const char *)table + offsetof(PyBytesObject, ob_sval), (size_t)size
    };
    const uint8_t *data = sl_py_memory_read(&piece, 1);
    uint32_t *lines = data == NULL ? NULL : calloc(units, sizeof(*lines));
    if (lines != NULL)
        table_decode(data, data + size, first, lines, units);
    return lines;
}

/* ---- distinct functions ---- */

static uint32_t
code_hash(const sl_py_code *code)
{
    uint64_t hash = 1469598103934665603u ^ code->line;
    for (uint32_t i = 0; i < code->name_len; i++)
        hash = (hash ^ (uint8_t)code->name[i]) * 1099511628211u;
    for (uint32_t i = 0; i < code->file_len; i++)
        hash = (hash ^ (uint8_t)code->file[i]) * 1099511628211u;
    return (uint32_t)(hash ^ hash >> 32);
}

static bool
code_equal(const sl_py_code *a, const sl_py_code *b)
{
    return a->line == b->line && a->shim == b->shim && a->c == b->c &&
           a->name_len == b->name_len && a->file_len == b->file_len &&
           memcmp(a->name, b->name, a->name_len) == 0 &&
           memcmp(a->file, b->file, a->file_len) == 0;
}

/* The one function that is like `code`, whose texts it takes over. Past
 * CODES_MAX only those that are known are found. */
static const sl_py_code *
code_intern(sl_py_code *code)
{
    uint32_t hash = code_hash(code);
    function **slot = &codes[hash & (CODE_SLOTS - 1)], *found = *slot;

    while (found != NULL &&
           (found->hash != hash || !code_equal(&found->code, code)))
        found = found->next;
    if (found == NULL && code_count < CODES_MAX) {
        function *made = malloc(sizeof(*made));
        if (made != NULL) {
            *made = (function){ .code = *code, .hash = hash, .next = *slot };
            *slot = made;
            code_count++;
            return &made->code;
        }
    }
    refused += found == NULL;
    free((char *)code->name);
    free((char *)code->file);
    return found != NULL ? &found->code : &unknown;
}

uint64_t
sl_py_codes_refused(void)
{
    return refused;
}

/* Shown by no traceback: ourselves. */
static bool
file_is_own(const char *file)
{
    return own_prefix != NULL &&
           strncmp(file, own_prefix, strlen(own_prefix)) == 0;
}

static bool
ends_with(const char *text, size_t len, const char *end)
{
    size_t size = strlen(end);
    return len >= size && memcmp(text + len - size, end, size) == 0;
}

/* Functions of event loops and thread pools that run somebody's work in a
 * context of its own: the stack of a child task or a thread hop begins above
 * the innermost of them. */
static bool
code_begins(const sl_py_code *code)
{
    static const struct {
        const char *file, *name;
    } known[] = {
        { "/asyncio/events.py", "Handle._run" },
        { "/asyncio/base_events.py", "BaseEventLoop.run_forever" },
        { "/asyncio/runners.py", "Runner.run" },
        { "/concurrent/futures/thread.py", "_WorkItem.run" },
        { "/concurrent/futures/thread.py", "WorkerContext.run" },
        { "/threading.py", "Thread._bootstrap_inner" },
        { "/threading.py", "Thread.run" },
        { "/anyio/_backends/_asyncio.py", "WorkerThread.run" },
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (ends_with(code->file, code->file_len, known[i].file) &&
            strcmp(code->name, known[i].name) == 0)
            return true;
    }
    return false;
}

/* ---- code objects ---- */

static uint32_t
entry_slot(uintptr_t address)
{
    return (uint32_t)((address >> 4) * 0x9E3779B97F4A7C15u >> 40) & (SLOTS - 1);
}

static bool
entry_fill(entry *e)
{
    sl_py_code code = { .line =
                            e->first_line > 0 ? (uint32_t)e->first_line : 0 };

    code.name = sl_py_read_str(e->qualname, &code.name_len);
    code.file = sl_py_read_str(e->filename, &code.file_len);
    if (code.name == NULL || code.file == NULL) {
        free((char *)code.name);
        free((char *)code.file);
        return false;
    }
    code.own = file_is_own(code.file);
    code.shim = e->shim;
    code.begins = code_begins(&code);
    free(e->callees);
    e->callees = NULL;
    e->callees_asked = false;
    free(e->lines);
    /* NULL is no failure: then all of it counts for the line of its `def`. */
    e->lines = read_lines(e->linetable, code.line, e->units);
    e->code = code_intern(&code);
    return true;
}

/* The entry of the code object at `address`, if it is known without a look that
 * it is still the same one: no code object has gone since it was compared. */
static entry *
entry_sure(uintptr_t address, uintptr_t as_of)
{
    entry *e = entries[entry_slot(address)];

    if (as_of == 0)
        return NULL;
    while (e != NULL && e->address != address)
        e = e->next;
    return e != NULL && e->as_of == as_of && e->qualname != 0 ? e : NULL;
}

/* What learning a function takes, as a part of SL_PY_CODES_NEW: its texts, and
 * its lines by the code unit. */
#define UNITS_A_PART 2048u

/* The entry of the code object whose head was copied; NULL: it is none. *spent
 * grows by what it took to learn it. */
static entry *
entry_find(uintptr_t address, const PyCodeObject *head, uint32_t *spent)
{
    entry **slot = &entries[entry_slot(address)];
    entry *e = *slot;
    Py_ssize_t units = ((const PyVarObject *)head)->ob_size;

    if (((const PyObject *)head)->ob_type != &PyCode_Type || units <= 0 ||
        units > UNITS_MAX)
        return NULL;
    /* All that may differ between a code object and the next one at its
     * address, short of the texts. */
    while (e != NULL && e->address != address)
        e = e->next;
    if (e != NULL && e->qualname != 0 &&
        e->version == sl_py_code_version(head) &&
        e->qualname == (uintptr_t)head->co_qualname &&
        e->filename == (uintptr_t)head->co_filename &&
        e->linetable == (uintptr_t)head->co_linetable &&
        e->first_line == head->co_firstlineno && e->units == (uint32_t)units)
        return e;
    if (e == NULL) {
        if (entry_count >= ENTRIES_MAX - SPARE && cleared == SLOTS)
            cleared = 0;
        if (entry_count >= ENTRIES_MAX || (e = calloc(1, sizeof(*e))) == NULL)
            return NULL;
        e->address = address;
        e->next = *slot;
        *slot = e;
        entry_count++;
    }
    e->version = sl_py_code_version(head);
    e->qualname = (uintptr_t)head->co_qualname;
    e->filename = (uintptr_t)head->co_filename;
    e->linetable = (uintptr_t)head->co_linetable;
    e->first_line = head->co_firstlineno;
    e->units = (uint32_t)units;
    /* Frames of which no instruction may be traced are the interpreter's: its
     * trampoline, and (3.13+) what a specialised call of a class pushes under
     * __init__. */
    e->shim = head->_co_firsttraceable >= (int)units;
    e->as_of = 0;
    *spent += 1 + e->units / UNITS_A_PART;
    learnt++;
    if (entry_fill(e))
        return e;
    e->qualname = 0; /* as if never seen */
    return NULL;
}

/* Goes on with the round, up to so many entries. What they are keys of
 * (sl_py_code) stays. */
static void
entries_clear(uint32_t most)
{
    freed = 0;
    while (cleared < SLOTS && freed < most) {
        entry *e = entries[cleared];
        if (e == NULL) {
            cleared++;
            continue;
        }
        entries[cleared] = e->next;
        free(e->callees);
        free(e->lines);
        free(e);
        entry_count--;
        freed++;
    }
}

uint32_t
sl_py_codes_freed(void)
{
    return freed;
}

uint32_t
sl_py_codes_learnt(void)
{
    return learnt;
}

/* What of the name's object is compared. */
static size_t
name_bytes(const entry *e)
{
    size_t len = e->code->name_len;
    return sizeof(PyASCIIObject) + (len < NAME_COMPARED ? len : NAME_COMPARED);
}

/* Whether the entry's name is that of its code object, whose name begins with
 * `head`; what follows, name_bytes of it in all, is behind that. Names beyond
 * ASCII are told by their first line and places. */
static bool
name_is(const entry *e, const PyASCIIObject *head, const char *text)
{
    return !head->state.ascii || e->code == &unknown ||
           (head->length == (Py_ssize_t)e->code->name_len &&
            memcmp(text, e->code->name,
                   name_bytes(e) - sizeof(PyASCIIObject)) == 0);
}

/* Entries whose names are not those of their code objects any more are made
 * to be read again. Returns whether there were any. */
static bool
names_forget(entry *const *found, int count, bool alive)
{
    static sl_py_piece pieces[SL_PY_WALK_MAX];
    const char *copy = NULL;
    bool any = false;

    for (int i = 0; !alive && i < count; i++)
        pieces[i] = (sl_py_piece){ (const void *)found[i]->qualname,
                                   name_bytes(found[i]) };
    if (!alive) /* one read for all */
        copy = sl_py_memory_read(pieces, (size_t)count);
    for (int i = 0; i < count; i++) {
        const PyASCIIObject *object = (const PyASCIIObject *)found[i]->qualname;
        bool same = alive
                        ? name_is(found[i], object, (const char *)(object + 1))
                        : false;
        if (copy != NULL) {
            PyASCIIObject head;
            memcpy(&head, copy, sizeof(head));
            same = name_is(found[i], &head, copy + sizeof(head));
            copy += pieces[i].size;
        }
        if (!same) {
            found[i]->qualname = 0; /* as if never seen */
            any = true;
        }
    }
    return any;
}

/* The places of those `count` frames, whose entries are found. false: frame and
 * code were not read in one piece, and do not belong together. */
static bool
places_fill(const sl_py_layout *layout, const sl_py_raw_frame *frames,
            const int *which, entry *const *found, int count,
            sl_py_place *places)
{
    for (int n = 0; n < count; n++) {
        const entry *e = found[n];
        const sl_py_raw_frame *frame = &frames[which[n]];
        sl_py_place *place = &places[which[n]];
        int64_t offset = (int64_t)(frame->instruction -
                                   (frame->code + layout->code_bytes));
        /* One unit before the first: not begun yet (up to 3.12). */
        if (offset < -(int64_t)sizeof(uint16_t) || (offset & 1) != 0 ||
            offset / 2 >= (int64_t)e->units)
            return false;
        place->code = e->code;
        place->line = e->lines != NULL && offset >= 0 ? e->lines[offset / 2]
                                                      : e->code->line;
    }
    return true;
}

/* The heads of `count` code objects, one behind the other, in one system call:
 * their bytes are compared with what is known, and names and tables are read of
 * new ones only. false: one of them is not there. */
static bool
heads_read(const sl_py_raw_frame *frames, const int *which, int count,
           char *heads)
{
    static sl_py_piece pieces[SL_PY_WALK_MAX];

    for (int i = 0; i < count; i++)
        pieces[i] = (sl_py_piece){ (const void *)frames[which[i]].code,
                                   HEAD_BYTES };
    const char *copy = sl_py_memory_read(pieces, (size_t)count);
    if (copy != NULL)
        memcpy(heads, copy, (size_t)count * HEAD_BYTES);
    return copy != NULL;
}

/* What `gone` was before the frames were read. */
static uintptr_t before_walk;

void
sl_py_codes_before(void)
{
    before_walk = __atomic_load_n(&gone, __ATOMIC_ACQUIRE);
}

sl_py_codes_found
sl_py_codes_resolve(const sl_py_layout *layout, const sl_py_raw_frame *frames,
                    int count, bool alive, sl_py_place *places)
{
    static char heads[SL_PY_WALK_MAX * HEAD_BYTES];
    static entry *found[SL_PY_WALK_MAX];
    static int which[SL_PY_WALK_MAX]; /* frame they are found for */
    static int unsure[SL_PY_WALK_MAX], unsure_frames[SL_PY_WALK_MAX];
    int found_count = 0, unsure_count = 0;
    uint32_t spent = 0;
    bool versions = true;

    /* Not while a walk's entries are in use: at the beginning of the next. */
    entries_clear(FREED_MAX);
    if (freed > 0)
        sl_py_told_clear();
    learnt = 0;
    if (count <= 0 || count > SL_PY_WALK_MAX)
        return count == 0 ? SL_PY_CODES_FOUND : SL_PY_CODES_TORN;
    /* One that went since, the walk included, is asked for again the next
     * time: another may lie there by then. */
    uintptr_t as_of = before_walk;
    if (alive)
        as_of = __atomic_load_n(&gone, __ATOMIC_ACQUIRE);
    for (int i = 0; i < count; i++) {
        const void *code;
        if (as_of != 0 &&
            sl_py_told(&frames[i], as_of, &code, &places[i].line)) {
            places[i].code = code;
            continue;
        }
        found[found_count] = entry_sure(frames[i].code, as_of);
        which[found_count] = i;
        if (found[found_count] == NULL) {
            unsure_frames[unsure_count] = i;
            unsure[unsure_count++] = found_count;
        }
        found_count++;
    }
    if (unsure_count > 0 && !alive &&
        !heads_read(frames, unsure_frames, unsure_count, heads))
        return SL_PY_CODES_TORN;

    for (int n = 0; n < unsure_count; n++) {
        union {
            char bytes[HEAD_BYTES];
            PyCodeObject head;
        } code;
        uintptr_t address = frames[unsure_frames[n]].code;
        if (spent >= SL_PY_CODES_NEW)
            return SL_PY_CODES_MORE;
        memcpy(code.bytes,
               alive ? (const char *)address : heads + (size_t)n * HEAD_BYTES,
               HEAD_BYTES);
        entry *e = entry_find(address, &code.head, &spent);
        if (e == NULL)
            return SL_PY_CODES_TORN;
        /* Without a number it is not known yet whose name it has. */
        e->as_of = e->version != 0 ? as_of : 0;
        found[unsure[n]] = e;
        versions &= e->version != 0;
    }
    if (!places_fill(layout, frames, which, found, found_count, places))
        return SL_PY_CODES_TORN;
    /* From 3.12 on each code object that was ever called has a number of its
     * own; without it another one may have come to lie where this one was,
     * with its strings where the old ones were. */
    if (!versions && names_forget(found, found_count, alive))
        return SL_PY_CODES_TORN;
    for (int n = 0; n < unsure_count; n++)
        found[unsure[n]]->as_of = as_of;
    for (int n = 0; as_of != 0 && n < found_count; n++)
        sl_py_told_keep(&frames[which[n]], as_of, places[which[n]].code,
                        places[which[n]].line);
    return SL_PY_CODES_FOUND;
}

/* ---- what a place calls ---- */

/* The code object's instructions, one behind the other; NULL: not readable. */
static const uint16_t *
read_instructions(const sl_py_layout *layout, const entry *e)
{
    static uint16_t code[WALKED_UNITS_MAX];

    return e->units <= WALKED_UNITS_MAX &&
                   sl_py_memory_copy(e->address + layout->code_bytes,
                                     e->units * sizeof(*code), code)
               ? code
               : NULL;
}

static bool
read_handlers(uintptr_t table, sl_py_depths_of *of)
{
    static uint8_t handlers[HANDLERS_MAX_BYTES];
    PyVarObject head;

    if ((table & 7) != 0 || !sl_py_memory_copy(table, sizeof(head), &head) ||
        head.ob_base.ob_type != &PyBytes_Type || head.ob_size < 0 ||
        head.ob_size > (Py_ssize_t)HANDLERS_MAX_BYTES)
        return false;
    of->handlers = handlers;
    of->handler_bytes = (size_t)head.ob_size;
    return head.ob_size == 0 ||
           sl_py_memory_copy(table + offsetof(PyBytesObject, ob_sval),
                             of->handler_bytes, handlers);
}

static void
callees_find(const sl_py_layout *layout, entry *e)
{
    static int16_t scratch[WALKED_UNITS_MAX];
    union {
        char bytes[HEAD_BYTES];
        PyCodeObject head;
    } code;
    sl_py_depths_of of = { .units = e->units };

    if (!sl_py_memory_copy(e->address, HEAD_BYTES, code.bytes) ||
        (of.code = read_instructions(layout, e)) == NULL ||
        !read_handlers((uintptr_t)code.head.co_exceptiontable, &of) ||
        code.head.co_nlocalsplus < 0)
        return;
    of.first_depth = sl_py_code_first_depth(&code.head);
    of.stack_size = code.head.co_stacksize;
    e->variables = (uint32_t)code.head.co_nlocalsplus;
    e->callees = malloc(e->units * sizeof(*e->callees));
    if (e->callees != NULL && !sl_py_depths_find(&of, e->callees, scratch)) {
        free(e->callees);
        e->callees = NULL;
    }
}

uint32_t
sl_py_codes_callee(const sl_py_layout *layout, const sl_py_raw_frame *frame,
                   uint16_t *callee)
{
    entry *e = entries[entry_slot(frame->code)];
    int64_t offset =
        (int64_t)(frame->instruction - (frame->code + layout->code_bytes));

    *callee = 0;
    while (e != NULL && e->address != frame->code)
        e = e->next;
    if (e == NULL || e->qualname == 0 || offset < 0 ||
        offset / 2 >= (int64_t)e->units)
        return 0;
    if (!e->callees_asked) {
        e->callees_asked = true;
        callees_find(layout, e);
    }
    if (e->callees == NULL)
        return 0;
    *callee = e->callees[offset / 2];
    return e->variables;
}

const sl_py_code *
sl_py_codes_c(const char *name)
{
    sl_py_code code = { .name = strdup(name),
                        .file = strdup(""),
                        .name_len = (uint32_t)strlen(name),
                        .c = true };

    if (code.name == NULL || code.file == NULL) {
        free((char *)code.name);
        free((char *)code.file);
        return &unknown;
    }
    return code_intern(&code);
}
