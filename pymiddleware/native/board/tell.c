/* tell.c - where a sampled request is, for the board; see tell.h. */
#include "board/tell.h"

#include "board/origins.h"

/* Whose a code is, as it was found before: code that a sample names is never
 * freed, so its address is enough. Under the sampler's lock. */
enum { KNOWN = 1024 };
static struct {
    const sl_py_code *code;
    sl_origin origin;
} known[KNOWN];

static sl_origin
origin_of(const sl_py_code *code)
{
    size_t at = ((uintptr_t)code >> 4) % KNOWN;

    if (known[at].code != code) {
        known[at].code = code;
        known[at].origin = sl_py_origin_of_file(code->file, code->file_len);
    }
    return known[at].origin;
}

void
sl_py_tell(sl_py_entry *entry, const sl_frame *stack, uint32_t count,
           uint64_t now)
{
    enum { LOOK_AT = 32 };
    uint32_t at = count;

    if (entry == NULL || count == 0)
        return;
    for (uint32_t i = count; i-- > 0 && i + LOOK_AT >= count;) {
        if (origin_of(stack[i].key) == SL_ORIGIN_PROJECT) {
            at = i;
            break;
        }
    }
    at = at == count ? count - 1 : at;
    const sl_py_code *code = stack[at].key;
    sl_py_entry_seen(entry, now, code, code->name, code->name_len, code->file,
                     code->file_len, stack[at].line);
}

void
sl_py_tell_again(sl_py_entry *entry, uint64_t now)
{
    if (entry != NULL && entry->code != NULL && entry->board->board != NULL)
        sl_board_still(entry->board->board, entry->slot, now);
}
