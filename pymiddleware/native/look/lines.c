/* Location tables of code objects: see lines.h. */
#include "look/lines.h"

static bool
table_varint(const uint8_t **at, const uint8_t *end, uint32_t *out)
{
    uint32_t value = 0;
    for (int shift = 0; *at < end && shift < 32; shift += 6) {
        uint8_t byte = *(*at)++;
        value |= (uint32_t)(byte & 63) << shift;
        if ((byte & 64) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

bool
sl_py_lines_next(sl_py_lines *lines, const uint8_t *end)
{
    sl_py_lines to = *lines;
    uint32_t number;

    /* Also where a torn copy lost its place: better no lines than wrong ones.
     */
    if (to.at >= end || (*to.at & 128) == 0)
        return false; /* not the beginning of an entry */
    uint8_t head = *to.at++;
    uint32_t kind = head >> 3 & 15u;
    to.from = to.to;
    to.to += (head & 7u) + 1;
    to.none = kind == 15;
    if (kind <= 9) {
        to.at += 1;
    } else if (kind <= 12) {
        to.line += kind - 10;
        to.at += 2;
    } else if (kind <= 14) {
        if (!table_varint(&to.at, end, &number))
            return false;
        to.line +=
            number & 1 ? -(int64_t)(number >> 1) : (int64_t)(number >> 1);
        for (int i = 0; kind == 14 && i < 3; i++) {
            if (!table_varint(&to.at, end, &number))
                return false;
        }
    }
    *lines = to;
    return true;
}
