/* Format: the callgrind profile format, version 1
 * (valgrind.org/docs/manual/cl-format.html), names compressed by numbers.
 * The cost is nanoseconds of wall time. A function's calls of itself carry
 * their count and no cost: callgrind_annotate adds up every call it sees. */
#include "buf.h"
#include "calls.h"

#include "slowlens/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORT_MAX ((size_t)1 << 30)

/* "KIND=(NUMBER) name": always with our own number first, so that no name
 * can be taken for one; control characters would end the line. len 0: the
 * number alone, which was given its name before (readers refuse it twice). */
static void
put_name(sl_buf *out, const char *kind, uint32_t number, const char *name,
         size_t len)
{
    char head[48];

    snprintf(head, sizeof(head), "%s=(%" PRIu32 ")%s", kind, number,
             len > 0 ? " " : "");
    sl_buf_put_str(out, head);
    size_t start = out->size;
    sl_buf_put(out, name, len);
    for (size_t at = start; out->status == SL_OK && at < out->size; at++) {
        if (out->data[at] < 0x20 || out->data[at] == 0x7F)
            out->data[at] = '?';
    }
    sl_buf_put_u8(out, '\n');
}

/* fl= and fn= (or cfi=, cfn=) of a function; its number is file number too. */
static void
put_function(sl_buf *out, const sl_profile *profile, uint32_t i, bool callee,
             bool *named)
{
    const sl_function *f = sl_profile_function(profile, i);
    const char *file = f->file_len > 0 ? f->file : "~";
    size_t file_len = f->file_len > 0 ? f->file_len : 1;
    const char *name = f->name_len > 0 ? f->name : "?";
    size_t name_len = f->name_len > 0 ? f->name_len : 1;

    put_name(out, callee ? "cfi" : "fl", i + 1, file, named[i] ? 0 : file_len);
    put_name(out, callee ? "cfn" : "fn", i + 1, name, named[i] ? 0 : name_len);
    named[i] = true;
}

static int
by_caller(const void *a, const void *b)
{
    const sl_call *x = a, *y = b;
    if (x->caller != y->caller)
        return x->caller < y->caller ? -1 : 1;
    return x->callee < y->callee ? -1 : x->callee > y->callee;
}

static void
put_calls(sl_buf *out, const sl_profile *profile, const sl_calls *calls,
          uint32_t caller, uint32_t *at, bool *named)
{
    char line[96];

    for (; *at < calls->pair_count && calls->pairs[*at].caller == caller;
         ++*at) {
        const sl_call *pair = &calls->pairs[*at];
        const sl_function *callee = sl_profile_function(profile, pair->callee);
        put_function(out, profile, pair->callee, true, named);
        snprintf(line, sizeof(line), "calls=%" PRIu64 " %" PRIu32 "\n",
                 pair->calls > 0 ? pair->calls : 1, callee->line);
        sl_buf_put_str(out, line);
        snprintf(line, sizeof(line), "%" PRIu32 " %" PRIu64 "\n",
                 sl_profile_function(profile, caller)->line, pair->total_ns);
        sl_buf_put_str(out, line);
    }
}

sl_status
sl_export_callgrind(const sl_profile *profile, sl_bytes *out)
{
    sl_calls calls;
    uint32_t at = 0;
    uint64_t sum = 0;
    char line[96];
    sl_status status = sl_calls_sum(profile, &calls);
    if (status < 0)
        return status;
    bool *named = calloc((size_t)calls.function_count + 1, sizeof(bool));
    if (named == NULL) {
        sl_calls_free(&calls);
        return SL_ENOMEM;
    }

    for (uint32_t i = 0; i < calls.function_count; i++)
        sum += calls.functions[i].self_ns;
    qsort(calls.pairs, calls.pair_count, sizeof(sl_call), by_caller);

    sl_buf buf;
    sl_buf_init(&buf, NULL, EXPORT_MAX);
    sl_buf_put_str(&buf, "# callgrind format\nversion: 1\n"
                         "creator: slowlens\npositions: line\n"
                         "event: ns : nanoseconds of wall time\nevents: ns\n");
    snprintf(line, sizeof(line), "summary: %" PRIu64 "\n", sum);
    sl_buf_put_str(&buf, line);
    for (uint32_t i = 0; i < calls.function_count; i++) {
        sl_buf_put_u8(&buf, '\n');
        put_function(&buf, profile, i, false, named);
        snprintf(line, sizeof(line), "%" PRIu32 " %" PRIu64 "\n",
                 sl_profile_function(profile, i)->line,
                 calls.functions[i].self_ns);
        sl_buf_put_str(&buf, line);
        put_calls(&buf, profile, &calls, i, &at, named);
    }
    free(named);
    sl_calls_free(&calls);
    return sl_buf_finish(&buf, out);
}
