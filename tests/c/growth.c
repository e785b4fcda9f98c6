/* What a file can make of the reader's work: each section doubled, and doubled
 * again, may cost four times as much, and not sixteen times, in time and in
 * memory.
 *
 * Time is counted, not measured: the core is compiled once more so that each
 * of its basic blocks calls __sanitizer_cov_trace_pc, and what it moves and
 * compares is counted by the byte. Memory likewise, by what malloc hands out.
 */
#include "blob.h"
#include "buf.h"
#include "profile.h"
#include "varint.h"

#include "slowlens/export.h"
#include "slowlens/gather.h"
#include "slowlens/merge.h"
#include "slowlens/report.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE       700u /* stacks of four times as many are cut (stacks.h) */
#define GROWN      4u
#define STEPS_MOST 5.5  /* times: a sort costs 4.8 */
#define BYTES_MOST 10.0 /* times: arrays double, and the old one lives on */
#define STEPS_FREE 60000u
#define BYTES_FREE 100000u

static uint64_t steps;
static size_t live, peak;

void __sanitizer_cov_trace_pc(void);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *ptr);
void *__real_memcpy(void *to, const void *from, size_t size);
void *__real_memmove(void *to, const void *from, size_t size);
void *__real_memset(void *to, int byte, size_t size);
int __real_memcmp(const void *a, const void *b, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *ptr);
void *__wrap_memcpy(void *to, const void *from, size_t size);
void *__wrap_memmove(void *to, const void *from, size_t size);
void *__wrap_memset(void *to, int byte, size_t size);
int __wrap_memcmp(const void *a, const void *b, size_t size);

void
__sanitizer_cov_trace_pc(void)
{
    steps++;
}

static void *
taken(void *ptr)
{
    live += malloc_usable_size(ptr);
    peak = live > peak ? live : peak;
    return ptr;
}

void *
__wrap_malloc(size_t size)
{
    return taken(__real_malloc(size));
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return taken(__real_calloc(count, size));
}

void *
__wrap_realloc(void *old, size_t size)
{
    live -= malloc_usable_size(old);
    return taken(__real_realloc(old, size));
}

void
__wrap_free(void *ptr)
{
    live -= malloc_usable_size(ptr);
    __real_free(ptr);
}

/* Eight bytes are a step, as the machine has it. */
void *
__wrap_memcpy(void *to, const void *from, size_t size)
{
    steps += size / 8;
    return __real_memcpy(to, from, size);
}

void *
__wrap_memmove(void *to, const void *from, size_t size)
{
    steps += size / 8;
    return __real_memmove(to, from, size);
}

void *
__wrap_memset(void *to, int byte, size_t size)
{
    steps += size / 8;
    return __real_memset(to, byte, size);
}

int
__wrap_memcmp(const void *a, const void *b, size_t size)
{
    steps += size / 8;
    return __real_memcmp(a, b, size);
}

/* ---- files of many shapes ---- */

typedef enum { CHAIN, STAR, COMB, TASKS } form;

typedef struct {
    const char *name;
    form form;
    /* Parts in n: that many of each, 0: as few as can be. */
    bool nodes, functions, lines, stretches, lanes, counters, long_names, spans,
        hits, metadata;
    bool sampled;
    /* Functions are an ORM's, spans queries: at the last node, or with `lanes`
     * one at each. */
    bool orm;
} shape;

static const shape shapes[] = {
    { "a chain of one function", CHAIN, .nodes = true },
    { "a star of one function", STAR, .nodes = true },
    { "a chain of functions", CHAIN, .nodes = true, .functions = true },
    { "a star of functions", STAR, .nodes = true, .functions = true },
    { "a comb", COMB, .nodes = true, .functions = true },
    { "tasks", TASKS, .nodes = true },
    { "tasks and the order of time", TASKS, .nodes = true, .stretches = true,
      .lanes = true, .sampled = true },
    { "lines of one node", CHAIN, .lines = true, .sampled = true },
    { "lines of a chain", CHAIN, .nodes = true, .lines = true,
      .sampled = true },
    { "the order of time", TASKS, .stretches = true, .sampled = true },
    { "the order of time of a chain", CHAIN, .nodes = true, .stretches = true,
      .sampled = true },
    { "the order of time in lanes", TASKS, .stretches = true, .lanes = true,
      .sampled = true },
    { "counters", CHAIN, .nodes = true, .counters = true },
    { "spans of one node", CHAIN, .functions = true, .nodes = true,
      .spans = true },
    { "spans of a star", STAR, .functions = true, .nodes = true, .spans = true,
      .lanes = true },
    { "queries below an ORM", CHAIN, .functions = true, .nodes = true,
      .spans = true, .orm = true },
    { "queries all the way down an ORM, sampled", CHAIN, .functions = true,
      .nodes = true, .spans = true, .lanes = true, .orm = true,
      .sampled = true },
    { "lines that events told of, of one node", CHAIN, .hits = true },
    { "lines that events told of", STAR, .functions = true, .nodes = true,
      .hits = true },
    { "metadata", CHAIN, .metadata = true },
    { "long names", STAR, .nodes = true, .functions = true,
      .long_names = true },
};

