/* Where things are inside the interpreter: the one file that is compiled
 * against its internal headers (py_compat.h has the differences). */
#define SL_PY_INTERNALS
#include "compat/layout.h"
#include "compat/py_compat.h"

void
sl_py_layout_get(sl_py_layout *out)
{
    sl_py_layout_fill(out);
}
