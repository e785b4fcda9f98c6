#include "suites.h"

#include "label.h"
#include "utf8.h"

#include <string.h>

static void
expect(const char *text, size_t max, const char *wanted)
{
    sl_buf buf;
    sl_buf_init(&buf, NULL, 0);
    sl_label_text(&buf, text, strlen(text), max);
    sl_buf_put_u8(&buf, 0);
    ck_assert_str_eq((const char *)buf.data, wanted);
    sl_buf_free(&buf);
}

START_TEST(what_comes_out_is_utf8_without_controls)
{
    expect("caf\xc3\xa9", SL_LABEL_WHOLE, "caf\xc3\xa9");
    expect("jos\xe9/x", SL_LABEL_WHOLE, "jos\xef\xbf\xbd/x");
    expect("a\x1b[2Jb\x7f\xc2\x9b", SL_LABEL_WHOLE, "a?[2Jb??");
    expect("\xed\xa0\x80", SL_LABEL_WHOLE,
           "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}
END_TEST

START_TEST(what_is_too_long_is_cut_between_characters)
{
    expect("abcdefgh", 8, "abcdefgh");
    expect("abcdefghi", 8, "abcde...");
    expect("abcd\xc3\xa9\xc3\xa9\xc3\xa9", 8, "abcd...");
    ck_assert_uint_eq(sl_utf8_cut("ab\xf0\x9f\x98\x80", 6, 5), 2);
    ck_assert_uint_eq(sl_utf8_cut("\x80\x80\x80\x80\x80\x80", 6, 4), 4);
}
END_TEST

START_TEST(a_name_has_its_module_before_it)
{
    static const struct {
        const char *file, *name, *wanted;
        sl_kind kind;
    } cases[] = {
        { "/app/views.py", "detail", "views.detail", SL_KIND_PYTHON },
        { "/lib/json/__init__.py", "dumps", "json.dumps", SL_KIND_PYTHON },
        { "<string>", "f", "f", SL_KIND_PYTHON },
        { "", "builtins.len", "builtins.len", SL_KIND_C },
        { "C:\\app\\shop.py", "x", "shop.x", SL_KIND_PYTHON },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sl_function f = { .name = cases[i].name,
                          .name_len = strlen(cases[i].name),
                          .file = cases[i].file,
                          .file_len = strlen(cases[i].file),
                          .kind = cases[i].kind };
        sl_buf buf;
        sl_buf_init(&buf, NULL, 0);
        sl_label_name(&buf, &f, SL_LABEL_MAX);
        sl_buf_put_u8(&buf, 0);
        ck_assert_str_eq((const char *)buf.data, cases[i].wanted);
        sl_buf_free(&buf);
    }
}
END_TEST

START_TEST(no_name_is_longer_than_its_bound)
{
    static char text[5000];
    memset(text, 'x', sizeof(text));
    sl_function f = { .name = text,
                      .name_len = sizeof(text),
                      .file = text,
                      .file_len = sizeof(text),
                      .kind = SL_KIND_PYTHON };
    sl_buf buf;
    sl_buf_init(&buf, NULL, 0);
    sl_label_name(&buf, &f, SL_LABEL_MAX);
    ck_assert_uint_eq(buf.size, SL_LABEL_MAX);
    sl_buf_free(&buf);
}
END_TEST

Suite *
label_suite(void)
{
    const TTest *const tests[] = { what_comes_out_is_utf8_without_controls,
                                   what_is_too_long_is_cut_between_characters,
                                   a_name_has_its_module_before_it,
                                   no_name_is_longer_than_its_bound, NULL };
    return suite_of("label", tests);
}
