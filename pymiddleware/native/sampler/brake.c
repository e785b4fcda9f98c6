/* How often the sampler looks: see brake.h. */
#include "sampler/brake.h"
#include "sampler/clocks.h"

#define PURSE_NS   INT64_C(5000000000) /* of a core, times the limit */
#define FLOOR_PART 4
#define YOUNG_NS   UINT64_C(50000000)
#define MOST_LOOKS 100
#define SLOWEST_NS UINT64_C(50000000)
#define SLOWEST    10 /* times the interval, for all */

static struct {
    double purse;   /* ns of CPU time */
    double stretch; /* of old requests; 0: not at all, 1: all the way */
    uint64_t own, process, wall; /* when last counted; 0: not yet */
} brake;

static double
limit(void)
{
    return (double)sl_py_sampler.limit_ppm / 1e6;
}

void
sl_py_brake_reset(void)
{
    brake.purse = limit() * (double)PURSE_NS;
    brake.stretch = 0;
    brake.wall = 0;
    sl_py_sampler.current_ns = sl_py_sampler.interval_ns;
}

/* What the purse holds says how far to go. */
static void
brake_set(void)
{
    double most = limit() * (double)PURSE_NS;
    uint64_t interval = sl_py_sampler.interval_ns;
    double full;

    if (sl_py_sampler.limit_ppm == 0) {
        brake.stretch = 0;
        sl_py_sampler.current_ns = interval;
        return;
    }
    brake.purse = brake.purse > most ? most : brake.purse;
    brake.purse = brake.purse < -most ? -most : brake.purse;
    full = brake.purse / most;
    brake.stretch = full >= 0.5 ? 0 : full <= 0 ? 1 : 1 - 2 * full;
    double times = full >= 0 ? 1 : 1 - (SLOWEST - 1) * full;
    sl_py_sampler.current_ns = (uint64_t)((double)interval * times);
}

void
sl_py_brake_count(void)
{
    uint64_t own = sl_py_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t process = sl_py_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t wall = sl_clock_monotonic_ns();

    SL_PY_NEEDS_LOCK();
    if (brake.wall != 0) {
        double used = (double)(own - brake.own);
        double all = (double)(process - brake.process);
        double rest = all > used ? all - used : 0;
        sl_py_sampler.counts.cpu_ns += own - brake.own;
        brake.purse +=
            limit() * (rest + (double)(wall - brake.wall) / FLOOR_PART);
        brake.purse -= used;
    }
    brake.own = own;
    brake.process = process;
    brake.wall = wall;
    brake_set();
}

uint64_t
sl_py_brake_interval(uint64_t age_ns)
{
    uint64_t interval = sl_py_sampler.current_ns;

    if (age_ns <= YOUNG_NS || brake.stretch == 0)
        return interval;
    uint64_t longest = (age_ns - YOUNG_NS) / MOST_LOOKS;
    longest = longest > SLOWEST_NS ? SLOWEST_NS : longest;
    if (longest <= interval)
        return interval;
    return interval + (uint64_t)(brake.stretch * (double)(longest - interval));
}
