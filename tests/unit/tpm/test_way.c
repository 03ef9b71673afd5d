#include "tpm/way.h"

#include "tests/unit/kv_test.h"
#include "tpm/chip.h"

static void an_unknown_way_is_refused(void **state)
{
    (void)state;
    static const char *const ways[] = {"",       "mssim:host=localhost", "pcap:swtpm:path=/x",
                                       "cmd:ls", "device:/dev/null",     "libtss2-tcti-pcap.so"};
    struct kv_tpm_chip chip;
    for (size_t i = 0; i < KV_COUNT(ways); i++) {
        assert_false(kv_tpm_way_known(ways[i]));
        assert_int_equal(kv_tpm_chip_open(ways[i], &chip, NULL), KV_E_CONFIG);
        kv_tpm_chip_clear(&chip);
    }
}

static void a_way_says_what_a_confined_process_needs(void **state)
{
    (void)state;
    bool sockets = true;
    uint16_t port = 1;
    assert_true(kv_tpm_way_needs("device:/dev/tpmrm0", &sockets, &port));
    assert_true(!sockets && port == 0);
    assert_true(kv_tpm_way_needs("tabrmd", &sockets, &port));
    assert_true(sockets && port == 0);
    assert_true(kv_tpm_way_needs("swtpm:path=/run/tpm", &sockets, &port));
    assert_true(sockets && port == 0);
    assert_true(kv_tpm_way_needs("swtpm:port=2321,host=127.0.0.1", &sockets, &port));
    assert_true(!sockets && port == 2321);
    assert_false(kv_tpm_way_needs("swtpm:port=70000", &sockets, &port));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_way_is_refused),
        cmocka_unit_test(a_way_says_what_a_confined_process_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
