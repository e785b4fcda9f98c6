/* journal.c - the writer and the reader of a journal, see slowlens/journal.h.
 *
 * A request in a half, all numbers varints:
 *
 *   when it ended         Unix seconds
 *   route, method         length, bytes
 *   flags                 1: an error, 2: only its times are known
 *   wall, cpu             ns
 *   sums                  count of those that are not 0, then for each: number
 *                         (SL_NUMBERS_MAP), value
 */
#include "slowlens/journal.h"

#include "varint.h"

#include <string.h>

#define MAGIC     UINT64_C(0x316c6e72756f6a73) /* "sjournl1", little-endian */
#define VERSION   1u
#define HALF_MIN  ((size_t)4096)
#define ERROR     1u
#define TIMES     2u
#define ENTRY_MAX (SL_VARINT_MAX * (7 + 2 * (size_t)SL_NUMBERS_SUMS))

enum { OPEN = 0, STORING = 1 };

typedef struct {
    uint64_t number; /* which of the process's it is: 1, 2... */
    uint32_t used;   /* atomic: bytes that are whole */
    uint32_t state;  /* atomic */
} half_head;

typedef struct {
    uint32_t len;
    char text[SL_JOURNAL_TEXT_MAX];
} short_text;

typedef struct {
    uint64_t magic;
    uint32_t version, half_bytes;
    uint64_t seed;
    half_head half[SL_JOURNAL_HALVES];
    short_text release, host;
} head;

_Static_assert(sizeof(head) <= SL_JOURNAL_HEAD_BYTES, "the head has its place");

struct sl_journal {
    sl_alloc alloc;
    head *memory;
    size_t half_bytes;
    uint64_t number; /* of the half in use */
    unsigned now;    /* the half in use */
};

size_t
sl_journal_bytes(size_t half)
{
    return SL_JOURNAL_HEAD_BYTES + SL_JOURNAL_HALVES * half;
}

static uint8_t *
data_of(const head *h, unsigned half)
{
    return (uint8_t *)h + sl_journal_bytes(0) + half * (size_t)h->half_bytes;
}

static void
source_of(const head *h, unsigned half, uint8_t source[16])
{
    uint64_t number = h->half[half].number;

    memcpy(source, &h->seed, 8);
    memcpy(source + 8, &number, 8);
}

static short_text
shortened(const sl_numbers_text *text)
{
    short_text made = { 0 };

    if (text != NULL && text->text != NULL) {
        made.len =
            (uint32_t)(text->len < SL_JOURNAL_TEXT_MAX ? text->len
                                                       : SL_JOURNAL_TEXT_MAX);
        memcpy(made.text, text->text, made.len);
    }
    return made;
}

/* ---- the writer ---- */

/* In this order: a length never goes with what it is not of. */
static void
begin_half(head *h, unsigned half, uint64_t number)
{
    __atomic_store_n(&h->half[half].used, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&h->half[half].state, OPEN, __ATOMIC_RELEASE);
    __atomic_store_n(&h->half[half].number, number, __ATOMIC_RELEASE);
}

sl_status
sl_journal_new(sl_journal **out, void *memory, size_t size, uint64_t seed,
               const sl_numbers_text *release, const sl_numbers_text *host,
               const sl_alloc *alloc)
{
    if (alloc == NULL)
        alloc = &sl_alloc_libc;
    if (size < sl_journal_bytes(HALF_MIN))
        return SL_ELIMIT;
    size_t half = (size - SL_JOURNAL_HEAD_BYTES) / SL_JOURNAL_HALVES;
    if (half > UINT32_MAX)
        half = UINT32_MAX;

    sl_journal *journal = alloc->take(alloc->ctx, sizeof(*journal));
    if (journal == NULL)
        return SL_ENOMEM;
    *journal = (sl_journal){
        .alloc = *alloc, .memory = memory, .half_bytes = half, .number = 1
    };
    head *h = memory;
    *h = (head){ .version = VERSION,
                 .half_bytes = (uint32_t)half,
                 .seed = seed,
                 .half = { { .number = 1 } },
                 .release = shortened(release),
                 .host = shortened(host) };
    __atomic_store_n(&h->magic, MAGIC, __ATOMIC_RELEASE);
    *out = journal;
    return SL_OK;
}

