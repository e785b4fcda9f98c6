/* CPython 3.11 tells nobody of code objects that go. */
#include "compat/watcher.h"

bool
sl_py_watch_codes(void (*gone)(void))
{
    (void)gone;
    return false;
}
