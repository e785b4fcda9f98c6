/* The sections of a request's main strand. */
#include "run/sections.h"
#include "board/board.h"
#include "compat/cpu_clock.h"
#include "engine/current.h"
#include "engine/engine.h"
#include "run/greenlets.h"
#include "run/hub.h"
#include "run/live.h"
#include "run/loop.h"
#include "run/stints.h"
#include "sampler/sampler.h"

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
