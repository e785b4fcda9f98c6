/* Reads of memory that is not there: see look_memory.h. */
#include "look_memory.h"

#include <stdlib.h>
#include <string.h>

look_region look_regions[LOOK_REGIONS];
size_t look_reads, look_torn_at;

/* Copies lie at its end: who reads past one is caught. */
static char *window;

uint8_t *
look_bytes(uintptr_t address, size_t size, int image)
{
    for (int i = 0; i < LOOK_REGIONS; i++) {
        const look_region *r = &look_regions[i];
        if (address >= r->base && address - r->base < r->size &&
            size <= r->size - (address - r->base))
            return r->image[image] + (address - r->base);
    }
    return NULL;
}

uint8_t
look_take(look_input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

void
look_demand(bool truth)
{
    if (!truth)
        abort();
}

const void *
sl_py_memory_read(const sl_py_piece *pieces, size_t count)
{
    int image = look_reads++ >= look_torn_at;
    size_t size = 0, at = 0;

    if (count == 0 || count > SL_PY_PIECES_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size > SL_PY_READ_MAX - size)
            return NULL;
        size += pieces[i].size;
    }
    if (window == NULL && (window = malloc(SL_PY_READ_MAX)) == NULL)
        abort();
    char *copy = window + SL_PY_READ_MAX - size;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from =
            look_bytes((uintptr_t)pieces[i].from, pieces[i].size, image);
        if (from == NULL)
            return NULL;
        memcpy(copy + at, from, pieces[i].size);
        at += pieces[i].size;
    }
    return copy;
}

bool
sl_py_memory_copy(uintptr_t address, size_t size, void *out)
{
    sl_py_piece piece = { (const void *)address, size };
    const void *bytes = address == 0 ? NULL : sl_py_memory_read(&piece, 1);
    if (bytes != NULL)
        memcpy(out, bytes, size);
    return bytes != NULL;
}

const char *
sl_py_memory_init(void)
{
    return "fuzz";
}
