/* Spans by probes: see layers.h. */
#include "run/layers.h"
#include "engine/argument.h"
#include "engine/calls.h"
#include "engine/current.h"
#include "engine/engine.h"
#include "engine/probes.h"
#include "look/own_stack.h"
#include "run/active.h"
#include "run/lent.h"
#include "run/live.h"
#include "run/span_text.h"
#include "run/spans.h"

#include "slowlens/span.h"

#include <stdlib.h>
#include <string.h>

/* ---- rows ---- */

typedef struct {
    sl_py_target target; /* first: what a probe's action is called with */
    const char *kind;
    uint32_t kind_number; /* of the core's; SL_SPAN_KIND_COUNT: none of them */
    sl_py_span_what what;
    sl_py_argument text, more;
    bool whole; /* what is inside, of the same kind, is a part of it */
    const PyCodeObject *bound; /* whose frames the arguments are read from */
} row;

/* The row, ready to read frames of `code`. */
static row *
row_bind(const sl_py_target *target, const PyCodeObject *code)
{
    row *r = (row *)(uintptr_t)target;

    if (r->bound != code) {
        sl_py_argument_bind(&r->text, code);
        sl_py_argument_bind(&r->more, code);
        r->bound = code;
    }
    return r;
}

/* ---- open spans ---- */

typedef struct sl_py_open_span {
    uintptr_t frame; /* whose end is the span's */
    const row *row;
    sl_py_handle *handle;   /* strong: the recording, while it is live */
    uint64_t work;          /* what it is a part of: a context, or a thread */
    uint32_t text;          /* its word */
    sl_sql_dialect dialect; /* in which that was read */
    sl_span span;           /* 0: it is a part of another */
    struct sl_py_open_span *next_frame;    /* in the table of frames */
    struct sl_py_open_span *outer, **link; /* of the recording */
} open_span;

#define FRAMES 4096u /* a power of 2 */

static open_span *frames[FRAMES];
static open_span *unused;
static uint32_t open_count;
static uint64_t lost; /* for which there was no memory */

static open_span **
frame_slot(uintptr_t frame)
{
    open_span **at =
        &frames[((uint32_t)(frame >> 4) * 2654435761u) >> 20 & (FRAMES - 1)];

    while (*at != NULL && (*at)->frame != frame)
        at = &(*at)->next_frame;
    return at;
}

/* Takes the span out of its recording's list, if it is in one. */
static void
open_unlink(open_span *o)
{
    if (o->link == NULL)
        return;
    *o->link = o->outer;
    if (o->outer != NULL)
        o->outer->link = o->link;
    o->link = NULL;
}

/* The time of what is told of now. */
static uint64_t
time_of(const sl_py_recording *recording)
{
    return recording->sampled.clock == sl_py_clock
               ? sl_py_event_now()
               : sl_clock_ticks(recording->sampled.clock);
}

/* Its time is over, if its recording is not. */
static void
open_end(const open_span *o)
{
    const sl_py_recording *recording = o->handle->recording;

    if (o->link != NULL && recording != NULL && o->span != 0)
        sl_span_end(recording->core, o->span, time_of(recording));
}

/* The call that *at is of is over. */
static void
open_close(open_span **at)
{
    open_span *o = *at;

    *at = o->next_frame;
    open_count--;
    open_end(o);
    open_unlink(o);
    Py_DECREF((PyObject *)o->handle); /* runs no code */
    o->next_frame = unused;
    unused = o;
}

/* Forgets calls whose end nobody told of (a generator that was dropped, in
 * 3.13.0) and whose request is over. */
static void
open_prune(void)
{
    static uint32_t at_count = 1024;

    if (open_count < at_count)
        return;
    for (uint32_t i = 0; i < FRAMES; i++) {
        open_span **at = &frames[i];
        while (*at != NULL) {
            if ((*at)->link == NULL)
                open_close(at);
            else
                at = &(*at)->next_frame;
        }
    }
    at_count = open_count * 2 > 1024 ? open_count * 2 : 1024;
}

