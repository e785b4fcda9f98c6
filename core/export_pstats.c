/* Format: CPython's marshal (Python/marshal.c, version 2) of the dict that
 * pstats.Stats.load_stats reads:
 *
 *   {(file, line, name): (cc, nc, tottime, cumtime,
 *                         {caller: (nc, cc, tottime, cumtime)})}
 *
 * C functions stand as ("~", 0, "<name>"), as cProfile writes them. */
#include "buf.h"
#include "calls.h"

#include "slowlens/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT_MAX ((size_t)1 << 30)

static void
put_u32(sl_buf *out, uint32_t value)
{
    uint8_t bytes[4] = { (uint8_t)value, (uint8_t)(value >> 8),
                         (uint8_t)(value >> 16), (uint8_t)(value >> 24) };
    sl_buf_put(out, bytes, sizeof(bytes));
}

static void
put_tuple(sl_buf *out, uint32_t size)
{
    sl_buf_put_u8(out, '(');
    put_u32(out, size);
}

/* An int of any size: 32 bits, or digits of 15 bits. */
static void
put_int(sl_buf *out, uint64_t value)
{
    uint32_t digits = 0;

    if (value <= INT32_MAX) {
        sl_buf_put_u8(out, 'i');
        put_u32(out, (uint32_t)value);
        return;
    }
    for (uint64_t left = value; left > 0; left >>= 15)
        digits++;
    sl_buf_put_u8(out, 'l');
    put_u32(out, digits);
    for (; value > 0; value >>= 15) {
        sl_buf_put_u8(out, (uint8_t)(value & 0xFF));
        sl_buf_put_u8(out, (uint8_t)(value >> 8 & 0x7F));
    }
}

static void
put_seconds(sl_buf *out, uint64_t ns)
{
    double seconds = (double)ns / 1e9;
    uint64_t bits;

    memcpy(&bits, &seconds, sizeof(bits));
    sl_buf_put_u8(out, 'g');
    put_u32(out, (uint32_t)bits);
    put_u32(out, (uint32_t)(bits >> 32));
}

static void
put_text(sl_buf *out, const char *text, size_t len)
{
    sl_buf_put_u8(out, 'u');
    put_u32(out, (uint32_t)len);
    sl_buf_put(out, text, len);
}

static int
text_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int
function_compare(const void *a, const void *b)
{
    const sl_function *x = *(const sl_function *const *)a;
    const sl_function *y = *(const sl_function *const *)b;
    int order = text_compare(x->file, x->file_len, y->file, y->file_len);

    if (order == 0)
        order = (x->line > y->line) - (x->line < y->line);
    if (order == 0)
        order = text_compare(x->name, x->name_len, y->name, y->name_len);
    return order;
}

/* By function: how many before it have the same file, line and name (two
 * lambdas of a line). A dict would keep only the last of them. */
static uint32_t *
count_twins(const sl_profile *profile)
{
    uint32_t count = sl_profile_function_count(profile), run = 0;
    const sl_function *first = sl_profile_function(profile, 0);
    const sl_function **sorted = malloc(((size_t)count + 1) * sizeof(*sorted));
    uint32_t *twins = calloc((size_t)count + 1, sizeof(*twins));

    if (sorted == NULL || twins == NULL) {
        free(sorted);
        free(twins);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = first + i;
    qsort(sorted, count, sizeof(*sorted), function_compare);
    for (uint32_t i = 1; i < count; i++) {
        run = function_compare(&sorted[i - 1], &sorted[i]) == 0 ? run + 1 : 0;
        twins[sorted[i] - first] = run;
    }
    free(sorted);
    return twins;
}

typedef struct {
    sl_buf *out;
    const sl_profile *profile;
    const sl_calls *calls;
    const uint32_t *twins;
} writer;

/* (file, line, name); a twin's name has its number behind it. */
static void
put_key(writer *w, uint32_t number)
{
    const sl_function *f = sl_profile_function(w->profile, number);
    char twin[16] = "";

    put_tuple(w->out, 3);
    if (f->kind == SL_KIND_PYTHON && f->file_len > 0)
        put_text(w->out, f->file, f->file_len);
    else
        put_text(w->out, "~", 1);
    put_int(w->out, f->line);
    if (w->twins[number] > 0)
        snprintf(twin, sizeof(twin), "#%u", (unsigned)w->twins[number] + 1);
    sl_buf_put_u8(w->out, 'u');
    put_u32(w->out, (uint32_t)(f->name_len + strlen(twin)));
    sl_buf_put(w->out, f->name, f->name_len);
    sl_buf_put_str(w->out, twin);
}

static void
put_callers(writer *w, uint32_t callee, uint32_t *at)
{
    const sl_calls *calls = w->calls;

    sl_buf_put_u8(w->out, '{');
    for (; *at < calls->pair_count && calls->pairs[*at].callee == callee;
         ++*at) {
        const sl_call *pair = &calls->pairs[*at];
        put_key(w, pair->caller);
        put_tuple(w->out, 4);
        put_int(w->out, pair->calls);
        put_int(w->out, pair->primitive);
        put_seconds(w->out, pair->self_ns);
        put_seconds(w->out, pair->total_ns);
    }
    sl_buf_put_u8(w->out, '0');
}

sl_status
sl_export_pstats(const sl_profile *profile, sl_bytes *out)
{
    sl_calls calls;
    uint32_t at = 0;
    sl_status status = sl_calls_sum(profile, &calls);
    if (status < 0)
        return status;
    uint32_t *twins = count_twins(profile);
    if (twins == NULL) {
        sl_calls_free(&calls);
        return SL_ENOMEM;
    }

    sl_buf buf;
    writer w = { &buf, profile, &calls, twins };
    sl_buf_init(&buf, NULL, EXPORT_MAX);
    sl_buf_put_u8(&buf, '{');
    for (uint32_t i = 0; i < calls.function_count; i++) {
        const sl_call *call = &calls.functions[i];
        put_key(&w, i);
        put_tuple(&buf, 5);
        put_int(&buf, call->primitive);
        put_int(&buf, call->calls);
        put_seconds(&buf, call->self_ns);
        put_seconds(&buf, call->total_ns);
        put_callers(&w, i, &at);
    }
    sl_buf_put_u8(&buf, '0');
    free(twins);
    sl_calls_free(&calls);
    return sl_buf_finish(&buf, out);
}
