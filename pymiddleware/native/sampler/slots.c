/* The threads that run a request now. */
#define _GNU_SOURCE
#include "sampler/slots.h"
#include "sampler/clocks.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

sl_py_slot sl_py_slots[SL_PY_SLOTS_MAX];
int sl_py_slots_used, sl_py_slots_active;

/* The calling thread's last one: its descriptors are open there, and a file of
 * /proc costs more to open than to read. */
static __thread int last_slot;

static sl_py_slot *
slot_take(void)
{
    int i = last_slot;

    /* Not far behind the others: a tick goes over all up to the last. */
    if (sl_py_slots[i].sampled != NULL || i > 2 * sl_py_slots_active + 8) {
        for (i = 0; i < SL_PY_SLOTS_MAX; i++) {
            if (sl_py_slots[i].sampled == NULL)
                break;
        }
        if (i == SL_PY_SLOTS_MAX)
            return NULL;
        last_slot = i;
    }
    if (i >= sl_py_slots_used)
        sl_py_slots_used = i + 1;
    return &sl_py_slots[i];
}

/* Its threads were due while none of them ran, so it goes on behind a pause:
 * worth a look of its own, soon, since the next one that is planned may be far.
 * That one stays when it is. */
static bool
goes_on_late(sl_py_sampled *sampled, uint64_t wall)
{
    uint64_t due = sampled->due_ns, every = sampled->planned_ns;

    /* A young one is looked at in each tick, and so in the next. */
    if (due == 0 || every <= sl_py_sampler.interval_ns ||
        wall <= due + sl_py_sampler.interval_ns)
        return false;
    /* One that ran when it was due is about to be looked at: the tick is late.
     * If that were planned anew, whoever begins while ticks are late would
     * always be met at its beginning, and nobody for what is planned. */
    if (sampled->slots > 0 || sampled->idle_ns > due)
        return false;
    sampled->due_ns = due + ((wall - due) / every + 1) * every;
    return true;
}

sl_py_slot *
sl_py_slot_open(sl_py_sampled *sampled, sl_strand *strand, uint64_t now,
                uint64_t wall, uint64_t cpu, uintptr_t anchor)
{
    static uint64_t serial;
    sl_py_slot *s = slot_take();

    SL_PY_NEEDS_LOCK();
    if (s == NULL) {
        sl_py_sampler.counts.no_slot++;
        return NULL;
    }
    s->sampled = sampled;
    s->strand = strand;
    s->serial = ++serial;
    s->ts = sl_py_borrow_tstate();
    s->anchor = anchor;
    s->below_count = 0;
    s->version = sl_py_borrow_tstate()->context_ver;
    s->bottom = 0;
    s->tid = sl_py_own_tid();
    s->cpu = sched_getcpu();
    s->waited = s->asked = s->walked = false;
    s->cpu_ns = cpu;
    s->wall_ns = wall;
    s->ticks = now;
    s->aside = goes_on_late(sampled, wall);
    s->planned_ns = sampled->planned_ns;
    s->delay_known = false;
    s->pending_ns = s->pending_gil_ns = 0;
    s->kind = s->pending_kind = SL_METRIC_OFF_CPU;
    s->born_ns = sl_recording_start_ns(sampled->core);
    sampled->slots++;
    sl_py_slots_active++;
    return s;
}

void
sl_py_slot_close(sl_py_slot *s)
{
    SL_PY_NEEDS_LOCK();
    s->sampled->slots--;
    s->sampled->idle_ns = s->wall_ns;
    s->sampled = NULL;
    sl_py_slots_active--;
    while (sl_py_slots_used > 0 &&
           sl_py_slots[sl_py_slots_used - 1].sampled == NULL)
        sl_py_slots_used--;
}

bool
sl_py_thread_file_is_open(const sl_py_thread_file *file)
{
    struct stat now;

    return file->tid != 0 && file->fd >= 0 && fstat(file->fd, &now) == 0 &&
           now.st_dev == file->device && now.st_ino == file->inode;
}

void
sl_py_thread_file_close(sl_py_thread_file *file)
{
    if (sl_py_thread_file_is_open(file))
        close(file->fd);
    *file = (sl_py_thread_file){ 0 };
}

void
sl_py_slots_forget(void)
{
    for (int i = 0; i < SL_PY_SLOTS_MAX; i++) {
        sl_py_thread_file_close(&sl_py_slots[i].syscall_file);
        sl_py_thread_file_close(&sl_py_slots[i].delay_file);
        sl_py_slots[i] = (sl_py_slot){ 0 };
    }
    sl_py_slots_used = sl_py_slots_active = 0;
}