static void
open_add(const open_span *add, sl_py_recording *recording)
{
    open_prune();
    open_span **at = frame_slot(add->frame);
    open_span *o = unused;

    if (o != NULL)
        unused = o->next_frame;
    else
        o = PyMem_Malloc(sizeof(*o));
    if (o == NULL) {
        lost++;
        return;
    }
    *o = *add;
    Py_INCREF((PyObject *)o->handle);
    o->next_frame = *at;
    *at = o;
    open_count++;
    o->outer = recording->open_spans;
    o->link = &recording->open_spans;
    if (o->outer != NULL)
        o->outer->link = &o->outer;
    recording->open_spans = o;
}

void
sl_py_layers_begin(const sl_py_recording *recording)
{
    if (recording->layers != SL_PY_LAYERS_OFF)
        sl_py_calls_watch();
}

void
sl_py_layers_end(sl_py_recording *recording)
{
    while (recording->open_spans != NULL) {
        open_end(recording->open_spans);
        open_unlink(recording->open_spans); /* its frame's end frees it */
    }
}

void
sl_py_layers_after_fork(void)
{
    for (uint32_t i = 0; i < FRAMES; i++) {
        for (open_span *o = frames[i]; o != NULL; o = o->next_frame)
            open_unlink(o);
    }
}

/* ---- which line of a template ---- */

static const sl_py_action line_action, render_action, macro_action;

/* Frames between a query and the node of a template that asks for it. */
#define LINE_FRAMES 200

/* Writes "books/list.html:12" of the node that runs in `frame`. 0: it does not
 * say. */
static size_t
node_line(const row *r, uintptr_t frame, char *out)
{
    PyObject *name = sl_py_argument_read(&r->text, frame);
    PyObject *line = sl_py_argument_read(&r->more, frame);
    size_t len = line != NULL && PyLong_CheckExact(line)
                     ? sl_py_span_text(SL_PY_TEXT_NAME, name, NULL, true, out)
                     : 0;

    if (len > 0) {
        int more = PyOS_snprintf(out + len, 16, ":%ld", PyLong_AsLong(line));
        len += more > 0 ? (size_t)more : 0;
        PyErr_Clear();
    }
    Py_XDECREF(name);
    Py_XDECREF(line);
    return len;
}

/* A function that Jinja2 made of a template, see below. */
typedef struct {
    row row;                /* first */
    PyObject *name, *lines; /* strong; lines: a str, or NULL */
} render;

/* Line of the template that line `line` of its module is of; 0: none. */
static long
render_line(const char *lines, long line)
{
    long found = 0;

    while (*lines != '\0') {
        char *end;
        long of = strtol(lines, &end, 10);
        if (*end != '=')
            break;
        long from = strtol(end + 1, &end, 10);
        if (from > line)
            break;
        found = of;
        lines = end + (*end == '&');
    }
    return found;
}

/* Writes "books/list.html:12" of the function of a template that runs in
 * `frame`. 0: it does not say. */
static size_t
render_line_text(const render *r, uintptr_t frame, char *out)
{
    PyCodeObject *code = sl_py_own_code(frame);
    const char *lines = r->lines != NULL ? PyUnicode_AsUTF8(r->lines) : NULL;
    long line =
        lines == NULL
            ? 0
            : render_line(lines,
                          PyCode_Addr2Line(code, (int)sl_py_own_offset(frame)));
    size_t len =
        line > 0 ? sl_py_span_text(SL_PY_TEXT_NAME, r->name, NULL, true, out)
                 : 0;

    if (len > 0) {
        int more = PyOS_snprintf(out + len, 16, ":%ld", line);
        len += more > 0 ? (size_t)more : 0;
    }
    PyErr_Clear();
    return len;
}

/* The same for the innermost node of a template below `frame`, up to the frame
 * `last`. */
