/* Profiles of one route, the slow ones beside the usual: from trees to
 * features, and what cohort.c finds in them in words. */
#include "cohort.h"
#include "findings.h"
#include "label.h"
#include "profile.h"
#include "report_counts.h"
#include "report_put.h"
#include "union.h"

#include "slowlens/merge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROFILES_MAX 2000u
/* Functions and places below these permille of all time explain nothing. */
#define FUNCTION_LEAST 1u
#define NODE_LEAST     5u
#define FEATURES_MAX   4000u
#define ROWS_MAX       12u
#define LARGEST        3u
#define TAGS_MAX       20u
#define VALUES_MAX     200u
#define NONE           UINT32_MAX

/* Waits that no function is to blame for, as the metadata has them. */
static const struct {
    const char *key, *name, *text;
} waits[] = {
    { "run_queue_ns", "run queue", "waiting for a CPU" },
    { "gil_wait_ns", "gil", "waiting for the GIL" },
    { "gc_ns", "gc", "garbage collection" },
    { "loop_ns", "loop", "waiting for the event loop" },
    { "lock_ns", "lock", "waiting for a lock" },
    { "idle_ns", "client", "waiting for the client" },
};
enum { WAITS = sizeof(waits) / sizeof(*waits) };

typedef struct {
    const sl_profile *const *profiles;
    uint32_t count;
    sl_union u;
    uint32_t **functions, **nodes; /* by profile: numbers of the union */
    uint32_t *function_feature, *node_feature; /* by number: feature, or NONE */
    uint32_t features;
    uint32_t *number; /* by feature: function or node of the union */
    uint8_t *classes;
    uint32_t *parents;
    uint64_t *table; /* feature x request */
    uint64_t *wall;
    uint8_t *group;
    sl_cohort_cell *cells;
    size_t cell_count;
    sl_cohort_row *rows;
    size_t row_count;
    bool by_wall;
    sl_counts counts;
} job;

static void
job_free(job *j)
{
    for (uint32_t p = 0; p < j->count; p++) {
        if (j->functions != NULL)
            free(j->functions[p]);
        if (j->nodes != NULL)
            free(j->nodes[p]);
    }
    free(j->functions);
    free(j->nodes);
    free(j->function_feature);
    free(j->node_feature);
    free(j->number);
    free(j->classes);
    free(j->parents);
    free(j->table);
    free(j->wall);
    free(j->group);
    free(j->cells);
    free(j->rows);
    sl_union_free(&j->u);
}

static sl_status
job_union(job *j)
{
    sl_status status = SL_OK;

    j->functions = calloc(j->count, sizeof(*j->functions));
    j->nodes = calloc(j->count, sizeof(*j->nodes));
    j->wall = calloc(j->count, sizeof(*j->wall));
    j->group = calloc(j->count, 1);
    if (j->functions == NULL || j->nodes == NULL || j->wall == NULL ||
        j->group == NULL)
        return SL_ENOMEM;
    for (uint32_t p = 0; p < j->count && status == SL_OK; p++) {
        j->wall[p] = sl_profile_node_at(j->profiles[p], 0)->total_ns;
        status = sl_union_add(&j->u, j->profiles[p], 0, &j->functions[p],
                              &j->nodes[p]);
    }
    return status;
}

/* ---- features ---- */

static bool
is_code(const sl_function *f)
{
    return f->kind != SL_KIND_PSEUDO;
}

/* The function that a node's own time is told as; an await is its parent's.
 * NONE: a wait that is a feature of its own, or a strand. */
static uint32_t
function_of(const job *j, uint32_t p, uint32_t i)
{
    const sl_profile_node *node = sl_profile_node_at(j->profiles[p], i);
    uint32_t number = node->function;

    if (sl_profile_pseudo(j->profiles[p], number) == SL_PSEUDO_AWAIT)
        number = sl_profile_node_at(j->profiles[p], node->parent)->function;
    if (!is_code(sl_profile_function(j->profiles[p], number)))
        return NONE;
    return j->functions[p][number];
}