static void
put_column(sl_buf *out, uint32_t count, uint64_t value)
{
    for (uint32_t i = 0; i < count; i++)
        sl_buf_put_varint(out, value);
}

static void
put_section(sl_buf *out, unsigned tag, sl_buf *body)
{
    sl_buf_put_varint(out, tag);
    sl_buf_put_varint(out, body->size);
    sl_buf_put(out, body->data, body->size);
    body->size = 0;
}

static void
put_name(sl_buf *lengths, sl_buf *texts, const char *name, size_t pad)
{
    sl_buf_put_varint(lengths, strlen(name) + pad);
    sl_buf_put_str(texts, name);
    for (size_t i = 0; i < pad; i++)
        sl_buf_put_u8(texts, 'x');
}

/* request, [await], [task], and functions; string i + 1 is function i's. Behind
 * these are a file of an ORM and a kind of spans. */
static void
put_functions(sl_buf *out, sl_buf *body, const shape *s, uint32_t functions)
{
    sl_buf texts;
    char name[32];

    sl_buf_init(&texts, NULL, 0);
    sl_buf_put_varint(body, functions + 3);
    put_name(body, &texts, "", 0);
    for (uint32_t i = 0; i < functions; i++) {
        static const char *const pseudo[] = { "[request]", "[await]",
                                              "[task]" };
        snprintf(name, sizeof(name), "f%u", i);
        put_name(body, &texts, i < 3 ? pseudo[i] : name,
                 i >= 3 && s->long_names ? 5000 : 0);
    }
    put_name(body, &texts, "/sqlalchemy/x.py", 0);
    put_name(body, &texts, "db", 0);
    sl_buf_put(body, texts.data, texts.size);
    sl_buf_free(&texts);
    put_section(out, SL_BLOB_STRINGS, body);
    sl_buf_put_varint(body, functions);
    for (uint32_t i = 0; i < functions; i++)
        sl_buf_put_varint(body, i + 1);
    put_column(body, functions, s->orm ? functions + 1 : 0);
    put_column(body, functions, 7);
    for (uint32_t i = 0; i < functions; i++)
        sl_buf_put_varint(body, i < 3 ? SL_KIND_PSEUDO : SL_KIND_PYTHON);
    for (uint32_t i = 0; i < functions; i++)
        sl_buf_put_varint(body, i < 3    ? SL_ORIGIN_NONE
                                : s->orm ? SL_ORIGIN_LIBRARY
                                         : SL_ORIGIN_PROJECT);
    put_section(out, SL_BLOB_FUNCTIONS, body);
}

/* request > ([await], [task] > f3, ...), then what the form says. */
static void
put_tree(sl_buf *out, sl_buf *body, const shape *s, uint32_t nodes,
         uint32_t functions)
{
    sl_buf_put_varint(body, nodes);
    sl_buf_put_varint(body, 1000);
    for (uint32_t i = 0; i < nodes; i++) {
        uint32_t pops = s->form == CHAIN      ? 0
                        : s->form == STAR     ? i > 4
                        : s->form == COMB     ? i > 4 && i % 2
                        : i > 2 && i % 2 == 0 ? 2
                                              : 0;
        sl_buf_put_varint(body, i == 2 ? 1 : pops);
    }
    for (uint32_t i = 0; i < nodes; i++) {
        uint32_t again = s->form == TASKS ? (i % 2 ? 4 : 3) : 4;
        sl_buf_put_varint(body, i < functions ? 0
                                : s->form == TASKS || functions == 4
                                    ? again
                                    : 1 + i % functions);
    }
    put_column(body, nodes, 9);
    put_column(body, nodes, 0);
    for (uint32_t i = 0; i < nodes; i++)
        sl_buf_put_varint(body, i == 1 ? (uint64_t)nodes * 3 : 3);
    for (uint32_t i = 0; i < nodes; i++)
        sl_buf_put_varint(body, i);
    put_section(out, SL_BLOB_TREE, body);
}