static size_t
line_text(uintptr_t frame, uintptr_t last, char *out)
{
    for (int i = 0; i < LINE_FRAMES && frame != 0; i++) {
        PyCodeObject *code = sl_py_own_code(frame);
        const sl_py_probe *probe = sl_py_probe_of((PyObject *)code);
        if (probe != NULL && probe->target->action == &line_action)
            return node_line(row_bind(probe->target, code), frame, out);
        if (probe != NULL && (probe->target->action == &render_action ||
                              probe->target->action == &macro_action))
            return render_line_text((const render *)probe->target, frame, out);
        if (frame == last)
            break;
        frame = sl_py_own_back(frame);
    }
    return 0;
}

/* ---- the probes ---- */

/* What the calling thread works on: one stack after another, if not at once. A
 * greenlet that is started for a task (SQLAlchemy) has the task's context. */
static uint64_t
work_of(const PyThreadState *ts)
{
    return ts->context != NULL ? (uintptr_t)ts->context : ts->id;
}

static bool
same_kind(const row *a, const row *b)
{
    return a->kind_number == b->kind_number &&
           (a->kind_number < SL_SPAN_KIND_COUNT ||
            strcmp(a->kind, b->kind) == 0);
}

/* What a span begins with. */
typedef struct {
    const row *row;
    uintptr_t frame;    /* that asks: the called function's, or its caller's */
    uintptr_t end;      /* what the end is told by, see open_span.frame */
    PyObject *argument; /* of a C function, BORROWED */
} beginning;

/* Frames are aligned: a call of a C function is its caller's frame and 1. */
static uintptr_t
end_of_call(uintptr_t frame)
{
    return frame | 1;
}

/* The queries of all requests; NULL: no memory. Needs the GIL. */
static sl_span_memo *
memo_here(void)
{
    static sl_span_memo *memo;

    if (memo == NULL)
        memo = sl_span_memo_new(NULL);
    return memo;
}

/* The text of the call, as a word of the recording; 0: none. SQL is read in
 * the dialect `as`, or (NULL) in that of the call, which *own becomes. */
static uint32_t
beginning_word(const beginning *b, const sl_py_recording *recording,
               const sl_sql_dialect *as, sl_sql_dialect *own)
{
    char out[SL_PY_SPAN_TEXT_MAX];
    bool call = b->row->target.action->call != NULL;
    bool names = recording->layers == SL_PY_LAYERS_NAMES;
    PyObject *text = call && b->row->text.count == 0
                         ? Py_XNewRef(b->argument)
                         : sl_py_argument_read(&b->row->text, b->frame);
    PyObject *more = sl_py_argument_read(&b->row->more, b->frame);
    size_t len;
    uint64_t hash;
    const char *query =
        sl_py_span_query(b->row->what, text, more, &hash, &len, own);
    uint32_t word;

    if (query != NULL) {
        word = sl_span_kept_by(recording->core, memo_here(),
                               names ? SL_SPAN_NAMES : SL_SPAN_SHAPE,
                               as != NULL ? *as : *own, hash, query, len);
    } else {
        len = sl_py_span_text(b->row->what, text, more, names, out);
        word = sl_span_word(recording->core, out, len);
    }
    Py_XDECREF(text);
    Py_XDECREF(more);
    return word;
}

/* Whether `add`, which begins, asks for what `o` asked for already: SQL whose
 * dialect one of them does not know can have two shapes. */
static bool
asked_by(const open_span *o, const open_span *add, const beginning *b,
         const sl_py_recording *recording)
{
    sl_sql_dialect own;

    if (o->row == add->row || !same_kind(o->row, add->row))
        return false;
    return o->row->whole || o->text == add->text ||
           (o->dialect != add->dialect &&
            o->text == beginning_word(b, recording, &o->dialect, &own));
}

