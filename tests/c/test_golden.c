/* Files that every version must go on reading to the same content, and files
 * that must be refused: tests/data/README.md. */
#include "suites.h"

#include "dump.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The whole file; free() its data. */
static sl_bytes
slurp(const char *path)
{
    FILE *file = fopen(path, "rb");
    sl_bytes bytes = { malloc(1 << 20), 0, sl_alloc_libc };

    ck_assert_msg(file != NULL, "%s: missing", path);
    bytes.size = fread(bytes.data, 1, 1 << 20, file);
    ck_assert_uint_lt(bytes.size, 1 << 20);
    fclose(file);
    return bytes;
}

static void
check_golden(const char *folder, const char *stem)
{
    char path[4096];
    sl_profile *profile, *meta;
    sl_bytes now = { 0 };

    snprintf(path, sizeof(path), "%s/%s.slowlens", folder, stem);
    sl_bytes blob = slurp(path);
    ck_assert_msg(sl_profile_decode(&profile, blob.data, blob.size, 0, NULL) ==
                      SL_OK,
                  "%s: refused", path);
    ck_assert_int_eq(dump_profile(profile, &now), SL_OK);
    snprintf(path, sizeof(path), "%s/%s.json", folder, stem);
    sl_bytes then = slurp(path);
    ck_assert_msg(now.size == then.size &&
                      memcmp(now.data, then.data, now.size) == 0,
                  "%s: decodes to something else", path);
    ck_assert_int_eq(sl_profile_decode_meta(&meta, blob.data, blob.size, NULL),
                     SL_OK);
    ck_assert_uint_eq(sl_profile_meta_count(meta),
                      sl_profile_meta_count(profile));
    sl_profile_free(meta);
    sl_profile_free(profile);
    sl_bytes_free(&now);
    sl_bytes_free(&then);
    sl_bytes_free(&blob);
}

/* "CORRUPT.why.slowlens": reading it gives SL_ECORRUPT. */
static void
check_refused(const char *folder, const char *stem)
{
    char path[4096];
    sl_profile *profile = NULL;

    snprintf(path, sizeof(path), "%s/%s.slowlens", folder, stem);
    sl_bytes blob = slurp(path);
    sl_status status =
        sl_profile_decode(&profile, blob.data, blob.size, 0, NULL);
    const char *name = sl_status_name(status) + strlen("SL_E");
    ck_assert_msg(status < 0 && strncmp(stem, name, strlen(name)) == 0,
                  "%s: %s", path, sl_status_name(status));
    ck_assert_ptr_null(profile);
    sl_bytes_free(&blob);
}

static int
check_folder(const char *folder, void (*check)(const char *, const char *))
{
    DIR *dir = opendir(folder);
    int count = 0;

    ck_assert_msg(dir != NULL, "%s: missing", folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char *end = strstr(entry->d_name, ".slowlens");
        if (end == NULL)
            continue;
        *end = '\0';
        check(folder, entry->d_name);
        count++;
    }
    closedir(dir);
    return count;
}

START_TEST(every_version_decodes_to_what_it_held)
{
    ck_assert_int_ge(check_folder(SL_TEST_DATA "/v1", check_golden), 8);
    ck_assert_int_ge(check_folder(SL_TEST_DATA "/v2", check_golden), 12);
}
END_TEST

START_TEST(what_is_wrong_is_refused)
{
    ck_assert_int_ge(check_folder(SL_TEST_DATA "/refused", check_refused), 35);
}
END_TEST

Suite *
golden_suite(void)
{
    const TTest *const tests[] = { every_version_decodes_to_what_it_held,
                                   what_is_wrong_is_refused, NULL };
    return suite_of("golden", tests);
}