static void
put_seen(sl_buf *out, sl_buf *body, const shape *s, uint32_t nodes, uint32_t n)
{
    if (s->lines) {
        sl_buf_put_varint(body, n);
        for (uint32_t i = 0; i < n; i++)
            sl_buf_put_varint(body, i > 0 && nodes > i);
        for (uint32_t i = 0; i < n; i++)
            sl_buf_put_varint(body, n - i);
        put_column(body, n, 3);
        put_column(body, 2 * n, 1);
        put_section(out, SL_BLOB_LINES, body);
    }
    if (s->stretches) { /* in [await], then in tasks or the chain's end */
        sl_buf_put_varint(body, 2 * n);
        for (uint32_t i = 0; i < 2 * n; i++)
            sl_buf_put_varint(body, i == n || (s->lanes && i > n));
        put_column(body, 2 * n, 0);
        for (uint32_t i = 0; i < 2 * n; i++) {
            int64_t to = s->form == CHAIN ? (i % 2 ? nodes - 1 : nodes / 2)
                         : i < n          ? 1
                         : nodes > n      ? 3 + 2 * ((i - n) / 3)
                                          : 3;
            int64_t from = i == 0 ? 0
                           : s->form == CHAIN
                               ? ((i - 1) % 2 ? nodes - 1 : nodes / 2)
                           : i - 1 < n ? 1
                           : nodes > n ? 3 + 2 * ((i - 1 - n) / 3)
                                       : 3;
            sl_buf_put_varint(body, sl_zigzag(to - from));
        }
        for (uint32_t i = 0; i < 2 * n; i++)
            sl_buf_put_varint(body, s->lanes && i >= n ? 2 * n : 2);
        put_section(out, SL_BLOB_TIMELINE, body);
    }
    if (s->hits) { /* of node 0, or one of each */
        sl_buf_put_varint(body, n);
        for (uint32_t i = 0; i < n; i++)
            sl_buf_put_varint(body, i > 0 && nodes > i);
        for (uint32_t i = 0; i < n; i++)
            sl_buf_put_varint(body, i + 1);
        put_column(body, 2 * n, 1);
        put_section(out, SL_BLOB_HITS, body);
    }
    if (s->counters) {
        sl_buf_put_varint(body, 2);
        for (uint32_t m = SL_METRIC_LOCK; m <= SL_METRIC_SOCKET; m++) {
            sl_buf_put_varint(body, m);
            sl_buf_put_varint(body, nodes);
            for (uint32_t i = 0; i < nodes; i++)
                sl_buf_put_varint(body, i > 0);
            put_column(body, nodes, 5);
        }
        put_section(out, SL_BLOB_COUNTERS, body);
    }
}

/* Spans that are all different, by the names of functions: at one node, or one
 * at each. Each is kept once. */
static void
put_spans(sl_buf *out, sl_buf *body, const shape *s, uint32_t nodes, uint32_t n)
{
    sl_buf_put_varint(body, n);
    sl_buf_put_varint(body, n);
    sl_buf_put_varint(body, 0);
    for (uint32_t i = 0; i < n; i++)
        sl_buf_put_varint(body, !s->orm || s->lanes ? s->lanes
                                : i == 0            ? nodes - 1
                                                    : 0);
    put_column(body, 2 * n, 1);              /* line, lane */
    put_column(body, n, s->orm ? n + 6 : 2); /* kind */
    for (uint32_t i = 0; i < n; i++)
        sl_buf_put_varint(body, 3 + i);
    put_column(body, n, 0); /* where */
    put_column(body, 5 * n, 1);
    put_column(body, 2 * n, 1); /* firsts */
    put_column(body, n, 0);
    put_section(out, SL_BLOB_SPANS, body);
}

