/* json.h - JSON written straight into a buffer.
 *
 * Commas come by themselves; nesting is the caller's. Strings may be any
 * bytes: what is not valid UTF-8 becomes U+FFFD, and `<`, `>`, `&`, U+2028
 * and U+2029 are escaped, so the text is safe wherever it is put.
 */
#ifndef SL_CORE_JSON_H
#define SL_CORE_JSON_H

#include "buf.h"

#include <stdbool.h>

typedef struct {
    sl_buf *out; /* borrowed */
    bool comma;  /* one is due before the next value */
} sl_json;

void sl_json_open(sl_json *json, char bracket);  /* '{' or '[' */
void sl_json_close(sl_json *json, char bracket); /* '}' or ']' */
void sl_json_key(sl_json *json, const char *key);
void sl_json_key_n(sl_json *json, const char *key, size_t len);
void sl_json_str(sl_json *json, const char *str, size_t len);
void sl_json_u64(sl_json *json, uint64_t value);
void sl_json_i64(sl_json *json, int64_t value);
/* A value that is JSON already, such as a number with a point. */
void sl_json_raw(sl_json *json, const char *value);
void sl_json_bool(sl_json *json, bool value);

/* "key":value */
void sl_json_number(sl_json *json, const char *key, uint64_t value);
void sl_json_text(sl_json *json, const char *key, const char *value);
/* A finite one, to so many significant digits. */
void sl_json_real(sl_json *json, const char *key, double value, int digits);

#endif /* SL_CORE_JSON_H */
