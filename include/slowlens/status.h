/* slowlens/status.h - every way a call can fail.
 *
 * Fallible functions return sl_status: SL_OK (0) or a negative code. The one
 * list below makes the enum, the names and the texts, so they cannot drift.
 */
#ifndef SL_STATUS_H
#define SL_STATUS_H

#define SL_STATUS_MAP(XX)                                                      \
    XX(NOMEM, -1, "out of memory")                                             \
    XX(LIMIT, -2, "a configured limit was reached")                            \
    XX(STATE, -3, "call not allowed in this state")                            \
    XX(CORRUPT, -4, "not a slowlens profile, or truncated or damaged")         \
    XX(VERSION, -5, "profile was written by a newer slowlens: format unknown") \
    XX(RANGE, -6, "argument out of range")                                     \
    XX(COMPRESS, -7, "the compressor failed")                                  \
    XX(MORE, -8, "more bytes are needed")

typedef enum {
    SL_OK = 0,
#define XX(name, value, text) SL_E##name = (value),
    SL_STATUS_MAP(XX)
#undef XX
} sl_status;

/* Name ("SL_ENOMEM") and English text of a status. Static strings, never
 * NULL, also for a number that is not a status. */
const char *sl_status_name(sl_status status);
const char *sl_status_text(sl_status status);

#endif /* SL_STATUS_H */
