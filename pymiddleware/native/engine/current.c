/* Which strand the calling thread records into. */
#include "engine/current.h"
#include "compat/layout.h"
#include "look/own_stack.h"

sl_clock_kind sl_py_clock = SL_CLOCK_MONOTONIC;
sl_py_current sl_py_active;
sl_py_event_time sl_py_event;
sl_strand *(*sl_py_active_resync)(PyThreadState *ts);
PyObject *sl_py_pending_callable;
PyThreadState *const *sl_py_holder;

void
sl_py_holder_check(void)
{
    static bool asked;
    sl_py_layout layout;

    if (!asked && sl_py_gil_knows_holder() && sl_py_own_is_trusted()) {
        asked = true;
        sl_py_layout_get(&layout);
        if (layout.gil != NULL)
            sl_py_holder =
                (PyThreadState *const *)(const void *)(layout.gil +
                                                       layout.gil_holder);
    }
    /* Whoever asks has the GIL. */
    if (sl_py_holder != NULL && *sl_py_holder != sl_py_borrow_tstate())
        sl_py_holder = NULL; /* for ever */
}