static uint32_t
add_feature(job *j, uint8_t class, uint32_t number)
{
    if (j->features == FEATURES_MAX)
        return NONE;
    j->classes[j->features] = class;
    j->number[j->features] = number;
    j->parents[j->features] = SL_COHORT_NO_PARENT;
    return j->features++;
}

/* Chooses the functions and places that took enough of all time. */
static sl_status
job_features(job *j)
{
    const sl_union *u = &j->u;
    uint64_t all = u->nodes[0].side[0].total_ns;
    uint64_t *self = calloc((size_t)u->function_count + 1, sizeof(*self));

    j->function_feature = malloc(((size_t)u->function_count + 1) * 4);
    j->node_feature = malloc(((size_t)u->node_count + 1) * 4);
    j->number = malloc(FEATURES_MAX * sizeof(*j->number));
    j->classes = malloc(FEATURES_MAX);
    j->parents = malloc(FEATURES_MAX * sizeof(*j->parents));
    bool fine = self != NULL && j->function_feature != NULL &&
                j->node_feature != NULL && j->number != NULL &&
                j->classes != NULL && j->parents != NULL;
    for (uint32_t w = 0; fine && w < WAITS; w++)
        add_feature(j, SL_COHORT_WAIT, w);
    for (uint32_t p = 0; fine && p < j->count; p++) {
        uint32_t count = sl_profile_node_count(j->profiles[p]);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t f = function_of(j, p, i);
            if (f != NONE)
                self[f] = sl_union_plus(
                    self[f], sl_profile_node_at(j->profiles[p], i)->self_ns);
        }
    }
    for (uint32_t f = 0; fine && f < u->function_count; f++)
        j->function_feature[f] =
            self[f] > 0 && self[f] / FUNCTION_LEAST >= all / 1000
                ? add_feature(j, SL_COHORT_FUNCTION, f)
                : NONE;
    for (uint32_t i = 0; fine && i < u->node_count; i++) {
        const sl_union_node *node = &u->nodes[i];
        j->node_feature[i] = NONE;
        if (i == 0 || !is_code(&u->functions[node->function]) ||
            node->side[0].total_ns / NODE_LEAST < all / 1000)
            continue;
        uint32_t feature = add_feature(j, SL_COHORT_NODE, i);
        j->node_feature[i] = feature;
        if (feature != NONE && j->node_feature[node->parent] != NONE)
            j->parents[feature] = j->node_feature[node->parent];
    }
    free(self);
    return fine ? SL_OK : SL_ENOMEM;
}

static uint64_t
meta_number(const sl_profile *profile, const char *key)
{
    const sl_meta *item = sl_profile_meta_find(profile, key);
    return item != NULL && item->text == NULL && item->number > 0
               ? (uint64_t)item->number
               : 0;
}

static void
plus(job *j, uint32_t feature, uint32_t p, uint64_t ns)
{
    if (feature == NONE)
        return;
    uint64_t *at = &j->table[(size_t)feature * j->count + p];
    *at = sl_union_plus(*at, ns);
}

static sl_status
job_cells(job *j)
{
    size_t room = 0, all = (size_t)j->features * j->count;

    j->table = calloc(all + 1, sizeof(*j->table));
    if (j->table == NULL)
        return SL_ENOMEM;
    for (uint32_t p = 0; p < j->count; p++) {
        const sl_profile *profile = j->profiles[p];
        for (uint32_t w = 0; w < WAITS; w++)
            plus(j, w, p, meta_number(profile, waits[w].key));
        for (uint32_t i = 0; i < sl_profile_node_count(profile); i++) {
            const sl_profile_node *node = sl_profile_node_at(profile, i);
            uint32_t f = function_of(j, p, i);
            if (f != NONE)
                plus(j, j->function_feature[f], p, node->self_ns);
            plus(j, j->node_feature[j->nodes[p][i]], p, node->total_ns);
        }
    }
    for (size_t i = 0; i < all; i++)
        room += j->table[i] > 0;
    j->cells = malloc((room + 1) * sizeof(*j->cells));
    j->rows = malloc(((size_t)j->features + 1) * sizeof(*j->rows));
    if (j->cells == NULL || j->rows == NULL)
        return SL_ENOMEM;
    for (size_t i = 0; i < all; i++) {
        if (j->table[i] > 0)
            j->cells[j->cell_count++] =
                (sl_cohort_cell){ (uint32_t)(i % j->count),
                                  (uint32_t)(i / j->count), j->table[i] };
    }
    return SL_OK;
}

