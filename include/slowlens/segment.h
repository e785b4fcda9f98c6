/* slowlens/segment.h - THE FORMAT of a segment, version 1: many records in
 * one file that is only appended to.
 *
 *   segment =  record record record ...
 *
 *   record  =  head 32 | inside | outside
 *              `--- a skippable frame (RFC 8878, 3.1.2) ---'   `- frames
 *
 *   offset 0   magic       u32   0x184D2A50 + kind of the record
 *          4   payload     u32   24 + bytes inside
 *          8   crc         u32   CRC-32 of the head's other 28 bytes and what
 *                                is inside (of an erased one: of the head)
 *         12   outside     u32   bytes of the frames that follow
 *         16   id         16     a profile's ULID, or what the kind says
 *         32   inside            payload - 24 bytes
 *              outside           whole zstd frames: a profile's blob, unchanged
 *
 * All numbers are little-endian. So a segment is a sequence of frames: any
 * zstd reads it (`zstd -t`), and skips what is ours. Whoever appends writes a
 * record by ONE system call; after a kill the last record may be cut off,
 * which its sizes tell, and everything before it is whole.
 *
 *   kind          id            inside              outside
 *   1 BEGIN       boot id       see store/segments  -
 *   2 PROFILE     the profile's the row's extras    blob
 *   3 MOVED       as PROFILE: it was in another segment before
 *   4 CHECKPOINT  the profile's the row's extras    blob so far
 *   5 NUMBERS     the writer's  see store/numbers   -
 *   6 FOOTER      zero          rows; its end       -
 *   7 ERASED      zero          zeros               -
 *   8 NOTE        the profile's the last word       -
 *
 * The row's extras are the hot path's text, UTF-8, of blobs whose SUMMARY does
 * not say it. A reader skips kinds it does not know.
 *
 * FOOTER   a segment that nobody appends to any more ends with one, so that
 *          its list needs no other byte of it (slowlens/rows.h):
 *            content        one zstd frame
 *            oldest, newest u64 ms: the time in its profiles' ids
 *            profiles       u32
 *            size           u32, of the whole record: where it begins
 *            "sl1f"         the last four bytes of the file
 *
 * Nothing here does input or output, and nothing here keeps state.
 */
#ifndef SL_SEGMENT_H
#define SL_SEGMENT_H

#include "slowlens/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_RECORD_HEAD     32
#define SL_RECORD_MAX      ((uint32_t)1 << 30) /* bytes inside; and outside */
#define SL_ID_SIZE         16
#define SL_ID_TEXT         26 /* characters of a ULID */
#define SL_FOOTER_END      28
#define SL_SEGMENT_VERSION 1

typedef enum {
    SL_RECORD_BEGIN = 1,
    SL_RECORD_PROFILE = 2,
    SL_RECORD_MOVED = 3,
    SL_RECORD_CHECKPOINT = 4,
    SL_RECORD_NUMBERS = 5,
    SL_RECORD_FOOTER = 6,
    SL_RECORD_ERASED = 7,
    SL_RECORD_NOTE = 8
} sl_record_kind;

typedef struct {
    sl_record_kind kind; /* or a number that this version does not know */
    uint8_t id[SL_ID_SIZE];
    uint32_t inside;  /* bytes behind the head */
    uint32_t outside; /* bytes behind those */
    uint64_t size;    /* of the whole record */
} sl_record;

typedef struct {
    uint64_t oldest_ms; /* 0 when there is no profile */
    uint64_t newest_ms;
    uint32_t profiles;
    uint32_t size; /* of the record: it begins that far from the end */
} sl_footer_end;

/* Makes the head of a record with `inside` behind it. `id` NULL: zeros.
 * SL_ERANGE: more than SL_RECORD_MAX bytes, or no such kind (1 to 15). */
sl_status sl_record_head(uint8_t head[SL_RECORD_HEAD], sl_record_kind kind,
                         const uint8_t *id, const void *inside,
                         size_t inside_size, size_t outside_size);

/* Reads the record at the front of `data`; what is outside need not be there.
 * SL_EMORE: the bytes end before head and inside do; out->size is then how
 * many bytes are needed to go on. SL_ECORRUPT: this is no record. */
sl_status sl_record_read(const void *data, size_t size, sl_record *out);

/* Makes the head that turns a record of `size` bytes into an erased one. All
 * other bytes of the record are to be overwritten by zeros. SL_ERANGE. */
sl_status sl_record_erase(uint8_t head[SL_RECORD_HEAD], uint64_t size);

/* Reads the end of a segment (its last SL_FOOTER_END bytes). False: no
 * footer. */
bool sl_footer_end_read(const void *data, size_t size, sl_footer_end *out);
void sl_footer_end_write(uint8_t data[SL_FOOTER_END], const sl_footer_end *end);

/* A ULID (github.com/ulid/spec) as 26 lower-case characters, no NUL; and back.
 * False: the text is none. */
void sl_id_text(const uint8_t id[SL_ID_SIZE], char text[SL_ID_TEXT]);
bool sl_id_parse(const char *text, size_t size, uint8_t id[SL_ID_SIZE]);
/* The time in it, Unix ms. */
uint64_t sl_id_ms(const uint8_t id[SL_ID_SIZE]);

#endif /* SL_SEGMENT_H */
