/* What all of the sampler shares. */
#include "sampler/state.h"

sl_py_sampler_state sl_py_sampler = {
    .why_not = "the sampler has not been tried",
    .interval_ns = 1000000,
    .current_ns = 1000000,
    .limit_ppm = 10000,
};

bool
sl_py_sampler_ready(void)
{
    return sl_py_sampler.method != NULL && sl_py_sampler.why_not[0] == '\0';
}