/* The row's kind, as the recording has it. */
static uint32_t
kind_of(const row *r, sl_py_recording *recording)
{
    return r->kind_number < SL_SPAN_KIND_COUNT
               ? r->kind_number
               : sl_span_kind_here(recording->core, r->kind, strlen(r->kind));
}

/* Begins the span, unless it is a part of another: of one of the same kind
 * around it, if that is the same text or takes in all. */
static void
span_begin(const beginning *b, PyThreadState *ts, sl_py_recording *recording,
           sl_strand *strand)
{
    char line[SL_PY_SPAN_TEXT_MAX];
    open_span add = { .frame = b->end,
                      .row = b->row,
                      .handle = recording->handle,
                      .work = work_of(ts) };
    uintptr_t template = 0;
    bool part = false;

    add.text = beginning_word(b, recording, NULL, &add.dialect);
    for (const open_span *o = recording->open_spans; o != NULL; o = o->outer) {
        if (o->work != add.work)
            continue;
        if (template == 0 && o->row->kind_number == SL_SPAN_TEMPLATE)
            template = o->frame;
        part = part || asked_by(o, &add, b, recording);
    }
    sl_span_what what = { .text = add.text };
    if (!part && sl_py_span_stands(recording, ts, b->frame, strand, &what)) {
        size_t len = template == 0 ? 0 : line_text(b->frame, template, line);
        what.kind = kind_of(b->row, recording);
        what.where = sl_span_word(recording->core, line, len);
        if (b->row->target.action->call == NULL)
            what.site = 0; /* it has just begun */
        sl_py_lent_stands(recording, b->frame, &what);
        add.span = sl_span_begin(recording->core, &what, time_of(recording));
    }
    open_add(&add, recording);
}

/* Something is asked for; if that is in a profiled request, a span begins. */
static void
span_start(const beginning *b)
{
    open_span **at = open_count > 0 ? frame_slot(b->end) : NULL;
    sl_strand *strand;

    if (at != NULL && *at != NULL)
        open_close(at); /* its frame went without a word */
    if (sl_py_live_count() == 0)
        return;
    PyThreadState *ts = sl_py_borrow_tstate();
    sl_py_recording *recording = sl_py_active_owner_known(ts, &strand);
    if (recording != NULL && recording->layers != SL_PY_LAYERS_OFF)
        span_begin(b, ts, recording, strand);
}

static void
span_leave(uintptr_t end)
{
    open_span **at = open_count > 0 ? frame_slot(end) : NULL;

    if (at != NULL && *at != NULL)
        open_close(at);
}

static bool
on_start(const sl_py_target *target, uintptr_t frame, PyObject *argument)
{
    (void)argument;
    span_start(&(beginning){ .row = row_bind(target, sl_py_own_code(frame)),
                             .frame = frame,
                             .end = frame });
    return false;
}

static void
on_leave(const sl_py_target *target, uintptr_t frame, PyObject *result)
{
    (void)target, (void)result;
    span_leave(frame);
}

static void
on_call(const sl_py_target *target, uintptr_t frame, PyObject *argument,
        uint32_t offset)
{
    (void)offset;
    span_start(&(beginning){ .row = (const row *)target,
                             .frame = frame,
                             .end = end_of_call(frame),
                             .argument = argument });
}

static void
on_returned(const sl_py_target *target, uintptr_t frame)
{
    (void)target;
    span_leave(end_of_call(frame));
}

/* It is given to what will call it out of C: one span says so, at the place. */
static void
on_unseen(const sl_py_target *target, uintptr_t frame, const char *by)
{
    char text[64];
    PyThreadState *ts = sl_py_borrow_tstate();
    const row *r = (const row *)target;
    sl_strand *strand;
    sl_py_recording *recording =
        sl_py_live_count() == 0 ? NULL : sl_py_active_owner_known(ts, &strand);
    sl_span_what what = { 0 };

    if (recording == NULL || recording->layers == SL_PY_LAYERS_OFF ||
        !sl_py_span_stands(recording, ts, frame, strand, &what))
        return;
    uint64_t now = time_of(recording);
    what.kind = kind_of(r, recording);
    snprintf(text, sizeof(text), "%s(execute): queries that are not seen", by);
    what.text = sl_span_word(recording->core, text, strlen(text));
    sl_span_add(recording->core, &what, now, now);
}