void
sl_journal_free(sl_journal *journal)
{
    if (journal != NULL)
        journal->alloc.give(journal->alloc.ctx, journal);
}

static size_t
put_text(uint8_t *at, const sl_numbers_text *text, size_t len)
{
    size_t used = sl_varint_put(at, len);

    if (len > 0)
        memcpy(at + used, text->text, len);
    return used + len;
}

static size_t
text_len(const sl_numbers_text *text)
{
    size_t len = text->text != NULL ? text->len : 0;
    return len < SL_NUMBERS_FIELD_MAX ? len : SL_NUMBERS_FIELD_MAX;
}

bool
sl_journal_add(sl_journal *journal, uint64_t at_s, const sl_numbers_key *key,
               const sl_numbers_request *request)
{
    half_head *half = &journal->memory->half[journal->now];
    const sl_numbers_text *route = &key->field[SL_NUMBERS_ROUTE];
    const sl_numbers_text *method = &key->field[SL_NUMBERS_METHOD];
    size_t route_len = text_len(route), method_len = text_len(method);
    size_t used = half->used;
    uint64_t sums = 0;

    if (journal->half_bytes - used < ENTRY_MAX + route_len + method_len)
        return false;
    uint8_t *from = data_of(journal->memory, journal->now) + used, *at = from;
    at += sl_varint_put(at, at_s);
    at += put_text(at, route, route_len);
    at += put_text(at, method, method_len);
    at += sl_varint_put(at, (request->error ? ERROR : 0u) |
                                (request->times_only ? TIMES : 0u));
    at += sl_varint_put(at, request->wall_ns);
    at += sl_varint_put(at, request->cpu_ns);
    for (int i = 0; i < SL_NUMBERS_SUMS; i++)
        sums += request->sums[i] != 0;
    at += sl_varint_put(at, sums);
    for (uint32_t i = 0; i < SL_NUMBERS_SUMS; i++) {
        if (request->sums[i] != 0) {
            at += sl_varint_put(at, i);
            at += sl_varint_put(at, request->sums[i]);
        }
    }
    __atomic_store_n(&half->used, (uint32_t)(used + (size_t)(at - from)),
                     __ATOMIC_RELEASE);
    return true;
}

bool
sl_journal_is_filling(const sl_journal *journal)
{
    return journal->memory->half[journal->now].used >
           journal->half_bytes - journal->half_bytes / 4;
}

void
sl_journal_turn(sl_journal *journal, uint8_t source[16])
{
    head *h = journal->memory;
    unsigned half = journal->now;

    source_of(h, half, source);
    __atomic_store_n(&h->half[half].state, STORING, __ATOMIC_RELEASE);
    journal->now = (half + 1) % SL_JOURNAL_HALVES;
    begin_half(h, journal->now, ++journal->number);
}

void
sl_journal_stored(sl_journal *journal, const uint8_t source[16])
{
    head *h = journal->memory;
    uint8_t mine[16];

    for (unsigned half = 0; half < SL_JOURNAL_HALVES; half++) {
        source_of(h, half, mine);
        if (half != journal->now && memcmp(mine, source, 16) == 0)
            __atomic_store_n(&h->half[half].used, 0, __ATOMIC_RELEASE);
    }
}

/* ---- the reader ---- */

static sl_status
head_check(const head *h, size_t size)
{
    if (size < sl_journal_bytes(HALF_MIN) ||
        __atomic_load_n(&h->magic, __ATOMIC_ACQUIRE) != MAGIC)
        return SL_ECORRUPT;
    if (h->version != VERSION)
        return SL_EVERSION;
    if (size < sl_journal_bytes(h->half_bytes))
        return SL_ECORRUPT;
    return SL_OK;
}

