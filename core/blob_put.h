/* blob_put.h - the parts of a blob that both of its writers put: a recording's
 * and a decoded profile's. blob.h draws the format. */
#ifndef SL_CORE_BLOB_PUT_H
#define SL_CORE_BLOB_PUT_H

#include "buf.h"
#include "intern.h"

#include "slowlens/vocabulary.h"

/* FUNCTIONS at work: strings and columns. */
typedef struct {
    sl_arena *arena;
    sl_intern *strings;
    sl_buf names, files, lines, kinds, origins;
    uint32_t count;
} sl_blob_functions;

/* Fine to free in any state, zeroed ones included. SL_ENOMEM. */
sl_status sl_blob_functions_init(sl_blob_functions *f, const sl_alloc *alloc);
void sl_blob_functions_free(sl_blob_functions *f);

/* Adds a function, which gets the next number. SL_ENOMEM. */
sl_status sl_blob_functions_add(sl_blob_functions *f, const sl_function *one);

/* The content from the magic to FUNCTIONS: META, STRINGS, FUNCTIONS. `body`
 * is scratch, empty before and after. Failures stick to `out`. */
void sl_blob_put_head(sl_buf *out, sl_buf *body, const sl_meta *meta,
                      size_t meta_count, sl_blob_functions *functions);

/* Appends a column. */
void sl_blob_put_column(sl_buf *out, const sl_buf *column);

/* Ends the section that `body` holds, and empties `body` for the next. */
void sl_blob_put_section(sl_buf *out, unsigned tag, sl_buf *body);

/* Nanoseconds per unit: fine for short requests, coarse enough for long ones
 * that three bytes hold most times. */
uint64_t sl_blob_quantum(uint64_t wall_ns);

#endif /* SL_CORE_BLOB_PUT_H */
