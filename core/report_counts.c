/* What some requests of a route ask for more often: see report_counts.h. */
#include "report_counts.h"
#include "cohort.h"
#include "findings.h"
#include "label.h"
#include "report_put.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEATURES_MAX 512u /* what is met later is part of its kind alone */
#define SLOTS        2048u
#define TEXT_BYTES   120u /* of a query, in a sentence */
/* Less of a response is no news. */
#define BYTES_LEAST 10000
#define NONE        UINT32_MAX

typedef struct {
    const char *kind, *text;
} feature;

typedef struct {
    const sl_profile *const *profiles;
    const uint8_t *group;
    uint32_t count;
    feature features[FEATURES_MAX];
    uint32_t feature_count;
    uint32_t slots[SLOTS]; /* feature + 1; 0: free */
    uint64_t *table;       /* feature x profile */
    uint64_t *column;      /* scratch */
    uint32_t tried;        /* features that are not the same in all */
} job;

static uint32_t
hash_of(const char *kind, const char *text)
{
    uint32_t hash = 2166136261u;

    for (const char *at = kind; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    for (const char *at = text; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    return hash ^ hash >> 15;
}

/* NONE: there are too many. Slots stay three quarters free, so whatever texts
 * a file has, a search is short by FEATURES_MAX steps at most. */
static uint32_t
feature_of(job *j, const char *kind, const char *text)
{
    uint32_t at = hash_of(kind, text) & (SLOTS - 1);

    for (; j->slots[at] != 0; at = (at + 1) & (SLOTS - 1)) {
        const feature *f = &j->features[j->slots[at] - 1];
        if (strcmp(f->kind, kind) == 0 && strcmp(f->text, text) == 0)
            return j->slots[at] - 1;
    }
    if (j->feature_count == FEATURES_MAX)
        return NONE;
    j->features[j->feature_count] = (feature){ kind, text };
    j->slots[at] = ++j->feature_count;
    return j->feature_count - 1;
}

static void
plus(job *j, const char *kind, const char *text, uint32_t p, uint64_t count)
{
    uint32_t f = feature_of(j, kind, text);
    uint64_t *at = f == NONE ? NULL : &j->table[(size_t)f * j->count + p];

    if (at != NULL)
        *at = *at + count < *at ? UINT64_MAX : *at + count;
}

static void
gather(job *j)
{
    for (uint32_t p = 0; p < j->count; p++) {
        const sl_meta *bytes =
            sl_profile_meta_find(j->profiles[p], "response_bytes");
        if (bytes != NULL && bytes->text == NULL && bytes->number > 0)
            plus(j, "", "", p, (uint64_t)bytes->number);
        for (uint32_t i = 0; i < sl_profile_span_count(j->profiles[p]); i++) {
            const sl_profile_span *s = sl_profile_span_at(j->profiles[p], i);
            plus(j, s->kind, "", p, s->count);
            if (s->text[0] != '\0')
                plus(j, s->kind, s->text, p, s->count);
        }
    }
}

/* ---- one feature ---- */

static int
by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* What nine of ten usual requests have at most; `fewer`: at least. */
static uint64_t
usual_end(job *j, const uint64_t *row, bool fewer, uint32_t usual)
{
    uint32_t seen = 0, tenth = usual / 10;

    for (uint32_t p = 0; p < j->count; p++) {
        if (j->group[p] == SL_COHORT_USUAL)
            j->column[seen++] = row[p];
    }
    qsort(j->column, seen, sizeof(*j->column), by_number);
    return j->column[fewer ? tenth : seen - 1 - tenth];
}

static bool
is_far(const sl_counts_row *row)
{
    double much = row->more ? row->slow : row->usual;
    double less = row->more ? row->usual : row->slow;

    if (row->kind[0] == '\0')
        return much - less >= BYTES_LEAST && much >= 1.5 * less;
    return much - less >= 1 && much >= 1.2 * less;
}

/* Whether not all requests that are compared have as many: of what they all
 * have alike nothing can be found, whoever is in which group. */
static bool
varies(const job *j, uint32_t f)
{
    const uint64_t *row = &j->table[(size_t)f * j->count];
    uint32_t first = NONE;

    for (uint32_t p = 0; p < j->count; p++) {
        if (j->group[p] == SL_COHORT_REST)
            continue;
        if (first == NONE)
            first = p;
        if (row[p] != row[first])
            return true;
    }
    return false;
}

/* Whether the feature is one of which the first side has more (fewer). */
static bool
measure(job *j, uint32_t f, bool more, const sl_counts *all, sl_counts_row *out)
{
    const uint64_t *row = &j->table[(size_t)f * j->count];
    uint64_t end = usual_end(j, row, !more, all->usual);
    double sums[2] = { 0, 0 };

    *out = (sl_counts_row){ .kind = j->features[f].kind,
                            .text = j->features[f].text,
                            .more = more };
    for (uint32_t p = 0; p < j->count; p++) {
        bool slow = j->group[p] == SL_COHORT_SLOW;
        bool over = more ? row[p] > end : row[p] < end;
        if (j->group[p] == SL_COHORT_REST)
            continue;
        sums[slow] += (double)row[p];
        out->slow_over += slow && over;
        out->usual_over += !slow && over;
        if (row[p] > row[out->worst] || j->group[out->worst] == SL_COHORT_REST)
            out->worst = p;
    }
    out->slow = sums[1] / all->slow;
    out->usual = sums[0] / all->usual;
    if (!is_far(out) || !sl_cohort_is_more(out->slow_over, out->usual_over,
                                           all->slow, all->usual, j->tried))
        return false;
    out->p = j->tried * sl_cohort_fisher(out->slow_over, out->usual_over,
                                         all->slow, all->usual);
    return true;
}

/* What is more before what is fewer, all of a kind
 * before one text of it, bytes last; then by how many they are. */
static bool
is_before(const sl_counts_row *a, const sl_counts_row *b)
{
    bool text[2] = { a->text[0] != '\0', b->text[0] != '\0' };
    bool bytes[2] = { a->kind[0] == '\0', b->kind[0] == '\0' };
    double off[2] = { a->slow - a->usual, b->slow - b->usual };

    if (a->more != b->more)
        return a->more;
    if (bytes[0] != bytes[1])
        return bytes[1];
    if (text[0] != text[1])
        return text[1];
    return (off[0] < 0 ? -off[0] : off[0]) > (off[1] < 0 ? -off[1] : off[1]);
}

static void
add(sl_counts *out, const sl_counts_row *row)
{
    uint32_t at = out->count < SL_COUNTS_MAX ? out->count++ : SL_COUNTS_MAX;

    for (; at > 0 && is_before(row, &out->rows[at - 1]); at--) {
        if (at < SL_COUNTS_MAX)
            out->rows[at] = out->rows[at - 1];
    }
    if (at < SL_COUNTS_MAX)
        out->rows[at] = *row;
}

sl_status
sl_counts_find(const sl_profile *const *profiles, uint32_t count,
               const uint8_t *group, bool by_wall, sl_counts *out)
{
    job *j = calloc(1, sizeof(*j));
    sl_counts_row row;

    *out = (sl_counts){ .count = 0 };
    for (uint32_t p = 0; p < count; p++) {
        out->slow += group[p] == SL_COHORT_SLOW;
        out->usual += group[p] == SL_COHORT_USUAL;
    }
    if (j == NULL)
        return SL_ENOMEM;
    j->profiles = profiles;
    j->group = group;
    j->count = count;
    j->table = calloc((size_t)FEATURES_MAX * count + 1, sizeof(*j->table));
    j->column = calloc((size_t)count + 1, sizeof(*j->column));
    bool fine = j->table != NULL && j->column != NULL;
    if (fine && out->slow > 0 && out->usual > 0) {
        gather(j);
        for (uint32_t f = 0; f < j->feature_count; f++)
            j->tried += varies(j, f);
        for (uint32_t f = 0; f < j->feature_count; f++) {
            if (measure(j, f, true, out, &row) ||
                (!by_wall && measure(j, f, false, out, &row)))
                add(out, &row);
        }
    }
    free(j->table);
    free(j->column);
    free(j);
    return fine ? SL_OK : SL_ENOMEM;
}

bool
sl_counts_lead(const sl_counts *counts)
{
    const sl_counts_row *first = &counts->rows[0];

    return counts->count > 0 && first->more && first->kind[0] != '\0' &&
           first->slow >= 2 * first->usual && first->slow - first->usual >= 5;
}

/* ---- in words ---- */

/* What is done with one of a kind, and what one is called. */
static const struct {
    const char *kind, *verb, *one, *many;
} words[] = {
    { "db", "make", "query", "queries" },
    { "http", "make", "HTTP request", "HTTP requests" },
    { "cache", "make", "cache call", "cache calls" },
    { "template", "render", "template", "templates" },
    { "task", "send", "task", "tasks" },
    { "process", "start", "program", "programs" },
    { "rpc", "make", "call of a service", "calls of services" },
};

/* Whether what stands there is one. Of a file that lies a mean may be more than
 * any integer holds. */
static bool
put_mean(sl_buf *out, double mean)
{
    char text[40];
    bool whole = mean >= 10;

    if (!whole) {
        double off = mean - (double)(int)(mean + .5);
        whole = off > -.05 && off < .05;
    }
    snprintf(text, sizeof(text), whole ? "%.0f" : "%.1f", mean);
    sl_buf_put_str(out, text);
    return strcmp(text, "1") == 0;
}

static void
put_bytes(sl_buf *out, double bytes)
{
    char text[40];

    snprintf(text, sizeof(text), bytes >= 1e6 ? "%.1f MB" : "%.0f kB",
             bytes >= 1e6 ? bytes / 1e6 : bytes / 1e3);
    sl_buf_put_str(out, text);
}

static void
put_many(sl_buf *out, const sl_counts_row *row, double mean)
{
    const char *one = row->kind, *many = row->kind;

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(words[i].kind, row->kind) == 0) {
            one = words[i].one;
            many = words[i].many;
        }
    }
    bool is_one = put_mean(out, mean);
    sl_buf_put_u8(out, ' ');
    const char *word = is_one ? one : many;
    sl_label_text(out, word, strlen(word), SL_LABEL_MAX);
    if (many == row->kind) /* the application's own, whatever its plural is */
        sl_buf_put_str(out, is_one ? " span" : " spans");
}

