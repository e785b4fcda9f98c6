/* Which of a path's steps are told: as its text, and as the culprit. */
#include "hotpath.h"
#include "label.h"

#include <stdio.h>
#include <string.h>

#define FRAMES_MAX 4 /* shown, of the project's own */

bool
sl_hotpath_runs_jobs(const sl_function *f)
{
    return sl_outline_function_is(f, "threading.py", "Thread.run") ||
           sl_outline_function_is(f, "aiosqlite/core.py",
                                  "_connection_worker_thread");
}

/* A function of a library that only passes on, of whose callee no name of its
 * own says anything: a closure (a decorator's wrapper), or the step through
 * which a template, or a thread, does whatever it does. */
static bool
passes_on(const sl_function *f)
{
    static const char mark[] = "<locals>";
    static const sl_outline_named funnels[] = {
        { "jinja2/environment.py", "Environment.getattr" },
        { "jinja2/environment.py", "Environment.getitem" },
        { "jinja2/environment.py", "Environment.call_filter" },
        { "jinja2/environment.py", "Environment.call_test" },
        { "jinja2/environment.py", "Environment._filter_test_common" },
        { "jinja2/runtime.py", "Context.call" },
        { "jinja2/async_utils.py", "auto_await" },
    };

    if (f->origin != SL_ORIGIN_LIBRARY && f->origin != SL_ORIGIN_STDLIB)
        return false;
    if (sl_hotpath_runs_jobs(f))
        return true;
    for (size_t i = 0; i + sizeof(mark) - 1 <= f->name_len; i++) {
        if (memcmp(f->name + i, mark, sizeof(mark) - 1) == 0)
            return true;
    }
    return sl_outline_function_is_any(f, funnels,
                                      sizeof(funnels) / sizeof(*funnels));
}

static bool
ends_in(const sl_function *f, const char *end)
{
    size_t len = strlen(end);
    return f->name_len >= len &&
           memcmp(f->name + f->name_len - len, end, len) == 0;
}

bool
sl_hotpath_hands_on(const sl_function *f)
{
    static const sl_outline_named known[] = {
        { "django/core/handlers/base.py", "BaseHandler._get_response" },
        { "django/core/handlers/base.py", "BaseHandler._get_response_async" },
        { "django/utils/deprecation.py", "MiddlewareMixin.__call__" },
        { "django/utils/deprecation.py", "MiddlewareMixin.__acall__" },
        { "starlette/applications.py", "Starlette.__call__" },
        { "starlette/routing.py", "Router.__call__" },
        { "starlette/routing.py", "Route.handle" },
        { "fastapi/applications.py", "FastAPI.__call__" },
        { "flask/app.py", "Flask.wsgi_app" },
        { "flask/app.py", "Flask.full_dispatch_request" },
    };

    if (f->origin != SL_ORIGIN_LIBRARY)
        return false;
    return sl_outline_function_is_any(f, known,
                                      sizeof(known) / sizeof(*known)) ||
           ends_in(f, "Middleware.__call__") ||
           ends_in(f, "Middleware.__acall__");
}

/* Goes on from what says little to what it called, as far as the path leads. */
static uint32_t
go_on(const sl_outline *o, const sl_hotpath *path, uint32_t step,
      bool (*says_little)(const sl_function *))
{
    while (step + 1 < path->count &&
           says_little(sl_outline_function(o, path->steps[step].node)) &&
           sl_outline_function(o, path->steps[step + 1].node)->kind !=
               SL_KIND_PSEUDO)
        step++;
    return step;
}

/* Of a wait that ends a path without a frame of the project's: the step of the
 * library that asked for it; else `last` itself. */
static uint32_t
waits_in(const sl_outline *o, const sl_hotpath *path, uint32_t last)
{
    if (sl_outline_pseudo(o, path->steps[last].node) != SL_PSEUDO_AWAIT)
        return last;
    for (uint32_t s = last; s-- > 0;) {
        if (sl_outline_is_strand(o, path->steps[s].node))
            break;
        if (sl_outline_function(o, path->steps[s].node)->origin ==
            SL_ORIGIN_LIBRARY)
            return s;
    }
    return last;
}

