#include "tests/unit/kv_test.h"

#include "core/time.h"
#include "policy/pubkey.h"
#include "tests/unit/policy/vector.h"

static struct kv_pubkey parse_vector(const char *name)
{
    struct kv_bytes file = vector_read(name);
    struct kv_pubkey key;
    struct kv_err err;
    if (kv_pubkey_parse_file(file, &key, &err) != KV_OK) {
        fail_msg("%s: %s", name, err.msg);
    }
    vector_free(file);
    return key;
}

static void every_key_of_the_vectors_has_its_fingerprint_and_prints_itself(void **state)
{
    (void)state;
    json_t *index = vector_index();
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(index, "persons"), i, row)
    {
        struct kv_pubkey key = parse_vector(vector_str(row, "public_key")), again;
        assert_string_equal(key.fingerprint, vector_str(row, "key"));
        struct kv_buf line;
        kv_buf_init(&line, KV_PUBKEY_LINE_MAX);
        kv_pubkey_print(&key, &line);
        assert_false(line.failed);
        assert_int_equal(kv_pubkey_parse_line(kv_buf_bytes(&line), &again, NULL), KV_OK);
        assert_true(kv_bytes_equal(kv_pubkey_blob(&key), kv_pubkey_blob(&again)));
        kv_buf_clear(&line);
    }
    assert_int_equal(i, 10);
    json_decref(index);
}

/* The file that ssh-keygen reads, byte for byte. */
static void allowed_signers_are_printed_as_in_the_vectors(void **state)
{
    (void)state;
    json_t *index = vector_index();
    struct kv_bytes want = vector_read("allowed_signers");
    struct kv_buf out;
    kv_buf_init(&out, 16384);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(index, "persons"), i, row)
    {
        struct kv_pubkey key = parse_vector(vector_str(row, "public_key"));
        int64_t from, until = KV_TIME_MAX;
        assert_true(kv_time_parse_s(kv_bytes_str(vector_str(row, "valid_from")), &from));
        const char *end = vector_str(row, "valid_until");
        assert_true(strcmp(end, "-") == 0 || kv_time_parse_s(kv_bytes_str(end), &until));
        kv_pubkey_print_signer(&key, vector_str(row, "person"), from, until, &out);
    }
    assert_true(kv_bytes_equal(kv_buf_bytes(&out), want));
    kv_buf_clear(&out);
    vector_free(want);
    json_decref(index);
}

static void a_key_cut_or_lengthened_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"keys/TEST-fin-01.pub", "keys/TEST-fin-02.pub",
                                        "keys/TEST-cus-03.pub", "keys/TEST-fin-04.pub",
                                        "keys/TEST-fin-05.pub"};
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        struct kv_pubkey key = parse_vector(names[i]), out;
        for (size_t len = 0; len < key.blob_len; len++) {
            assert_int_equal(kv_pubkey_parse_blob(kv_bytes(key.blob, len), &out, NULL),
                             KV_E_INPUT_VALUE);
        }
        /* one byte more (zero, from behind the blob) */
        assert_int_equal(
            kv_pubkey_parse_blob(kv_bytes(key.blob, (size_t)key.blob_len + 1), &out, NULL),
            KV_E_INPUT_VALUE);
    }
}

static void add_string(struct kv_buf *buf, const void *data, size_t len)
{
    kv_buf_add_u32(buf, (uint32_t)len);
    kv_buf_add(buf, data, len);
}

static void add_word(struct kv_buf *buf, const char *word)
{
    add_string(buf, word, strlen(word));
}

static enum kv_code parse_buf(struct kv_buf *buf)
{
    struct kv_pubkey out;
    enum kv_code code = kv_pubkey_parse_blob(kv_buf_bytes(buf), &out, NULL);
    kv_buf_reset(buf);
    return code;
}

