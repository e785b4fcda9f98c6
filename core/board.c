/* board.c - the writer and the reader of a board, see slowlens/board.h. */
#include "slowlens/board.h"

#include <string.h>

#define MAGIC   UINT64_C(0x31647262736c7773) /* "swlsbrd1", little-endian */
#define VERSION 1u
#define TRIES   64

#define WORD   sizeof(uint64_t)
#define FIRST  ((size_t)256) /* bytes of a slot's first half */
#define SECOND (SL_BOARD_SLOT_BYTES - FIRST)

typedef struct {
    uint64_t magic;
    uint32_t version, slot_bytes;
    uint32_t slots, pid;
    uint64_t pid_started;
    uint8_t boot[16];
    uint64_t namespaces;
    uint64_t beat;   /* atomic */
    uint64_t missed; /* atomic */
} head;

typedef struct {
    uint32_t count, state;
    uint64_t started_unix_ns, started, changed;
    uint8_t id[16];
    uint32_t tid, mode;
    char method[SL_BOARD_METHOD_BYTES];
    char path[SL_BOARD_PATH_BYTES];
    char route[SL_BOARD_ROUTE_BYTES];
} first_half;

typedef struct {
    uint32_t count, line;
    uint64_t seen, looks;
    char name[SL_BOARD_NAME_BYTES];
    char file[SL_BOARD_FILE_BYTES];
} second_half;

_Static_assert(sizeof(head) <= SL_BOARD_HEAD_BYTES, "the head has its page");
_Static_assert(sizeof(first_half) == FIRST, "two halves, nothing between");
_Static_assert(sizeof(second_half) <= SECOND, "two halves, nothing between");
_Static_assert(FIRST % WORD == 0 && sizeof(second_half) % WORD == 0,
               "halves are copied word by word");

struct sl_board {
    sl_alloc alloc;
    unsigned char *memory;
    uint32_t slots;
    uint32_t free_count;
    uint32_t free[]; /* a stack: the slot used last is the warmest */
};

/* ---- words that others read meanwhile ---- */

static void
store_words(void *to, const void *from, size_t size)
{
    for (size_t at = 0; at < size; at += WORD) {
        uint64_t word;
        memcpy(&word, (const char *)from + at, WORD);
        __atomic_store_n((uint64_t *)((char *)to + at), word, __ATOMIC_RELAXED);
    }
}

static void
load_words(void *to, const void *from, size_t size)
{
    for (size_t at = 0; at < size; at += WORD) {
        uint64_t word = __atomic_load_n(
            (const uint64_t *)((const char *)from + at), __ATOMIC_RELAXED);
        memcpy((char *)to + at, &word, WORD);
    }
}

/* The first word of a half holds its count and a field; whoever writes the
 * half is alone, so only readers need the order. */
