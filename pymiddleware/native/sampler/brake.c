/* How often the sampler looks: see brake.h. */
#include "sampler/brake.h"
#include "sampler/clocks.h"

#define SAVED_NS      1e9 /* of a core, times the limit... */
#define OWED_NS       5e8 /* ...likewise */
#define FLOOR_PART    4
#define YOUNG_NS      UINT64_C(50000000)
#define MOST_LOOKS    100
#define LONGEST_NS    UINT64_C(50000000) /* between two looks at an old one */
#define SLOWEST_TIMES 10                 /* the interval, for all */

/* What a thread loses that is put off its CPU by a tick, as a part of what the
 * tick takes itself: measured under load (tests/bench/README.md). */
#define COLD 1.5

/* Requests are no longer usual when they are so many times as old as requests
 * get, on the average of about the last LEARNT. One of a minute counts as one
 * that is much longer than usual, not as all that came before it. */
#define UNUSUAL    2
#define LEARNT     64
#define LEARN_MOST 8
#define LEARN_NS   UINT64_C(1000000)

static struct {
    double purse;      /* ns of CPU time */
    double stretch;    /* of old requests; 0: not at all, 1: all the way */
    uint64_t usual_ns; /* how old requests get */
    uint64_t unusual_every_ns; /* they are looked at; the others: current_ns */
    uint64_t own, process, wall; /* when last counted; 0: not yet */
    uint32_t ticks, same_cpu;    /* since then */
} brake;

static double
limit(void)
{
    return (double)sl_py_sampler.limit_ppm / 1e6;
}

void
sl_py_brake_reset(void)
{
    brake.purse = limit() * SAVED_NS;
    brake.stretch = 0;
    brake.wall = 0;
    brake.ticks = brake.same_cpu = 0;
    brake.unusual_every_ns = sl_py_sampler.interval_ns;
    sl_py_sampler.current_ns = sl_py_sampler.interval_ns;
}

void
sl_py_brake_begin(void)
{
    SL_PY_NEEDS_LOCK();
    brake.wall = 0;
    brake.ticks = brake.same_cpu = 0;
}

/* The interval, for a debt (0 ... 1) of who is to pay it. */
static uint64_t
slower(double debt)
{
    debt = debt < 0 ? 0 : debt > 1 ? 1 : debt;
    return (uint64_t)((double)sl_py_sampler.interval_ns *
                      (1 + (SLOWEST_TIMES - 1) * debt));
}

/* What the purse holds says how far to go. */
static void
brake_set(void)
{
    double most = limit() * SAVED_NS, least = limit() * -OWED_NS;
    double full = 1; /* no limit */

    if (sl_py_sampler.limit_ppm != 0) {
        brake.purse = brake.purse > most ? most : brake.purse;
        brake.purse = brake.purse < least ? least : brake.purse;
        full = brake.purse / (brake.purse < 0 ? -least : most);
    }
    brake.stretch = full >= 0.5 ? 0 : full <= 0 ? 1 : 1 - 2 * full;
    sl_py_sampler.current_ns = slower(-2 * full);
    brake.unusual_every_ns = slower(-2 * full - 1);
}

/* What the process gets for the rest of it having used `used` ns of CPU time
 * in `passed` ns. */
static double
income(double used, double passed)
{
    double floor = passed / FLOOR_PART;
    double idle = used < passed ? passed - used : 0;

    return limit() * (used + (floor < idle ? floor : idle));
}

void
sl_py_brake_count(void)
{
    uint64_t own = sl_py_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t process = sl_py_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t wall = sl_clock_monotonic_ns();

    SL_PY_NEEDS_LOCK();
    if (brake.wall != 0 && wall > brake.wall) {
        double used = (double)(own - brake.own);
        double all = (double)(process - brake.process);
        double passed = (double)(wall - brake.wall);
        double rest = all > used ? all - used : 0;
        /* Ticks that met somebody who ran. */
        double met = brake.ticks == 0
                         ? 0
                         : (double)brake.same_cpu / (double)brake.ticks *
                               (rest < passed ? rest / passed : 1);
        sl_py_sampler.counts.cpu_ns += own - brake.own;
        brake.purse += income(rest, passed) - used * (1 + COLD * met);
    }
    brake.own = own;
    brake.process = process;
    brake.wall = wall;
    brake.ticks = brake.same_cpu = 0;
    brake_set();
}

void
sl_py_brake_ticked(bool same_cpu)
{
    SL_PY_NEEDS_LOCK();
    brake.ticks++;
    brake.same_cpu += same_cpu;
}

void
sl_py_brake_learn(uint64_t age_ns)
{
    uint64_t most = LEARN_MOST * brake.usual_ns + LEARN_NS;

    SL_PY_NEEDS_LOCK();
    age_ns = age_ns < most ? age_ns : most;
    brake.usual_ns += age_ns / LEARNT;
    brake.usual_ns -= brake.usual_ns / LEARNT;
}

uint64_t
sl_py_brake_usual(void)
{
    return brake.usual_ns;
}

uint64_t
sl_py_brake_base_interval(uint64_t age_ns)
{
    return age_ns > UNUSUAL * brake.usual_ns ? brake.unusual_every_ns
                                             : sl_py_sampler.current_ns;
}

uint64_t
sl_py_brake_interval(uint64_t age_ns)
{
    uint64_t interval = sl_py_brake_base_interval(age_ns);

    if (age_ns <= YOUNG_NS || brake.stretch == 0)
        return interval;
    uint64_t longest = (age_ns - YOUNG_NS) / MOST_LOOKS;
    longest = longest > LONGEST_NS ? LONGEST_NS : longest;
    if (longest <= interval)
        return interval;
    return interval + (uint64_t)(brake.stretch * (double)(longest - interval));
}
