/* codes.h - code objects to names and lines, without the GIL.
 *
 * A code object may die, and its address be used again, between two samples.
 * So each look compares what tells one from another (its name, file, first
 * line and line table) and takes a new entry where they differ; what was
 * copied stays for good. Code that is made again and again (exec, reload)
 * is one function as long as name, file and line are the same.
 *
 * The sampler's lock is held by the caller, always.
 */
#ifndef SL_PY_CODES_H
#define SL_PY_CODES_H

#include "look/frames.h"

/* A function as a sample names it; never freed, so its address is a key. */
typedef struct {
    const char *name; /* UTF-8, qualified */
    const char *file;
    uint32_t name_len, file_len;
    uint32_t line;
    bool own;    /* one of slowlens's own frames: not shown */
    bool shim;   /* the interpreter's own, between C and Python: not shown */
    bool begins; /* runs other contexts: what is below it is the server's */
    bool c;      /* a C function: it has no file */
} sl_py_code;

/* Where a sample is. */
typedef struct {
    const sl_py_code *code;
    uint32_t line; /* 0: not known */
} sl_py_place;

/* Files that begin with `own` are ours; copied. false: no memory. */
bool sl_py_codes_init(const char *own);

typedef enum {
    SL_PY_CODES_TORN, /* one was no code object, or its instruction is not its
                       * own */
    SL_PY_CODES_FOUND,
    SL_PY_CODES_MORE /* so many were new that the others have to wait for the
                      * next call, while others have the lock */
} sl_py_codes_found;

/* So many frames have no more new functions than one call learns, unless one of
 * those is very long. */
#define SL_PY_CODES_NEW 32

/* Before frames are read that are turned into places: what of them goes from
 * here on is not taken for known. */
void sl_py_codes_before(void);

/* Turns frames into places, one for one. `alive`: the caller holds the GIL and
 * what keeps the code objects alive, so that plain loads do; else it said
 * sl_py_codes_before() before it read them. If it is not FOUND, there is
 * nothing in `places`. */
sl_py_codes_found sl_py_codes_resolve(const sl_py_layout *layout,
                                      const sl_py_raw_frame *frames, int count,
                                      bool alive, sl_py_place *places);

/* From now on sl_py_codes_gone is called before a code object's memory is given
 * back, each time: what is known of the others need not be compared again. */
void sl_py_codes_watched(void);
void sl_py_codes_gone(void); /* any thread, with the GIL */

/* Where on its stack, which begins behind so many variables as are returned,
 * the callee of the call at the frame's place lies, as depths.h says it in
 * *callee; 0: it is at no call. The frame was resolved just now. */
uint32_t sl_py_codes_callee(const sl_py_layout *layout,
                            const sl_py_raw_frame *frame, uint16_t *callee);

/* The C function of that name; never freed. */
const sl_py_code *sl_py_codes_c(const char *name);

/* How often a function found no room and is [unknown]. */
uint64_t sl_py_codes_refused(void);

/* How many code objects the last call of _resolve gave up, to make room, and
 * how many it met for the first time. */
uint32_t sl_py_codes_freed(void);
uint32_t sl_py_codes_learnt(void);

/* Whether sl_py_codes_watched was called. */
bool sl_py_codes_are_watched(void);

/* The str at `address` as UTF-8, malloc'ed; NULL: it is none, or too long. */
char *sl_py_read_str(uintptr_t address, uint32_t *len);

#endif /* SL_PY_CODES_H */