/* ---- Jinja2 ----
 *
 * A template is a module of functions that are made when it is loaded: one for
 * all of it, one a block. They run whoever asks for them (include, extends).
 * Where a line of theirs comes from says the template: "1=5&7=12" means that
 * from line 5 of the module on it is line 1 of the template. */

/* Functions of templates that get a probe: those that are loaded again and
 * again must not use up the table. */
#define RENDERS_MAX 1500u

static uint32_t render_count;

/* The text `text` whatever the call is; takes it over. */
static sl_py_argument
constant(PyObject *text)
{
    sl_py_argument argument = { .count = text != NULL };
    argument.ways[0].local = -1;
    argument.ways[0].steps[0].attribute = text;
    return argument;
}

/* A render for code that has none; NULL: it has, or there is no room. */
static render *
render_new(PyCodeObject *code, const sl_py_action *action, PyObject *name,
           PyObject *lines)
{
    if (render_count >= RENDERS_MAX || sl_py_probe_of((PyObject *)code) != NULL)
        return NULL;
    render *r = PyMem_Calloc(1, sizeof(*r)); /* for ever */
    if (r == NULL)
        return NULL;
    r->row.target.module = r->row.target.qualname = "";
    r->row.target.action = action;
    r->row.kind = "template";
    r->row.kind_number = SL_SPAN_TEMPLATE;
    r->row.what = SL_PY_TEXT_NAME;
    r->name = Py_NewRef(name);
    r->lines = Py_XNewRef(lines);
    render_count++;
    return r;
}

/* Macros and loops of a template are functions inside its: their lines are its
 * lines, wherever they are called from. */
static void
macros_add(const PyCodeObject *code, PyObject *name, PyObject *lines, int deep)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_consts); i++) {
        PyObject *inside = PyTuple_GET_ITEM(code->co_consts, i);
        render *r;
        if (!PyCode_Check(inside))
            continue;
        r = render_new((PyCodeObject *)inside, &macro_action, name, lines);
        if (r != NULL)
            sl_py_probes_put((PyCodeObject *)inside, &r->row.target);
        if (deep > 0)
            macros_add((PyCodeObject *)inside, name, lines, deep - 1);
    }
}

/* `function` renders the template `name`, or its block `block`. */
static void
render_add(PyObject *function, PyObject *name, PyObject *block, PyObject *lines)
{
    if (function == NULL || !PyFunction_Check(function))
        return;
    PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(function);
    render *r = render_new(code, &render_action, name, lines);
    if (r == NULL)
        return;
    r->row.text = constant(
        block == NULL ? Py_NewRef(name)
                      : PyUnicode_FromFormat("%U block %U", name, block));
    sl_py_probes_put(code, &r->row.target);
    macros_add(code, name, lines, 3);
}

