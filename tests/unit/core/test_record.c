#include "core/record.h"

#include "tests/unit/kv_test.h"

static void a_new_record_is_the_agent_s(void **state)
{
    (void)state;
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = kv_record_new(KV_EV_AGENT_STOP);
    assert_int_equal(rec->v, KV_RECORD_VERSION);
    assert_int_equal(rec->who, KV_WHO_AGENT);
    assert_string_equal(rec->who_id, "vault");
    assert_int_equal(rec->has, 0);
}

static void set_keys_are_present(void **state)
{
    (void)state;
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = kv_record_new(KV_EV_USE_INTENT);
    struct kv_hash dig = kv_hash(kv_bytes_str("x"));
    kv_record_set(rec, KV_RK_CTX, "Nip:5265877635");
    kv_record_set_op(rec, KV_OP_AUTH_XADES);
    kv_record_set_dig(rec, &dig);
    kv_record_set_of(rec, 7);
    kv_record_set_out(rec, KV_OUT_UNKNOWN);
    assert_true(kv_record_has(rec, KV_RK_CTX));
    assert_true(kv_record_has(rec, KV_RK_OP));
    assert_true(kv_record_has(rec, KV_RK_DIG));
    assert_true(kv_record_has(rec, KV_RK_OF));
    assert_true(kv_record_has(rec, KV_RK_OUT));
    assert_false(kv_record_has(rec, KV_RK_GRANT));
}

static void maps_are_kept_sorted_and_may_be_empty(void **state)
{
    (void)state;
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = kv_record_new(KV_EV_AGENT_START);
    kv_record_info_map_str(rec, "programs", "vault", "2");
    kv_record_info_map_str(rec, "programs", "gate", "1");
    kv_record_info_map_bool(rec, "attrs", "local", true);
    kv_record_info_map_str(rec, "custody", NULL, NULL);
    const struct kv_info *programs = kv_record_info(rec, "programs");
    assert_int_equal(programs->pair_count, 2);
    assert_string_equal(programs->pairs[0].name, "gate");
    assert_string_equal(programs->pairs[1].s, "2");
    assert_int_equal(kv_record_info(rec, "custody")->pair_count, 0);
    assert_null(kv_record_info(rec, "none"));
    assert_string_equal(kv_record_info_get_str(rec, "none"), "");
}

static void documents_carry_hash_and_length(void **state)
{
    (void)state;
    KV_CLEANUP(kv_record_freep) struct kv_record *rec = kv_record_new(KV_EV_APPROVE);
    kv_record_add_doc(rec, KV_DOC_STATEMENT, kv_bytes_str("abc"));
    kv_record_add_doc(rec, KV_DOC_SIGNATURE, kv_bytes_str("sig"));
    struct kv_hash want = kv_hash(kv_bytes_str("abc"));
    const struct kv_doc *doc = kv_record_doc(rec, KV_DOC_STATEMENT);
    assert_true(kv_hash_equal(&doc->hash, &want));
    assert_int_equal(doc->len, 3);
    assert_null(kv_record_doc(rec, KV_DOC_POLICY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_record_is_the_agent_s),
        cmocka_unit_test(set_keys_are_present),
        cmocka_unit_test(maps_are_kept_sorted_and_may_be_empty),
        cmocka_unit_test(documents_carry_hash_and_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
