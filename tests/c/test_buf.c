#include "suites.h"

#include "buf.h"
#include "fault.h"

#include <string.h>

START_TEST(what_is_put_comes_out)
{
    sl_buf buf;
    sl_bytes out;

    sl_buf_init(&buf, NULL, 0);
    for (int i = 0; i < 1000; i++)
        sl_buf_put_u8(&buf, (uint8_t)i);
    sl_buf_put_str(&buf, "end");
    sl_buf_put(&buf, NULL, 0);
    ck_assert_int_eq(sl_buf_finish(&buf, &out), SL_OK);
    ck_assert_uint_eq(out.size, 1003);
    ck_assert_uint_eq(out.data[999], 999 % 256);
    ck_assert_int_eq(memcmp(out.data + 1000, "end", 3), 0);
    sl_bytes_free(&out);
    sl_bytes_free(&out);
    sl_bytes_free(NULL);
}
END_TEST

START_TEST(the_first_failure_sticks)
{
    sl_buf buf;
    sl_bytes out = { 0 };

    sl_buf_init(&buf, NULL, 300);
    sl_buf_put(&buf, "0123456789", 10);
    ck_assert_ptr_null(sl_buf_room(&buf, 1000));
    sl_buf_put(&buf, "x", 1);
    ck_assert_uint_eq(buf.size, 10);
    ck_assert_int_eq(sl_buf_finish(&buf, &out), SL_ELIMIT);
    ck_assert_ptr_null(out.data);
}
END_TEST

START_TEST(any_allocation_may_fail)
{
    for (long budget = 0;; budget++) {
        fault f;
        sl_buf buf;
        sl_bytes out = { 0 };
        fault_init(&f, budget);
        sl_buf_init(&buf, &f.alloc, 0);
        for (int i = 0; i < 5000; i++)
            sl_buf_put_varint(&buf, 300);
        sl_status status = sl_buf_finish(&buf, &out);
        sl_bytes_free(&out);
        ck_assert_int_eq(f.live, 0);
        if (status == SL_OK)
            break;
        ck_assert_int_eq(status, SL_ENOMEM);
    }
}
END_TEST

Suite *
buf_suite(void)
{
    const TTest *const tests[] = { what_is_put_comes_out,
                                   the_first_failure_sticks,
                                   any_allocation_may_fail, NULL };
    return suite_of("buf", tests);
}
