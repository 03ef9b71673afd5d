#include "tests/unit/kv_test.h"

#include "cli/confirm.h"

static void the_code_is_read_as_people_type_it(void **state)
{
    (void)state;
    static const char *const good[] = {"3KG1J-DB0K1",   "3KG1J-DB0K1\n",  "3kg1j-db0k1\r\n",
                                       "3kg1jdb0k1",    "3 KG1J DB0K1\n", " 3KG1J-DB0K1 \n",
                                       "3KG1J--DB0K1\n"};
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        if (!cli_same_code(good[i], "3KG1J-DB0K1")) {
            fail_msg("'%s' was not accepted", good[i]);
        }
    }
}

static void another_code_is_not_accepted(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "\n",
                                      "y\n",
                                      "yes\n",
                                      "3KG1J\n",
                                      "3KG1J-DB0K",
                                      "3KG1J-DB0K2\n",
                                      "3KG1J-DB0K11\n",
                                      "-\n",
                                      "3KG1J-DB0K1 x\n",
                                      "X3KG1J-DB0K1\n",
                                      "DB0K1-3KG1J\n"};
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        if (cli_same_code(bad[i], "3KG1J-DB0K1")) {
            fail_msg("'%s' was accepted", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_code_is_read_as_people_type_it),
        cmocka_unit_test(another_code_is_not_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