static sl_status
get_text(sl_reader *at, sl_numbers_text *text)
{
    uint64_t len;

    if (sl_varint_get_max(at, SL_NUMBERS_FIELD_MAX, &len) < 0 ||
        len > (size_t)(at->end - at->pos))
        return SL_ECORRUPT;
    *text = (sl_numbers_text){ (const char *)at->pos, len };
    at->pos += len;
    return SL_OK;
}

static sl_status
get_request(sl_reader *at, uint64_t *at_s, sl_numbers_key *key,
            sl_numbers_request *request)
{
    uint64_t flags, sums, number, value;

    if (sl_varint_get(at, at_s) < 0 ||
        get_text(at, &key->field[SL_NUMBERS_ROUTE]) < 0 ||
        get_text(at, &key->field[SL_NUMBERS_METHOD]) < 0 ||
        sl_varint_get(at, &flags) < 0 ||
        sl_varint_get(at, &request->wall_ns) < 0 ||
        sl_varint_get(at, &request->cpu_ns) < 0 ||
        sl_varint_get_max(at, SL_NUMBERS_SUMS, &sums) < 0)
        return SL_ECORRUPT;
    request->error = (flags & ERROR) != 0;
    request->times_only = (flags & TIMES) != 0;
    for (uint64_t i = 0; i < sums; i++) {
        if (sl_varint_get_max(at, SL_NUMBERS_SUMS - 1, &number) < 0 ||
            sl_varint_get(at, &value) < 0)
            return SL_ECORRUPT;
        request->sums[number] = value;
    }
    return SL_OK;
}

static sl_numbers_text
text_of(const short_text *text)
{
    uint32_t len =
        text->len < SL_JOURNAL_TEXT_MAX ? text->len : SL_JOURNAL_TEXT_MAX;
    return (sl_numbers_text){ text->text, len };
}

sl_status
sl_journal_read(const void *memory, size_t size, unsigned half,
                sl_numbers *numbers, uint8_t source[16], uint64_t *first_s,
                uint64_t *last_s, uint64_t *requests, bool *storing)
{
    const head *h = memory;
    sl_status status = head_check(h, size);
    uint64_t at_s;

    *requests = *first_s = *last_s = 0;
    *storing = false;
    if (status < 0)
        return status;
    if (half >= SL_JOURNAL_HALVES)
        return SL_ERANGE;
    uint32_t used = __atomic_load_n(&h->half[half].used, __ATOMIC_ACQUIRE);
    if (used > h->half_bytes)
        return SL_ECORRUPT;
    source_of(h, half, source);
    *storing = __atomic_load_n(&h->half[half].state, __ATOMIC_ACQUIRE) != OPEN;
    sl_reader at = { data_of(h, half), data_of(h, half) + used };
    while (at.pos != at.end) {
        sl_numbers_key key = { .field = {
                                   [SL_NUMBERS_RELEASE] = text_of(&h->release),
                                   [SL_NUMBERS_HOST] = text_of(&h->host),
                               } };
        sl_numbers_request request = { 0 };
        if (get_request(&at, &at_s, &key, &request) < 0)
            return SL_ECORRUPT;
        sl_numbers_add(numbers, at_s, &key, &request);
        *first_s = *requests == 0 || at_s < *first_s ? at_s : *first_s;
        *last_s = at_s > *last_s ? at_s : *last_s;
        ++*requests;
    }
    return SL_OK;
}

void
sl_journal_mark(void *memory, size_t size, unsigned half, bool stored)
{
    head *h = memory;

    if (half >= SL_JOURNAL_HALVES || head_check(h, size) < 0)
        return;
    if (stored)
        __atomic_store_n(&h->half[half].used, 0, __ATOMIC_RELEASE);
    else
        __atomic_store_n(&h->half[half].state, STORING, __ATOMIC_RELEASE);
}
