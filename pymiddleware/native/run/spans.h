/* spans.h - spans of whatever request runs here: see slowlens/span.h.
 *
 * For probes, and for what the application names itself. Everything here needs
 * the GIL and never raises. */
#ifndef SL_PY_SPANS_H
#define SL_PY_SPANS_H

#include "run/recording.h"

#include "slowlens/span.h"

/* A span that is open. Zeroed: none. */
typedef struct {
    sl_py_handle *handle; /* strong; of the recording it is of */
    sl_span span;
} sl_py_span;

/* Fills in where the calling thread `ts`, which runs for the recording, stands,
 * by its innermost `frame`; `strand`: as sl_py_active_owner told it. false: that
 * is not known (counted), so there can be no span. */
bool sl_py_span_stands(sl_py_recording *recording, PyThreadState *ts,
                       uintptr_t frame, sl_strand *strand, sl_span_what *what);

/* The same of the request that runs here: its recording, BORROWED. NULL: none
 * does, or where it stands is not known. */
sl_py_recording *sl_py_span_here(sl_span_what *what);

/* A span begins. false: there is no room, and *span is none. */
bool sl_py_span_begin(sl_py_span *span, sl_py_recording *recording,
                      const sl_span_what *what);

/* It ends, in whatever thread, whether its request is over or not; *span is
 * none then. */
void sl_py_span_end(sl_py_span *span);

/* A span that ends now and took `ns`. */
void sl_py_span_add(sl_py_recording *recording, const sl_span_what *what,
                    uint64_t ns);

#endif /* SL_PY_SPANS_H */