static const char *
verb_of(const sl_counts_row *row)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(words[i].kind, row->kind) == 0)
            return words[i].verb;
    }
    return row->kind[0] == '\0' ? "send" : "have";
}

/* " (150 times as many)", from two times on. */
static void
put_times(sl_buf *out, const sl_counts_row *row)
{
    char text[60];
    double times = row->usual > 0 ? row->slow / row->usual : 0;

    if (times < 1.95)
        return;
    snprintf(text, sizeof(text),
             times >= 9.95 ? " (%.0f times as %s)" : " (%.1f times as %s)",
             times, row->kind[0] == '\0' ? "much" : "many");
    sl_buf_put_str(out, text);
}

/* Where a text is asked for most: own code's function, and its line. */
static const sl_function *
place_of(const sl_profile *profile, const sl_counts_row *row, uint32_t *line)
{
    const sl_profile_span *most = NULL;

    for (uint32_t i = 0; i < sl_profile_span_count(profile); i++) {
        const sl_profile_span *s = sl_profile_span_at(profile, i);
        if (strcmp(s->kind, row->kind) == 0 &&
            (row->text[0] == '\0' || strcmp(s->text, row->text) == 0) &&
            (most == NULL || s->count > most->count))
            most = s;
    }
    uint32_t at = most != NULL ? most->node : 0;
    *line = most != NULL ? most->line : 0;
    while (at != 0) {
        const sl_profile_node *node = sl_profile_node_at(profile, at);
        const sl_function *f = sl_profile_function(profile, node->function);
        if (f->origin == SL_ORIGIN_PROJECT && f->kind == SL_KIND_PYTHON) {
            *line = *line != 0 ? *line : f->line;
            return f;
        }
        *line = node->line; /* in the function above */
        at = node->parent;
    }
    return NULL;
}

