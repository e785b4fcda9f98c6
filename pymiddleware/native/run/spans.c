/* Spans of whatever request runs here. */
#include "run/spans.h"
#include "look/own_stack.h"
#include "run/active.h"
#include "sampler/stands.h"

bool
sl_py_span_stands(sl_py_recording *recording, PyThreadState *ts,
                  uintptr_t frame, sl_strand *strand, sl_span_what *what)
{
    what->site = 0;
    if (strand != NULL) {
        what->node = sl_strand_here(strand);
        what->site = sl_py_own_site(sl_strand_key(strand));
    } else if (recording->sampled.by_samples) {
        bool main = recording->running && !recording->section.away &&
                    recording->thread == ts->id;
        what->node = sl_py_sampler_stands(&recording->sampled, ts, frame, main,
                                          &strand, &what->site);
    }
    what->lane = strand != NULL ? sl_strand_lane(strand) : 0;
    return strand != NULL;
}

sl_py_recording *
sl_py_span_here(sl_span_what *what)
{
    sl_strand *strand;
    sl_py_recording *recording = sl_py_active_owner(&strand);

    return recording != NULL &&
                   sl_py_span_stands(recording, sl_py_borrow_tstate(),
                                     sl_py_own_frame(), strand, what)
               ? recording
               : NULL;
}

bool
sl_py_span_begin(sl_py_span *span, sl_py_recording *recording,
                 const sl_span_what *what)
{
    *span = (sl_py_span){ 0 };
    if (recording->finished)
        return false;
    span->span = sl_span_begin(recording->core, what,
                               sl_clock_ticks(recording->sampled.clock));
    if (span->span == 0)
        return false;
    span->handle = (sl_py_handle *)Py_NewRef((PyObject *)recording->handle);
    return true;
}

void
sl_py_span_end(sl_py_span *span)
{
    sl_py_handle *handle = span->handle;
    const sl_py_recording *recording =
        handle != NULL ? handle->recording : NULL;

    if (recording != NULL && !recording->finished)
        sl_span_end(recording->core, span->span,
                    sl_clock_ticks(recording->sampled.clock));
    *span = (sl_py_span){ 0 };
    Py_XDECREF((PyObject *)handle); /* holds nothing: it runs no code */
}

void
sl_py_span_add(sl_py_recording *recording, const sl_span_what *what,
               uint64_t ns)
{
    if (recording->finished)
        return;
    uint64_t now = sl_clock_ticks(recording->sampled.clock);
    uint64_t ticks = sl_recording_ticks(recording->core, ns);
    sl_span_add(recording->core, what, now > ticks ? now - ticks : 0, now);
}