/* ---- tags ---- */

typedef struct {
    const sl_meta *item; /* of the first profile that has it */
    uint32_t slow, usual;
} tag_value;

/* How often each value of a key is in the groups; false: there are too many to
 * be a reason, or no memory. */
static bool
tag_values(const job *j, const sl_meta *key, tag_value *values, uint32_t *count)
{
    *count = 0;
    for (uint32_t p = 0; p < j->count; p++) {
        const sl_meta *item = sl_profile_meta_find(j->profiles[p], key->key);
        uint32_t v = 0;
        if (item == NULL || item->text == NULL || j->group[p] == SL_COHORT_REST)
            continue;
        while (v < *count &&
               (values[v].item->text_len != item->text_len ||
                memcmp(values[v].item->text, item->text, item->text_len) != 0))
            v++;
        if (v == *count) {
            if (v == VALUES_MAX)
                return false;
            values[(*count)++] = (tag_value){ item, 0, 0 };
        }
        values[v].slow += j->group[p] == SL_COHORT_SLOW;
        values[v].usual += j->group[p] == SL_COHORT_USUAL;
    }
    return *count > 0;
}

static bool
is_tag(const sl_meta *item)
{
    return item->text != NULL && (strncmp(item->key, "tag.", 4) == 0 ||
                                  strcmp(item->key, "host") == 0 ||
                                  strcmp(item->key, "release") == 0);
}

/* Keys in the order in which profiles have them. */
static uint32_t
tag_keys(const job *j, const sl_meta **keys)
{
    uint32_t count = 0;

    for (uint32_t p = 0; p < j->count && count < TAGS_MAX; p++) {
        for (size_t m = 0; m < sl_profile_meta_count(j->profiles[p]); m++) {
            const sl_meta *item = sl_profile_meta(j->profiles[p], m);
            uint32_t k = 0;
            if (!is_tag(item) || count == TAGS_MAX)
                continue;
            while (k < count && strcmp(keys[k]->key, item->key) != 0)
                k++;
            if (k == count)
                keys[count++] = item;
        }
    }
    return count;
}

typedef struct {
    const sl_meta *item;
    uint32_t slow, usual;
    double p;
} tag_found;

/* The values that are more often in the slow ones than chance gives, likeliest
 * first; those that chose the groups are no news. */
static uint32_t
find_tags(const job *j, const sl_cohort_gap *gap, tag_found *found)
{
    const sl_meta *keys[TAGS_MAX];
    tag_value *values = malloc(VALUES_MAX * sizeof(*values));
    uint32_t key_count = tag_keys(j, keys), count = 0, total, tried = 0;

    for (int round = 0; values != NULL && round < 2; round++) {
        for (uint32_t k = 0; k < key_count; k++) {
            if (!tag_values(j, keys[k], values, &total))
                continue;
            for (uint32_t v = 0; v < total; v++) {
                const tag_value *one = &values[v];
                if (round == 0) {
                    tried++;
                    continue;
                }
                if (!sl_cohort_is_more(one->slow, one->usual, gap->slow,
                                       gap->usual, tried) ||
                    (!j->by_wall && one->usual == 0) || count == TAGS_MAX)
                    continue;
                tag_found new = { one->item, one->slow, one->usual,
                                  tried *
                                      sl_cohort_fisher(one->slow, one->usual,
                                                       gap->slow, gap->usual) };
                uint32_t at = count++;
                for (; at > 0 && found[at - 1].p > new.p; at--)
                    found[at] = found[at - 1];
                found[at] = new;
            }
        }
    }
    free(values);
    return count;
}

/* ---- in words ---- */

/* Where a feature is worst: the profile, the node, and the line of own code
 * that asked for it. */
