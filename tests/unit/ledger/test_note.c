#include "tests/unit/ledger/ledger_test.h"

#include "ledger/note.h"

static const char ORIGIN[] = "ksef-vault.example.com/nip-5265877635/audit";
static const char EC[] =
    "ksef-vault.example.com/nip-5265877635/"
    "audit+494af723+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHFwE0"
    "Ra5YQsFg6wgjF08q8mSgT034rlfzxRbxi/T0eQqtu6XV7F+N7e+i413GP6DNka9PKR+LhFQwz+ScI+YxU=";
static const char ED[] = "ksef-vault.example.com/nip-5265877635/audit+5fa763d9+"
                         "AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";

static struct kv_vkey key_of(const char *text)
{
    struct kv_vkey key;
    struct kv_err err = {0};
    if (kv_vkey_parse(kv_bytes_str(text), &key, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    return key;
}

static void keys_are_read_and_written(void **state)
{
    (void)state;
    char text[KV_VKEY_TEXT_LEN];
    const char *const good[] = {EC, ED};
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        struct kv_vkey key = key_of(good[i]);
        kv_vkey_format(&key, text);
        assert_string_equal(text, good[i]);
    }
    struct kv_vkey key = key_of(EC);
    struct kv_vkey again;
    assert_int_equal(kv_vkey_from_spki(ORIGIN, kv_bytes(key.key, key.key_len), &again, NULL),
                     KV_OK);
    assert_true(kv_vkey_equal(&key, &again));
    struct kv_buf file = load(VECTOR("v1/keys/log.vkey")); /* with its LF */
    assert_int_equal(kv_vkey_parse(kv_buf_bytes(&file), &key, NULL), KV_OK);
    struct kv_buf pem;
    kv_buf_init(&pem, 4096);
    kv_vkey_pem(&key, &pem);
    struct kv_buf want = load(VECTOR("v1/evidence/keys/log.pem"));
    assert_string_equal(kv_buf_str(&pem), kv_buf_str(&want));
    kv_buf_clear(&pem);
    kv_buf_clear(&want);
    kv_buf_clear(&file);
}

static void keys_cut_or_changed_are_refused(void **state)
{
    (void)state;
    struct kv_vkey key;
    for (size_t n = 0; n < sizeof EC - 1; n++) {
        assert_int_equal(kv_vkey_parse(kv_bytes(EC, n), &key, NULL), KV_E_LEDGER_NOTE);
    }
    char bad[sizeof EC];
    for (size_t i = sizeof ORIGIN - 1; i < sizeof EC - 1; i++) {
        memcpy(bad, EC, sizeof bad);
        bad[i] ^= 1;
        assert_int_equal(kv_vkey_parse(kv_bytes(bad, sizeof bad - 1), &key, NULL),
                         KV_E_LEDGER_NOTE);
    }
}

static void notes_verify_with_each_key_alone_and_with_both(void **state)
{
    (void)state;
    struct kv_buf note = load(VECTOR("checkpoint.txt"));
    struct kv_vkey keys[2] = {key_of(EC), key_of(ED)};
    struct kv_checkpoint cp;
    struct kv_err err = {0};
    struct kv_bytes in = kv_buf_bytes(&note);

    assert_int_equal(kv_checkpoint_open(in, keys, 1, &cp, &err), KV_OK);
    assert_int_equal(kv_checkpoint_open(in, keys + 1, 1, &cp, &err), KV_OK);
    assert_int_equal(kv_checkpoint_open(in, keys, 2, &cp, &err), KV_OK);

    assert_string_equal(cp.origin, ORIGIN);
    assert_int_equal(cp.size, 5);
    char root[KV_HASH_BASE64_LEN];
    kv_hash_base64(&cp.root, root);
    assert_string_equal(root, "683A4TjxCLxu28SN40m05U3893OcsyNrKTCJGtErwTQ=");
    struct kv_buf file = load(VECTOR("v1/keys/other.vkey"));
    struct kv_vkey other;
    assert_int_equal(kv_vkey_parse(kv_buf_bytes(&file), &other, NULL), KV_OK);
    assert_int_equal(kv_checkpoint_open(in, &other, 1, &cp, &err), KV_E_LEDGER_NOTE);
    kv_buf_clear(&file);
    kv_buf_clear(&note);
}

/* With both keys given, no byte can change but in the witness's line, which is not ours; and there
 * what remains is a note still. */
static void a_changed_byte_is_seen(void **state)
{
    (void)state;
    struct kv_buf note = load(VECTOR("checkpoint.txt"));
    struct kv_vkey keys[2] = {key_of(EC), key_of(ED)};
    struct kv_checkpoint cp, good;
    assert_int_equal(kv_checkpoint_open(kv_buf_bytes(&note), keys, 2, &good, NULL), KV_OK);
    const char *text = kv_buf_str(&note);
    size_t body = (size_t)(strstr(text, "\n\n") - text) + 1;
    for (size_t i = 0; i < note.len; i++) {
        note.data[i] ^= 1;
        enum kv_code code = kv_checkpoint_open(kv_buf_bytes(&note), keys, 2, &cp, NULL);
        if (i < body) {
            assert_int_equal(code, KV_E_LEDGER_NOTE);
        } else if (code == KV_OK) {
            assert_memory_equal(&cp, &good, sizeof cp);
        }
        note.data[i] ^= 1;
    }
    for (size_t n = 0; n < note.len; n++) {
        if (kv_checkpoint_open(kv_bytes(note.data, n), keys, 1, &cp, NULL) == KV_OK) {
            assert_int_equal(text[n - 1], '\n'); /* whole lines may go */
        }
    }
    kv_buf_clear(&note);
}

static void a_checkpoint_text_is_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } bad[] = {
        {"no root", "a/b/audit\n5\n"},
        {"leading zero", "a/b/audit\n05\n683A4TjxCLxu28SN40m05U3893OcsyNrKTCJGtErwTQ=\n"},
        {"no size", "a/b/audit\n\n683A4TjxCLxu28SN40m05U3893OcsyNrKTCJGtErwTQ=\n"},
        {"no origin", "\n5\n683A4TjxCLxu28SN40m05U3893OcsyNrKTCJGtErwTQ=\n"},
        {"short root", "a/b/audit\n5\n683A4TjxCLxu28SN40m05U3893OcsyNrKTCJGtErwQ==\n"},
        {"no last LF", "a/b/audit\n5\n683A4TjxCLxu28SN40m05U3893OcsyNrKTCJGtErwTQ="},
    };
    struct kv_checkpoint cp;
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        if (kv_checkpoint_parse(kv_bytes_str(bad[i].text), &cp, NULL) != KV_E_LEDGER_NOTE) {
            fail_msg("accepted: %s", bad[i].name);
        }
    }
    const char *text = "a/b/audit\n5\n683A4TjxCLxu28SN40m05U3893OcsyNrKTCJGtErwTQ=\n";
    struct kv_buf out;
    kv_buf_init(&out, 4096);
    assert_int_equal(kv_checkpoint_parse(kv_bytes_str(text), &cp, NULL), KV_OK);
    kv_checkpoint_text(&cp, &out);
    assert_string_equal(kv_buf_str(&out), text);
    assert_int_equal(kv_checkpoint_parse(kv_bytes_str("a\n0\n683A4TjxCLxu28SN40m05U3893OcsyNrKTCJ"
                                                      "GtErwTQ=\nopaque\n"),
                                         &cp, NULL),
                     KV_OK);
    kv_buf_clear(&out);
}

