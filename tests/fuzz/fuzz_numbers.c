/* Any bytes as the content of an encoded table of numbers: the reader refuses
 * them and nothing was added, or what it added agrees and is written again. */
#include "numbers.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
demand(bool truth)
{
    if (!truth)
        abort();
}

static void
check_histogram(const sl_histogram *h, uint64_t count)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < h->width; i++)
        sum += h->buckets[i];
    demand(sum == h->count && sum == count);
    demand(sl_histogram_quantile(h, .5) <= sl_histogram_quantile(h, .99));
    demand(sl_histogram_quantile(h, 1) <= h->max_ns);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sl_numbers_options options = { .period_s = 3600, .max_rows = 50 };
    sl_numbers *numbers, *copy;
    sl_bytes out;

    if (sl_numbers_new(&numbers, &options, NULL) < 0)
        return 0;
    sl_status status = sl_numbers_load_content(numbers, data, size);
    if (status == SL_ECORRUPT || status == SL_EVERSION)
        demand(sl_numbers_rows(numbers) == 0);
    for (uint32_t i = 0; status == SL_OK && i < sl_numbers_rows(numbers); i++) {
        const sl_numbers_row *row = sl_numbers_row_at(numbers, i);
        check_histogram(&row->wall, row->count);
        check_histogram(&row->cpu, row->count);
    }
    if (status == SL_OK && sl_report_numbers(numbers, 0, &out) == SL_OK)
        sl_bytes_free(&out);
    if (status == SL_OK && sl_report_histograms(numbers, &out) == SL_OK)
        sl_bytes_free(&out);
    if (status == SL_OK && sl_numbers_encode(numbers, 1, &out) == SL_OK) {
        demand(sl_numbers_new(&copy, &options, NULL) == SL_OK);
        demand(sl_numbers_load(copy, out.data, out.size) == SL_OK);
        demand(sl_numbers_count(copy) == sl_numbers_count(numbers));
        sl_numbers_free(copy);
        sl_bytes_free(&out);
    }
    sl_numbers_free(numbers);
    return 0;
}
