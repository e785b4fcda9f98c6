/* numbers.h - the inside of a table of numbers, for who counts, writes,
 * reads and reports; and its bytes.
 *
 * Encoded: one zstd frame with content size and checksum (core/compress.h)
 * around
 *
 *   "slownums"           8 bytes
 *   version, scale       varints: 1 or 2, 4. 2: there are requests whose CPU
 *                        time is not known, which `cpu` did not count
 *   period               seconds; 0: all time is one
 *   lost                 requests that found no memory
 *   sources              count, then for each: 16 bytes of name, mark
 *   strings              count, then for each: length, bytes; number 0 is ""
 *   rows                 count, then for each:
 *     period's number    zigzag of the difference to the row before
 *     route, method, release, host     numbers of strings
 *     count, errors
 *     wall, cpu          as sl_histogram_put writes them
 *     sums               count of those that are not 0, then for each: number
 *                        (SL_NUMBERS_MAP), value
 *
 * All numbers are varints (core/varint.h).
 */
#ifndef SL_CORE_NUMBERS_H
#define SL_CORE_NUMBERS_H

#include "arena.h"
#include "histogram.h"

#include "slowlens/numbers.h"

#define SL_NUMBERS_MAGIC       "slownums"
#define SL_NUMBERS_MAGIC_SIZE  8u
#define SL_NUMBERS_VERSION     2u
#define SL_NUMBERS_VERSION_CPU 1u /* the CPU time of each request is known */
#define SL_NUMBERS_CHUNK       ((size_t)16 << 10)
/* What a reader accepts; the same for the writer. */
#define SL_NUMBERS_CONTENT_MAX ((size_t)256 << 20)
#define SL_NUMBERS_SOURCES_MAX 65536u
#define SL_NUMBERS_STRINGS_MAX (1u << 20)
#define SL_NUMBERS_ROWS_MAX    (1u << 20)
#define SL_NUMBERS_SUMS_MAX    64u
#define SL_NUMBERS_PERIOD_MAX  (366u * 86400u)
/* Unix seconds beyond this are no time; the same bound for writer and reader,
 * whatever periods they have. */
#define SL_NUMBERS_SECONDS_MAX (UINT64_C(1) << 40)

typedef struct {
    uint64_t hash;
    uint64_t from_s;
    sl_numbers_key key; /* texts are the table's */
    uint64_t count, errors;
    sl_histogram wall, cpu;
    uint64_t sums[SL_NUMBERS_SUMS];
} sl_numbers_row;

typedef struct {
    uint8_t name[16];
    uint64_t mark;
} sl_numbers_source;

struct sl_numbers {
    sl_alloc alloc;
    sl_arena *arena;
    size_t max_bytes;
    uint32_t period_s, apart, max_rows;
    sl_numbers_row **rows;
    uint32_t row_count, row_capacity;
    uint32_t *slots; /* number + 1; 0: free. A power of two of them */
    uint32_t slot_mask;
    sl_numbers_source *sources;
    uint32_t source_count, source_capacity;
    uint64_t count, lost;
};

/* The row of `key`, made where it is new; [other] of its period where there is
 * no room for more. The last eighth of the memory is for the rows that are
 * there. */
sl_status sl_numbers_row_of(sl_numbers *numbers, uint64_t at_s,
                            const sl_numbers_key *asked, sl_numbers_row **out);

/* Borrowed; in the order of first sight. */
const sl_numbers_row *sl_numbers_row_at(const sl_numbers *numbers, uint32_t i);

/* Whether the table tells periods apart. */
bool sl_numbers_has_periods(const sl_numbers *numbers);

/* As sl_numbers_load with the zstd frame taken off: what the fuzzer feeds. */
sl_status sl_numbers_load_content(sl_numbers *numbers, const void *content,
                                  size_t size);

#endif /* SL_CORE_NUMBERS_H */
