/* The sections of a request's main strand. */
#include "run/sections.h"
#include "board/board.h"
#include "compat/cpu_clock.h"
#include "engine/calls.h"
#include "engine/current.h"
#include "engine/engine.h"
#include "look/code_map.h"
#include "run/greenlets.h"
#include "run/hub.h"
#include "run/live.h"
#include "run/loop.h"
#include "run/stints.h"
#include "sampler/sampler.h"

#include <string.h>

int
sl_py_section_begin(sl_py_recording *recording, sl_pseudo gap, uintptr_t anchor)
{
    PyThreadState *ts = sl_py_borrow_tstate();
    uint64_t now = sl_clock_monotonic_ns();
    uint64_t cpu = sl_py_cpu_clock_at(now);

    if (recording->context == NULL || recording->context != ts->context) {
        /* From there on this thread works for the request, and has no slot. */
        sl_py_sampler_enters(&recording->sampled);
        PyObject *token = sl_py_live_set(recording->handle);
        if (token == NULL)
            return -1;
        Py_DECREF(token);
        Py_XSETREF(recording->context, Py_XNewRef(ts->context));
    }
    sl_py_section section = { .gap = gap,
                              .now_ns = now,
                              .cpu_ns = cpu,
                              .anchor = anchor,
                              .context = (uintptr_t)recording->context };
    if (!recording->sampled.by_samples &&
        sl_py_engine_section_begin(&recording->traced) < 0)
        return -1;
    if (gap == SL_PSEUDO_AWAIT) {
        section.busy_ns =
            sl_py_loop_resumes(recording, recording->sampled.started, now);
        section.since_ns = now - recording->turn.main.ended;
    }
    sl_py_sampler_begin(&recording->sampled, &section);
    recording->thread = ts->id;
    recording->running = true;
    recording->cpu_since = cpu;
    sl_py_stint_push(&recording->section, recording,
                     sl_recording_main(recording->core), NULL);
    sl_py_greenlets_watch();
    sl_py_hub_section_begin(recording, gap != SL_PSEUDO_AWAIT, now);
    sl_py_entry_runs(recording->sampled.entry, now);
    sl_py_active_forget();
    return 0;
}

void
sl_py_section_end(sl_py_recording *recording, PyObject *waiting)
{
    if (recording->running)
        sl_py_section_end_at(recording, waiting, sl_clock_monotonic_ns());
}

void
sl_py_section_end_at(sl_py_recording *recording, PyObject *waiting,
                     uint64_t now)
{
    if (!recording->running)
        return;
    sl_py_greenlets_leave(&recording->section);
    uint64_t cpu = sl_py_cpu_clock_at(now);
    sl_py_sampler_end(&recording->sampled, waiting, now, cpu);
    /* Begun in one thread and ended in another: the clocks differ. */
    if (recording->thread == sl_py_borrow_tstate()->id &&
        cpu > recording->cpu_since)
        recording->cpu_ns += cpu - recording->cpu_since;
    recording->running = false;
    if (recording->thread == sl_py_borrow_tstate()->id)
        sl_py_hub_section_end(recording, now);
    sl_py_stint_drop(&recording->section);
    sl_py_entry_waits(recording->sampled.entry, now);
    sl_py_active_forget();
    if (!recording->sampled.by_samples)
        sl_py_engine_section_end(&recording->traced);
}

/* Whether whoever called this frame goes on inside, too: it is a generator made
 * a context manager, or what the standard library does for one. */
static bool
stands_between(const PyCodeObject *code)
{
    static const char helper[] = "/contextlib.py";
    Py_ssize_t size;
    const char *file = PyUnicode_AsUTF8AndSize(code->co_filename, &size);

    if (file == NULL)
        PyErr_Clear();
    size_t length = file == NULL ? 0 : (size_t)size;
    return (code->co_flags & CO_GENERATOR) != 0 ||
           (length >= sizeof(helper) - 1 &&
            strcmp(file + length - (sizeof(helper) - 1), helper) == 0);
}

void
sl_py_section_block(sl_py_recording *recording)
{
    enum { DEEPEST = 16 };
    PyCodeObject *codes[DEEPEST];
    int count = 0;
    bool ends = recording->sampled.by_samples;
    PyFrameObject *frame = PyThreadState_GetFrame(sl_py_borrow_tstate());

    while (frame != NULL && !ends && count < DEEPEST) {
        PyFrameObject *back = PyFrame_GetBack(frame);
        codes[count] = PyFrame_GetCode(frame);
        if (sl_py_code_is_own(codes[count]))
            Py_DECREF(codes[count]);
        else
            ends = !stands_between(codes[count++]);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    sl_strand *strand = sl_recording_main(recording->core);
    while (count > 0) {
        PyCodeObject *code = codes[--count];
        sl_py_calls_started((PyObject *)code);
        sl_strand_resume(strand, code,
                         sl_clock_ticks(recording->sampled.clock));
        Py_DECREF(code);
    }
}
