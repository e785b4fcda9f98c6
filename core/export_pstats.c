/* Format: CPython's marshal (Python/marshal.c, version 2) of the dict that
 * pstats.Stats.load_stats reads:
 *
 *   {(file, line, name): (cc, nc, tottime, cumtime,
 *                         {caller: (nc, cc, tottime, cumtime)})}
 *
 * C functions stand as ("~", 0, "<name>"), as cProfile writes them. Resumes of
 * generators are no calls. */
#include "calls.h"
#include "exporters.h"
#include "label.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
put_text(sl_buf *out, const uint8_t *text, size_t len)
{
    sl_buf_put_u8(out, 'u');
    put_u32(out, (uint32_t)len);
    sl_buf_put(out, text, len);
}

/* File and name as they are written: valid UTF-8, and no two functions with
 * the same file, line and name (two lambdas of a line; names that differed only
 * in what was not valid), of which a dict would keep only the last. */
typedef struct {
    const uint8_t *file, *name;
    uint32_t file_len, name_len, line, number;
} key;

typedef struct {
    sl_buf *out;
    const sl_calls *calls;
    sl_buf texts;
    key *keys;       /* by function */
    uint32_t *twins; /* by function: how many before it have the same key */
} writer;

static int
text_compare(const uint8_t *a, uint32_t a_len, const uint8_t *b, uint32_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int
key_compare(const void *a, const void *b)
{
    const key *x = a, *y = b;
    int order = x->line != y->line ? (x->line < y->line ? -1 : 1) : 0;

    if (order == 0)
        order = text_compare(x->name, x->name_len, y->name, y->name_len);
    if (order == 0)
        order = text_compare(x->file, x->file_len, y->file, y->file_len);
    return order;
}

static int
key_compare_all(const void *a, const void *b)
{
    const key *x = a, *y = b;
    int order = key_compare(a, b);
    return order != 0 ? order
                      : (x->number > y->number) - (x->number < y->number);
}

static sl_status
make_keys(writer *w, const sl_profile *profile)
{
    uint32_t count = sl_profile_function_count(profile);

    /* First the lengths, then, once the texts no longer move, where they are.
     */
    for (uint32_t i = 0; i < count; i++) {
        const sl_function *f = sl_profile_function(profile, i);
        size_t start = w->texts.size;
        if (f->kind == SL_KIND_PYTHON && f->file_len > 0)
            sl_label_text(&w->texts, f->file, f->file_len, SL_LABEL_WHOLE);
        else
            sl_buf_put_u8(&w->texts, '~');
        w->keys[i] = (key){ .line = f->line,
                            .number = i,
                            .file_len = (uint32_t)(w->texts.size - start) };
        start = w->texts.size;
        sl_label_text(&w->texts, f->name, f->name_len, SL_LABEL_WHOLE);
        w->keys[i].name_len = (uint32_t)(w->texts.size - start);
    }
    const uint8_t *at = w->texts.data;
    for (uint32_t i = 0; i < count; i++) {
        w->keys[i].file = at;
        w->keys[i].name = at + w->keys[i].file_len;
        at = w->keys[i].name + w->keys[i].name_len;
    }
    return w->texts.status;
}

static sl_status
count_twins(writer *w, uint32_t count)
{
    key *sorted = malloc(((size_t)count + 1) * sizeof(*sorted));
    uint32_t run = 0;

    if (sorted == NULL)
        return SL_ENOMEM;
    memcpy(sorted, w->keys, (size_t)count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), key_compare_all);
    for (uint32_t i = 1; i < count; i++) {
        run = key_compare(&sorted[i - 1], &sorted[i]) == 0 ? run + 1 : 0;
        w->twins[sorted[i].number] = run;
    }
    free(sorted);
    return SL_OK;
}

/* (file, line, name); a twin's name has its number behind it. */
static void
put_key(writer *w, uint32_t number)
{
    const key *k = &w->keys[number];
    char twin[16] = "";

    put_tuple(w->out, 3);
    put_text(w->out, k->file, k->file_len);
    put_int(w->out, k->line);
    if (w->twins[number] > 0)
        snprintf(twin, sizeof(twin), "#%u", (unsigned)w->twins[number] + 1);
    sl_buf_put_u8(w->out, 'u');
    put_u32(w->out, k->name_len + (uint32_t)strlen(twin));
    sl_buf_put(w->out, k->name, k->name_len);
    sl_buf_put_str(w->out, twin);
    sl_buf_flow(w->out);
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

static void
put_all(writer *w)
{
    uint32_t at = 0;

    sl_buf_put_u8(w->out, '{');
    for (uint32_t i = 0; i < w->calls->function_count; i++) {
        const sl_call *call = &w->calls->functions[i];
        put_key(w, i);
        put_tuple(w->out, 5);
        put_int(w->out, call->primitive);
        put_int(w->out, call->calls);
        put_seconds(w->out, call->self_ns);
        put_seconds(w->out, call->total_ns);
        put_callers(w, i, &at);
    }
    sl_buf_put_u8(w->out, '0');
}

void
sl_exporter_pstats(const sl_profile *profile, sl_buf *out)
{
    uint32_t count = sl_profile_function_count(profile);
    sl_calls calls = { 0 };
    writer w = { .out = out,
                 .calls = &calls,
                 .keys = calloc((size_t)count + 1, sizeof(key)),
                 .twins = calloc((size_t)count + 1, sizeof(uint32_t)) };
    sl_status status = w.keys == NULL || w.twins == NULL ? SL_ENOMEM : SL_OK;

    sl_buf_init(&w.texts, NULL, 0);
    if (status == SL_OK)
        status = sl_calls_sum(profile, false, &calls);
    if (status == SL_OK)
        status = make_keys(&w, profile);
    if (status == SL_OK)
        status = count_twins(&w, count);
    if (status == SL_OK)
        put_all(&w);
    else
        out->status = status;
    sl_buf_free(&w.texts);
    sl_calls_free(&calls);
    free(w.keys);
    free(w.twins);
}
