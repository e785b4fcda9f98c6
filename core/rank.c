/* The order of lists whose heaviest come first. */
#include "rank.h"

int
sl_ranked_compare(const void *a, const void *b)
{
    const sl_ranked *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight < y->weight ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}
