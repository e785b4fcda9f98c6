#include "suites.h"

#include "json.h"

#include <string.h>

static void
expect(const char *in, size_t len, const char *out)
{
    sl_buf buf;
    sl_json json = { .out = &buf };
    sl_buf_init(&buf, NULL, 0);
    sl_json_str(&json, in, len);
    sl_buf_put_u8(&buf, 0);
    ck_assert_str_eq((const char *)buf.data, out);
    sl_buf_free(&buf);
}

START_TEST(text_is_safe_anywhere)
{
    expect("plain", 5, "\"plain\"");
    expect("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
    expect("</script>&", 10, "\"\\u003c/script\\u003e\\u0026\"");
    expect("\n\0\x7f", 3, "\"\\u000a\\u0000\\u007f\"");
    expect("caf\xc3\xa9 \xf0\x9f\x90\x8d", 10,
           "\"caf\xc3\xa9 \xf0\x9f\x90\x8d\"");
    expect("\xe2\x80\xa8", 3, "\"\\u2028\"");
}
END_TEST

START_TEST(what_is_not_utf8_is_replaced)
{
    expect("\xff", 1, "\"\\ufffd\"");
    expect("\xc3", 1, "\"\\ufffd\"");
    expect("\xc0\x80", 2, "\"\\ufffd\\ufffd\"");
    expect("\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"");
    expect("\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    expect("a\xe2\x82", 3, "\"a\\ufffd\\ufffd\"");
}
END_TEST

START_TEST(commas_come_by_themselves)
{
    sl_buf buf;
    sl_json json = { .out = &buf };
    sl_buf_init(&buf, NULL, 0);
    sl_json_open(&json, '{');
    sl_json_key(&json, "a");
    sl_json_u64(&json, UINT64_MAX);
    sl_json_key(&json, "b");
    sl_json_open(&json, '[');
    sl_json_i64(&json, -1);
    sl_json_bool(&json, true);
    sl_json_open(&json, '[');
    sl_json_close(&json, ']');
    sl_json_close(&json, ']');
    sl_json_key(&json, "c");
    sl_json_bool(&json, false);
    sl_json_close(&json, '}');
    sl_buf_put_u8(&buf, 0);
    ck_assert_str_eq(
        (const char *)buf.data,
        "{\"a\":18446744073709551615,\"b\":[-1,true,[]],\"c\":false}");
    sl_buf_free(&buf);
}
END_TEST

START_TEST(numbers_with_a_point_are_as_long_as_is_asked)
{
    sl_buf buf;
    sl_json json = { .out = &buf };
    sl_buf_init(&buf, NULL, 0);
    sl_json_open(&json, '{');
    sl_json_real(&json, "a", 2. / 3, 4);
    sl_json_real(&json, "b", -1e20 / 3, 6);
    sl_json_real(&json, "c", 10, 4);
    sl_json_close(&json, '}');
    sl_buf_put_u8(&buf, 0);
    ck_assert_str_eq((const char *)buf.data,
                     "{\"a\":0.6667,\"b\":-3.33333e+19,\"c\":10}");
    sl_buf_free(&buf);
}
END_TEST

Suite *
json_suite(void)
{
    const TTest *const tests[] = { text_is_safe_anywhere,
                                   what_is_not_utf8_is_replaced,
                                   commas_come_by_themselves,
                                   numbers_with_a_point_are_as_long_as_is_asked,
                                   NULL };
    return suite_of("json", tests);
}