/* Picks the steps to show: the last FRAMES_MAX of the project, each once in
 * a row, then what the last one called. Without any, the deepest frame. */
static size_t
pick(const sl_outline *o, const sl_hotpath *path, uint32_t *picked)
{
    enum { NONE = -1 };
    uint64_t half = sl_outline_wall(o) / 2;
    int64_t last = NONE, callee = NONE;
    size_t count = 0;

    for (uint32_t s = 0; s < path->count; s++) {
        uint32_t i = path->steps[s].node, number = o->nodes[i].function;
        if (sl_outline_is_strand(o, i)) {
            callee = NONE; /* nobody called it: what it runs comes next */
            continue;
        }
        if (last == NONE || o->nodes[i].total_ns >= half)
            last = s;
        if (o->functions[number].origin != SL_ORIGIN_PROJECT) {
            if (callee == NONE)
                callee = s;
            continue;
        }
        callee = NONE;
        if (count > 0 &&
            o->nodes[path->steps[picked[count - 1]].node].function == number)
            count--;
        if (count == FRAMES_MAX) {
            memmove(picked, picked + 1, (FRAMES_MAX - 1) * sizeof(*picked));
            count--;
        }
        picked[count++] = s;
    }
    if (count == 0 && last != NONE) {
        uint32_t who = waits_in(o, path, (uint32_t)last);
        if (who != (uint32_t)last)
            picked[count++] = who;
        picked[count++] = (uint32_t)last;
    } else if (callee != NONE)
        picked[count++] = go_on(o, path, (uint32_t)callee, passes_on);
    return count;
}

void
sl_hotpath_text(const sl_outline *o, const sl_hotpath *path, sl_buf *out)
{
    uint32_t picked[FRAMES_MAX + 1];
    size_t count = pick(o, path, picked);
    uint64_t wall = sl_outline_wall(o);
    char share[16];

    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            sl_buf_put_str(out, " > ");
        sl_label_name(out, sl_outline_function(o, path->steps[picked[i]].node),
                      SL_LABEL_MAX);
    }
    if (count == 0 || wall == 0)
        return;
    snprintf(share, sizeof(share), " %u%%",
             (unsigned)((double)path->steps[picked[count - 1]].ns * 100.0 /
                            (double)wall +
                        0.5));
    sl_buf_put_str(out, share);
}

/* A context manager's method, of whose name every other has one: it says less
 * than what it goes on to. */
static bool
enters(const sl_function *f)
{
    static const char *const names[] = { "__enter__", "__aenter__", "__exit__",
                                         "__aexit__" };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (ends_in(f, names[i]))
            return true;
    }
    return false;
}

bool
sl_hotpath_culprit(const sl_outline *o, const sl_hotpath *path,
                   uint32_t *culprit, uint32_t *own)
{
    *own = UINT32_MAX;
    if (path->count == 0)
        return false;
    *culprit = path->count - 1;
    for (uint32_t s = path->count; s-- > 0;) {
        const sl_function *f = sl_outline_function(o, path->steps[s].node);
        if (sl_hotpath_hands_on(f))
            break;
        if (f->origin != SL_ORIGIN_PROJECT)
            continue;
        *own = s;
        *culprit = s + 1 < path->count ? s + 1 : s;
        /* Of what was waited for, what ran there. */
        for (uint32_t next = s + 1; next + 1 < path->count; next++) {
            if (sl_outline_is_strand(o, path->steps[next].node))
                *culprit = next + 1;
        }
        break;
    }
    *culprit = go_on(o, path, *culprit, passes_on);
    if (*own != *culprit)
        *culprit = go_on(o, path, *culprit, enters);
    return true;
}
