#include "suites.h"

#include "slowlens/status.h"

#include <string.h>

START_TEST(every_status_has_a_name_and_a_text)
{
    static const sl_status all[] = { SL_OK,
#define XX(name, value, text) SL_E##name,
                                     SL_STATUS_MAP(XX)
#undef XX
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        ck_assert_int_eq(strncmp(sl_status_name(all[i]), "SL_", 3), 0);
        ck_assert_uint_gt(strlen(sl_status_text(all[i])), 1);
        for (size_t j = 0; j < i; j++)
            ck_assert_int_ne(all[i], all[j]);
    }
    ck_assert_str_eq(sl_status_name((sl_status)-999), "SL_E?");
    ck_assert_str_eq(sl_status_text((sl_status)-999), "unknown status");
}
END_TEST

Suite *
status_suite(void)
{
    const TTest *const tests[] = { every_status_has_a_name_and_a_text, NULL };
    return suite_of("status", tests);
}