static enum kv_code parse_rsa(size_t bits, uint8_t low, size_t zeros, const char *e)
{
    uint8_t n[600] = {0};
    size_t bytes = (bits + 7) / 8;
    size_t sign = bits % 8 == 0 ? 1 : 0;
    memset(n + zeros + sign, 0xff, bytes);
    n[zeros + sign] = (uint8_t)(0xff >> ((8 - bits % 8) % 8));
    n[zeros + sign + bytes - 1] = low;
    struct kv_buf buf;
    kv_buf_init(&buf, 2048);
    add_word(&buf, "ssh-rsa");
    add_word(&buf, e);
    add_string(&buf, n, zeros + sign + bytes);
    enum kv_code code = parse_buf(&buf);
    kv_buf_clear(&buf);
    return code;
}

static void rsa_is_taken_from_2048_to_4096_bits_in_one_encoding(void **state)
{
    (void)state;
    assert_int_equal(parse_rsa(2047, 0xff, 0, "\x03"), KV_E_INPUT_VALUE);
    assert_int_equal(parse_rsa(2048, 0xff, 0, "\x03"), KV_OK);
    assert_int_equal(parse_rsa(3072, 0xff, 0, "\x11"), KV_OK);
    assert_int_equal(parse_rsa(4096, 0xff, 0, "\x03"), KV_OK);
    assert_int_equal(parse_rsa(4097, 0xff, 0, "\x03"), KV_E_INPUT_VALUE);
    assert_int_equal(parse_rsa(2048, 0xfe, 0, "\x03"), KV_E_INPUT_VALUE); /* even */
    assert_int_equal(parse_rsa(2048, 0xff, 1, "\x03"), KV_E_INPUT_VALUE); /* needless zero */
    assert_int_equal(parse_rsa(2048, 0xff, 0, "\x01"), KV_E_INPUT_VALUE);
    assert_int_equal(parse_rsa(2048, 0xff, 0, "\x04"), KV_E_INPUT_VALUE);
    assert_int_equal(parse_rsa(2048, 0xff, 0, "\x81"), KV_E_INPUT_VALUE); /* negative */
    assert_int_equal(parse_rsa(2048, 0xff, 0, ""), KV_E_INPUT_VALUE);
    assert_int_equal(parse_rsa(2048, 0xff, 0, "\x01\x01\x01\x01\x01\x01\x01\x01\x01"),
                     KV_E_INPUT_VALUE);
}

static void other_kinds_and_forms_of_keys_are_refused(void **state)
{
    (void)state;
    static const uint8_t point[65] = {0x04, 1, 2, 3};
    static const uint8_t compressed[33] = {0x02, 1, 2, 3};
    static const uint8_t raw[33] = {1};
    char application[257];
    memset(application, 'a', sizeof application - 1);
    application[256] = '\0';
    struct kv_buf buf;
    kv_buf_init(&buf, 2048);

    add_word(&buf, "ssh-ed25519");
    add_string(&buf, raw, 32);
    assert_int_equal(parse_buf(&buf), KV_OK);
    add_word(&buf, "ssh-ed25519");
    add_string(&buf, raw, 33);
    assert_int_equal(parse_buf(&buf), KV_E_INPUT_VALUE);
    add_word(&buf, "ssh-ed25519-cert-v01@openssh.com");
    add_string(&buf, raw, 32);
    assert_int_equal(parse_buf(&buf), KV_E_INPUT_VALUE);
    add_word(&buf, "ssh-dss");
    assert_int_equal(parse_buf(&buf), KV_E_INPUT_VALUE);
    add_word(&buf, "ecdsa-sha2-nistp256");
    add_word(&buf, "nistp256");
    add_string(&buf, point, sizeof point);
    assert_int_equal(parse_buf(&buf), KV_OK);
    add_word(&buf, "ecdsa-sha2-nistp256");
    add_word(&buf, "nistp384");
    add_string(&buf, point, sizeof point);
    assert_int_equal(parse_buf(&buf), KV_E_INPUT_VALUE);
    add_word(&buf, "ecdsa-sha2-nistp256");
    add_word(&buf, "nistp256");
    add_string(&buf, compressed, sizeof compressed);
    assert_int_equal(parse_buf(&buf), KV_E_INPUT_VALUE);
    for (size_t len = 0; len <= 256; len++) {
        add_word(&buf, "sk-ssh-ed25519@openssh.com");
        add_string(&buf, raw, 32);
        add_string(&buf, application, len);
        assert_int_equal(parse_buf(&buf),
                         len >= 1 && len <= KV_PUBKEY_APP_MAX ? KV_OK : KV_E_INPUT_VALUE);
    }
    kv_buf_clear(&buf);
}