/* As many items as there may be, or nearly. */
static void
put_items(sl_buf *out, sl_buf *body, unsigned tag, uint32_t n, bool sampled)
{
    char key[32];

    sl_buf_put_varint(body, sampled + n);
    if (sampled)
        sl_buf_put(body, "\4mode\1\10sampling", 15);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "tag.%u", i);
        sl_buf_put_varint(body, strlen(key));
        sl_buf_put_str(body, key);
        sl_buf_put_u8(body, SL_BLOB_TEXT);
        sl_buf_put_varint(body, strlen(key));
        sl_buf_put_str(body, key);
    }
    put_section(out, tag, body);
}

static void
make(const shape *s, uint32_t n, sl_buf *out)
{
    n = s->long_names ? n / 8 : n; /* each is much work */
    uint32_t nodes = s->nodes ? n + 5 : 5;
    uint32_t functions = s->functions ? n + 4 : 4;
    sl_buf body;

    sl_buf_init(out, NULL, 0);
    sl_buf_init(&body, NULL, 0);
    sl_buf_put(out, "slowlens\1\0\0\0", 12);
    put_items(out, &body, SL_BLOB_META, s->metadata ? n : 0, s->sampled);
    if (s->metadata)
        put_items(out, &body, SL_BLOB_SUMMARY, n, false);
    put_functions(out, &body, s, functions);
    put_tree(out, &body, s, nodes, functions);
    put_seen(out, &body, s, nodes, n);
    if (s->spans)
        put_spans(out, &body, s, nodes, n);
    put_section(out, SL_BLOB_END, &body);
    sl_buf_free(&body);
}

/* ---- what is done with them ---- */

typedef struct {
    sl_status (*run)(const sl_profile *profile, uint32_t number, sl_bytes *out);
    const char *name;
} job;

static sl_status
run_summary(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    (void)number;
    return sl_report_summary(p, false, out);
}

static sl_status
run_tree(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    sl_report_tree_options options = { 0, UINT32_MAX, true, 1u << 24 };
    (void)number;
    return sl_report_tree(p, &options, out);
}

static sl_status
run_lines(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    (void)number;
    return sl_report_lines(p, 3, out);
}

static sl_status
run_flame(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    return sl_report_flame(p, number, 0, out);
}

static sl_status
run_calls(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    (void)number;
    return sl_report_calls(p, SL_REPORT_ALL, 0, out);
}

static sl_status
run_callers(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    (void)number;
    return sl_report_calls(p, 3, 0, out);
}

static sl_status
run_repeats(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    (void)number;
    return sl_report_repeats(p, UINT32_MAX, out);
}

static sl_status
run_spans(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    (void)number;
    return sl_report_spans(p, UINT32_MAX, out);
}

static sl_status
run_diff(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    return sl_report_diff(p, p, number, out);
}

static sl_status
run_merge(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    const sl_profile *const both[] = { p, p };
    (void)number;
    return sl_merge(both, 2, NULL, 0, 1, out);
}

static sl_status
run_growth(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    (void)number;
    return sl_growth(p, p, NULL, 0, 1, out);
}

static sl_status
run_aggregate(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    const sl_profile *const both[] = { p, p };
    return sl_report_aggregate(both, 2, number, out);
}

static sl_status
run_gather(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    sl_gather *gather;
    sl_status status = sl_gather_new(&gather, 1u << 20);

    (void)number;
    for (int i = 0; i < 3 && status == SL_OK; i++)
        status = sl_gather_add(gather, p, 2);
    if (status == SL_OK)
        status = sl_gather_encode(gather, NULL, 0, 1, out);
    sl_gather_free(gather);
    return status;
}

static sl_status
run_meta(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    (void)number;
    return sl_report_meta(p, out);
}

/* So many that something may be named, in groups that differ not at all. */
static sl_status
run_cohort(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    enum { MANY = 60 };
    const sl_profile *many[MANY];

    (void)number;
    for (int i = 0; i < MANY; i++)
        many[i] = p;
    return sl_report_cohort(many, MANY, NULL, true, out);
}

static sl_status
drop(void *ctx, const void *bytes, size_t size)
{
    (void)ctx, (void)bytes, (void)size;
    return SL_OK;
}

static sl_status
run_export(const sl_profile *p, uint32_t number, sl_bytes *out)
{
    (void)out;
    return sl_export_stream(p, sl_export_at(number), 0, drop, NULL);
}

