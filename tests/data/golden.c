/* Makes the files of this folder:  golden FOLDER
 *
 * Golden files are made ONCE, by the version that first wrote that format, and
 * never again: what this program writes today is for the files that are still
 * to come. test_golden.c decodes each and compares it with the JSON beside it.
 */
#include "dump.h"
#include "sample.h"

#include "slowlens/merge.h"
#include "slowlens/profile.h"
#include "slowlens/recording.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;

static void
need(sl_status status)
{
    if (status < 0) {
        fprintf(stderr, "golden: %s\n", sl_status_text(status));
        exit(EXIT_FAILURE);
    }
}

static void
put_file(const char *name, const char *ending, const sl_bytes *bytes)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s.%s", folder, name, ending);
    FILE *file = fopen(path, "wb");
    if (file == NULL ||
        fwrite(bytes->data, 1, bytes->size, file) != bytes->size) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    fclose(file);
}

/* Writes the blob and what it holds; gives the profile. */
static sl_profile *
put_golden(const char *name, sl_bytes *blob)
{
    sl_profile *profile;
    sl_bytes json;

    need(sl_profile_decode(&profile, blob->data, blob->size, 0, NULL));
    need(dump_profile(profile, &json));
    put_file(name, "slowlens", blob);
    put_file(name, "json", &json);
    sl_bytes_free(&json);
    sl_bytes_free(blob);
    return profile;
}

static sl_profile *
put_recording(const char *name, sl_recording *recording, const char *mode)
{
    const sl_meta meta[] = {
        { "id", 2, "01J00000000000000000000000", 26, 0 },
        { "mode", 4, mode, strlen(mode), 0 },
        { "method", 6, "GET", 3, 0 },
        { "path", 4, "/caf\xc3\xa9/\xff", 8, 0 },
        { "wall_ns", 7, NULL, 0, INT64_MAX },
        { "delta", 5, NULL, 0, INT64_MIN },
        { "empty", 5, "", 0, 0 },
    };
    sl_bytes blob;

    need(sl_recording_encode(recording, meta, sizeof(meta) / sizeof(meta[0]),
                             sample_describe, NULL, 0, &blob));
    sl_recording_free(recording);
    return put_golden(name, &blob);
}

static sl_recording *
make(uint32_t max_nodes)
{
    sl_recording_options options = { .max_nodes = max_nodes };
    sl_recording *recording;

    need(sl_recording_new(&recording, &options, NULL));
    return recording;
}

static sl_profile *
deterministic(void)
{
    sl_recording *recording;
    need(sample_record(&recording, NULL));
    return put_recording("deterministic", recording, "deterministic");
}

static sl_profile *
sampled(void)
{
    sl_recording *r = make(0);
    sl_strand *main = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();
    const sl_frame deep[] = { { VIEW, 12 }, { COPY, 33 }, { COPY, 34 } };
    const sl_frame flat[] = { { VIEW, 14 }, { DUMPS, 9 } };

    for (int i = 0; i < 5; i++) {
        const sl_times passed = { 1000, 800, 100 };
        sl_strand_sample(main, deep, i < 3 ? 3 : 2,
                         i == 4 ? SL_PSEUDO_GC : SL_PSEUDO_ROOT, &passed,
                         t += 1000);
    }
    sl_strand_pause(main, flat, 1, &(sl_times){ 10, 10, 0 }, t += 10);
    sl_strand_continue(main, SL_PSEUDO_AWAIT, t += 2500);
    sl_strand_sample(main, flat, 2, SL_PSEUDO_ROOT, &(sl_times){ 700, 0, 0 },
                     t += 700);
    sl_recording_stop(r, t + 5);
    return put_recording("sampled", r, "sampling");
}

static sl_profile *
threads(void)
{
    sl_recording *r = make(0);
    sl_strand *main = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();

    sl_strand_enter(main, VIEW, SL_KIND_PYTHON, t += 100);
    sl_strand_yield(main, VIEW, t += 50);
    sl_strand_suspend(main, t);
    for (int i = 0; i < 3; i++) {
        sl_strand *beside = sl_recording_strand(
            r, i == 2 ? SL_PSEUDO_THREAD : SL_PSEUDO_TASK, t += 5);
        sl_strand_enter(beside, WAIT, SL_KIND_PYTHON, t += 5);
        sl_strand_enter(beside, LEN, SL_KIND_C, t += 900);
        sl_strand_leave(beside, LEN, t += 50);
        sl_strand_leave(beside, WAIT, t += 20);
        sl_strand_suspend(beside, t);
    }
    sl_strand_wait(main, SL_PSEUDO_AWAIT, t += 10);
    sl_strand_continue(main, SL_PSEUDO_LOOP, t += 500);
    sl_strand_resume(main, VIEW, t += 2);
    sl_strand_leave(main, VIEW, t += 70);
    sl_strand_suspend(main, t);
    sl_strand_continue(main, SL_PSEUDO_IDLE, t += 40);
    sl_recording_stop(r, t + 1);
    return put_recording("threads", r, "deterministic");
}