static void a_line_is_a_type_and_base64_and_nothing_else(void **state)
{
    (void)state;
#define KEY "AAAAC3NzaC1lZDI1NTE5AAAAILftompKDSi2cDw+NJULjehUAavD+Gch+j4yvNbGfvNU"
    static const struct {
        const char *text;
        bool line, file;
    } rows[] = {
        {"ssh-ed25519 " KEY, true, true},
        {"ssh-ed25519 " KEY "\n", false, true},
        {"ssh-ed25519 " KEY "\r\n", false, true},
        {"ssh-ed25519 " KEY " fin-01 at home\n", false, true},
        {"ssh-ed25519 " KEY " \n", false, true},
        {"ssh-ed25519 " KEY "\n\n", false, false},
        {"ssh-ed25519 " KEY "\nssh-ed25519 " KEY "\n", false, false},
        {"ssh-ed25519  " KEY, false, false},
        {" ssh-ed25519 " KEY, false, false},
        {"ssh-rsa " KEY, false, false},
        {"ssh-ed25519 " KEY "=", false, false},
        {"ssh-ed25519 " KEY "AAAA", false, false},
        {"ssh-ed25519", false, false},
        {KEY, false, false},
        {"", false, false},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_pubkey out;
        struct kv_bytes text = kv_bytes_str(rows[i].text);
        assert_int_equal(kv_pubkey_parse_line(text, &out, NULL) == KV_OK, rows[i].line);
        assert_int_equal(kv_pubkey_parse_file(text, &out, NULL) == KV_OK, rows[i].file);
    }
}

static void one_key_in_two_wrappings_is_known_again(void **state)
{
    (void)state;
    struct kv_pubkey plain = parse_vector("keys/TEST-fin-01.pub");
    struct kv_pubkey other = parse_vector("keys/TEST-fin-03.pub"), wrapped;
    struct kv_bytes point = kv_pubkey_part(&plain, plain.point);
    struct kv_buf buf;
    kv_buf_init(&buf, 2048);
    add_word(&buf, "sk-ssh-ed25519@openssh.com");
    add_string(&buf, point.ptr, point.len);
    add_word(&buf, "ssh:");
    assert_int_equal(kv_pubkey_parse_blob(kv_buf_bytes(&buf), &wrapped, NULL), KV_OK);
    kv_buf_clear(&buf);

    struct kv_hash a = kv_pubkey_material(&plain), b = kv_pubkey_material(&wrapped);
    struct kv_hash c = kv_pubkey_material(&other);
    assert_string_not_equal(plain.fingerprint, wrapped.fingerprint);
    assert_true(kv_hash_equal(&a, &b));
    assert_false(kv_hash_equal(&a, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_of_the_vectors_has_its_fingerprint_and_prints_itself),
        cmocka_unit_test(allowed_signers_are_printed_as_in_the_vectors),
        cmocka_unit_test(a_key_cut_or_lengthened_is_refused),
        cmocka_unit_test(rsa_is_taken_from_2048_to_4096_bits_in_one_encoding),
        cmocka_unit_test(other_kinds_and_forms_of_keys_are_refused),
        cmocka_unit_test(a_line_is_a_type_and_base64_and_nothing_else),
        cmocka_unit_test(one_key_in_two_wrappings_is_known_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
