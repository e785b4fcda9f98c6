/* span_text.h - what may be kept of what a call asks for, as text.
 *
 * With the GIL. Runs no code of the program, never raises.
 */
#ifndef SL_PY_SPAN_TEXT_H
#define SL_PY_SPAN_TEXT_H

#include "compat/py_compat.h"

#include "slowlens/sql.h"

#define SL_PY_SPAN_TEXT_MAX 2048

/* What a row's text is, by its word. */
typedef enum {
    SL_PY_TEXT_SQL,      /* a query: its shape, or its names */
    SL_PY_TEXT_URL,      /* its host */
    SL_PY_TEXT_HOST,     /* a host; more: its port */
    SL_PY_TEXT_NAME,     /* as it is, and `more` behind it; of a mapping its
                            first key */
    SL_PY_TEXT_BLOCK,    /* a template; more: a block of it */
    SL_PY_TEXT_COMMAND,  /* the name of a program */
    SL_PY_TEXT_LINE,     /* no span: a template; more: the line in it */
    SL_PY_TEXT_TEMPLATE, /* no span: what it returns is a template of Jinja2 */
    SL_PY_TEXT_QUIET,    /* no span, and none of the drivers it calls */
    SL_PY_TEXT_HANDS,    /* no span: it calls what it is given */
    SL_PY_TEXT_KINDS
} sl_py_span_what;

/* The word's number; -1: it is none. */
int sl_py_span_what_of(const char *word);

/* Of a query that is a str or bytes: its bytes, valid while `text` is; its hash,
 * if Python has made one already (of a text in the program, or one that a
 * driver keeps statements by; else 0); and its dialect, which `more` names. All
 * to be given to sl_span_kept_by. NULL: it is none, sl_py_span_text makes it.
 */
const char *sl_py_span_query(sl_py_span_what what, PyObject *text,
                             PyObject *more, uint64_t *hash, size_t *len,
                             sl_sql_dialect *dialect);

/* Writes the text to `out` (SL_PY_SPAN_TEXT_MAX bytes, UTF-8, without a NUL at
 * the end) and returns its length; 0: there is none. `text` and `more`:
 * BORROWED, or NULL. `names`: of a query only its verb and tables. */
size_t sl_py_span_text(sl_py_span_what what, PyObject *text, PyObject *more,
                       bool names, char *out);

#endif /* SL_PY_SPAN_TEXT_H */
