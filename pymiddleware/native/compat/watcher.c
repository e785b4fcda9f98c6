/* Word of code objects that go, by a watcher of CPython's (3.12 and later). */
#include "compat/watcher.h"
#include "compat/py_compat.h"

static void (*tell)(void);
static bool told;

static int
code_event(PyCodeEvent event, PyCodeObject *code)
{
    (void)code;
    if (event == PY_CODE_EVENT_DESTROY) {
        told = true;
        tell();
    }
    return 0;
}

bool
sl_py_watch_codes(void (*gone)(void))
{
    tell = gone;
    if (PyCode_AddWatcher(code_event) < 0) {
        PyErr_Clear(); /* others have all eight */
        return false;
    }
    /* Tried: one that goes at once. */
    Py_XDECREF(PyCode_NewEmpty("slowlens", "gone", 1));
    PyErr_Clear();
    return told;
}