typedef struct {
    uint32_t profile, node, own, line;
} origin;

static origin
origin_of(const job *j, uint32_t feature)
{
    origin o = { 0, NONE, NONE, 0 };
    const uint64_t *row = &j->table[(size_t)feature * j->count];
    uint64_t most = 0;

    for (uint32_t p = 0; p < j->count; p++) {
        if (row[p] > row[o.profile])
            o.profile = p;
    }
    if (j->classes[feature] == SL_COHORT_WAIT)
        return o;
    const sl_profile *profile = j->profiles[o.profile];
    for (uint32_t i = 0; i < sl_profile_node_count(profile); i++) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        bool function = j->classes[feature] == SL_COHORT_FUNCTION;
        uint64_t ns = function ? node->self_ns : node->total_ns;
        bool it = function ? function_of(j, o.profile, i) == j->number[feature]
                           : j->nodes[o.profile][i] == j->number[feature];
        if (it && ns > most) {
            most = ns;
            o.node = i;
        }
    }
    for (uint32_t i = o.node; i != NONE && o.own == NONE;) {
        const sl_profile_node *node = sl_profile_node_at(profile, i);
        const sl_profile_node *above =
            sl_profile_node_at(profile, node->parent);
        if (i == o.node &&
            sl_profile_function(profile, node->function)->origin ==
                SL_ORIGIN_PROJECT)
            o.own = i;
        else if (i != 0 &&
                 sl_profile_function(profile, above->function)->origin ==
                     SL_ORIGIN_PROJECT) {
            o.own = node->parent;
            o.line = node->line;
        }
        i = i == 0 ? NONE : node->parent;
    }
    if (o.own != NONE && o.line == 0)
        o.line = sl_profile_function(
                     profile, sl_profile_node_at(profile, o.own)->function)
                     ->line;
    return o;
}

static const sl_function *
function_at(const job *j, uint32_t profile, uint32_t node)
{
    return sl_profile_function(
        j->profiles[profile],
        sl_profile_node_at(j->profiles[profile], node)->function);
}

static const sl_function *
feature_function(const job *j, uint32_t feature)
{
    uint32_t number = j->number[feature];
    if (j->classes[feature] == SL_COHORT_NODE)
        number = j->u.nodes[number].function;
    return &j->u.functions[number];
}

static void
put_ms(sl_buf *out, double ns)
{
    char text[40];
    snprintf(text, sizeof(text),
             ns > -1e7 && ns < 1e7 ? "%+.1f ms" : "%+.0f ms", ns / 1e6);
    sl_buf_put_str(out, text);
}

#define PLACES_MAX 9u

/* From how many lines a function was called, PLACES_MAX at most; 1: a place of
 * the tree is meant. */
static uint32_t
count_places(const job *j, uint32_t feature)
{
    const uint64_t *row = &j->table[(size_t)feature * j->count];
    struct {
        uint32_t by, line;
    } known[PLACES_MAX] = { { 0, 0 } };
    uint32_t number = j->number[feature], count = 0;

    if (j->classes[feature] != SL_COHORT_FUNCTION)
        return 1;
    for (uint32_t p = 0; p < j->count; p++) {
        const sl_profile *profile = j->profiles[p];
        for (uint32_t i = 1; row[p] > 0 && i < sl_profile_node_count(profile);
             i++) {
            const sl_profile_node *node = sl_profile_node_at(profile, i);
            uint32_t by = function_of(j, p, node->parent), k = 0;
            if (function_of(j, p, i) != number || by == number)
                continue;
            while (k < count &&
                   (known[k].by != by || known[k].line != node->line))
                k++;
            if (k == count) {
                known[count].by = by;
                known[count++].line = node->line;
            }
            if (count == PLACES_MAX)
                return count;
        }
    }
    return count;
}

