#include "core/frame.h"

#include "tests/unit/kv_test.h"

#include <stdlib.h>

static size_t make(enum kv_frame_op op, uint32_t request, const char *body, uint8_t *out)
{
    size_t len = strlen(body);
    kv_frame_head(op, request, len, out);
    memcpy(out + KV_FRAME_HEAD_LEN, body, len);
    return KV_FRAME_HEAD_LEN + len;
}

static void a_frame_comes_back_as_it_went(void **state)
{
    (void)state;
    uint8_t packet[64];
    struct kv_frame frame;
    struct kv_err err;
    size_t len = make(KV_FRAME_CALL, 0x01020304, "abc", packet);
    assert_int_equal(
        kv_frame_parse(kv_bytes(packet, len), KV_ROLE_GATE, KV_ROLE_VAULT, false, &frame, &err),
        KV_OK);
    assert_int_equal(frame.op, KV_FRAME_CALL);
    assert_int_equal(frame.request, 0x01020304);
    assert_true(kv_bytes_is(frame.body, "abc"));
}

static void only_the_table_s_sender_may_send_to_its_receiver(void **state)
{
    (void)state;
    for (int op = 1; op < KV_FRAME_COUNT; op++) {
        const struct kv_frame_row *row = kv_frame_row((enum kv_frame_op)op);
        for (int from = 0; from < KV_ROLE_COUNT; from++) {
            for (int to = 0; to < KV_ROLE_COUNT; to++) {
                uint8_t packet[64];
                struct kv_frame frame;
                struct kv_err err;
                size_t len = make((enum kv_frame_op)op, 1, "", packet);
                bool allowed = (row->from == KV_ROLE_COUNT || (int)row->from == from) &&
                               (row->to == KV_ROLE_COUNT || (int)row->to == to);
                enum kv_code code = kv_frame_parse(kv_bytes(packet, len), (enum kv_role)from,
                                                   (enum kv_role)to, row->descriptor, &frame, &err);
                assert_int_equal(code, allowed ? KV_OK : KV_E_PROTOCOL);
            }
        }
    }
}

static void a_descriptor_travels_exactly_where_the_table_says(void **state)
{
    (void)state;
    uint8_t packet[64];
    struct kv_frame frame;
    struct kv_err err;
    size_t len = make(KV_FRAME_CALL, 1, "", packet);
    assert_int_equal(
        kv_frame_parse(kv_bytes(packet, len), KV_ROLE_GATE, KV_ROLE_VAULT, true, &frame, &err),
        KV_E_PROTOCOL);
    len = make(KV_FRAME_CONNECTION, 1, "", packet);
    assert_int_equal(
        kv_frame_parse(kv_bytes(packet, len), KV_ROLE_VAULT, KV_ROLE_GATE, false, &frame, &err),
        KV_E_PROTOCOL);
}

static void cut_long_and_foreign_packets_are_refused(void **state)
{
    (void)state;
    uint8_t packet[64];
    struct kv_frame frame;
    struct kv_err err;
    size_t len = make(KV_FRAME_CALL, 1, "abc", packet);
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(
            kv_frame_parse(kv_bytes(packet, cut), KV_ROLE_GATE, KV_ROLE_VAULT, false, &frame, &err),
            KV_E_PROTOCOL);
    }
    packet[len] = 0;
    assert_int_equal(
        kv_frame_parse(kv_bytes(packet, len + 1), KV_ROLE_GATE, KV_ROLE_VAULT, false, &frame, &err),
        KV_E_PROTOCOL);
    packet[3] = 2; /* version */
    assert_int_equal(
        kv_frame_parse(kv_bytes(packet, len), KV_ROLE_GATE, KV_ROLE_VAULT, false, &frame, &err),
        KV_E_PROTOCOL);
    packet[3] = 1;
    packet[1] = KV_FRAME_COUNT; /* op */
    assert_int_equal(
        kv_frame_parse(kv_bytes(packet, len), KV_ROLE_GATE, KV_ROLE_VAULT, false, &frame, &err),
        KV_E_PROTOCOL);
}

static void each_op_has_its_own_maximum(void **state)
{
    (void)state;
    struct kv_frame frame;
    struct kv_err err;
    uint32_t max = kv_frame_row(KV_FRAME_HANGUP)->body_max;
    uint8_t *packet = calloc(1, KV_FRAME_HEAD_LEN + max + 1);
    assert_non_null(packet);
    kv_frame_head(KV_FRAME_HANGUP, 0, max, packet);
    assert_int_equal(kv_frame_parse(kv_bytes(packet, KV_FRAME_HEAD_LEN + max), KV_ROLE_GATE,
                                    KV_ROLE_VAULT, false, &frame, &err),
                     KV_OK);
    packet[11]++; /* one byte more */
    assert_int_equal(kv_frame_parse(kv_bytes(packet, KV_FRAME_HEAD_LEN + max + 1), KV_ROLE_GATE,
                                    KV_ROLE_VAULT, false, &frame, &err),
                     KV_E_PROTOCOL);
    free(packet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_comes_back_as_it_went),
        cmocka_unit_test(only_the_table_s_sender_may_send_to_its_receiver),
        cmocka_unit_test(a_descriptor_travels_exactly_where_the_table_says),
        cmocka_unit_test(cut_long_and_foreign_packets_are_refused),
        cmocka_unit_test(each_op_has_its_own_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