static void
half_open(void *half)
{
    uint32_t *count = half;
    __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static void
half_close(void *half)
{
    uint32_t *count = half;
    __atomic_store_n(count, *count + 1, __ATOMIC_RELEASE);
}

/* Writes all of a half but its count. `from` is a half of the same kind. */
static void
half_write(void *half, const void *from, size_t size)
{
    uint32_t field;

    half_open(half);
    memcpy(&field, (const char *)from + sizeof(uint32_t), sizeof(field));
    __atomic_store_n((uint32_t *)half + 1, field, __ATOMIC_RELAXED);
    store_words((char *)half + WORD, (const char *)from + WORD, size - WORD);
    half_close(half);
}

static bool
half_read(const void *half, bool dead, void *out, size_t size)
{
    const uint32_t *count = half;

    for (int i = 0; i < TRIES; i++) {
        uint32_t before = __atomic_load_n(count, __ATOMIC_ACQUIRE);
        load_words(out, half, size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        uint32_t after = __atomic_load_n(count, __ATOMIC_RELAXED);
        if (dead || (before == after && before % 2 == 0))
            return true;
    }
    return false;
}

/* The first bytes of a text, or its last ones; the rest of `to` is NUL. */
static void
cut(char *to, size_t size, const char *text, size_t len, bool end)
{
    size_t from = end && len >= size ? len - (size - 1) : 0;

    /* Never from the middle of a character. */
    while (from > 0 && from < len && ((unsigned char)text[from] & 0xC0) == 0x80)
        from++;
    len -= from;
    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--;
    }
    if (len > 0)
        memcpy(to, text + from, len);
    memset(to + len, 0, size - len);
}

/* ---- the writer ---- */

size_t
sl_board_bytes(uint32_t slots)
{
    return SL_BOARD_HEAD_BYTES + slots * SL_BOARD_SLOT_BYTES;
}

static first_half *
first_of(const sl_board *board, uint32_t slot)
{
    return (first_half *)(void *)(board->memory + sl_board_bytes(slot));
}

static second_half *
second_of(const sl_board *board, uint32_t slot)
{
    return (second_half *)(void *)(board->memory + sl_board_bytes(slot) +
                                   FIRST);
}

static head *
head_of(const sl_board *board)
{
    return (head *)(void *)board->memory;
}

sl_status
sl_board_new(sl_board **out, void *memory, size_t size,
             const sl_board_owner *owner, const sl_alloc *alloc)
{
    if (alloc == NULL)
        alloc = &sl_alloc_libc;
    if (size < sl_board_bytes(1))
        return SL_ELIMIT;

    size_t most = (size - SL_BOARD_HEAD_BYTES) / SL_BOARD_SLOT_BYTES;
    uint32_t slots =
        most < SL_BOARD_SLOTS_MAX ? (uint32_t)most : SL_BOARD_SLOTS_MAX;
    sl_board *board =
        alloc->take(alloc->ctx, sizeof(*board) + slots * sizeof(uint32_t));
    if (board == NULL)
        return SL_ENOMEM;
    *board = (sl_board){
        .alloc = *alloc, .memory = memory, .slots = slots, .free_count = slots
    };
    for (uint32_t i = 0; i < slots; i++)
        board->free[i] = slots - 1 - i;
    memset(memory, 0, size);
    head *h = memory;
    *h = (head){ .version = VERSION,
                 .slot_bytes = (uint32_t)SL_BOARD_SLOT_BYTES,
                 .slots = slots,
                 .pid = owner->pid,
                 .pid_started = owner->pid_started,
                 .namespaces = owner->namespaces };
    memcpy(h->boot, owner->boot, sizeof(h->boot));
    __atomic_store_n(&h->magic, MAGIC, __ATOMIC_RELEASE);
    *out = board;
    return SL_OK;
}

void
sl_board_free(sl_board *board)
{
    if (board != NULL)
        board->alloc.give(board->alloc.ctx, board);
}

uint32_t
sl_board_begin(sl_board *board, const sl_board_request *request)
{
    if (board->free_count == 0) {
        __atomic_fetch_add(&head_of(board)->missed, 1, __ATOMIC_RELAXED);
        return SL_BOARD_NONE;
    }

    uint32_t slot = board->free[--board->free_count];
    first_half half = { .state = SL_BOARD_RUNS,
                        .started_unix_ns = request->started_unix_ns,
                        .started = request->now,
                        .changed = request->now,
                        .tid = request->tid,
                        .mode = request->mode };
    memcpy(half.id, request->id, sizeof(half.id));
    cut(half.method, sizeof(half.method), request->method, request->method_len,
        false);
    cut(half.path, sizeof(half.path), request->path, request->path_len, false);
    half_write(second_of(board, slot), &(second_half){ 0 },
               offsetof(second_half, name));
    half_write(first_of(board, slot), &half, sizeof(half));
    __atomic_store_n(&head_of(board)->beat, request->now, __ATOMIC_RELAXED);
    return slot;
}

uint32_t
sl_board_count(const sl_board *board)
{
    return board->slots - board->free_count;
}

void
sl_board_name(sl_board *board, uint32_t slot, const char *route, size_t len)
{
    char text[SL_BOARD_ROUTE_BYTES];

    if (slot >= board->slots)
        return;
    first_half *half = first_of(board, slot);
    cut(text, sizeof(text), route, len, false);
    half_open(half);
    store_words(half->route, text, sizeof(text));
    half_close(half);
}

void
sl_board_change(sl_board *board, uint32_t slot, sl_board_state state,
                uint32_t tid, uint64_t now)
{
    if (slot >= board->slots)
        return;
    first_half *half = first_of(board, slot);
    half_open(half);
    __atomic_store_n(&half->state, (uint32_t)state, __ATOMIC_RELAXED);
    __atomic_store_n(&half->changed, now, __ATOMIC_RELAXED);
    if (tid != 0)
        __atomic_store_n(&half->tid, tid, __ATOMIC_RELAXED);
    half_close(half);
}

void
sl_board_end(sl_board *board, uint32_t slot)
{
    if (slot >= board->slots || board->free_count == board->slots)
        return;
    sl_board_change(board, slot, SL_BOARD_FREE, 0, 0);
    board->free[board->free_count++] = slot;
}

void
sl_board_still(sl_board *board, uint32_t slot, uint64_t now)
{
    if (slot >= board->slots)
        return;
    second_half *half = second_of(board, slot);
    half_open(half);
    __atomic_store_n(&half->seen, now, __ATOMIC_RELAXED);
    __atomic_store_n(&half->looks, half->looks + 1, __ATOMIC_RELAXED);
    half_close(half);
}

void
sl_board_seen(sl_board *board, uint32_t slot, uint64_t now, const char *name,
              size_t name_len, const char *file, size_t file_len, uint32_t line)
{
    if (slot >= board->slots)
        return;
    second_half *half = second_of(board, slot);
    second_half next = { .line = line, .seen = now, .looks = half->looks + 1 };
    cut(next.name, sizeof(next.name), name, name_len, false);
    cut(next.file, sizeof(next.file), file, file_len, true);
    half_write(half, &next, sizeof(next));
}

void
sl_board_beat(sl_board *board, uint64_t now)
{
    __atomic_store_n(&head_of(board)->beat, now, __ATOMIC_RELAXED);
}

/* ---- the reader ---- */

sl_status
sl_board_check(const void *memory, size_t size, uint32_t *slots,
               sl_board_owner *owner, uint64_t *beat, uint64_t *missed)
{
    const head *h = memory;

    if (size < SL_BOARD_HEAD_BYTES ||
        __atomic_load_n(&h->magic, __ATOMIC_ACQUIRE) != MAGIC)
        return SL_ECORRUPT;
    if (h->version != VERSION || h->slot_bytes != SL_BOARD_SLOT_BYTES)
        return SL_EVERSION;
    if (h->slots > SL_BOARD_SLOTS_MAX || size < sl_board_bytes(h->slots))
        return SL_ECORRUPT;
    if (slots != NULL)
        *slots = h->slots;
    if (owner != NULL) {
        *owner = (sl_board_owner){ .pid = h->pid,
                                   .pid_started = h->pid_started,
                                   .namespaces = h->namespaces };
        memcpy(owner->boot, h->boot, sizeof(owner->boot));
    }
    if (beat != NULL)
        *beat = __atomic_load_n(&h->beat, __ATOMIC_RELAXED);
    if (missed != NULL)
        *missed = __atomic_load_n(&h->missed, __ATOMIC_RELAXED);
    return SL_OK;
}

/* What was written there is not to be trusted to end. */
static void
copy_text(char *to, const char *from, size_t size)
{
    memcpy(to, from, size);
    to[size - 1] = '\0';
}

bool
sl_board_read(const void *memory, uint32_t slot, bool dead, sl_board_entry *out)
{
    const char *at = (const char *)memory + sl_board_bytes(slot);
    first_half first;
    second_half second;

    if (!half_read(at, dead, &first, sizeof(first)) ||
        (first.state != SL_BOARD_RUNS && first.state != SL_BOARD_WAITS))
        return false;
    if (!half_read(at + FIRST, dead, &second, sizeof(second)))
        second = (second_half){ 0 };
    *out = (sl_board_entry){
        .state = (sl_board_state)first.state,
        .mode = first.mode == SL_BOARD_SAMPLING ? SL_BOARD_SAMPLING
                                                : SL_BOARD_DETERMINISTIC,
        .started_unix_ns = first.started_unix_ns,
        .started = first.started,
        .changed = first.changed,
        .tid = first.tid,
        .looks = second.looks,
    };
    memcpy(out->id, first.id, sizeof(out->id));
    copy_text(out->method, first.method, sizeof(out->method));
    copy_text(out->path, first.path, sizeof(out->path));
    copy_text(out->route, first.route, sizeof(out->route));
    if (second.looks == 0)
        return true; /* texts of an earlier request */
    out->seen = second.seen;
    out->line = second.line;
    copy_text(out->name, second.name, sizeof(out->name));
    copy_text(out->file, second.file, sizeof(out->file));
    return true;
}

void
sl_board_clear(void *memory, uint32_t slot)
{
    first_half *half =
        (first_half *)(void *)((char *)memory + sl_board_bytes(slot));
    __atomic_store_n(&half->state, (uint32_t)SL_BOARD_FREE, __ATOMIC_RELEASE);
}
