#include "suites.h"

#include "made.h"
#include "text.h"

#include "slowlens/report.h"

#include <string.h>

/* The profile as text, which the caller frees. */
static sl_bytes
text_of(uint32_t permille)
{
    const made m = { MADE({ { 0, "[request]", 1, 1000000, 0 },
                            { 1, "app.light", 3, 1000000, 4 },
                            { 1, "app.heavy", 2, 6000000, 5 },
                            { 2, "lib", 7, 2000000, 9 } }) };
    sl_profile *profile = made_profile(&m);
    sl_bytes text = { 0 };

    ck_assert_int_eq(sl_report_text(profile, permille, &text), SL_OK);
    sl_profile_free(profile);
    return text;
}

/* Whether `what` stands in `text`, which has no end; where. */
static const uint8_t *
find(const sl_bytes *text, const char *what)
{
    size_t length = strlen(what);
    for (size_t i = 0; i + length <= text->size; i++) {
        if (memcmp(text->data + i, what, length) == 0)
            return text->data + i;
    }
    return NULL;
}

START_TEST(the_heaviest_child_comes_first)
{
    sl_bytes text = text_of(0);
    const uint8_t *heavy = find(&text, "app.heavy"),
                  *light = find(&text, "app.light"), *lib = find(&text, "lib");

    ck_assert(heavy != NULL && light != NULL && lib != NULL);
    ck_assert(heavy < lib && lib < light);
    ck_assert_ptr_nonnull(
        find(&text, "  80.0%      8.000 ms      6.000 self         2x  "));
    ck_assert_ptr_nonnull(find(&text, "(line 5)"));
    sl_bytes_free(&text);
}
END_TEST

START_TEST(what_is_too_light_is_left_out)
{
    sl_bytes text = text_of(150);

    ck_assert_ptr_nonnull(find(&text, "app.heavy"));
    ck_assert_ptr_nonnull(find(&text, "lib"));
    ck_assert_ptr_null(find(&text, "app.light"));
    sl_bytes_free(&text);
}
END_TEST

START_TEST(no_room_is_said)
{
    const made m = { MADE({ { 0, "[request]", 1, 10, 0 } }) };
    sl_profile *profile = made_profile(&m);
    sl_bytes text = { 0 };
    sl_buf small;

    sl_buf_init(&small, NULL, 4);
    sl_text_put(profile, 0, &small);
    ck_assert_int_lt(sl_buf_finish(&small, &text), 0);
    sl_profile_free(profile);
}
END_TEST

Suite *
text_suite(void)
{
    const TTest *const tests[] = {
        the_heaviest_child_comes_first,
        what_is_too_light_is_left_out,
        no_room_is_said,
        NULL,
    };
    return suite_of("text", tests);
}