/* The text that most of a kind's row is, or the row itself; NULL: none. */
static const sl_counts_row *
most_of(const sl_counts *counts, const sl_counts_row *row)
{
    const sl_counts_row *most = row->text[0] != '\0' ? row : NULL;

    for (uint32_t i = 0; i < counts->count && most == NULL; i++) {
        const sl_counts_row *one = &counts->rows[i];
        if (one->text[0] != '\0' && one->more == row->more &&
            strcmp(one->kind, row->kind) == 0 &&
            2 * (one->slow - one->usual) * (row->more ? 1 : -1) >=
                (row->slow - row->usual) * (row->more ? 1 : -1))
            most = one;
    }
    return most;
}

static void
put_place(sl_buf *out, const sl_profile *profile, const sl_counts_row *row)
{
    uint32_t line = 0;
    char number[16];
    const sl_function *f = place_of(profile, row, &line);

    if (f == NULL)
        return;
    size_t len;
    const char *file = sl_finding_path(f, &len);
    sl_buf_put_str(out, " from ");
    sl_label_text(out, file, len, SL_LABEL_MAX);
    snprintf(number, sizeof(number), ":%" PRIu32, line);
    sl_buf_put_str(out, number);
}

void
sl_counts_put_text(sl_buf *out, const sl_counts *counts, uint32_t at,
                   const sl_profile *const *profiles, bool by_wall)
{
    const sl_counts_row *row = &counts->rows[at];
    const sl_counts_row *most = most_of(counts, row);
    char text[120];

    sl_buf_put_str(out, by_wall ? "The slow ones " : "These ");
    sl_buf_put_str(out, verb_of(row));
    sl_buf_put_u8(out, ' ');
    if (row->kind[0] == '\0')
        put_bytes(out, row->slow);
    else
        put_many(out, row, row->slow);
    sl_buf_put_str(out,
                   by_wall ? " where the usual ones " : " where the others ");
    sl_buf_put_str(out, verb_of(row));
    sl_buf_put_u8(out, ' ');
    if (row->kind[0] == '\0')
        put_bytes(out, row->usual);
    else if (row->usual > 0)
        put_mean(out, row->usual);
    else
        sl_buf_put_str(out, "none");
    put_times(out, row);
    if (row->slow_over < counts->slow) {
        snprintf(text, sizeof(text), ", %s in %" PRIu32 " of %" PRIu32,
                 row->more ? "more" : "fewer", row->slow_over, counts->slow);
        sl_buf_put_str(out, text);
    }
    if (most != NULL) {
        sl_buf_put_str(out, most == row ? ": " : ", most of them ");
        sl_label_text(out, most->text, strlen(most->text), TEXT_BYTES);
    }
    if (row->kind[0] != '\0')
        put_place(out, profiles[row->worst], most != NULL ? most : row);
    sl_buf_put_u8(out, '.');
}