static void
put_feature(const job *j, uint32_t feature, sl_buf *out)
{
    char number[16];

    if (j->classes[feature] == SL_COHORT_WAIT) {
        sl_buf_put_str(out, waits[j->number[feature]].text);
        return;
    }
    origin o = origin_of(j, feature);
    sl_label_name(out, feature_function(j, feature), SL_LABEL_MAX);
    if (j->classes[feature] == SL_COHORT_NODE)
        sl_buf_put_str(out, " with all it calls");
    if (o.own == NONE)
        return;
    const sl_function *own = function_at(j, o.profile, o.own);
    size_t len;
    const char *file = sl_finding_path(own, &len);
    uint32_t places = o.own == o.node ? 1 : count_places(j, feature);
    char words[48] = " (";
    if (places > 1)
        snprintf(words, sizeof(words), " (in %" PRIu32 "%s places, most at ",
                 places, places == PLACES_MAX ? " or more" : "");
    else if (o.own != o.node)
        snprintf(words, sizeof(words), " (called at ");
    sl_buf_put_str(out, words);
    sl_label_text(out, file, len, SL_LABEL_MAX);
    snprintf(number, sizeof(number), ":%" PRIu32 ")", o.line);
    sl_buf_put_str(out, number);
}

/* What the sides are called: what was asked for by a condition is neither slow
 * nor usual. */
static const char *
slow_side(const job *j)
{
    return j->by_wall ? "slow" : "of these";
}

static const char *
usual_side(const job *j)
{
    return j->by_wall ? "usual" : "of the others";
}

static void
put_row_text(const job *j, const sl_cohort_gap *gap, const sl_cohort_row *row,
             sl_buf *out)
{
    char text[160];

    if (j->by_wall) {
        snprintf(text, sizeof(text),
                 "In %" PRIu32 " of %" PRIu32 " slow requests (of %" PRIu32
                 ") ",
                 row->over_half, gap->slow, j->count);
        sl_buf_put_str(out, text);
        put_feature(j, row->feature, out);
        sl_buf_put_str(out, " takes over half of the extra time: ");
    } else {
        put_feature(j, row->feature, out);
        sl_buf_put_str(out, " takes most of the difference: ");
    }
    put_ms(out, row->slow_ns - row->usual_ns);
    sl_buf_put_str(out, " of ");
    put_ms(out, gap->slow_ns - gap->usual_ns);
    snprintf(text, sizeof(text), " (%.0f %%; if all had grown alike, %.0f %%).",
             row->share * 100, row->expected * 100);
    sl_buf_put_str(out, text);
    if (row->p_new < .01) {
        snprintf(text, sizeof(text),
                 " It ran in %" PRIu32 " of %" PRIu32 " %s, in %" PRIu32
                 " of %" PRIu32 " %s.",
                 row->slow_has, gap->slow, slow_side(j), row->usual_has,
                 gap->usual, usual_side(j));
        sl_buf_put_str(out, text);
    }
}

static void
put_tag_text(const job *j, const sl_cohort_gap *gap, const tag_found *tag,
             sl_buf *out)
{
    char text[120];
    const char *key = tag->item->key;

    key = strncmp(key, "tag.", 4) == 0 ? key + 4 : key;
    sl_label_text(out, key, strlen(key), SL_LABEL_MAX);
    sl_buf_put_u8(out, '=');
    sl_label_text(out, tag->item->text, tag->item->text_len, SL_LABEL_MAX);
    snprintf(text, sizeof(text),
             ": %" PRIu32 " of %" PRIu32 " %s, %" PRIu32 " of %" PRIu32 " %s",
             tag->slow, gap->slow, slow_side(j), tag->usual, gap->usual,
             usual_side(j));
    sl_buf_put_str(out, text);
}

