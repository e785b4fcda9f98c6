/* Work on the request's own stack that another strand of it awaits: see
 * lent.h. */
#include "run/lent.h"
#include "look/code_map.h"
#include "look/own_stack.h"

/* At one time: as many as threads run an async_to_sync(). */
#define LENT_MAX 256
/* Functions between a query and the work that it is of. */
#define FRAMES_MAX 200

typedef struct {
    uintptr_t frame;      /* 0: free */
    sl_py_handle *handle; /* strong */
    const void *node;
    uint32_t lane;
} work;

static work lent[LENT_MAX];
static int lent_used; /* below it are all that are not free */

static work *
lent_at(uintptr_t frame)
{
    for (int i = 0; i < lent_used; i++) {
        if (lent[i].frame == frame)
            return &lent[i];
    }
    return NULL;
}

static void
drop(work *w)
{
    PyObject *handle = (PyObject *)w->handle;

    *w = (work){ 0 };
    while (lent_used > 0 && lent[lent_used - 1].frame == 0)
        lent_used--;
    Py_XDECREF(handle); /* runs no code */
}

void
sl_py_lent_begin(const sl_py_recording *recording, uintptr_t frame,
                 const void *node, uint32_t lane)
{
    sl_py_lent_end(frame);
    if (node == NULL)
        return;
    work *free_one = lent_at(0);
    if (free_one == NULL && lent_used < LENT_MAX)
        free_one = &lent[lent_used++];
    if (free_one == NULL)
        return;
    *free_one = (work){ .frame = frame,
                        .handle = (sl_py_handle *)Py_NewRef(
                            (PyObject *)recording->handle),
                        .node = node,
                        .lane = lane };
}

void
sl_py_lent_end(uintptr_t frame)
{
    work *w = lent_used > 0 ? lent_at(frame) : NULL;

    if (w != NULL)
        drop(w);
}

void
sl_py_lent_stands(const sl_py_recording *recording, uintptr_t frame,
                  sl_span_what *what)
{
    for (int i = 0; lent_used > 0 && i < FRAMES_MAX && frame != 0; i++) {
        const work *w = lent_at(frame);
        if (w != NULL) {
            if (w->handle->recording == recording) {
                what->node = w->node;
                what->lane = w->lane;
                what->site = 0;
            }
            return;
        }
        PyCodeObject *code = sl_py_own_code(frame);
        if (code != NULL && sl_py_code_origin(code) == SL_ORIGIN_PROJECT)
            return;
        frame = sl_py_own_back(frame);
    }
}

void
sl_py_lent_over(const sl_py_recording *recording)
{
    for (int i = lent_used - 1; i >= 0; i--) {
        if (lent[i].frame != 0 && lent[i].handle->recording == recording)
            drop(&lent[i]);
    }
}

void
sl_py_lent_after_fork(void)
{
    for (int i = lent_used - 1; i >= 0; i--)
        drop(&lent[i]);
}