static void der_is_minimal_both_ways(void **state)
{
    (void)state;
    static const struct {
        const char *name, *hex;
    } bad[] = {
        {"empty", ""},
        {"zero r", "3006020100020101"},
        {"zero s", "3006020101020100"},
        {"negative r", "3006020181020101"},
        {"needless zero", "300702020001020101"},
        {"trailing byte", "300602010102010100"},
        {"trailing byte inside", "300702010102010100"},
        {"long form of the length", "30810602010102 0101"},
        {"long form of an integer's length", "3007028101010201 01"},
        {"33 bytes that are not padding",
         "302602210101010101010101010101010101010101010101010101010101010101010101010101020101"},
        {"one integer", "3003020101"},
        {"not a sequence", "3106020101020101"},
    };
    uint8_t rs[KV_ECDSA_RS_LEN] = {0};
    uint8_t der[KV_ECDSA_DER_MAX];
    size_t len;
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        uint8_t bytes[80];
        char hex[160];
        size_t n = 0;
        for (const char *p = bad[i].hex; *p != '\0'; p++) {
            if (*p != ' ') {
                hex[n++] = *p;
            }
        }
        assert_true(kv_hex_decode(kv_bytes(hex, n), bytes, sizeof bytes, &len));
        if (kv_ecdsa_from_der(kv_bytes(bytes, len), rs, NULL) != KV_E_LEDGER_NOTE) {
            fail_msg("accepted: %s", bad[i].name);
        }
    }
    assert_int_equal(kv_ecdsa_to_der(rs, der, &len, NULL), KV_E_LEDGER_NOTE);
    /* r and s of every length, with and without the top bit */
    for (size_t i = 0; i < 32; i++) {
        for (int top = 0; top < 2; top++) {
            uint8_t in[KV_ECDSA_RS_LEN] = {0}, out[KV_ECDSA_RS_LEN];
            in[i] = top != 0 ? 0xff : 0x7f;
            in[63 - i] |= 0x80;
            in[63] |= 1;
            assert_int_equal(kv_ecdsa_to_der(in, der, &len, NULL), KV_OK);
            assert_int_equal(kv_ecdsa_from_der(kv_bytes(der, len), out, NULL), KV_OK);
            assert_memory_equal(in, out, sizeof in);
        }
    }
}