void
sl_counts_put(sl_json *json, const sl_counts *counts,
              const sl_profile *const *profiles, bool by_wall)
{
    sl_buf text;

    sl_buf_init(&text, NULL, 0);
    sl_json_key(json, "counts");
    sl_json_open(json, '[');
    for (uint32_t i = 0; i < counts->count; i++) {
        const sl_counts_row *row = &counts->rows[i];
        uint32_t line = 0;
        const sl_function *f = row->kind[0] == '\0'
                                   ? NULL
                                   : place_of(profiles[row->worst], row, &line);
        text.size = 0;
        sl_counts_put_text(&text, counts, i, profiles, by_wall);
        sl_json_open(json, '{');
        sl_json_text(json, "kind", row->kind);
        sl_json_text(json, "shape", row->text);
        sl_json_key(json, "text");
        sl_json_str(json, (const char *)text.data, text.size);
        sl_json_real(json, "slow", row->slow, 6);
        sl_json_real(json, "usual", row->usual, 6);
        sl_json_number(json, "slow_over", row->slow_over);
        sl_json_number(json, "usual_over", row->usual_over);
        sl_json_real(json, "p", row->p, 6);
        sl_json_number(json, "worst", row->worst);
        if (f != NULL) {
            sl_json_key(json, "file");
            sl_json_str(json, f->file, f->file_len);
            sl_json_number(json, "line", line);
        }
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
    if (text.status < 0)
        json->out->status = text.status;
    sl_buf_free(&text);
}
