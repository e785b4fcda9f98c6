#include "sample.h"

#include "recording_data.h"
#include "slowlens/span.h"

#include <string.h>

const char VIEW[64], DUMPS[64], COPY[64], LEN[64], WAIT[64];

bool
sample_describe(void *ctx, uint32_t id, const void *key, sl_function *out)
{
    static const struct {
        const char *key, *name, *file;
        sl_kind kind;
        sl_origin origin;
    } known[] = {
        { VIEW, "view", "/app/views.py", SL_KIND_PYTHON, SL_ORIGIN_PROJECT },
        { DUMPS, "dumps", "/lib/json/__init__.py", SL_KIND_PYTHON,
          SL_ORIGIN_STDLIB },
        { COPY, "deepcopy", "/lib/copy.py", SL_KIND_PYTHON, SL_ORIGIN_STDLIB },
        { LEN, "builtins.len", "", SL_KIND_C, SL_ORIGIN_BUILTIN },
    };
    (void)ctx, (void)id;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (key == known[i].key) {
            *out = (sl_function){ known[i].name,          strlen(known[i].name),
                                  known[i].file,          strlen(known[i].file),
                                  (uint32_t)(10 * i + 1), known[i].kind,
                                  known[i].origin };
            return true;
        }
    }
    return false;
}

sl_status
sample_record(sl_recording **out, const sl_alloc *alloc)
{
    sl_recording_options options = { 0 };
    sl_recording *r;
    sl_status status = sl_recording_new(&r, &options, alloc);
    if (status < 0)
        return status;

    sl_strand *s = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();
    sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t += 10);
    sl_strand_enter(s, DUMPS, SL_KIND_PYTHON, t += 100);
    for (int i = 0; i < 3; i++) {
        sl_strand_enter(s, LEN, SL_KIND_C, t += 5);
        sl_strand_leave_top(s, LEN, t += 7);
    }
    sl_strand_leave(s, DUMPS, t += 1);
    for (int i = 0; i < 3; i++)
        sl_strand_enter(s, COPY, SL_KIND_PYTHON, t += 1000);
    sl_recording_observe(r, &(sl_times){ 900, 600, 200 }, NULL, t);
    for (int i = 0; i < 3; i++)
        sl_strand_leave(s, COPY, t += 1000);
    sl_recording_observe(r, &(sl_times){ 500, 500, 0 }, NULL, t);
    sl_strand_yield(s, VIEW, t += 3);
    sl_strand_suspend(s, t);
    sl_strand_continue(s, SL_PSEUDO_AWAIT, t += 40);
    sl_strand_resume(s, VIEW, t += 2);
    sl_strand_leave(s, VIEW, t += 2);
    sl_recording_stop(r, t + 1);
    *out = r;
    return SL_OK;
}

sl_status
sample_blob(sl_bytes *out, const sl_alloc *alloc)
{
    static const sl_meta meta[] = {
        { "method", 6, "GET", 3, 0 },
        { "path", 4, "/caf\xc3\xa9", 6, 0 },
        { "wall_ns", 7, NULL, 0, 6200 },
        { "delta", 5, NULL, 0, -5 },
    };
    sl_recording *r;
    sl_status status = sample_record(&r, alloc);
    if (status < 0)
        return status;
    status = sl_recording_encode(r, meta, 4, sample_describe, NULL, 0, out);
    sl_recording_free(r);
    return status;
}

static sl_span_what
sample_what(sl_recording *r, const char *kind, const char *text,
            const char *where)
{
    sl_strand *s = sl_recording_main(r);
    return (sl_span_what){ .node = sl_strand_here(s),
                           .site = 12,
                           .lane = sl_strand_lane(s),
                           .kind = sl_span_kind_here(r, kind, strlen(kind)),
                           .text = sl_span_word(r, text, strlen(text)),
                           .where = sl_span_word(r, where, strlen(where)) };
}

sl_status
sample_asking(sl_recording **out, uint32_t queries, const sl_alloc *alloc)
{
    sl_recording *r;
    sl_status status =
        sl_recording_new(&r, &(sl_recording_options){ 0 }, alloc);
    if (status < 0)
        return status;
    sl_strand *s = sl_recording_main(r);
    /* Not when it is: a machine that took its time makes times coarser. */
    uint64_t t = r->start_ticks + 100;
    sl_strand_enter(s, VIEW, SL_KIND_PYTHON, t += 10);
    sl_span_what what = sample_what(r, "template", "base.html", "");
    sl_span outer = sl_span_begin(r, &what, t);
    what = sample_what(r, "template", "list.html", "base.html:3");
    sl_span inner = sl_span_begin(r, &what, t += 5);
    what = sample_what(r, "db", SAMPLE_QUERY, "list.html:7");
    for (uint32_t i = 0; i < queries; i++, t += 50)
        sl_span_add(r, &what, t, t + 50);
    sl_span_end(r, inner, t += 5);
    sl_span_end(r, outer, t += 5);
    sl_strand_enter(s, COPY, SL_KIND_PYTHON, t += 10);
    what = sample_what(r, "db", "UPDATE visit SET n = ?", "");
    what.detail = sl_span_word(r, "rows=1", 6);
    sl_span_add(r, &what, t, t + 400);
    sl_strand_leave(s, COPY, t += 400);
    sl_strand_leave(s, VIEW, t += 10);
    sl_recording_stop(r, t + 1);
    *out = r;
    return SL_OK;
}
