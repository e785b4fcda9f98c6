/* made.h - small profiles, made by hand. */
#ifndef SL_TEST_MADE_H
#define SL_TEST_MADE_H

#include "slowlens/profile.h"

/* A name in brackets is a pseudo function's; "app.x" is the project's, in
 * /app/x.py; "C.x", and "C:x" that is named "x", a C function; anything else a
 * library's, in /lib/NAME.py. */
typedef struct {
    uint32_t depth; /* of node 0: 0 */
    const char *name;
    uint64_t calls;
    uint64_t self_ns;
    uint32_t line; /* of the call */
} made_node;

typedef struct {
    uint32_t lane, node;
    uint64_t from_ns, to_ns;
} made_stretch;

typedef struct {
    const made_node *nodes;
    uint32_t count;
    const made_stretch *stretches;
    uint32_t stretch_count;
    const sl_profile_line *lines;
    uint32_t line_count;
    const sl_profile_counter *counters; /* in order of metric and node */
    uint32_t counter_count;
    const sl_meta *meta;
    uint32_t meta_count;
    bool sampled; /* instead of any other metadata */
} made;

/* The profile; a test's failure if it cannot be. */
sl_profile *made_profile(const made *m);

#define MADE(...)                                                              \
    .nodes = (const made_node[])__VA_ARGS__,                                   \
    .count = sizeof((const made_node[])__VA_ARGS__) / sizeof(made_node)

#endif
