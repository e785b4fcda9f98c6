/* lines.h - the table that says which lines a code object's instructions are
 * of: InternalDocs/code_objects.md of CPython ("Location table"), the same
 * since 3.11. Reads bytes that may be torn, and nothing else; any thread. */
#ifndef SL_PY_LINES_H
#define SL_PY_LINES_H

#include <stdbool.h>
#include <stdint.h>

/* Where a walk through a table stands: the lines of code units from `from` up
 * to `to`. Zeroed, with `line` and `at`: in front of the first entry. */
typedef struct {
    const uint8_t *at; /* the entry behind */
    int64_t line;
    uint32_t from, to;
    bool none; /* these units have no line */
} sl_py_lines;

/* On to the next entry of a table that ends at `end`. false: there is none, or
 * the table is none, and the walk stands in front of unit `to` as before. */
bool sl_py_lines_next(sl_py_lines *lines, const uint8_t *end);

/* The line where it stands; 0: none. */
static inline uint32_t
sl_py_lines_here(const sl_py_lines *lines)
{
    return lines->none || lines->line < 0 || lines->line > INT32_MAX
               ? 0
               : (uint32_t)lines->line;
}

#endif /* SL_PY_LINES_H */
