/* embed.c - the core without Python: records a tree, encodes it, reads it
 * back and prints it.
 *
 *   cmake -B build -DSL_PYTHON=OFF -DSL_EXAMPLES=ON && cmake --build build
 *   build/embed [FILE.slowlens]
 *
 * Why: the core knows no Python, and this shows what else can use it: whatever
 * has functions that begin and end (an interpreter, a game's frame, a job)
 * gets the same trees, files, reports and exports.
 */
#include "slowlens/profile.h"
#include "slowlens/recording.h"
#include "slowlens/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Anything with an address can be a function; here, its name itself. */
static const char serve[] = "serve", parse[] = "parse", answer[] = "answer";

static bool
describe(void *ctx, uint32_t id, const void *key, sl_function *out)
{
    (void)ctx, (void)id;
    *out = (sl_function){ .name = key,
                          .name_len = strlen(key),
                          .file = "embed.c",
                          .file_len = 7,
                          .kind = SL_KIND_SPAN };
    return true;
}

static void
work(sl_strand *strand, const char *name, unsigned rounds)
{
    volatile unsigned sink = 0;

    sl_strand_enter(strand, name, SL_KIND_SPAN, sl_clock_monotonic_ns());
    for (unsigned i = 0; i < rounds; i++)
        sink += i;
    (void)sink;
    sl_strand_leave(strand, name, sl_clock_monotonic_ns());
}

static sl_status
record(sl_bytes *blob)
{
    static const sl_meta meta[] = { { "path", 4, "/embedded", 9, 0 } };
    sl_recording_options options = { .clock = SL_CLOCK_MONOTONIC };
    sl_recording *recording;
    sl_status status = sl_recording_new(&recording, &options, NULL);
    if (status < 0)
        return status;

    sl_strand *strand = sl_recording_main(recording);
    sl_strand_enter(strand, serve, SL_KIND_SPAN, sl_clock_monotonic_ns());
    for (int i = 0; i < 3; i++)
        work(strand, parse, 1000000);
    work(strand, answer, 200000);
    sl_strand_leave(strand, serve, sl_clock_monotonic_ns());
    sl_recording_stop(recording, sl_clock_monotonic_ns());

    status = sl_recording_encode(recording, meta, 1, describe, NULL, 0, blob);
    sl_recording_free(recording);
    return status;
}

int
main(int argc, char **argv)
{
    sl_bytes blob = { 0 }, text = { 0 };
    sl_profile *profile = NULL;

    sl_status status = record(&blob);
    if (status == SL_OK && argc > 1) {
        FILE *file = fopen(argv[1], "wb");
        if (file == NULL || fwrite(blob.data, 1, blob.size, file) != blob.size)
            return perror(argv[1]), EXIT_FAILURE;
        fclose(file);
    }
    if (status == SL_OK)
        status = sl_profile_decode(&profile, blob.data, blob.size, 0, NULL);
    if (status == SL_OK)
        status = sl_report_text(profile, 0, &text);
    if (status == SL_OK)
        fwrite(text.data, 1, text.size, stdout);
    else
        fprintf(stderr, "embed: %s\n", sl_status_text(status));

    sl_bytes_free(&text);
    sl_profile_free(profile);
    sl_bytes_free(&blob);
    return status == SL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
