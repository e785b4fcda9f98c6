/* words.h - a dictionary: many texts, each once, as small numbers.
 *
 *   bytes    "" \0 /books/ \0 /books/7/ \0 ...     starts  0 1 9 ...
 *
 * All texts lie behind each other, so that looking through all of them is one
 * pass over memory. Number 0 is the empty text. Nothing is ever taken out.
 */
#ifndef SL_CORE_WORDS_H
#define SL_CORE_WORDS_H

#include "slowlens/alloc.h"
#include "slowlens/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    sl_alloc alloc;
    char *bytes;
    size_t size, room;
    uint32_t *starts; /* of each text */
    uint32_t count, capacity;
    uint32_t *slots; /* number + 1, by hash; 0: free */
    uint32_t slot_count;
} sl_words;

/* An empty dictionary; takes no memory yet. `alloc` is copied; NULL: libc. */
void sl_words_init(sl_words *words, const sl_alloc *alloc);
void sl_words_free(sl_words *words);

/* The number of a text, which is copied the first time seen. SL_ENOMEM,
 * SL_ELIMIT (4 GiB of texts, or 2^31 of them); then nothing has changed. */
sl_status sl_words_put(sl_words *words, const char *text, size_t size,
                       uint32_t *number);
/* False: not in the dictionary. */
bool sl_words_find(const sl_words *words, const char *text, size_t size,
                   uint32_t *number);
/* Borrowed until the next put. */
const char *sl_words_text(const sl_words *words, uint32_t number, size_t *size);

/* Sets hits[n] of each text that `needle` occurs in; leaves the others alone.
 * `fold`: ASCII letters in any case. */
void sl_words_search(const sl_words *words, const char *needle, size_t size,
                     bool fold, uint8_t *hits);

/* Memory held, in bytes. */
size_t sl_words_bytes(const sl_words *words);

#endif /* SL_CORE_WORDS_H */
