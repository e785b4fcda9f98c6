/* Which strand the calling thread records into. */
#include "engine/current.h"

sl_clock_kind sl_py_clock = SL_CLOCK_MONOTONIC;
sl_py_current sl_py_active;
sl_py_event_time sl_py_event;
sl_strand *(*sl_py_active_resync)(PyThreadState *ts);
PyObject *sl_py_pending_callable;