/* A template was made: it is what the function returned. */
static void
template_made(const sl_py_target *target, uintptr_t frame, PyObject *result)
{
    static PyObject *words[4];
    static const char *const texts[] = { "name", "_debug_info",
                                         "root_render_func", "blocks" };
    PyObject *found[4] = { NULL };
    PyObject *type, *value, *traceback;

    (void)target, (void)frame;
    if (result == NULL)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    for (int i = 0; i < 4; i++) {
        if (words[i] == NULL)
            words[i] = PyUnicode_InternFromString(texts[i]);
        if (words[i] != NULL)
            found[i] = sl_py_plain_attribute(result, words[i]);
    }
    if (found[0] != NULL && PyUnicode_Check(found[0])) {
        PyObject *lines =
            found[1] != NULL && PyUnicode_Check(found[1]) ? found[1] : NULL;
        render_add(found[2], found[0], NULL, lines);
        PyObject *block, *function;
        Py_ssize_t at = 0;
        while (found[3] != NULL && PyDict_Check(found[3]) &&
               PyDict_Next(found[3], &at, &block, &function)) {
            if (PyUnicode_Check(block))
                render_add(function, found[0], block, lines);
        }
    }
    for (int i = 0; i < 4; i++)
        Py_XDECREF(found[i]);
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

static const sl_py_action render_action = {
    .start = on_start, .leave = on_leave, .raises = true, .inside = true
};
/* Only where a line is looked for: it has no events. */
static const sl_py_action macro_action = { .start = NULL };
static const sl_py_action template_action = { .leave = template_made };

static const sl_py_action span_action = {
    .start = on_start, .leave = on_leave, .raises = true, .inside = true
};
static const sl_py_action line_action = { .start = NULL };
static const sl_py_action quiet_action = { .quiet = true };
static const sl_py_action hands_action = { .hands = true };
static const sl_py_action call_action = { .call = on_call,
                                          .returned = on_returned,
                                          .unseen = on_unseen };

/* ---- rows of Python ---- */

/* The text, for ever. NULL with an exception. */
static char *
keep(const char *text)
{
    size_t size = strlen(text) + 1;
    char *kept = PyMem_Malloc(size);

    if (kept == NULL)
        PyErr_NoMemory();
    else
        memcpy(kept, text, size);
    return kept;
}

PyObject *
sl_py_layers_add(PyObject *module, PyObject *args)
{
    const char *name, *qualname, *kind, *text, *what_word, *more;
    int whole;

    (void)module;
    if (!PyArg_ParseTuple(args, "ssssssp:layers_add", &name, &qualname, &kind,
                          &text, &what_word, &more, &whole))
        return NULL;
    int what = sl_py_span_what_of(what_word);
    if (what < 0)
        return PyErr_Format(PyExc_ValueError, "no kind of text: '%s'",
                            what_word);
    row *r = PyMem_Calloc(1, sizeof(*r)); /* for ever */
    if (r == NULL)
        return PyErr_NoMemory();
    bool call = strncmp(text, "()", 2) == 0;
    if (sl_py_argument_compile(call ? text + 2 : text, &r->text) < 0 ||
        sl_py_argument_compile(more, &r->more) < 0 ||
        (r->kind = keep(kind)) == NULL ||
        (r->target.module = keep(name)) == NULL ||
        (r->target.qualname = keep(qualname)) == NULL) {
        PyMem_Free(r); /* what it holds is small, and a fault of the program */
        return NULL;
    }
    r->what = (sl_py_span_what)what;
    r->kind_number = (uint32_t)sl_span_kind_of(kind, strlen(kind));
    r->whole = whole != 0;
    r->target.action = what == SL_PY_TEXT_LINE       ? &line_action
                       : what == SL_PY_TEXT_TEMPLATE ? &template_action
                       : what == SL_PY_TEXT_QUIET    ? &quiet_action
                       : what == SL_PY_TEXT_HANDS    ? &hands_action
                       : call                        ? &call_action
                                                     : &span_action;
    if (!sl_py_probes_add(&r->target)) {
        PyErr_SetString(PyExc_ValueError, "there are too many rows");
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
sl_py_layers_open(PyObject *module, PyObject *kind)
{
    sl_strand *strand;
    const char *word = PyUnicode_AsUTF8(kind);
    sl_py_recording *recording =
        word == NULL ? NULL : sl_py_active_owner(&strand);
    bool is_open = false;

    (void)module;
    if (word == NULL)
        return NULL;
    uint64_t here = work_of(sl_py_borrow_tstate());
    for (const open_span *o = recording != NULL ? recording->open_spans : NULL;
         o != NULL; o = o->outer)
        is_open |= o->work == here && strcmp(o->row->kind, word) == 0;
    return PyBool_FromLong(is_open);
}
