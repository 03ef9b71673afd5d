#include "ksef/allowedips.h"

#include "tests/unit/kv_test.h"

#include <stdio.h>

static void what_is_no_ipv4_is_refused(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "192.0.2.10",
                                       "0.0.0.0",
                                       "255.255.255.255",
                                       "198.51.100.1-198.51.100.20",
                                       "203.0.113.0/24",
                                       "10.0.0.0/0",
                                       "192.0.2.10,198.51.100.1-198.51.100.20,203.0.113.0/24"};
    static const char *const bad[] = {"1",
                                      "192.0.2",
                                      "192.0.2.256",
                                      "192.0.2.10.",
                                      "192.0.2.010",
                                      "192.0.2.1.1",
                                      "a.b.c.d",
                                      "::1",
                                      "192.0.2.10,",
                                      ",192.0.2.10",
                                      "192.0.2.1,,192.0.2.2",
                                      "203.0.113.0/33",
                                      "203.0.113.0/",
                                      "198.51.100.20-198.51.100.1",
                                      "198.51.100.1-",
                                      " 192.0.2.1",
                                      "192.0.2.1</Ip4Address>",
                                      "192.0.2.1\"",
                                      "challenge"};
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        if (kv_allowed_ips_check(kv_bytes_str(good[i]), NULL) != KV_OK) {
            fail_msg("%s", good[i]);
        }
    }
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        if (kv_allowed_ips_check(kv_bytes_str(bad[i]), NULL) != KV_E_INPUT_VALUE) {
            fail_msg("%s", bad[i]);
        }
    }
}

static void there_are_at_most_ten_of_each(void **state)
{
    (void)state;
    struct kv_buf list;
    kv_buf_init(&list, 1024);
    for (int i = 0; i < 10; i++) {
        kv_buf_add_format(&list, "%s10.0.0.%d,10.0.0.0/%d", i == 0 ? "" : ",", i, i);
    }
    assert_int_equal(kv_allowed_ips_check(kv_buf_bytes(&list), NULL), KV_OK);
    kv_buf_add_str(&list, ",10.0.0.99");
    assert_int_equal(kv_allowed_ips_check(kv_buf_bytes(&list), NULL), KV_E_INPUT_VALUE);
    kv_buf_clear(&list);
}

static void both_forms_are_in_the_order_of_the_schema(void **state)
{
    (void)state;
    struct kv_bytes list = kv_bytes_str("203.0.113.0/24,192.0.2.10,192.0.2.1-192.0.2.5,192.0.2.11");
    struct kv_buf out;
    kv_buf_init(&out, 1024);
    kv_allowed_ips_xml(list, &out);
    assert_string_equal(kv_buf_str(&out),
                        "<AuthorizationPolicy><AllowedIps><Ip4Address>192.0.2.10</Ip4Address>"
                        "<Ip4Address>192.0.2.11</Ip4Address><Ip4Range>192.0.2.1-192.0.2.5"
                        "</Ip4Range><Ip4Mask>203.0.113.0/24</Ip4Mask></AllowedIps>"
                        "</AuthorizationPolicy>");
    kv_buf_reset(&out);
    kv_allowed_ips_json(list, &out);
    assert_string_equal(
        kv_buf_str(&out),
        ",\"authorizationPolicy\":{\"allowedIps\":{\"ip4Addresses\":[\"192.0.2.10\","
        "\"192.0.2.11\"],\"ip4Ranges\":[\"192.0.2.1-192.0.2.5\"],\"ip4Masks\":["
        "\"203.0.113.0/24\"]}}");
    kv_buf_reset(&out);
    kv_allowed_ips_xml(KV_BYTES_NULL, &out);
    kv_allowed_ips_json(KV_BYTES_NULL, &out);
    assert_int_equal(out.len, 0);
    kv_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_ipv4_is_refused),
        cmocka_unit_test(there_are_at_most_ten_of_each),
        cmocka_unit_test(both_forms_are_in_the_order_of_the_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