/* The sentence that answers. */
static void
put_times_answer(const job *j, const sl_cohort_gap *gap, const tag_found *tags,
                 uint32_t tag_count, sl_buf *out)
{
    char text[200];

    if (!gap->enough) {
        snprintf(text, sizeof(text),
                 "Too few to say: %" PRIu32 " requests where %u are needed.",
                 gap->slow + gap->usual < j->count && j->by_wall
                     ? j->count
                     : gap->slow + gap->usual,
                 SL_COHORT_LEAST);
        sl_buf_put_str(out, text);
        if (!j->by_wall && gap->slow + gap->usual >= SL_COHORT_LEAST)
            sl_buf_put_str(out, " Each side needs ten.");
    } else if (!gap->apart) {
        sl_buf_put_str(out, "They take the same time, as far as can be told.");
    } else if (gap->slow_ns <= gap->usual_ns) {
        sl_buf_put_str(out, "They are not slower: ");
        put_ms(out, gap->slow_ns - gap->usual_ns);
        sl_buf_put_u8(out, '.');
    } else if (j->row_count > 0 && j->rows[0].named) {
        put_row_text(j, gap, &j->rows[0], out);
    } else if (tag_count > 0) {
        sl_buf_put_str(out, "Everything is slower with ");
        put_tag_text(j, gap, &tags[0], out);
        sl_buf_put_u8(out, '.');
    } else {
        snprintf(text, sizeof(text),
                 "No single part: the %" PRIu32 "%s are slower in many places.",
                 gap->slow, j->by_wall ? " slow ones" : "");
        sl_buf_put_str(out, text);
    }
}

/* Counts come before times where they are far apart, and where nothing is to be
 * said of times. */
static void
put_answer(const job *j, const sl_cohort_gap *gap, const tag_found *tags,
           uint32_t tag_count, sl_buf *out)
{
    bool timed = gap->enough && gap->apart && gap->slow_ns > gap->usual_ns;
    bool named = timed && j->row_count > 0 && j->rows[0].named;

    if (j->counts.count > 0 && (sl_counts_lead(&j->counts) || !named)) {
        sl_counts_put_text(out, &j->counts, 0, j->profiles, j->by_wall);
        sl_buf_put_u8(out, ' ');
    }
    put_times_answer(j, gap, tags, tag_count, out);
}

static void
put_signed(sl_json *json, const char *key, double ns)
{
    sl_json_key(json, key);
    sl_json_i64(json, ns > 9e18    ? INT64_MAX
                      : ns < -9e18 ? INT64_MIN
                                   : (int64_t)ns);
}

static void
put_row(sl_json *json, const job *j, const sl_cohort_gap *gap,
        const sl_cohort_row *row, sl_buf *text)
{
    static const char *const classes[] = { "wait", "function", "node" };
    uint8_t class = j->classes[row->feature];

    sl_json_open(json, '{');
    sl_json_text(json, "what", classes[class]);
    if (class == SL_COHORT_WAIT) {
        sl_json_text(json, "name", waits[j->number[row->feature]].name);
    } else {
        const sl_function *f = feature_function(j, row->feature);
        origin o = origin_of(j, row->feature);
        sl_json_key(json, "name");
        sl_json_str(json, f->name, f->name_len);
        sl_json_key(json, "function");
        sl_put_function(json, f, 0);
        if (o.own != NONE) {
            const sl_function *own = function_at(j, o.profile, o.own);
            sl_json_key(json, "file");
            sl_json_str(json, own->file, own->file_len);
            sl_json_number(json, "line", o.line);
        }
    }
    sl_json_number(json, "worst", origin_of(j, row->feature).profile);
    text->size = 0;
    put_row_text(j, gap, row, text);
    sl_json_key(json, "text");
    sl_json_str(json, (const char *)text->data, text->size);
    sl_json_real(json, "share", row->share, 4);
    sl_json_real(json, "expected", row->expected, 4);
    sl_json_real(json, "low", row->low, 4);
    sl_json_real(json, "p_new", row->p_new, 4);
    put_signed(json, "slow_ns", row->slow_ns);
    put_signed(json, "usual_ns", row->usual_ns);
    sl_json_number(json, "slow_has", row->slow_has);
    sl_json_number(json, "usual_has", row->usual_has);
    sl_json_number(json, "over_half", row->over_half);
    sl_json_close(json, '}');
}