static const job jobs[] = {
    { run_meta, "meta" },
    { run_summary, "summary" },
    { run_tree, "tree" },
    { sl_report_functions, "functions" },
    { run_lines, "lines" },
    { sl_report_timeline, "timeline" },
    { run_flame, "flame" },
    { run_calls, "calls" },
    { run_callers, "calls of one" },
    { run_repeats, "repeats" },
    { run_spans, "spans" },
    { sl_report_text, "text" },
    { run_diff, "diff" },
    { run_merge, "merge" },
    { run_growth, "growth" },
    { run_aggregate, "aggregate" },
    { run_cohort, "cohort" },
    { run_gather, "gather" },
};

typedef struct {
    uint64_t steps;
    size_t bytes;
} cost;

static cost
measure(const job *what, const sl_profile *profile, uint32_t number)
{
    sl_bytes out = { 0 };
    size_t before = live;

    steps = 0;
    peak = live;
    sl_status status = what->run(profile, number, &out);
    cost found = { steps, peak - before };
    if (status == SL_OK && out.data != NULL)
        sl_bytes_free(&out);
    if (status != SL_OK && status != SL_ELIMIT) {
        printf("%s: %s\n", what->name, sl_status_name(status));
        exit(EXIT_FAILURE);
    }
    if (live != before) {
        printf("%s: %zu bytes are not given back\n", what->name, live - before);
        exit(EXIT_FAILURE);
    }
    return found;
}

static int
compare(const char *shape_name, const char *job_name, cost once, cost grown)
{
    int bad = 0;

    if ((double)grown.steps > STEPS_MOST * (double)once.steps + STEPS_FREE) {
        printf("%s of %s: %llu steps, then %llu\n", job_name, shape_name,
               (unsigned long long)once.steps, (unsigned long long)grown.steps);
        bad++;
    }
    if ((double)grown.bytes > BYTES_MOST * (double)once.bytes + BYTES_FREE) {
        printf("%s of %s: %zu bytes of memory, then %zu\n", job_name,
               shape_name, once.bytes, grown.bytes);
        bad++;
    }
    return bad;
}

static sl_profile *
decoded(const shape *s, uint32_t n, cost *decode)
{
    sl_profile *profile;
    sl_buf content;

    make(s, n, &content);
    size_t before = live;
    steps = 0;
    peak = live;
    sl_status status = sl_profile_decode_content(&profile, content.data,
                                                 content.size, 0, NULL);
    *decode = (cost){ steps, peak - before };
    if (status < 0) {
        printf("%s: %s\n", s->name, sl_status_name(status));
        exit(EXIT_FAILURE);
    }
    sl_buf_free(&content);
    return profile;
}

static int
check_shape(const shape *s)
{
    cost decode[2];
    sl_profile *once = decoded(s, SIZE, &decode[0]);
    sl_profile *grown = decoded(s, GROWN * SIZE, &decode[1]);
    int bad = compare(s->name, "decoding", decode[0], decode[1]);

    for (size_t j = 0; j < sizeof(jobs) / sizeof(jobs[0]); j++)
        bad += compare(s->name, jobs[j].name, measure(&jobs[j], once, 0),
                       measure(&jobs[j], grown, 0));
    for (uint32_t e = 0; sl_export_at(e) != NULL; e++) {
        job one = { run_export, sl_export_at(e)->name };
        bad += compare(s->name, one.name, measure(&one, once, e),
                       measure(&one, grown, e));
    }
    sl_profile_free(once);
    sl_profile_free(grown);
    return bad;
}

/* Many profiles. */
static cost
aggregate_of(uint32_t count)
{
    const sl_profile **profiles = calloc(count, sizeof(*profiles));
    static const shape s = { "", STAR, .nodes = true, .functions = true,
                             .long_names = true };
    sl_bytes out;
    cost ignored;

    for (uint32_t i = 0; i < count; i++)
        profiles[i] = decoded(&s, 400 + i, &ignored);
    steps = 0;
    size_t before = peak = live;
    if (sl_report_aggregate(profiles, count, 0, &out) != SL_OK)
        exit(EXIT_FAILURE);
    cost found = { steps, peak - before };
    sl_bytes_free(&out);
    for (uint32_t i = 0; i < count; i++)
        sl_profile_free((sl_profile *)(uintptr_t)profiles[i]);
    free(profiles);
    return found;
}

int
main(void)
{
    int bad = 0;

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        bad += check_shape(&shapes[i]);
    bad += compare("many profiles", "aggregate", aggregate_of(75),
                   aggregate_of(300));
    printf("%d that grow too fast\n", bad);
    return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