static sl_profile *
truncated(void)
{
    static const char many[64][16];
    sl_recording *r = make(40);
    sl_strand *main = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();

    for (int i = 0; i < 64; i++)
        sl_strand_enter(main, many[i], SL_KIND_PYTHON, t += 30);
    for (int i = 64; i-- > 0;)
        sl_strand_leave(main, many[i], t += 30);
    sl_recording_stop(r, t + 1);
    return put_recording("truncated", r, "deterministic");
}

static void
on_full(void *ctx)
{
    *(bool *)ctx = true;
}

static sl_profile *
goes_on_sampled(void)
{
    static const char many[64][16];
    bool full = false;
    sl_recording_options options = { .max_nodes = 48,
                                     .on_full = on_full,
                                     .ctx = &full };
    sl_recording *r;
    need(sl_recording_new(&r, &options, NULL));
    sl_strand *main = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();
    const sl_frame frames[] = { { VIEW, 3 }, { COPY, 7 } };

    for (int i = 0; i < 64 && !full; i++)
        sl_strand_enter(main, many[i], SL_KIND_PYTHON, t += 30);
    need(sl_recording_sample_on(r, t));
    for (int i = 0; i < 4; i++)
        sl_strand_sample(main, frames, 2, SL_PSEUDO_ROOT,
                         &(sl_times){ 500, 400, 0 }, t += 500);
    sl_recording_stop(r, t + 1);
    return put_recording("goes-on-sampled", r, "deterministic");
}

static sl_profile *
counters(void)
{
    sl_recording *r = make(0);
    sl_strand *main = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();
    const sl_frame frames[] = { { VIEW, 12 }, { COPY, 33 } };

    for (int i = 0; i < 4; i++) {
        sl_strand_sample(main, frames, i < 2 ? 2 : 1, SL_PSEUDO_ROOT,
                         &(sl_times){ 1000, 100, 0 }, t += 1000);
        sl_strand_count(main, SL_METRIC_LOCK, 400);
        sl_strand_count(main, SL_METRIC_RUN_QUEUE, (uint64_t)i);
    }
    sl_recording_stop(r, t);
    return put_recording("counters", r, "sampling");
}

/* Beyond the bounds of version 1: a function of 20 minutes. */
static sl_profile *
long_time(void)
{
    sl_recording *r = make(0);
    sl_strand *main = sl_recording_main(r);
    uint64_t t = sl_clock_monotonic_ns();
    const sl_frame frames[] = { { VIEW, 12 } };
    const uint64_t minutes = (uint64_t)20 * 60 * 1000000000;

    sl_strand_sample(main, frames, 1, SL_PSEUDO_ROOT,
                     &(sl_times){ minutes, 5, 0 }, t += minutes);
    sl_recording_stop(r, t + 1000);
    return put_recording("long-time", r, "sampling");
}

static sl_profile *
nothing(void)
{
    sl_recording *r = make(0);
    sl_recording_stop(r, sl_clock_monotonic_ns());
    return put_recording("nothing", r, "deterministic");
}

static sl_profile *
asking(void)
{
    sl_recording *r;
    need(sample_asking(&r, 12, NULL));
    return put_recording("asking", r, "deterministic");
}

int
main(int argc, char **argv)
{
    sl_bytes blob;

    if (argc != 2)
        return fprintf(stderr, "usage: golden FOLDER\n"), EXIT_FAILURE;
    folder = argv[1];
    const sl_meta meta = { "merged", 6, NULL, 0, 4 };
    sl_profile *profiles[] = {
        deterministic(), sampled(),         threads(), truncated(),
        nothing(),       goes_on_sampled(), NULL,      NULL,
        counters(),      long_time(),       asking(),  NULL
    };
    need(sl_merge((const sl_profile *const *)profiles, 4, &meta, 1, 0, &blob));
    profiles[6] = put_golden("merged", &blob);
    need(sl_growth(profiles[0], profiles[2], &meta, 1, 0, &blob));
    profiles[7] = put_golden("growth", &blob);
    const sl_profile *const twice[] = { profiles[10], profiles[10] };
    const sl_meta two = { "merged", 6, NULL, 0, 2 };
    need(sl_merge(twice, 2, &two, 1, 0, &blob));
    profiles[11] = put_golden("asking-merged", &blob);
    for (int i = 0; i < 12; i++)
        sl_profile_free(profiles[i]);
    return EXIT_SUCCESS;
}