static void
put_tags(sl_json *json, const job *j, const sl_cohort_gap *gap,
         const tag_found *tags, uint32_t count, sl_buf *text)
{
    sl_json_key(json, "tags");
    sl_json_open(json, '[');
    for (uint32_t t = 0; t < count; t++) {
        text->size = 0;
        put_tag_text(j, gap, &tags[t], text);
        sl_json_open(json, '{');
        sl_json_text(json, "key", tags[t].item->key);
        sl_json_key(json, "value");
        sl_json_str(json, tags[t].item->text, tags[t].item->text_len);
        sl_json_number(json, "slow", tags[t].slow);
        sl_json_number(json, "usual", tags[t].usual);
        sl_json_real(json, "p", tags[t].p, 4);
        sl_json_key(json, "text");
        sl_json_str(json, (const char *)text->data, text->size);
        sl_json_close(json, '}');
    }
    sl_json_close(json, ']');
}

static void
put_cohort(sl_json *json, const job *j, const sl_cohort *cohort)
{
    sl_cohort_gap gap = sl_cohort_measure(cohort);
    tag_found tags[TAGS_MAX];
    uint32_t tag_count = gap.enough ? find_tags(j, &gap, tags) : 0;
    sl_buf text;

    sl_buf_init(&text, NULL, 0);
    sl_json_open(json, '{');
    sl_json_number(json, "count", j->count);
    sl_json_number(json, "slow", gap.slow);
    sl_json_number(json, "usual", gap.usual);
    put_signed(json, "slow_ns", gap.slow_ns);
    put_signed(json, "usual_ns", gap.usual_ns);
    sl_json_key(json, "by_wall");
    sl_json_bool(json, j->by_wall);
    sl_json_key(json, "enough");
    sl_json_bool(json, gap.enough);
    put_answer(j, &gap, tags, tag_count, &text);
    sl_json_key(json, "answer");
    sl_json_str(json, (const char *)text.data, text.size);
    sl_counts_put(json, &j->counts, j->profiles, j->by_wall);
    sl_json_key(json, "named");
    sl_json_open(json, '[');
    size_t at = 0;
    for (; at < j->row_count && at < ROWS_MAX && j->rows[at].named; at++)
        put_row(json, j, &gap, &j->rows[at], &text);
    sl_json_close(json, ']');
    sl_json_key(json, "largest");
    sl_json_open(json, '[');
    for (size_t i = at; gap.enough && i < j->row_count && i < at + LARGEST; i++)
        put_row(json, j, &gap, &j->rows[i], &text);
    sl_json_close(json, ']');
    put_tags(json, j, &gap, tags, tag_count, &text);
    sl_json_close(json, '}');
    if (text.status < 0)
        json->out->status = text.status;
    sl_buf_free(&text);
}

sl_status
sl_report_cohort(const sl_profile *const *profiles, size_t count,
                 const uint8_t *group, bool by_wall, sl_bytes *out)
{
    if (count == 0 || count > PROFILES_MAX)
        return SL_ERANGE;
    job j = { .profiles = profiles,
              .count = (uint32_t)count,
              .by_wall = by_wall || group == NULL };
    sl_buf buf;
    sl_json json = { .out = &buf };

    sl_buf_init(&buf, NULL, SL_REPORT_MAX);
    sl_status status = job_union(&j);
    if (status == SL_OK && group == NULL)
        status = sl_cohort_split(j.wall, j.count, j.group);
    for (size_t i = 0; group != NULL && status == SL_OK && i < count; i++)
        j.group[i] = group[i];
    if (status == SL_OK)
        status =
            sl_counts_find(profiles, j.count, j.group, j.by_wall, &j.counts);
    if (status == SL_OK)
        status = job_features(&j);
    if (status == SL_OK)
        status = job_cells(&j);
    sl_cohort cohort = { .cells = j.cells,
                         .count = j.cell_count,
                         .wall_ns = j.wall,
                         .group = j.group,
                         .requests = j.count,
                         .by_wall = j.by_wall,
                         .classes = j.classes,
                         .parents = j.parents,
                         .features = j.features };
    if (status == SL_OK)
        status = sl_cohort_rows(&cohort, j.rows, j.features, &j.row_count);
    buf.status = status;
    if (status == SL_OK)
        put_cohort(&json, &j, &cohort);
    job_free(&j);
    return sl_buf_finish(&buf, out);
}
