/* The first sentence, and the words of a list. */
#include "findings_text.h"

static bool
is_wait(sl_finding_rule rule)
{
    return rule == SL_FINDING_LOOP || rule == SL_FINDING_RUN_QUEUE ||
           rule == SL_FINDING_GIL || rule == SL_FINDING_CLIENT ||
           rule == SL_FINDING_GC;
}

/* That there are too few samples, or NULL. */
static const sl_finding *
few_of(const sl_findings *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->items[i].rule == SL_FINDING_FEW)
            return &all->items[i];
    }
    return NULL;
}

/* Whether it says what there was to do, were it not for a wait. */
static bool
is_work(const sl_finding *one)
{
    return one->rule == SL_FINDING_GC ||
           (!is_wait(one->rule) && !one->extra && one->rule != SL_FINDING_FEW);
}

/* Whether enough samples met it. Who waits for a CPU long and once is met where
 * it happened to be put off: that is where it waited, not what it had to do. */
static bool
is_met(const sl_outline *o, const sl_findings *all, const sl_finding *one)
{
    return all->samples == UINT64_MAX || one->measured ||
           one->node == SL_FINDING_NONE ||
           o->nodes[one->node].calls >= SL_FINDINGS_SAMPLES_LEAST;
}

/* What had most to do; of several that had about as much (queries that are
 * alike, and all queries) the one that says most. */
static const sl_finding *
most_work(const sl_outline *o, const sl_findings *all)
{
    uint64_t most = 0;

    for (uint32_t i = 1; i < all->count; i++) {
        if (is_work(&all->items[i]) && all->items[i].work > most &&
            is_met(o, all, &all->items[i]))
            most = all->items[i].work;
    }
    for (uint32_t i = 1; i < all->count; i++) {
        if (is_work(&all->items[i]) && all->items[i].work >= most / 5 * 4 &&
            is_met(o, all, &all->items[i]))
            return &all->items[i];
    }
    return NULL;
}

/* It was ready to compute and could not: also what it wanted to compute. */
static void
put_starved(const sl_outline *o, const sl_findings *all, sl_buf *out)
{
    const sl_finding *first = &all->items[0], *rest = most_work(o, all);

    if (rest == NULL) {
        sl_finding_text(o, all, first, out);
        return;
    }
    sl_findings_put_percent(o, all, first->ns, false, true, out);
    sl_finding bare = *first;
    bare.own = SL_FINDING_NONE;
    sl_findings_put_rest(o, all, &bare, out);
    sl_buf_put_str(out, "; what it had to do was mostly");
    sl_findings_put_rest(o, all, rest, out);
    sl_buf_put_u8(out, '.');
}

/* Queries that are alike are counted, whatever of the time is theirs: where no
 * time says anything, they do. */
static void
put_alike(const sl_outline *o, const sl_findings *all, sl_buf *out)
{
    for (uint32_t i = 0; i < all->count; i++) {
        const sl_finding *one = &all->items[i];
        if (one->rule != SL_FINDING_N_PLUS_1 &&
            one->rule != SL_FINDING_SAME_QUERY)
            continue;
        sl_buf_put_u8(out, ' ');
        sl_finding_text(o, all, one, out);
        return;
    }
}

void
sl_findings_headline(const sl_outline *o, const sl_findings *all, sl_buf *out)
{
    static const char *const beside[SL_FINDING_COUNT] = {
        [SL_FINDING_LOOP] = " of the request it waited for the event loop",
        [SL_FINDING_RUN_QUEUE] = " of the request it waited for a CPU",
        [SL_FINDING_GIL] = " of the request it waited for the GIL",
        [SL_FINDING_CLIENT] = " of the request was the client",
        [SL_FINDING_GC] = " of the request was garbage collection",
    };
    const sl_finding *first = &all->items[0], *few = few_of(all);

    if (sl_outline_wall(o) == 0) {
        sl_buf_put_str(out, "It took no time that could be measured.");
        return;
    }
    if (all->count == 0 || first->extra) {
        sl_buf_put_str(out, "No function stands out.");
        put_alike(o, all, out);
        return;
    }
    if (few == NULL && (first->rule == SL_FINDING_RUN_QUEUE ||
                        first->rule == SL_FINDING_GIL)) {
        put_starved(o, all, out);
        return;
    }
    if (first->rule == SL_FINDING_HOT && first->ns < sl_outline_wall(o) / 5) {
        sl_buf_put_str(out, "No function stands out");
        if (all->below != SL_FINDING_NONE) {
            sl_buf_put_str(out, " below ");
            sl_findings_put_name(o, all->below, out);
        }
        sl_buf_put_str(out, ": the most, ");
        sl_findings_put_percent(o, all, first->ns, first->measured, false, out);
        sl_buf_put_str(out, ", is");
        sl_findings_put_rest(o, all, first, out);
        sl_buf_put_u8(out, '.');
    } else {
        sl_finding_text(o, all, first, out);
    }
    if (few != NULL && is_wait(first->rule) && all->items[1].measured) {
        sl_buf_put_u8(out, ' ');
        sl_finding_text(o, all, &all->items[1], out);
    }
    for (uint32_t i = 1; i < all->count; i++) {
        const sl_finding *one = &all->items[i];
        if (!is_wait(one->rule) || is_wait(first->rule) ||
            one->ns < sl_outline_wall(o) / 5)
            continue;
        sl_buf_put_u8(out, ' ');
        sl_findings_put_percent(o, all, one->ns, false, true, out);
        sl_buf_put_str(out, beside[one->rule]);
        sl_buf_put_u8(out, '.');
        break;
    }
    if (few != NULL && few != first) {
        sl_buf_put_u8(out, ' ');
        sl_finding_text(o, all, few, out);
    }
    if (few == NULL && all->unseen >= sl_outline_wall(o) / 5) {
        sl_buf_put_u8(out, ' ');
        sl_findings_put_percent(o, all, all->unseen, false, true, out);
        sl_buf_put_str(out, " of it no sample could place.");
    }
}

void
sl_findings_words(const sl_findings *all, sl_buf *out)
{
    bool any = false;

    for (uint32_t i = 0; i < all->count; i++) {
        sl_finding_rule rule = all->items[i].rule;
        if (rule == SL_FINDING_HOT || rule == SL_FINDING_FEW ||
            rule == SL_FINDING_AWAIT)
            continue;
        if (any)
            sl_buf_put_u8(out, ',');
        sl_buf_put_str(out, sl_finding_at(rule)->word);
        any = true;
    }
}