static void a_note_is_made_only_from_a_good_signature(void **state)
{
    (void)state;
    struct kv_buf note = load(VECTOR("v1/evidence/checkpoint"));
    struct kv_buf file = load(VECTOR("v1/keys/log.vkey"));
    struct kv_vkey key;
    struct kv_bytes text;
    assert_int_equal(kv_vkey_parse(kv_buf_bytes(&file), &key, NULL), KV_OK);
    assert_int_equal(kv_note_open(kv_buf_bytes(&note), &key, 1, &text, NULL), KV_OK);
    const char *line = strrchr(kv_buf_str(&note), ' ') + 1;
    uint8_t blob[128], rs[KV_ECDSA_RS_LEN];
    size_t len;
    assert_true(kv_base64_decode(kv_bytes(line, strlen(line) - 1), blob, sizeof blob, &len));
    assert_int_equal(kv_ecdsa_from_der(kv_bytes(blob + 4, len - 4), rs, NULL), KV_OK);
    struct kv_buf out;
    kv_buf_init(&out, 4096);

    rs[5] ^= 1;
    assert_int_equal(kv_note_make(&key, text, rs, &out, NULL), KV_E_LEDGER_NOTE);
    assert_int_equal(out.len, 0);
    rs[5] ^= 1;
    assert_int_equal(kv_note_make(&key, text, rs, &out, NULL), KV_OK);

    assert_string_equal(kv_buf_str(&out), kv_buf_str(&note));
    kv_buf_clear(&out);
    kv_buf_clear(&file);
    kv_buf_clear(&note);
}

static void notes_have_limits(void **state)
{
    (void)state;
    struct kv_buf note = load(VECTOR("checkpoint.txt"));
    struct kv_vkey key = key_of(EC);
    struct kv_bytes text;
    for (int lines = 3; lines < KV_NOTE_LINES_MAX; lines++) {
        kv_buf_add_str(&note, "\xe2\x80\x94 somebody.else AAAAAAAA\n");
    }
    assert_int_equal(kv_note_open(kv_buf_bytes(&note), &key, 1, &text, NULL), KV_OK);
    kv_buf_add_str(&note, "\xe2\x80\x94 somebody.else AAAAAAAA\n");
    assert_int_equal(kv_note_open(kv_buf_bytes(&note), &key, 1, &text, NULL), KV_E_LEDGER_NOTE);
    kv_buf_clear(&note);
}

static void proofs_lead_to_the_signed_root(void **state)
{
    (void)state;
    struct kv_buf proof = load(VECTOR("proof.tlog-proof"));
    struct kv_vkey key = key_of(EC);
    struct kv_bytes record = kv_bytes_str("{\"ev\":\"key.use\",\"seq\":4,\"v\":1}");
    struct kv_checkpoint cp;
    struct kv_tlog_proof parts;
    uint64_t index;
    struct kv_buf again;
    kv_buf_init(&again, 65536);

    assert_int_equal(kv_tlog_proof_verify(kv_buf_bytes(&proof), record, &key, 1, &index, &cp, NULL),
                     KV_OK);
    assert_int_equal(index, 4);
    assert_int_equal(cp.size, 5);
    record.len--;
    assert_int_equal(kv_tlog_proof_verify(kv_buf_bytes(&proof), record, &key, 1, &index, &cp, NULL),
                     KV_E_LEDGER_PROOF);
    record.len++;

    assert_int_equal(kv_tlog_proof_read(kv_buf_bytes(&proof), &parts, NULL), KV_OK);
    kv_tlog_proof_write(&parts, &again);
    assert_string_equal(kv_buf_str(&again), kv_buf_str(&proof));
    size_t head = (size_t)(strstr(kv_buf_str(&proof), "\n\n") - kv_buf_str(&proof));
    for (size_t i = 0; i < head; i++) {
        proof.data[i] ^= 1;
        enum kv_code code =
            kv_tlog_proof_verify(kv_buf_bytes(&proof), record, &key, 1, NULL, NULL, NULL);
        assert_int_equal(code, KV_E_LEDGER_PROOF);
        proof.data[i] ^= 1;
    }
    kv_buf_clear(&again);
    kv_buf_add_str(&again, "c2sp.org/tlog-proof@v1\nextra AAAA\n");
    kv_buf_add(&again, proof.data + 23, proof.len - 23);
    assert_int_equal(kv_tlog_proof_verify(kv_buf_bytes(&again), record, &key, 1, NULL, NULL, NULL),
                     KV_OK);
    kv_buf_clear(&again);
    kv_buf_clear(&proof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_read_and_written),
        cmocka_unit_test(keys_cut_or_changed_are_refused),
        cmocka_unit_test(notes_verify_with_each_key_alone_and_with_both),
        cmocka_unit_test(a_changed_byte_is_seen),
        cmocka_unit_test(a_checkpoint_text_is_read_and_written),
        cmocka_unit_test(der_is_minimal_both_ways),
        cmocka_unit_test(a_note_is_made_only_from_a_good_signature),
        cmocka_unit_test(notes_have_limits),
        cmocka_unit_test(proofs_lead_to_the_signed_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
